/* The address alone decides which transport carries a queue: the same program passes messages
 * between processes over shared memory, over the kernel's POSIX queues and over System V. */
#include "check.h"
#include <poll.h>
#include <sched.h>

enum { MAXMSG = 4, MSGSIZE = 64, ROUNDS = 200 };

struct transport {
    uint32_t number;
    const char *prefix;
};

static const struct transport SHM = {MQRS_SHM, "shm:/"};
static const struct transport POSIX = {MQRS_POSIX, "posix:/"};
static const struct transport SYSV = {MQRS_SYSV, "sysv:/"};

/* Why there are no queues of this kind here, or NULL. */
static const char *absent(const struct transport *transport)
{
    struct mqrs_limits limits;

    CHECK_OK(mqrs_getlimits(transport->number, &limits, sizeof limits));
    return limits.unavailable ? mqrs_strerror(limits.unavailable) : NULL;
}

/* A queue of this transport, and its full address; one of the last 4 given. */
static mqrs_queue *create(const struct transport *transport, const char **address)
{
    static char addresses[4][80];
    static unsigned count;
    char *full = addresses[count++ % 4];

    snprintf(full, sizeof addresses[0], "%s%s", transport->prefix, new_name() + 1);
    *address = full;
    return create_queue(full, MAXMSG, MSGSIZE, 0);
}

/* ---- Every transport ---------------------------------------------------------- */

static void pass_by_priority(const struct transport *transport)
{
    const char *address;
    mqrs_queue *queue = create(transport, &address);
    pid_t child = start_child();

    if (child == 0) {
        mqrs_queue *sender = open_queue(address, O_WRONLY);

        send_text(sender, "low", 1);
        send_text(sender, "first of two", 7);
        send_text(sender, "second of two", 7);
        send_text(sender, "highest", MQRS_PRIO_MAX);
        CHECK_OK(mqrs_close(sender));
        CHILD_END;
    }
    JOIN(child);
    CHECK_EQUAL(4, messages_in(queue));
    EXPECT_TEXT(queue, "highest", MQRS_PRIO_MAX);
    EXPECT_TEXT(queue, "first of two", 7);
    EXPECT_TEXT(queue, "second of two", 7);
    EXPECT_TEXT(queue, "low", 1);
    close_and_unlink(queue, address);
}

/* Both sides wait in turn, with and without a timeout, on handles that came over a fork. */
static void wait_for_each_other(const struct transport *transport)
{
    const char *address, *answer_address;
    mqrs_queue *queue = create(transport, &address), *answers = create(transport, &answer_address);
    char text[MSGSIZE];
    pid_t child = start_child();

    if (child == 0) {
        for (uint32_t i = 0; i < ROUNDS; i++) {
            uint32_t got, prio;
            int64_t timeout = i % 2 ? 20 * SECOND : MQRS_FOREVER;

            CHECK_EQUAL(sizeof got, mqrs_timedreceive(queue, text, sizeof text, timeout, &prio));
            memcpy(&got, text, sizeof got);
            CHECK_EQUAL(i, got);
            CHECK_EQUAL(i % 5, prio);
            CHECK_OK(mqrs_timedsend(answers, &got, sizeof got, 0, timeout));
        }
        CHILD_END;
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t got;
        int64_t timeout = i % 3 ? 20 * SECOND : MQRS_FOREVER;

        if (i < 10)
            wait_until_asleep(child);
        CHECK_OK(mqrs_timedsend(queue, &i, sizeof i, i % 5, timeout));
        CHECK_EQUAL(sizeof got, mqrs_timedreceive(answers, text, sizeof text, timeout, NULL));
        memcpy(&got, text, sizeof got);
        CHECK_EQUAL(i, got);
    }
    JOIN(child);
    close_and_unlink(queue, address);
    close_and_unlink(answers, answer_address);
}

static void end_waits(const struct transport *transport)
{
    const char *address;
    mqrs_queue *queue = create(transport, &address);
    char text[MSGSIZE];
    int64_t begun = now_ns(CLOCK_MONOTONIC);

    CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, text, sizeof text, MQRS_NOWAIT, NULL));
    CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(queue, text, sizeof text, 20 * MILLISECOND, NULL));
    CHECK(now_ns(CLOCK_MONOTONIC) - begun >= 20 * MILLISECOND);
    CHECK_ERROR(ETIMEDOUT,
                mqrs_receive_until(queue, text, sizeof text, CLOCK_REALTIME, 1, NULL));
    CHECK_OK(mqrs_set_nonblock(queue, 1));
    CHECK_ERROR(EAGAIN, mqrs_receive(queue, text, sizeof text, NULL));
    CHECK(fill(queue) >= MAXMSG);
    CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "x", 1, 0, SECOND));
    CHECK_OK(mqrs_set_nonblock(queue, 0));
    CHECK_ERROR(ETIMEDOUT, mqrs_timedsend(queue, "x", 1, 0, 5 * MILLISECOND));
    close_and_unlink(queue, address);
}

static void list_it(const struct transport *transport)
{
    const char *address;
    mqrs_queue *queue = create(transport, &address);
    struct mqrs_entry entry;
    mqrs_list *list;
    int found = 0, result = mqrs_list_open(transport->number, &list);

    if (result == -ENOTSUP && transport->number == MQRS_POSIX) {
        /* The sentence says how to get a list. */
        char why[256];

        mqrs_last_error(why, sizeof why);
        CHECK(strstr(why, "mount -t mqueue") != NULL);
        close_and_unlink(queue, address);
        return;
    }
    CHECK_OK(result);
    send_text(queue, "hello", 1);
    while ((result = (int)CHECK_OK(mqrs_list_next(list, &entry, sizeof entry))) == 1) {
        CHECK_EQUAL(transport->number, entry.attr.transport);
        if (strcmp(entry.name, address) == 0) {
            found++;
            CHECK_EQUAL(1, entry.attr.curmsgs);
            CHECK_EQUAL(0600, entry.attr.mode & 0777);
            CHECK_EQUAL(geteuid(), entry.attr.uid);
        }
    }
    CHECK_EQUAL(0, mqrs_list_next(list, &entry, sizeof entry));
    CHECK_OK(mqrs_list_close(list));
    CHECK_EQUAL(1, found);
    close_and_unlink(queue, address);
}

#define OVER(transport, behaviour)                               \
    static void behaviour##_over_##transport(void)               \
    {                                                            \
        SKIP_IF(absent(&transport) != NULL, absent(&transport)); \
        behaviour(&transport);                                   \
    }

#define OVER_EACH(behaviour)  \
    OVER(SHM, behaviour)      \
    OVER(POSIX, behaviour)    \
    OVER(SYSV, behaviour)

OVER_EACH(pass_by_priority)
OVER_EACH(wait_for_each_other)
OVER_EACH(end_waits)
OVER_EACH(list_it)

/* ---- What only some can do ---------------------------------------------------- */

static void a_posix_queue_notifies_and_can_be_polled(void)
{
    const char *address;
    mqrs_queue *queue;
    struct pollfd readiness = {.events = POLLIN | POLLOUT};
    siginfo_t info;
    pid_t child;

    SKIP_IF(absent(&POSIX) != NULL, absent(&POSIX));
    queue = create(&POSIX, &address);
    readiness.fd = (int)CHECK_OK(mqrs_fd(queue));
    CHECK_EQUAL(1, SYSTEM(poll(&readiness, 1, 0)));
    CHECK_EQUAL(POLLOUT, readiness.revents);

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 77, 0));
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 78, 0));
    if ((child = start_child()) == 0) {
        send_text(queue, "hello", 0);
        CHILD_END;
    }
    info = take_signal(SIGRTMIN);
    CHECK_EQUAL(SI_MESGQ, info.si_code);
    CHECK_EQUAL(77, info.si_value.sival_int);
    CHECK_EQUAL(child, info.si_pid);
    JOIN(child);
    CHECK_EQUAL(1, SYSTEM(poll(&readiness, 1, 0)));
    CHECK_EQUAL(POLLIN | POLLOUT, readiness.revents);
    CHECK_EQUAL(MAXMSG - 1, fill(queue));
    CHECK_EQUAL(1, SYSTEM(poll(&readiness, 1, 0)));
    CHECK_EQUAL(POLLIN, readiness.revents);
    close_and_unlink(queue, address);
}

static struct gate called;

static void drain_again(mqrs_queue *queue, void *user)
{
    int *count = user;

    if (++*count < 3)
        CHECK_OK(mqrs_notify_callback(queue, drain_again, user, 0));
    EXPECT_TEXT(queue, "hello", 0);
    open_gate(called);
}

static void a_posix_queue_calls_a_function_which_may_register_again(void)
{
    const char *address;
    mqrs_queue *queue;
    int count = 0;

    SKIP_IF(absent(&POSIX) != NULL, absent(&POSIX));
    called = new_gate();
    queue = create(&POSIX, &address);
    CHECK_OK(mqrs_notify_callback(queue, drain_again, &count, 0));
    for (int i = 0; i < 3; i++) {
        pid_t child = start_child();

        if (child == 0) {
            send_text(queue, "hello", 0);
            CHILD_END;
        }
        JOIN(child);
        pass_gate(called);
    }
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_EQUAL(3, count);
    close_and_unlink(queue, address);
    remove_gate(called);
}

static void send_typed(mqrs_queue *queue, const char *text, int64_t type)
{
    struct mqrs_msg message = {.data = (void *)(uintptr_t)text, .len = strlen(text), .type = type};

    CHECK_OK(mqrs_sendmsg(queue, &message, sizeof message, MQRS_SEND_TYPE, MQRS_NOWAIT));
}

static void expect_typed(mqrs_queue *queue, int64_t selector, uint64_t flags, const char *text,
                         int64_t type)
{
    char buffer[MSGSIZE];
    struct mqrs_msg message = {.data = buffer, .cap = sizeof buffer, .type = selector};

    CHECK_EQUAL(strlen(text),
                mqrs_recvmsg(queue, &message, sizeof message, flags, MQRS_NOWAIT));
    CHECK_EQUAL(strlen(text), message.len);
    CHECK(memcmp(buffer, text, message.len) == 0);
    CHECK_EQUAL(type, message.type);
    CHECK_EQUAL(type > 32768 ? 0 : 32768 - type, message.prio);
    CHECK(message.data == buffer && message.cap == sizeof buffer);
}

static void system_v_messages_are_selected_by_type(void)
{
    const char *address;
    mqrs_queue *queue;

    SKIP_IF(absent(&SYSV) != NULL, absent(&SYSV));
    queue = create(&SYSV, &address);
    send_typed(queue, "seven", 7);
    send_typed(queue, "three", 3);
    send_typed(queue, "large", 100000);
    send_typed(queue, "seven again", 7);
    send_typed(queue, "nine", 9);
    expect_typed(queue, 7, MQRS_RECV_TYPE, "seven", 7);
    expect_typed(queue, 0, MQRS_RECV_TYPE, "three", 3);
    expect_typed(queue, 7, MQRS_RECV_TYPE | MQRS_RECV_EXCEPT, "large", 100000);
    expect_typed(queue, -8, MQRS_RECV_TYPE, "seven again", 7);
    expect_typed(queue, 0, 0, "nine", 9);
    CHECK_EQUAL(0, messages_in(queue));
    close_and_unlink(queue, address);
}

static void system_v_queues_tell_who_used_them_last(void)
{
    const char *address;
    mqrs_queue *queue;
    struct mqrs_stats stats;
    pid_t child;

    SKIP_IF(absent(&SYSV) != NULL, absent(&SYSV));
    queue = create(&SYSV, &address);
    if ((child = start_child()) == 0) {
        send_text(queue, "hello", 0);
        CHILD_END;
    }
    JOIN(child);
    EXPECT_TEXT(queue, "hello", 0);
    memset(&stats, 0xEE, sizeof stats);
    CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    CHECK_EQUAL(child, stats.last_send_pid);
    CHECK_EQUAL(getpid(), stats.last_receive_pid);
    CHECK(stats.last_send_ns > 0 && stats.last_receive_ns >= stats.last_send_ns);
    CHECK(stats.last_receive_ns <= now_ns(CLOCK_REALTIME));
    CHECK_EQUAL(0, stats.reserved);
    close_and_unlink(queue, address);
}

/* Those who wait, with a timeout and without, are told as well as those who come later. */
static void a_removed_system_v_queue_says_so(void)
{
    const char *address;
    mqrs_queue *queue;
    pid_t children[2];
    char text[MSGSIZE];

    SKIP_IF(absent(&SYSV) != NULL, absent(&SYSV));
    queue = create(&SYSV, &address);
    for (int i = 0; i < 2; i++)
        if ((children[i] = start_child()) == 0) {
            CHECK_ERROR(EIDRM, mqrs_timedreceive(queue, text, sizeof text,
                                                 i ? 50 * SECOND : MQRS_FOREVER, NULL));
            CHECK_ERROR(EIDRM, mqrs_send(queue, "x", 1, 0));
            CHILD_END;
        }
    wait_until_asleep(children[0]);
    wait_until_asleep(children[1]);
    CHECK_OK(mqrs_unlink(address));
    JOIN(children[0]);
    JOIN(children[1]);
    CHECK_ERROR(EIDRM, mqrs_receive(queue, text, sizeof text, NULL));
    CHECK_OK(mqrs_close(queue));
    CHECK_ERROR(ENOENT, mqrs_unlink(address));
}

/* What can be listed is, whatever else cannot. */
static void a_list_of_all_passes_over_what_cannot_be_listed(void)
{
    pid_t child = start_child();

    if (child == 0) {
        mqrs_list *list;

        SYSTEM(setenv("MQRS_DIR", "/dev/null/nowhere", 1));
        CHECK_ERROR(ENOTDIR, mqrs_list_open(MQRS_SHM, &list));
        CHECK_OK(mqrs_list_open(MQRS_ANY, &list));
        CHECK_OK(mqrs_list_close(list));
        CHECK_ERROR(EINVAL, mqrs_list_open(MQRS_AMQP + 1, &list));
        CHECK_ERROR(ENOTSUP, mqrs_list_open(MQRS_AMQP, &list));
        CHILD_END;
    }
    JOIN(child);
}

/* Queues of the kernel's, and its limits, of our own where that is permitted. */
static void move_to_an_ipc_namespace(void)
{
    if (geteuid() == 0 && unshare(CLONE_NEWIPC) == 0)
        printf("in an IPC namespace of its own\n");
}

int main(void)
{
    check_begin();
    move_to_an_ipc_namespace();
    RUN(pass_by_priority_over_SHM);
    RUN(pass_by_priority_over_POSIX);
    RUN(pass_by_priority_over_SYSV);
    RUN(wait_for_each_other_over_SHM);
    RUN(wait_for_each_other_over_POSIX);
    RUN(wait_for_each_other_over_SYSV);
    RUN(end_waits_over_SHM);
    RUN(end_waits_over_POSIX);
    RUN(end_waits_over_SYSV);
    RUN(list_it_over_SHM);
    RUN(list_it_over_POSIX);
    RUN(list_it_over_SYSV);
    RUN(a_list_of_all_passes_over_what_cannot_be_listed);
    RUN(a_posix_queue_notifies_and_can_be_polled);
    RUN(a_posix_queue_calls_a_function_which_may_register_again);
    RUN(system_v_messages_are_selected_by_type);
    RUN(system_v_queues_tell_who_used_them_last);
    RUN(a_removed_system_v_queue_says_so);
    return check_end();
}
