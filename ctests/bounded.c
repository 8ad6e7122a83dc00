/* A queue holds exactly maxmsg messages. */
#include "check.h"

static void holds_exactly(uint64_t maxmsg)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, maxmsg, 16, 0);

    /* Twice round and from different starting points. */
    for (int round = 0; round < 3; round++) {
        CHECK_EQUAL(maxmsg, fill(queue));
        CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "x", 1, MQRS_PRIO_MAX, MQRS_NOWAIT));
        CHECK_EQUAL(maxmsg, messages_in(queue));

        EXPECT_TEXT(queue, "x", 0);
        CHECK_EQUAL(1, fill(queue));

        CHECK_EQUAL(maxmsg, drain(queue));
        CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, (char[16]){0}, 16, MQRS_NOWAIT, NULL));
        CHECK_EQUAL(0, messages_in(queue));
    }
    close_and_unlink(queue, name);
}

static void a_full_queue_refuses_one_more_and_a_receive_makes_room_for_one(void)
{
    static const uint64_t sizes[] = {1, 2, 3, 7, 64, 65, 1000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        holds_exactly(sizes[i]);
}

static void the_bound_is_the_same_with_mixed_priorities(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 20, 16, 0);

    for (uint32_t i = 0; i < 20; i++)
        CHECK_OK(mqrs_timedsend(queue, "x", 1, i % 5, MQRS_NOWAIT));
    for (uint32_t prio = 0; prio < 6; prio++)
        CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "x", 1, prio, MQRS_NOWAIT));
    EXPECT_TEXT(queue, "x", 4);
    CHECK_OK(mqrs_timedsend(queue, "y", 1, 9, MQRS_NOWAIT));
    CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "x", 1, 9, MQRS_NOWAIT));
    EXPECT_TEXT(queue, "y", 9);
    CHECK_EQUAL(19, drain(queue));
    close_and_unlink(queue, name);
}

static void a_refused_message_is_not_in_the_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, O_NONBLOCK);

    send_text(queue, "first", 0);
    CHECK_ERROR(EAGAIN, mqrs_send(queue, "second", 6, 9));
    EXPECT_TEXT(queue, "first", 0);
    CHECK_ERROR(EAGAIN, mqrs_receive(queue, (char[16]){0}, 16, NULL));
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_full_queue_refuses_one_more_and_a_receive_makes_room_for_one);
    RUN(the_bound_is_the_same_with_mixed_priorities);
    RUN(a_refused_message_is_not_in_the_queue);
    return check_end();
}
