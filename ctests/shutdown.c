/* The end of a queue: no more sends, the rest is received, nobody waits. */
#include "check.h"

static void sends_fail_and_receives_drain(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0), *other = open_queue(name, O_RDWR);
    const struct mqrs_msg batch[2] = {{0}};
    struct mqrs_attr attr;
    char buffer[100];

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK(attr.capabilities & MQRS_CAP_SHUTDOWN);
    send_text(queue, "a", 0);
    send_text(other, "b", 3);
    CHECK_OK(mqrs_shutdown(queue));
    CHECK_ERROR(EPIPE, mqrs_send(queue, "c", 1, 0));
    CHECK_ERROR(EPIPE, mqrs_send(other, "c", 1, 0));
    CHECK_ERROR(EPIPE, mqrs_timedsend(other, "c", 1, 9, MQRS_NOWAIT));
    CHECK_ERROR(EPIPE, mqrs_sendall(other, "c", 1, 9));
    CHECK_ERROR(EPIPE, mqrs_sendmmsg(other, batch, sizeof *batch, 2, 0, MQRS_NOWAIT));
    CHECK_ERROR(EPIPE, mqrs_sendmsg(other, batch, sizeof *batch, MQRS_SEND_DROP_OLDEST, 0));
    CHECK_EQUAL(2, messages_in(queue));
    EXPECT_TEXT(other, "b", 3);
    EXPECT_TEXT(other, "a", 0);
    for (int i = 0; i < 2; i++) {
        CHECK_ERROR(EPIPE, mqrs_receive(queue, buffer, sizeof buffer, NULL));
        CHECK_ERROR(EPIPE, mqrs_timedreceive(other, buffer, sizeof buffer, MQRS_NOWAIT, NULL));
        CHECK_ERROR(EPIPE, mqrs_timedreceive(other, buffer, sizeof buffer, SECOND, NULL));
    }
    /* Once more is fine, and it is for good. */
    CHECK_OK(mqrs_shutdown(other));
    CHECK_OK(mqrs_close(other));
    other = open_queue(name, O_RDWR);
    CHECK_ERROR(EPIPE, mqrs_send(other, "c", 1, 0));
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

static void a_full_queue_says_that_it_is_shut_down(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 100, O_NONBLOCK);

    CHECK_EQUAL(2, fill(queue));
    CHECK_OK(mqrs_shutdown(queue));
    CHECK_ERROR(EPIPE, mqrs_send(queue, "c", 1, 0));
    close_and_unlink(queue, name);
}

static void only_a_sending_handle_may(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 100, 0), *receiver = open_queue(name, O_RDONLY),
               *sender = open_queue(name, O_WRONLY);

    CHECK_ERROR(EBADF, mqrs_shutdown(NULL));
    CHECK_ERROR(EBADF, mqrs_shutdown(receiver));
    send_text(queue, "still open", 0);
    CHECK_OK(mqrs_shutdown(sender));
    CHECK_ERROR(EPIPE, mqrs_send(queue, "c", 1, 0));
    CHECK_OK(mqrs_close(receiver));
    CHECK_OK(mqrs_close(sender));
    close_and_unlink(queue, name);
}

static void a_new_queue_of_the_name_is_open(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 100, 0), *next;

    CHECK_OK(mqrs_shutdown(queue));
    CHECK_OK(mqrs_unlink(name));
    next = create_queue(name, 2, 100, 0);
    send_text(next, "a", 0);
    CHECK_ERROR(EPIPE, mqrs_send(queue, "c", 1, 0));
    CHECK_OK(mqrs_close(queue));
    close_and_unlink(next, name);
}

/* Waiting calls of every kind, in other processes, end at once. */
static void waiting_calls_end_in_every_process(void)
{
    enum { CALLS = 3 };
    const char *empty_name = new_name(), *full_name = new_name();
    mqrs_queue *empty = create_queue(empty_name, 2, 100, 0),
               *full = create_queue(full_name, 2, 100, 0);
    pid_t receivers[CALLS], senders[CALLS];

    CHECK_EQUAL(2, fill(full));
    for (int i = 0; i < CALLS; i++) {
        receivers[i] = start_child();
        if (receivers[i] == 0) {
            struct mqrs_msg message = {0};
            char buffer[100];

            message.data = buffer;
            message.cap = sizeof buffer;
            if (i == 0)
                CHECK_ERROR(EPIPE, mqrs_receive(empty, buffer, sizeof buffer, NULL));
            else if (i == 1)
                CHECK_ERROR(EPIPE, mqrs_timedreceive(empty, buffer, sizeof buffer, 50 * SECOND,
                                                     NULL));
            else
                CHECK_ERROR(EPIPE, mqrs_recvmsg(empty, &message, sizeof message, MQRS_RECV_PEEK,
                                                MQRS_FOREVER));
            CHILD_END;
        }
        senders[i] = start_child();
        if (senders[i] == 0) {
            struct mqrs_msg message = {0};

            if (i == 0)
                CHECK_ERROR(EPIPE, mqrs_send(full, "x", 1, 0));
            else if (i == 1)
                CHECK_ERROR(EPIPE, mqrs_timedsend(full, "x", 1, 0, 50 * SECOND));
            else
                CHECK_ERROR(EPIPE, mqrs_sendmmsg(full, &message, sizeof message, 1, 0,
                                                 MQRS_FOREVER));
            CHILD_END;
        }
    }
    for (int i = 0; i < CALLS; i++) {
        wait_until_asleep(receivers[i]);
        wait_until_asleep(senders[i]);
    }
    CHECK_OK(mqrs_shutdown(empty));
    CHECK_OK(mqrs_shutdown(full));
    for (int i = 0; i < CALLS; i++) {
        JOIN(receivers[i]);
        JOIN(senders[i]);
    }
    CHECK_EQUAL(2, messages_in(full));
    CHECK_OK(mqrs_close(empty));
    CHECK_OK(mqrs_unlink(empty_name));
    close_and_unlink(full, full_name);
}

static mqrs_queue *handlers_queue;

static void shut_in_a_handler(int signo)
{
    (void)signo;
    CHECK_OK(mqrs_shutdown(handlers_queue));
}

static void a_signal_handler_may_shut_down(void)
{
    const char *name = new_name();
    struct sigaction action;
    mqrs_queue *queue = create_queue(name, 2, 100, 0);
    pid_t child;

    memset(&action, 0, sizeof action);
    action.sa_handler = shut_in_a_handler;
    action.sa_flags = SA_RESTART;
    child = start_child();
    if (child == 0) {
        char buffer[100];
        ssize_t result;

        handlers_queue = queue;
        SYSTEM(sigaction(SIGUSR1, &action, NULL));
        do
            result = mqrs_receive(queue, buffer, sizeof buffer, NULL);
        while (result == -EINTR);
        CHECK_EQUAL(-EPIPE, result);
        CHILD_END;
    }
    wait_until_asleep(child);
    SYSTEM(kill(child, SIGUSR1));
    JOIN(child);
    close_and_unlink(queue, name);
}

/* It has one place in the order of sends: what returned 0 is received, all of it, and what
 * returned -EPIPE is not. */
static void what_was_sent_before_it_is_received_and_nothing_else(void)
{
    enum { ROUNDS = 60, SENDERS = 3, RECEIVERS = 2 };

    for (int round = 0; round < ROUNDS; round++) {
        const char *name = new_name();
        mqrs_queue *queue = create_queue(name, 4, 8, 0);
        uint64_t *counts = shared_memory(4096);
        pid_t children[SENDERS + RECEIVERS];
        uint64_t sent = 0, received = 0;

        for (int i = 0; i < SENDERS + RECEIVERS; i++) {
            children[i] = start_child();
            if (children[i] == 0) {
                char buffer[8];
                ssize_t result;

                for (uint32_t n = 0;; n++) {
                    result = i < SENDERS
                                 ? mqrs_send(queue, &n, sizeof n, round % 2 ? n % 3 : 0)
                                 : mqrs_receive(queue, buffer, sizeof buffer, NULL);
                    if (result < 0)
                        break;
                    counts[i]++;
                }
                CHECK_EQUAL(-EPIPE, result);
                CHILD_END;
            }
        }
        while (*(volatile uint64_t *)&counts[SENDERS] < 50)
            sched_yield();
        CHECK_OK(mqrs_shutdown(queue));
        for (int i = 0; i < SENDERS + RECEIVERS; i++) {
            JOIN(children[i]);
            *(i < SENDERS ? &sent : &received) += counts[i];
        }
        CHECK_EQUAL(sent, received);
        SYSTEM(munmap(counts, 4096));
        close_and_unlink(queue, name);
    }
}

int main(void)
{
    check_begin();
    RUN(sends_fail_and_receives_drain);
    RUN(a_full_queue_says_that_it_is_shut_down);
    RUN(only_a_sending_handle_may);
    RUN(a_new_queue_of_the_name_is_open);
    RUN(waiting_calls_end_in_every_process);
    RUN(a_signal_handler_may_shut_down);
    RUN(what_was_sent_before_it_is_received_and_nothing_else);
    return check_end();
}
