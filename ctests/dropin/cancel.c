/* Threads that wait in a call may be cancelled and interrupted. */
#include "queues.h"

static char bytes[64];
static mqd_t queue;
static int cleaned;

enum call { SEND, TIMEDSEND, RECEIVE, TIMEDRECEIVE, CALLS };

static long make_call(enum call call)
{
    struct timespec later = in_ns(3600 * SECOND);

    switch (call) {
    case SEND:
        return mq_send(queue, "1", 1, 0);
    case TIMEDSEND:
        return mq_timedsend(queue, "1", 1, 0, &later);
    case RECEIVE:
        return mq_receive(queue, bytes, 8, NULL);
    default:
        return mq_timedreceive(queue, bytes, 8, NULL, &later);
    }
}

static int is_send(enum call call)
{
    return call == SEND || call == TIMEDSEND;
}

/* A queue in which the call has to wait. */
static void make_it_wait(enum call call)
{
    queue = unnamed_queue(O_RDWR, 1, 8);
    if (is_send(call))
        SYSTEM(mq_send(queue, "full", 4, 0));
}

static void clean(void *argument)
{
    (void)argument;
    cleaned++;
}

static pid_t waiter;

static void *wait_in(void *argument)
{
    long result;

    pthread_cleanup_push(clean, NULL);
    __atomic_store_n(&waiter, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    result = make_call(*(enum call *)argument);
    pthread_cleanup_pop(0);
    return (void *)(result < 0 ? -(long)errno : result);
}

static pthread_t start_waiter(enum call *call)
{
    pthread_t thread;

    __atomic_store_n(&waiter, 0, __ATOMIC_SEQ_CST);
    CHECK_EQUAL(0, pthread_create(&thread, NULL, wait_in, call));
    while (__atomic_load_n(&waiter, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    wait_until_asleep(waiter);
    return thread;
}

static void a_thread_is_cancelled_in_its_wait(void)
{
    for (enum call call = 0; call < CALLS; call++) {
        pthread_t thread;
        void *result;

        make_it_wait(call);
        cleaned = 0;
        thread = start_waiter(&call);
        CHECK_EQUAL(0, pthread_cancel(thread));
        CHECK_EQUAL(0, pthread_join(thread, &result));
        CHECK(result == PTHREAD_CANCELED);
        CHECK_EQUAL(1, cleaned);
        /* Nothing is held, and nothing was sent or taken. */
        CHECK_EQUAL(is_send(call), attributes_of(queue).mq_curmsgs);
        if (is_send(call))
            SYSTEM(mq_receive(queue, bytes, 8, NULL));
        SYSTEM(mq_send(queue, "1", 1, 0));
        SYSTEM(mq_receive(queue, bytes, 8, NULL));
        SYSTEM(mq_close(queue));
    }
}

/* Of two that wait one is cancelled while there comes something for one: the other gets it.
 * (The kernel hands the message over to the first, and libc may cancel that one with it.) */
static void a_cancelled_thread_takes_nobody_s_wake(void)
{
    if (!is_dropin())
        return;
    for (int round = 0; round < 200; round++) {
        enum call call = RECEIVE;
        pthread_t cancelled, other;
        void *results[2];

        make_it_wait(call);
        cancelled = start_waiter(&call);
        other = start_waiter(&call);
        if (round % 2) {
            SYSTEM(mq_send(queue, "1", 1, 0));
            CHECK_EQUAL(0, pthread_cancel(cancelled));
        } else {
            CHECK_EQUAL(0, pthread_cancel(cancelled));
            SYSTEM(mq_send(queue, "1", 1, 0));
        }
        CHECK_EQUAL(0, pthread_join(cancelled, &results[0]));
        if (results[0] != PTHREAD_CANCELED)
            SYSTEM(mq_send(queue, "2", 1, 0));
        CHECK_EQUAL(0, pthread_join(other, &results[1]));
        CHECK_EQUAL(1, (long)results[1]);
        SYSTEM(mq_close(queue));
    }
}

static void *call_when_cancelled(void *argument)
{
    long result;

    pthread_cancel(pthread_self());
    result = make_call(*(enum call *)argument);
    return (void *)result;
}

static void a_cancel_that_is_pending_ends_a_call_that_need_not_wait(void)
{
    for (enum call call = 0; call < CALLS; call++) {
        enum call other = is_send(call) ? RECEIVE : SEND;
        pthread_t thread;
        void *result;

        make_it_wait(other);
        CHECK_EQUAL(0, pthread_create(&thread, NULL, call_when_cancelled, &call));
        CHECK_EQUAL(0, pthread_join(thread, &result));
        CHECK(result == PTHREAD_CANCELED);
        CHECK_EQUAL(is_send(other), attributes_of(queue).mq_curmsgs);
        SYSTEM(mq_close(queue));
    }
}

static void *wait_uncancelled(void *argument)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return wait_in(argument);
}

static void a_thread_that_forbids_it_is_not_cancelled(void)
{
    enum call call = RECEIVE;
    pthread_t thread;
    void *result;

    make_it_wait(call);
    waiter = 0;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, wait_uncancelled, &call));
    while (__atomic_load_n(&waiter, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    wait_until_asleep(waiter);
    CHECK_EQUAL(0, pthread_cancel(thread));
    SYSTEM(mq_send(queue, "1", 1, 0));
    CHECK_EQUAL(0, pthread_join(thread, &result));
    CHECK_EQUAL(1, (long)result);
    SYSTEM(mq_close(queue));
}

static int handled;

static void note(int signo)
{
    (void)signo;
    __atomic_fetch_add(&handled, 1, __ATOMIC_SEQ_CST);
}

static void without_sa_restart_a_signal_ends_the_wait(void)
{
    handle(SIGUSR1, note, 0);
    for (enum call call = 0; call < CALLS; call++) {
        pthread_t thread;
        void *result;

        make_it_wait(call);
        thread = start_waiter(&call);
        /* Again, if the first one comes as the thread looks around. */
        do {
            const struct timespec pause = {0, 1000000};

            CHECK_EQUAL(0, pthread_kill(thread, SIGUSR1));
            nanosleep(&pause, NULL);
        } while (pthread_tryjoin_np(thread, &result) == EBUSY);
        CHECK_EQUAL(-EINTR, (long)result);
        SYSTEM(mq_close(queue));
    }
}

static void with_sa_restart_the_wait_goes_on(void)
{
    handle(SIGUSR1, note, SA_RESTART);
    for (enum call call = 0; call < CALLS; call++) {
        pthread_t thread;
        void *result;

        make_it_wait(call);
        handled = 0;
        thread = start_waiter(&call);
        for (int i = 1; i <= 3; i++) {
            CHECK_EQUAL(0, pthread_kill(thread, SIGUSR1));
            while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) < i)
                sched_yield();
            wait_until_asleep(waiter);
        }
        if (is_send(call))
            SYSTEM(mq_receive(queue, bytes, 8, NULL));
        else
            SYSTEM(mq_send(queue, "1", 1, 0));
        CHECK_EQUAL(0, pthread_join(thread, &result));
        CHECK_EQUAL(!is_send(call), (long)result);
        SYSTEM(mq_close(queue));
    }
}

static void with_sa_restart_the_time_stays_what_it_was(void)
{
    struct timespec soon;
    struct itimerspec tick = {{0, 5000000}, {0, 5000000}};
    struct sigevent event;
    timer_t timer;

    handle(SIGUSR1, note, SA_RESTART);
    queue = unnamed_queue(O_RDWR, 1, 8);
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR1;
    SYSTEM(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SYSTEM(timer_settime(timer, 0, &tick, NULL));
    soon = in_ns(100 * MILLISECOND);
    REFUSED(ETIMEDOUT, mq_timedreceive(queue, bytes, 8, NULL, &soon));
    CHECK(now_ns(CLOCK_REALTIME) >= soon.tv_sec * SECOND + soon.tv_nsec);
    SYSTEM(timer_delete(timer));
    SYSTEM(mq_close(queue));
}

static void to_close_a_queue_leaves_who_waits_in_it(void)
{
    enum call call = RECEIVE;
    pthread_t thread;
    void *result;
    int other;

    make_it_wait(call);
    other = (int)SYSTEM(dup(queue));
    thread = start_waiter(&call);
    SYSTEM(mq_close(queue));
    SYSTEM(mq_send(other, "1", 1, 0));
    CHECK_EQUAL(0, pthread_join(thread, &result));
    CHECK_EQUAL(1, (long)result);
    SYSTEM(mq_close(other));
}

int main(void)
{
    check_begin();
    RUN(a_thread_is_cancelled_in_its_wait);
    RUN(a_cancelled_thread_takes_nobody_s_wake);
    RUN(a_cancel_that_is_pending_ends_a_call_that_need_not_wait);
    RUN(a_thread_that_forbids_it_is_not_cancelled);
    RUN(without_sa_restart_a_signal_ends_the_wait);
    RUN(with_sa_restart_the_wait_goes_on);
    RUN(with_sa_restart_the_time_stays_what_it_was);
    RUN(to_close_a_queue_leaves_who_waits_in_it);
    return check_end();
}
