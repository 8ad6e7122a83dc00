/* read(2) on an mqd_t gives a line about the queue, and leaves everything as it is. */
#include "queues.h"
#include <sys/resource.h>

enum { EMPTY = POLLOUT, PARTLY = POLLIN | POLLOUT, FULL = POLLIN, LINE = 60 };

static char bytes[200];
static void *volatile nothing = NULL;

/* A descriptor that nothing was read from. */
static mqd_t reader_of(const char *name)
{
    return (mqd_t)SYSTEM(mq_open(name, O_RDONLY));
}

static void check_line(mqd_t reader, int queued, int how, int signo, pid_t pid)
{
    char expected[200];
    int length = snprintf(expected, sizeof expected,
                          "QSIZE:%-10d NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", queued, how,
                          signo, (int)pid);

    CHECK_EQUAL(length, SYSTEM(read(reader, bytes, sizeof bytes)));
    if (memcmp(expected, bytes, (size_t)length) != 0)
        FAIL("read gave %.*s, expected %s", length, bytes, expected);
    SYSTEM(mq_close(reader));
}

static void the_line_tells_how_many_bytes_are_queued(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 4, 8);

    check_line(reader_of(name), 0, 0, 0, 0);
    SYSTEM(mq_send(queue, "1234567", 7, 0));
    SYSTEM(mq_send(queue, "", 0, 1));
    SYSTEM(mq_send(queue, "12", 2, 9));
    check_line(reader_of(name), 9, 0, 0, 0);
    CHECK_EQUAL(2, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
    check_line(reader_of(name), 7, 0, 0, 0);
    SYSTEM(mq_unlink(name));
    SYSTEM(mq_close(queue));
}

static void ignore_value(union sigval value)
{
    (void)value;
}

static void the_line_tells_how_this_process_is_registered(void)
{
    const int kinds[] = {SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD};

    for (int i = 0; i < 3; i++) {
        const char *name = new_name();
        mqd_t queue = make_queue(name, O_RDWR, 4, 8);
        mqd_t first = reader_of(name), second = reader_of(name);
        struct sigevent event;

        memset(&event, 0, sizeof event);
        event.sigev_notify = kinds[i];
        event.sigev_notify_function = ignore_value;
        if (kinds[i] == SIGEV_SIGNAL)
            event.sigev_signo = SIGCHLD;
        SYSTEM(mq_notify(queue, &event));
        check_line(first, 0, kinds[i], kinds[i] == SIGEV_SIGNAL ? SIGCHLD : 0, getpid());
        /* To close that one has ended the registration. */
        check_line(second, 0, 0, 0, 0);
        SYSTEM(mq_unlink(name));
        SYSTEM(mq_close(queue));
    }
}

static void a_line_is_read_to_its_end(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);

    CHECK_EQUAL(0, SYSTEM(read(queue, bytes, 0)));
    CHECK_EQUAL(0, SYSTEM(read(queue, nothing, 0)));
    REFUSED(EFAULT, read(queue, nothing, 8));
    CHECK_EQUAL(5, SYSTEM(read(queue, bytes, 5)));
    CHECK(memcmp(bytes, "QSIZE", 5) == 0);
    SYSTEM(mq_send(queue, "1234567", 7, 0));
    CHECK_EQUAL(3, SYSTEM(read(queue, bytes, 3)));
    CHECK(memcmp(bytes, ":7 ", 3) == 0);
    CHECK_EQUAL(LINE - 8, SYSTEM(read(queue, bytes, sizeof bytes)));
    CHECK_EQUAL(0, SYSTEM(read(queue, bytes, sizeof bytes)));
    CHECK_EQUAL(0, SYSTEM(read(queue, nothing, 8)));
    SYSTEM(mq_close(queue));
}

static void who_may_only_send_reads_nothing(void)
{
    mqd_t queue = unnamed_queue(O_WRONLY, 4, 8);

    REFUSED(EBADF, read(queue, bytes, sizeof bytes));
    REFUSED(EBADF, read(queue, nothing, 8));
    REFUSED(EBADF, read(queue, bytes, 0));
    SYSTEM(mq_close(queue));
}

/* And waits for no message; while another process goes through all three states. */
static void a_read_leaves_what_poll_sees(void)
{
    enum { ROUNDS = 400 };
    const int states[] = {PARTLY, FULL, PARTLY, EMPTY};
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 2, 8);
    struct gate stepped = new_gate(), seen = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            if (i % 4 < 2)
                SYSTEM(mq_send(queue, "1", 1, 0));
            else
                CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
            open_gate(stepped);
            pass_gate(seen);
        }
        CHILD_END;
    }
    for (int i = 0; i < ROUNDS; i++) {
        mqd_t meanwhile = reader_of(name), afterwards = reader_of(name);

        CHECK_EQUAL(LINE, SYSTEM(read(meanwhile, bytes, sizeof bytes)));
        pass_gate(stepped);
        CHECK_EQUAL(states[i % 4], events_of(queue));
        check_line(afterwards, (int)attributes_of(queue).mq_curmsgs, 0, 0, 0);
        CHECK_EQUAL(states[i % 4], events_of(queue));
        SYSTEM(mq_close(meanwhile));
        open_gate(seen);
    }
    JOIN(child);
    remove_gate(stepped);
    remove_gate(seen);
    SYSTEM(mq_unlink(name));
    SYSTEM(mq_close(queue));
}

static void *read_of(void *number)
{
    return (void *)(intptr_t)read(*(int *)number, bytes, 8);
}

/* Of other files, and of what was a queue. */
static void a_read_that_waits_is_cancelled(void)
{
    for (int was_queue = 0; was_queue < 2; was_queue++) {
        int pipes[2], number;
        pthread_t thread;
        void *result;

        SYSTEM(pipe(pipes));
        number = was_queue ? unnamed_queue(O_RDWR, 4, 8) : (int)SYSTEM(dup(pipes[0]));
        SYSTEM(dup2(pipes[0], number));
        CHECK_EQUAL(0, pthread_create(&thread, NULL, read_of, &number));
        CHECK_EQUAL(0, pthread_cancel(thread));
        CHECK_EQUAL(0, pthread_join(thread, &result));
        CHECK(result == PTHREAD_CANCELED);
        SYSTEM(close(number));
        SYSTEM(close(pipes[0]));
        SYSTEM(close(pipes[1]));
    }
}

#ifdef __GLIBC__
ssize_t __read_chk(int number, void *buffer, size_t count, size_t size);

static void a_read_that_the_compiler_guards_is_the_same(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    pid_t child;
    int status;

    CHECK_EQUAL(LINE, SYSTEM(__read_chk(queue, bytes, LINE, LINE)));
    child = start_child();
    if (child == 0) {
        const struct rlimit none = {0, 0};

        SYSTEM(setrlimit(RLIMIT_CORE, &none));
        /* What libc says of it. */
        SYSTEM(close(STDERR_FILENO));
        SYSTEM(__read_chk(queue, bytes, 9, 8));
        CHILD_END;
    }
    SYSTEM(waitpid(child, &status, 0));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    SYSTEM(mq_close(queue));
}
#endif

int main(void)
{
    check_begin();
    RUN(the_line_tells_how_many_bytes_are_queued);
    RUN(the_line_tells_how_this_process_is_registered);
    RUN(a_line_is_read_to_its_end);
    RUN(who_may_only_send_reads_nothing);
    RUN(a_read_leaves_what_poll_sees);
    RUN(a_read_that_waits_is_cancelled);
#ifdef __GLIBC__
    RUN(a_read_that_the_compiler_guards_is_the_same);
#endif
    return check_end();
}
