/* Of processes in the midst of everything, senders, receivers, a registrant, creators, all
 * but one are stopped at random moments. The one goes on as if it were alone in the world:
 * it finds the queue exactly as full and as empty as it is, messages in order, notification
 * and names in working order. Then the others continue, and nothing is lost or doubled.
 *
 * With SECONDS in the environment it goes on for so long (make standstill). */
#include "ledger.h"

enum { PROCESSES = LEDGER_SENDERS, MAXMSG = 12, NAMES = 3, ROUNDS = 15 * PROCESSES };

struct shared {
    int32_t finish;
    int32_t alone;     /* number of the process that is alone, plus one; 0: none is */
    int32_t slow;      /* 0: nobody, 1: senders, 2: receivers go slowly */
    uint32_t operations;
    struct ledger ledger;
};

static struct shared *shared;
static mqrs_queue *queue;
static char queue_name[64], names[NAMES][64];

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){0, ns}, NULL);
}

/* ---- What the one does that is alone --------------------------------------------- */

static void drain_in_order(uint32_t who, struct order *order, int count)
{
    uint32_t last_prio = LEDGER_PRIORITIES, last_number = 0;

    for (int i = 0; i < count; i++) {
        uint32_t message[LEDGER_MSGSIZE / 4], prio;

        CHECK_OK(mqrs_timedreceive(queue, message, sizeof message, MQRS_NOWAIT, &prio));
        CHECK_EQUAL(who, message[0]);
        CHECK_EQUAL(priority_of(who, message[1]), prio);
        CHECK(prio < last_prio || (prio == last_prio && message[1] > last_number));
        last_prio = prio;
        last_number = message[1];
        CHECK_EQUAL(0, shared->ledger.seen[who][message[1]]++);
        order->last[who][prio] = message[1];
    }
    CHECK_EQUAL(0, receive_next(&shared->ledger, queue, order, MQRS_NOWAIT));
}

static void fill_and_drain(uint32_t who, struct order *order)
{
    int count = 0;

    while (send_next(&shared->ledger, queue, who, MQRS_NOWAIT))
        count++;
    CHECK_EQUAL(MAXMSG, count);
    CHECK_EQUAL(MAXMSG, messages_in(queue));
    drain_in_order(who, order, MAXMSG);
    CHECK_EQUAL(0, messages_in(queue));
}

static void notify_ourselves(uint32_t who, struct order *order)
{
    siginfo_t info;
    int result = mqrs_notify_signal(queue, SIGRTMIN + 1, who, 0);

    /* That of one who is stopped is used up by a message; if he was just dropping it, by one
     * more. */
    for (int i = 0; i < 2 && result == -EBUSY; i++) {
        CHECK(send_next(&shared->ledger, queue, who, MQRS_NOWAIT));
        drain_in_order(who, order, 1);
        result = mqrs_notify_signal(queue, SIGRTMIN + 1, who, 0);
    }
    CHECK_OK(result);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN + 1, who, 0));
    CHECK(send_next(&shared->ledger, queue, who, MQRS_NOWAIT));
    info = take_signal(SIGRTMIN + 1);
    CHECK_EQUAL(getpid(), info.si_pid);
    CHECK_EQUAL(who, info.si_value.sival_int);
    drain_in_order(who, order, 1);
}

static void open_again(uint32_t who, struct order *order)
{
    mqrs_queue *again = open_queue(queue_name, O_WRONLY);

    CHECK(send_next(&shared->ledger, again, who, MQRS_NOWAIT));
    CHECK_OK(mqrs_close(again));
    drain_in_order(who, order, 1);
}

static void make_and_remove(const char *name)
{
    int result = mqrs_unlink(name);
    mqrs_queue *made, *opened = NULL;

    CHECK(result == 0 || result == -ENOENT);
    made = create_queue(name, 4, 16, 0);
    CHECK_ERROR(EEXIST, mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, NULL, 0, &opened));
    opened = open_queue(name, O_RDWR);
    send_text(made, "mine", 1);
    EXPECT_TEXT(opened, "mine", 1);
    CHECK_OK(mqrs_close(opened));
    close_and_unlink(made, name);
    CHECK_ERROR(ENOENT, mqrs_open(name, O_RDWR, NULL, 0, &opened));
}

static void be_alone(uint32_t who, struct order *order)
{
    /* A registration of ours is in the way. */
    CHECK_OK(mqrs_notify_cancel(queue));
    while (receive_next(&shared->ledger, queue, order, MQRS_NOWAIT))
        ;
    for (int i = 0; i < 80; i++)
        fill_and_drain(who, order);
    for (int i = 0; i < 10; i++)
        notify_ourselves(who, order);
    for (int i = 0; i < 10; i++)
        open_again(who, order);
    for (int i = 0; i < 10; i++)
        make_and_remove(names[i % NAMES]);
    shared->operations += 80 * 2 * MAXMSG + 10 * 4 + 10 * 4 + 10 * 10;
}

/* ---- What each does otherwise ------------------------------------------------------ */

static void send_step(uint32_t who)
{
    if (__atomic_load_n(&shared->slow, __ATOMIC_RELAXED) == 1)
        pause_ns(50000);
    send_next(&shared->ledger, queue, who, 2 * MILLISECOND);
}

static void receive_step(struct order *order)
{
    if (__atomic_load_n(&shared->slow, __ATOMIC_RELAXED) == 2)
        pause_ns(50000);
    receive_next(&shared->ledger, queue, order, 2 * MILLISECOND);
}

static void register_step(uint32_t number)
{
    struct timespec soon = {0, 1000000};
    sigset_t set;
    int result = mqrs_notify_signal(queue, SIGRTMIN, 0, 0);

    /* Ours is there still, or the one that was alone has one. */
    CHECK(result == 0 || result == -EBUSY);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigtimedwait(&set, NULL, &soon);
    if (number % 3 == 0)
        CHECK_OK(mqrs_notify_cancel(queue));
}

static void create_step(uint32_t number)
{
    const char *name = names[number % NAMES];
    char text[16];
    mqrs_queue *own;
    struct mqrs_options options = {0};
    int result;

    options.maxmsg = 4;
    options.msgsize = sizeof text;
    result = mqrs_open(name, O_RDWR | O_CREAT | (number % 2 ? O_EXCL : 0), &options,
                       sizeof options, &own);
    if (result == 0) {
        result = mqrs_timedsend(own, "x", 1, number % 7, MQRS_NOWAIT);
        CHECK(result == 0 || result == -EAGAIN);
        result = (int)mqrs_timedreceive(own, text, sizeof text, MQRS_NOWAIT, NULL);
        CHECK(result >= 0 || result == -EAGAIN);
        CHECK_OK(mqrs_close(own));
    } else {
        CHECK_EQUAL(-EEXIST, result);
    }
    if (number % 3 == 0) {
        result = mqrs_unlink(name);
        CHECK(result == 0 || result == -ENOENT);
    }
    CHECK_OK(mqrs_close(open_queue(queue_name, O_RDWR)));
}

static void work(uint32_t who)
{
    struct order order = new_order();
    sigset_t set;

    queue = open_queue(queue_name, O_RDWR);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 1);
    CHECK_EQUAL(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
    for (uint32_t number = 0; !__atomic_load_n(&shared->finish, __ATOMIC_ACQUIRE); number++) {
        if (__atomic_load_n(&shared->alone, __ATOMIC_ACQUIRE) == (int32_t)who + 1) {
            be_alone(who, &order);
            __atomic_store_n(&shared->alone, 0, __ATOMIC_RELEASE);
        }
        switch (who) {
        case 0:
        case 1:
            send_step(who);
            break;
        case 2:
        case 3:
            receive_step(&order);
            break;
        case 4:
        case 5:
            send_step(who);
            receive_step(&order);
            break;
        case 6:
            register_step(number);
            break;
        default:
            create_step(number);
        }
    }
    CHECK_OK(mqrs_close(queue));
}

/* ---- Who stops them ------------------------------------------------------------------ */

static void stop_all_but(uint32_t survivor, const pid_t *processes, uint64_t *seed)
{
    uint32_t first = random_number(seed);

    for (uint32_t i = 0; i < PROCESSES; i++) {
        uint32_t who = (first + i) % PROCESSES;
        int status;

        if (who == survivor)
            continue;
        if (random_number(seed) % 2)
            pause_ns(random_number(seed) % 50000);
        SYSTEM(kill(processes[who], SIGSTOP));
        SYSTEM(waitpid(processes[who], &status, WUNTRACED));
        if (!WIFSTOPPED(status))
            FAIL("process %u has ended: 0x%x", who, (unsigned)status);
    }
}

static void stop_again_and_again(uint64_t seed)
{
    pid_t processes[PROCESSES];
    struct order order = new_order();

    printf("  seed %" PRIu64 "\n", seed);
    shared = shared_memory(sizeof *shared);
    strcpy(queue_name, new_name());
    for (int i = 0; i < NAMES; i++)
        strcpy(names[i], new_name());
    queue = create_queue(queue_name, MAXMSG, LEDGER_MSGSIZE, 0);
    for (uint32_t who = 0; who < PROCESSES; who++)
        if ((processes[who] = start_child()) == 0) {
            work(who);
            CHILD_END;
        }
    for (uint32_t rounds = 0; rounds < ROUNDS; rounds++) {
        uint32_t survivor = rounds % PROCESSES;

        __atomic_store_n(&shared->slow, (int32_t)(random_number(&seed) % 3), __ATOMIC_RELAXED);
        pause_ns(random_number(&seed) % 3000000);
        stop_all_but(survivor, processes, &seed);
        __atomic_store_n(&shared->alone, (int32_t)survivor + 1, __ATOMIC_RELEASE);
        while (__atomic_load_n(&shared->alone, __ATOMIC_ACQUIRE) != 0)
            pause_ns(100000);
        for (uint32_t who = 0; who < PROCESSES; who++)
            SYSTEM(kill(processes[who], SIGCONT));
    }
    __atomic_store_n(&shared->finish, 1, __ATOMIC_RELEASE);
    for (uint32_t who = 0; who < PROCESSES; who++)
        JOIN(processes[who]);
    while (receive_next(&shared->ledger, queue, &order, MQRS_NOWAIT))
        ;
    printf("  %u standstills, %u operations alone\n", ROUNDS, shared->operations);
    judge(&shared->ledger, 0);
    CHECK_EQUAL(MAXMSG, fill(queue));
    CHECK_EQUAL(MAXMSG, drain(queue));
    for (int i = 0; i < NAMES; i++)
        mqrs_unlink(names[i]);
    SYSTEM(munmap(shared, sizeof *shared));
    close_and_unlink(queue, queue_name);
}

static void the_one_that_is_not_stopped_goes_on(void)
{
    const char *seconds = getenv("SECONDS");
    int64_t end = now_ns(CLOCK_MONOTONIC) + (seconds ? atoi(seconds) : 0) * SECOND;

    do
        stop_again_and_again((uint64_t)now_ns(CLOCK_REALTIME));
    while (now_ns(CLOCK_MONOTONIC) < end);
}

int main(void)
{
    check_begin();
    RUN(the_one_that_is_not_stopped_goes_on);
    return check_end();
}
