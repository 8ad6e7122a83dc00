/* What the programs for the drop-in share: nothing in them knows of this library. Each runs
 * on the kernel's queues first, which so judges the program, and then with the drop-in. */
#ifndef QUEUES_H
#define QUEUES_H

#include "../program.h"
#include <mqueue.h>
#include <poll.h>

/* Whether the drop-in serves this program, for what it promises beyond the kernel. */
HELPER int is_dropin(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded != NULL && strstr(preloaded, "mqueue_dropin") != NULL;
}

/* A new name; one of the last 16 given. */
HELPER const char *new_name(void)
{
    static char names[16][64];
    static unsigned count;
    char *name = names[count % 16];

    snprintf(name, sizeof names[0], "/dropin-%d-%u", (int)getpid(), count++);
    return name;
}

HELPER mqd_t make_queue(const char *name, int oflag, long maxmsg, long msgsize)
{
    struct mq_attr attr = {0};

    attr.mq_maxmsg = maxmsg;
    attr.mq_msgsize = msgsize;
    return (mqd_t)SYSTEM(mq_open(name, O_CREAT | O_EXCL | oflag, 0600, &attr));
}

/* A queue that has no name any more: nothing of it stays. */
HELPER mqd_t unnamed_queue(int oflag, long maxmsg, long msgsize)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, oflag, maxmsg, msgsize);

    SYSTEM(mq_unlink(name));
    return queue;
}

HELPER struct mq_attr attributes_of(mqd_t queue)
{
    struct mq_attr attr = {0};

    SYSTEM(mq_getattr(queue, &attr));
    return attr;
}

/* What poll says now. */
HELPER int events_of(int queue)
{
    struct pollfd item = {queue, POLLIN | POLLOUT, 0};

    SYSTEM(poll(&item, 1, 0));
    return item.revents;
}

HELPER struct timespec in_ns(int64_t ns)
{
    int64_t at = now_ns(CLOCK_REALTIME) + ns;
    struct timespec time = {(time_t)(at / SECOND), (long)(at % SECOND)};

    return time;
}

/* The signal is handled so. */
HELPER void handle(int signo, void (*handler)(int), int flags)
{
    struct sigaction action = {0};

    action.sa_handler = handler;
    action.sa_flags = flags;
    SYSTEM(sigaction(signo, &action, NULL));
}

#endif
