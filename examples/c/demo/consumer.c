/*
 * consumer.c: receive messages and write them to the standard output.
 *
 *     consumer QUEUE blocking    wait in mqrs_receive, until a message says that it is the last
 *     consumer QUEUE notified    the same, but wait for a signal
 *     consumer QUEUE once        take what there is, and do not wait
 */
#define _POSIX_C_SOURCE 200809L /* sigprocmask, sigwaitinfo */

#include "demo.h"

#include <mqueue_rs.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct message message;
static uint32_t prio;

/* Write the message down; returns 0 if it was the last. */
static int keep(size_t len)
{
    struct entry entry;

    if (len < HEADER_SIZE)
        stop("consumer", "a message is too short");
    if (message.file == NO_FILE)
        return 0;
    entry.prio = prio;
    entry.len = (uint32_t)len;
    if (fwrite(&entry, sizeof entry, 1, stdout) != 1 || fwrite(&message, len, 1, stdout) != 1)
        stop("standard output", strerror(errno));
    return 1;
}

static void blocking(mqrs_queue *queue)
{
    ssize_t len;

    do {
        len = mqrs_receive(queue, &message, sizeof message, &prio);
        if (len < 0)
            stop_call("mqrs_receive", (int)len);
    } while (keep((size_t)len));
}

/* Take messages until there is none, or the last one came: returns 0 then. */
static int drain(mqrs_queue *queue)
{
    for (;;) {
        ssize_t len = mqrs_timedreceive(queue, &message, sizeof message, MQRS_NOWAIT, &prio);

        if (len == -EAGAIN)
            return 1;
        if (len < 0)
            stop_call("mqrs_timedreceive", (int)len);
        if (!keep((size_t)len))
            return 0;
    }
}

/* A registration is for one message that comes to the empty queue. So register first,
 * then take what there is: a message that comes in between is noticed either way. */
static void notified(mqrs_queue *queue)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        int err = mqrs_notify_signal(queue, SIGUSR1, 0, 0);

        if (err < 0)
            stop_call("mqrs_notify_signal", err);
        if (!drain(queue))
            return;
        while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR) {
        }
    }
}

int main(int argc, char **argv)
{
    mqrs_queue *queue = NULL;
    int err;

    if (argc != 3)
        stop("usage", "consumer QUEUE blocking|notified|once");
    err = mqrs_open(argv[1], O_RDONLY, NULL, 0, &queue);
    if (err < 0)
        stop_call("mqrs_open", err);

    if (strcmp(argv[2], "blocking") == 0)
        blocking(queue);
    else if (strcmp(argv[2], "notified") == 0)
        notified(queue);
    else
        drain(queue);

    mqrs_close(queue);
    if (fclose(stdout) != 0)
        stop("standard output", strerror(errno));
    return EXIT_SUCCESS;
}
