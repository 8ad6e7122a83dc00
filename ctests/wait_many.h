/* Some queues of any transports, and a wait for all of them at once (mqrs_wait).
 *
 * What is waited for is tried with each mixture of the transports that there are here. */
#ifndef WAIT_MANY_H
#define WAIT_MANY_H

#include "check.h"

enum { MAXMSG = 2, MSGSIZE = 16, SHM = 0, POSIX = 1, SYSV = 2, TRANSPORTS = 3 };

static const char *const prefixes[] = {"shm:/", "posix:/", "sysv:/"};
static const uint32_t transports[] = {MQRS_SHM, MQRS_POSIX, MQRS_SYSV};

HELPER int is_there(int transport)
{
    struct mqrs_limits limits;

    CHECK_OK(mqrs_getlimits(transports[transport], &limits, sizeof limits));
    return limits.unavailable == 0;
}

/* A queue of this transport, and its address. */
HELPER mqrs_queue *create(int transport, char *address)
{
    mqrs_queue *queue;

    sprintf(address, "%s%s", prefixes[transport], new_name() + 1);
    queue = create_queue(address, MAXMSG, MSGSIZE, 0);
    if (transport == SYSV)
        CHECK_OK(mqrs_set_maxbytes(queue, MAXMSG));
    return queue;
}

/* Some queues, and how they are waited for. */
struct some {
    unsigned count;
    struct mqrs_wait_item items[8];
    char addresses[8][80];
};

HELPER void add(struct some *some, int transport, uint32_t events)
{
    struct mqrs_wait_item *item = &some->items[some->count];

    item->queue = create(transport, some->addresses[some->count]);
    item->events = events;
    item->revents = 77;
    some->count++;
}

HELPER void remove_all(struct some *some)
{
    for (unsigned i = 0; i < some->count; i++)
        close_and_unlink(some->items[i].queue, some->addresses[i]);
    memset(some, 0, sizeof *some);
}

HELPER int wait_for(struct some *some, int64_t timeout)
{
    return mqrs_wait(some->items, sizeof some->items[0], some->count, timeout);
}

/* Each set of transports that there are here, as bits. */
#define FOR_EACH_MIXTURE(mixture) \
    for (int mixture = 1; mixture < 1 << TRANSPORTS; mixture++) if (are_there(mixture))

HELPER int are_there(int mixture)
{
    for (int t = 0; t < TRANSPORTS; t++)
        if ((mixture >> t & 1) && !is_there(t))
            return 0;
    return 1;
}

/* Two queues of each, waited for alike. */
HELPER void add_mixture(struct some *some, int mixture, uint32_t events)
{
    for (int t = 0; t < TRANSPORTS; t++)
        for (int twice = 0; twice < 2 && (mixture >> t & 1); twice++)
            add(some, t, events);
}

HELPER void expect_only(struct some *some, unsigned which, uint32_t revents)
{
    for (unsigned i = 0; i < some->count; i++)
        CHECK_EQUAL(i == which ? revents : 0, some->items[i].revents);
}

#endif
