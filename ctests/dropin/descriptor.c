/* An mqd_t is a descriptor: poll, dup, fork, close, fcntl and fstat know it. */
#include "queues.h"
#include <sys/epoll.h>

static char bytes[64];

enum { EMPTY = POLLOUT, PARTLY = POLLIN | POLLOUT, FULL = POLLIN };

static void poll_sees_three_states(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 2, 8);
    mqd_t reader = (mqd_t)SYSTEM(mq_open(name, O_RDONLY));
    mqd_t writer = (mqd_t)SYSTEM(mq_open(name, O_WRONLY));
    const int states[] = {EMPTY, PARTLY, FULL, PARTLY, EMPTY};

    SYSTEM(mq_unlink(name));
    for (int i = 0; i < 5; i++) {
        CHECK_EQUAL(states[i], events_of(queue));
        CHECK_EQUAL(states[i], events_of(reader));
        CHECK_EQUAL(states[i], events_of(writer));
        if (i < 2)
            SYSTEM(mq_send(writer, "1", 1, (unsigned)i));
        else if (i < 4)
            SYSTEM(mq_receive(reader, bytes, 8, NULL));
    }
    SYSTEM(mq_close(queue));
    SYSTEM(mq_close(reader));
    SYSTEM(mq_close(writer));
}

static void poll_wakes_who_sleeps_in_another_process(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 1, 8);
    pid_t child = start_child();

    if (child == 0) {
        for (int i = 0; i < 200; i++) {
            struct pollfd in = {queue, POLLIN, 0};

            CHECK_EQUAL(1, SYSTEM(poll(&in, 1, -1)));
            CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
            CHECK_EQUAL(i % 100, *bytes);
        }
        CHILD_END;
    }
    for (int i = 0; i < 200; i++) {
        struct pollfd out = {queue, POLLOUT, 0};
        char number = (char)(i % 100);

        CHECK_EQUAL(1, SYSTEM(poll(&out, 1, -1)));
        SYSTEM(mq_send(queue, &number, 1, 0));
    }
    JOIN(child);
    SYSTEM(mq_close(queue));
}

static void epoll_tells_edges(void)
{
    mqd_t queue = unnamed_queue(O_RDWR | O_NONBLOCK, 4, 8);
    int loop = (int)SYSTEM(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {0}, got;

    event.events = EPOLLIN | EPOLLET;
    event.data.fd = queue;
    SYSTEM(epoll_ctl(loop, EPOLL_CTL_ADD, queue, &event));
    CHECK_EQUAL(0, SYSTEM(epoll_wait(loop, &got, 1, 0)));
    for (int i = 0; i < 3; i++) {
        SYSTEM(mq_send(queue, "1", 1, 0));
        CHECK_EQUAL(1, SYSTEM(epoll_wait(loop, &got, 1, -1)));
        CHECK_EQUAL(queue, got.data.fd);
        SYSTEM(mq_receive(queue, bytes, 8, NULL));
        REFUSED(EAGAIN, mq_receive(queue, bytes, 8, NULL));
        CHECK_EQUAL(0, SYSTEM(epoll_wait(loop, &got, 1, 0)));
    }
    SYSTEM(close(loop));
    SYSTEM(mq_close(queue));
}

/* Several processes that poll and then block in mq_receive: nobody blocks on what poll saw
 * taken by nobody else, and nothing is left. */
static void who_polls_alone_never_blocks(void)
{
    enum { MESSAGES = 2000 };
    mqd_t first = unnamed_queue(O_RDWR, 3, 8), second = unnamed_queue(O_RDWR, 3, 8);
    pid_t children[2];

    for (int i = 0; i < 2; i++) {
        children[i] = start_child();
        if (children[i] == 0) {
            for (int n = 0; n < MESSAGES; n++)
                SYSTEM(mq_send(i ? second : first, "1", 1, (unsigned)n % 3));
            CHILD_END;
        }
    }
    for (int left = 2 * MESSAGES; left > 0; left--) {
        struct pollfd items[] = {{first, POLLIN, 0}, {second, POLLIN, 0}};

        SYSTEM(poll(items, 2, -1));
        SYSTEM(mq_receive(items[0].revents ? first : second, bytes, 8, NULL));
    }
    JOIN(children[0]);
    JOIN(children[1]);
    CHECK_EQUAL(EMPTY, events_of(first));
    SYSTEM(mq_close(first));
    SYSTEM(mq_close(second));
}

static void a_duplicate_is_the_same_queue(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 4, 8);
    mqd_t reader = (mqd_t)SYSTEM(mq_open(name, O_RDONLY));
    int twin = (int)SYSTEM(dup(queue)), far = (int)SYSTEM(fcntl(reader, F_DUPFD_CLOEXEC, 700));

    SYSTEM(mq_unlink(name));
    SYSTEM(mq_close(queue));
    SYSTEM(mq_send(twin, "1", 1, 0));
    CHECK_EQUAL(1, SYSTEM(mq_receive(far, bytes, 8, NULL)));
    REFUSED(EBADF, mq_send(far, "1", 1, 0));
    SYSTEM(mq_close(far));
    SYSTEM(mq_close(reader));
    SYSTEM(mq_send(twin, "1", 1, 0));
    SYSTEM(dup2(twin, far));
    CHECK_EQUAL(1, SYSTEM(mq_receive(far, bytes, 8, NULL)));
    SYSTEM(close(far));
    SYSTEM(close(twin));
    REFUSED(EBADF, mq_send(twin, "1", 1, 0));
}

/* That nobody has used while there was the other one. */
static void a_duplicate_outlives_what_it_was_made_of(void)
{
    for (int way = 0; way < 3; way++) {
        mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
        int twin = (int)SYSTEM(dup(queue)), nothing = (int)SYSTEM(open("/dev/null", O_RDWR));

        SYSTEM(mq_send(queue, "1", 1, 0));
        if (way == 0)
            SYSTEM(mq_close(queue));
        else if (way == 1)
            SYSTEM(close(queue));
        else
            SYSTEM(dup2(nothing, queue));
        REFUSED(EBADF, mq_send(queue, "1", 1, 0));
        SYSTEM(mq_send(twin, "2", 1, 0));
        CHECK_EQUAL(2, attributes_of(twin).mq_curmsgs);
        SYSTEM(mq_close(twin));
        REFUSED(EBADF, mq_send(twin, "1", 1, 0));
        close(queue);
        SYSTEM(close(nothing));
    }
}

static void waiting_or_not_is_a_flag_of_the_description(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 1, 8);
    int twin = (int)SYSTEM(dup(queue));
    struct mq_attr off = {0};
    pid_t child;

    SYSTEM(fcntl(twin, F_SETFL, fcntl(twin, F_GETFL) | O_NONBLOCK));
    CHECK_EQUAL(O_NONBLOCK, attributes_of(queue).mq_flags);
    REFUSED(EAGAIN, mq_receive(queue, bytes, 8, NULL));
    SYSTEM(mq_setattr(queue, &off, NULL));
    CHECK_EQUAL(0, fcntl(twin, F_GETFL) & O_NONBLOCK);
    child = start_child();
    if (child == 0) {
        SYSTEM(fcntl(queue, F_SETFL, O_NONBLOCK));
        CHILD_END;
    }
    JOIN(child);
    REFUSED(EAGAIN, mq_receive(twin, bytes, 8, NULL));
    SYSTEM(close(twin));
    SYSTEM(mq_close(queue));
}

static void a_child_has_copies_of_its_own(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    pid_t child = start_child();

    if (child == 0) {
        pid_t grandchild;

        SYSTEM(mq_send(queue, "c", 1, 0));
        grandchild = start_child();
        if (grandchild == 0) {
            SYSTEM(mq_send(queue, "g", 1, 0));
            SYSTEM(mq_close(queue));
            CHILD_END;
        }
        JOIN(grandchild);
        SYSTEM(mq_close(queue));
        REFUSED(EBADF, mq_send(queue, "1", 1, 0));
        CHILD_END;
    }
    JOIN(child);
    CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
    CHECK_EQUAL('c', *bytes);
    CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
    CHECK_EQUAL('g', *bytes);
    SYSTEM(mq_close(queue));
}

static void another_file_of_the_number_is_no_queue(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 2, 8);
    int pipes[2], number = queue;
    struct mq_attr attr;
    char byte;

    SYSTEM(pipe(pipes));
    SYSTEM(dup2(pipes[1], number));
    REFUSED(EBADF, mq_send(number, "1", 1, 0));
    REFUSED(EBADF, mq_receive(number, bytes, 8, NULL));
    REFUSED(EBADF, mq_getattr(number, &attr));
    REFUSED(EBADF, mq_notify(number, NULL));
    SYSTEM(fcntl(pipes[0], F_SETFL, O_NONBLOCK));
    REFUSED(EAGAIN, read(pipes[0], &byte, 1));
    SYSTEM(write(number, "w", 1));
    SYSTEM(dup2(pipes[0], number));
    CHECK_EQUAL(1, SYSTEM(read(number, &byte, 1)));
    CHECK_EQUAL('w', byte);
    /* mq_close is close. */
    SYSTEM(mq_close(number));
    REFUSED(EBADF, close(number));
    close(pipes[0]);
    close(pipes[1]);
}

static void the_number_may_be_another_queue_s(void)
{
    mqd_t old = unnamed_queue(O_RDWR, 2, 8), other = unnamed_queue(O_RDWR, 5, 16);

    SYSTEM(mq_send(old, "old", 3, 0));
    SYSTEM(dup2(other, old));
    CHECK_EQUAL(5, attributes_of(old).mq_maxmsg);
    SYSTEM(mq_send(old, "other", 5, 0));
    CHECK_EQUAL(5, SYSTEM(mq_receive(other, bytes, 16, NULL)));
    SYSTEM(mq_close(old));
    SYSTEM(mq_close(other));
}

static void a_name_that_comes_again_is_another_queue(void)
{
    const char *name = new_name();
    mqd_t before = make_queue(name, O_RDWR, 2, 8), after;

    SYSTEM(mq_unlink(name));
    after = make_queue(name, O_RDWR, 3, 8);
    SYSTEM(mq_unlink(name));
    SYSTEM(mq_send(before, "1", 1, 0));
    CHECK_EQUAL(PARTLY, events_of(before));
    CHECK_EQUAL(EMPTY, events_of(after));
    SYSTEM(mq_close(before));
    SYSTEM(mq_close(after));
}

static void many_queues_are_open_at_once(void)
{
    enum { MANY = 40 };
    mqd_t queues[MANY];

    for (int i = 0; i < MANY; i++) {
        const char *name = new_name();
        struct mq_attr attr = {0, 1, 1, 0, {0}};

        queues[i] = (mqd_t)SYSTEM(mq_open(name, O_CREAT | O_RDWR, 0600, &attr));
        SYSTEM(mq_unlink(name));
        bytes[0] = (char)i;
        SYSTEM(mq_send(queues[i], bytes, 1, 0));
    }
    for (int i = 0; i < MANY; i += 2)
        SYSTEM(dup2(queues[i + 1], queues[i]));
    for (int i = 1; i < MANY; i += 2) {
        CHECK_EQUAL(FULL, events_of(queues[i]));
        CHECK_EQUAL(1, SYSTEM(mq_receive(queues[i - 1], bytes, 1, NULL)));
        CHECK_EQUAL(i, *bytes);
        CHECK_EQUAL(EMPTY, events_of(queues[i]));
    }
    for (int i = 0; i < MANY; i++)
        SYSTEM(mq_close(queues[i]));
}

int main(void)
{
    check_begin();
    RUN(poll_sees_three_states);
    RUN(poll_wakes_who_sleeps_in_another_process);
    RUN(epoll_tells_edges);
    RUN(who_polls_alone_never_blocks);
    RUN(a_duplicate_is_the_same_queue);
    RUN(a_duplicate_outlives_what_it_was_made_of);
    RUN(waiting_or_not_is_a_flag_of_the_description);
    RUN(a_child_has_copies_of_its_own);
    RUN(another_file_of_the_number_is_no_queue);
    RUN(the_number_may_be_another_queue_s);
    RUN(a_name_that_comes_again_is_another_queue);
    RUN(many_queues_are_open_at_once);
    return check_end();
}
