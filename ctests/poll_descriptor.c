/* mqrs_fd of a queue in shared memory: readable while messages wait and writable while there is
 * room, for poll, select and epoll, by level and by edge, in many processes at once; and never
 * silent over a message, whoever is killed. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

enum { FOR_EVER = -1 };

/* What poll says within so many milliseconds. */
static int polled(int fd, int events, int timeout_ms)
{
    struct pollfd item = {fd, (short)events, 0};

    SYSTEM(poll(&item, 1, timeout_ms));
    return item.revents;
}

/* Wait until poll says exactly this: the helper thread may be a moment late. */
static void wait_until_polled(int fd, int expected)
{
    const struct timespec pause = {0, 100000};

    while (polled(fd, POLLIN | POLLOUT, 0) != expected)
        nanosleep(&pause, NULL);
}

static int get_fd(mqrs_queue *queue)
{
    return (int)CHECK_OK(mqrs_fd(queue));
}

static void it_tells_of_messages_and_of_room(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0);
    int fd = get_fd(queue);

    wait_until_polled(fd, POLLOUT);
    send_text(queue, "one", 0);
    wait_until_polled(fd, POLLIN | POLLOUT);
    send_text(queue, "two", 0);
    CHECK_EQUAL(0, fill(queue));
    wait_until_polled(fd, POLLIN);
    EXPECT_TEXT(queue, "one", 0);
    wait_until_polled(fd, POLLIN | POLLOUT);
    CHECK_EQUAL(1, drain(queue));
    wait_until_polled(fd, POLLOUT);
    close_and_unlink(queue, name);
}

static void it_is_one_for_each_handle_and_goes_with_it(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0), *other = open_queue(name, O_RDONLY);
    int fd = get_fd(queue), others = get_fd(other);

    CHECK_EQUAL(fd, get_fd(queue));
    CHECK(fd != others);
    CHECK_EQUAL(FD_CLOEXEC, SYSTEM(fcntl(fd, F_GETFD)));
    CHECK(SYSTEM(fcntl(fd, F_GETFL)) & O_NONBLOCK);
    CHECK_OK(mqrs_close(other));
    CHECK_EQUAL(-1, fcntl(others, F_GETFD));
    send_text(queue, "x", 0);
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    close_and_unlink(queue, name);
    CHECK_EQUAL(-1, fcntl(fd, F_GETFD));
}

static void any_direction_sees_both(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0);
    mqrs_queue *reader = open_queue(name, O_RDONLY), *writer = open_queue(name, O_WRONLY);

    send_text(queue, "x", 0);
    CHECK_EQUAL(POLLIN | POLLOUT, polled(get_fd(reader), POLLIN | POLLOUT, 0));
    CHECK_EQUAL(POLLIN | POLLOUT, polled(get_fd(writer), POLLIN | POLLOUT, 0));
    CHECK_OK(mqrs_close(reader));
    CHECK_OK(mqrs_close(writer));
    close_and_unlink(queue, name);
}

/* A consumer that sleeps in poll, select or epoll only, and a producer in another process that
 * does, too: all messages pass a queue of one. */
enum how { POLL, SELECT, EPOLL, EPOLL_EDGE };

static int watch(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};
    int epoll = (int)SYSTEM(epoll_create1(EPOLL_CLOEXEC));

    SYSTEM(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    return epoll;
}

static void sleep_until(enum how how, int fd, int epoll, int events)
{
    struct epoll_event event;
    fd_set set;

    FD_ZERO(&set);
    switch (how) {
    case POLL:
        CHECK(polled(fd, events, FOR_EVER) & events);
        break;
    case SELECT:
        FD_SET(fd, &set);
        CHECK_EQUAL(1, SYSTEM(select(fd + 1, events & POLLIN ? &set : NULL,
                                     events & POLLOUT ? &set : NULL, NULL, NULL)));
        break;
    case EPOLL:
    case EPOLL_EDGE:
        CHECK_EQUAL(1, SYSTEM(epoll_wait(epoll, &event, 1, FOR_EVER)));
        break;
    }
}

static void produce(mqrs_queue *queue, enum how how, uint32_t count)
{
    int fd = get_fd(queue);
    int epoll = watch(fd, EPOLLOUT | (how == EPOLL_EDGE ? EPOLLET : 0u));

    for (uint32_t number = 0; number < count;) {
        int result = mqrs_timedsend(queue, &number, sizeof number, 0, MQRS_NOWAIT);

        if (result == 0)
            number++;
        else {
            CHECK_EQUAL(-EAGAIN, result);
            sleep_until(how, fd, epoll, POLLOUT);
        }
    }
    close(epoll);
}

static void consume(mqrs_queue *queue, enum how how, uint32_t count)
{
    int fd = get_fd(queue);
    int epoll = watch(fd, EPOLLIN | (how == EPOLL_EDGE ? EPOLLET : 0u));

    for (uint32_t expected = 0; expected < count;) {
        uint32_t number;
        ssize_t len = mqrs_timedreceive(queue, &number, sizeof number, MQRS_NOWAIT, NULL);

        if (len >= 0)
            CHECK_EQUAL(expected++, number);
        else {
            CHECK_EQUAL(-EAGAIN, len);
            sleep_until(how, fd, epoll, POLLIN);
        }
    }
    close(epoll);
}

static void messages_pass_between_event_loops(void)
{
    enum { COUNT = 3000 };

    for (int depth = 1; depth <= 10; depth += 9)
        for (int how = POLL; how <= EPOLL_EDGE; how++) {
            const char *name = new_name();
            mqrs_queue *queue = create_queue(name, (uint64_t)depth, sizeof(uint32_t), 0);
            pid_t child;

            if ((child = start_child()) == 0) {
                produce(queue, (enum how)how, COUNT);
                CHILD_END;
            }
            consume(queue, (enum how)how, COUNT);
            JOIN(child);
            CHECK_EQUAL(0, messages_in(queue));
            close_and_unlink(queue, name);
        }
}

/* Several consumers sleep by edges; each message reaches one of them, and the last ones, which
 * end them, reach all. */
static void consumers_in_many_processes_share_the_messages(void)
{
    enum { CONSUMERS = 4, COUNT = 2000 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, sizeof(uint32_t), 0);
    uint32_t *received = shared_memory(sizeof *received), end = UINT32_MAX;
    pid_t consumers[CONSUMERS];

    for (int i = 0; i < CONSUMERS; i++)
        if ((consumers[i] = start_child()) == 0) {
            int fd = get_fd(queue), epoll = watch(fd, EPOLLIN | (i % 2 ? EPOLLET : 0u));
            uint32_t number = 0;

            while (number != end) {
                ssize_t len = mqrs_timedreceive(queue, &number, sizeof number, MQRS_NOWAIT, NULL);

                if (len == -EAGAIN)
                    sleep_until(EPOLL, fd, epoll, POLLIN);
                else if (CHECK_OK(len) && number != end)
                    __atomic_add_fetch(received, 1, __ATOMIC_SEQ_CST);
            }
            CHILD_END;
        }
    produce(queue, POLL, COUNT);
    for (int i = 0; i < CONSUMERS; i++)
        CHECK_OK(mqrs_send(queue, &end, sizeof end, 0));
    for (int i = 0; i < CONSUMERS; i++)
        JOIN(consumers[i]);
    CHECK_EQUAL(COUNT, *received);
    munmap(received, sizeof *received);
    close_and_unlink(queue, name);
}

static void what_others_took_is_shown_until_a_call_is_refused(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0), *other = open_queue(name, O_RDWR);
    int fd = get_fd(queue);

    send_text(other, "x", 0);
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    EXPECT_TEXT(other, "x", 0);
    CHECK_EQUAL(0, drain(queue));
    wait_until_polled(fd, POLLOUT);
    CHECK_EQUAL(2, fill(other));
    CHECK_EQUAL(0, fill(queue));
    wait_until_polled(fd, POLLIN);
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

static void a_requeue_that_is_refused_says_so_too(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, 0), *other = open_queue(name, O_RDWR);
    int fd = get_fd(queue);
    const void *data;

    send_text(other, "x", 0);
    CHECK_EQUAL(1, mqrs_acquire(queue, MQRS_NOWAIT, &data, NULL));
    /* What was there may still be shown until a call is refused. */
    CHECK_EQUAL(0, drain(queue));
    wait_until_polled(fd, POLLOUT);
    CHECK_EQUAL(1, fill(other));
    CHECK_ERROR(EAGAIN, mqrs_requeue(queue, data));
    wait_until_polled(fd, POLLIN);
    CHECK_OK(mqrs_release(queue, data));
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

/* The parent's descriptor is not the child's: the child has its own by asking again, and the
 * parent's goes on as if nothing had been. */
static void a_child_asks_for_its_own(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    struct gate ready = new_gate(), seen = new_gate();
    int fd = get_fd(queue);
    pid_t child;

    if ((child = start_child()) == 0) {
        int own = get_fd(queue);

        wait_until_polled(own, POLLOUT);
        open_gate(ready);
        CHECK_EQUAL(POLLIN, polled(own, POLLIN, FOR_EVER));
        pass_gate(seen);
        CHECK_EQUAL(1, drain(queue));
        wait_until_polled(own, POLLOUT);
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }
    pass_gate(ready);
    send_text(queue, "x", 0);
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    open_gate(seen);
    JOIN(child);
    CHECK_EQUAL(0, drain(queue));
    wait_until_polled(fd, POLLOUT);
    send_text(queue, "y", 0);
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    remove_gate(ready);
    remove_gate(seen);
    close_and_unlink(queue, name);
}

/* A child that never asks leaves the parent's alone, though it has a copy of the number. */
static void a_child_that_does_not_ask_changes_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    int fd = get_fd(queue);
    pid_t child;

    send_text(queue, "x", 0);
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    if ((child = start_child()) == 0) {
        CHECK_EQUAL(1, drain(queue));
        CHECK_EQUAL(4, fill(queue));
        CHECK_EQUAL(4, drain(queue));
        send_text(queue, "left", 0);
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }
    JOIN(child);
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    EXPECT_TEXT(queue, "left", 0);
    CHECK_EQUAL(0, drain(queue));
    wait_until_polled(fd, POLLOUT);
    close_and_unlink(queue, name);
}

static void who_polls_is_no_receiver_that_waits(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    struct gate ready = new_gate();
    pid_t child;

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 0, 0));
    if ((child = start_child()) == 0) {
        int fd = get_fd(queue);

        open_gate(ready);
        CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
        CHILD_END;
    }
    pass_gate(ready);
    send_text(queue, "x", 0);
    take_signal(SIGRTMIN);
    JOIN(child);
    remove_gate(ready);
    close_and_unlink(queue, name);
}

/* The handle of the descriptor sends and receives in a signal handler that interrupts the very
 * same calls. */
static mqrs_queue *interrupted_queue;
static volatile sig_atomic_t handled;

static void receive_and_send(int signo)
{
    char buffer[16];
    int before = errno;

    (void)signo;
    while (mqrs_timedreceive(interrupted_queue, buffer, sizeof buffer, MQRS_NOWAIT, NULL) >= 0)
        ;
    mqrs_timedsend(interrupted_queue, "h", 1, 0, MQRS_NOWAIT);
    handled = handled + 1;
    errno = before;
}

static void calls_in_signal_handlers_keep_it_right(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0);
    struct sigaction action = {.sa_handler = receive_and_send, .sa_flags = SA_RESTART};
    int fd = get_fd(queue);
    pid_t parent = getpid(), child;

    interrupted_queue = queue;
    SYSTEM(sigaction(SIGUSR1, &action, NULL));
    if ((child = start_child()) == 0)
        for (;;)
            SYSTEM(kill(parent, SIGUSR1));
    for (int round = 0; round < 2000 || handled < 200; round++) {
        char buffer[16];

        while (mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT) == 0)
            ;
        while (mqrs_timedreceive(queue, buffer, sizeof buffer, MQRS_NOWAIT, NULL) >= 0)
            ;
    }
    kill_child(child);
    signal(SIGUSR1, SIG_IGN);
    drain(queue);
    wait_until_polled(fd, POLLOUT);
    send_text(queue, "x", 0);
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    close_and_unlink(queue, name);
}

/* Senders that are killed at random, whatever they were doing, and stopped ones: the one who
 * polls learns of each message that is there. */
static void killed_senders_do_not_silence_it(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    int fd = get_fd(queue);

    for (int round = 0; round < 60; round++) {
        const struct timespec moment = {0, 1000 * (round % 50)};
        pid_t child;

        if ((child = start_child()) == 0) {
            for (;;)
                mqrs_timedsend(queue, "x", 1, (uint32_t)round % 3, MQRS_NOWAIT);
        }
        CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
        nanosleep(&moment, NULL);
        if (round % 2)
            SYSTEM(kill(child, SIGSTOP));
        else
            kill_child(child);
        drain(queue);
        if (round % 2)
            kill_child(child);
        /* What came meanwhile is not left unsaid. */
        if (messages_in(queue) > 0)
            CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
        drain(queue);
    }
    close_and_unlink(queue, name);
}

static void a_queue_that_is_shut_down_is_readable_and_writable(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0);
    int fd = get_fd(queue);
    pid_t child;

    CHECK_EQUAL(POLLOUT, polled(fd, POLLIN | POLLOUT, 0));
    if ((child = start_child()) == 0) {
        CHECK_OK(mqrs_shutdown(queue));
        CHILD_END;
    }
    CHECK_EQUAL(POLLIN, polled(fd, POLLIN, FOR_EVER));
    JOIN(child);
    CHECK_ERROR(EPIPE, mqrs_timedreceive(queue, (char[16]){0}, 16, MQRS_NOWAIT, NULL));
    CHECK_EQUAL(POLLIN | POLLOUT, polled(fd, POLLIN | POLLOUT, 0));
    close_and_unlink(queue, name);
}

/* The program has closed the number, and it means something else now. */
static void a_stranger_with_its_number_is_left_alone(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0), *other = open_queue(name, O_RDWR);
    int fd = get_fd(queue), ends[2], again;
    char buffer[16];

    close(fd);
    SYSTEM(pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    SYSTEM(dup3(ends[1], fd, O_CLOEXEC));
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(2, fill(queue));
        CHECK_EQUAL(2, drain(queue));
    }
    CHECK_EQUAL(-1, read(ends[0], buffer, sizeof buffer));

    /* Asked again, the handle gets a new one. */
    again = get_fd(queue);
    CHECK(again != fd);
    send_text(other, "x", 0);
    CHECK_EQUAL(POLLIN, polled(again, POLLIN, FOR_EVER));
    CHECK_OK(mqrs_close(queue));
    CHECK_EQUAL(0, SYSTEM(fcntl(fd, F_GETFD)) & ~FD_CLOEXEC);
    CHECK_EQUAL(-1, read(ends[0], buffer, sizeof buffer));
    close(fd);
    close(ends[0]);
    close(ends[1]);
    close_and_unlink(other, name);
}

static void many_queues_are_polled_at_once(void)
{
    enum { QUEUES = 200 };
    static mqrs_queue *queues[QUEUES];
    static struct pollfd items[QUEUES];
    char name[64];

    for (int i = 0; i < QUEUES; i++) {
        snprintf(name, sizeof name, "/ctest-many-%d-%d", (int)getpid(), i);
        queues[i] = create_queue(name, 2, 16, 0);
        items[i] = (struct pollfd){get_fd(queues[i]), POLLIN, 0};
    }
    for (int i = 0; i < QUEUES; i += 7) {
        send_text(queues[i], "x", 0);
        CHECK_EQUAL(1, SYSTEM(poll(items, QUEUES, FOR_EVER)));
        CHECK_EQUAL(POLLIN, items[i].revents);
        CHECK_EQUAL(1, drain(queues[i]));
        while (SYSTEM(poll(items, QUEUES, 0)) != 0)
            sched_yield();
    }
    for (int i = 0; i < QUEUES; i++) {
        snprintf(name, sizeof name, "/ctest-many-%d-%d", (int)getpid(), i);
        close_and_unlink(queues[i], name);
    }
}

int main(void)
{
    check_begin();
    RUN(it_tells_of_messages_and_of_room);
    RUN(it_is_one_for_each_handle_and_goes_with_it);
    RUN(any_direction_sees_both);
    RUN(messages_pass_between_event_loops);
    RUN(consumers_in_many_processes_share_the_messages);
    RUN(what_others_took_is_shown_until_a_call_is_refused);
    RUN(a_requeue_that_is_refused_says_so_too);
    RUN(a_child_asks_for_its_own);
    RUN(a_child_that_does_not_ask_changes_nothing);
    RUN(who_polls_is_no_receiver_that_waits);
    RUN(calls_in_signal_handlers_keep_it_right);
    RUN(killed_senders_do_not_silence_it);
    RUN(a_queue_that_is_shut_down_is_readable_and_writable);
    RUN(a_stranger_with_its_number_is_left_alone);
    RUN(many_queues_are_polled_at_once);
    return check_end();
}
