/* What all C test programs share: checks, the watchdog, helper processes.
 *
 * A program looks like this:
 *
 *     int main(void)
 *     {
 *         check_begin();
 *         RUN(a_sentence_about_one_behaviour);
 *         return check_end();
 *     }
 *
 * It exits 0 when every behaviour held, 77 when nothing could be tried here, and
 * otherwise not at all well. Parts that could not be tried are named on standard
 * output as "SKIP program: behaviour: reason".
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef CHECK_VALGRIND
#include <valgrind/memcheck.h>
#endif

/* A checker that makes programs slower gives them more time; as many seconds more as SECONDS
 * in the environment asks a program to run are added. */
#ifndef CHECK_WATCHDOG_SECONDS
#define CHECK_WATCHDOG_SECONDS 60
#endif
#define CHECK_SKIPPED 77
/* What else is known when a check has failed. */
#ifndef CHECK_WHY
#define CHECK_WHY() ((void)0)
#endif
#define HELPER static __attribute__((unused))

#define MILLISECOND INT64_C(1000000)
#define SECOND INT64_C(1000000000)

/* Nobody: an ordinary user without any rights of his own, and a second one. */
#define NOBODY 65534u
#define SOMEBODY 65533u

/* ---- Checks ------------------------------------------------------------------ */

/* Say what is wrong and end the whole program: every process of it is in one group,
 * so that no other one waits for a peer that has failed. */
HELPER __attribute__((noreturn, format(printf, 3, 4))) void check_failed(const char *file, int line,
                                                                         const char *format, ...)
{
    va_list arguments;

    flockfile(stderr);
    fprintf(stderr, "%s:%d: process %d: ", file, line, (int)getpid());
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    CHECK_WHY();
    fflush(stdout);
    fflush(stderr);
    kill(0, SIGKILL);
    _exit(1);
}

#define FAIL(...) check_failed(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition) ((condition) ? (void)0 : FAIL("not true: %s", #condition))

HELPER void check_equal(const char *file, int line, int64_t expected, int64_t actual,
                        const char *text)
{
    if (expected != actual)
        check_failed(file, line, "%s is %" PRId64 ", expected %" PRId64, text, actual, expected);
}

/* Two integers are equal; the second one is the one in doubt. */
#define CHECK_EQUAL(expected, actual) \
    check_equal(__FILE__, __LINE__, (int64_t)(expected), (int64_t)(actual), #actual)

/* A system call of the test itself; gives its result. */
HELPER long check_system(const char *file, int line, long result, const char *text)
{
    if (result == -1)
        check_failed(file, line, "%s: %s", text, strerror(errno));
    return result;
}

#define SYSTEM(call) check_system(__FILE__, __LINE__, (long)(call), #call)

/* A system call that fails with this errno. */
#define REFUSED(expected, call)                                                              \
    do {                                                                                     \
        long refused_result;                                                                 \
                                                                                             \
        errno = 0;                                                                           \
        refused_result = (long)(call);                                                       \
        if (refused_result != -1 || errno != (expected))                                     \
            FAIL("%s gave %ld (%s), expected -1 (%s)", #call, refused_result,                \
                 strerror(errno), strerror(expected));                                       \
    } while (0)

/* ---- The program and its behaviours ------------------------------------------ */

HELPER int check_behaviours, check_skips;

/* Run one behaviour: a function without arguments whose name is a sentence. */
#define RUN(behaviour)                     \
    do {                                   \
        printf("- %s\n", #behaviour);      \
        check_behaviours++;                \
        behaviour();                       \
    } while (0)

/* Leave the behaviour, with the reason, if it cannot be tried here. */
#define SKIP_IF(condition, reason)                                                              \
    do {                                                                                        \
        if (condition) {                                                                        \
            printf("SKIP %s: %s: %s\n", program_invocation_short_name, __func__, reason);       \
            check_skips++;                                                                      \
            return;                                                                             \
        }                                                                                       \
    } while (0)

HELPER int64_t now_ns(clockid_t clock)
{
    struct timespec now;

    SYSTEM(clock_gettime(clock, &now));
    return now.tv_sec * SECOND + now.tv_nsec;
}

/* Fork: the parent becomes the watchdog and stays here, the child returns and is the
 * program. When it has ended, or the time is over, its whole process group ends. */
HELPER void check_begin(void)
{
    const char *more = getenv("SECONDS");
    int most = CHECK_WATCHDOG_SECONDS + (more ? atoi(more) : 0);
    sigset_t child_ended, before;
    int status;
    pid_t child;

    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_ended, &before);
    child = (pid_t)SYSTEM(fork());
    if (child == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        return;
    }
    setpgid(child, child);
    /* In seconds that we see: a machine that stands still is nobody's fault. */
    for (int seconds = 0; SYSTEM(waitpid(child, &status, WNOHANG)) == 0;) {
        const struct timespec second = {1, 0};

        if (sigtimedwait(&child_ended, NULL, &second) == -1 && errno == EAGAIN &&
            ++seconds == most) {
            fprintf(stderr, "watchdog: not finished after %d s\n", most);
            kill(-child, SIGKILL);
            _exit(1);
        }
    }
    kill(-child, SIGKILL);
    if (WIFSIGNALED(status))
        fprintf(stderr, "ended by signal %d\n", WTERMSIG(status));
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

HELPER int check_end(void)
{
    fflush(stdout);
#ifdef CHECK_VALGRIND
    /* Here and not at every exit: a forked child leaves behind what its parent owns. */
    {
        unsigned long lost = 0, others;

        VALGRIND_DO_LEAK_CHECK;
        VALGRIND_COUNT_LEAKS(lost, others, others, others);
        CHECK_EQUAL(0, lost);
    }
#endif
    return check_skips == check_behaviours ? CHECK_SKIPPED : 0;
}

/* ---- Signals ------------------------------------------------------------------ */

HELPER void block_signal(int signo)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    CHECK_EQUAL(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
}

/* Wait for the signal, which is blocked, and take it. */
HELPER siginfo_t take_signal(int signo)
{
    siginfo_t info;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    while (sigwaitinfo(&set, &info) == -1)
        CHECK_EQUAL(EINTR, errno);
    return info;
}

/* ---- Processes --------------------------------------------------------------- */

/* The child of a fork ends with CHILD_END, without running what its parent left to do. */
HELPER pid_t start_child(void)
{
    fflush(stdout);
    return (pid_t)SYSTEM(fork());
}

#define CHILD_END        \
    do {                 \
        fflush(stdout);  \
        _exit(0);        \
    } while (0)

#define JOIN(pid) check_joined(__FILE__, __LINE__, pid)

HELPER void check_joined(const char *file, int line, pid_t pid)
{
    int status;

    check_system(file, line, waitpid(pid, &status, 0), "waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        check_failed(file, line, "process %d ended with wait status 0x%x", (int)pid,
                     (unsigned)status);
}

HELPER void kill_child(pid_t pid)
{
    int status;

    SYSTEM(kill(pid, SIGKILL));
    SYSTEM(waitpid(pid, &status, 0));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

HELPER void become_user(unsigned uid)
{
    SYSTEM(setresgid(uid, uid, uid));
    SYSTEM(setresuid(uid, uid, uid));
}

/* A gate between processes: whoever comes to pass() waits until somebody open()s it, once
 * for each passing. */
struct gate {
    int ends[2];
};

HELPER struct gate new_gate(void)
{
    struct gate gate;

    SYSTEM(pipe2(gate.ends, O_CLOEXEC));
    return gate;
}

HELPER void open_gate(struct gate gate)
{
    CHECK_EQUAL(1, SYSTEM(write(gate.ends[1], "", 1)));
}

HELPER void pass_gate(struct gate gate)
{
    char byte;
    ssize_t got;

    do
        got = read(gate.ends[0], &byte, 1);
    while (got == -1 && errno == EINTR);
    CHECK_EQUAL(1, got);
}

HELPER void remove_gate(struct gate gate)
{
    close(gate.ends[0]);
    close(gate.ends[1]);
}

/* Memory of this size, zeroed, shared with the children. */
HELPER void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

/* Whether the thread waits in the kernel as a call of the library does: on a futex, in a
 * queue of the kernel's, or for several of them. */
HELPER int is_asleep(pid_t thread)
{
    static const long waits[] = {
        SYS_futex, SYS_mq_timedsend, SYS_mq_timedreceive, SYS_ppoll,
#ifdef SYS_msgsnd
        SYS_msgsnd, SYS_msgrcv,
#endif
#ifdef SYS_futex_waitv
        SYS_futex_waitv,
#endif
#if defined __x86_64__ || defined __i386__
        /* futex and the queues' calls in programs of 64 and of 32 bits; the thread may be
         * either's. */
        202, 242, 243, 69, 70, 271, 240, 279, 280, 418, 419, 400, 401, 117, 309,
#endif
    };
    char path[64], line[32] = "";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/syscall", (int)thread);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = 0;
    fclose(file);
    /* "running" begins with no digit. */
    for (size_t i = 0; line[0] >= '0' && line[0] <= '9' && i < sizeof waits / sizeof *waits; i++)
        if (strtol(line, NULL, 10) == waits[i])
            return 1;
    return 0;
}

/* Look until the thread (a process: its first thread) sleeps in a call. */
HELPER void wait_until_asleep(pid_t thread)
{
    const struct timespec pause = {0, 200000};

    while (!is_asleep(thread)) {
        CHECK(kill(thread, 0) == 0 || errno == EPERM);
        nanosleep(&pause, NULL);
    }
}

/* The path of this program. It is read, since to execute the link itself would start the
 * checker that this program may run in. */
HELPER const char *own_path(void)
{
    static char path[PATH_MAX];

    path[SYSTEM(readlink("/proc/self/exe", path, sizeof path - 1))] = 0;
    return path;
}

/* Start this same program anew in a role: argv[1] and up to two arguments. */
HELPER pid_t start_role(const char *role, const char *argument, const char *another)
{
    pid_t child = start_child();

    if (child == 0) {
        execl(own_path(), program_invocation_name, role, argument, another, (char *)NULL);
        FAIL("exec: %s", strerror(errno));
    }
    return child;
}

/* ---- What a process holds ---------------------------------------------------- */

/* The number of entries of a directory. */
HELPER unsigned count_entries(const char *path)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *directory = opendir(path);

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

/* The number of open descriptors of this process. */
HELPER unsigned count_descriptors(void)
{
    return count_entries("/proc/self/fd") - 1;
}

/* A small generator of numbers, the same on every run of the same seed. */
HELPER uint32_t random_number(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

#endif
