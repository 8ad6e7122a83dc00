/* A signal handler sends and receives on the handle that its thread is just using: no
 * deadlock, and every message is accounted for. */
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

static void interrupt_with_calls(uint32_t priorities_used)
{
    const char *name = new_name();
    struct sigaction action = {0};

    queue = create_queue(name, 12, sizeof(struct message), 0);
    priorities = priorities_used;
    memset(sent, 0, sizeof sent);
    memset(received, 0, sizeof received);
    memset(seen, 0, sizeof seen);
    bad_result = handler_calls = 0;

    action.sa_handler = handle_alarm;
    action.sa_flags = SA_RESTART;
    SYSTEM(sigaction(SIGALRM, &action, NULL));
    set_timer(100);
    for (int round = 0; round < ROUNDS && bad_result == 0; round++) {
        send_one(MAIN);
        if (round % 3)
            receive_one(MAIN);
    }
    set_timer(0);
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
    return check_end();
}
