/* Every allocation is made to fail in turn: a call either succeeds or returns an error that
 * says so, and nothing is left behind. Sending and receiving allocate nothing at all. */
#include "check.h"
#include <sys/resource.h>

#ifdef __GLIBC__

/* The allocator that program and library share: the C library's, which fails on demand. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static int allocations;         /* since counting began */
static int fail_from = INT_MAX; /* the first one that fails */
static int fail_count;          /* how many fail */

static int fails(void)
{
    int number = __atomic_fetch_add(&allocations, 1, __ATOMIC_SEQ_CST);

    if (number < fail_from || number - fail_from >= fail_count)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    return fails() ? NULL : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *memory = memalign(alignment, size);

    if (memory == NULL)
        return ENOMEM;
    *out = memory;
    return 0;
}

static const char *name;
static mqrs_queue *queue;

static int create_and_close(void)
{
    mqrs_queue *made;
    int result = mqrs_open("/made", O_CREAT | O_EXCL | O_RDWR, NULL, 0, &made);

    if (result == 0) {
        result = mqrs_close(made);
        CHECK_OK(mqrs_unlink("/made"));
    }
    return result;
}

static int create_nameless_and_close(void)
{
    mqrs_queue *made;
    int result = mqrs_open(NULL, O_CREAT | O_EXCL | O_RDWR, NULL, 0, &made);

    if (result == 0) {
        CHECK_OK(mqrs_unlink(mqrs_name(made)));
        result = mqrs_close(made);
    }
    return result;
}

static int open_and_close(void)
{
    mqrs_queue *other;
    int result = mqrs_open(name, O_CREAT | O_RDWR, NULL, 0, &other);

    return result == 0 ? mqrs_close(other) : result;
}

static int adopt_and_close(void)
{
    mqrs_queue *other;
    int fd = mqrs_dup_fd(queue), result;

    if (fd < 0)
        return fd;
    result = mqrs_open_fd(fd, O_RDWR, 0, &other);
    if (result != 0)
        close(fd);
    return result == 0 ? mqrs_close(other) : result;
}

static int register_and_cancel(void)
{
    int result = mqrs_notify_signal(queue, 0, 0, 0);

    return result == 0 ? mqrs_notify_cancel(queue) : result;
}

static void ignore_call(mqrs_queue *q, void *user)
{
    (void)q;
    (void)user;
}

static int register_callback_and_cancel(void)
{
    int result = mqrs_notify_callback(queue, ignore_call, NULL, 0);

    return result == 0 ? mqrs_notify_cancel(queue) : result;
}

static int send_in_a_child(void)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(-mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT));
    SYSTEM(waitpid(child, &status, 0));
    CHECK(WIFEXITED(status));
    drain(queue);
    return -WEXITSTATUS(status);
}

static int look_at_it(void)
{
    struct mqrs_attr attr;
    struct mqrs_limits limits;
    int result = mqrs_getattr(queue, &attr, sizeof attr);

    return result == 0 ? mqrs_getlimits(MQRS_SHM, &limits, sizeof limits) : result;
}

static const struct {
    int (*call)(void);
    const char *name;
} CALLS[] = {
    {create_and_close, "create"},
    {create_nameless_and_close, "create without a name"},
    {open_and_close, "open"},
    {adopt_and_close, "adopt"},
    {register_and_cancel, "register a signal"},
    {register_callback_and_cancel, "register a callback"},
    {send_in_a_child, "first call of a child"},
    {look_at_it, "look"},
};

/* Fail one allocation, or all from one on, until a run comes through without any failing. */
static void fail_each_allocation(int (*call)(void), int count)
{
    int done = 0;

    for (int first = 0; !done; first++) {
        unsigned files = count_entries(queue_directory()), descriptors = count_descriptors();
        unsigned mappings = count_queue_mappings();
        int result;

        CHECK(first < 1000);
        allocations = 0;
        fail_count = count;
        fail_from = first;
        result = call();
        fail_from = INT_MAX;
        done = allocations <= first;
        if (result != 0 && result != -ENOMEM && result != -EAGAIN)
            FAIL("allocation %d failed, and the call gave %s", first, mqrs_errname(result));
        CHECK(result == 0 || !done);
        CHECK_EQUAL(files, count_entries(queue_directory()));
        CHECK_EQUAL(descriptors, count_descriptors());
        CHECK_EQUAL(mappings, count_queue_mappings());
    }
}

static void a_failed_allocation_is_an_error_and_leaves_nothing(void)
{
    for (size_t i = 0; i < sizeof CALLS / sizeof *CALLS; i++)
        for (int count = 1; count < 3; count++) {
            /* In a process of its own each, so that what is made once is made every time. */
            pid_t child = start_child();

            if (child == 0) {
                printf("  %s\n", CALLS[i].name);
                name = new_name();
                queue = create_queue(name, 4, 64, 0);
                fail_each_allocation(CALLS[i].call, count == 1 ? 1 : INT_MAX / 2);
                close_and_unlink(queue, name);
                CHILD_END;
            }
            JOIN(child);
        }
}

static void sending_and_receiving_allocate_nothing(void)
{
    char buffer[64];

    name = new_name();
    queue = create_queue(name, 4, 64, 0);
    allocations = 0;
    fail_from = 0;
    fail_count = INT_MAX / 2;
    for (uint32_t round = 0; round < 1000; round++) {
        CHECK_EQUAL(0, mqrs_send(queue, "x", 1, round % 7));
        CHECK_EQUAL(0, mqrs_timedsend(queue, "x", 1, 1, MQRS_NOWAIT));
        CHECK_EQUAL(0, mqrs_send_until(queue, "x", 1, 2, CLOCK_REALTIME, 0));
        CHECK_EQUAL(1, mqrs_sendall(queue, "x", 1, 3));
        CHECK_EQUAL(-ETIMEDOUT, mqrs_timedsend(queue, "x", 1, 0, 1000));
        CHECK_EQUAL(-EINVAL, mqrs_send(queue, "x", 1, 32768));
        CHECK_EQUAL(1, mqrs_receive(queue, buffer, 64, NULL));
        CHECK_EQUAL(1, mqrs_timedreceive(queue, buffer, 64, MQRS_NOWAIT, NULL));
        CHECK_EQUAL(1, mqrs_receive_until(queue, buffer, 64, CLOCK_REALTIME, 0, NULL));
        CHECK_EQUAL(1, mqrs_receive(queue, buffer, 64, NULL));
        CHECK_EQUAL(-EAGAIN, mqrs_timedreceive(queue, buffer, 64, MQRS_NOWAIT, NULL));
    }
    /* The sentence of a failure and its length need no memory either. */
    CHECK(mqrs_last_error(buffer, sizeof buffer) > 0);
    fail_from = INT_MAX;
    CHECK_EQUAL(0, allocations);
    close_and_unlink(queue, name);
}

#else

static void a_failed_allocation_is_an_error_and_leaves_nothing(void)
{
    SKIP_IF(1, "needs the GNU C library to make allocations fail");
}

static void sending_and_receiving_allocate_nothing(void)
{
    SKIP_IF(1, "needs the GNU C library to make allocations fail");
}

#endif

/* Not enough address space for the queue itself. */
static void a_queue_that_cannot_be_mapped_is_enomem(void)
{
    const char *own_name = new_name();
    mqrs_queue *large = create_queue(own_name, 100, 1000000, 0);
    pid_t child;

    CHECK_OK(mqrs_close(large));
    if ((child = start_child()) == 0) {
        unsigned files = count_entries(queue_directory()), descriptors = count_descriptors();
        struct mqrs_options options = {0};
        struct rlimit limit;

        SYSTEM(getrlimit(RLIMIT_AS, &limit));
        limit.rlim_cur = 64 << 20;
        SYSTEM(setrlimit(RLIMIT_AS, &limit));
        options.maxmsg = 100;
        options.msgsize = 1000000;
        CHECK_ERROR(ENOMEM, mqrs_open(own_name, O_RDWR, NULL, 0, &large));
        CHECK_ERROR(ENOMEM, mqrs_open("/other", O_CREAT | O_RDWR, &options, sizeof options, &large));
        limit.rlim_cur = limit.rlim_max;
        SYSTEM(setrlimit(RLIMIT_AS, &limit));
        CHECK_EQUAL(files, count_entries(queue_directory()));
        CHECK_EQUAL(descriptors, count_descriptors());
        CHILD_END;
    }
    JOIN(child);
    CHECK_OK(mqrs_unlink(own_name));
}

int main(void)
{
    check_begin();
    RUN(a_failed_allocation_is_an_error_and_leaves_nothing);
    RUN(sending_and_receiving_allocate_nothing);
    RUN(a_queue_that_cannot_be_mapped_is_enomem);
    return check_end();
}
