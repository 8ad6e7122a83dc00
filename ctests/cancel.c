/* mqrs_cancel and mqrs_set_cancelled end the calls of one handle in one process, whatever they
 * wait for and however, on every transport: from another thread, or from a signal handler on
 * the thread itself. What can be done at once is done. */
#include "check.h"
#include <sys/time.h>

enum { MAXMSG = 2, MSGSIZE = 16 };

enum form {
    RECEIVE,
    TIMEDRECEIVE,
    RECEIVE_UNTIL,
    RECVMSG,
    RECVMMSG,
    PEEK,
    WAIT_READABLE,
    ACQUIRE,
    SEND,
    TIMEDSEND,
    SEND_UNTIL,
    SENDALL,
    SENDMSG,
    SENDMMSG,
    WAIT_WRITABLE,
    FORMS
};

#define FIRST_SEND SEND

static const char *const prefixes[] = {"shm:/", "posix:/", "sysv:/"};
static const uint32_t transports[] = {MQRS_SHM, MQRS_POSIX, MQRS_SYSV};

/* One transport after the other, of those that there are here. */
#define FOR_EACH_TRANSPORT(t) for (int t = 0; t < 3; t++) if (is_there(t))

static int is_there(int transport)
{
    struct mqrs_limits limits;

    CHECK_OK(mqrs_getlimits(transports[transport], &limits, sizeof limits));
    return limits.unavailable == 0;
}

/* A full address; one of the last 4 given. */
static const char *new_address(int transport)
{
    static char addresses[4][80];
    static unsigned count;
    char *full = addresses[count++ % 4];

    snprintf(full, sizeof addresses[0], "%s%s", prefixes[transport], new_name() + 1);
    return full;
}

/* A queue on which this form waits. */
static mqrs_queue *queue_that_makes_wait(const char *address, enum form form)
{
    mqrs_queue *queue = create_queue(address, MAXMSG, MSGSIZE, 0);

    if (strncmp(address, "sysv", 4) == 0)
        CHECK_OK(mqrs_set_maxbytes(queue, MAXMSG));
    if (form >= FIRST_SEND)
        CHECK_EQUAL(MAXMSG, fill(queue));
    return queue;
}

/* It is as it was. */
static void expect_unchanged(mqrs_queue *queue, enum form form)
{
    CHECK_EQUAL(form >= FIRST_SEND ? MAXMSG : 0, messages_in(queue));
}

static int can(mqrs_queue *queue, enum form form)
{
    struct mqrs_attr attr;

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    if (form == PEEK)
        return (attr.capabilities & MQRS_CAP_PEEK) != 0;
    return form != ACQUIRE || (attr.capabilities & MQRS_CAP_ZERO_COPY);
}

/* A call that waits this long where it has a timeout or a deadline. */
static int64_t call(mqrs_queue *queue, enum form form, int64_t timeout)
{
    char buffer[MSGSIZE];
    const void *data;
    int64_t deadline = timeout == MQRS_FOREVER ? INT64_MAX : now_ns(CLOCK_MONOTONIC) + timeout;
    struct mqrs_msg message = {0};
    struct mqrs_wait_item item = {0};

    message.data = buffer;
    message.cap = MSGSIZE;
    message.len = 1;
    memset(buffer, 'x', sizeof buffer);
    item.queue = queue;
    switch (form) {
    case RECEIVE:
        return mqrs_receive(queue, buffer, MSGSIZE, NULL);
    case TIMEDRECEIVE:
        return mqrs_timedreceive(queue, buffer, MSGSIZE, timeout, NULL);
    case RECEIVE_UNTIL:
        return mqrs_receive_until(queue, buffer, MSGSIZE, CLOCK_MONOTONIC, deadline, NULL);
    case RECVMSG:
        return mqrs_recvmsg(queue, &message, sizeof message, 0, timeout);
    case RECVMMSG:
        return mqrs_recvmmsg(queue, &message, sizeof message, 1, 0, timeout);
    case PEEK:
        return mqrs_recvmsg(queue, &message, sizeof message, MQRS_RECV_PEEK, timeout);
    case WAIT_READABLE:
        item.events = MQRS_READABLE;
        return mqrs_wait(&item, sizeof item, 1, timeout);
    case ACQUIRE:
        return mqrs_acquire(queue, timeout, &data, NULL);
    case SEND:
        return mqrs_send(queue, "x", 1, 0);
    case TIMEDSEND:
        return mqrs_timedsend(queue, "x", 1, 0, timeout);
    case SEND_UNTIL:
        return mqrs_send_until(queue, "x", 1, 0, CLOCK_MONOTONIC, deadline);
    case SENDALL:
        return mqrs_sendall(queue, "x", 1, 0);
    case SENDMSG:
        return mqrs_sendmsg(queue, &message, sizeof message, 0, timeout);
    case SENDMMSG:
        return mqrs_sendmmsg(queue, &message, sizeof message, 1, 0, timeout);
    default:
        item.events = MQRS_WRITABLE;
        return mqrs_wait(&item, sizeof item, 1, timeout);
    }
}

/* ---- From another thread ------------------------------------------------------ */

struct caller {
    mqrs_queue *queue;
    enum form form;
    int64_t timeout;
    int64_t result;
    pid_t id;
    pthread_t thread;
};

static void *run_caller(void *argument)
{
    struct caller *caller = argument;

    __atomic_store_n(&caller->id, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    caller->result = call(caller->queue, caller->form, caller->timeout);
    return NULL;
}

/* A thread that sleeps in this call. */
static struct caller *start_caller(mqrs_queue *queue, enum form form, int64_t timeout)
{
    struct caller *caller = calloc(1, sizeof *caller);
    pid_t id;

    CHECK(caller != NULL);
    caller->queue = queue;
    caller->form = form;
    caller->timeout = timeout;
    CHECK_EQUAL(0, pthread_create(&caller->thread, NULL, run_caller, caller));
    while ((id = __atomic_load_n(&caller->id, __ATOMIC_SEQ_CST)) == 0)
        sched_yield();
    wait_until_asleep(id);
    return caller;
}

static int64_t join_caller(struct caller *caller)
{
    int64_t result;

    CHECK_EQUAL(0, pthread_join(caller->thread, NULL));
    result = caller->result;
    free(caller);
    return result;
}

/* Each form, for ever and for a time, is ended by this. */
static void expect_to_end(int (*end)(mqrs_queue *))
{
    static const int64_t timeouts[] = {MQRS_FOREVER, 1000 * SECOND};

    FOR_EACH_TRANSPORT(t)
        for (enum form form = 0; form < FORMS; form++)
            for (int i = 0; i < 2; i++) {
                const char *address = new_address(t);
                mqrs_queue *queue = queue_that_makes_wait(address, form);

                if (can(queue, form)) {
                    struct caller *caller = start_caller(queue, form, timeouts[i]);

                    CHECK_EQUAL(0, end(queue));
                    CHECK_EQUAL(-ECANCELED, join_caller(caller));
                    expect_unchanged(queue, form);
                }
                close_and_unlink(queue, address);
            }
}

static void a_cancel_ends_a_call_that_sleeps(void)
{
    expect_to_end(mqrs_cancel);
}

static int forbid_waits(mqrs_queue *queue)
{
    return mqrs_set_cancelled(queue, 1);
}

static void to_forbid_waits_ends_a_call_that_sleeps(void)
{
    expect_to_end(forbid_waits);
}

static void one_cancel_ends_all_calls_on_the_handle(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);
        struct caller *callers[6];

        for (int i = 0; i < 6; i++)
            callers[i] = start_caller(queue, i < 4 ? RECEIVE : WAIT_READABLE, MQRS_FOREVER);
        CHECK_OK(mqrs_cancel(queue));
        for (int i = 0; i < 6; i++)
            CHECK_EQUAL(-ECANCELED, join_caller(callers[i]));
        close_and_unlink(queue, address);
    }
}

/* Another handle of the queue, and another process on the same handle, wait on. */
static void others_wait_on(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);
        mqrs_queue *another = open_queue(address, O_RDWR);
        struct caller *here, *beside;
        pid_t child = start_child();

        if (child == 0) {
            char buffer[MSGSIZE];

            CHECK_EQUAL(1, mqrs_receive(queue, buffer, MSGSIZE, NULL));
            CHILD_END;
        }
        wait_until_asleep(child);
        here = start_caller(queue, RECEIVE, MQRS_FOREVER);
        beside = start_caller(another, RECEIVE, MQRS_FOREVER);

        CHECK_OK(mqrs_cancel(queue));
        CHECK_EQUAL(-ECANCELED, join_caller(here));
        CHECK_OK(mqrs_set_cancelled(queue, 1));
        send_text(queue, "1", 0);
        send_text(queue, "2", 0);
        CHECK_EQUAL(1, join_caller(beside));
        JOIN(child);
        CHECK_OK(mqrs_close(another));
        close_and_unlink(queue, address);
    }
}

/* Set, wait until the threads are back, close. */
static void a_handle_that_threads_use_is_closed_in_order(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);
        struct caller *callers[3];

        for (int i = 0; i < 3; i++)
            callers[i] = start_caller(queue, i < 2 ? RECVMSG : WAIT_READABLE, MQRS_FOREVER);
        CHECK_OK(mqrs_set_cancelled(queue, 1));
        for (int i = 0; i < 3; i++)
            CHECK_EQUAL(-ECANCELED, join_caller(callers[i]));
        close_and_unlink(queue, address);
    }
}

/* ---- What is not ended -------------------------------------------------------- */

static void a_cancel_is_nothing_to_later_calls(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);

        CHECK_OK(mqrs_cancel(queue));
        CHECK_ERROR(ETIMEDOUT, call(queue, TIMEDRECEIVE, MILLISECOND));
        CHECK_OK(mqrs_cancel(queue));
        CHECK_EQUAL(0, call(queue, WAIT_READABLE, MILLISECOND));
        close_and_unlink(queue, address);
    }
}

static void while_waits_are_forbidden_what_would_wait_fails_at_once(void)
{
    FOR_EACH_TRANSPORT(t)
        for (enum form form = 0; form < FORMS; form++) {
            const char *address = new_address(t);
            mqrs_queue *queue = queue_that_makes_wait(address, form);

            CHECK_OK(mqrs_set_cancelled(queue, 7));
            if (can(queue, form)) {
                CHECK_ERROR(ECANCELED, call(queue, form, MQRS_FOREVER));
                CHECK_ERROR(ECANCELED, call(queue, form, 1000 * SECOND));
            }
            expect_unchanged(queue, form);
            CHECK_OK(mqrs_set_cancelled(queue, 0));
            if (form == TIMEDRECEIVE || form == TIMEDSEND)
                CHECK_ERROR(ETIMEDOUT, call(queue, form, MILLISECOND));
            close_and_unlink(queue, address);
        }
}

static void what_can_be_done_at_once_is_done(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);

        CHECK_OK(mqrs_set_cancelled(queue, 1));
        for (enum form form = FIRST_SEND; form < WAIT_WRITABLE; form++) {
            char buffer[MSGSIZE];

            CHECK_OK(call(queue, form, MQRS_FOREVER));
            CHECK_EQUAL(1, call(queue, WAIT_READABLE, MQRS_FOREVER));
            CHECK_EQUAL(1, mqrs_receive(queue, buffer, MSGSIZE, NULL));
        }
        close_and_unlink(queue, address);
    }
}

static void what_must_not_wait_is_not_cancelled(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);

        CHECK_OK(mqrs_set_cancelled(queue, 1));
        CHECK_ERROR(EAGAIN, call(queue, TIMEDRECEIVE, MQRS_NOWAIT));
        CHECK_EQUAL(0, call(queue, WAIT_READABLE, MQRS_NOWAIT));
        CHECK_ERROR(ETIMEDOUT, call(queue, RECEIVE_UNTIL, -SECOND));
        CHECK_OK(mqrs_set_nonblock(queue, 1));
        CHECK_ERROR(EAGAIN, call(queue, RECEIVE, 0));
        close_and_unlink(queue, address);
    }
}

static void a_child_has_a_setting_of_its_own(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);
        pid_t child;

        CHECK_OK(mqrs_set_cancelled(queue, 1));
        if ((child = start_child()) == 0) {
            CHECK_ERROR(ECANCELED, call(queue, RECEIVE, 0));
            CHECK_OK(mqrs_set_cancelled(queue, 0));
            CHECK_ERROR(ETIMEDOUT, call(queue, TIMEDRECEIVE, MILLISECOND));
            CHILD_END;
        }
        JOIN(child);
        CHECK_ERROR(ECANCELED, call(queue, RECEIVE, 0));
        close_and_unlink(queue, address);
    }
}

/* The child's threads are its own, too; it has not used the handle before. */
static void a_child_cancels_its_own_calls(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = queue_that_makes_wait(address, RECEIVE);
        pid_t child = start_child();

        if (child == 0) {
            struct caller *caller;

            CHECK_OK(mqrs_cancel(queue));
            caller = start_caller(queue, RECEIVE, MQRS_FOREVER);
            CHECK_OK(mqrs_cancel(queue));
            CHECK_EQUAL(-ECANCELED, join_caller(caller));
            CHILD_END;
        }
        JOIN(child);
        close_and_unlink(queue, address);
    }
}

/* ---- From a signal handler ---------------------------------------------------- */

static mqrs_queue *handled;

static void cancel_once(int signo)
{
    (void)signo;
    mqrs_cancel(handled);
}

static void forbid(int signo)
{
    (void)signo;
    mqrs_set_cancelled(handled, 1);
}

static void handle(int signo, void (*handler)(int), int flags)
{
    struct sigaction action = {0};

    action.sa_handler = handler;
    action.sa_flags = flags;
    SYSTEM(sigaction(signo, &action, NULL));
}

/* The handler interrupts the very call that it ends, with SA_RESTART and without. */
static void a_handler_ends_the_call_that_it_interrupts(void)
{
    FOR_EACH_TRANSPORT(t)
        for (enum form form = 0; form < FORMS; form++)
            for (int flags = 0; flags < 2; flags++) {
                const char *address = new_address(t);
                mqrs_queue *queue = queue_that_makes_wait(address, form);
                pid_t child;

                if (can(queue, form)) {
                    if ((child = start_child()) == 0) {
                        handled = queue;
                        handle(SIGUSR1, cancel_once, flags ? SA_RESTART : 0);
                        CHECK_ERROR(ECANCELED, call(queue, form, MQRS_FOREVER));
                        CHILD_END;
                    }
                    wait_until_asleep(child);
                    SYSTEM(kill(child, SIGUSR1));
                    JOIN(child);
                    expect_unchanged(queue, form);
                }
                close_and_unlink(queue, address);
            }
}

/* At whatever moment it comes: before the call, on its way to sleep, or in its sleep. */
static void a_handler_that_forbids_waits_is_never_too_early(void)
{
    FOR_EACH_TRANSPORT(t)
        for (int form = 0; form < 4; form++) {
            static const enum form forms[] = {RECEIVE, RECVMSG, SEND, WAIT_READABLE};
            const char *address = new_address(t);
            mqrs_queue *queue = queue_that_makes_wait(address, forms[form]);
            pid_t child = start_child();

            if (child == 0) {
                uint64_t state = 4711;

                handled = queue;
                handle(SIGALRM, forbid, SA_RESTART);
                for (int i = 0; i < 30; i++) {
                    struct itimerval once = {{0, 0}, {0, 0}};

                    once.it_value.tv_usec = 1 + random_number(&state) % 120;
                    CHECK_OK(mqrs_set_cancelled(queue, 0));
                    SYSTEM(setitimer(ITIMER_REAL, &once, NULL));
                    CHECK_ERROR(ECANCELED, call(queue, forms[form], MQRS_FOREVER));
                }
                CHILD_END;
            }
            JOIN(child);
            close_and_unlink(queue, address);
        }
}

/* A call of many sends is one call: cancelled between two of them, it waits for none. */
static void a_sendall_is_cancelled_as_a_whole(void)
{
    FOR_EACH_TRANSPORT(t) {
        const char *address = new_address(t);
        mqrs_queue *queue = create_queue(address, MAXMSG, 1, 0);
        struct mqrs_attr attr;
        char data[8192] = {0};
        int64_t sent;
        pid_t child;

        CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
        if (attr.msgsize == 1) {
            if ((child = start_child()) == 0) {
                handled = queue;
                handle(SIGUSR1, cancel_once, SA_RESTART);
                sent = mqrs_sendall(queue, data, sizeof data, 0);
                CHECK_EQUAL(MAXMSG, sent);
                CHILD_END;
            }
            wait_until_asleep(child);
            SYSTEM(kill(child, SIGUSR1));
            JOIN(child);
        }
        close_and_unlink(queue, address);
    }
}

static void null_is_no_handle(void)
{
    CHECK_ERROR(EBADF, mqrs_cancel(NULL));
    CHECK_ERROR(EBADF, mqrs_set_cancelled(NULL, 1));
}

int main(void)
{
    check_begin();
    RUN(a_cancel_ends_a_call_that_sleeps);
    RUN(to_forbid_waits_ends_a_call_that_sleeps);
    RUN(one_cancel_ends_all_calls_on_the_handle);
    RUN(others_wait_on);
    RUN(a_handle_that_threads_use_is_closed_in_order);
    RUN(a_cancel_is_nothing_to_later_calls);
    RUN(while_waits_are_forbidden_what_would_wait_fails_at_once);
    RUN(what_can_be_done_at_once_is_done);
    RUN(what_must_not_wait_is_not_cancelled);
    RUN(a_child_has_a_setting_of_its_own);
    RUN(a_child_cancels_its_own_calls);
    RUN(a_handler_ends_the_call_that_it_interrupts);
    RUN(a_handler_that_forbids_waits_is_never_too_early);
    RUN(a_sendall_is_cancelled_as_a_whole);
    RUN(null_is_no_handle);
    return check_end();
}
