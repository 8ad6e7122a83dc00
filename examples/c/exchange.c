/*
 * exchange.c: two processes that share nothing but the name of a queue.
 *
 * The child opens the queue by its name and sends three messages, the most
 * urgent one last. The parent receives them, the most urgent one first, and
 * removes the queue.
 *
 *     cc exchange.c $(pkg-config --cflags --libs mqueue_rs) -o exchange
 *     ./exchange
 */
#define _POSIX_C_SOURCE 200809L /* fork, waitpid */

#include <mqueue_rs.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every call that fails returns a negative errno; mqrs_last_error tells the
 * cause in one sentence. */
static void stop(const char *call, int err)
{
    char sentence[256];

    mqrs_last_error(sentence, sizeof sentence);
    fprintf(stderr, "%s: %s: %s\n", call, mqrs_errname(err), sentence);
    exit(EXIT_FAILURE);
}

static void send_one(mqrs_queue *queue, const char *text, uint32_t prio)
{
    int err = mqrs_send(queue, text, strlen(text), prio);

    if (err < 0)
        stop("mqrs_send", err);
}

static void sender(const char *name)
{
    mqrs_queue *queue;
    int err = mqrs_open(name, O_WRONLY, NULL, 0, &queue);

    if (err < 0)
        stop("mqrs_open", err);
    send_one(queue, "tea is ready", 0);
    send_one(queue, "the post has come", 3);
    send_one(queue, "the house is on fire", 30);
    mqrs_close(queue);
}

/* Waits at most one second for each message: -ETIMEDOUT would say that the
 * sender is gone. */
static void receiver(mqrs_queue *queue)
{
    char text[64];
    uint32_t prio;
    int i;

    for (i = 0; i < 3; i++) {
        ssize_t len = mqrs_timedreceive(queue, text, sizeof text, 1000000000, &prio);

        if (len < 0)
            stop("mqrs_timedreceive", (int)len);
        printf("%2u  %.*s\n", (unsigned)prio, (int)len, text);
    }
}

int main(void)
{
    const char *name = "/exchange";
    mqrs_queue *queue;
    struct mqrs_options options;
    pid_t child;
    int err, status;

    /* Zero means "the default" in every field: here mode 0600. */
    memset(&options, 0, sizeof options);
    options.maxmsg = 8;
    options.msgsize = sizeof "the house is on fire";
    err = mqrs_open(name, O_RDONLY | O_CREAT, &options, sizeof options, &queue);
    if (err < 0)
        stop("mqrs_open", err);

    child = fork();
    if (child == 0) {
        sender(name);
        exit(EXIT_SUCCESS);
    }
    /* Only to show the order: once the child is done, all three are queued. */
    if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) {
        mqrs_unlink(name);
        return EXIT_FAILURE;
    }
    receiver(queue);

    mqrs_close(queue);
    err = mqrs_unlink(name);
    if (err < 0)
        stop("mqrs_unlink", err);
    return EXIT_SUCCESS;
}
