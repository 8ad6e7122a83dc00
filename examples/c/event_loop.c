/*
 * event_loop.c: one thread that waits for two queues, a timer and a signal at
 * once, by epoll.
 *
 * The child sends jobs to one queue and a remark to the other, and then
 * SIGTERM. The parent sleeps in epoll_wait until there is something to do, and
 * never in a call of the library. When the signal has come it works off what is
 * left, and ends.
 *
 *     cc event_loop.c $(pkg-config --cflags --libs mqueue_rs) -o event_loop
 *     ./event_loop
 */
#define _GNU_SOURCE /* epoll, timerfd, signalfd */

#include <mqueue_rs.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum source { JOBS, REMARKS, TIMER, SIGNAL };

static void stop(const char *call, int err)
{
    char sentence[256];

    mqrs_last_error(sentence, sizeof sentence);
    fprintf(stderr, "%s: %s: %s\n", call, mqrs_errname(err), sentence);
    exit(EXIT_FAILURE);
}

static int checked(const char *call, int result)
{
    if (result < 0) {
        perror(call);
        exit(EXIT_FAILURE);
    }
    return result;
}

static mqrs_queue *open_queue(const char *name, int oflag)
{
    mqrs_queue *queue;
    int err = mqrs_open(name, oflag, NULL, 0, &queue);

    if (err < 0)
        stop("mqrs_open", err);
    return queue;
}

static void put(mqrs_queue *queue, const char *text)
{
    int err = mqrs_send(queue, text, strlen(text), 0);

    if (err < 0)
        stop("mqrs_send", err);
}

/* The other process: it knows the names, and nothing of the event loop. */
static void sender(pid_t parent, const char *jobs_name, const char *remarks_name)
{
    const struct timespec a_while = {0, 100000000};
    mqrs_queue *jobs = open_queue(jobs_name, O_WRONLY);
    mqrs_queue *remarks = open_queue(remarks_name, O_WRONLY);

    put(jobs, "sweep the yard");
    put(jobs, "feed the cat");
    put(remarks, "it is raining");
    nanosleep(&a_while, NULL);
    put(jobs, "lock the door");
    kill(parent, SIGTERM);
    mqrs_close(jobs);
    mqrs_close(remarks);
}

static void add(int epoll, int fd, enum source source)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u32 = source}};

    checked("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

/* A queue's descriptor is for epoll alone; the handle goes on as ever. */
static void add_queue(int epoll, mqrs_queue *queue, enum source source)
{
    int fd = mqrs_fd(queue);

    if (fd < 0)
        stop("mqrs_fd", fd);
    add(epoll, fd, source);
}

/* Take what is there. The descriptor may be ready for nothing, if another
 * receiver was faster: that is -EAGAIN, and no error. */
static void take_all(mqrs_queue *queue, const char *what)
{
    char buffer[8192];
    ssize_t len;

    while ((len = mqrs_timedreceive(queue, buffer, sizeof buffer, MQRS_NOWAIT, NULL)) >= 0)
        printf("%s: %.*s\n", what, (int)len, buffer);
    if (len != -EAGAIN)
        stop("mqrs_timedreceive", (int)len);
}

int main(void)
{
    const struct itimerspec period = {{0, 10000000}, {0, 10000000}};
    char jobs_name[32], remarks_name[32];
    int epoll, timer, signals, is_over = 0, ticks = 0;
    mqrs_queue *jobs, *remarks;
    sigset_t ending;
    pid_t parent = getpid(), child;

    snprintf(jobs_name, sizeof jobs_name, "/jobs-%d", (int)parent);
    snprintf(remarks_name, sizeof remarks_name, "/remarks-%d", (int)parent);
    jobs = open_queue(jobs_name, O_CREAT | O_EXCL | O_RDONLY);
    remarks = open_queue(remarks_name, O_CREAT | O_EXCL | O_RDONLY);

    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    sigprocmask(SIG_BLOCK, &ending, NULL);

    child = checked("fork", fork());
    if (child == 0) {
        sender(parent, jobs_name, remarks_name);
        _exit(EXIT_SUCCESS);
    }

    epoll = checked("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
    timer = checked("timerfd_create", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
    signals = checked("signalfd", signalfd(-1, &ending, SFD_CLOEXEC));
    checked("timerfd_settime", timerfd_settime(timer, 0, &period, NULL));
    add_queue(epoll, jobs, JOBS);
    add_queue(epoll, remarks, REMARKS);
    add(epoll, timer, TIMER);
    add(epoll, signals, SIGNAL);

    while (!is_over) {
        struct epoll_event events[4];
        int count = checked("epoll_wait", epoll_wait(epoll, events, 4, -1));

        for (int i = 0; i < count; i++) {
            struct signalfd_siginfo info;
            uint64_t expired;

            switch ((enum source)events[i].data.u32) {
            case JOBS:
                take_all(jobs, "job");
                break;
            case REMARKS:
                take_all(remarks, "remark");
                break;
            case TIMER:
                if (read(timer, &expired, sizeof expired) > 0 && ticks++ == 0)
                    printf("the timer ticks\n");
                break;
            case SIGNAL:
                if (read(signals, &info, sizeof info) > 0)
                    is_over = 1;
                break;
            }
        }
    }
    /* What was sent before the signal is there. */
    take_all(jobs, "job");
    take_all(remarks, "remark");
    printf("told to stop\n");

    waitpid(child, NULL, 0);
    close(signals);
    close(timer);
    close(epoll);
    mqrs_close(jobs);
    mqrs_close(remarks);
    mqrs_unlink(jobs_name);
    mqrs_unlink(remarks_name);
    return EXIT_SUCCESS;
}
