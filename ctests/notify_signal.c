/* A signal comes when a message arrives on the empty queue: once, with the sender's
 * identity and the value of the registration. */
#include "check.h"
#include <sys/resource.h>

static void the_signal_tells_sender_and_value(void)
{
    static const intptr_t values[] = {0, 1, -1, 4711, INT_MAX, INT_MIN, INTPTR_MAX, INTPTR_MIN};
    const int signals[] = {SIGUSR1, SIGRTMIN + 3, SIGRTMAX};
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        block_signal(signals[i]);
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            siginfo_t info;

            CHECK_OK(mqrs_notify_signal(queue, signals[i], values[j], 0));
            send_text(queue, "x", 0);
            info = take_signal(signals[i]);
            CHECK_EQUAL(SI_MESGQ, info.si_code);
            CHECK_EQUAL(getpid(), info.si_pid);
            CHECK_EQUAL(getuid(), info.si_uid);
            CHECK_EQUAL(values[j], (intptr_t)info.si_value.sival_ptr);
            if (values[j] >= INT_MIN && values[j] <= INT_MAX)
                CHECK_EQUAL(values[j], info.si_value.sival_int);
            EXPECT_TEXT(queue, "x", 0);
        }
    }
    close_and_unlink(queue, name);
}

static volatile sig_atomic_t handled, handled_code, handled_value;

static void handle(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    handled_code = info->si_code;
    handled_value = info->si_value.sival_int;
    handled = 1;
}

static void a_handler_is_run_for_it(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    struct sigaction action = {0};
    sigset_t blocked, before;

    action.sa_sigaction = handle;
    action.sa_flags = SA_SIGINFO;
    SYSTEM(sigaction(SIGUSR2, &action, NULL));
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    CHECK_EQUAL(0, pthread_sigmask(SIG_BLOCK, &blocked, &before));
    CHECK_OK(mqrs_notify_signal(queue, SIGUSR2, 31, 0));
    send_text(queue, "x", 0);
    while (!handled)
        sigsuspend(&before);
    CHECK_EQUAL(SI_MESGQ, handled_code);
    CHECK_EQUAL(31, handled_value);
    CHECK_EQUAL(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
    close_and_unlink(queue, name);
}

static struct gate tried;

static void open_the_gate(mqrs_queue *queue, void *gate)
{
    (void)queue;
    open_gate(*(struct gate *)gate);
}

/* Realtime signals are queued: one too many would come first, with the older value. */
static void it_comes_once_for_each_registration(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    block_signal(SIGRTMIN);
    for (int round = 0; round < 300; round++) {
        CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 2 * round, 0));
        send_text(queue, "first", 0);
        EXPECT_TEXT(queue, "first", 0);
        /* Used up: this one is not told. */
        send_text(queue, "second", 0);
        EXPECT_TEXT(queue, "second", 0);
        CHECK_EQUAL(2 * round, (intptr_t)take_signal(SIGRTMIN).si_value.sival_ptr);
    }
    close_and_unlink(queue, name);
}

static void signal_zero_takes_the_registration_and_sends_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, 0, 99, 0));
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 1, 0));
    send_text(queue, "x", 0);
    EXPECT_TEXT(queue, "x", 0);
    /* Used up without a sound. */
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 2, 0));
    send_text(queue, "x", 0);
    CHECK_EQUAL(2, (intptr_t)take_signal(SIGRTMIN).si_value.sival_ptr);
    close_and_unlink(queue, name);
}

/* More signals are pending than the process may have: this one comes when there is room. */
static void a_signal_without_room_comes_later(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    struct rlimit before;

    block_signal(SIGRTMIN);
    SYSTEM(getrlimit(RLIMIT_SIGPENDING, &before));
    SYSTEM(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){0, before.rlim_max}));
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 47, 0));
    send_text(queue, "x", 0);
    /* A callback that is served after it shows that it has been tried. */
    CHECK_OK(mqrs_notify_callback(queue, open_the_gate, &tried, 0));
    EXPECT_TEXT(queue, "x", 0);
    send_text(queue, "x", 0);
    pass_gate(tried);
    SYSTEM(setrlimit(RLIMIT_SIGPENDING, &before));
    CHECK_EQUAL(47, (intptr_t)take_signal(SIGRTMIN).si_value.sival_ptr);
    close_and_unlink(queue, name);
}

static void queues_have_registrations_of_their_own(void)
{
    enum { QUEUES = 20 };
    const char *names[QUEUES];
    mqrs_queue *queues[QUEUES];
    char text[QUEUES][32];
    unsigned came = 0;

    block_signal(SIGRTMIN);
    for (int i = 0; i < QUEUES; i++) {
        snprintf(text[i], sizeof text[i], "/many-%d", i);
        names[i] = text[i];
        queues[i] = create_queue(names[i], 4, 16, 0);
        CHECK_OK(mqrs_notify_signal(queues[i], SIGRTMIN, i, 0));
    }
    for (int i = 0; i < QUEUES; i++)
        send_text(queues[i], "x", 0);
    for (int i = 0; i < QUEUES; i++)
        came |= 1u << (intptr_t)take_signal(SIGRTMIN).si_value.sival_ptr;
    CHECK_EQUAL((1u << QUEUES) - 1, came);
    for (int i = 0; i < QUEUES; i++)
        close_and_unlink(queues[i], names[i]);
}

int main(void)
{
    check_begin();
    RUN(the_signal_tells_sender_and_value);
    RUN(a_handler_is_run_for_it);
    RUN(it_comes_once_for_each_registration);
    RUN(signal_zero_takes_the_registration_and_sends_nothing);
    tried = new_gate();
    RUN(a_signal_without_room_comes_later);
    RUN(queues_have_registrations_of_their_own);
    return check_end();
}
