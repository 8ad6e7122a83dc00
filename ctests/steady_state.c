/* No system call for a message while both sides are at work, no wake without a sleeper, and
 * nothing that grows.
 *
 * The library sleeps and wakes through syscall(2), which this program puts its own in front
 * of and counts. How often the two sleep is the machine's business; how many calls there are
 * for each sleep is not. */
#include "check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <linux/futex.h>
#include <malloc.h>

#define MESSAGES 400000

struct counts {
    unsigned long sleeps, wakes, vain_wakes;
};

/* One for each process, in memory that both see; NULL while nobody counts. */
static struct counts *mine;

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6], result;
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (real == NULL)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    if (mine != NULL) {
        int error = errno;
        if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAKE) {
            mine->wakes++;
            mine->vain_wakes += result <= 0;
        } else {
            mine->sleeps++;
        }
        errno = error;
    }
    return result;
}

static void pass_messages(mqrs_queue *q, struct counts *both)
{
    uint64_t number;
    pid_t child = start_child();

    if (child == 0) {
        mine = &both[1];
        for (uint64_t i = 0; i < MESSAGES; i++)
            if (mqrs_send(q, &i, sizeof i, 0) != 0)
                _exit(1);
        _exit(0);
    }
    mine = &both[0];
    for (uint64_t i = 0; i < MESSAGES; i++) {
        CHECK_EQUAL(sizeof number, mqrs_receive(q, &number, sizeof number, NULL));
        CHECK_EQUAL(i, number);
    }
    mine = NULL;
    JOIN(child);
}

static void there_is_at_most_one_wake_for_each_sleep_and_few_of_both(void)
{
    struct counts *both = shared_memory(2 * sizeof *both);
    const char *name = new_name();
    unsigned long sleeps, wakes;
    mqrs_queue *q;

    for (int depth = 10; depth <= 1024; depth *= 8) {
        memset(both, 0, 2 * sizeof *both);
        q = create_queue(name, (uint64_t)depth, sizeof(uint64_t), 0);
        pass_messages(q, both);
        sleeps = both[0].sleeps + both[1].sleeps;
        wakes = both[0].wakes + both[1].wakes;
        printf("depth %d: %d messages, %lu sleeps, %lu wakes, %lu of them in vain\n", depth, MESSAGES,
               sleeps, wakes, both[0].vain_wakes + both[1].vain_wakes);
        /* One who is about to sleep and then need not may cost a wake as well. */
        CHECK(wakes <= sleeps + sleeps / 4 + 10);
        /* On one processor they take turns, a queue's fill each; anywhere else far less. */
        CHECK(sleeps <= 4 * (unsigned long)(MESSAGES / depth) + 100);
        close_and_unlink(q, name);
    }
}

/* Everything beyond plain calls that does not wait, once. */
static void do_everything(mqrs_queue *q, uint32_t prio)
{
    char bodies[3][64] = {{0}};
    struct mqrs_msg v[3] = {{0}};
    const void *data;
    void *slot;

    for (int i = 0; i < 3; i++) {
        v[i].data = bodies[i];
        v[i].len = v[i].cap = sizeof bodies[i];
        v[i].prio = prio;
    }
    CHECK_EQUAL(3, mqrs_sendmmsg(q, v, sizeof *v, 3, 0, MQRS_FOREVER));
    CHECK_OK(mqrs_sendmsg(q, v, sizeof *v, MQRS_SEND_DROP_OLDEST, MQRS_FOREVER));
    CHECK_OK(mqrs_reserve(q, 64, MQRS_FOREVER, &slot));
    CHECK_OK(mqrs_abort(q, slot));
    CHECK_OK(mqrs_reserve(q, 64, MQRS_FOREVER, &slot));
    CHECK_OK(mqrs_commit(q, slot, 64, prio));
    v[0].sequence = 0;
    CHECK_EQUAL(3, mqrs_recvmmsg(q, v, sizeof *v, 3, MQRS_RECV_PEEK, MQRS_FOREVER));
    CHECK_EQUAL(64, mqrs_acquire(q, MQRS_FOREVER, &data, NULL));
    CHECK_OK(mqrs_requeue(q, data));
    CHECK_EQUAL(64, mqrs_acquire(q, MQRS_FOREVER, &data, NULL));
    CHECK_OK(mqrs_release(q, data));
    CHECK_EQUAL(3, mqrs_recvmmsg(q, v, sizeof *v, 3, 0, MQRS_FOREVER));
    CHECK_EQUAL(64, mqrs_recvmsg(q, v, sizeof *v, 0, MQRS_FOREVER));
}

static long entries(const char *directory)
{
    DIR *open = opendir(directory);
    long count = 0;

    CHECK(open != NULL);
    while (readdir(open) != NULL)
        count++;
    closedir(open);
    return count;
}

/* Where the C library can tell. */
static size_t bytes_allocated(void)
{
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 33)
    return mallinfo2().uordblks;
#endif
#endif
    return 0;
}

static void nothing_grows_and_nobody_is_called(void)
{
    struct counts *none = shared_memory(sizeof *none);
    const char *name = new_name();
    mqrs_queue *q = create_queue(name, 8, 64, 0);
    long descriptors, threads;
    size_t bytes;

    do_everything(q, 0);
    descriptors = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    bytes = bytes_allocated();
    mine = none;
    for (uint32_t i = 0; i < 10000; i++)
        do_everything(q, i % 3);
    mine = NULL;
    CHECK_EQUAL(0, none->sleeps + none->wakes);
    CHECK_EQUAL(bytes, bytes_allocated());
    CHECK_EQUAL(descriptors, entries("/proc/self/fd"));
    CHECK_EQUAL(threads, entries("/proc/self/task"));
    close_and_unlink(q, name);
}

static void nobody_asleep_no_call_at_all(void)
{
    struct counts *none = shared_memory(sizeof *none);
    const char *name = new_name();
    char message[64] = {0};
    mqrs_queue *q = create_queue(name, 8, sizeof message, 0);

    mine = none;
    for (int i = 0; i < 10000; i++) {
        CHECK_OK(mqrs_send(q, message, sizeof message, (unsigned)i % 3));
        CHECK_EQUAL(sizeof message, mqrs_receive(q, message, sizeof message, NULL));
    }
    mine = NULL;
    CHECK_EQUAL(0, none->sleeps + none->wakes);
    close_and_unlink(q, name);
}

int main(void)
{
    check_begin();
    RUN(nobody_asleep_no_call_at_all);
    RUN(nothing_grows_and_nobody_is_called);
    RUN(there_is_at_most_one_wake_for_each_sleep_and_few_of_both);
    return check_end();
}
