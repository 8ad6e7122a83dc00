/* mqrs_sendall splits into messages of msgsize and tells how far it came. */
#include "check.h"

static void data_becomes_messages_of_msgsize(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 4, 0);

    CHECK_EQUAL(10, mqrs_sendall(queue, "0123456789", 10, 6));
    EXPECT_TEXT(queue, "0123", 6);
    EXPECT_TEXT(queue, "4567", 6);
    EXPECT_TEXT(queue, "89", 6);

    /* No empty message at the end, and a short one stays one. */
    CHECK_EQUAL(8, mqrs_sendall(queue, "01234567", 8, 0));
    CHECK_EQUAL(2, messages_in(queue));
    EXPECT_TEXT(queue, "0123", 0);
    EXPECT_TEXT(queue, "4567", 0);
    CHECK_EQUAL(1, mqrs_sendall(queue, "0", 1, 0));
    EXPECT_TEXT(queue, "0", 0);
    CHECK_EQUAL(0, messages_in(queue));
    close_and_unlink(queue, name);
}

static void no_data_is_no_message(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 4, O_NONBLOCK);

    CHECK_EQUAL(0, mqrs_sendall(queue, "x", 0, 0));
    CHECK_EQUAL(0, mqrs_sendall(queue, NULL, 0, 0));
    CHECK_EQUAL(0, messages_in(queue));
    /* Also where there would be no room. */
    CHECK_EQUAL(1, fill(queue));
    CHECK_EQUAL(0, mqrs_sendall(queue, "x", 0, 0));
    close_and_unlink(queue, name);
}

static void a_full_queue_ends_it_early(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 4, O_NONBLOCK);

    CHECK_EQUAL(8, mqrs_sendall(queue, "0123456789", 10, 0));
    CHECK_ERROR(EAGAIN, mqrs_sendall(queue, "89", 2, 0));
    EXPECT_TEXT(queue, "0123", 0);
    CHECK_EQUAL(2, mqrs_sendall(queue, "89", 2, 0));
    EXPECT_TEXT(queue, "4567", 0);
    EXPECT_TEXT(queue, "89", 0);
    close_and_unlink(queue, name);
}

static void it_waits_for_room_between_messages(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 4, 0);
    pid_t child = start_child();

    if (child == 0) {
        CHECK_EQUAL(22, mqrs_sendall(queue, "0000111122223333444455", 22, 1));
        CHILD_END;
    }
    for (int i = 0; i < 6; i++) {
        char buffer[4], expected[] = {(char)('0' + i), (char)('0' + i), 0, 0};

        CHECK_EQUAL(i < 5 ? 4 : 2, mqrs_receive(queue, buffer, 4, NULL));
        CHECK(memcmp(expected, buffer, 2) == 0);
    }
    JOIN(child);
    CHECK_EQUAL(0, messages_in(queue));
    close_and_unlink(queue, name);
}

static void do_nothing(int signo)
{
    (void)signo;
}

/* Like write(2): what was sent counts, the error is for the next call. */
static void an_interrupted_one_tells_what_was_sent(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 4, 0);
    struct gate first = new_gate();
    pid_t child = start_child();
    siginfo_t ended = {0};

    if (child == 0) {
        struct sigaction action = {0};

        action.sa_handler = do_nothing;
        SYSTEM(sigaction(SIGUSR1, &action, NULL));
        CHECK_EQUAL(8, mqrs_sendall(queue, "0123456789", 10, 0));
        open_gate(first);
        CHECK_ERROR(EINTR, mqrs_sendall(queue, "89", 2, 0));
        CHILD_END;
    }
    while (ended.si_pid != child) {
        if (is_asleep(child))
            SYSTEM(kill(child, SIGUSR1));
        sched_yield();
        SYSTEM(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT));
    }
    JOIN(child);
    pass_gate(first);
    EXPECT_TEXT(queue, "0123", 0);
    EXPECT_TEXT(queue, "4567", 0);
    CHECK_EQUAL(0, messages_in(queue));
    remove_gate(first);
    close_and_unlink(queue, name);
}

static void lengths_beyond_ssize_max_are_refused(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 4, O_NONBLOCK);

    CHECK_ERROR(EMSGSIZE, mqrs_sendall(queue, "x", (size_t)SSIZE_MAX + 1, 0));
    CHECK_ERROR(EMSGSIZE, mqrs_sendall(queue, "x", SIZE_MAX, 0));
    CHECK_EQUAL(0, messages_in(queue));
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(data_becomes_messages_of_msgsize);
    RUN(no_data_is_no_message);
    RUN(a_full_queue_ends_it_early);
    RUN(it_waits_for_room_between_messages);
    RUN(an_interrupted_one_tells_what_was_sent);
    RUN(lengths_beyond_ssize_max_are_refused);
    return check_end();
}
