/* mqrs_wait ends without a queue that is ready: the time is up, a call is cancelled, a signal
 * handler runs, or the arguments are wrong. */
#include "wait_many.h"

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

int main(void)
{
    check_begin();
    RUN(the_timeout_is_the_calls_own);
    RUN(to_wait_for_nothing_is_to_sleep);
    RUN(a_cancel_of_one_queue_ends_the_wait);
    RUN(a_signal_handler_ends_the_wait);
    RUN(a_signal_handler_ends_a_wait_for_nothing);
    RUN(with_opt_restart_the_wait_goes_on);
    RUN(arguments_are_checked_before_anything_else);
    return check_end();
}
