/* A signal handler uses the handle that its thread is just using, by every call that a handler
 * may make: no deadlock, and every message and every slot is accounted for. */
#include "check.h"
#include <sys/time.h>

enum { MESSAGES = 300000, ROUNDS = 400000, MAIN = 0, HANDLER = 1 };

struct message {
    uint32_t sender, number;
};

static mqrs_queue *queue;
static uint32_t priorities;
static uint32_t sent[2], received[2];
static unsigned char seen[2][MESSAGES];
static int bad_result, handler_calls;

/* Safe in a handler: results are judged later. */
static void send_one(int who)
{
    struct message message = {(uint32_t)who, sent[who]};
    int result;

    if (sent[who] == MESSAGES)
        return;
    result = mqrs_timedsend(queue, &message, sizeof message, sent[who] % priorities, MQRS_NOWAIT);
    if (result == 0)
        sent[who]++;
    else if (result != -EAGAIN)
        bad_result = result;
}

static void receive_one(int who)
{
    struct message message;
    ssize_t result = mqrs_timedreceive(queue, &message, sizeof message, MQRS_NOWAIT, NULL);

    if (result == sizeof message && message.sender < 2 && message.number < MESSAGES) {
        __atomic_fetch_add(&seen[message.sender][message.number], 1, __ATOMIC_RELAXED);
        received[who]++;
    } else if (result != -EAGAIN) {
        bad_result = result < 0 ? (int)result : -EILSEQ;
    }
}

static void note(ssize_t result)
{
    if (result < 0 && result != -EAGAIN && result != -ENOBUFS)
        bad_result = (int)result;
}

static void note_received(int who, const struct message *message, ssize_t len)
{
    if (len == sizeof *message && message->sender < 2 && message->number < MESSAGES) {
        __atomic_fetch_add(&seen[message->sender][message->number], 1, __ATOMIC_RELAXED);
        received[who]++;
    } else {
        bad_result = -EILSEQ;
    }
}

/* Each sends and receives in place and gives back unused, looks, drops, and ends waits. */
static void send_in_place(int who)
{
    struct message message = {(uint32_t)who, sent[who]};
    void *slot;
    int result = mqrs_reserve(queue, sizeof message, MQRS_NOWAIT, &slot);

    note(result);
    if (result != 0)
        return;
    memcpy(slot, &message, sizeof message);
    if (sent[who] % 5 != 0 && sent[who] < MESSAGES) {
        result = mqrs_timedcommit(queue, slot, sizeof message, sent[who] % priorities, MQRS_NOWAIT);
        note(result);
        if (result == 0) {
            sent[who]++;
            return;
        }
    }
    note(mqrs_abort(queue, slot));
}

static void receive_in_place(int who, int round)
{
    struct message message;
    const void *data;
    ssize_t len = mqrs_acquire(queue, MQRS_NOWAIT, &data, NULL);

    note(len);
    if (len < 0)
        return;
    if (round % 3 == 0) {
        int result = mqrs_requeue(queue, data);

        note(result);
        if (result == 0)
            return;
    }
    memcpy(&message, data, sizeof message);
    note(mqrs_release(queue, data));
    note_received(who, &message, len);
}

static void send_dropping(int who)
{
    struct message body = {(uint32_t)who, sent[who]};
    struct mqrs_msg message = {0};
    int result;

    if (sent[who] == MESSAGES)
        return;
    message.data = &body;
    message.len = sizeof body;
    message.prio = sent[who] % priorities;
    result = mqrs_sendmsg(queue, &message, sizeof message, MQRS_SEND_DROP_OLDEST, MQRS_NOWAIT);
    note(result);
    sent[who] += result == 0;
}

static void look(void)
{
    struct message body;
    struct mqrs_msg message = {0};

    message.data = &body;
    message.cap = sizeof body;
    for (int i = 0; i < 3; i++) {
        ssize_t len = mqrs_recvmsg(queue, &message, sizeof message, MQRS_RECV_PEEK, MQRS_NOWAIT);

        note(len);
        if (len < 0)
            return;
        if (len != sizeof body || body.sender > 1 || body.number >= MESSAGES)
            bad_result = -EILSEQ;
    }
}

static void do_everything(int who, int round)
{
    send_in_place(who);
    if (round % 2)
        receive_in_place(who, round);
    look();
    if (round % 4 == 0)
        send_dropping(who);
    if (round % 3)
        receive_one(who);
}

static void handle_alarm_by_everything(int signo)
{
    int before = errno;

    (void)signo;
    handler_calls++;
    note(mqrs_set_cancelled(queue, 1));
    do_everything(HANDLER, handler_calls);
    note(mqrs_set_cancelled(queue, 0));
    note(mqrs_cancel(queue));
    errno = before;
}

static void handle_alarm(int signo)
{
    int before = errno;

    (void)signo;
    handler_calls++;
    send_one(HANDLER);
    send_one(HANDLER);
    receive_one(HANDLER);
    receive_one(HANDLER);
    receive_one(HANDLER);
    errno = before;
}

static void set_timer(long microseconds)
{
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};

    SYSTEM(setitimer(ITIMER_REAL, &timer, NULL));
}

static void begin_alarms(void (*handler)(int))
{
    struct sigaction action = {0};

    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    SYSTEM(sigaction(SIGALRM, &action, NULL));
    set_timer(100);
}

/* The handler does not run any more. A signal that is pending would still make it run, at
 * once in a process on its own, much later in one that valgrind runs. */
static void end_alarms(void)
{
    set_timer(0);
    CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR);
}

static void interrupt_with_calls(uint32_t priorities_used)
{
    const char *name = new_name();

    queue = create_queue(name, 12, sizeof(struct message), 0);
    priorities = priorities_used;
    memset(sent, 0, sizeof sent);
    memset(received, 0, sizeof received);
    memset(seen, 0, sizeof seen);
    bad_result = handler_calls = 0;

    begin_alarms(handle_alarm);
    for (int round = 0; round < ROUNDS && bad_result == 0; round++) {
        send_one(MAIN);
        if (round % 3)
            receive_one(MAIN);
    }
    end_alarms();
    while (received[MAIN] + received[HANDLER] < sent[MAIN] + sent[HANDLER] && bad_result == 0) {
        uint32_t before = received[MAIN];

        receive_one(MAIN);
        CHECK_EQUAL(before + 1, received[MAIN]);
    }

    CHECK_EQUAL(0, bad_result);
    CHECK_EQUAL(0, messages_in(queue));
    for (int who = 0; who < 2; who++)
        for (uint32_t number = 0; number < MESSAGES; number++)
            CHECK_EQUAL(number < sent[who], seen[who][number]);
    printf("  %d handlers, %u + %u messages\n", handler_calls, sent[MAIN], sent[HANDLER]);
    CHECK(handler_calls > 0 && sent[HANDLER] > 0 && received[HANDLER] > 0);
    CHECK_EQUAL(12, fill(queue));
    close_and_unlink(queue, name);
}

static void a_handler_interrupts_calls_of_one_priority(void)
{
    interrupt_with_calls(1);
}

static void a_handler_interrupts_calls_of_several_priorities(void)
{
    interrupt_with_calls(7);
}

static size_t reserve_all(void)
{
    void *slots[64];
    size_t count = 0;

    while (count < 64 && mqrs_reserve(queue, 1, MQRS_NOWAIT, &slots[count]) == 0)
        count++;
    for (size_t i = 0; i < count; i++)
        CHECK_OK(mqrs_abort(queue, slots[i]));
    return count;
}

static void interrupt_with_everything(uint32_t priorities_used)
{
    const char *name = new_name();
    struct mqrs_stats stats;
    size_t slots;
    uint64_t counted = 0;

    queue = create_queue(name, 12, sizeof(struct message), 0);
    slots = reserve_all();
    priorities = priorities_used;
    memset(sent, 0, sizeof sent);
    memset(received, 0, sizeof received);
    memset(seen, 0, sizeof seen);
    bad_result = handler_calls = 0;

    begin_alarms(handle_alarm_by_everything);
    for (int round = 0; round < ROUNDS / 4 && bad_result == 0; round++)
        do_everything(MAIN, round);
    end_alarms();
    while (messages_in(queue) > 0 && bad_result == 0)
        receive_one(MAIN);

    CHECK_EQUAL(0, bad_result);
    for (int who = 0; who < 2; who++) {
        for (uint32_t number = 0; number < MESSAGES; number++) {
            CHECK(seen[who][number] <= (number < sent[who]));
            counted += seen[who][number];
        }
    }
    CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    CHECK_EQUAL(sent[MAIN] + sent[HANDLER], counted + stats.dropped);
    CHECK_EQUAL(received[MAIN] + received[HANDLER], counted);
    printf("  %d handlers, %u + %u messages, %lu dropped\n", handler_calls, sent[MAIN],
           sent[HANDLER], (unsigned long)stats.dropped);
    CHECK(handler_calls > 0 && sent[HANDLER] > 0 && received[HANDLER] > 0 && stats.dropped > 0);
    CHECK_EQUAL(slots, reserve_all());
    CHECK_EQUAL(12, fill(queue));
    close_and_unlink(queue, name);
}

static void a_handler_does_everything_in_the_midst_of_everything(void)
{
    interrupt_with_everything(1);
}

static void a_handler_does_everything_with_several_priorities(void)
{
    interrupt_with_everything(7);
}

static void handle_alarm_by_shutdown(int signo)
{
    (void)signo;
    handler_calls++;
    note(mqrs_shutdown(queue));
}

/* Wherever in a send or a receive it comes: what was sent before is there. */
static void a_handler_shuts_down_in_the_midst_of_a_send(void)
{
    struct sigaction action = {0};

    action.sa_handler = handle_alarm_by_shutdown;
    SYSTEM(sigaction(SIGALRM, &action, NULL));
    bad_result = 0;
    for (long round = 0; round < 500; round++) {
        const char *name = new_name();
        struct itimerval once = {{0, 0}, {0, 20 + round % 50}};
        int messages = 0, result;
        char buffer[8];

        queue = create_queue(name, 12, 8, 0);
        handler_calls = 0;
        SYSTEM(setitimer(ITIMER_REAL, &once, NULL));
        do {
            result = mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT);
            messages += result == 0;
            if (result == -EAGAIN)
                messages -= mqrs_timedreceive(queue, buffer, 8, MQRS_NOWAIT, NULL) == 1;
        } while (result == 0 || result == -EAGAIN);
        CHECK_ERROR(EPIPE, result);
        CHECK_EQUAL(1, handler_calls);
        while (mqrs_timedreceive(queue, buffer, 8, MQRS_NOWAIT, NULL) == 1)
            messages--;
        CHECK_EQUAL(0, messages);
        close_and_unlink(queue, name);
    }
    CHECK_EQUAL(0, bad_result);
}

static void get_actions(struct sigaction (*actions)[65])
{
    memset(actions, 0, sizeof *actions);
    for (int signo = 1; signo < 65; signo++)
        sigaction(signo, NULL, &(*actions)[signo]);
}

static void ignore_call(mqrs_queue *q, void *user)
{
    (void)q;
    (void)user;
}

/* What signals do to the program is the program's alone, whatever it calls. */
static void the_library_leaves_handlers_and_masks_alone(void)
{
    struct sigaction before[65], after[65];
    const char *name = new_name();
    sigset_t mask_before, mask_after;
    char buffer[16];

    get_actions(&before);
    CHECK_EQUAL(0, pthread_sigmask(SIG_BLOCK, NULL, &mask_before));
    queue = create_queue(name, 4, 16, 0);
    CHECK_EQUAL(4, fill(queue));
    CHECK_ERROR(ETIMEDOUT, mqrs_timedsend(queue, "x", 1, 0, MILLISECOND));
    CHECK_EQUAL(4, drain(queue));
    CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(queue, buffer, 16, MILLISECOND, NULL));
    CHECK_OK(mqrs_notify_callback(queue, ignore_call, NULL, 0));
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_OK(mqrs_notify_signal(queue, SIGUSR2, 0, 0));
    close_and_unlink(queue, name);
    get_actions(&after);
    CHECK_EQUAL(0, pthread_sigmask(SIG_BLOCK, NULL, &mask_after));
    for (int signo = 1; signo < 65; signo++) {
        CHECK(before[signo].sa_sigaction == after[signo].sa_sigaction);
        CHECK_EQUAL(before[signo].sa_flags, after[signo].sa_flags);
        CHECK_EQUAL(sigismember(&mask_before, signo), sigismember(&mask_after, signo));
    }
}

int main(void)
{
    check_begin();
    RUN(the_library_leaves_handlers_and_masks_alone);
    RUN(a_handler_interrupts_calls_of_one_priority);
    RUN(a_handler_interrupts_calls_of_several_priorities);
    RUN(a_handler_does_everything_in_the_midst_of_everything);
    RUN(a_handler_does_everything_with_several_priorities);
    RUN(a_handler_shuts_down_in_the_midst_of_a_send);
    return check_end();
}
