/* mqrs_wait for several queues of any transports, for messages and for room: what is ready, and
 * who sleeps for it is woken. */
#include "wait_many.h"

/* ---- What is ready ------------------------------------------------------------ */

static void readiness_is_of_messages_and_of_room(void)
{
    for (int t = 0; t < TRANSPORTS; t++) {
        struct some some = {0};

        if (!is_there(t))
            continue;
        add(&some, t, MQRS_READABLE | MQRS_WRITABLE);
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_WRITABLE, some.items[0].revents);
        send_text(some.items[0].queue, "x", 0);
        CHECK_EQUAL(1, wait_for(&some, MQRS_NOWAIT));
        CHECK_EQUAL(MQRS_READABLE | MQRS_WRITABLE, some.items[0].revents);
        send_text(some.items[0].queue, "x", 0);
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_READABLE, some.items[0].revents);
        some.items[0].events = MQRS_WRITABLE;
        CHECK_EQUAL(0, wait_for(&some, MQRS_NOWAIT));
        CHECK_EQUAL(0, some.items[0].revents);
        some.items[0].events = 0;
        CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
        remove_all(&some);
    }
}

static void neither_directions_nor_nonblocking_matter(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};

        add_mixture(&some, mixture, MQRS_READABLE);
        for (unsigned i = 0; i < some.count; i++) {
            mqrs_queue *sender = open_queue(some.addresses[i], O_WRONLY);
            mqrs_queue *whole = some.items[i].queue;

            CHECK_OK(mqrs_set_nonblock(sender, 1));
            some.items[i].queue = sender;
            CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
            send_text(whole, "x", 0);
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            expect_only(&some, i, MQRS_READABLE);
            EXPECT_TEXT(whole, "x", 0);
            some.items[i].queue = whole;
            CHECK_OK(mqrs_close(sender));
        }
        remove_all(&some);
    }
}

static void a_queue_may_be_there_twice(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        mqrs_queue *again;
        pid_t child;

        add_mixture(&some, mixture, MQRS_READABLE);
        /* By the same handle and by another one. */
        again = open_queue(some.addresses[0], O_RDONLY);
        some.items[some.count] = some.items[0];
        some.items[some.count + 1] = some.items[0];
        some.items[some.count + 1].queue = again;
        CHECK_EQUAL(0, mqrs_wait(some.items, sizeof some.items[0], some.count + 2, MILLISECOND));
        child = start_child();
        if (child == 0) {
            wait_until_asleep(getppid());
            send_text(some.items[0].queue, "x", 0);
            CHILD_END;
        }
        CHECK_EQUAL(3, mqrs_wait(some.items, sizeof some.items[0], some.count + 2, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_READABLE, some.items[some.count].revents);
        CHECK_EQUAL(MQRS_READABLE, some.items[some.count + 1].revents);
        JOIN(child);
        CHECK_OK(mqrs_close(again));
        remove_all(&some);
    }
}

/* ---- Sleeping until it is ------------------------------------------------------ */

/* Each queue of each mixture wakes who sleeps for all, from another process: by a message, or
 * by room. */
static void expect_to_be_woken(uint32_t events)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};

        add_mixture(&some, mixture, events);
        for (unsigned i = 0; i < some.count; i++)
            if (events == MQRS_WRITABLE)
                fill(some.items[i].queue);
        for (unsigned i = 0; i < some.count; i++) {
            pid_t child = start_child();

            if (child == 0) {
                mqrs_queue *own = open_queue(some.addresses[i], O_RDWR);

                wait_until_asleep(getppid());
                if (events == MQRS_READABLE)
                    send_text(own, "x", 0);
                else
                    EXPECT_TEXT(own, "x", 0);
                CHILD_END;
            }
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            expect_only(&some, i, events);
            JOIN(child);
            if (events == MQRS_READABLE)
                EXPECT_TEXT(some.items[i].queue, "x", 0);
            else
                send_text(some.items[i].queue, "x", 0);
        }
        remove_all(&some);
    }
}

static void a_message_wakes_who_sleeps_for_several(void)
{
    expect_to_be_woken(MQRS_READABLE);
}

static void room_wakes_who_sleeps_for_several(void)
{
    expect_to_be_woken(MQRS_WRITABLE);
}

/* All of them, though it is one message; and a receiver gets it. */
static void a_message_wakes_all_who_wait_here_and_one_who_receives(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        struct gate seen = new_gate();
        pid_t children[4];

        add_mixture(&some, mixture, MQRS_READABLE);
        for (int i = 0; i < 4; i++)
            if ((children[i] = start_child()) == 0) {
                char buffer[MSGSIZE];

                if (i == 3) {
                    for (int n = 0; n < 3; n++)
                        pass_gate(seen);
                    CHECK_EQUAL(1, mqrs_receive(some.items[0].queue, buffer, MSGSIZE, NULL));
                } else {
                    CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
                    expect_only(&some, 0, MQRS_READABLE);
                    open_gate(seen);
                }
                CHILD_END;
            }
        for (int i = 0; i < 3; i++)
            wait_until_asleep(children[i]);
        send_text(some.items[0].queue, "x", 0);
        for (int i = 0; i < 4; i++)
            JOIN(children[i]);
        remove_gate(seen);
        remove_all(&some);
    }
}

/* Many messages, one after the other: none of them is slept through. */
static void every_one_of_many_messages_is_noticed(void)
{
    enum { ROUNDS = 300 };

    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        mqrs_queue *answers;
        char address[80];
        pid_t child;

        add_mixture(&some, mixture, MQRS_READABLE);
        answers = create(SHM, address);
        if ((child = start_child()) == 0) {
            for (int i = 0; i < ROUNDS; i++) {
                char buffer[MSGSIZE];

                send_text(some.items[(unsigned)i % some.count].queue, "x", 0);
                CHECK_EQUAL(2, mqrs_receive(answers, buffer, MSGSIZE, NULL));
            }
            CHILD_END;
        }
        for (int i = 0; i < ROUNDS; i++) {
            unsigned which = (unsigned)i % some.count;

            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            expect_only(&some, which, MQRS_READABLE);
            EXPECT_TEXT(some.items[which].queue, "x", 0);
            send_text(answers, "ok", 0);
        }
        JOIN(child);
        close_and_unlink(answers, address);
        remove_all(&some);
    }
}

static void unlinked_queues_are_waited_for_as_well(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        pid_t child;

        /* A System V queue is gone then. */
        if (mixture >> SYSV & 1)
            continue;
        add_mixture(&some, mixture, MQRS_READABLE);
        for (unsigned i = 0; i < some.count; i++)
            CHECK_OK(mqrs_unlink(some.addresses[i]));
        if ((child = start_child()) == 0) {
            wait_until_asleep(getppid());
            send_text(some.items[0].queue, "x", 0);
            CHILD_END;
        }
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        expect_only(&some, 0, MQRS_READABLE);
        JOIN(child);
        for (unsigned i = 0; i < some.count; i++)
            CHECK_OK(mqrs_close(some.items[i].queue));
    }
}

/* To be removed is to be ready, for whatever is asked. */
static void a_removed_queue_is_ready(void)
{
    struct some some = {0};
    pid_t child;

    SKIP_IF(!is_there(SYSV), "no System V queues");
    for (int asleep = 0; asleep < 2; asleep++) {
        add(&some, SYSV, MQRS_READABLE);
        add(&some, SHM, MQRS_READABLE);
        if (asleep) {
            if ((child = start_child()) == 0) {
                wait_until_asleep(getppid());
                CHECK_OK(mqrs_unlink(some.addresses[0]));
                CHILD_END;
            }
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            JOIN(child);
        } else {
            CHECK_OK(mqrs_unlink(some.addresses[0]));
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        }
        expect_only(&some, 0, MQRS_READABLE);
        CHECK_OK(mqrs_close(some.items[0].queue));
        close_and_unlink(some.items[1].queue, some.addresses[1]);
        memset(&some, 0, sizeof some);
    }
}

/* So is one that is shut down, in whatever other process. */
static void a_queue_that_is_shut_down_is_ready(void)
{
    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};
        pid_t child;

        if (!(mixture >> SHM & 1))
            continue;
        add_mixture(&some, mixture, MQRS_READABLE);
        if ((child = start_child()) == 0) {
            wait_until_asleep(getppid());
            CHECK_OK(mqrs_shutdown(some.items[0].queue));
            CHILD_END;
        }
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        expect_only(&some, 0, MQRS_READABLE);
        some.items[0].events = MQRS_READABLE | MQRS_WRITABLE;
        CHECK_EQUAL(1, wait_for(&some, MQRS_NOWAIT));
        expect_only(&some, 0, MQRS_READABLE | MQRS_WRITABLE);
        JOIN(child);
        remove_all(&some);
    }
}

/* A sender that is killed wherever it is: what it has sent is noticed. */
static void what_a_killed_sender_sent_is_noticed(void)
{
    enum { ROUNDS = 6 };
    uint64_t state = 99;

    FOR_EACH_MIXTURE(mixture) {
        struct some some = {0};

        add_mixture(&some, mixture, MQRS_READABLE);
        for (int i = 0; i < ROUNDS; i++) {
            mqrs_queue *queue = some.items[(unsigned)i % some.count].queue;
            struct gate begun = new_gate();
            pid_t child = start_child();

            if (child == 0) {
                char buffer[MSGSIZE];

                send_text(queue, "x", 0);
                open_gate(begun);
                for (;;) {
                    CHECK_OK(mqrs_send(queue, "x", 1, 0));
                    CHECK_OK(mqrs_receive(queue, buffer, MSGSIZE, NULL));
                }
            }
            pass_gate(begun);
            for (uint32_t n = random_number(&state) % 300; n > 0; n--)
                sched_yield();
            kill_child(child);
            while (drain(queue) > 0)
                ;
            /* The next one comes after whatever the dead has left undone. */
            if ((child = start_child()) == 0) {
                wait_until_asleep(getppid());
                send_text(queue, "x", 0);
                CHILD_END;
            }
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            JOIN(child);
            EXPECT_TEXT(queue, "x", 0);
            remove_gate(begun);
        }
        remove_all(&some);
    }
}

int main(void)
{
    check_begin();
    RUN(readiness_is_of_messages_and_of_room);
    RUN(neither_directions_nor_nonblocking_matter);
    RUN(a_queue_may_be_there_twice);
    RUN(a_message_wakes_who_sleeps_for_several);
    RUN(room_wakes_who_sleeps_for_several);
    RUN(a_message_wakes_all_who_wait_here_and_one_who_receives);
    RUN(every_one_of_many_messages_is_noticed);
    RUN(unlinked_queues_are_waited_for_as_well);
    RUN(a_removed_queue_is_ready);
    RUN(a_queue_that_is_shut_down_is_ready);
    RUN(what_a_killed_sender_sent_is_noticed);
    return check_end();
}
