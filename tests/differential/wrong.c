/* A library for LD_PRELOAD that is wrong on purpose, in one errno: so that the comparison is
 * seen to notice. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <mqueue.h>

ssize_t mq_receive(mqd_t queue, char *message, size_t capacity, unsigned *priority)
{
    ssize_t (*real)(mqd_t, char *, size_t, unsigned *);
    *(void **)&real = dlsym(RTLD_NEXT, "mq_receive");
    ssize_t length = real(queue, message, capacity, priority);
    if (length == -1 && errno == EMSGSIZE)
        errno = EINVAL;
    return length;
}
