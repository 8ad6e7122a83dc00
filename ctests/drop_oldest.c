/* A full queue that loses its oldest message of the lowest priority instead of making its
 * sender wait. */
#include "check.h"

static int send_dropping(mqrs_queue *queue, const char *text, uint32_t prio, int64_t timeout_ns)
{
    struct mqrs_msg message = {0};
    char copy[100];

    memcpy(copy, text, strlen(text));
    message.data = copy;
    message.len = strlen(text);
    message.prio = prio;
    return mqrs_sendmsg(queue, &message, sizeof message, MQRS_SEND_DROP_OLDEST, timeout_ns);
}

static uint64_t dropped_by(mqrs_queue *queue)
{
    struct mqrs_stats stats;

    CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    return stats.dropped;
}

static void a_queue_with_room_drops_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 100, 0);

    CHECK_OK(send_dropping(queue, "a", 0, MQRS_NOWAIT));
    CHECK_OK(send_dropping(queue, "b", 0, MQRS_NOWAIT));
    CHECK_EQUAL(0, dropped_by(queue));
    EXPECT_TEXT(queue, "a", 0);
    EXPECT_TEXT(queue, "b", 0);
    close_and_unlink(queue, name);
}

static void a_full_queue_of_one_priority_drops_its_oldest(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 3, 100, 0);

    send_text(queue, "a", 1);
    send_text(queue, "b", 1);
    send_text(queue, "c", 1);
    CHECK_OK(send_dropping(queue, "d", 1, MQRS_NOWAIT));
    CHECK_OK(send_dropping(queue, "e", 2, MQRS_NOWAIT));
    CHECK_EQUAL(2, dropped_by(queue));
    CHECK_EQUAL(3, messages_in(queue));
    EXPECT_TEXT(queue, "e", 2);
    EXPECT_TEXT(queue, "c", 1);
    EXPECT_TEXT(queue, "d", 1);
    CHECK_EQUAL(0, drain(queue));
    close_and_unlink(queue, name);
}

static void a_full_queue_of_several_drops_the_oldest_of_the_lowest(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 100, 0);

    send_text(queue, "high", 9);
    send_text(queue, "low 1", 2);
    send_text(queue, "middle", 5);
    send_text(queue, "low 2", 2);
    CHECK_OK(send_dropping(queue, "new 1", 2, MQRS_NOWAIT));
    CHECK_OK(send_dropping(queue, "new 2", 7, MQRS_NOWAIT));
    CHECK_OK(send_dropping(queue, "new 3", 7, MQRS_NOWAIT));
    CHECK_EQUAL(3, dropped_by(queue));
    EXPECT_TEXT(queue, "high", 9);
    EXPECT_TEXT(queue, "new 2", 7);
    EXPECT_TEXT(queue, "new 3", 7);
    EXPECT_TEXT(queue, "middle", 5);
    CHECK_EQUAL(0, drain(queue));
    close_and_unlink(queue, name);
}

static void the_newest_of_the_lowest_stays(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 3, 100, 0);

    send_text(queue, "high", 9);
    send_text(queue, "older", 2);
    send_text(queue, "newer", 2);
    CHECK_OK(send_dropping(queue, "new", 9, MQRS_NOWAIT));
    EXPECT_TEXT(queue, "high", 9);
    EXPECT_TEXT(queue, "new", 9);
    EXPECT_TEXT(queue, "newer", 2);
    CHECK_EQUAL(0, drain(queue));
    close_and_unlink(queue, name);
}

static void any_number_of_messages_may_be_dropped(void)
{
    enum { COUNT = 500 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 3, 100, 0);

    for (int i = 0; i < COUNT; i++)
        CHECK_OK(send_dropping(queue, "one priority", 0, MQRS_NOWAIT));
    CHECK_OK(send_dropping(queue, "another", 1, MQRS_NOWAIT));
    for (int i = 0; i < COUNT; i++)
        CHECK_OK(send_dropping(queue, "two priorities", 0, MQRS_NOWAIT));
    CHECK_EQUAL(3, messages_in(queue));
    CHECK_EQUAL(2 * COUNT + 1 - 3, dropped_by(queue));
    close_and_unlink(queue, name);
}

static void what_is_above_the_new_message_stays(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 100, 0);

    send_text(queue, "a", 5);
    send_text(queue, "b", 5);
    CHECK_ERROR(EAGAIN, send_dropping(queue, "below", 4, MQRS_NOWAIT));
    CHECK_ERROR(ETIMEDOUT, send_dropping(queue, "below", 4, MILLISECOND));
    CHECK_OK(mqrs_set_nonblock(queue, 1));
    CHECK_ERROR(EAGAIN, send_dropping(queue, "below", 4, MQRS_FOREVER));
    EXPECT_TEXT(queue, "a", 5);
    send_text(queue, "c", 6);
    CHECK_ERROR(EAGAIN, send_dropping(queue, "below", 4, MQRS_NOWAIT));
    CHECK_EQUAL(0, dropped_by(queue));
    EXPECT_TEXT(queue, "c", 6);
    EXPECT_TEXT(queue, "b", 5);
    close_and_unlink(queue, name);
}

static void a_send_below_the_queue_waits_for_room(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 100, 0);
    pid_t child;

    send_text(queue, "high", 5);
    child = start_child();
    if (child == 0) {
        CHECK_OK(send_dropping(queue, "low", 4, MQRS_FOREVER));
        CHILD_END;
    }
    wait_until_asleep(child);
    EXPECT_TEXT(queue, "high", 5);
    JOIN(child);
    EXPECT_TEXT(queue, "low", 4);
    CHECK_EQUAL(0, dropped_by(queue));
    close_and_unlink(queue, name);
}

/* Every message is received or counted as dropped, never both, and what is received of one
 * sender is in its order. */
static void senders_that_drop_and_receivers_lose_nothing_uncounted(void)
{
    enum { SENDERS = 3, EACH = 30000 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 5, 16, 0);
    struct mqrs_stats stats;
    uint32_t last[SENDERS][2];
    uint64_t received = 0;
    pid_t children[SENDERS];
    unsigned ended = 0;

    memset(last, 0, sizeof last);
    for (uint32_t s = 0; s < SENDERS; s++) {
        children[s] = start_child();
        if (children[s] == 0) {
            for (uint32_t i = 1; i <= EACH; i++) {
                uint32_t body[3] = {s, i, i / 100 % 2};
                struct mqrs_msg message = {0};

                message.data = body;
                message.len = sizeof body;
                message.prio = body[2];
                CHECK_OK(mqrs_sendmsg(queue, &message, sizeof message, MQRS_SEND_DROP_OLDEST,
                                      MQRS_FOREVER));
            }
            CHILD_END;
        }
    }
    while (ended < SENDERS || messages_in(queue) > 0) {
        uint32_t body[4];
        ssize_t got = mqrs_timedreceive(queue, body, sizeof body, MILLISECOND, NULL);

        if (got == -ETIMEDOUT) {
            while (ended < SENDERS && waitpid(children[ended], NULL, WNOHANG) == children[ended])
                ended++;
            continue;
        }
        CHECK_EQUAL(12, got);
        CHECK(body[0] < SENDERS && body[2] < 2);
        CHECK(body[1] > last[body[0]][body[2]]);
        last[body[0]][body[2]] = body[1];
        received++;
    }
    CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    CHECK_EQUAL(SENDERS * EACH, stats.sent);
    CHECK_EQUAL(received, stats.received);
    CHECK_EQUAL(SENDERS * EACH, received + stats.dropped);
    close_and_unlink(queue, name);
}

static void the_flag_goes_with_batches(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 3, 100, 0);
    struct mqrs_msg v[5];
    char text[5] = "abcde";

    memset(v, 0, sizeof v);
    for (size_t i = 0; i < 5; i++) {
        v[i].data = &text[i];
        v[i].len = 1;
    }
    CHECK_EQUAL(5, mqrs_sendmmsg(queue, v, sizeof *v, 5, MQRS_SEND_DROP_OLDEST, MQRS_NOWAIT));
    CHECK_EQUAL(2, dropped_by(queue));
    EXPECT_TEXT(queue, "c", 0);
    EXPECT_TEXT(queue, "d", 0);
    EXPECT_TEXT(queue, "e", 0);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_queue_with_room_drops_nothing);
    RUN(a_full_queue_of_one_priority_drops_its_oldest);
    RUN(a_full_queue_of_several_drops_the_oldest_of_the_lowest);
    RUN(the_newest_of_the_lowest_stays);
    RUN(any_number_of_messages_may_be_dropped);
    RUN(what_is_above_the_new_message_stays);
    RUN(a_send_below_the_queue_waits_for_room);
    RUN(senders_that_drop_and_receivers_lose_nothing_uncounted);
    RUN(the_flag_goes_with_batches);
    return check_end();
}
