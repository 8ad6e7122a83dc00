/* A send to a full queue sleeps until there is room. */
#include "check.h"

enum { SLEEPERS = 3 };

static void a_receive_wakes_a_sleeping_sender(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, 0);

    for (int round = 0; round < 20; round++) {
        pid_t child;

        send_text(queue, "first", 0);
        if ((child = start_child()) == 0) {
            CHECK_OK(mqrs_send(queue, "second", 6, 8));
            CHILD_END;
        }
        wait_until_asleep(child);
        /* Its priority gives a waiting message no place in the queue. */
        CHECK_EQUAL(1, messages_in(queue));
        EXPECT_TEXT(queue, "first", 0);
        JOIN(child);
        EXPECT_TEXT(queue, "second", 8);
    }
    close_and_unlink(queue, name);
}

/* All of them asleep on the full queue, each with one message. */
static void start_senders(mqrs_queue *queue, pid_t *children)
{
    for (int i = 0; i < SLEEPERS; i++)
        if ((children[i] = start_child()) == 0) {
            CHECK_OK(mqrs_send(queue, "late", 4, 0));
            CHILD_END;
        }
    for (int i = 0; i < SLEEPERS; i++)
        wait_until_asleep(children[i]);
}

static void room_for_one_lets_one_sender_go_on(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0);
    pid_t children[SLEEPERS];

    CHECK_EQUAL(2, fill(queue));
    start_senders(queue, children);
    for (int i = 0; i < SLEEPERS; i++) {
        char buffer[16];

        CHECK_EQUAL(i < 2 ? 1 : 4, mqrs_receive(queue, buffer, 16, NULL));
        JOIN(-1);
        CHECK_EQUAL(2, messages_in(queue));
    }
    CHECK_EQUAL(2, drain(queue));
    close_and_unlink(queue, name);
}

static void an_emptied_queue_wakes_as_many_senders_as_have_room(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, SLEEPERS, 16, 0);

    for (int round = 0; round < 20; round++) {
        pid_t children[SLEEPERS];

        CHECK_EQUAL(SLEEPERS, fill(queue));
        start_senders(queue, children);
        for (int i = 0; i < SLEEPERS; i++)
            EXPECT_TEXT(queue, "x", 0);
        for (int i = 0; i < SLEEPERS; i++)
            JOIN(children[i]);
        CHECK_EQUAL(SLEEPERS, drain(queue));
    }
    close_and_unlink(queue, name);
}

static void a_killed_sleeper_has_sent_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, 0);

    for (int round = 0; round < 20; round++) {
        pid_t doomed, survivor;

        send_text(queue, "first", 0);
        if ((doomed = start_child()) == 0) {
            mqrs_send(queue, "doomed", 6, 9);
            FAIL("a send ended though there was no room");
        }
        if ((survivor = start_child()) == 0) {
            CHECK_OK(mqrs_send(queue, "survivor", 8, 1));
            CHILD_END;
        }
        wait_until_asleep(doomed);
        wait_until_asleep(survivor);
        kill_child(doomed);
        EXPECT_TEXT(queue, "first", 0);
        JOIN(survivor);
        EXPECT_TEXT(queue, "survivor", 1);
        CHECK_EQUAL(0, messages_in(queue));
    }
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_receive_wakes_a_sleeping_sender);
    RUN(room_for_one_lets_one_sender_go_on);
    RUN(an_emptied_queue_wakes_as_many_senders_as_have_room);
    RUN(a_killed_sleeper_has_sent_nothing);
    return check_end();
}
