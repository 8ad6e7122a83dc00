/* A library for LD_PRELOAD that is wrong on purpose, in one errno of each kind of queues: so that
 * the comparison is seen to notice. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <mqueue.h>
#include <sys/msg.h>

ssize_t mq_receive(mqd_t queue, char *message, size_t capacity, unsigned *priority)
{
    ssize_t (*real)(mqd_t, char *, size_t, unsigned *);
    *(void **)&real = dlsym(RTLD_NEXT, "mq_receive");
    ssize_t length = real(queue, message, capacity, priority);
    if (length == -1 && errno == EMSGSIZE)
        errno = EINVAL;
    return length;
}

ssize_t msgrcv(int id, void *message, size_t capacity, long type, int flags)
{
    ssize_t (*real)(int, void *, size_t, long, int);
    *(void **)&real = dlsym(RTLD_NEXT, "msgrcv");
    ssize_t length = real(id, message, capacity, type, flags);
    if (length == -1 && errno == E2BIG)
        errno = EINVAL;
    return length;
}
