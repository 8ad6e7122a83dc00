/* A function is called when a message arrives on the empty queue: on the library's helper
 * thread, with all signals blocked, one at a time; it may register again and may close. */
#include "check.h"

static struct gate called, leave;

static void expect_all_signals_blocked(void)
{
    sigset_t blocked;

    CHECK_EQUAL(0, pthread_sigmask(SIG_BLOCK, NULL, &blocked));
    for (int signo = 1; signo <= SIGRTMAX; signo++)
        /* Two cannot be blocked, and some are the C library's own. */
        if (signo != SIGKILL && signo != SIGSTOP && (signo < 32 || signo >= SIGRTMIN))
            CHECK_EQUAL(1, sigismember(&blocked, signo));
}

struct expectation {
    mqrs_queue *queue;
    pthread_t registrant;
};

static void check_call(mqrs_queue *queue, void *user)
{
    const struct expectation *expected = user;

    CHECK(queue == expected->queue);
    CHECK(!pthread_equal(pthread_self(), expected->registrant));
    expect_all_signals_blocked();
    EXPECT_TEXT(queue, "hello", 5);
    open_gate(called);
}

static void the_callback_gets_queue_and_user_pointer(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    struct expectation expected = {queue, pthread_self()};

    for (int round = 0; round < 50; round++) {
        CHECK_OK(mqrs_notify_callback(queue, check_call, &expected, 0));
        send_text(queue, "hello", 5);
        pass_gate(called);
    }
    CHECK_EQUAL(0, messages_in(queue));
    close_and_unlink(queue, name);
}

static void count_call(mqrs_queue *queue, void *user)
{
    (void)queue;
    __atomic_add_fetch((int *)user, 1, __ATOMIC_SEQ_CST);
    open_gate(called);
}

static void it_is_called_once_for_each_registration(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    int calls = 0;

    for (int round = 1; round <= 50; round++) {
        CHECK_OK(mqrs_notify_callback(queue, count_call, &calls, 0));
        for (int i = 0; i < 3; i++) {
            send_text(queue, "x", 0);
            EXPECT_TEXT(queue, "x", 0);
        }
        pass_gate(called);
        CHECK_EQUAL(round, __atomic_load_n(&calls, __ATOMIC_SEQ_CST));
    }
    close_and_unlink(queue, name);
}

static uint32_t next_number;

/* Register again, then drain: nothing is lost. */
static void register_again_and_drain(mqrs_queue *queue, void *user)
{
    uint32_t number, all = *(uint32_t *)user, before = next_number;
    ssize_t len;

    CHECK_OK(mqrs_notify_callback(queue, register_again_and_drain, user, 0));
    while ((len = mqrs_timedreceive(queue, &number, sizeof number, MQRS_NOWAIT, NULL)) >= 0) {
        CHECK_EQUAL(sizeof number, len);
        CHECK_EQUAL(next_number, number);
        next_number++;
    }
    CHECK_EQUAL(-EAGAIN, len);
    /* A last call may find nothing left. */
    if (next_number == all && before < all)
        open_gate(called);
}

static void a_callback_may_register_again_and_loses_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, sizeof(uint32_t), 0);
    uint32_t all = 100000;
    pid_t child;

    next_number = 0;
    CHECK_OK(mqrs_notify_callback(queue, register_again_and_drain, &all, 0));
    if ((child = start_child()) == 0) {
        for (uint32_t number = 0; number < all; number++)
            CHECK_OK(mqrs_send(queue, &number, sizeof number, 0));
        CHILD_END;
    }
    pass_gate(called);
    JOIN(child);
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_EQUAL(all, next_number);
    close_and_unlink(queue, name);
}

/* The library's threads in this process, by their name: a checker that the program may run
 * in can have threads of its own. */
static unsigned count_helpers(void)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *tasks = opendir("/proc/self/task");

    CHECK(tasks != NULL);
    while ((entry = readdir(tasks)) != NULL) {
        char path[64], name[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%.16s/comm", entry->d_name);
        if ((file = fopen(path, "re")) == NULL)
            continue;
        if (fgets(name, sizeof name, file) != NULL)
            count += strcmp(name, "mqrs-notify\n") == 0;
        fclose(file);
    }
    closedir(tasks);
    return count;
}

static int running, most_running;

static void hold_the_helper(mqrs_queue *queue, void *user)
{
    int now = __atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);

    (void)queue;
    (void)user;
    if (now > most_running)
        most_running = now;
    open_gate(called);
    pass_gate(leave);
    __atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST);
}

static void callbacks_of_all_queues_run_one_at_a_time_on_one_thread(void)
{
    enum { QUEUES = 5 };
    char names[QUEUES][32];
    mqrs_queue *queues[QUEUES];

    most_running = 0;
    for (int i = 0; i < QUEUES; i++) {
        snprintf(names[i], sizeof names[i], "/one-at-a-time-%d", i);
        queues[i] = create_queue(names[i], 4, 16, 0);
    }
    CHECK_OK(mqrs_notify_callback(queues[0], hold_the_helper, NULL, 0));
    for (int i = 1; i < QUEUES; i++)
        CHECK_OK(mqrs_notify_callback(queues[i], hold_the_helper, NULL, 0));
    CHECK_EQUAL(1, count_helpers());
    for (int i = 0; i < QUEUES; i++)
        send_text(queues[i], "x", 0);
    for (int i = 0; i < QUEUES; i++) {
        pass_gate(called);
        open_gate(leave);
    }
    for (int i = 0; i < QUEUES; i++)
        close_and_unlink(queues[i], names[i]);
    CHECK_EQUAL(1, most_running);
}

static int finished;

static void finish_slowly(mqrs_queue *queue, void *user)
{
    (void)queue;
    (void)user;
    open_gate(called);
    pass_gate(leave);
    __atomic_store_n(&finished, 1, __ATOMIC_SEQ_CST);
}

struct ending {
    mqrs_queue *queue;
    int close;
    pid_t thread;
};

static void *end_registration(void *argument)
{
    struct ending *ending = argument;

    __atomic_store_n(&ending->thread, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    if (ending->close)
        CHECK_OK(mqrs_close(ending->queue));
    else
        CHECK_OK(mqrs_notify_cancel(ending->queue));
    /* The callback has returned, and what it used may go. */
    CHECK_EQUAL(1, __atomic_load_n(&finished, __ATOMIC_SEQ_CST));
    return NULL;
}

static void cancel_and_close_wait_for_a_running_callback(void)
{
    for (int close = 0; close < 2; close++) {
        const char *name = new_name();
        struct ending ending = {create_queue(name, 4, 16, 0), close, 0};
        pthread_t thread;

        finished = 0;
        CHECK_OK(mqrs_notify_callback(ending.queue, finish_slowly, NULL, 0));
        send_text(ending.queue, "x", 0);
        pass_gate(called);
        CHECK_EQUAL(0, pthread_create(&thread, NULL, end_registration, &ending));
        while (__atomic_load_n(&ending.thread, __ATOMIC_SEQ_CST) == 0)
            sched_yield();
        wait_until_asleep(ending.thread);
        open_gate(leave);
        CHECK_EQUAL(0, pthread_join(thread, NULL));
        if (!close)
            CHECK_OK(mqrs_close(ending.queue));
        CHECK_OK(mqrs_unlink(name));
    }
}

static void end_it_inside(mqrs_queue *queue, void *user)
{
    CHECK_OK(mqrs_notify_cancel(queue));
    if (*(int *)user)
        CHECK_OK(mqrs_close(queue));
    open_gate(called);
}

static void cancel_and_close_inside_the_callback_return_at_once(void)
{
    for (int close = 0; close < 2; close++) {
        const char *name = new_name();
        mqrs_queue *queue = create_queue(name, 4, 16, 0), *other = open_queue(name, O_RDWR);

        CHECK_OK(mqrs_notify_callback(queue, end_it_inside, &close, 0));
        send_text(other, "x", 0);
        pass_gate(called);
        if (!close)
            CHECK_OK(mqrs_close(queue));
        /* The helper is well: it serves the next one. */
        EXPECT_TEXT(other, "x", 0);
        CHECK_OK(mqrs_notify_callback(other, end_it_inside, &(int){0}, 0));
        send_text(other, "x", 0);
        pass_gate(called);
        close_and_unlink(other, name);
    }
}

static void fail_if_called(mqrs_queue *queue, void *user)
{
    (void)queue;
    FAIL("%s was called", (const char *)user);
}

static void after_cancel_no_callback_comes(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    int calls = 0;

    for (int round = 0; round < 200; round++) {
        CHECK_OK(mqrs_notify_callback(queue, fail_if_called, "the cancelled callback", 0));
        CHECK_OK(mqrs_notify_cancel(queue));
        send_text(queue, "x", 0);
        EXPECT_TEXT(queue, "x", 0);
    }
    /* A callback that is served later than all those would have been. */
    CHECK_OK(mqrs_notify_callback(queue, count_call, &calls, 0));
    send_text(queue, "x", 0);
    pass_gate(called);
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_EQUAL(1, calls);
    close_and_unlink(queue, name);
}

/* The callback may have been called, or not; but not after cancel has returned. */
static void *send_and_take(void *queue)
{
    for (int i = 0; i < 2000; i++) {
        send_text(queue, "x", 0);
        EXPECT_TEXT(queue, "x", 0);
    }
    return NULL;
}

static int *alive;

static void expect_alive(mqrs_queue *queue, void *user)
{
    (void)queue;
    CHECK_EQUAL(4711, __atomic_load_n((int *)user, __ATOMIC_SEQ_CST));
}

static void what_the_callback_uses_may_go_after_cancel(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    pthread_t thread;

    CHECK_EQUAL(0, pthread_create(&thread, NULL, send_and_take, queue));
    for (int round = 0; round < 2000; round++) {
        alive = malloc(sizeof *alive);
        CHECK(alive != NULL);
        *alive = 4711;
        CHECK_OK(mqrs_notify_callback(queue, expect_alive, alive, 0));
        CHECK_OK(mqrs_notify_cancel(queue));
        __atomic_store_n(alive, 0, __ATOMIC_SEQ_CST);
        free(alive);
    }
    CHECK_EQUAL(0, pthread_join(thread, NULL));
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    called = new_gate();
    leave = new_gate();
    RUN(the_callback_gets_queue_and_user_pointer);
    RUN(it_is_called_once_for_each_registration);
    RUN(a_callback_may_register_again_and_loses_nothing);
    RUN(callbacks_of_all_queues_run_one_at_a_time_on_one_thread);
    RUN(cancel_and_close_wait_for_a_running_callback);
    RUN(cancel_and_close_inside_the_callback_return_at_once);
    RUN(after_cancel_no_callback_comes);
    RUN(what_the_callback_uses_may_go_after_cancel);
    return check_end();
}
