/* A registration that stays fires for each message that comes to the empty queue; one that is to
 * fire at once does so if messages are waiting. By signal and by callback, across processes. */
#include "check.h"

static void a_signal_comes_for_each_arrival_on_the_empty_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    sigset_t pending;

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 7, MQRS_NOTIFY_PERSISTENT));
    for (int round = 0; round < 50; round++) {
        siginfo_t info;
        pid_t child;

        if ((child = start_child()) == 0) {
            send_text(queue, "first", 0);
            send_text(queue, "second", 5);
            CHILD_END;
        }
        info = take_signal(SIGRTMIN);
        CHECK_EQUAL(SI_MESGQ, info.si_code);
        CHECK_EQUAL(child, info.si_pid);
        CHECK_EQUAL(getuid(), info.si_uid);
        CHECK_EQUAL(7, info.si_value.sival_int);
        JOIN(child);
        SYSTEM(sigpending(&pending));
        CHECK_EQUAL(0, sigismember(&pending, SIGRTMIN));
        EXPECT_TEXT(queue, "second", 5);
        EXPECT_TEXT(queue, "first", 0);
    }
    CHECK_OK(mqrs_notify_cancel(queue));
    send_text(queue, "x", 0);
    SYSTEM(sigpending(&pending));
    CHECK_EQUAL(0, sigismember(&pending, SIGRTMIN));
    close_and_unlink(queue, name);
}

static void it_keeps_others_from_registering_until_it_is_cancelled(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0), *other = open_queue(name, O_RDWR);

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 0, MQRS_NOTIFY_PERSISTENT));
    for (int round = 0; round < 20; round++) {
        send_text(other, "x", 0);
        take_signal(SIGRTMIN);
        CHECK_ERROR(EBUSY, mqrs_notify_signal(other, SIGRTMIN, 0, 0));
        CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 0, MQRS_NOTIFY_PERSISTENT));
        EXPECT_TEXT(other, "x", 0);
    }
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_OK(mqrs_notify_signal(other, SIGRTMIN, 1, 0));
    send_text(queue, "x", 0);
    CHECK_EQUAL(1, take_signal(SIGRTMIN).si_value.sival_int);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 2, MQRS_NOTIFY_PERSISTENT));
    CHECK_OK(mqrs_close(queue));
    CHECK_OK(mqrs_notify_signal(other, SIGRTMIN, 3, 0));
    close_and_unlink(other, name);
}

static void that_of_a_killed_process_is_gone(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    struct gate registered = new_gate();
    pid_t child;

    block_signal(SIGRTMIN);
    if ((child = start_child()) == 0) {
        CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 0, MQRS_NOTIFY_PERSISTENT));
        open_gate(registered);
        for (;;)
            pause();
    }
    pass_gate(registered);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 0, 0));
    kill_child(child);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 4, MQRS_NOTIFY_PERSISTENT));
    send_text(queue, "x", 0);
    CHECK_EQUAL(4, take_signal(SIGRTMIN).si_value.sival_int);
    remove_gate(registered);
    close_and_unlink(queue, name);
}

static struct gate called;

/* The callback drains, and that is all: nothing is registered again, and nothing is lost. */
struct account {
    uint32_t next, all, calls;
};

static void drain_in_order(mqrs_queue *queue, void *user)
{
    struct account *account = user;
    uint32_t number;
    ssize_t len;

    account->calls++;
    while ((len = mqrs_timedreceive(queue, &number, sizeof number, MQRS_NOWAIT, NULL)) >= 0) {
        CHECK_EQUAL(sizeof number, len);
        CHECK_EQUAL(account->next, number);
        if (++account->next == account->all)
            open_gate(called);
    }
    CHECK_EQUAL(-EAGAIN, len);
}

static void a_callback_that_only_drains_loses_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, sizeof(uint32_t), 0);
    struct account account = {0, 100000, 0};
    pid_t child;

    CHECK_OK(mqrs_notify_callback(queue, drain_in_order, &account, MQRS_NOTIFY_PERSISTENT));
    if ((child = start_child()) == 0) {
        for (uint32_t number = 0; number < account.all; number++)
            CHECK_OK(mqrs_send(queue, &number, sizeof number, 0));
        CHILD_END;
    }
    pass_gate(called);
    JOIN(child);
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_EQUAL(account.all, account.next);
    CHECK(account.calls > 0);
    close_and_unlink(queue, name);
}

static void end_it_inside(mqrs_queue *queue, void *user)
{
    CHECK_OK(mqrs_notify_cancel(queue));
    if (*(int *)user)
        CHECK_OK(mqrs_close(queue));
    open_gate(called);
}

static void a_callback_may_end_its_registration(void)
{
    for (int close = 0; close < 2; close++) {
        const char *name = new_name();
        mqrs_queue *queue = create_queue(name, 4, 16, 0), *other = open_queue(name, O_RDWR);

        CHECK_OK(mqrs_notify_callback(queue, end_it_inside, &close, MQRS_NOTIFY_PERSISTENT));
        send_text(other, "x", 0);
        pass_gate(called);
        EXPECT_TEXT(other, "x", 0);
        CHECK_OK(mqrs_notify_callback(other, end_it_inside, &(int){0}, 0));
        send_text(other, "x", 0);
        pass_gate(called);
        if (!close)
            CHECK_OK(mqrs_close(queue));
        close_and_unlink(other, name);
    }
}

static void count_call(mqrs_queue *queue, void *user)
{
    (void)queue;
    __atomic_add_fetch((uint32_t *)user, 1, __ATOMIC_SEQ_CST);
    open_gate(called);
}

static void a_waiting_receiver_gets_the_message_and_it_stays(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    uint32_t calls = 0;

    CHECK_OK(mqrs_notify_callback(queue, count_call, &calls, MQRS_NOTIFY_PERSISTENT));
    for (uint32_t round = 1; round <= 5; round++) {
        pid_t child;

        if ((child = start_child()) == 0) {
            char buffer[16];

            CHECK_EQUAL(1, mqrs_receive(queue, buffer, sizeof buffer, NULL));
            CHILD_END;
        }
        wait_until_asleep(child);
        send_text(queue, "x", 0);
        JOIN(child);
        CHECK_EQUAL(round - 1, calls);
        send_text(queue, "y", 0);
        pass_gate(called);
        CHECK_EQUAL(round, calls);
        EXPECT_TEXT(queue, "y", 0);
    }
    close_and_unlink(queue, name);
}

static void what_is_to_fire_at_once_does_if_messages_wait(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0), *other = open_queue(name, O_RDWR);
    siginfo_t info;
    sigset_t pending;

    block_signal(SIGRTMIN);
    send_text(queue, "here before", 0);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 1, MQRS_NOTIFY_NOW));
    info = take_signal(SIGRTMIN);
    CHECK_EQUAL(SI_MESGQ, info.si_code);
    CHECK_EQUAL(getpid(), info.si_pid);
    CHECK_EQUAL(getuid(), info.si_uid);
    CHECK_EQUAL(1, info.si_value.sival_int);
    /* It is used up. */
    CHECK_OK(mqrs_notify_signal(other, SIGRTMIN, 2, 0));
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 3, MQRS_NOTIFY_NOW));
    CHECK_OK(mqrs_notify_cancel(other));

    /* On the empty queue it is one as any other. */
    EXPECT_TEXT(queue, "here before", 0);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 4, MQRS_NOTIFY_NOW));
    SYSTEM(sigpending(&pending));
    CHECK_EQUAL(0, sigismember(&pending, SIGRTMIN));
    send_text(other, "x", 0);
    CHECK_EQUAL(4, take_signal(SIGRTMIN).si_value.sival_int);
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

static void one_that_stays_may_fire_at_once_too(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    uint32_t calls = 0;

    send_text(queue, "x", 0);
    CHECK_OK(mqrs_notify_callback(queue, count_call, &calls,
                                  MQRS_NOTIFY_PERSISTENT | MQRS_NOTIFY_NOW));
    pass_gate(called);
    for (uint32_t round = 1; round <= 5; round++) {
        CHECK_EQUAL(1, drain(queue));
        send_text(queue, "x", 0);
        pass_gate(called);
        CHECK_EQUAL(round + 1, calls);
    }
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    called = new_gate();
    RUN(a_signal_comes_for_each_arrival_on_the_empty_queue);
    RUN(it_keeps_others_from_registering_until_it_is_cancelled);
    RUN(that_of_a_killed_process_is_gone);
    RUN(a_callback_that_only_drains_loses_nothing);
    RUN(a_callback_may_end_its_registration);
    RUN(a_waiting_receiver_gets_the_message_and_it_stays);
    RUN(what_is_to_fire_at_once_does_if_messages_wait);
    RUN(one_that_stays_may_fire_at_once_too);
    return check_end();
}
