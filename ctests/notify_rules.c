/* Who may register, when a registration fires, and what makes it vanish. */
#include "check.h"
#include <sys/resource.h>

static const char *name;
static mqrs_queue *queue;

static void set_up(void)
{
    block_signal(SIGRTMIN);
    name = new_name();
    queue = create_queue(name, 4, 32, 0);
}

static void tear_down(void)
{
    siginfo_t info;
    sigset_t set;

    close_and_unlink(queue, name);
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK_EQUAL(-1, sigtimedwait(&set, &info, &(struct timespec){0, 0}));
}

/* The next signal carries the value of the registration that fired. */
static void expect_signal(int value)
{
    CHECK_EQUAL(value, take_signal(SIGRTMIN).si_value.sival_int);
}

static int register_signal(int value)
{
    return mqrs_notify_signal(queue, SIGRTMIN, value, 0);
}

/* A child that registers, tells so, and stays. */
static pid_t start_registrant(struct gate registered)
{
    pid_t child = start_child();

    if (child == 0) {
        CHECK_OK(register_signal(77));
        open_gate(registered);
        for (;;)
            pause();
    }
    pass_gate(registered);
    return child;
}

static void a_second_registration_is_ebusy_for_everybody(void)
{
    mqrs_queue *other;
    pid_t child;

    set_up();
    other = open_queue(name, O_RDWR);
    CHECK_OK(register_signal(1));
    CHECK_ERROR(EBUSY, register_signal(2));
    CHECK_ERROR(EBUSY, mqrs_notify_signal(other, SIGRTMIN, 3, 0));
    if ((child = start_child()) == 0) {
        CHECK_ERROR(EBUSY, mqrs_notify_signal(open_queue(name, O_RDWR), SIGRTMIN, 4, 0));
        CHILD_END;
    }
    JOIN(child);
    send_text(queue, "x", 0);
    expect_signal(1);
    CHECK_OK(mqrs_close(other));
    tear_down();
}

static void a_used_up_registration_is_free_when_the_send_has_returned(void)
{
    set_up();
    for (int round = 0; round < 1000; round++) {
        CHECK_OK(register_signal(round));
        send_text(queue, "x", 0);
        EXPECT_TEXT(queue, "x", 0);
    }
    for (int round = 0; round < 1000; round++)
        expect_signal(round);
    tear_down();
}

static void a_message_on_a_queue_that_is_not_empty_does_not_fire(void)
{
    set_up();
    send_text(queue, "there before", 0);
    CHECK_OK(register_signal(1));
    send_text(queue, "second", 0);
    send_text(queue, "third", 9);
    CHECK_ERROR(EBUSY, register_signal(2));
    EXPECT_TEXT(queue, "third", 9);
    EXPECT_TEXT(queue, "there before", 0);
    CHECK_ERROR(EBUSY, register_signal(3));
    EXPECT_TEXT(queue, "second", 0);
    CHECK_ERROR(EBUSY, register_signal(4));
    send_text(queue, "on the empty queue", 1);
    expect_signal(1);
    EXPECT_TEXT(queue, "on the empty queue", 1);
    tear_down();
}

static void a_message_for_a_blocked_receiver_does_not_fire(void)
{
    set_up();
    for (int round = 0; round < 5; round++) {
        siginfo_t info;
        pid_t receiver = start_child(), sender;

        if (receiver == 0) {
            char buffer[32];

            CHECK_EQUAL(3, mqrs_receive(queue, buffer, sizeof buffer, NULL));
            CHILD_END;
        }
        CHECK_OK(register_signal(round));
        wait_until_asleep(receiver);
        send_text(queue, "one", 0);
        JOIN(receiver);
        CHECK_ERROR(EBUSY, register_signal(99));
        /* The next one fires; the sender shows that it was not the first. */
        if ((sender = start_child()) == 0) {
            send_text(queue, "two", 0);
            CHILD_END;
        }
        info = take_signal(SIGRTMIN);
        CHECK_EQUAL(round, info.si_value.sival_int);
        CHECK_EQUAL(sender, info.si_pid);
        JOIN(sender);
        EXPECT_TEXT(queue, "two", 0);
    }
    tear_down();
}

static void any_direction_may_register(void)
{
    static const int oflags[] = {O_RDONLY, O_WRONLY, O_RDWR};

    set_up();
    for (size_t i = 0; i < sizeof oflags / sizeof *oflags; i++) {
        mqrs_queue *other = open_queue(name, oflags[i] | O_NONBLOCK);

        CHECK_OK(mqrs_notify_signal(other, SIGRTMIN, (int)i, 0));
        send_text(queue, "x", 0);
        expect_signal((int)i);
        EXPECT_TEXT(queue, "x", 0);
        CHECK_OK(mqrs_close(other));
    }
    tear_down();
}

static void cancelling_frees_the_registration(void)
{
    set_up();
    CHECK_OK(mqrs_notify_cancel(queue));
    for (int round = 0; round < 100; round++) {
        CHECK_OK(register_signal(round));
        CHECK_OK(mqrs_notify_cancel(queue));
        CHECK_OK(mqrs_notify_cancel(queue));
        /* It is free at once, not only when a message has used it up. */
        if (round % 2) {
            send_text(queue, "x", 0);
            EXPECT_TEXT(queue, "x", 0);
        }
    }
    CHECK_OK(register_signal(1000));
    send_text(queue, "x", 0);
    expect_signal(1000);
    tear_down();
}

static void a_strangers_cancel_or_close_changes_nothing(void)
{
    struct gate registered = new_gate();
    mqrs_queue *other;
    pid_t child;

    set_up();
    child = start_registrant(registered);
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_ERROR(EBUSY, register_signal(1));
    CHECK_OK(mqrs_close(open_queue(name, O_RDWR)));
    CHECK_ERROR(EBUSY, register_signal(1));
    kill_child(child);

    /* Another handle of the same process is a stranger too. */
    other = open_queue(name, O_RDWR);
    CHECK_OK(register_signal(2));
    CHECK_OK(mqrs_notify_cancel(other));
    CHECK_ERROR(EBUSY, mqrs_notify_signal(other, SIGRTMIN, 3, 0));
    CHECK_OK(mqrs_close(other));
    CHECK_ERROR(EBUSY, register_signal(4));
    send_text(queue, "x", 0);
    expect_signal(2);
    remove_gate(registered);
    tear_down();
}

static void closing_the_handle_drops_its_registration(void)
{
    mqrs_queue *other;

    set_up();
    other = open_queue(name, O_RDWR);
    CHECK_OK(mqrs_notify_signal(other, SIGRTMIN, 1, 0));
    CHECK_OK(mqrs_close(other));
    send_text(queue, "x", 0);
    EXPECT_TEXT(queue, "x", 0);
    CHECK_OK(register_signal(2));
    send_text(queue, "x", 0);
    expect_signal(2);
    tear_down();
}

static void a_killed_registrant_is_in_nobodys_way(void)
{
    struct gate registered = new_gate();

    set_up();
    for (int round = 0; round < 20; round++) {
        kill_child(start_registrant(registered));
        /* Sometimes a message comes in between, for which nobody is left to be told. */
        if (round % 2) {
            send_text(queue, "x", 0);
            EXPECT_TEXT(queue, "x", 0);
        }
        CHECK_OK(register_signal(round));
        send_text(queue, "x", 0);
        expect_signal(round);
        EXPECT_TEXT(queue, "x", 0);
    }
    remove_gate(registered);
    tear_down();
}

static void exec_ends_a_registration(void)
{
    int ready[2];
    char byte, number[16];
    pid_t child;

    set_up();
    SYSTEM(pipe2(ready, O_CLOEXEC));
    if ((child = start_child()) == 0) {
        CHECK_OK(register_signal(1));
        SYSTEM(fcntl(ready[1], F_SETFD, 0));
        snprintf(number, sizeof number, "%d", ready[1]);
        execl(own_path(), program_invocation_name, "stay", number, (char *)NULL);
        FAIL("exec: %s", strerror(errno));
    }
    CHECK_EQUAL(1, SYSTEM(read(ready[0], &byte, 1)));
    CHECK_OK(register_signal(2));
    send_text(queue, "x", 0);
    expect_signal(2);
    kill_child(child);
    close(ready[0]);
    close(ready[1]);
    tear_down();
}

/* The new image: alive, but without a queue. */
static __attribute__((noreturn)) void stay(const char *number)
{
    CHECK_EQUAL(1, SYSTEM(write(atoi(number), "", 1)));
    for (;;)
        pause();
}

static void without_a_helper_thread_it_is_eagain_and_no_registration(void)
{
    pid_t child;

    set_up();
    CHECK_OK(mqrs_set_owner(queue, 0666, UINT32_MAX, UINT32_MAX));
    if ((child = start_child()) == 0) {
        struct rlimit limit;

        if (geteuid() == 0)
            become_user(NOBODY);
        SYSTEM(getrlimit(RLIMIT_NPROC, &limit));
        SYSTEM(setrlimit(RLIMIT_NPROC, &(struct rlimit){0, limit.rlim_max}));
        CHECK_ERROR(EAGAIN, register_signal(1));
        CHECK_ERROR(EAGAIN, register_signal(1));
        CHECK_OK(mqrs_notify_cancel(queue));
        /* And well again when there is room. */
        SYSTEM(setrlimit(RLIMIT_NPROC, &limit));
        CHECK_OK(register_signal(2));
        send_text(queue, "x", 0);
        expect_signal(2);
        EXPECT_TEXT(queue, "x", 0);
        CHILD_END;
    }
    JOIN(child);
    CHECK_OK(register_signal(3));
    send_text(queue, "x", 0);
    expect_signal(3);
    tear_down();
}

int main(int argc, char **argv)
{
    if (argc == 3)
        stay(argv[2]);
    check_begin();
    RUN(a_second_registration_is_ebusy_for_everybody);
    RUN(a_used_up_registration_is_free_when_the_send_has_returned);
    RUN(a_message_on_a_queue_that_is_not_empty_does_not_fire);
    RUN(a_message_for_a_blocked_receiver_does_not_fire);
    RUN(any_direction_may_register);
    RUN(cancelling_frees_the_registration);
    RUN(a_strangers_cancel_or_close_changes_nothing);
    RUN(closing_the_handle_drops_its_registration);
    RUN(a_killed_registrant_is_in_nobodys_way);
    RUN(exec_ends_a_registration);
    RUN(without_a_helper_thread_it_is_eagain_and_no_registration);
    return check_end();
}
