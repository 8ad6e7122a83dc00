/* The registrant is one process and the sender another one: a child, a parent, or a program
 * that was started by exec. */
#include "check.h"

static void the_signal_names_the_child_that_sent(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    block_signal(SIGRTMIN);
    for (int round = 0; round < 20; round++) {
        siginfo_t info;
        pid_t child;

        CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, round, 0));
        if ((child = start_child()) == 0) {
            /* Through what it inherited, or through a handle of its own. */
            send_text(round % 2 ? queue : open_queue(name, O_WRONLY), "x", 0);
            CHILD_END;
        }
        info = take_signal(SIGRTMIN);
        CHECK_EQUAL(SI_MESGQ, info.si_code);
        CHECK_EQUAL(child, info.si_pid);
        CHECK_EQUAL(getuid(), info.si_uid);
        CHECK_EQUAL(round, info.si_value.sival_int);
        JOIN(child);
        EXPECT_TEXT(queue, "x", 0);
    }
    close_and_unlink(queue, name);
}

static void a_registered_child_is_told_of_its_parent(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    struct gate registered = new_gate();
    pid_t parent = getpid(), child;

    block_signal(SIGRTMIN);
    if ((child = start_child()) == 0) {
        siginfo_t info;

        CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 5, 0));
        open_gate(registered);
        info = take_signal(SIGRTMIN);
        CHECK_EQUAL(SI_MESGQ, info.si_code);
        CHECK_EQUAL(parent, info.si_pid);
        CHECK_EQUAL(5, info.si_value.sival_int);
        EXPECT_TEXT(queue, "x", 0);
        CHILD_END;
    }
    pass_gate(registered);
    send_text(queue, "x", 0);
    JOIN(child);
    remove_gate(registered);
    close_and_unlink(queue, name);
}

static struct gate called;

static void tell_that_it_was_called(mqrs_queue *queue, void *user)
{
    EXPECT_TEXT(queue, "from another program", *(uint32_t *)user);
    open_gate(called);
}

static void another_program_causes_the_callback(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0);
    uint32_t prio = 3;

    called = new_gate();
    for (int round = 0; round < 5; round++) {
        pid_t program;

        CHECK_OK(mqrs_notify_callback(queue, tell_that_it_was_called, &prio, 0));
        program = start_role("send", name, NULL);
        pass_gate(called);
        JOIN(program);
    }
    remove_gate(called);
    close_and_unlink(queue, name);
}

/* The registration is the parent's: the child has none, cannot take it away by anything it
 * does, and is not told. */
static void the_registration_stays_with_the_parent(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    siginfo_t info;
    pid_t child;

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 6, 0));
    if ((child = start_child()) == 0) {
        CHECK_OK(mqrs_notify_cancel(queue));
        CHECK_EQUAL(1, count_entries("/proc/self/task"));
        CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 7, 0));
        CHECK_OK(mqrs_notify_cancel(queue));
        CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 7, 0));
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }
    JOIN(child);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 8, 0));
    send_text(queue, "x", 0);
    info = take_signal(SIGRTMIN);
    CHECK_EQUAL(6, info.si_value.sival_int);
    CHECK_EQUAL(getpid(), info.si_pid);
    close_and_unlink(queue, name);
}

/* The parent's helper thread does not exist in the child: it gets one of its own. */
static void a_child_of_a_registrant_may_register_too(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0), *other;
    const char *other_name = new_name();
    pid_t child;

    block_signal(SIGRTMIN);
    other = create_queue(other_name, 4, 16, 0);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 1, 0));
    if ((child = start_child()) == 0) {
        CHECK_OK(mqrs_notify_signal(other, SIGRTMIN, 2, 0));
        send_text(other, "x", 0);
        CHECK_EQUAL(2, take_signal(SIGRTMIN).si_value.sival_int);
        CHILD_END;
    }
    JOIN(child);
    send_text(queue, "x", 0);
    CHECK_EQUAL(1, take_signal(SIGRTMIN).si_value.sival_int);
    close_and_unlink(queue, name);
    close_and_unlink(other, other_name);
}

static void a_sender_killed_after_its_send_has_told(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    block_signal(SIGRTMIN);
    for (int round = 0; round < 20; round++) {
        pid_t child;

        CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, round, 0));
        if ((child = start_child()) == 0) {
            send_text(queue, "x", 0);
            kill(getpid(), SIGKILL);
        }
        CHECK_EQUAL(child, take_signal(SIGRTMIN).si_pid);
        SYSTEM(waitpid(child, NULL, 0));
        EXPECT_TEXT(queue, "x", 0);
    }
    close_and_unlink(queue, name);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        send_text(open_queue(argv[2], O_WRONLY), "from another program", 3);
        return 0;
    }
    check_begin();
    RUN(the_signal_names_the_child_that_sent);
    RUN(a_registered_child_is_told_of_its_parent);
    RUN(another_program_causes_the_callback);
    RUN(the_registration_stays_with_the_parent);
    RUN(a_child_of_a_registrant_may_register_too);
    RUN(a_sender_killed_after_its_send_has_told);
    return check_end();
}
