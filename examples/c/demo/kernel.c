/*
 * kernel.c: the functions that producer.c and consumer.c call, over the kernel's POSIX
 * queues. Linked with this file instead of the library, the same two programs do the same
 * work through mq_open(3) and its kin; that makes the comparison a fair one.
 */
#define _POSIX_C_SOURCE 200809L

#include <mqueue_rs.h>

#include <errno.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mqrs_queue {
    mqd_t descriptor;
};

/* Negative errno, as the library has it. */
static ssize_t result(ssize_t returned)
{
    return returned < 0 ? -errno : returned;
}

int mqrs_open(const char *name, int oflag, const struct mqrs_options *opt, size_t opt_size,
              mqrs_queue **out)
{
    mqrs_queue *queue = (mqrs_queue *)malloc(sizeof *queue);

    (void)opt;
    (void)opt_size;
    if (queue == NULL)
        return -ENOMEM;
    queue->descriptor = mq_open(name, oflag);
    if (queue->descriptor < 0) {
        int err = errno;

        free(queue);
        return -err;
    }
    *out = queue;
    return 0;
}

int mqrs_close(mqrs_queue *q)
{
    int err = (int)result(mq_close(q->descriptor));

    free(q);
    return err;
}

int mqrs_send(mqrs_queue *q, const void *msg, size_t len, uint32_t prio)
{
    return (int)result(mq_send(q->descriptor, (const char *)msg, len, prio));
}

ssize_t mqrs_receive(mqrs_queue *q, void *buf, size_t cap, uint32_t *prio)
{
    return result(mq_receive(q->descriptor, (char *)buf, cap, prio));
}

/* With MQRS_NOWAIT only: a deadline that was over long ago. */
ssize_t mqrs_timedreceive(mqrs_queue *q, void *buf, size_t cap, int64_t timeout_ns, uint32_t *prio)
{
    static const struct timespec long_ago = {0, 0};
    ssize_t len;

    if (timeout_ns != MQRS_NOWAIT)
        return -ENOTSUP;
    len = result(mq_timedreceive(q->descriptor, (char *)buf, cap, prio, &long_ago));
    return len == -ETIMEDOUT ? -EAGAIN : len;
}

int mqrs_notify_signal(mqrs_queue *q, int signo, intptr_t value, uint64_t flags)
{
    struct sigevent event;

    (void)flags;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = signo;
    event.sigev_value.sival_ptr = (void *)value;
    return (int)result(mq_notify(q->descriptor, &event));
}

const char *mqrs_errname(int err)
{
    return strerror(-err);
}

size_t mqrs_last_error(char *buf, size_t cap)
{
    return (size_t)snprintf(buf, cap, "the kernel's queue");
}
