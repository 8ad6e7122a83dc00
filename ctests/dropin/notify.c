/* mq_notify: when it tells, by signal and by thread, and what ends a registration. */
#include "queues.h"
#include <sys/time.h>

static char bytes[64];
static const int signo = 36;

static struct sigevent by_signal(int number, int value)
{
    struct sigevent event;

    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = number;
    event.sigev_value.sival_int = value;
    return event;
}

static int is_pending(int number)
{
    sigset_t set;

    SYSTEM(sigpending(&set));
    return sigismember(&set, number);
}

/* Another registration waits behind all that were made before. */
static void expect_none(void)
{
    mqd_t other = unnamed_queue(O_RDWR, 1, 8);
    struct sigevent event = by_signal(signo + 1, 0);

    SYSTEM(mq_notify(other, &event));
    SYSTEM(mq_send(other, "1", 1, 0));
    take_signal(signo + 1);
    CHECK(!is_pending(signo));
    SYSTEM(mq_close(other));
}

static void a_message_to_an_empty_queue_tells_once(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(signo, 4711);
    siginfo_t info;
    pid_t child;

    SYSTEM(mq_notify(queue, &event));
    child = start_child();
    if (child == 0) {
        SYSTEM(mq_send(queue, "1", 1, 0));
        CHILD_END;
    }
    info = take_signal(signo);
    CHECK_EQUAL(SI_MESGQ, info.si_code);
    CHECK_EQUAL(4711, info.si_value.sival_int);
    CHECK_EQUAL(child, info.si_pid);
    CHECK_EQUAL(getuid(), info.si_uid);
    JOIN(child);
    SYSTEM(mq_receive(queue, bytes, 8, NULL));
    SYSTEM(mq_send(queue, "2", 1, 0));
    expect_none();
    SYSTEM(mq_close(queue));
}

static void a_message_to_a_queue_that_has_some_tells_nothing(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(signo, 0);

    SYSTEM(mq_send(queue, "1", 1, 0));
    SYSTEM(mq_notify(queue, &event));
    SYSTEM(mq_send(queue, "2", 1, 0));
    expect_none();
    SYSTEM(mq_receive(queue, bytes, 8, NULL));
    SYSTEM(mq_receive(queue, bytes, 8, NULL));
    SYSTEM(mq_send(queue, "3", 1, 0));
    take_signal(signo);
    SYSTEM(mq_close(queue));
}

static void there_is_one_registration(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 4, 8);
    mqd_t writer = (mqd_t)SYSTEM(mq_open(name, O_WRONLY));
    struct sigevent event = by_signal(signo, 0), bad;
    pid_t child;

    SYSTEM(mq_unlink(name));
    SYSTEM(mq_notify(queue, NULL));
    SYSTEM(mq_notify(writer, &event));
    REFUSED(EBUSY, mq_notify(queue, &event));
    REFUSED(EBUSY, mq_notify(writer, &event));
    child = start_child();
    if (child == 0) {
        REFUSED(EBUSY, mq_notify(queue, &event));
        SYSTEM(mq_notify(queue, NULL));
        REFUSED(EBUSY, mq_notify(queue, &event));
        SYSTEM(mq_close(queue));
        CHILD_END;
    }
    JOIN(child);
    REFUSED(EBUSY, mq_notify(queue, &event));
    bad = by_signal(65, 0);
    REFUSED(EINVAL, mq_notify(queue, &bad));
    REFUSED(EINVAL, mq_notify(-1, &bad));
    bad = by_signal(-1, 0);
    REFUSED(EINVAL, mq_notify(queue, &bad));
    bad.sigev_notify = 77;
    REFUSED(EINVAL, mq_notify(queue, &bad));
    SYSTEM(mq_notify(queue, NULL));
    SYSTEM(mq_notify(queue, &event));
    SYSTEM(mq_close(queue));
    SYSTEM(mq_close(writer));
}

static void none_and_signal_0_take_the_place_and_tell_nothing(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(signo, 0), none;

    memset(&none, 0, sizeof none);
    none.sigev_notify = SIGEV_NONE;
    for (int i = 0; i < 2; i++) {
        SYSTEM(mq_notify(queue, &none));
        REFUSED(EBUSY, mq_notify(queue, &event));
        SYSTEM(mq_send(queue, "1", 1, 0));
        SYSTEM(mq_receive(queue, bytes, 8, NULL));
        SYSTEM(mq_notify(queue, &event));
        SYSTEM(mq_notify(queue, NULL));
        none = by_signal(0, 0);
    }
    expect_none();
    SYSTEM(mq_close(queue));
}

/* Each way to close a descriptor of the queue, of which there are two. */
static void closing_any_descriptor_ends_the_registration(void)
{
    for (int way = 0; way < 4; way++) {
        const char *name = new_name();
        mqd_t queue = make_queue(name, O_RDWR, 4, 8);
        mqd_t other = way < 2 ? (mqd_t)SYSTEM(mq_open(name, O_RDWR)) : (mqd_t)SYSTEM(dup(queue));
        struct sigevent event = by_signal(signo, 0);
        struct mq_attr attr;

        SYSTEM(mq_unlink(name));
        SYSTEM(mq_getattr(other, &attr));
        SYSTEM(mq_notify(queue, &event));
        SYSTEM(way % 2 ? close(other) : mq_close(other));
        SYSTEM(mq_send(queue, "1", 1, 0));
        expect_none();
        SYSTEM(mq_receive(queue, bytes, 8, NULL));
        SYSTEM(mq_notify(queue, &event));
        SYSTEM(mq_send(queue, "1", 1, 0));
        take_signal(signo);
        SYSTEM(mq_close(queue));
    }
}

static void the_death_of_who_registered_ends_it(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(signo, 0);
    struct gate gate = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        SYSTEM(mq_notify(queue, &event));
        open_gate(gate);
        pause();
        CHILD_END;
    }
    pass_gate(gate);
    REFUSED(EBUSY, mq_notify(queue, &event));
    kill_child(child);
    SYSTEM(mq_notify(queue, &event));
    SYSTEM(mq_send(queue, "1", 1, 0));
    take_signal(signo);
    remove_gate(gate);
    SYSTEM(mq_close(queue));
}

static void a_message_to_a_waiting_receiver_tells_nothing(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(signo, 0);
    pid_t child;

    SYSTEM(mq_notify(queue, &event));
    child = start_child();
    if (child == 0) {
        CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
        CHILD_END;
    }
    wait_until_asleep(child);
    SYSTEM(mq_send(queue, "1", 1, 0));
    JOIN(child);
    expect_none();
    SYSTEM(mq_send(queue, "2", 1, 0));
    take_signal(signo);
    SYSTEM(mq_close(queue));
}

/* Who is woken for a message may come upon its notification before who sends it has done. */
static void the_receiver_that_is_woken_tells_nothing_either(void)
{
    enum { ROUNDS = 500 };
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(signo, 0);
    struct gate is_taken = new_gate();
    pid_t child;

    /* A queue that has held messages of several priorities at once. */
    SYSTEM(mq_send(queue, "1", 1, 1));
    SYSTEM(mq_send(queue, "0", 1, 0));
    for (int i = 0; i < 2; i++)
        SYSTEM(mq_receive(queue, bytes, 8, NULL));
    SYSTEM(mq_notify(queue, &event));
    child = start_child();
    if (child == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            SYSTEM(mq_receive(queue, bytes, 8, NULL));
            open_gate(is_taken);
        }
        CHILD_END;
    }
    for (int i = 0; i < ROUNDS; i++) {
        wait_until_asleep(child);
        SYSTEM(mq_send(queue, "x", 1, 0));
        pass_gate(is_taken);
        expect_none();
    }
    JOIN(child);
    remove_gate(is_taken);
    SYSTEM(mq_close(queue));
}

static void a_message_of_another_user_tells_as_well(void)
{
    mqd_t queue;
    struct sigevent event = by_signal(signo, 3);
    siginfo_t info;
    pid_t child;

    SKIP_IF(geteuid() != 0, "needs root to become two users");
    queue = unnamed_queue(O_RDWR, 4, 8);
    SYSTEM(mq_notify(queue, &event));
    child = start_child();
    if (child == 0) {
        become_user(NOBODY);
        SYSTEM(mq_send(queue, "1", 1, 0));
        CHILD_END;
    }
    info = take_signal(signo);
    CHECK_EQUAL(child, info.si_pid);
    CHECK_EQUAL(NOBODY, info.si_uid);
    JOIN(child);
    SYSTEM(mq_close(queue));
}

static volatile sig_atomic_t handled;

static void note(int number)
{
    (void)number;
    handled++;
}

/* The signal of a message comes before the program can have received it and waits again: it
 * ends no later wait. */
static void a_signal_ends_no_wait_for_the_next_message(void)
{
    enum { ROUNDS = 300 };
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(SIGUSR1, 0);
    struct gate gate = new_gate();
    pid_t parent = getpid(), child;

    handle(SIGUSR1, note, 0);
    handled = 0;
    child = start_child();
    if (child == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            pass_gate(gate);
            SYSTEM(mq_send(queue, "first", 5, 0));
            wait_until_asleep(parent);
            SYSTEM(mq_send(queue, "second", 6, 0));
        }
        CHILD_END;
    }
    for (int i = 0; i < ROUNDS; i++) {
        SYSTEM(mq_notify(queue, &event));
        open_gate(gate);
        while (attributes_of(queue).mq_curmsgs == 0)
            continue;
        CHECK_EQUAL(5, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
        CHECK_EQUAL(6, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
        CHECK_EQUAL(i + 1, handled);
    }
    JOIN(child);
    remove_gate(gate);
    SYSTEM(mq_close(queue));
}

/* Who sends to himself has been told when the call returns. */
static void a_signal_to_the_sender_comes_before_the_call_returns(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    struct sigevent event = by_signal(SIGUSR1, 0);

    handle(SIGUSR1, note, 0);
    handled = 0;
    for (int i = 1; i <= 300; i++) {
        SYSTEM(mq_notify(queue, &event));
        SYSTEM(mq_send(queue, "1", 1, 0));
        CHECK_EQUAL(i, handled);
        SYSTEM(mq_receive(queue, bytes, 8, NULL));
    }
    SYSTEM(mq_close(queue));
}

/* A message that has come is told, though the registration ends before it can have been. */
static void what_has_come_is_told_when_the_registration_ends(void)
{
    for (int round = 0; round < 200; round++) {
        mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
        struct sigevent event = by_signal(SIGUSR1, 0);
        struct gate begin = new_gate(), sent = new_gate();
        pid_t child;

        handle(SIGUSR1, note, 0);
        handled = 0;
        child = start_child();
        if (child == 0) {
            pass_gate(begin);
            SYSTEM(mq_send(queue, "1", 1, 0));
            open_gate(sent);
            CHILD_END;
        }
        SYSTEM(mq_notify(queue, &event));
        open_gate(begin);
        pass_gate(sent);
        SYSTEM(round % 2 ? mq_close(queue) : mq_notify(queue, NULL));
        CHECK_EQUAL(1, handled);
        JOIN(child);
        if (round % 2 == 0)
            SYSTEM(mq_close(queue));
        remove_gate(begin);
        remove_gate(sent);
    }
}

static mqd_t own;

static void send_to_myself(int number)
{
    int before = errno;
    char text[8];

    (void)number;
    while (mq_receive(own, text, sizeof text, NULL) >= 0)
        continue;
    handled += mq_send(own, "1", 1, 0) == 0;
    errno = before;
}

static void do_nothing(union sigval value)
{
    (void)value;
}

/* In the midst of whatever the program does, malloc included. */
static void a_handler_may_send_to_its_own_process(void)
{
    struct itimerval timer = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
    struct sigevent event;
    sigset_t alarm_only, before;

    own = unnamed_queue(O_RDWR | O_NONBLOCK, 4, 8);
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = do_nothing;
    handle(SIGALRM, send_to_myself, SA_RESTART);
    handled = 0;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    SYSTEM(setitimer(ITIMER_REAL, &timer, NULL));
    while (handled < 3000) {
        sigprocmask(SIG_BLOCK, &alarm_only, &before);
        if (mq_notify(own, &event) != 0)
            CHECK_EQUAL(EBUSY, errno);
        sigprocmask(SIG_SETMASK, &before, NULL);
        for (size_t i = 0; i < 2000; i++) {
            void *volatile block = malloc(40 + i % 64 * 100);

            free(block);
        }
    }
    SYSTEM(setitimer(ITIMER_REAL, &off, NULL));
    handle(SIGALRM, SIG_IGN, 0);
    SYSTEM(mq_close(own));
}

/* ---- Threads ------------------------------------------------------------------ */

static struct {
    struct gate gate;
    union sigval value;
    size_t stack, guard;
    int is_main;
    pthread_t main;
} seen;

static void tell(union sigval value)
{
    pthread_attr_t attributes;

    seen.value = value;
    seen.is_main = pthread_equal(pthread_self(), seen.main);
    CHECK_EQUAL(0, pthread_getattr_np(pthread_self(), &attributes));
    CHECK_EQUAL(0, pthread_attr_getstacksize(&attributes, &seen.stack));
    CHECK_EQUAL(0, pthread_attr_getguardsize(&attributes, &seen.guard));
    pthread_attr_destroy(&attributes);
    open_gate(seen.gate);
}

static void a_thread_is_started_with_its_attributes(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 4, 8);
    pthread_attr_t attributes;
    struct sigevent event;

    seen.gate = new_gate();
    seen.main = pthread_self();
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = tell;
    event.sigev_value.sival_int = 15;
    CHECK_EQUAL(0, pthread_attr_init(&attributes));
    CHECK_EQUAL(0, pthread_attr_setstacksize(&attributes, 1 << 20));
    CHECK_EQUAL(0, pthread_attr_setguardsize(&attributes, 65536));
    event.sigev_notify_attributes = &attributes;
    SYSTEM(mq_notify(queue, &event));
    REFUSED(EBUSY, mq_notify(queue, &event));
    /* They were copied. */
    CHECK_EQUAL(0, pthread_attr_destroy(&attributes));
    memset(&attributes, 0xFF, sizeof attributes);

    SYSTEM(mq_send(queue, "1", 1, 0));
    pass_gate(seen.gate);

    CHECK_EQUAL(15, seen.value.sival_int);
    CHECK(!seen.is_main);
    CHECK_EQUAL(1 << 20, seen.stack);
    CHECK_EQUAL(65536, seen.guard);

    SYSTEM(mq_receive(queue, bytes, 8, NULL));
    event.sigev_notify_attributes = NULL;
    for (int i = 0; i < 20; i++) {
        event.sigev_value.sival_int = i;
        SYSTEM(mq_notify(queue, &event));
        SYSTEM(mq_send(queue, "1", 1, 0));
        pass_gate(seen.gate);
        CHECK_EQUAL(i, seen.value.sival_int);
        SYSTEM(mq_receive(queue, bytes, 8, NULL));
    }
    SYSTEM(mq_notify(queue, &event));
    SYSTEM(mq_notify(queue, NULL));
    SYSTEM(mq_close(queue));
    remove_gate(seen.gate);
}

int main(void)
{
    check_begin();
    block_signal(signo);
    block_signal(signo + 1);
    RUN(a_message_to_an_empty_queue_tells_once);
    RUN(a_message_to_a_queue_that_has_some_tells_nothing);
    RUN(there_is_one_registration);
    RUN(none_and_signal_0_take_the_place_and_tell_nothing);
    RUN(closing_any_descriptor_ends_the_registration);
    RUN(the_death_of_who_registered_ends_it);
    RUN(a_message_to_a_waiting_receiver_tells_nothing);
    RUN(the_receiver_that_is_woken_tells_nothing_either);
    RUN(a_message_of_another_user_tells_as_well);
    RUN(a_signal_ends_no_wait_for_the_next_message);
    RUN(a_signal_to_the_sender_comes_before_the_call_returns);
    RUN(what_has_come_is_told_when_the_registration_ends);
    RUN(a_handler_may_send_to_its_own_process);
    RUN(a_thread_is_started_with_its_attributes);
    return check_end();
}
