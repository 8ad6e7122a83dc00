/* mq_notify of another process: that it has been told when the send returns. */
#include "queues.h"

static const int signo = 36;

static struct sigevent by_signal(void)
{
    struct sigevent event;

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = signo;
    return event;
}

static void a_signal_is_there_when_the_send_returns(void)
{
    enum { ROUNDS = 200 };
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal();
    struct gate registered = new_gate(), sent = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            pass_gate(registered);
            SYSTEM(mq_send(queue, "1", 1, 0));
            open_gate(sent);
        }
        CHILD_END;
    }
    for (int i = 0; i < ROUNDS; i++) {
        char bytes[8];
        sigset_t pending;

        SYSTEM(mq_notify(queue, &event));
        open_gate(registered);
        pass_gate(sent);
        SYSTEM(sigpending(&pending));
        CHECK(sigismember(&pending, signo));
        CHECK_EQUAL(child, take_signal(signo).si_pid);
        SYSTEM(mq_receive(queue, bytes, sizeof bytes, NULL));
    }
    JOIN(child);
    remove_gate(registered);
    remove_gate(sent);
    SYSTEM(mq_close(queue));
}

/* Nobody waits for it for ever. */
static void a_stopped_process_is_told_when_it_goes_on(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal();
    pid_t child = start_child();
    int status;

    if (child == 0) {
        SYSTEM(mq_notify(queue, &event));
        SYSTEM(raise(SIGSTOP));
        take_signal(signo);
        SYSTEM(mq_notify(queue, &event));
        CHILD_END;
    }
    CHECK_EQUAL(child, SYSTEM(waitpid(child, &status, WUNTRACED)));
    CHECK(WIFSTOPPED(status));
    SYSTEM(mq_send(queue, "1", 1, 0));
    SYSTEM(mq_send(queue, "2", 1, 0));
    SYSTEM(mq_notify(queue, &event));
    SYSTEM(mq_notify(queue, NULL));
    SYSTEM(kill(child, SIGCONT));
    JOIN(child);
    SYSTEM(mq_close(queue));
}

int main(void)
{
    check_begin();
    block_signal(signo);
    RUN(a_signal_is_there_when_the_send_returns);
    RUN(a_stopped_process_is_told_when_it_goes_on);
    return check_end();
}
