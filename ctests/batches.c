/* Several messages in one call. */
#include "check.h"

enum { MOST = 200 };

static struct mqrs_msg messages[MOST];
static uint64_t bodies[MOST];

/* `count` structs, each with room for one number; to be sent, numbers from `first` on. */
static void prepare(size_t count, uint64_t first)
{
    memset(messages, 0, sizeof messages);
    for (size_t i = 0; i < count; i++) {
        bodies[i] = first + i;
        messages[i].data = &bodies[i];
        messages[i].len = sizeof bodies[i];
        messages[i].cap = sizeof bodies[i];
    }
}

static ssize_t send_many(mqrs_queue *queue, size_t count, int64_t timeout_ns)
{
    return mqrs_sendmmsg(queue, messages, sizeof *messages, count, 0, timeout_ns);
}

static ssize_t receive_many(mqrs_queue *queue, size_t count, int64_t timeout_ns)
{
    return mqrs_recvmmsg(queue, messages, sizeof *messages, count, 0, timeout_ns);
}

static void a_batch_arrives_in_order(void)
{
    static struct mqrs_msg prepared[MOST];
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MOST, 8, 0);

    for (size_t count = 1; count <= MOST; count += count < 40 ? 1 : 37) {
        prepare(count, 1000);
        CHECK_EQUAL(count, send_many(queue, count, MQRS_NOWAIT));
        CHECK_EQUAL(count, messages_in(queue));
        prepare(MOST, 0);
        memcpy(prepared, messages, sizeof prepared);
        CHECK_EQUAL(count, receive_many(queue, MOST, MQRS_NOWAIT));
        for (size_t i = 0; i < count; i++) {
            CHECK_EQUAL(1000 + i, bodies[i]);
            CHECK_EQUAL(8, messages[i].len);
            CHECK_EQUAL(0, messages[i].prio);
            CHECK_EQUAL(messages[0].sequence + i, messages[i].sequence);
        }
        /* Behind them nothing was touched. */
        for (size_t i = count; i < MOST; i++) {
            CHECK_EQUAL(i, bodies[i]);
            CHECK(memcmp(&messages[i], &prepared[i], sizeof prepared[i]) == 0);
        }
    }
    close_and_unlink(queue, name);
}

static void a_batch_of_several_priorities_is_received_by_priority(void)
{
    enum { COUNT = 50 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, COUNT, 8, 0);
    uint32_t last_prio;
    uint64_t last;

    prepare(2, 1);
    messages[1].prio = 1;
    CHECK_EQUAL(2, send_many(queue, 2, MQRS_NOWAIT));
    CHECK_EQUAL(8, mqrs_receive(queue, &last, sizeof last, &last_prio));
    CHECK_EQUAL(2, last);
    CHECK_EQUAL(1, last_prio);
    CHECK_EQUAL(1, drain(queue));

    prepare(COUNT, 1);
    for (size_t i = 0; i < COUNT; i++)
        messages[i].prio = (uint32_t)(i * 7 % 5);
    CHECK_EQUAL(COUNT, send_many(queue, COUNT, MQRS_NOWAIT));
    prepare(COUNT, 0);
    CHECK_EQUAL(COUNT, receive_many(queue, MOST, MQRS_NOWAIT));
    last_prio = UINT32_MAX;
    last = 0;
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQUAL((bodies[i] - 1) * 7 % 5, messages[i].prio);
        CHECK(messages[i].prio < last_prio || bodies[i] > last);
        CHECK(messages[i].prio <= last_prio);
        last_prio = messages[i].prio;
        last = bodies[i];
    }
    close_and_unlink(queue, name);
}

static void as_many_are_sent_as_there_is_room_for(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 8, 0);

    for (size_t before = 0; before <= 10; before++) {
        for (size_t i = 0; i < before; i++)
            CHECK_OK(mqrs_send(queue, "x", 1, 0));
        prepare(MOST, 7);
        if (before < 10)
            CHECK_EQUAL(10 - before, send_many(queue, MOST, MQRS_NOWAIT));
        else
            CHECK_ERROR(EAGAIN, send_many(queue, MOST, MQRS_NOWAIT));
        CHECK_EQUAL(10, messages_in(queue));
        CHECK_EQUAL(10, drain(queue));
    }
    close_and_unlink(queue, name);
}

static void a_batch_waits_for_its_first_message_only(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 8, 0);
    pid_t child;

    prepare(MOST, 0);
    CHECK_ERROR(EAGAIN, receive_many(queue, MOST, MQRS_NOWAIT));
    CHECK_ERROR(ETIMEDOUT, receive_many(queue, MOST, MILLISECOND));
    child = start_child();
    if (child == 0) {
        CHECK_EQUAL(1, receive_many(queue, 10, MQRS_FOREVER));
        CHECK_EQUAL(42, bodies[0]);
        CHILD_END;
    }
    wait_until_asleep(child);
    prepare(1, 42);
    CHECK_EQUAL(1, send_many(queue, 1, MQRS_FOREVER));
    JOIN(child);

    CHECK_EQUAL(4, fill(queue));
    prepare(MOST, 0);
    CHECK_ERROR(ETIMEDOUT, send_many(queue, MOST, MILLISECOND));
    child = start_child();
    if (child == 0) {
        CHECK_EQUAL(1, send_many(queue, 3, MQRS_FOREVER));
        CHILD_END;
    }
    wait_until_asleep(child);
    EXPECT_TEXT(queue, "x", 0);
    JOIN(child);
    CHECK_EQUAL(4, drain(queue));
    close_and_unlink(queue, name);
}

static void one_batch_wakes_all_who_wait(void)
{
    enum { WAITING = 4 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 8, 0);
    pid_t children[WAITING];

    for (int i = 0; i < WAITING; i++) {
        children[i] = start_child();
        if (children[i] == 0) {
            uint64_t number;

            CHECK_EQUAL(8, mqrs_receive(queue, &number, sizeof number, NULL));
            CHILD_END;
        }
    }
    for (int i = 0; i < WAITING; i++)
        wait_until_asleep(children[i]);
    prepare(WAITING, 0);
    CHECK_EQUAL(WAITING, send_many(queue, WAITING, MQRS_NOWAIT));
    for (int i = 0; i < WAITING; i++)
        JOIN(children[i]);
    close_and_unlink(queue, name);
}

static void what_does_not_fit_ends_a_batch(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 8, 0);

    prepare(5, 0);
    messages[3].len = 3;
    CHECK_EQUAL(5, send_many(queue, 5, MQRS_NOWAIT));
    prepare(5, 0);
    messages[2].cap = 7;
    CHECK_EQUAL(2, receive_many(queue, 5, MQRS_NOWAIT));
    prepare(5, 0);
    messages[0].cap = 7;
    CHECK_ERROR(EMSGSIZE, receive_many(queue, 5, MQRS_NOWAIT));
    CHECK_EQUAL(3, messages_in(queue));
    CHECK_EQUAL(3, mqrs_recvmmsg(queue, messages, sizeof *messages, 5, MQRS_RECV_TRUNCATE,
                                 MQRS_NOWAIT));
    CHECK_EQUAL(8, messages[0].len);
    CHECK_EQUAL(3, messages[1].len);
    close_and_unlink(queue, name);
}

static void all_are_checked_before_any_moves(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 8, 0), *receiver = open_queue(name, O_RDONLY),
               *sender = open_queue(name, O_WRONLY);

    prepare(5, 0);
    messages[4].len = 9;
    CHECK_ERROR(EMSGSIZE, send_many(queue, 5, MQRS_NOWAIT));
    prepare(5, 0);
    messages[4].prio = MQRS_PRIO_MAX + 1;
    CHECK_ERROR(EINVAL, send_many(queue, 5, MQRS_NOWAIT));
    prepare(5, 0);
    messages[4].data = NULL;
    CHECK_ERROR(EFAULT, send_many(queue, 5, MQRS_NOWAIT));
    messages[4].len = 0;
    CHECK_EQUAL(5, send_many(queue, 5, MQRS_NOWAIT));
    prepare(5, 0);
    messages[4].data = NULL;
    CHECK_ERROR(EFAULT, receive_many(queue, 5, MQRS_NOWAIT));
    CHECK_EQUAL(5, messages_in(queue));

    prepare(5, 0);
    CHECK_ERROR(EBADF, mqrs_sendmmsg(NULL, messages, sizeof *messages, 5, 0, 0));
    CHECK_ERROR(EBADF, mqrs_recvmmsg(NULL, messages, sizeof *messages, 5, 0, 0));
    CHECK_ERROR(EBADF, send_many(receiver, 5, MQRS_NOWAIT));
    CHECK_ERROR(EBADF, receive_many(sender, 5, MQRS_NOWAIT));
    CHECK_ERROR(EINVAL, mqrs_sendmmsg(queue, messages, sizeof *messages, 5, UINT64_C(1) << 40, 0));
    CHECK_ERROR(EINVAL, mqrs_recvmmsg(queue, messages, sizeof *messages, 5, UINT64_C(1) << 40, 0));
    CHECK_ERROR(EINVAL, send_many(queue, 5, -2));
    CHECK_ERROR(EINVAL, receive_many(queue, 5, -2));
    CHECK_ERROR(EINVAL, mqrs_sendmmsg(queue, messages, sizeof *messages - 8, 5, 0, 0));
    CHECK_ERROR(EINVAL, mqrs_recvmmsg(queue, messages, sizeof *messages + 1, 5, 0, 0));
    CHECK_ERROR(EFAULT, mqrs_sendmmsg(queue, NULL, sizeof *messages, 5, 0, 0));
    CHECK_ERROR(EFAULT, mqrs_recvmmsg(queue, NULL, sizeof *messages, 5, 0, 0));
    CHECK_ERROR(EFAULT, mqrs_sendmmsg(queue, messages, sizeof *messages, SIZE_MAX / 8, 0, 0));
    CHECK_ERROR(ENOTSUP, mqrs_sendmmsg(queue, messages, sizeof *messages, 5, MQRS_SEND_TYPE, 0));
    CHECK_EQUAL(0, mqrs_sendmmsg(queue, NULL, sizeof *messages, 0, 0, MQRS_FOREVER));
    CHECK_EQUAL(0, mqrs_recvmmsg(queue, NULL, sizeof *messages, 0, 0, MQRS_FOREVER));
    CHECK_EQUAL(5, messages_in(queue));
    CHECK_OK(mqrs_close(receiver));
    CHECK_OK(mqrs_close(sender));
    close_and_unlink(queue, name);
}

/* The struct of a later version: a program compiled against it, whose fields are 0. */
static void a_larger_stride_is_that_of_a_later_version(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 8, 0);
    struct later {
        struct mqrs_msg now;
        uint64_t later[2];
    } v[3];
    uint64_t numbers[3] = {5, 6, 7};

    memset(v, 0, sizeof v);
    for (size_t i = 0; i < 3; i++) {
        v[i].now.data = &numbers[i];
        v[i].now.len = v[i].now.cap = sizeof numbers[i];
    }
    CHECK_EQUAL(3, mqrs_sendmmsg(queue, &v[0].now, sizeof *v, 3, 0, MQRS_NOWAIT));
    v[2].later[1] = 1;
    CHECK_ERROR(E2BIG, mqrs_sendmmsg(queue, &v[0].now, sizeof *v, 3, 0, MQRS_NOWAIT));
    CHECK_ERROR(E2BIG, mqrs_recvmmsg(queue, &v[0].now, sizeof *v, 3, 0, MQRS_NOWAIT));
    v[2].later[1] = 0;
    memset(numbers, 0, sizeof numbers);
    CHECK_EQUAL(3, mqrs_recvmmsg(queue, &v[0].now, sizeof *v, 3, 0, MQRS_NOWAIT));
    for (size_t i = 0; i < 3; i++)
        CHECK_EQUAL(5 + i, numbers[i]);
    close_and_unlink(queue, name);
}

/* Other transports make single calls of it. */
static void the_kernels_queues_take_batches_too(void)
{
    enum { COUNT = 4 };
    static const char *const prefixes[] = {"posix:/", "sysv:/"};

    for (int t = 0; t < 2; t++) {
        struct mqrs_limits limits;
        struct mqrs_attr attr;
        char address[80];
        mqrs_queue *queue;

        CHECK_OK(mqrs_getlimits(t == 0 ? MQRS_POSIX : MQRS_SYSV, &limits, sizeof limits));
        if (limits.unavailable != 0)
            continue;
        snprintf(address, sizeof address, "%s%s", prefixes[t], new_name() + 1);
        queue = create_queue(address, COUNT, 8, 0);
        prepare(COUNT, 1);
        if (t == 0)
            messages[COUNT - 1].len = 9;
        else
            messages[COUNT - 1].prio = MQRS_PRIO_MAX + 1;
        CHECK_ERROR(t == 0 ? EMSGSIZE : EINVAL, send_many(queue, COUNT, MQRS_NOWAIT));
        CHECK_EQUAL(0, messages_in(queue));
        prepare(COUNT, 1);
        CHECK_EQUAL(COUNT, send_many(queue, COUNT, MQRS_NOWAIT));
        CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
        if (attr.capabilities & MQRS_CAP_PEEK) {
            prepare(MOST, 100);
            CHECK_EQUAL(COUNT, mqrs_recvmmsg(queue, messages, sizeof *messages, MOST,
                                             MQRS_RECV_PEEK, MQRS_NOWAIT));
            for (size_t i = 0; i < COUNT; i++)
                CHECK_EQUAL(1 + i, bodies[i]);
            CHECK_EQUAL(COUNT, messages_in(queue));
        }
        /* Only the first is waited for. */
        prepare(MOST, 100);
        CHECK_EQUAL(COUNT, receive_many(queue, MOST, MQRS_FOREVER));
        for (size_t i = 0; i < COUNT; i++)
            CHECK_EQUAL(1 + i, bodies[i]);
        CHECK_ERROR(EAGAIN, receive_many(queue, MOST, MQRS_NOWAIT));
        close_and_unlink(queue, address);
    }
}

static void a_batch_notifies_once(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 8, 0);
    siginfo_t info;

    block_signal(SIGUSR1);
    /* The send before was of the same priority, and is confirmed: what makes batches fast. */
    send_text(queue, "x", 0);
    EXPECT_TEXT(queue, "x", 0);
    CHECK_OK(mqrs_notify_signal(queue, SIGUSR1, 3, 0));
    prepare(5, 0);
    CHECK_EQUAL(5, send_many(queue, 5, MQRS_NOWAIT));
    info = take_signal(SIGUSR1);
    CHECK_EQUAL(3, info.si_value.sival_int);
    CHECK_EQUAL(5, drain(queue));
    close_and_unlink(queue, name);
}

/* Many processes with batches of all sizes: everything arrives once, in its sender's order. */
static void batches_of_many_processes_lose_nothing(void)
{
    enum { SENDERS = 3, RECEIVERS = 3, EACH = 20000, SLOTS = SENDERS * EACH };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 40, 8, 0);
    uint8_t *seen = shared_memory(SLOTS);
    pid_t senders[SENDERS], receivers[RECEIVERS];

    for (uint64_t s = 0; s < SENDERS; s++) {
        senders[s] = start_child();
        if (senders[s] == 0) {
            uint64_t next = 0;

            while (next < EACH) {
                size_t count = 1 + next % 37;
                ssize_t sent;

                prepare(count, s * EACH + next);
                for (size_t i = 0; i < count; i++)
                    messages[i].prio = next % 1000 < 100 ? (uint32_t)(s + i) % 3 : 1;
                if (count > EACH - next)
                    count = EACH - next;
                sent = CHECK_OK(send_many(queue, count, MQRS_FOREVER));
                next += (uint64_t)sent;
            }
            CHILD_END;
        }
    }
    for (int r = 0; r < RECEIVERS; r++) {
        receivers[r] = start_child();
        if (receivers[r] == 0) {
            uint64_t last[SENDERS][3] = {{0}};

            for (;;) {
                ssize_t got;

                prepare(MOST, 0);
                got = receive_many(queue, 1 + (size_t)last[0][1] % 50, MQRS_FOREVER);
                if (got == -EPIPE)
                    CHILD_END;
                CHECK_OK(got);
                for (ssize_t i = 0; i < got; i++) {
                    uint64_t sender = bodies[i] / EACH, number = bodies[i] % EACH + 1;

                    CHECK(bodies[i] < SLOTS);
                    CHECK_EQUAL(0, __atomic_exchange_n(&seen[bodies[i]], 1, __ATOMIC_RELAXED));
                    CHECK(number > last[sender][messages[i].prio]);
                    last[sender][messages[i].prio] = number;
                }
            }
        }
    }
    for (int s = 0; s < SENDERS; s++)
        JOIN(senders[s]);
    CHECK_OK(mqrs_shutdown(queue));
    for (int r = 0; r < RECEIVERS; r++)
        JOIN(receivers[r]);
    for (size_t i = 0; i < SLOTS; i++)
        CHECK_EQUAL(1, seen[i]);
    SYSTEM(munmap(seen, SLOTS));
    close_and_unlink(queue, name);
}

/* Killed in the middle of batches, again and again: the queue keeps all its slots. */
static void who_dies_in_a_batch_harms_nobody(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 40, 8, 0);

    for (int round = 0; round < 300; round++) {
        pid_t child = start_child();

        if (child == 0) {
            for (;;) {
                prepare(30, 0);
                for (size_t i = 0; i < 30; i++)
                    messages[i].prio = round % 2 ? (uint32_t)i % 2 : 0;
                send_many(queue, 30, MQRS_NOWAIT);
                receive_many(queue, 30, MQRS_NOWAIT);
            }
        }
        for (volatile int i = 0; i < 30000; i++)
            ;
        kill_child(child);
        drain(queue);
        CHECK_EQUAL(40, fill(queue));
        CHECK_EQUAL(40, drain(queue));
    }
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_batch_arrives_in_order);
    RUN(a_batch_of_several_priorities_is_received_by_priority);
    RUN(as_many_are_sent_as_there_is_room_for);
    RUN(a_batch_waits_for_its_first_message_only);
    RUN(one_batch_wakes_all_who_wait);
    RUN(what_does_not_fit_ends_a_batch);
    RUN(all_are_checked_before_any_moves);
    RUN(a_larger_stride_is_that_of_a_later_version);
    RUN(the_kernels_queues_take_batches_too);
    RUN(a_batch_notifies_once);
    RUN(batches_of_many_processes_lose_nothing);
    RUN(who_dies_in_a_batch_harms_nobody);
    return check_end();
}
