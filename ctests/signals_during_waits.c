/* What a signal handler does to a call that sleeps: without SA_RESTART it ends with EINTR,
 * with SA_RESTART or MQRS_OPT_RESTART it goes on towards the same deadline. Either way
 * nothing is sent or received by it. */
#include "check.h"

enum form { RECEIVE, TIMEDRECEIVE, RECEIVE_UNTIL, SEND, TIMEDSEND, SEND_UNTIL, FORMS };

#define FIRST_SEND SEND

static int *handled;

static void count_signal(int signo)
{
    (void)signo;
    __atomic_add_fetch(handled, 1, __ATOMIC_SEQ_CST);
}

static void handle_signal(int flags)
{
    struct sigaction action = {0};

    action.sa_handler = count_signal;
    action.sa_flags = flags;
    SYSTEM(sigaction(SIGUSR1, &action, NULL));
}

/* The call under test; it waits at most this long where it has a timeout or deadline. */
static int64_t call(enum form form, mqrs_queue *queue, int64_t timeout)
{
    char buffer[16];
    int64_t deadline = now_ns(CLOCK_REALTIME) + timeout;

    switch (form) {
    case RECEIVE:
        return mqrs_receive(queue, buffer, 16, NULL);
    case TIMEDRECEIVE:
        return mqrs_timedreceive(queue, buffer, 16, timeout, NULL);
    case RECEIVE_UNTIL:
        return mqrs_receive_until(queue, buffer, 16, CLOCK_REALTIME, deadline, NULL);
    case SEND:
        return mqrs_send(queue, "sent", 4, 0);
    case TIMEDSEND:
        return mqrs_timedsend(queue, "sent", 4, 0, timeout);
    default:
        return mqrs_send_until(queue, "sent", 4, 0, CLOCK_REALTIME, deadline);
    }
}

static int has_a_timeout(enum form form)
{
    return form != RECEIVE && form != SEND;
}

/* A queue on which this form waits: of one message, full for a send, empty for a receive. */
static mqrs_queue *queue_that_makes_wait(enum form form, const char *name)
{
    mqrs_queue *queue = create_queue(name, 1, 16, 0);

    if (form >= FIRST_SEND)
        send_text(queue, "first", 0);
    return queue;
}

/* The interrupted or expired call has left the queue as it was. */
static void expect_unchanged(enum form form, mqrs_queue *queue)
{
    if (form >= FIRST_SEND)
        EXPECT_TEXT(queue, "first", 0);
    CHECK_EQUAL(0, messages_in(queue));
}

static mqrs_queue *open_with_flags(const char *name, uint64_t option_flags)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue;

    options.flags = option_flags;
    CHECK_OK(mqrs_open(name, O_RDWR, &options, sizeof options, &queue));
    return queue;
}

/* Send a signal whenever the child sleeps, until it has ended. A signal may meet it awake
 * between two slices of its sleep and then goes unnoticed; the next one will not. */
static void signal_until_ended(pid_t child)
{
    const struct timespec pause = {0, 500000};
    siginfo_t ended = {0};

    for (;;) {
        SYSTEM(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT));
        if (ended.si_pid == child)
            break;
        if (is_asleep(child))
            SYSTEM(kill(child, SIGUSR1));
        nanosleep(&pause, NULL);
    }
    JOIN(child);
}

static void without_sa_restart_the_call_ends_with_eintr(void)
{
    for (enum form form = 0; form < FORMS; form++) {
        const char *name = new_name();
        mqrs_queue *queue = queue_that_makes_wait(form, name);
        pid_t child = start_child();

        if (child == 0) {
            mqrs_queue *own = open_with_flags(name, 0);

            *handled = 0;
            handle_signal(0);
            CHECK_ERROR(EINTR, call(form, own, 1000 * SECOND));
            CHECK(*handled > 0);
            CHILD_END;
        }
        signal_until_ended(child);
        expect_unchanged(form, queue);
        close_and_unlink(queue, name);
    }
}

/* Many signals interrupt the sleep, then the call succeeds. */
static void expect_going_on(int action_flags, uint64_t option_flags)
{
    enum { SIGNALS = 10 };

    for (enum form form = 0; form < FORMS; form++) {
        const char *name = new_name();
        mqrs_queue *queue = queue_that_makes_wait(form, name);
        pid_t child;

        *handled = 0;
        if ((child = start_child()) == 0) {
            mqrs_queue *own = open_with_flags(name, option_flags);

            handle_signal(action_flags);
            CHECK_EQUAL(form >= FIRST_SEND ? 0 : 5, call(form, own, 1000 * SECOND));
            CHILD_END;
        }
        for (int i = 0; i < SIGNALS; i++) {
            wait_until_asleep(child);
            SYSTEM(kill(child, SIGUSR1));
            while (__atomic_load_n(handled, __ATOMIC_SEQ_CST) <= i)
                sched_yield();
        }
        wait_until_asleep(child);
        if (form >= FIRST_SEND)
            EXPECT_TEXT(queue, "first", 0);
        else
            send_text(queue, "first", 0);
        JOIN(child);
        if (form >= FIRST_SEND)
            EXPECT_TEXT(queue, "sent", 0);
        CHECK_EQUAL(0, messages_in(queue));
        close_and_unlink(queue, name);
    }
}

/* Signals come faster than the timeout passes, until the call ends: it would not end at
 * all if any of them made the timeout start anew. */
static void expect_the_same_deadline(int action_flags, uint64_t option_flags)
{
    const int64_t timeout = 200 * MILLISECOND;

    for (enum form form = 0; form < FORMS; form++) {
        const char *name = new_name();
        mqrs_queue *queue;
        pid_t child;

        if (!has_a_timeout(form))
            continue;
        queue = queue_that_makes_wait(form, name);
        *handled = 0;
        if ((child = start_child()) == 0) {
            mqrs_queue *own = open_with_flags(name, option_flags);
            int64_t begin;

            handle_signal(action_flags);
            begin = now_ns(CLOCK_MONOTONIC);
            CHECK_ERROR(ETIMEDOUT, call(form, own, timeout));
            CHECK(now_ns(CLOCK_MONOTONIC) - begin >= timeout);
            CHECK(*handled > 0);
            CHILD_END;
        }
        signal_until_ended(child);
        expect_unchanged(form, queue);
        close_and_unlink(queue, name);
    }
}

/* Only futex_waitv waits on after a handler with SA_RESTART. */
static int has_futex_waitv(void)
{
#ifdef SYS_futex_waitv
    return syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) == -1 && errno != ENOSYS &&
           errno != EPERM;
#else
    return 0;
#endif
}

static void with_sa_restart_the_call_goes_on(void)
{
    SKIP_IF(!has_futex_waitv(), "this kernel has no futex_waitv");
    expect_going_on(SA_RESTART, 0);
}

static void with_sa_restart_the_deadline_stays(void)
{
    SKIP_IF(!has_futex_waitv(), "this kernel has no futex_waitv");
    expect_the_same_deadline(SA_RESTART, 0);
}

static void with_opt_restart_the_call_goes_on(void)
{
    expect_going_on(0, MQRS_OPT_RESTART);
}

static void with_opt_restart_the_deadline_stays(void)
{
    expect_the_same_deadline(0, MQRS_OPT_RESTART);
}

static void an_ignored_signal_interrupts_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, 0);
    pid_t child = start_child();

    if (child == 0) {
        CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
        CHECK_EQUAL(5, call(RECEIVE, queue, 0));
        CHILD_END;
    }
    for (int i = 0; i < 10; i++) {
        wait_until_asleep(child);
        SYSTEM(kill(child, SIGUSR1));
    }
    wait_until_asleep(child);
    send_text(queue, "first", 0);
    JOIN(child);
    close_and_unlink(queue, name);
}

/* Stopping and continuing the process is no handler. */
static void a_stopped_call_goes_on_when_continued(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, 0);
    pid_t child = start_child();
    int status;

    if (child == 0) {
        CHECK_EQUAL(5, call(RECEIVE, queue, 0));
        CHILD_END;
    }
    wait_until_asleep(child);
    SYSTEM(kill(child, SIGSTOP));
    SYSTEM(waitpid(child, &status, WUNTRACED));
    CHECK(WIFSTOPPED(status));
    SYSTEM(kill(child, SIGCONT));
    wait_until_asleep(child);
    send_text(queue, "first", 0);
    JOIN(child);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    handled = shared_memory(sizeof *handled);
    RUN(without_sa_restart_the_call_ends_with_eintr);
    RUN(with_sa_restart_the_call_goes_on);
    RUN(with_sa_restart_the_deadline_stays);
    RUN(with_opt_restart_the_call_goes_on);
    RUN(with_opt_restart_the_deadline_stays);
    RUN(an_ignored_signal_interrupts_nothing);
    RUN(a_stopped_call_goes_on_when_continued);
    return check_end();
}
