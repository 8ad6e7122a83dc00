/* mqrs_wait: for any number of queues of any transports at once, for messages and for room,
 * until one is ready, the time is up, a call is cancelled or a signal handler runs. */
#include "check.h"
#include <sys/resource.h>

enum { MAXMSG = 2, MSGSIZE = 16, SHM = 0, POSIX = 1, SYSV = 2, TRANSPORTS = 3 };

static const char *const prefixes[] = {"shm:/", "posix:/", "sysv:/"};
static const uint32_t transports[] = {MQRS_SHM, MQRS_POSIX, MQRS_SYSV};

static int is_there(int transport)
{
    struct mqrs_limits limits;

    CHECK_OK(mqrs_getlimits(transports[transport], &limits, sizeof limits));
    return limits.unavailable == 0;
}

/* A queue of this transport, and its address. */
static mqrs_queue *create(int transport, char *address)
{
    mqrs_queue *queue;

    sprintf(address, "%s%s", prefixes[transport], new_name() + 1);
    queue = create_queue(address, MAXMSG, MSGSIZE, 0);
    if (transport == SYSV)
        CHECK_OK(mqrs_set_maxbytes(queue, MAXMSG));
    return queue;
}

/* Some queues, and how they are waited for. */
struct some {
    unsigned count;
    struct mqrs_wait_item items[8];
    char addresses[8][80];
};

static void add(struct some *some, int transport, uint32_t events)
{
    struct mqrs_wait_item *item = &some->items[some->count];

    item->queue = create(transport, some->addresses[some->count]);
    item->events = events;
    item->revents = 77;
    some->count++;
}

static void remove_all(struct some *some)
{
    for (unsigned i = 0; i < some->count; i++)
        close_and_unlink(some->items[i].queue, some->addresses[i]);
    memset(some, 0, sizeof *some);
}

static int wait_for(struct some *some, int64_t timeout)
{
    return mqrs_wait(some->items, sizeof some->items[0], some->count, timeout);
}

/* Each set of transports that there are here, as bits. */
#define FOR_EACH_MIXTURE(mixture) \
    for (int mixture = 1; mixture < 1 << TRANSPORTS; mixture++) if (are_there(mixture))

static int are_there(int mixture)
{
    for (int t = 0; t < TRANSPORTS; t++)
        if ((mixture >> t & 1) && !is_there(t))
            return 0;
    return 1;
}

/* Two queues of each, waited for alike. */
static void add_mixture(struct some *some, int mixture, uint32_t events)
{
    for (int t = 0; t < TRANSPORTS; t++)
        for (int twice = 0; twice < 2 && (mixture >> t & 1); twice++)
            add(some, t, events);
}

static void expect_only(struct some *some, unsigned which, uint32_t revents)
{
    for (unsigned i = 0; i < some->count; i++)
        CHECK_EQUAL(i == which ? revents : 0, some->items[i].revents);
}

/* ---- What is ready ------------------------------------------------------------ */

static void readiness_is_of_messages_and_of_room(void)
{
    for (int t = 0; t < TRANSPORTS; t++) {
        struct some some = {0};

        if (!is_there(t))
            continue;
        add(&some, t, MQRS_READABLE | MQRS_WRITABLE);
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_WRITABLE, some.items[0].revents);
        send_text(some.items[0].queue, "x", 0);
        CHECK_EQUAL(1, wait_for(&some, MQRS_NOWAIT));
        CHECK_EQUAL(MQRS_READABLE | MQRS_WRITABLE, some.items[0].revents);
        send_text(some.items[0].queue, "x", 0);
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_READABLE, some.items[0].revents);
        some.items[0].events = MQRS_WRITABLE;
        CHECK_EQUAL(0, wait_for(&some, MQRS_NOWAIT));
        CHECK_EQUAL(0, some.items[0].revents);
        some.items[0].events = 0;
        CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
        remove_all(&some);
    }
}

static void neither_directions_nor_nonblocking_matter(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};

        add_mixture(&some, mixture, MQRS_READABLE);
        for (unsigned i = 0; i < some.count; i++) {
            mqrs_queue *sender = open_queue(some.addresses[i], O_WRONLY);
            mqrs_queue *whole = some.items[i].queue;

            CHECK_OK(mqrs_set_nonblock(sender, 1));
            some.items[i].queue = sender;
            CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
            send_text(whole, "x", 0);
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            expect_only(&some, i, MQRS_READABLE);
            EXPECT_TEXT(whole, "x", 0);
            some.items[i].queue = whole;
            CHECK_OK(mqrs_close(sender));
        }
        remove_all(&some);
    }
}

static void a_queue_may_be_there_twice(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        mqrs_queue *again;
        pid_t child;

        add_mixture(&some, mixture, MQRS_READABLE);
        /* By the same handle and by another one. */
        again = open_queue(some.addresses[0], O_RDONLY);
        some.items[some.count] = some.items[0];
        some.items[some.count + 1] = some.items[0];
        some.items[some.count + 1].queue = again;
        CHECK_EQUAL(0, mqrs_wait(some.items, sizeof some.items[0], some.count + 2, MILLISECOND));
        child = start_child();
        if (child == 0) {
            wait_until_asleep(getppid());
            send_text(some.items[0].queue, "x", 0);
            CHILD_END;
        }
        CHECK_EQUAL(3, mqrs_wait(some.items, sizeof some.items[0], some.count + 2, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_READABLE, some.items[some.count].revents);
        CHECK_EQUAL(MQRS_READABLE, some.items[some.count + 1].revents);
        JOIN(child);
        CHECK_OK(mqrs_close(again));
        remove_all(&some);
    }
}

/* ---- Sleeping until it is ------------------------------------------------------ */

/* Each queue of each mixture wakes who sleeps for all, from another process: by a message, or
 * by room. */
static void expect_to_be_woken(uint32_t events)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};

        add_mixture(&some, mixture, events);
        for (unsigned i = 0; i < some.count; i++)
            if (events == MQRS_WRITABLE)
                fill(some.items[i].queue);
        for (unsigned i = 0; i < some.count; i++) {
            pid_t child = start_child();

            if (child == 0) {
                mqrs_queue *own = open_queue(some.addresses[i], O_RDWR);

                wait_until_asleep(getppid());
                if (events == MQRS_READABLE)
                    send_text(own, "x", 0);
                else
                    EXPECT_TEXT(own, "x", 0);
                CHILD_END;
            }
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            expect_only(&some, i, events);
            JOIN(child);
            if (events == MQRS_READABLE)
                EXPECT_TEXT(some.items[i].queue, "x", 0);
            else
                send_text(some.items[i].queue, "x", 0);
        }
        remove_all(&some);
    }
}

static void a_message_wakes_who_sleeps_for_several(void)
{
    expect_to_be_woken(MQRS_READABLE);
}

static void room_wakes_who_sleeps_for_several(void)
{
    expect_to_be_woken(MQRS_WRITABLE);
}

/* All of them, though it is one message; and a receiver gets it. */
static void a_message_wakes_all_who_wait_here_and_one_who_receives(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        struct gate seen = new_gate();
        pid_t children[4];

        add_mixture(&some, mixture, MQRS_READABLE);
        for (int i = 0; i < 4; i++)
            if ((children[i] = start_child()) == 0) {
                char buffer[MSGSIZE];

                if (i == 3) {
                    for (int n = 0; n < 3; n++)
                        pass_gate(seen);
                    CHECK_EQUAL(1, mqrs_receive(some.items[0].queue, buffer, MSGSIZE, NULL));
                } else {
                    CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
                    expect_only(&some, 0, MQRS_READABLE);
                    open_gate(seen);
                }
                CHILD_END;
            }
        for (int i = 0; i < 3; i++)
            wait_until_asleep(children[i]);
        send_text(some.items[0].queue, "x", 0);
        for (int i = 0; i < 4; i++)
            JOIN(children[i]);
        remove_gate(seen);
        remove_all(&some);
    }
}

/* Many messages, one after the other: none of them is slept through. */
static void every_one_of_many_messages_is_noticed(void)
{
    enum { ROUNDS = 300 };

    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        mqrs_queue *answers;
        char address[80];
        pid_t child;

        add_mixture(&some, mixture, MQRS_READABLE);
        answers = create(SHM, address);
        if ((child = start_child()) == 0) {
            for (int i = 0; i < ROUNDS; i++) {
                char buffer[MSGSIZE];

                send_text(some.items[(unsigned)i % some.count].queue, "x", 0);
                CHECK_EQUAL(2, mqrs_receive(answers, buffer, MSGSIZE, NULL));
            }
            CHILD_END;
        }
        for (int i = 0; i < ROUNDS; i++) {
            unsigned which = (unsigned)i % some.count;

            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            expect_only(&some, which, MQRS_READABLE);
            EXPECT_TEXT(some.items[which].queue, "x", 0);
            send_text(answers, "ok", 0);
        }
        JOIN(child);
        close_and_unlink(answers, address);
        remove_all(&some);
    }
}

static void unlinked_queues_are_waited_for_as_well(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        pid_t child;

        /* A System V queue is gone then. */
        if (mixture >> SYSV & 1)
            continue;
        add_mixture(&some, mixture, MQRS_READABLE);
        for (unsigned i = 0; i < some.count; i++)
            CHECK_OK(mqrs_unlink(some.addresses[i]));
        if ((child = start_child()) == 0) {
            wait_until_asleep(getppid());
            send_text(some.items[0].queue, "x", 0);
            CHILD_END;
        }
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        expect_only(&some, 0, MQRS_READABLE);
        JOIN(child);
        for (unsigned i = 0; i < some.count; i++)
            CHECK_OK(mqrs_close(some.items[i].queue));
    }
}

/* To be removed is to be ready, for whatever is asked. */
static void a_removed_queue_is_ready(void)
{
    struct some some = {0};
    pid_t child;

    SKIP_IF(!is_there(SYSV), "no System V queues");
    for (int asleep = 0; asleep < 2; asleep++) {
        add(&some, SYSV, MQRS_READABLE);
        add(&some, SHM, MQRS_READABLE);
        if (asleep) {
            if ((child = start_child()) == 0) {
                wait_until_asleep(getppid());
                CHECK_OK(mqrs_unlink(some.addresses[0]));
                CHILD_END;
            }
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            JOIN(child);
        } else {
            CHECK_OK(mqrs_unlink(some.addresses[0]));
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        }
        expect_only(&some, 0, MQRS_READABLE);
        CHECK_OK(mqrs_close(some.items[0].queue));
        close_and_unlink(some.items[1].queue, some.addresses[1]);
        memset(&some, 0, sizeof some);
    }
}

/* So is one that is shut down, in whatever other process. */
static void a_queue_that_is_shut_down_is_ready(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        pid_t child;

        if (!(mixture >> SHM & 1))
            continue;
        add_mixture(&some, mixture, MQRS_READABLE);
        if ((child = start_child()) == 0) {
            wait_until_asleep(getppid());
            CHECK_OK(mqrs_shutdown(some.items[0].queue));
            CHILD_END;
        }
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        expect_only(&some, 0, MQRS_READABLE);
        some.items[0].events = MQRS_READABLE | MQRS_WRITABLE;
        CHECK_EQUAL(1, wait_for(&some, MQRS_NOWAIT));
        expect_only(&some, 0, MQRS_READABLE | MQRS_WRITABLE);
        JOIN(child);
        remove_all(&some);
    }
}

/* A sender that is killed wherever it is: what it has sent is noticed. */
static void what_a_killed_sender_sent_is_noticed(void)
{
    enum { ROUNDS = 6 };
    uint64_t state = 99;

    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};

        add_mixture(&some, mixture, MQRS_READABLE);
        for (int i = 0; i < ROUNDS; i++) {
            mqrs_queue *queue = some.items[(unsigned)i % some.count].queue;
            struct gate begun = new_gate();
            pid_t child = start_child();

            if (child == 0) {
                char buffer[MSGSIZE];

                send_text(queue, "x", 0);
                open_gate(begun);
                for (;;) {
                    CHECK_OK(mqrs_send(queue, "x", 1, 0));
                    CHECK_OK(mqrs_receive(queue, buffer, MSGSIZE, NULL));
                }
            }
            pass_gate(begun);
            for (uint32_t n = random_number(&state) % 300; n > 0; n--)
                sched_yield();
            kill_child(child);
            while (drain(queue) > 0)
                ;
            /* The next one comes after whatever the dead has left undone. */
            if ((child = start_child()) == 0) {
                wait_until_asleep(getppid());
                send_text(queue, "x", 0);
                CHILD_END;
            }
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            JOIN(child);
            EXPECT_TEXT(queue, "x", 0);
            remove_gate(begun);
        }
        remove_all(&some);
    }
}

/* ---- Ends without one ---------------------------------------------------------- */

static void the_timeout_is_the_calls_own(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        int64_t begin = now_ns(CLOCK_MONOTONIC);

        add_mixture(&some, mixture, MQRS_READABLE);
        CHECK_EQUAL(0, wait_for(&some, 30 * MILLISECOND));
        CHECK(now_ns(CLOCK_MONOTONIC) - begin >= 30 * MILLISECOND);
        for (unsigned i = 0; i < some.count; i++)
            CHECK_EQUAL(0, some.items[i].revents);
        remove_all(&some);
    }
}

static void to_wait_for_nothing_is_to_sleep(void)
{
    struct mqrs_wait_item nothing[2] = {{NULL, MQRS_READABLE, 5}, {NULL, 0, 5}};
    int64_t begin = now_ns(CLOCK_MONOTONIC);

    CHECK_EQUAL(0, mqrs_wait(NULL, sizeof nothing[0], 0, 10 * MILLISECOND));
    CHECK_EQUAL(0, mqrs_wait(nothing, sizeof nothing[0], 2, 10 * MILLISECOND));
    CHECK(now_ns(CLOCK_MONOTONIC) - begin >= 20 * MILLISECOND);
    CHECK_EQUAL(0, nothing[0].revents);
    CHECK_EQUAL(0, nothing[1].revents);
}

struct waiter {
    struct some *some;
    pid_t id;
    int result;
};

static void *run_waiter(void *argument)
{
    struct waiter *waiter = argument;

    __atomic_store_n(&waiter->id, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    waiter->result = wait_for(waiter->some, MQRS_FOREVER);
    return NULL;
}

/* To cancel one of them ends the whole call, and writes nothing. */
static void a_cancel_of_one_queue_ends_the_wait(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};

        add_mixture(&some, mixture, MQRS_READABLE);
        for (unsigned i = 0; i < some.count; i++) {
            struct waiter waiter = {&some, 0, 0};
            pthread_t thread;
            pid_t id;

            some.items[i].revents = 77;
            CHECK_EQUAL(0, pthread_create(&thread, NULL, run_waiter, &waiter));
            while ((id = __atomic_load_n(&waiter.id, __ATOMIC_SEQ_CST)) == 0)
                sched_yield();
            wait_until_asleep(id);
            CHECK_OK(mqrs_cancel(some.items[i].queue));
            CHECK_EQUAL(0, pthread_join(thread, NULL));
            CHECK_EQUAL(-ECANCELED, waiter.result);
            CHECK_EQUAL(77, some.items[i].revents);
        }
        remove_all(&some);
    }
}

static void do_nothing(int signo)
{
    (void)signo;
}

static void handle_signals(int flags)
{
    struct sigaction action = {0};

    action.sa_handler = do_nothing;
    action.sa_flags = flags;
    SYSTEM(sigaction(SIGUSR1, &action, NULL));
}

static void signal_until_ended(pid_t child)
{
    const struct timespec pause = {0, 500000};
    siginfo_t ended = {0};

    while (ended.si_pid != child) {
        if (is_asleep(child))
            SYSTEM(kill(child, SIGUSR1));
        nanosleep(&pause, NULL);
        SYSTEM(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT));
    }
    JOIN(child);
}

static void a_signal_handler_ends_the_wait(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        pid_t child;

        add_mixture(&some, mixture, MQRS_READABLE);
        if ((child = start_child()) == 0) {
            handle_signals(0);
            CHECK_ERROR(EINTR, wait_for(&some, MQRS_FOREVER));
            CHECK_EQUAL(77, some.items[0].revents);
            CHILD_END;
        }
        signal_until_ended(child);
        remove_all(&some);
    }
}

static void a_signal_handler_ends_a_wait_for_nothing(void)
{
    pid_t child = start_child();

    if (child == 0) {
        handle_signals(SA_RESTART);
        CHECK_ERROR(EINTR, mqrs_wait(NULL, sizeof(struct mqrs_wait_item), 0, MQRS_FOREVER));
        CHILD_END;
    }
    signal_until_ended(child);
}

/* If all queues have MQRS_OPT_RESTART, and not if one lacks it. */
static void with_opt_restart_the_wait_goes_on(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        pid_t child;

        add_mixture(&some, mixture, MQRS_READABLE);
        if ((child = start_child()) == 0) {
            struct mqrs_options options = {0};
            mqrs_queue *plain = some.items[0].queue;

            options.flags = MQRS_OPT_RESTART;
            handle_signals(0);
            for (unsigned i = 0; i < some.count; i++)
                CHECK_OK(mqrs_open(some.addresses[i], O_RDWR, &options, sizeof options,
                                   &some.items[i].queue));
            CHECK_EQUAL(0, wait_for(&some, 100 * MILLISECOND));
            some.items[0].queue = plain;
            CHECK_ERROR(EINTR, wait_for(&some, MQRS_FOREVER));
            CHILD_END;
        }
        signal_until_ended(child);
        remove_all(&some);
    }
}

static void arguments_are_checked_before_anything_else(void)
{
    struct some some = {0};
    char larger[2 * sizeof(struct mqrs_wait_item)] = {0};

    add(&some, SHM, MQRS_WRITABLE);
    CHECK_ERROR(EINVAL, wait_for(&some, -2));
    CHECK_ERROR(EINVAL, mqrs_wait(some.items, sizeof some.items[0] - 1, 1, 0));
    CHECK_ERROR(EINVAL, mqrs_wait(some.items, sizeof some.items[0] + 1, 1, 0));
    CHECK_ERROR(EFAULT, mqrs_wait(NULL, sizeof some.items[0], 1, 0));
    CHECK_ERROR(EBADF, mqrs_wait(&(struct mqrs_wait_item){(mqrs_queue *)8, 0, 0},
                                 sizeof some.items[0], 1, 0));
    some.items[0].events = 4;
    CHECK_ERROR(EINVAL, wait_for(&some, 0));
    CHECK_EQUAL(77, some.items[0].revents);
    some.items[0].events = MQRS_WRITABLE;
    memcpy(larger, some.items, sizeof some.items[0]);
    CHECK_EQUAL(1, mqrs_wait((void *)larger, sizeof larger, 1, 0));
    larger[sizeof larger - 1] = 1;
    CHECK_ERROR(E2BIG, mqrs_wait((void *)larger, sizeof larger, 1, 0));
    remove_all(&some);
}

/* ---- Many, and little to do it with ------------------------------------------- */

enum { MANY = 1000 };

static void a_thousand_queues_are_waited_for(void)
{
    static struct mqrs_wait_item items[MANY];
    struct rlimit limit;
    static char addresses[MANY][64];

    SYSTEM(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur < MANY + 100)
        limit.rlim_cur = limit.rlim_max;
    SYSTEM(setrlimit(RLIMIT_NOFILE, &limit));
    SKIP_IF(limit.rlim_cur < MANY + 100, "RLIMIT_NOFILE is too low");
    for (int i = 0; i < MANY; i++) {
        strcpy(addresses[i], new_name());
        items[i].queue = create_queue(addresses[i], MAXMSG, MSGSIZE, 0);
        items[i].events = MQRS_READABLE;
    }
    CHECK_EQUAL(0, mqrs_wait(items, sizeof items[0], MANY, 20 * MILLISECOND));
    for (int which = 0; which < MANY; which += MANY / 3) {
        pid_t child = start_child();

        if (child == 0) {
            wait_until_asleep(getppid());
            send_text(items[which].queue, "x", 0);
            CHILD_END;
        }
        CHECK_EQUAL(1, mqrs_wait(items, sizeof items[0], MANY, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_READABLE, items[which].revents);
        JOIN(child);
        EXPECT_TEXT(items[which].queue, "x", 0);
    }
    for (int i = 0; i < MANY; i++)
        close_and_unlink(items[i].queue, addresses[i]);
}

/* ppoll(2) refuses them all at once. */
static void more_queues_than_descriptors_are_allowed_now_are_waited_for(void)
{
    struct some some = {0};
    struct rlimit limit, low;
    pid_t child;

    SKIP_IF(!is_there(POSIX), "no POSIX queues");
    for (int i = 0; i < 6; i++)
        add(&some, POSIX, MQRS_READABLE);
    SYSTEM(getrlimit(RLIMIT_NOFILE, &limit));
    low = limit;
    low.rlim_cur = 3;
    child = start_child();
    if (child == 0) {
        wait_until_asleep(getppid());
        send_text(some.items[5].queue, "x", 0);
        CHILD_END;
    }
    SYSTEM(setrlimit(RLIMIT_NOFILE, &low));
    CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
    SYSTEM(setrlimit(RLIMIT_NOFILE, &limit));
    expect_only(&some, 5, MQRS_READABLE);
    JOIN(child);
    remove_all(&some);
}

/* What a wait keeps for the next one is little, and the same after many. */
static void waits_leave_no_descriptors_behind(void)
{
    struct some some = {0};
    unsigned before;

    SKIP_IF(!is_there(POSIX), "no POSIX queues");
    add(&some, SHM, MQRS_READABLE);
    add(&some, POSIX, MQRS_READABLE);
    CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
    before = count_descriptors();
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
    CHECK_EQUAL(before, count_descriptors());
    remove_all(&some);
}

/* A program that closes all descriptors has closed what was kept, and the number is another's;
 * a child has what its parent keeps. */
static void what_was_kept_may_be_another_s_meanwhile(void)
{
    struct some some = {0};
    pid_t child;

    SKIP_IF(!is_there(POSIX), "no POSIX queues");
    add(&some, SHM, MQRS_READABLE);
    add(&some, POSIX, MQRS_READABLE);
    CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
    for (int children = 0; children < 2; children++) {
        if ((child = start_child()) == 0) {
            char link[64], path[64];

            CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
            if (children == 1)
                for (int fd = 3; fd < 64; fd++) {
                    ssize_t len;

                    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                    len = readlink(path, link, sizeof link - 1);
                    link[len > 0 ? len : 0] = 0;
                    if (strstr(link, "inotify") == NULL)
                        continue;
                    close(fd);
                    SYSTEM(open("/dev/zero", O_RDONLY | O_CLOEXEC));
                }
            wait_until_asleep(getppid());
            send_text(some.items[0].queue, "x", 0);
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            CHILD_END;
        }
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        JOIN(child);
        EXPECT_TEXT(some.items[0].queue, "x", 0);
    }
    remove_all(&some);
}

int main(void)
{
    check_begin();
    RUN(readiness_is_of_messages_and_of_room);
    RUN(neither_directions_nor_nonblocking_matter);
    RUN(a_queue_may_be_there_twice);
    RUN(a_message_wakes_who_sleeps_for_several);
    RUN(room_wakes_who_sleeps_for_several);
    RUN(a_message_wakes_all_who_wait_here_and_one_who_receives);
    RUN(every_one_of_many_messages_is_noticed);
    RUN(unlinked_queues_are_waited_for_as_well);
    RUN(a_removed_queue_is_ready);
    RUN(a_queue_that_is_shut_down_is_ready);
    RUN(what_a_killed_sender_sent_is_noticed);
    RUN(the_timeout_is_the_calls_own);
    RUN(to_wait_for_nothing_is_to_sleep);
    RUN(a_cancel_of_one_queue_ends_the_wait);
    RUN(a_signal_handler_ends_the_wait);
    RUN(a_signal_handler_ends_a_wait_for_nothing);
    RUN(with_opt_restart_the_wait_goes_on);
    RUN(arguments_are_checked_before_anything_else);
    RUN(a_thousand_queues_are_waited_for);
    RUN(more_queues_than_descriptors_are_allowed_now_are_waited_for);
    RUN(waits_leave_no_descriptors_behind);
    RUN(what_was_kept_may_be_another_s_meanwhile);
    return check_end();
}
