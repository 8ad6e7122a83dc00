/* A receive on an empty queue sleeps until a message comes. */
#include "check.h"

enum { SLEEPERS = 3 };

static void a_message_wakes_a_sleeping_receiver(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    for (int round = 0; round < 20; round++) {
        pid_t child = start_child();

        if (child == 0) {
            char buffer[16];
            uint32_t prio;

            CHECK_EQUAL(5, mqrs_receive(queue, buffer, 16, &prio));
            CHECK(memcmp("hello", buffer, 5) == 0);
            CHECK_EQUAL(round, prio);
            CHILD_END;
        }
        wait_until_asleep(child);
        send_text(queue, "hello", (uint32_t)round);
        JOIN(child);
        CHECK_EQUAL(0, messages_in(queue));
    }
    close_and_unlink(queue, name);
}

/* All of them asleep on the empty queue, each for one message. */
static void start_receivers(mqrs_queue *queue, pid_t *children)
{
    for (int i = 0; i < SLEEPERS; i++)
        if ((children[i] = start_child()) == 0) {
            char buffer[16];

            CHECK_EQUAL(4, mqrs_receive(queue, buffer, 16, NULL));
            CHILD_END;
        }
    for (int i = 0; i < SLEEPERS; i++)
        wait_until_asleep(children[i]);
}

static void each_message_wakes_one_of_several(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, SLEEPERS, 16, 0);
    pid_t children[SLEEPERS];

    start_receivers(queue, children);
    for (int i = 0; i < SLEEPERS; i++) {
        send_text(queue, "work", 0);
        JOIN(-1);
        CHECK_EQUAL(0, messages_in(queue));
    }
    close_and_unlink(queue, name);
}

static void a_burst_of_messages_wakes_as_many_receivers(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, SLEEPERS, 16, 0);

    for (int round = 0; round < 20; round++) {
        pid_t children[SLEEPERS];

        start_receivers(queue, children);
        for (int i = 0; i < SLEEPERS; i++)
            send_text(queue, "work", (uint32_t)i);
        for (int i = 0; i < SLEEPERS; i++)
            JOIN(children[i]);
        CHECK_EQUAL(0, messages_in(queue));
    }
    close_and_unlink(queue, name);
}

static void a_killed_sleeper_takes_no_message_with_it(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    for (int round = 0; round < 20; round++) {
        pid_t doomed = start_child(), survivor;
        char buffer[16];

        if (doomed == 0) {
            mqrs_receive(queue, buffer, 16, NULL);
            FAIL("a receive ended though nothing was sent");
        }
        if ((survivor = start_child()) == 0) {
            CHECK_EQUAL(4, mqrs_receive(queue, buffer, 16, NULL));
            CHILD_END;
        }
        wait_until_asleep(doomed);
        wait_until_asleep(survivor);
        kill_child(doomed);
        send_text(queue, "work", 0);
        JOIN(survivor);
        CHECK_EQUAL(0, messages_in(queue));
    }
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_message_wakes_a_sleeping_receiver);
    RUN(each_message_wakes_one_of_several);
    RUN(a_burst_of_messages_wakes_as_many_receivers);
    RUN(a_killed_sleeper_takes_no_message_with_it);
    return check_end();
}
