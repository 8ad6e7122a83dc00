/* Many threads send and receive on one handle. */
#include "check.h"

enum { SENDERS = 4, RECEIVERS = 4, EACH = 5000, STOP = SENDERS };

struct message {
    uint32_t sender, number;
};

static mqrs_queue *queue;
static unsigned char seen[SENDERS][EACH];

static void *send_all(void *argument)
{
    uint32_t sender = (uint32_t)(uintptr_t)argument;

    for (uint32_t number = 0; number < EACH; number++) {
        struct message message = {sender, number};

        CHECK_OK(mqrs_send(queue, &message, sizeof message, 1 + number % 4));
    }
    return NULL;
}

static void *receive_until_stopped(void *unused)
{
    int64_t last[SENDERS][8];

    memset(last, -1, sizeof last);
    for (;;) {
        struct message message;
        uint32_t prio;

        CHECK_EQUAL(sizeof message, mqrs_receive(queue, &message, sizeof message, &prio));
        if (message.sender == STOP)
            return unused;
        CHECK(message.sender < SENDERS && message.number < EACH);
        CHECK_EQUAL(1 + message.number % 4, prio);
        CHECK(last[message.sender][prio] < (int64_t)message.number);
        last[message.sender][prio] = message.number;
        CHECK_EQUAL(0, __atomic_fetch_add(&seen[message.sender][message.number], 1,
                                          __ATOMIC_RELAXED));
    }
}

static void threads_share_one_handle(void)
{
    const char *name = new_name();
    pthread_t senders[SENDERS], receivers[RECEIVERS];
    struct message stop = {STOP, 0};

    queue = create_queue(name, 16, sizeof(struct message), 0);
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_EQUAL(0, pthread_create(&receivers[i], NULL, receive_until_stopped, NULL));
    for (int i = 0; i < SENDERS; i++)
        CHECK_EQUAL(0, pthread_create(&senders[i], NULL, send_all, (void *)(uintptr_t)i));
    for (int i = 0; i < SENDERS; i++)
        CHECK_EQUAL(0, pthread_join(senders[i], NULL));
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_OK(mqrs_send(queue, &stop, sizeof stop, 0));
    for (int i = 0; i < RECEIVERS; i++)
        CHECK_EQUAL(0, pthread_join(receivers[i], NULL));

    for (int sender = 0; sender < SENDERS; sender++)
        for (int number = 0; number < EACH; number++)
            CHECK_EQUAL(1, seen[sender][number]);
    CHECK_EQUAL(0, messages_in(queue));
    close_and_unlink(queue, name);
}

static void *open_and_close(void *name)
{
    for (int round = 0; round < 200; round++) {
        mqrs_queue *own = open_queue(name, O_RDWR);
        char buffer[16];

        CHECK_OK(mqrs_send(own, "x", 1, 0));
        CHECK_EQUAL(1, mqrs_receive(own, buffer, sizeof buffer, NULL));
        CHECK_OK(mqrs_close(own));
    }
    return NULL;
}

/* Each closes while the others use the same queue through handles of their own. */
static void handles_come_and_go_beside_each_other(void)
{
    const char *name = new_name();
    mqrs_queue *kept = create_queue(name, 16, 16, 0);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(0, pthread_create(&threads[i], NULL, open_and_close, (void *)(uintptr_t)name));
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(0, pthread_join(threads[i], NULL));
    CHECK_EQUAL(0, messages_in(kept));
    CHECK_EQUAL(16, fill(kept));
    close_and_unlink(kept, name);
}

static pid_t waiting_thread;

static void *wait_uncancelled(void *text)
{
    ssize_t len;

    __atomic_store_n(&waiting_thread, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    len = mqrs_receive(queue, text, 16, NULL);
    CHECK_EQUAL(5, len);
    *((char *)text + len) = 0;
    pthread_testcancel();
    FAIL("the cancellation came to nothing");
}

/* Cancellation waits for the end of the call, which takes effect as if nothing had been. */
static void a_waiting_call_is_no_cancellation_point(void)
{
    const char *name = new_name();
    char text[17] = "";
    pthread_t thread;
    void *result;

    queue = create_queue(name, 4, 16, 0);
    CHECK_EQUAL(0, pthread_create(&thread, NULL, wait_uncancelled, text));
    while (__atomic_load_n(&waiting_thread, __ATOMIC_SEQ_CST) == 0)
        sched_yield();
    wait_until_asleep(waiting_thread);
    CHECK_EQUAL(0, pthread_cancel(thread));
    wait_until_asleep(waiting_thread);
    send_text(queue, "hello", 0);
    CHECK_EQUAL(0, pthread_join(thread, &result));
    CHECK(result == PTHREAD_CANCELED);
    CHECK(strcmp("hello", text) == 0);
    CHECK_EQUAL(4, fill(queue));
    close_and_unlink(queue, name);
}

/* Sending and receiving start no thread. */
static void the_library_starts_no_thread_for_messages(void)
{
    const char *name = new_name();
    pid_t child = start_child();

    if (child == 0) {
        /* The program may run in a checker that has threads of its own. */
        unsigned before = count_entries("/proc/self/task");
        mqrs_queue *own = create_queue(name, 4, 16, 0);

        CHECK_EQUAL(4, fill(own));
        CHECK_ERROR(ETIMEDOUT, mqrs_timedsend(own, "x", 1, 0, MILLISECOND));
        CHECK_EQUAL(before, count_entries("/proc/self/task"));
        close_and_unlink(own, name);
        CHILD_END;
    }
    JOIN(child);
}

int main(void)
{
    check_begin();
    RUN(threads_share_one_handle);
    RUN(handles_come_and_go_beside_each_other);
    RUN(a_waiting_call_is_no_cancellation_point);
    RUN(the_library_starts_no_thread_for_messages);
    return check_end();
}
