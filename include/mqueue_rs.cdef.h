/* The declarations of mqueue_rs.h for programs without a C preprocessor. What they
 * mean is written there. In 32-bit programs struct mqrs_msg has one member more, a
 * uint32_t that is 0, after cap. */

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
    MQRS_OPT_EPHEMERAL = 4,
    MQRS_OPT_STAMP = 8,
    MQRS_OPT_REDELIVER = 16,
};

enum {
    MQRS_SEND_TYPE = 1,
    MQRS_SEND_DROP_OLDEST = 2,
};

enum {
    MQRS_RECV_PEEK = 1,
    MQRS_RECV_TRUNCATE = 2,
    MQRS_RECV_TYPE = 4,
    MQRS_RECV_EXCEPT = 8,
};

enum {
    MQRS_MSG_REDELIVERED = 1,
};

enum {
    MQRS_READABLE = 1,
    MQRS_WRITABLE = 2,
};

enum {
    MQRS_NOTIFY_PERSISTENT = 1,
    MQRS_NOTIFY_NOW = 2,
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

typedef struct mqrs_list mqrs_list;

typedef struct mqrs_queue mqrs_queue;

typedef struct mqrs_options {
    uint64_t flags;
    uint64_t maxmsg;
    uint64_t msgsize;
    uint32_t mode;
    uint32_t reserved;
} mqrs_options;

typedef struct mqrs_msg {
    void *data;
    size_t len;
    size_t cap;
    uint32_t prio;
    uint32_t sender_pid;
    uint32_t sender_uid;
    uint32_t state;
    int64_t type;
    uint64_t sequence;
    int64_t sent_ns;
} mqrs_msg;

typedef struct mqrs_wait_item {
    mqrs_queue *queue;
    uint32_t events;
    uint32_t revents;
} mqrs_wait_item;

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

typedef struct mqrs_stats {
    uint64_t sent;
    uint64_t received;
    uint64_t dropped;
    uint64_t recoveries;
    uint64_t max_curmsgs;
    uint32_t blocked_senders;
    uint32_t blocked_receivers;
    uint32_t users;
    uint32_t reserved;
    uint32_t last_send_pid;
    uint32_t last_receive_pid;
    int64_t last_send_ns;
    int64_t last_receive_ns;
} mqrs_stats;

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

typedef struct mqrs_entry {
    char name[264];
    struct mqrs_attr attr;
} mqrs_entry;

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

int mqrs_sendmsg(mqrs_queue *q,
                 const struct mqrs_msg *m,
                 size_t size,
                 uint64_t flags,
                 int64_t timeout_ns);

ssize_t mqrs_sendmmsg(mqrs_queue *q,
                      const struct mqrs_msg *v,
                      size_t size,
                      size_t count,
                      uint64_t flags,
                      int64_t timeout_ns);

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

ssize_t mqrs_recvmsg(mqrs_queue *q,
                     struct mqrs_msg *m,
                     size_t size,
                     uint64_t flags,
                     int64_t timeout_ns);

ssize_t mqrs_recvmmsg(mqrs_queue *q,
                      struct mqrs_msg *v,
                      size_t size,
                      size_t count,
                      uint64_t flags,
                      int64_t timeout_ns);

int mqrs_reserve(mqrs_queue *q, size_t len, int64_t timeout_ns, void **slot);

int mqrs_commit(mqrs_queue *q, void *slot, size_t len, uint32_t prio);

int mqrs_timedcommit(mqrs_queue *q,
                     void *slot,
                     size_t len,
                     uint32_t prio,
                     int64_t timeout_ns);

int mqrs_abort(mqrs_queue *q, void *slot);

ssize_t mqrs_acquire(mqrs_queue *q,
                     int64_t timeout_ns,
                     const void **data,
                     uint32_t *prio);

int mqrs_release(mqrs_queue *q, const void *data);

int mqrs_requeue(mqrs_queue *q, const void *data);

int mqrs_notify_signal(mqrs_queue *q, int signo, intptr_t value, uint64_t flags);

int mqrs_notify_callback(mqrs_queue *q,
                         void (*fn)(mqrs_queue *q, void *user),
                         void *user,
                         uint64_t flags);

int mqrs_notify_cancel(mqrs_queue *q);

int mqrs_fd(mqrs_queue *q);

int mqrs_wait(struct mqrs_wait_item *items,
              size_t size,
              size_t count,
              int64_t timeout_ns);

int mqrs_cancel(mqrs_queue *q);

int mqrs_set_cancelled(mqrs_queue *q, int on);

int mqrs_shutdown(mqrs_queue *q);

int mqrs_getattr(const mqrs_queue *q, struct mqrs_attr *out, size_t size);

int mqrs_getstats(const mqrs_queue *q, struct mqrs_stats *out, size_t size);

int mqrs_getlimits(uint32_t transport, struct mqrs_limits *out, size_t size);

int mqrs_set_nonblock(mqrs_queue *q, int on);

int mqrs_set_maxbytes(mqrs_queue *q, uint64_t bytes);

int mqrs_list_open(uint32_t transport, mqrs_list **out);

int mqrs_list_next(mqrs_list *l, struct mqrs_entry *out, size_t size);

int mqrs_list_close(mqrs_list *l);

const char *mqrs_strerror(int err);

const char *mqrs_errname(int err);

size_t mqrs_last_error(char *buf, size_t cap);

const char *mqrs_version(void);

uint32_t mqrs_version_number(void);
