/* The same random calls on a queue of the kernel's and on one of ours, which must not differ in
 * anything but their numbers, processes and times. The kernel's are called by their numbers;
 * without the drop-in both are the kernel's. SCRIPTS says how many, SEED which is the first. */
#include "sysv.h"

#include <sys/syscall.h>

#ifdef SYS_msgsnd
enum { CALLS = 60 };

static uint64_t state;

static unsigned below(unsigned most)
{
    return random_number(&state) % most;
}

/* What came of a call. */
struct outcome {
    long result;
    int error;
    struct message message;
    unsigned long numbers[3];
};

static struct outcome kernels, ours;

#define BOTH(kernel_call, our_call)                                                          \
    do {                                                                                     \
        errno = 0;                                                                           \
        kernels.result = (long)(kernel_call);                                                \
        kernels.error = errno;                                                               \
        errno = 0;                                                                           \
        ours.result = (long)(our_call);                                                      \
        ours.error = errno;                                                                  \
    } while (0)

static void numbers_of(const struct msqid_ds *record, struct outcome *outcome)
{
    outcome->numbers[0] = record->msg_qnum;
    outcome->numbers[1] = record->__msg_cbytes;
    outcome->numbers[2] = record->msg_qbytes;
}

static void compare(unsigned long seed, int number, const char *call)
{
    if (kernels.result != ours.result || kernels.error != ours.error)
        FAIL("seed %lu, call %d, %s: the kernel gives %ld (%s), we %ld (%s)", seed, number, call,
             kernels.result, strerror(kernels.error), ours.result, strerror(ours.error));
    if (memcmp(&kernels.message, &ours.message, sizeof kernels.message) != 0)
        FAIL("seed %lu, call %d, %s: another message", seed, number, call);
    for (int i = 0; i < 3; i++)
        if (kernels.numbers[i] != ours.numbers[i])
            FAIL("seed %lu, call %d, %s: the kernel tells %lu, we %lu", seed, number, call,
                 kernels.numbers[i], ours.numbers[i]);
}

static long a_type(void)
{
    static const long odd[] = {0, -1, -3, 1L << 30, (long)(~0UL >> 1), -(long)(~0UL >> 1)};

    return below(6) == 0 ? odd[below(6)] : (long)below(5) - (below(3) == 0 ? 4 : 0);
}

static size_t a_length(void)
{
    static const size_t odd[] = {0, 8192, 8193, 4096, (size_t)-1, 1000};

    return below(8) == 0 ? odd[below(6)] : below(40);
}

static void one_script(unsigned long seed)
{
    int kernel_id = (int)SYSTEM(syscall(SYS_msgget, IPC_PRIVATE, 0600));
    int id = (int)SYSTEM(msgget(IPC_PRIVATE, 0600));
    struct msqid_ds record;

    state = seed * 2654435761u + 1;
    for (int i = 0; i < 10; i++)
        below(2);
    if (below(2)) {
        record = status_of(id);
        record.msg_qbytes = below(200);
        SYSTEM(msgctl(id, IPC_SET, &record));
        SYSTEM(syscall(SYS_msgctl, kernel_id, IPC_SET, &record));
    }
    for (int number = 0; number < CALLS; number++) {
        static const int flags[] = {0, 0, 0, MSG_NOERROR, MSG_EXCEPT, MSG_COPY,
                                    MSG_COPY | MSG_NOERROR, MSG_COPY | MSG_EXCEPT};
        const char *call;

        memset(&kernels, 0x55, sizeof kernels);
        memset(&ours, 0x55, sizeof ours);
        switch (below(8)) {
        case 0:
        case 1:
        case 2:
        case 3: {
            struct message message = {.type = a_type()};
            size_t len = a_length();

            for (int i = 0; i < 40; i++)
                message.text[i] = (char)('a' + below(26));
            call = "msgsnd";
            BOTH(syscall(SYS_msgsnd, kernel_id, &message, len, IPC_NOWAIT),
                 msgsnd(id, &message, len, IPC_NOWAIT));
            break;
        }
        case 7:
            call = "IPC_STAT";
            BOTH(syscall(SYS_msgctl, kernel_id, IPC_STAT, &record), 0);
            numbers_of(&record, &kernels);
            record = status_of(id);
            numbers_of(&record, &ours);
            break;
        default: {
            long type = a_type();
            size_t cap = below(3) == 0 ? a_length() : 8192;
            int flag = flags[below(8)] | IPC_NOWAIT;

            cap = cap == 8193 ? 8192 : cap;
            call = "msgrcv";
            BOTH(syscall(SYS_msgrcv, kernel_id, &kernels.message, cap, type, flag),
                 msgrcv(id, &ours.message, cap, type, flag));
        }
        }
        compare(seed, number, call);
    }
    SYSTEM(syscall(SYS_msgctl, kernel_id, IPC_RMID, NULL));
    SYSTEM(msgctl(id, IPC_RMID, NULL));
}

static void the_same_calls_come_to_the_same(void)
{
    const char *scripts = getenv("SCRIPTS"), *seed = getenv("SEED");
    unsigned long first = seed ? strtoul(seed, NULL, 10) : 1;
    unsigned long most = scripts ? strtoul(scripts, NULL, 10) : 500;

    SKIP_IF(syscall(SYS_msgctl, 0, IPC_INFO, &(struct msginfo){0}) < 0,
            "the kernel has no System V queues");
    for (unsigned long i = 0; i < most; i++)
        one_script(first + i);
}
#else
static void the_same_calls_come_to_the_same(void)
{
    SKIP_IF(1, "this machine has no system calls of their own for the four");
}
#endif

int main(void)
{
    sysv_begin();
    RUN(the_same_calls_come_to_the_same);
    return check_end();
}
