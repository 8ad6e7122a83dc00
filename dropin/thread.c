/* SIGEV_THREAD: the function, its value and the thread's attributes, kept from mq_notify until
 * the message comes. The program may change or destroy its attributes meanwhile, so they are
 * copied, each by itself: what pthread_attr_t holds inside is libc's.
 *
 * The thread is detached, whatever the attributes say, since nobody could join it, and has all
 * signals blocked, like the one that starts it: both as libc's.
 *
 * Source: sigevent(7), pthread_attr_init(3) and the pages of each attribute.
 */
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE
#include "thread.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct thread {
    void (*function)(union sigval);
    union sigval value;
    pthread_attr_t attributes;
};

/* Returns the error of either call, if there is one. */
#define COPY(type, get, set)                                                                   \
    do {                                                                                       \
        type value;                                                                            \
        error = get(from, &value);                                                             \
        if (error == 0)                                                                        \
            error = set(to, value);                                                            \
        if (error != 0)                                                                        \
            return error;                                                                      \
    } while (0)

static int set_parameters(pthread_attr_t *to, struct sched_param parameters)
{
    return pthread_attr_setschedparam(to, &parameters);
}

static int copy_stack(pthread_attr_t *to, const pthread_attr_t *from)
{
    void *address = NULL;
    size_t size = 0;
    int error = pthread_attr_getstack(from, &address, &size);

    /* Without an address there is only a size, and the two of a fresh one give no stack. */
    if (error == 0 && address != NULL && (size_t)address + size != 0)
        return pthread_attr_setstack(to, address, size);
    if (error == 0)
        error = pthread_attr_getstacksize(from, &size);
    return error == 0 ? pthread_attr_setstacksize(to, size) : error;
}

static int copy_processors(pthread_attr_t *to, const pthread_attr_t *from)
{
    for (size_t size = sizeof(cpu_set_t); size <= 64 * sizeof(cpu_set_t); size *= 2) {
        cpu_set_t *set = calloc(1, size);
        int error = set == NULL ? ENOMEM : pthread_attr_getaffinity_np(from, size, set);
        int is_all = 1;

        for (size_t byte = 0; error == 0 && byte < size; byte++)
            is_all &= ((unsigned char *)set)[byte] == 0xFF;
        /* All of them: none were chosen. */
        if (error == 0 && !is_all)
            error = pthread_attr_setaffinity_np(to, size, set);
        free(set);
        if (error != EINVAL)
            return error;
    }
    return EINVAL;
}

static int copy_attributes(pthread_attr_t *to, const pthread_attr_t *from)
{
    int error;

    COPY(int, pthread_attr_getscope, pthread_attr_setscope);
    COPY(int, pthread_attr_getinheritsched, pthread_attr_setinheritsched);
    COPY(int, pthread_attr_getschedpolicy, pthread_attr_setschedpolicy);
    COPY(struct sched_param, pthread_attr_getschedparam, set_parameters);
    COPY(size_t, pthread_attr_getguardsize, pthread_attr_setguardsize);
    error = copy_stack(to, from);
    return error == 0 ? copy_processors(to, from) : error;
}

struct thread *thread_copy(const struct sigevent *event)
{
    struct thread *thread = malloc(sizeof *thread);
    int error = thread == NULL ? ENOMEM : pthread_attr_init(&thread->attributes);

    if (error != 0) {
        free(thread);
        errno = error;
        return NULL;
    }
    thread->function = event->sigev_notify_function;
    thread->value = event->sigev_value;
    if (event->sigev_notify_attributes != NULL)
        error = copy_attributes(&thread->attributes, event->sigev_notify_attributes);
    if (error == 0)
        error = pthread_attr_setdetachstate(&thread->attributes, PTHREAD_CREATE_DETACHED);
    if (error != 0) {
        mqrs_dropin_free_thread(thread);
        errno = error;
        return NULL;
    }
    return thread;
}

struct start {
    void (*function)(union sigval);
    union sigval value;
};

static void *run(void *argument)
{
    struct start start = *(struct start *)argument;

    free(argument);
    start.function(start.value);
    return NULL;
}

int mqrs_dropin_start_thread(struct thread *thread)
{
    struct start *start = malloc(sizeof *start);
    pthread_t started;

    if (start == NULL)
        return 0;
    start->function = thread->function;
    start->value = thread->value;
    if (pthread_create(&started, &thread->attributes, run, start) != 0) {
        free(start);
        return 0;
    }
    return 1;
}

void mqrs_dropin_free_thread(struct thread *thread)
{
    pthread_attr_destroy(&thread->attributes);
    free(thread);
}
