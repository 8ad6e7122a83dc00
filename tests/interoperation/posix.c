/* A program that uses the kernel's POSIX queues and nothing of ours: mq_overview(7).
 *
 *     posix NAME
 *
 * It does what the lines on its standard input say; peer.rs has the list. */
#define _GNU_SOURCE
#include "peer.h"
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>

static mqd_t queue = (mqd_t)-1;
static unsigned char bytes[MOST_BYTES];

/* These functions take a moment of the wall clock. */
static struct timespec deadline(long milliseconds)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += milliseconds / 1000;
    at.tv_nsec += milliseconds % 1000 * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

static long send_message(void)
{
    size_t length = message(3, bytes);
    long wait = wait_of(2);
    struct timespec until;

    if (wait == FOREVER)
        return mq_send(queue, (char *)bytes, length, (unsigned)number(1));
    until = deadline(wait);
    return mq_timedsend(queue, (char *)bytes, length, (unsigned)number(1), &until);
}

static void receive_message(void)
{
    long wait = wait_of(2);
    struct timespec until = deadline(wait == FOREVER ? 0 : wait);
    unsigned priority;
    ssize_t length = wait == FOREVER
                         ? mq_receive(queue, (char *)bytes, sizeof bytes, &priority)
                         : mq_timedreceive(queue, (char *)bytes, sizeof bytes, &priority, &until);

    if (length == -1)
        answer(-1);
    else
        answer_message((long)priority, bytes, (size_t)length);
}

static void tell_attributes(void)
{
    struct mq_attr attr;

    if (mq_getattr(queue, &attr) == -1)
        answer(-1);
    else
        printf("ok %ld %ld %ld\n", attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs);
}

static void tell_readiness(void)
{
    struct pollfd item = {.fd = (int)queue, .events = POLLIN | POLLOUT};

    poll(&item, 1, 0);
    printf("ok %d %d\n", !!(item.revents & POLLIN), !!(item.revents & POLLOUT));
}

static long set_nonblock(int on)
{
    struct mq_attr attr = {.mq_flags = on ? O_NONBLOCK : 0};

    return mq_setattr(queue, &attr, NULL);
}

static long ask_for_signal(sigset_t *signals)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77};

    sigemptyset(signals);
    sigaddset(signals, SIGRTMIN);
    sigprocmask(SIG_BLOCK, signals, NULL);
    return mq_notify(queue, &event);
}

static void tell_signal(const sigset_t *signals)
{
    siginfo_t info;

    if (sigwaitinfo(signals, &info) == -1)
        answer(-1);
    else
        printf("ok %d %d %d\n", info.si_code == SI_MESGQ, (int)info.si_pid,
               info.si_value.sival_int);
}

int main(int count, char **arguments)
{
    const char *name = count > 1 ? arguments[1] : "";
    sigset_t signals;

    while (next_line()) {
        if (is("create")) {
            struct mq_attr attr = {.mq_maxmsg = number(1), .mq_msgsize = number(2)};

            queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0640, &attr);
            answer((long)queue);
        } else if (is("open")) {
            queue = mq_open(name, O_RDWR);
            answer((long)queue);
        } else if (is("adopt")) {
            queue = (mqd_t)number(1);
            answer(0);
        } else if (is("send")) {
            answer(send_message());
        } else if (is("receive")) {
            receive_message();
        } else if (is("attributes")) {
            tell_attributes();
        } else if (is("poll")) {
            tell_readiness();
        } else if (is("nonblock")) {
            answer(set_nonblock(number(1) != 0));
        } else if (is("notify")) {
            answer(ask_for_signal(&signals));
        } else if (is("notified")) {
            tell_signal(&signals);
        } else if (is("unlink")) {
            answer(mq_unlink(name));
        } else if (is("close")) {
            answer(mq_close(queue));
        } else {
            puts("unknown");
        }
    }
    return 0;
}
