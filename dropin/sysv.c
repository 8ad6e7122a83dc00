/* The functions that programs find in the place of libc's msgget, msgsnd, msgrcv and msgctl,
 * with MQRS_DROPIN_SYSV=1; without it they go on to libc's.
 *
 * Here are the structs that libc has for them, which differ from machine to machine, and the
 * sleep of msgsnd and msgrcv, which are cancellation points (as in calls.c). No handler
 * restarts them, not even one with SA_RESTART: the sleep is a timed FUTEX_WAIT, which none
 * restarts.
 *
 * Source: msgget(2), msgop(2), msgctl(2), signal(7), futex(2).
 */
#undef _FORTIFY_SOURCE
/* The names that are defined here are those of both sizes of time. */
#undef _TIME_BITS
#undef _FILE_OFFSET_BITS
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

/* ---- The Rust half (sysv.rs) ---------------------------------------------------- */

enum next { DONE, SLEEP };

struct request {
    void *text;
    size_t len;
    int64_t kind;
    int id, flags, is_send;
};

union call {
    struct {
        long result;
        const uint32_t *word;
        uint32_t announced;
        int64_t until_ns, kind;
    } now;
    uint64_t room[32];
};

struct status {
    int64_t sent, received, changed;
    uint64_t bytes, messages, most;
    uint32_t key, uid, gid, cuid, cgid, mode;
    int last_sender, last_receiver, id;
};

struct summary {
    uint64_t queues, messages, bytes, message_max, queue_max, queues_max;
};

int mqrs_dropin_sysv_load(void);
void mqrs_dropin_count(int call);
enum next mqrs_dropin_msg_begin(union call *call, const struct request *request);
enum next mqrs_dropin_msg_go_on(union call *call, int how);
void mqrs_dropin_msg_abandon(union call *call);
int mqrs_dropin_msg_get(key_t key, int flags);
int mqrs_dropin_msg_remove(int id);
int mqrs_dropin_msg_status(int id, struct status *status);
int mqrs_dropin_msg_status_at(int place, int any, struct status *status);
int mqrs_dropin_msg_set(int id, const struct status *status);
int mqrs_dropin_msg_summary(int is_whole, struct summary *summary);

/* ---- Ours, or libc's -------------------------------------------------------------- */

/* In the order of trace.rs. */
enum { MSGGET = 10, MSGSND, MSGRCV, MSGCTL };

/* What mqrs_dropin_sysv_load says. */
enum { IS_OURS = 1, IS_COUNTED = 2 };

static int settings;

static struct {
    int (*get)(key_t, int);
    int (*send)(int, const void *, size_t, int);
    ssize_t (*receive)(int, void *, size_t, long, int);
    int (*control)(int, int, struct msqid_ds *);
    int (*control64)(int, int, void *);
} libc;

static void *find(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

/* At load, or at the first call, which may be made by another library that is loaded before. */
__attribute__((constructor)) static void load(void)
{
    static int is_loaded;

    if (__atomic_load_n(&is_loaded, __ATOMIC_ACQUIRE))
        return;
    *(void **)&libc.get = find("msgget");
    *(void **)&libc.send = find("msgsnd");
    *(void **)&libc.receive = find("msgrcv");
    *(void **)&libc.control = find("msgctl");
    *(void **)&libc.control64 = find("__msgctl64");
    settings = mqrs_dropin_sysv_load();
    __atomic_store_n(&is_loaded, 1, __ATOMIC_RELEASE);
}

/* One more call; whether it is ours. */
static int is_ours(int call)
{
    load();
    if (__builtin_expect(settings & IS_COUNTED, 0))
        mqrs_dropin_count(call);
    return settings & IS_OURS;
}

static int refuse(int error)
{
    errno = error;
    return -1;
}

/* ---- msgsnd, msgrcv ---------------------------------------------------------------- */

/* The errno of the sleep, or 0. Only here a cancellation takes effect at any instruction. */
static int sleep_in(const union call *call)
{
    struct timespec until = {(time_t)(call->now.until_ns / 1000000000),
                             (long)(call->now.until_ns % 1000000000)};
    int type, how;

    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    how = syscall(SYS_futex, call->now.word, FUTEX_WAIT_BITSET, call->now.announced, &until, NULL,
                  FUTEX_BITSET_MATCH_ANY) < 0
              ? errno
              : 0;
    pthread_setcanceltype(type, NULL);
    return how;
}

static void abandon(void *call)
{
    mqrs_dropin_msg_abandon(call);
}

static long transfer(union call *call, const struct request *request)
{
    enum next next;

    pthread_testcancel();
    next = mqrs_dropin_msg_begin(call, request);
    while (next == SLEEP) {
        int how;

        pthread_cleanup_push(abandon, call);
        how = sleep_in(call);
        pthread_cleanup_pop(0);
        next = mqrs_dropin_msg_go_on(call, how);
    }
    return call->now.result;
}

/* A message: its type, then its text. */
static char *text_of(const void *message)
{
    return (char *)(uintptr_t)message + sizeof(long);
}

int msgsnd(int id, const void *message, size_t len, int flags)
{
    struct request request = {0};
    union call call;
    long kind;

    if (!is_ours(MSGSND))
        return libc.send == NULL ? refuse(ENOSYS) : libc.send(id, message, len, flags);
    if (message == NULL)
        return refuse(EFAULT);
    memcpy(&kind, message, sizeof kind);
    request.text = text_of(message);
    request.len = len;
    request.kind = kind;
    request.id = id;
    request.flags = flags;
    request.is_send = 1;
    return (int)transfer(&call, &request);
}

ssize_t msgrcv(int id, void *message, size_t cap, long kind, int flags)
{
    struct request request = {0};
    union call call;
    ssize_t len;

    if (!is_ours(MSGRCV))
        return libc.receive == NULL ? refuse(ENOSYS) : libc.receive(id, message, cap, kind, flags);
    if (message == NULL)
        return refuse(EFAULT);
    request.text = text_of(message);
    request.len = cap;
    request.kind = kind;
    request.id = id;
    request.flags = flags;
    len = transfer(&call, &request);
    if (len >= 0) {
        kind = (long)call.now.kind;
        memcpy(message, &kind, sizeof kind);
    }
    return len;
}

/* ---- msgget, msgctl ---------------------------------------------------------------- */

int msgget(key_t key, int flags)
{
    if (!is_ours(MSGGET))
        return libc.get == NULL ? refuse(ENOSYS) : libc.get(key, flags);
    return mqrs_dropin_msg_get(key, flags);
}

static int tell_limits(int command, struct msginfo *info)
{
    struct summary all;

    if (info == NULL)
        return refuse(EFAULT);
    if (mqrs_dropin_msg_summary(command == MSG_INFO, &all) < 0)
        return -1;
    memset(info, 0, sizeof *info);
    info->msgmax = (int)all.message_max;
    info->msgmnb = (int)all.queue_max;
    info->msgmni = (int)all.queues_max;
    info->msgssz = 16;
    info->msgseg = 0xffff;
    if (command == MSG_INFO) {
        info->msgpool = (int)all.queues;
        info->msgmap = (int)all.messages;
        info->msgtql = (int)all.bytes;
    } else {
        info->msgpool = 32000 * (16384 / 1024);
        info->msgmap = 16384;
        info->msgtql = 16384;
    }
    return all.queues == 0 ? 0 : (int)all.queues - 1;
}

/* To and from one of libc's structs, of which there are two in programs of 32 bits. */
#define TELL(record, status)                                                                   \
    do {                                                                                       \
        memset((record), 0, sizeof *(record));                                                 \
        (record)->msg_perm.__key = (key_t)(status).key;                                        \
        (record)->msg_perm.uid = (status).uid;                                                 \
        (record)->msg_perm.gid = (status).gid;                                                 \
        (record)->msg_perm.cuid = (status).cuid;                                               \
        (record)->msg_perm.cgid = (status).cgid;                                               \
        (record)->msg_perm.mode = (unsigned short)(status).mode;                               \
        (record)->msg_stime = (status).sent;                                                   \
        (record)->msg_rtime = (status).received;                                               \
        (record)->msg_ctime = (status).changed;                                                \
        (record)->__msg_cbytes = (unsigned long)(status).bytes;                                \
        (record)->msg_qnum = (msgqnum_t)(status).messages;                                     \
        (record)->msg_qbytes = (msglen_t)(status).most;                                        \
        (record)->msg_lspid = (status).last_sender;                                            \
        (record)->msg_lrpid = (status).last_receiver;                                          \
    } while (0)

#define READ(record, status)                                                                   \
    do {                                                                                       \
        (status).uid = (record)->msg_perm.uid;                                                 \
        (status).gid = (record)->msg_perm.gid;                                                 \
        (status).mode = (record)->msg_perm.mode;                                               \
        (status).most = (record)->msg_qbytes;                                                  \
    } while (0)

#define CONTROL(id, command, record)                                                           \
    do {                                                                                       \
        struct status status = {0};                                                            \
        int result;                                                                            \
                                                                                               \
        if ((id) < 0 || (command) < 0)                                                         \
            return refuse(EINVAL);                                                             \
        switch (command) {                                                                     \
        case IPC_RMID:                                                                         \
            return mqrs_dropin_msg_remove(id);                                                 \
        case IPC_INFO:                                                                         \
        case MSG_INFO:                                                                         \
            return tell_limits((command), (void *)(record));                                   \
        case IPC_SET:                                                                          \
            if ((record) == NULL)                                                              \
                return refuse(EFAULT);                                                         \
            READ(record, status);                                                              \
            return mqrs_dropin_msg_set(id, &status);                                           \
        case IPC_STAT:                                                                         \
            result = mqrs_dropin_msg_status(id, &status);                                      \
            break;                                                                             \
        case MSG_STAT:                                                                         \
        case MSG_STAT_ANY:                                                                     \
            result = mqrs_dropin_msg_status_at(id, (command) == MSG_STAT_ANY, &status);        \
            break;                                                                             \
        default:                                                                               \
            return refuse(EINVAL);                                                             \
        }                                                                                      \
        if (result < 0)                                                                        \
            return -1;                                                                         \
        if ((record) == NULL)                                                                  \
            return refuse(EFAULT);                                                             \
        TELL(record, status);                                                                  \
        return (command) == IPC_STAT ? 0 : status.id;                                          \
    } while (0)

int msgctl(int id, int command, struct msqid_ds *record)
{
    if (!is_ours(MSGCTL))
        return libc.control == NULL ? refuse(ENOSYS) : libc.control(id, command, record);
    CONTROL(id, command, record);
}

/* Programs of 32 bits that were compiled with 64-bit times call this one. */
#if __SIZEOF_POINTER__ == 4
struct msqid64_ds {
    struct ipc_perm msg_perm;
    int64_t msg_stime, msg_rtime, msg_ctime;
    unsigned long __msg_cbytes;
    msgqnum_t msg_qnum;
    msglen_t msg_qbytes;
    pid_t msg_lspid, msg_lrpid;
    unsigned long reserved[2];
};

int __msgctl64(int id, int command, struct msqid64_ds *record);

int __msgctl64(int id, int command, struct msqid64_ds *record)
{
    if (!is_ours(MSGCTL))
        return libc.control64 == NULL ? refuse(ENOSYS) : libc.control64(id, command, record);
    CONTROL(id, command, record);
}
#endif
