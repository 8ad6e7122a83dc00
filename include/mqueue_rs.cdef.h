/* The declarations of mqueue_rs.h for programs without a C preprocessor. What they
 * mean is written there. */

enum {
    MQRS_VERSION_MAJOR = 0,
    MQRS_VERSION_MINOR = 1,
    MQRS_VERSION_PATCH = 0,
    MQRS_VERSION_NUMBER = 1000,
};

enum {
    MQRS_ANY = 0,
    MQRS_SHM = 1,
    MQRS_POSIX = 2,
    MQRS_SYSV = 3,
    MQRS_AMQP = 4,
};

enum {
    MQRS_FOREVER = -1,
    MQRS_NOWAIT = 0,
};

enum {
    MQRS_PRIO_MAX = 32767,
};

enum {
    MQRS_OPT_EXACT_MODE = 1,
    MQRS_OPT_RESTART = 2,
};

enum {
    MQRS_CAP_FD = 1,
    MQRS_CAP_NOTIFY = 2,
    MQRS_CAP_TYPES = 4,
    MQRS_CAP_SMALL_BUFFER = 8,
    MQRS_CAP_ZERO_COPY = 16,
    MQRS_CAP_PEEK = 32,
    MQRS_CAP_SHUTDOWN = 64,
    MQRS_CAP_STATS = 128,
    MQRS_CAP_PERSISTENT_NOTIFY = 256,
    MQRS_CAP_DROP_OLDEST = 512,
    MQRS_CAP_SENDER = 1024,
};

typedef struct mqrs_queue mqrs_queue;

typedef struct mqrs_options {
    uint64_t flags;
    uint64_t maxmsg;
    uint64_t msgsize;
    uint32_t mode;
    uint32_t reserved;
} mqrs_options;

typedef struct mqrs_attr {
    uint32_t transport;
    uint32_t flags;
    uint64_t maxmsg;
    uint64_t msgsize;
    uint64_t curmsgs;
    uint64_t curbytes;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t reserved;
    uint64_t capabilities;
} mqrs_attr;

typedef struct mqrs_limits {
    int32_t unavailable;
    uint32_t reserved;
    uint64_t maxmsg_default;
    uint64_t maxmsg_max;
    uint64_t msgsize_default;
    uint64_t msgsize_max;
    uint64_t queues_max;
    uint64_t bytes_max;
    uint64_t prio_max;
} mqrs_limits;

int mqrs_open(const char *name,
              int oflag,
              const struct mqrs_options *opt,
              size_t opt_size,
              mqrs_queue **out);

int mqrs_open_fd(int fd, int oflag, uint64_t opt_flags, mqrs_queue **out);

int mqrs_dup_fd(const mqrs_queue *q);

int mqrs_set_owner(mqrs_queue *q, uint32_t mode, uint32_t uid, uint32_t gid);

int mqrs_close(mqrs_queue *q);

int mqrs_unlink(const char *name);

const char *mqrs_name(const mqrs_queue *q);

int mqrs_send(mqrs_queue *q, const void *msg, size_t len, uint32_t prio);

int mqrs_timedsend(mqrs_queue *q,
                   const void *msg,
                   size_t len,
                   uint32_t prio,
                   int64_t timeout_ns);

int mqrs_send_until(mqrs_queue *q,
                    const void *msg,
                    size_t len,
                    uint32_t prio,
                    int clock,
                    int64_t deadline_ns);

ssize_t mqrs_sendall(mqrs_queue *q, const void *data, size_t len, uint32_t prio);

ssize_t mqrs_receive(mqrs_queue *q, void *buf, size_t cap, uint32_t *prio);

ssize_t mqrs_timedreceive(mqrs_queue *q,
                          void *buf,
                          size_t cap,
                          int64_t timeout_ns,
                          uint32_t *prio);

ssize_t mqrs_receive_until(mqrs_queue *q,
                           void *buf,
                           size_t cap,
                           int clock,
                           int64_t deadline_ns,
                           uint32_t *prio);

int mqrs_notify_signal(mqrs_queue *q, int signo, intptr_t value, uint64_t flags);

int mqrs_notify_callback(mqrs_queue *q,
                         void (*fn)(mqrs_queue *q, void *user),
                         void *user,
                         uint64_t flags);

int mqrs_notify_cancel(mqrs_queue *q);

int mqrs_getattr(const mqrs_queue *q, struct mqrs_attr *out, size_t size);

int mqrs_getlimits(uint32_t transport, struct mqrs_limits *out, size_t size);

int mqrs_set_nonblock(mqrs_queue *q, int on);

const char *mqrs_strerror(int err);

const char *mqrs_errname(int err);

size_t mqrs_last_error(char *buf, size_t cap);

const char *mqrs_version(void);

uint32_t mqrs_version_number(void);
