/* A queue's file is cut off while it is open: the kernel sends SIGBUS to whoever touches what
 * is gone, and the library installs no handler. What the header says of it, and what a program
 * does that must survive. */
#include "check.h"
#include <setjmp.h>

enum { MSGSIZE = 5000 };

static void cut(const char *name, off_t length)
{
    SYSTEM(truncate(queue_file(name), length));
}

static off_t length_of(const char *name)
{
    struct stat status;

    SYSTEM(stat(queue_file(name), &status));
    return status.st_size;
}

enum call { SEND, RECEIVE, GETATTR, NOTIFY, CLOSE, CALLS };

static const char *const call_names[] = {"send", "receive", "getattr", "notify", "close"};

static int64_t make_call(mqrs_queue *queue, enum call call)
{
    static char buffer[MSGSIZE];
    struct mqrs_attr attr;

    switch (call) {
    case SEND:
        return mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT);
    case RECEIVE:
        return mqrs_timedreceive(queue, buffer, sizeof buffer, MQRS_NOWAIT, NULL);
    case GETATTR:
        return mqrs_getattr(queue, &attr, sizeof attr);
    case NOTIFY:
        return mqrs_notify_signal(queue, 0, 0, 0);
    default:
        return mqrs_close(queue);
    }
}

static void expect_sigbus(pid_t child)
{
    int status;

    SYSTEM(waitpid(child, &status, 0));
    CHECK(WIFSIGNALED(status));
    CHECK_EQUAL(SIGBUS, WTERMSIG(status));
}

/* There is no closing it for us either, without SIGBUS. Remembered, it is no leak. */
static void stays_open(mqrs_queue *queue)
{
    static mqrs_queue *open[16];
    static size_t count;

    CHECK(count < sizeof open / sizeof *open);
    open[count++] = queue;
}

static void whoever_touches_what_is_gone_gets_sigbus(void)
{
    const char *name = new_name();

    for (enum call call = SEND; call < CALLS; call++) {
        mqrs_queue *queue = create_queue(name, 4, MSGSIZE, 0);
        pid_t child = start_child();

        printf("  %s\n", call_names[call]);
        if (child == 0) {
            /* A handle of its own: what a child inherits it would first have to map. */
            mqrs_queue *own = open_queue(name, O_RDWR);

            cut(name, 0);
            make_call(own, call);
            CHILD_END;
        }
        expect_sigbus(child);
        /* The name can be removed, and be used for a new queue. */
        CHECK_OK(mqrs_unlink(name));
        stays_open(queue);
    }
}

static void a_sleeper_notices_within_a_second_or_so(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, MSGSIZE, 0);
    pid_t child = start_child();

    if (child == 0) {
        char buffer[MSGSIZE];

        mqrs_receive(open_queue(name, O_RDWR), buffer, sizeof buffer, NULL);
        CHILD_END;
    }
    wait_until_asleep(child);
    cut(name, 0);
    expect_sigbus(child);
    CHECK_OK(mqrs_unlink(name));
    stays_open(queue);
}

static void so_does_the_helper_thread(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, MSGSIZE, 0);
    struct gate registered = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        CHECK_OK(mqrs_notify_signal(open_queue(name, O_RDWR), 0, 0, 0));
        open_gate(registered);
        for (;;)
            pause();
    }
    pass_gate(registered);
    cut(name, 0);
    expect_sigbus(child);
    remove_gate(registered);
    CHECK_OK(mqrs_unlink(name));
    stays_open(queue);
}

static void what_is_cut_off_is_refused_and_what_is_there_still_works(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, MSGSIZE, 0), *other = queue;
    off_t whole = length_of(name);

    /* The last slots are spare ones. Whoever needs none of them goes on. */
    cut(name, whole - 2 * MSGSIZE);
    CHECK_OK(mqrs_timedsend(queue, "still", 5, 0, MQRS_NOWAIT));
    EXPECT_TEXT(queue, "still", 0);
    CHECK_ERROR(EBADMSG, mqrs_open(name, O_RDWR, NULL, 0, &other));
    CHECK(other == queue);
    CHECK_OK(mqrs_close(queue));
    CHECK_OK(mqrs_unlink(name));
}

static void a_file_that_is_long_again_is_no_more_than_damaged(void)
{
    static const off_t lengths[] = {0, 0x200, 0x3000, 0x8000};
    const char *name = new_name();

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        mqrs_queue *queue = create_queue(name, 4, MSGSIZE, 0);
        off_t whole = length_of(name);

        CHECK_OK(mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT));
        CHECK_OK(mqrs_timedsend(queue, "y", 1, 1, MQRS_NOWAIT));
        cut(name, lengths[i]);
        cut(name, whole);
        for (int round = 0; round < 20; round++)
            for (enum call call = SEND; call < CLOSE; call++) {
                int64_t result = make_call(queue, call);

                CHECK(result >= 0 || result == -EAGAIN || result == -EBADMSG ||
                      result == -EBUSY);
            }
        CHECK(mqrs_close(queue) != -EBADF);
        CHECK_OK(mqrs_unlink(name));
    }
}

/* The page at `at` becomes zeros of our own, for the call to go on with. */
static volatile sig_atomic_t pages_replaced;

static void replace_page(int signo, siginfo_t *info, void *context)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = info->si_addr;

    (void)context;
    if (info->si_code != BUS_ADRERR ||
        mmap(at - (uintptr_t)at % page, page, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        signal(signo, SIG_DFL);
    pages_replaced++;
}

static void a_handler_of_the_program_may_put_zeros_in_the_place_of_what_is_gone(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, MSGSIZE, 0);
    pid_t child;

    stays_open(queue);
    CHECK_OK(mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT));
    child = start_child();
    if (child == 0) {
        struct sigaction action = {.sa_sigaction = replace_page, .sa_flags = SA_SIGINFO};
        mqrs_queue *own = open_queue(name, O_RDWR);

        SYSTEM(sigaction(SIGBUS, &action, NULL));
        cut(name, 0);
        for (int round = 0; round < 20; round++)
            for (enum call call = SEND; call < NOTIFY; call++) {
                int64_t result = make_call(own, call);

                CHECK(result >= 0 || result == -EAGAIN || result == -EBADMSG);
            }
        CHECK(pages_replaced > 0);
        CHECK(mqrs_close(own) != -EBADF);
        CHILD_END;
    }
    JOIN(child);
    CHECK_OK(mqrs_unlink(name));
}

int main(void)
{
    check_begin();
    RUN(whoever_touches_what_is_gone_gets_sigbus);
    RUN(a_sleeper_notices_within_a_second_or_so);
    RUN(so_does_the_helper_thread);
    RUN(what_is_cut_off_is_refused_and_what_is_there_still_works);
    RUN(a_file_that_is_long_again_is_no_more_than_damaged);
    RUN(a_handler_of_the_program_may_put_zeros_in_the_place_of_what_is_gone);
    return check_end();
}
