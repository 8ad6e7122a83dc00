/* A child has its parent's handles and may use them at once, however it was made and
 * whatever the parent was doing. */
#include "check.h"

enum { EACH = 1000 };

struct message {
    uint32_t sender, number;
};

static void send_number(mqrs_queue *queue, uint32_t sender, uint32_t number)
{
    struct message message = {sender, number};

    CHECK_OK(mqrs_send(queue, &message, sizeof message, 0));
}

/* A child by the system call itself: no handler of the C library runs. */
static pid_t raw_clone(void)
{
    return (pid_t)SYSTEM(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

/* Send and receive in turn, so that there is always a message for whoever waits. */
static void exchange(mqrs_queue *queue, uint32_t sender, unsigned char (*seen)[EACH])
{
    int64_t last[2] = {-1, -1};

    for (uint32_t i = 0; i < EACH; i++) {
        struct message message;

        send_number(queue, sender, i);
        CHECK_EQUAL(sizeof message, mqrs_receive(queue, &message, sizeof message, NULL));
        CHECK(message.sender < 2 && message.number < EACH);
        CHECK(last[message.sender] < (int64_t)message.number);
        last[message.sender] = message.number;
        CHECK_EQUAL(0, __atomic_fetch_add(&seen[message.sender][message.number], 1,
                                          __ATOMIC_RELAXED));
    }
}

static void exchange_with_child(pid_t (*make_child)(void))
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, sizeof(struct message), 0);
    unsigned char(*seen)[EACH] = shared_memory(sizeof(unsigned char[2][EACH]));
    pid_t child = make_child();

    exchange(queue, child == 0, seen);
    if (child == 0)
        _exit(0);
    JOIN(child);
    for (int sender = 0; sender < 2; sender++)
        for (int number = 0; number < EACH; number++)
            CHECK_EQUAL(1, seen[sender][number]);
    SYSTEM(munmap(seen, sizeof(unsigned char[2][EACH])));
    close_and_unlink(queue, name);
}

static void parent_and_child_use_one_handle_at_the_same_time(void)
{
    exchange_with_child(start_child);
}

static void a_child_made_by_clone_uses_it_too(void)
{
    exchange_with_child(raw_clone);
}

static void grandchildren_use_it_too(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0);
    pid_t child = start_child();

    if (child == 0) {
        /* The child itself has not used it: what it hands on is its parent's. */
        pid_t grandchild = start_child();

        if (grandchild == 0) {
            pid_t last = raw_clone();

            if (last == 0) {
                send_text(queue, "great-grandchild", 3);
                _exit(0);
            }
            JOIN(last);
            send_text(queue, "grandchild", 2);
            CHILD_END;
        }
        JOIN(grandchild);
        send_text(queue, "child", 1);
        CHILD_END;
    }
    JOIN(child);
    EXPECT_TEXT(queue, "great-grandchild", 3);
    EXPECT_TEXT(queue, "grandchild", 2);
    EXPECT_TEXT(queue, "child", 1);
    close_and_unlink(queue, name);
}

static void a_child_may_close_its_copy(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0);

    for (int used = 0; used < 2; used++) {
        pid_t child = start_child();

        if (child == 0) {
            if (used)
                send_text(queue, "from the child", 0);
            CHECK_OK(mqrs_close(queue));
            CHILD_END;
        }
        JOIN(child);
        if (used)
            EXPECT_TEXT(queue, "from the child", 0);
        send_text(queue, "still here", 0);
        EXPECT_TEXT(queue, "still here", 0);
    }
    close_and_unlink(queue, name);
}

static volatile int stop;

/* Send and take back without a pause, on the same handle; other messages stay where they
 * are, since they have a lower priority. */
static void *send_in_a_loop(void *queue)
{
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        char buffer[64];
        uint32_t prio;

        CHECK_OK(mqrs_send(queue, "busy", 4, 9));
        CHECK_EQUAL(4, mqrs_receive(queue, buffer, sizeof buffer, &prio));
        CHECK_EQUAL(9, prio);
    }
    return NULL;
}

static void a_child_is_free_of_what_other_threads_were_doing(void)
{
    enum { CHILDREN = 60 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, CHILDREN + 2, 64, 0);
    pthread_t thread;

    stop = 0;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, send_in_a_loop, queue));
    for (uint32_t i = 0; i < CHILDREN; i++) {
        pid_t child = i % 2 ? raw_clone() : start_child();

        if (child == 0) {
            send_number(queue, 1, i);
            _exit(0);
        }
        JOIN(child);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    CHECK_EQUAL(0, pthread_join(thread, NULL));
    /* A child may have taken over nothing, not even a message of the busy thread. */
    for (uint32_t i = 0; i < CHILDREN; i++) {
        struct message message;

        CHECK_EQUAL(sizeof message,
                    mqrs_timedreceive(queue, &message, sizeof message, MQRS_NOWAIT, NULL));
        CHECK_EQUAL(i, message.number);
    }
    CHECK_EQUAL(CHILDREN + 2, fill(queue));
    close_and_unlink(queue, name);
}

static pid_t waiter;

static void *wait_for_one(void *queue)
{
    char buffer[64];

    __atomic_store_n(&waiter, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
    CHECK_EQUAL(14, mqrs_receive(queue, buffer, sizeof buffer, NULL));
    return NULL;
}

static void a_child_wakes_a_thread_that_slept_during_the_fork(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0);
    pthread_t thread;
    pid_t child;

    waiter = 0;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, wait_for_one, queue));
    while (__atomic_load_n(&waiter, __ATOMIC_ACQUIRE) == 0)
        sched_yield();
    wait_until_asleep(__atomic_load_n(&waiter, __ATOMIC_ACQUIRE));
    if ((child = start_child()) == 0) {
        send_text(queue, "from the child", 0);
        _exit(0);
    }
    JOIN(child);
    CHECK_EQUAL(0, pthread_join(thread, NULL));
    close_and_unlink(queue, name);
}

static void nonblocking_is_each_process_s_own(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0);
    struct gate changed = new_gate(), seen = new_gate();
    struct mqrs_attr attr;
    pid_t child = start_child();

    if (child == 0) {
        CHECK_OK(mqrs_set_nonblock(queue, 1));
        open_gate(changed);
        pass_gate(seen);
        CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
        CHECK_EQUAL(O_RDWR | O_NONBLOCK, attr.flags);
        CHILD_END;
    }
    pass_gate(changed);
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(O_RDWR, attr.flags);
    CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(queue, (char[64]){0}, 64, 1000, NULL));
    CHECK_OK(mqrs_set_nonblock(queue, 0));
    open_gate(seen);
    JOIN(child);

    /* It is inherited as it was at the fork. */
    CHECK_OK(mqrs_set_nonblock(queue, 1));
    if ((child = start_child()) == 0) {
        CHECK_ERROR(EAGAIN, mqrs_receive(queue, (char[64]){0}, 64, NULL));
        CHILD_END;
    }
    JOIN(child);
    remove_gate(changed);
    remove_gate(seen);
    close_and_unlink(queue, name);
}

static void a_child_goes_on_after_its_parent_was_killed(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, sizeof(struct message), 0);
    struct gate made = new_gate(), orphaned = new_gate();
    pid_t parent = start_child();

    if (parent == 0) {
        mqrs_queue *own = open_queue(name, O_RDWR);

        send_number(own, 0, 0);
        if (start_child() == 0) {
            /* One before, the others after. */
            send_number(own, 1, 0);
            open_gate(made);
            pass_gate(orphaned);
            for (uint32_t i = 1; i < EACH; i++)
                send_number(own, 1, i);
            CHILD_END;
        }
        for (;;)
            pause();
    }
    pass_gate(made);
    kill_child(parent);
    open_gate(orphaned);
    for (uint32_t i = 0; i < EACH + 1; i++) {
        struct message message;

        CHECK_EQUAL(sizeof message, mqrs_receive(queue, &message, sizeof message, NULL));
        CHECK_EQUAL(i > 0, message.sender);
        CHECK_EQUAL(i ? i - 1 : 0, message.number);
    }
    remove_gate(made);
    remove_gate(orphaned);
    close_and_unlink(queue, name);
}

/* In the program that was started by exec: nothing of the queues came along. */
static int expect_nothing_inherited(void)
{
    char path[64], target[PATH_MAX];

    CHECK_EQUAL(0, count_queue_mappings());
    for (int fd = 3; fd < 256; fd++) {
        ssize_t len;

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        len = readlink(path, target, sizeof target - 1);
        if (len == -1)
            continue;
        target[len] = 0;
        if (strstr(target, queue_directory()) != NULL)
            FAIL("descriptor %d is open after exec: %s", fd, target);
    }
    return 0;
}

static void exec_closes_every_handle(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0), *other = open_queue(name, O_RDONLY);
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue));
    pid_t child;

    CHECK(count_queue_mappings() > 0);
    JOIN(start_role("inherited", "nothing", NULL));

    /* And those that a child has opened for itself when it used what it inherited. */
    if ((child = start_child()) == 0) {
        send_text(queue, "from the child", 0);
        JOIN(start_role("inherited", "nothing", NULL));
        execl(own_path(), program_invocation_name, "inherited", "nothing", (char *)NULL);
        FAIL("exec: %s", strerror(errno));
    }
    JOIN(child);
    EXPECT_TEXT(queue, "from the child", 0);
    close(fd);
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return expect_nothing_inherited();
    check_begin();
    RUN(parent_and_child_use_one_handle_at_the_same_time);
    RUN(a_child_made_by_clone_uses_it_too);
    RUN(grandchildren_use_it_too);
    RUN(a_child_may_close_its_copy);
    RUN(a_child_is_free_of_what_other_threads_were_doing);
    RUN(a_child_wakes_a_thread_that_slept_during_the_fork);
    RUN(nonblocking_is_each_process_s_own);
    RUN(a_child_goes_on_after_its_parent_was_killed);
    RUN(exec_closes_every_handle);
    return check_end();
}
