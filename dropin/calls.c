/* The functions that programs find in the place of libc's mq_*.
 *
 * Each hands its arguments to the Rust half (src/lib.rs) and returns what that says. mq_send,
 * mq_receive and their timed forms are cancellation points and may be ended by signals, so
 * they sleep here, in a frame that pthread_cancel may unwind: the Rust half has returned and
 * holds nothing, and if the thread does not come back from its sleep, abandon() tells it.
 *
 * Source: mq_overview(7), pthreads(7), pthread_cleanup_push(3), futex(2).
 */
#undef _FORTIFY_SOURCE
/* The names that are defined here are those of both sizes of time. */
#undef _TIME_BITS
#undef _FILE_OFFSET_BITS
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "thread.h"

/* ---- The Rust half ------------------------------------------------------------ */

enum next { DONE, SLEEP, KERNEL };

struct request {
    void *data;
    size_t len;
    unsigned *prio_at;
    int64_t seconds, nanoseconds;
    int number;
    unsigned prio;
    int is_send, is_timed;
};

union call {
    struct {
        long result;
        const uint32_t *word;
        uint32_t announced;
        int64_t until_ns;
    } now;
    uint64_t room[32];
};

struct notice {
    int how, signo;
    void *value;
    struct thread *thread;
};

enum next mqrs_dropin_begin(union call *call, const struct request *request);
enum next mqrs_dropin_go_on(union call *call, int how);
void mqrs_dropin_abandon(union call *call);
int mqrs_dropin_open(const char *name, int oflag, uint32_t mode, const struct mq_attr *attr);
int mqrs_dropin_close(int number);
int mqrs_dropin_unlink(const char *name);
int mqrs_dropin_attr(int number, const struct mq_attr *new, struct mq_attr *old);
int mqrs_dropin_notify(int number, const struct notice *notice);
int mqrs_dropin_load(void);
void mqrs_dropin_count(int call);
void mqrs_dropin_summary(void);
void mqrs_dropin_end_helper(void);

/* ---- What was called ----------------------------------------------------------- */

/* In the order of trace.rs. */
enum { OPEN, CLOSE, UNLINK, SEND, TIMEDSEND, RECEIVE, TIMEDRECEIVE, GETATTR, SETATTR, NOTIFY };

static int is_counting;

__attribute__((constructor)) static void load(void)
{
    is_counting = mqrs_dropin_load();
}

__attribute__((destructor)) static void unload(void)
{
    mqrs_dropin_end_helper();
    if (is_counting)
        mqrs_dropin_summary();
}

static inline void count(int call)
{
    if (__builtin_expect(is_counting, 0))
        mqrs_dropin_count(call);
}

/* ---- Send and receive ---------------------------------------------------------- */

struct wide_time {
    int64_t seconds, nanoseconds;
};

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

struct word_to_wait_on {
    uint64_t value, address;
    uint32_t flags, reserved;
};

/* futex_waitv goes on after a handler with SA_RESTART, a timed FUTEX_WAIT does not. */
static long wait_on(const uint32_t *word, uint32_t value, int64_t until_ns)
{
    static int has_no_waitv;
    struct wide_time until = {until_ns / 1000000000, until_ns % 1000000000};
    struct timespec narrow = {(time_t)until.seconds, (long)until.nanoseconds};
    struct word_to_wait_on one = {value, (uintptr_t)word, 2 /* FUTEX2_SIZE_U32 */, 0};

    if (!__atomic_load_n(&has_no_waitv, __ATOMIC_RELAXED)) {
        long result = syscall(SYS_futex_waitv, &one, 1, 0, &until, CLOCK_MONOTONIC);

        if (result >= 0 || (errno != ENOSYS && errno != EPERM && errno != EINVAL))
            return result;
        __atomic_store_n(&has_no_waitv, 1, __ATOMIC_RELAXED);
    }
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, &narrow, NULL,
                   FUTEX_BITSET_MATCH_ANY);
}

/* The errno of the sleep, or 0. Only here a cancellation takes effect at any instruction, which
 * touches nothing but the kernel. */
static int sleep_in(const union call *call)
{
    int type, how;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    how = wait_on(call->now.word, call->now.announced, call->now.until_ns) < 0 ? errno : 0;
    pthread_setcanceltype(type, NULL);
    return how;
}

static void abandon(void *call)
{
    mqrs_dropin_abandon(call);
}

/* The kernel's own calls, with 64-bit times; those of 32-bit systems have numbers that are the
 * same on all of them (Linux 5.1). */
#if __SIZEOF_POINTER__ == 4
#define TIMED_SEND 418
#define TIMED_RECEIVE 419
#else
#define TIMED_SEND SYS_mq_timedsend
#define TIMED_RECEIVE SYS_mq_timedreceive
#endif

/* What a kernel that has no queues would say of a descriptor that is none if it had some. */
static long no_queue(const struct request *r)
{
    int is_time = r->seconds >= 0 && r->nanoseconds >= 0 && r->nanoseconds < 1000000000;

    errno = (r->is_timed && !is_time) || (r->is_send && r->prio > 32767) ? EINVAL : EBADF;
    return -1;
}

static long by_kernel(const struct request *r)
{
    struct wide_time wide = {r->seconds, r->nanoseconds};
    const struct wide_time *until = r->is_timed ? &wide : NULL;
    long result;
    int type;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    result = r->is_send ? syscall(TIMED_SEND, r->number, r->data, r->len, r->prio, until)
                        : syscall(TIMED_RECEIVE, r->number, r->data, r->len, r->prio_at, until);
    pthread_setcanceltype(type, NULL);
    return result < 0 && errno == ENOSYS ? no_queue(r) : result;
}

static long transfer(const struct request *request)
{
    union call call;
    enum next next;

    pthread_testcancel();
    next = mqrs_dropin_begin(&call, request);
    while (next == SLEEP) {
        int how;

        pthread_cleanup_push(abandon, &call);
        how = sleep_in(&call);
        pthread_cleanup_pop(0);
        next = mqrs_dropin_go_on(&call, how);
    }
    return next == KERNEL ? by_kernel(request) : call.now.result;
}

static struct request a_send(mqd_t mqd, const char *msg, size_t len, unsigned prio)
{
    struct request request = {0};

    request.data = (void *)(uintptr_t)msg;
    request.len = len;
    request.number = mqd;
    request.prio = prio;
    request.is_send = 1;
    return request;
}

static struct request a_receive(mqd_t mqd, char *msg, size_t cap, unsigned *prio)
{
    struct request request = {0};

    request.data = msg;
    request.len = cap;
    request.number = mqd;
    request.prio_at = prio;
    return request;
}

/* The header says that a time is never NULL, and the compiler believes it; the kernel takes
 * NULL for "no time". */
static inline const void *perhaps_null(const void *pointer)
{
    __asm__("" : "+r"(pointer));
    return pointer;
}

#define SET_TIME(request, until)                                                         \
    do {                                                                                       \
        if (perhaps_null(until) != NULL) {                                                     \
            (request).is_timed = 1;                                                            \
            (request).seconds = (until)->tv_sec;                                               \
            (request).nanoseconds = (until)->tv_nsec;                                          \
        }                                                                                      \
    } while (0)

int mq_send(mqd_t mqd, const char *msg, size_t len, unsigned prio)
{
    struct request request = a_send(mqd, msg, len, prio);

    count(SEND);
    return (int)transfer(&request);
}

int mq_timedsend(mqd_t mqd, const char *msg, size_t len, unsigned prio,
                 const struct timespec *until)
{
    struct request request = a_send(mqd, msg, len, prio);

    count(TIMEDSEND);
    SET_TIME(request, until);
    return (int)transfer(&request);
}

ssize_t mq_receive(mqd_t mqd, char *msg, size_t cap, unsigned *prio)
{
    struct request request = a_receive(mqd, msg, cap, prio);

    count(RECEIVE);
    return transfer(&request);
}

ssize_t mq_timedreceive(mqd_t mqd, char *restrict msg, size_t cap, unsigned *restrict prio,
                        const struct timespec *restrict until)
{
    struct request request = a_receive(mqd, msg, cap, prio);

    count(TIMEDRECEIVE);
    SET_TIME(request, until);
    return transfer(&request);
}

/* Programs of 32 bits that were compiled with 64-bit times call these. */
#if __SIZEOF_POINTER__ == 4
struct timespec64 {
    int64_t tv_sec;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    int32_t unused, tv_nsec;
#else
    int32_t tv_nsec, unused;
#endif
};

int __mq_timedsend_time64(mqd_t mqd, const char *msg, size_t len, unsigned prio,
                          const struct timespec64 *until);
ssize_t __mq_timedreceive_time64(mqd_t mqd, char *msg, size_t cap, unsigned *prio,
                                 const struct timespec64 *until);

int __mq_timedsend_time64(mqd_t mqd, const char *msg, size_t len, unsigned prio,
                          const struct timespec64 *until)
{
    struct request request = a_send(mqd, msg, len, prio);

    count(TIMEDSEND);
    SET_TIME(request, until);
    return (int)transfer(&request);
}

ssize_t __mq_timedreceive_time64(mqd_t mqd, char *msg, size_t cap, unsigned *prio,
                                 const struct timespec64 *until)
{
    struct request request = a_receive(mqd, msg, cap, prio);

    count(TIMEDRECEIVE);
    SET_TIME(request, until);
    return transfer(&request);
}
#endif

/* ---- Open, close, attributes --------------------------------------------------- */

mqd_t mq_open(const char *name, int oflag, ...)
{
    mode_t mode = 0;
    struct mq_attr *attr = NULL;

    count(OPEN);
    if (oflag & O_CREAT) {
        va_list arguments;

        va_start(arguments, oflag);
        mode = va_arg(arguments, mode_t);
        attr = va_arg(arguments, struct mq_attr *);
        va_end(arguments);
    }
    return mqrs_dropin_open(name, oflag, mode, attr);
}

/* What mq_open with two arguments is in a program compiled with _FORTIFY_SOURCE. */
mqd_t __mq_open_2(const char *name, int oflag);

mqd_t __mq_open_2(const char *name, int oflag)
{
    static const char text[] =
        "*** invalid mq_open call: O_CREAT without mode and attr ***: terminated\n";

    if (oflag & O_CREAT) {
        if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
            abort();
        abort();
    }
    return mq_open(name, oflag);
}

int mq_close(mqd_t mqd)
{
    count(CLOSE);
    return mqrs_dropin_close(mqd);
}

int mq_unlink(const char *name)
{
    count(UNLINK);
    return mqrs_dropin_unlink(name);
}

int mq_getattr(mqd_t mqd, struct mq_attr *attr)
{
    count(GETATTR);
    return mqrs_dropin_attr(mqd, NULL, attr);
}

int mq_setattr(mqd_t mqd, const struct mq_attr *restrict new, struct mq_attr *restrict old)
{
    count(SETATTR);
    return mqrs_dropin_attr(mqd, new, old);
}

/* ---- Notification -------------------------------------------------------------- */

/* The kernel knows no SIGEV_THREAD: that one is libc's, behind us. */
static int notify_by_kernel(mqd_t mqd, const struct sigevent *event)
{
    if (event != NULL && event->sigev_notify == SIGEV_THREAD) {
        int (*next)(mqd_t, const struct sigevent *) = NULL;

        *(void **)&next = dlsym(RTLD_NEXT, "mq_notify");
        if (next != NULL)
            return next(mqd, event);
        errno = ENOSYS;
        return -1;
    }
    if (syscall(SYS_mq_notify, mqd, event) == 0)
        return 0;
    if (errno == ENOSYS)
        errno = EBADF;
    return -1;
}

int mq_notify(mqd_t mqd, const struct sigevent *event)
{
    struct notice notice = {0};
    int result;

    count(NOTIFY);
    if (event != NULL) {
        int how = event->sigev_notify;
        int is_signal = how == SIGEV_SIGNAL;

        if (how != SIGEV_NONE && how != SIGEV_SIGNAL && how != SIGEV_THREAD) {
            errno = EINVAL;
            return -1;
        }
        if (is_signal && (event->sigev_signo < 0 || event->sigev_signo > SIGRTMAX)) {
            errno = EINVAL;
            return -1;
        }
        notice.how = how;
        notice.signo = is_signal ? event->sigev_signo : 0;
        notice.value = event->sigev_value.sival_ptr;
        if (how == SIGEV_THREAD) {
            notice.thread = thread_copy(event);
            if (notice.thread == NULL)
                return -1;
        }
    }
    result = mqrs_dropin_notify(mqd, event == NULL ? NULL : &notice);
    if (result != 0 && notice.thread != NULL)
        mqrs_dropin_free_thread(notice.thread);
    return result == 1 ? notify_by_kernel(mqd, event) : result;
}
