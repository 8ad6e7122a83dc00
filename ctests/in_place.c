/* Messages written and read where they lie: reserve, commit, abort, acquire, release, requeue;
 * how many slots may be out, and what becomes of them when their holder dies, forks or closes. */
#include "check.h"

enum { MAXMSG = 8, MSGSIZE = 256, LOANS = 16 };

static mqrs_queue *create_redelivering(const char *name, uint64_t maxmsg)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue = NULL;

    options.flags = MQRS_OPT_REDELIVER;
    options.maxmsg = maxmsg;
    options.msgsize = MSGSIZE;
    CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue));
    return queue;
}

static void *reserve(mqrs_queue *queue, size_t len)
{
    void *slot = NULL;

    CHECK_OK(mqrs_reserve(queue, len, MQRS_NOWAIT, &slot));
    CHECK(slot != NULL && (uintptr_t)slot % 8 == 0);
    return slot;
}

/* The next message is this text with this priority, and it is there already. */
static const void *acquire(mqrs_queue *queue, const char *text, uint32_t prio)
{
    const void *data = NULL;
    uint32_t got = UINT32_MAX;

    CHECK_EQUAL(strlen(text), mqrs_acquire(queue, MQRS_NOWAIT, &data, &got));
    CHECK(data != NULL && (uintptr_t)data % 8 == 0);
    CHECK(memcmp(data, text, strlen(text)) == 0);
    CHECK_EQUAL(prio, got);
    return data;
}

/* The state of the next message, which must be there already. */
static uint32_t receive_state(mqrs_queue *queue)
{
    char buffer[MSGSIZE];
    struct mqrs_msg message = {0};

    message.data = buffer;
    message.cap = sizeof buffer;
    CHECK_OK(mqrs_recvmsg(queue, &message, sizeof message, 0, MQRS_NOWAIT));
    return message.state;
}

/* A child that has done something and then waits to be killed. */
static pid_t start_holder(mqrs_queue *queue, void (*hold)(mqrs_queue *queue))
{
    struct gate gate = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        hold(queue);
        open_gate(gate);
        for (;;)
            pause();
    }
    pass_gate(gate);
    return child;
}

/* As good as new: nothing is queued, everything fits, every slot can be lent. */
static void check_as_new(mqrs_queue *queue, uint64_t maxmsg)
{
    void *slots[LOANS];

    CHECK_EQUAL(0, messages_in(queue));
    for (int i = 0; i < LOANS; i++)
        slots[i] = reserve(queue, MSGSIZE);
    CHECK_EQUAL(maxmsg, fill(queue));
    CHECK_EQUAL(maxmsg, drain(queue));
    for (int i = 0; i < LOANS; i++)
        CHECK_OK(mqrs_abort(queue, slots[i]));
}

static void what_is_written_in_place_is_received(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    pid_t child = start_child();
    const void *data = NULL;
    uint32_t prio;

    if (child == 0) {
        void *slot = NULL;

        CHECK_OK(mqrs_reserve(queue, MSGSIZE, MQRS_FOREVER, &slot));
        memset(slot, 'x', MSGSIZE);
        CHECK_OK(mqrs_commit(queue, slot, MSGSIZE, 7));
        slot = reserve(queue, 10);
        memcpy(slot, "short", 5);
        CHECK_OK(mqrs_commit(queue, slot, 5, 3));
        CHECK_OK(mqrs_commit(queue, reserve(queue, 0), 0, 1));
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }

    CHECK_EQUAL(MSGSIZE, mqrs_acquire(queue, MQRS_FOREVER, &data, &prio));

    CHECK_EQUAL(7, prio);
    for (int i = 0; i < MSGSIZE; i++)
        CHECK_EQUAL('x', ((const char *)data)[i]);
    CHECK_OK(mqrs_release(queue, data));
    JOIN(child);
    CHECK_OK(mqrs_release(queue, acquire(queue, "short", 3)));
    CHECK_OK(mqrs_release(queue, acquire(queue, "", 1)));
    check_as_new(queue, MAXMSG);
    close_and_unlink(queue, name);
}

static void the_capability_says_so(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    struct mqrs_attr attr;

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));

    CHECK(attr.capabilities & MQRS_CAP_ZERO_COPY);
    close_and_unlink(queue, name);
}

static void a_reservation_is_no_place_in_the_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    void *slot = reserve(queue, 5);

    CHECK_EQUAL(0, messages_in(queue));
    CHECK_EQUAL(MAXMSG, fill(queue));

    CHECK_ERROR(EAGAIN, mqrs_timedcommit(queue, slot, 5, 9, MQRS_NOWAIT));
    CHECK_ERROR(ETIMEDOUT, mqrs_timedcommit(queue, slot, 5, 9, MILLISECOND));
    CHECK_OK(mqrs_set_nonblock(queue, 1));
    CHECK_ERROR(EAGAIN, mqrs_commit(queue, slot, 5, 9));
    CHECK_OK(mqrs_set_nonblock(queue, 0));
    memcpy(slot, "later", 5);
    EXPECT_TEXT(queue, "x", 0);
    CHECK_OK(mqrs_commit(queue, slot, 5, 9));

    EXPECT_TEXT(queue, "later", 9);
    CHECK_EQUAL(MAXMSG - 1, drain(queue));
    check_as_new(queue, MAXMSG);
    close_and_unlink(queue, name);
}

static void the_order_is_that_of_the_commits(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    void *first = memcpy(reserve(queue, 1), "a", 1);
    void *second = memcpy(reserve(queue, 1), "b", 1);
    void *third = memcpy(reserve(queue, 1), "c", 1);

    CHECK_OK(mqrs_commit(queue, third, 1, 4));
    send_text(queue, "sent", 4);
    CHECK_OK(mqrs_commit(queue, first, 1, 4));
    CHECK_OK(mqrs_commit(queue, second, 1, 5));

    EXPECT_TEXT(queue, "b", 5);
    EXPECT_TEXT(queue, "c", 4);
    EXPECT_TEXT(queue, "sent", 4);
    EXPECT_TEXT(queue, "a", 4);
    close_and_unlink(queue, name);
}

static void reserve_waits_for_room_and_holds_none(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    void *slot = NULL;
    pid_t child;

    CHECK_EQUAL(MAXMSG, fill(queue));
    CHECK_ERROR(EAGAIN, mqrs_reserve(queue, 1, MQRS_NOWAIT, &slot));
    CHECK_ERROR(ETIMEDOUT, mqrs_reserve(queue, 1, MILLISECOND, &slot));
    CHECK(slot == NULL);
    child = start_child();
    if (child == 0) {
        CHECK_OK(mqrs_reserve(queue, 1, MQRS_FOREVER, &slot));
        CHECK_OK(mqrs_commit(queue, memcpy(slot, "y", 1), 1, 0));
        CHILD_END;
    }

    EXPECT_TEXT(queue, "x", 0);
    JOIN(child);

    CHECK_EQUAL(MAXMSG, drain(queue));
    close_and_unlink(queue, name);
}

static void what_is_acquired_makes_room_at_once(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, MSGSIZE, 0);
    const void *data;
    pid_t child;

    send_text(queue, "one", 0);
    child = start_child();
    if (child == 0) {
        CHECK_OK(mqrs_send(queue, "two", 3, 0));
        CHILD_END;
    }
    data = acquire(queue, "one", 0);
    JOIN(child);

    CHECK_EQUAL(1, messages_in(queue));
    CHECK(memcmp(data, "one", 3) == 0);
    CHECK_OK(mqrs_release(queue, data));
    EXPECT_TEXT(queue, "two", 0);
    check_as_new(queue, 1);
    close_and_unlink(queue, name);
}

static void a_requeued_message_is_the_newest_of_its_priority_and_marked(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 3, MSGSIZE, 0);
    mqrs_queue *receiver = open_queue(name, O_RDONLY);
    const void *data;

    send_text(queue, "first", 2);
    send_text(queue, "second", 2);
    data = acquire(receiver, "first", 2);
    send_text(queue, "low", 1);
    send_text(queue, "low too", 1);
    CHECK_ERROR(EAGAIN, mqrs_requeue(receiver, data));
    CHECK(memcmp(data, "first", 5) == 0);
    CHECK_EQUAL(0, receive_state(queue));

    CHECK_OK(mqrs_requeue(receiver, data));

    CHECK_EQUAL(MQRS_MSG_REDELIVERED, receive_state(queue));
    CHECK_EQUAL(0, receive_state(queue));
    CHECK_EQUAL(0, receive_state(queue));
    CHECK_EQUAL(3, fill(queue));
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(0, receive_state(queue));
    check_as_new(queue, 3);
    CHECK_OK(mqrs_close(receiver));
    close_and_unlink(queue, name);
}

static void a_queue_that_was_shut_down_takes_back_what_it_had(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    void *slot = reserve(queue, 1);
    void *another = NULL;
    const void *data;

    send_text(queue, "kept", 0);
    data = acquire(queue, "kept", 0);
    CHECK_OK(mqrs_shutdown(queue));

    CHECK_ERROR(EPIPE, mqrs_commit(queue, slot, 1, 0));
    CHECK_OK(mqrs_abort(queue, slot));
    CHECK_ERROR(EPIPE, mqrs_reserve(queue, 1, MQRS_FOREVER, &another));
    CHECK_OK(mqrs_requeue(queue, data));
    CHECK_OK(mqrs_release(queue, acquire(queue, "kept", 0)));
    CHECK_ERROR(EPIPE, mqrs_acquire(queue, MQRS_FOREVER, &data, NULL));
    close_and_unlink(queue, name);
}

static void so_many_slots_are_lent_and_no_more(void)
{
    const struct { uint64_t maxmsg; int loans; } sizes[] = {{1, 16}, {64, 16}, {200, 25}, {1000, 32}};

    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const char *name = new_name();
        mqrs_queue *queue = create_queue(name, sizes[k].maxmsg, MSGSIZE, 0);
        mqrs_queue *other = open_queue(name, O_RDWR);
        void *slots[32], *more = NULL;
        const void *data = NULL;

        for (int i = 0; i < sizes[k].loans; i++)
            slots[i] = memset(reserve(i % 2 ? queue : other, MSGSIZE), i, MSGSIZE);

        CHECK_ERROR(ENOBUFS, mqrs_reserve(queue, 1, MQRS_FOREVER, &more));
        CHECK_ERROR(EAGAIN, mqrs_acquire(queue, MQRS_NOWAIT, &data, NULL));
        CHECK_EQUAL(sizes[k].maxmsg, fill(queue));
        CHECK_ERROR(ENOBUFS, mqrs_acquire(queue, MQRS_FOREVER, &data, NULL));
        CHECK_EQUAL(sizes[k].maxmsg, messages_in(queue));
        CHECK_EQUAL(sizes[k].maxmsg, drain(other));
        for (int i = 0; i < sizes[k].loans; i++) {
            for (int at = 0; at < MSGSIZE; at++)
                CHECK_EQUAL(i, ((unsigned char *)slots[i])[at]);
            CHECK_OK(mqrs_abort(i % 2 ? queue : other, slots[i]));
        }
        check_as_new(queue, sizes[k].maxmsg);
        CHECK_OK(mqrs_close(other));
        close_and_unlink(queue, name);
    }
}

static void only_what_was_lent_so_is_taken_back(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    mqrs_queue *other = open_queue(name, O_RDWR);
    char own[MSGSIZE] = "";
    char *slot = reserve(queue, 8);
    const char *data;
    pid_t child;

    send_text(queue, "text", 0);
    data = acquire(queue, "text", 0);

    CHECK_ERROR(EINVAL, mqrs_commit(queue, own, 1, 0));
    CHECK_ERROR(EINVAL, mqrs_commit(queue, slot + 1, 1, 0));
    CHECK_ERROR(EINVAL, mqrs_commit(queue, slot - 64, 1, 0));
    CHECK_ERROR(EINVAL, mqrs_commit(other, slot, 1, 0));
    CHECK_ERROR(EINVAL, mqrs_abort(other, slot));
    CHECK_ERROR(EINVAL, mqrs_release(queue, slot));
    CHECK_ERROR(EINVAL, mqrs_requeue(queue, slot));
    CHECK_ERROR(EINVAL, mqrs_release(other, data));
    CHECK_ERROR(EINVAL, mqrs_release(queue, data + 8));
    CHECK_ERROR(EINVAL, mqrs_commit(queue, (void *)(uintptr_t)data, 1, 0));
    CHECK_ERROR(EINVAL, mqrs_abort(queue, (void *)(uintptr_t)data));
    CHECK_ERROR(EFAULT, mqrs_abort(queue, NULL));
    CHECK_ERROR(EFAULT, mqrs_commit(queue, NULL, 0, 0));
    CHECK_ERROR(EFAULT, mqrs_release(queue, NULL));
    CHECK_ERROR(EFAULT, mqrs_requeue(queue, NULL));
    child = start_child();
    if (child == 0) {
        CHECK_ERROR(EINVAL, mqrs_commit(queue, slot, 1, 0));
        CHECK_ERROR(EINVAL, mqrs_abort(queue, slot));
        CHECK_ERROR(EINVAL, mqrs_release(queue, data));
        CHECK_ERROR(EINVAL, mqrs_requeue(queue, data));
        CHECK_OK(mqrs_abort(queue, reserve(queue, 1)));
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }
    JOIN(child);

    CHECK_OK(mqrs_release(queue, data));
    CHECK_ERROR(EINVAL, mqrs_release(queue, data));
    CHECK_OK(mqrs_commit(queue, memcpy(slot, "fine", 4), 4, 0));
    CHECK_ERROR(EINVAL, mqrs_commit(queue, slot, 4, 0));
    CHECK_ERROR(EINVAL, mqrs_abort(queue, slot));
    EXPECT_TEXT(queue, "fine", 0);
    CHECK_OK(mqrs_close(other));
    check_as_new(queue, MAXMSG);
    close_and_unlink(queue, name);
}

static void arguments_are_checked_before_anything_is_done(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    mqrs_queue *sender = open_queue(name, O_WRONLY);
    mqrs_queue *receiver = open_queue(name, O_RDONLY);
    void *slot = NULL, *kept;
    const void *data = NULL;

    CHECK_ERROR(EBADF, mqrs_reserve(NULL, 1, MQRS_NOWAIT, &slot));
    CHECK_ERROR(EBADF, mqrs_reserve(receiver, 1, MQRS_NOWAIT, &slot));
    CHECK_ERROR(EBADF, mqrs_acquire(sender, MQRS_NOWAIT, &data, NULL));
    CHECK_ERROR(EINVAL, mqrs_reserve(queue, 1, -2, &slot));
    CHECK_ERROR(EINVAL, mqrs_acquire(queue, -2, &data, NULL));
    CHECK_ERROR(EFAULT, mqrs_reserve(queue, 1, MQRS_NOWAIT, NULL));
    CHECK_ERROR(EFAULT, mqrs_acquire(queue, MQRS_NOWAIT, NULL, NULL));
    CHECK_ERROR(EMSGSIZE, mqrs_reserve(queue, MSGSIZE + 1, MQRS_NOWAIT, &slot));
    CHECK(slot == NULL && data == NULL);

    kept = reserve(queue, 8);
    CHECK_ERROR(EINVAL, mqrs_commit(queue, kept, 8, MQRS_PRIO_MAX + 1));
    CHECK_ERROR(EINVAL, mqrs_timedcommit(queue, kept, 8, 0, -2));
    CHECK_ERROR(EMSGSIZE, mqrs_commit(queue, kept, 9, 0));
    CHECK_OK(mqrs_commit(queue, memcpy(kept, "12345678", 8), 8, MQRS_PRIO_MAX));
    CHECK_ERROR(EBADF, mqrs_commit(receiver, kept, 8, 0));

    EXPECT_TEXT(queue, "12345678", MQRS_PRIO_MAX);
    CHECK_OK(mqrs_close(sender));
    CHECK_OK(mqrs_close(receiver));
    close_and_unlink(queue, name);
}

static void hold_everything(mqrs_queue *queue)
{
    for (int i = 0; i < LOANS / 2; i++) {
        const void *data;

        CHECK_OK(mqrs_acquire(queue, MQRS_NOWAIT, &data, NULL));
        memset(reserve(queue, MSGSIZE), 1, MSGSIZE);
    }
}

static void the_slots_of_the_dead_come_back(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);

    for (int round = 0; round < 5; round++) {
        CHECK_EQUAL(MAXMSG, fill(queue));
        kill_child(start_holder(queue, hold_everything));

        check_as_new(queue, MAXMSG);
    }
    close_and_unlink(queue, name);
}

static void hold_two(mqrs_queue *queue)
{
    const void *data;

    for (int i = 0; i < 2; i++)
        CHECK_OK(mqrs_acquire(queue, MQRS_NOWAIT, &data, NULL));
    memset(reserve(queue, MSGSIZE), 1, MSGSIZE);
}

static void what_the_dead_had_acquired_is_sent_again_where_that_was_asked_for(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_redelivering(name, 4);
    char buffer[MSGSIZE];

    for (int round = 0; round < 3; round++) {
        CHECK_EQUAL(4, fill(queue));
        kill_child(start_holder(queue, hold_two));
        CHECK_OK(mqrs_send(queue, "y", 1, 0));
        CHECK_OK(mqrs_send(queue, "y", 1, 0));
        CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "z", 1, 0, MQRS_NOWAIT));

        for (int i = 0; i < 4; i++)
            CHECK_EQUAL(1, mqrs_receive(queue, buffer, sizeof buffer, NULL));
        for (int i = 0; i < 2; i++) {
            struct mqrs_msg message = {0};

            message.data = buffer;
            message.cap = sizeof buffer;
            CHECK_EQUAL(1, mqrs_recvmsg(queue, &message, sizeof message, 0, MQRS_FOREVER));
            CHECK_EQUAL(MQRS_MSG_REDELIVERED, message.state);
            CHECK_EQUAL('x', buffer[0]);
        }
        CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, buffer, MSGSIZE, MQRS_NOWAIT, NULL));
    }
    check_as_new(queue, 4);
    close_and_unlink(queue, name);
}

static void a_receiver_that_never_waits_notices_a_death_too(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_redelivering(name, 4);
    char buffer[MSGSIZE];
    ssize_t result;

    send_text(queue, "again", 3);
    send_text(queue, "and again", 1);
    kill_child(start_holder(queue, hold_two));

    for (int i = 0; i < 2; i++) {
        while ((result = mqrs_timedreceive(queue, buffer, MSGSIZE, MQRS_NOWAIT, NULL)) == -EAGAIN)
            sched_yield();
        CHECK_OK(result);
    }
    check_as_new(queue, 4);
    close_and_unlink(queue, name);
}

/* One call of each kind by which a message is received; its length, or what it says. */
enum form { RECEIVE, NOWAIT, TIMED, MESSAGE, BATCH, PEEK, ACQUIRE, FORMS };

static ssize_t receive_as(mqrs_queue *queue, enum form form)
{
    char buffer[MSGSIZE];
    struct mqrs_msg message = {0};
    const void *data;
    ssize_t result;

    message.data = buffer;
    message.cap = sizeof buffer;
    switch (form) {
    case RECEIVE:
        return mqrs_receive(queue, buffer, sizeof buffer, NULL);
    case NOWAIT:
        return mqrs_timedreceive(queue, buffer, sizeof buffer, MQRS_NOWAIT, NULL);
    case TIMED:
        return mqrs_timedreceive(queue, buffer, sizeof buffer, 50 * SECOND, NULL);
    case MESSAGE:
        return mqrs_recvmsg(queue, &message, sizeof message, 0, MQRS_FOREVER);
    case BATCH:
        result = mqrs_recvmmsg(queue, &message, sizeof message, 1, 0, MQRS_FOREVER);
        return result < 0 ? result : (ssize_t)message.len;
    case PEEK:
        result = mqrs_recvmsg(queue, &message, sizeof message, MQRS_RECV_PEEK, MQRS_FOREVER);
        CHECK_EQUAL(result, mqrs_receive(queue, buffer, sizeof buffer, NULL));
        return result;
    default:
        result = mqrs_acquire(queue, MQRS_FOREVER, &data, NULL);
        if (result >= 0)
            CHECK_OK(mqrs_release(queue, data));
        return result;
    }
}

static void hold_one(mqrs_queue *queue)
{
    const void *data;

    CHECK_OK(mqrs_acquire(queue, MQRS_NOWAIT, &data, NULL));
}

/* However soon after a death, and though somebody has just looked for the dead. */
static void a_queue_is_not_at_its_end_while_the_dead_hold_a_message(void)
{
    for (int form = 0; form < FORMS; form++) {
        const char *name = new_name();
        mqrs_queue *queue = create_redelivering(name, 4);

        send_text(queue, "again", 3);
        kill_child(start_holder(queue, hold_one));
        CHECK_OK(mqrs_shutdown(queue));

        CHECK_EQUAL(5, receive_as(queue, (enum form)form));

        CHECK_EQUAL(-EPIPE, receive_as(queue, (enum form)form));
        close_and_unlink(queue, name);
    }
}

static void closing_gives_everything_back(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);

    for (int round = 0; round < 3; round++) {
        mqrs_queue *other = open_queue(name, O_RDWR);

        CHECK_EQUAL(MAXMSG, fill(queue));
        hold_everything(other);
        CHECK_OK(mqrs_close(other));

        check_as_new(queue, MAXMSG);
    }
    close_and_unlink(queue, name);
}

static void closing_sends_again_what_was_acquired_where_that_was_asked_for(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_redelivering(name, 2);
    mqrs_queue *other = open_queue(name, O_RDWR);

    CHECK_EQUAL(2, fill(queue));
    hold_two(other);
    CHECK_OK(mqrs_close(other));
    CHECK_EQUAL(2, messages_in(queue));
    CHECK_EQUAL(MQRS_MSG_REDELIVERED, receive_state(queue));
    CHECK_EQUAL(MQRS_MSG_REDELIVERED, receive_state(queue));

    /* Without room for them they are as good as a dead one's. */
    other = open_queue(name, O_RDWR);
    CHECK_EQUAL(2, fill(queue));
    hold_two(other);
    CHECK_EQUAL(2, fill(queue));
    CHECK_OK(mqrs_close(other));
    CHECK_EQUAL(2, messages_in(queue));
    CHECK_EQUAL(0, receive_state(queue));
    CHECK_EQUAL(0, receive_state(queue));
    for (int i = 0; i < 2; i++) {
        char buffer[MSGSIZE];

        CHECK_EQUAL(1, mqrs_receive(queue, buffer, sizeof buffer, NULL));
    }
    check_as_new(queue, 2);
    close_and_unlink(queue, name);
}

static void *commit_and_wait(void *argument)
{
    void **work = argument;

    return (void *)(intptr_t)mqrs_commit(work[0], work[1], 1, 0);
}

static void a_slot_is_in_one_calls_hands_at_a_time(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, MSGSIZE, 0);
    void *work[2] = {queue, reserve(queue, 1)};
    struct mqrs_stats stats;
    pthread_t thread;
    void *result;

    memcpy(work[1], "w", 1);
    send_text(queue, "x", 0);
    CHECK_EQUAL(0, pthread_create(&thread, NULL, commit_and_wait, work));
    do
        CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    while (stats.blocked_senders == 0);

    CHECK_ERROR(EINVAL, mqrs_commit(queue, work[1], 1, 0));
    CHECK_ERROR(EINVAL, mqrs_abort(queue, work[1]));

    EXPECT_TEXT(queue, "x", 0);
    CHECK_EQUAL(0, pthread_join(thread, &result));
    CHECK_EQUAL(0, (intptr_t)result);
    EXPECT_TEXT(queue, "w", 0);
    check_as_new(queue, 1);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(what_is_written_in_place_is_received);
    RUN(the_capability_says_so);
    RUN(a_reservation_is_no_place_in_the_queue);
    RUN(the_order_is_that_of_the_commits);
    RUN(reserve_waits_for_room_and_holds_none);
    RUN(what_is_acquired_makes_room_at_once);
    RUN(a_requeued_message_is_the_newest_of_its_priority_and_marked);
    RUN(a_queue_that_was_shut_down_takes_back_what_it_had);
    RUN(so_many_slots_are_lent_and_no_more);
    RUN(only_what_was_lent_so_is_taken_back);
    RUN(arguments_are_checked_before_anything_is_done);
    RUN(the_slots_of_the_dead_come_back);
    RUN(what_the_dead_had_acquired_is_sent_again_where_that_was_asked_for);
    RUN(a_receiver_that_never_waits_notices_a_death_too);
    RUN(a_queue_is_not_at_its_end_while_the_dead_hold_a_message);
    RUN(closing_gives_everything_back);
    RUN(closing_sends_again_what_was_acquired_where_that_was_asked_for);
    RUN(a_slot_is_in_one_calls_hands_at_a_time);
    return check_end();
}
