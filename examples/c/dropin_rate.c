/* How fast a queue of <mqueue.h> passes messages of 8 bytes: a send and a receive in one
 * process, and from one process to another. Run it as it is, and with the drop-in:
 *
 *     cc -O2 dropin_rate.c -o dropin_rate -lrt
 *     ./dropin_rate
 *     LD_PRELOAD=libmqueue_dropin.so ./dropin_rate
 */
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGES = 1000000 };

static double now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int pass(mqd_t queue, int sends, int receives)
{
    char text[8] = "message";

    for (int i = 0; i < MESSAGES; i++)
        if ((sends && mq_send(queue, text, sizeof text, 0) < 0) ||
            (receives && mq_receive(queue, text, sizeof text, NULL) < 0))
            return -1;
    return 0;
}

int main(void)
{
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8};
    mqd_t queue = mq_open("/dropin-rate", O_CREAT | O_RDWR, 0600, &attr);
    double begun;
    int status = 1;
    pid_t receiver;

    if (queue == (mqd_t)-1 || mq_unlink("/dropin-rate") < 0) {
        perror("mq_open");
        return 1;
    }
    begun = now_ns();
    if (pass(queue, 1, 1) < 0)
        return 1;
    printf("a send and a receive in one process: %.0f ns\n", (now_ns() - begun) / MESSAGES);

    begun = now_ns();
    receiver = fork();
    if (receiver == 0)
        _exit(pass(queue, 0, 1) < 0);
    if (receiver < 0 || pass(queue, 1, 0) < 0 || waitpid(receiver, &status, 0) < 0 || status != 0)
        return 1;
    printf("a message from process to process: %.0f ns\n", (now_ns() - begun) / MESSAGES);
    return 0;
}
