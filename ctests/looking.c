/* Looking at messages: without taking them, one after the other, cut, and with all that is
 * known of them. */
#include "check.h"

static struct mqrs_msg seen;

static struct mqrs_stats stats_of(mqrs_queue *queue)
{
    struct mqrs_stats stats;

    CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    return stats;
}

/* Look behind the message that `seen` describes; its text must be this one. */
static void expect_next(mqrs_queue *queue, const char *text, uint32_t prio, uint64_t sequence)
{
    char buffer[100];

    seen.data = buffer;
    seen.cap = sizeof buffer;
    CHECK_EQUAL(strlen(text),
                mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_NOWAIT));
    CHECK(memcmp(buffer, text, strlen(text)) == 0);
    CHECK_EQUAL(strlen(text), seen.len);
    CHECK_EQUAL(prio, seen.prio);
    CHECK_EQUAL(sequence, seen.sequence);
}

static void expect_no_more(mqrs_queue *queue)
{
    struct mqrs_msg before = seen;

    CHECK_ERROR(EAGAIN, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_NOWAIT));
    CHECK(memcmp(&before, &seen, sizeof seen) == 0);
}

static void begin(void)
{
    memset(&seen, 0, sizeof seen);
}

static void a_look_leaves_the_message_where_it_is(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);

    begin();
    expect_no_more(queue);
    send_text(queue, "first", 3);
    for (int i = 0; i < 3; i++) {
        begin();
        expect_next(queue, "first", 3, 1);
        CHECK_EQUAL(1, messages_in(queue));
    }
    EXPECT_TEXT(queue, "first", 3);
    begin();
    expect_no_more(queue);
    close_and_unlink(queue, name);
}

static void messages_of_one_priority_are_seen_in_order(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);

    send_text(queue, "gone", 5);
    send_text(queue, "a", 5);
    send_text(queue, "b", 5);
    send_text(queue, "c", 5);
    EXPECT_TEXT(queue, "gone", 5);

    begin();
    expect_next(queue, "a", 5, 2);
    expect_next(queue, "b", 5, 3);
    expect_next(queue, "c", 5, 4);
    expect_no_more(queue);
    send_text(queue, "d", 5);
    expect_next(queue, "d", 5, 5);
    close_and_unlink(queue, name);
}

static void messages_of_several_priorities_are_seen_as_they_would_be_received(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);

    send_text(queue, "low 1", 1);
    send_text(queue, "high 1", 9);
    send_text(queue, "low 2", 1);
    send_text(queue, "middle", 4);
    send_text(queue, "high 2", 9);

    begin();
    expect_next(queue, "high 1", 9, 2);
    expect_next(queue, "high 2", 9, 5);
    expect_next(queue, "middle", 4, 4);
    expect_next(queue, "low 1", 1, 1);
    expect_next(queue, "low 2", 1, 3);
    expect_no_more(queue);
    /* What comes behind the place is seen, what comes before it is not. */
    send_text(queue, "highest", 32767);
    send_text(queue, "lowest", 0);
    expect_next(queue, "lowest", 0, 7);
    close_and_unlink(queue, name);
}

static void the_message_looked_at_last_may_be_gone(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);

    for (unsigned i = 0; i < 6; i++) {
        const char text[2] = {(char)('a' + i), 0};

        send_text(queue, text, i / 2);
    }
    begin();
    expect_next(queue, "e", 2, 5);
    expect_next(queue, "f", 2, 6);
    EXPECT_TEXT(queue, "e", 2);
    EXPECT_TEXT(queue, "f", 2);
    EXPECT_TEXT(queue, "c", 1);
    expect_next(queue, "d", 1, 4);
    expect_next(queue, "a", 0, 1);
    CHECK_EQUAL(3, drain(queue));
    expect_no_more(queue);
    close_and_unlink(queue, name);
}

static void a_batch_of_looks_goes_on_from_message_to_message(void)
{
    enum { COUNT = 100 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, COUNT, 8, 0);
    struct mqrs_msg v[COUNT + 1];
    uint32_t numbers[COUNT + 1];
    ssize_t got = 0;

    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_OK(mqrs_send(queue, &i, sizeof i, i * 7 % 10));
    memset(v, 0, sizeof v);
    for (size_t i = 0; i <= COUNT; i++) {
        v[i].data = &numbers[i];
        v[i].cap = sizeof numbers[i];
    }
    while (got < COUNT) {
        struct mqrs_msg *from = &v[got];
        ssize_t more;

        if (got > 0) {
            from->prio = from[-1].prio;
            from->sequence = from[-1].sequence;
        }
        more = CHECK_OK(mqrs_recvmmsg(queue, from, sizeof *from, (size_t)(COUNT + 1 - got),
                                      MQRS_RECV_PEEK, MQRS_NOWAIT));
        CHECK(more > 0);
        got += more;
    }
    CHECK_EQUAL(COUNT, got);
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t number;

        CHECK_EQUAL(sizeof number, CHECK_OK(mqrs_receive(queue, &number, sizeof number, NULL)));
        CHECK_EQUAL(number, numbers[i]);
        CHECK_EQUAL(number + 1, v[i].sequence);
    }
    close_and_unlink(queue, name);
}

static void a_look_waits_for_a_message_and_takes_it_from_nobody(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);
    struct gate looked = new_gate();
    pid_t looker, receiver;

    looker = start_child();
    if (looker == 0) {
        char buffer[100];

        begin();
        seen.data = buffer;
        seen.cap = sizeof buffer;
        CHECK_EQUAL(4, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_FOREVER));
        open_gate(looked);
        /* The next one behind it, which is not there yet. */
        CHECK_EQUAL(5, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_FOREVER));
        CHECK_EQUAL(2, seen.sequence);
        CHECK_OK(mqrs_send(queue, "seen", 4, 0));
        CHILD_END;
    }
    wait_until_asleep(looker);
    send_text(queue, "here", 7);
    pass_gate(looked);
    wait_until_asleep(looker);
    receiver = start_child();
    if (receiver == 0) {
        char buffer[100];

        CHECK_EQUAL(4, mqrs_receive(queue, buffer, sizeof buffer, NULL));
        CHECK_EQUAL(5, mqrs_receive(queue, buffer, sizeof buffer, NULL));
        CHILD_END;
    }
    wait_until_asleep(receiver);
    /* Who looks is woken beside who receives, not instead of him. Here the message has to stay
     * until he has seen it. */
    kill_child(receiver);
    send_text(queue, "there", 7);
    JOIN(looker);
    EXPECT_TEXT(queue, "there", 7);
    EXPECT_TEXT(queue, "seen", 0);
    remove_gate(looked);
    begin();
    CHECK_ERROR(ETIMEDOUT, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MILLISECOND));
    close_and_unlink(queue, name);
}

static void who_looks_does_not_keep_a_notification_back(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);
    pid_t looker = start_child();

    if (looker == 0) {
        char buffer[100];

        begin();
        seen.data = buffer;
        seen.cap = sizeof buffer;
        CHECK_EQUAL(4, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_FOREVER));
        CHILD_END;
    }
    wait_until_asleep(looker);
    CHECK_EQUAL(0, stats_of(queue).blocked_receivers);
    block_signal(SIGUSR1);
    CHECK_OK(mqrs_notify_signal(queue, SIGUSR1, 7, 0));
    send_text(queue, "here", 0);
    /* Gone at once: what had not fired by now would never fire. */
    EXPECT_TEXT(queue, "here", 0);
    CHECK_EQUAL(7, take_signal(SIGUSR1).si_value.sival_int);
    send_text(queue, "here", 0);
    JOIN(looker);
    close_and_unlink(queue, name);
}

static void what_does_not_fit_is_cut_only_if_that_is_wanted(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);
    char buffer[8] = "????????";

    send_text(queue, "0123456789", 0);
    begin();
    seen.data = buffer;
    seen.cap = 4;
    CHECK_ERROR(EMSGSIZE, mqrs_recvmsg(queue, &seen, sizeof seen, 0, MQRS_NOWAIT));
    CHECK_ERROR(EMSGSIZE, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_NOWAIT));
    CHECK(memcmp(buffer, "????????", 8) == 0);
    CHECK_EQUAL(10, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK | MQRS_RECV_TRUNCATE,
                                 MQRS_NOWAIT));
    CHECK(memcmp(buffer, "0123????", 8) == 0);
    CHECK_EQUAL(1, messages_in(queue));
    begin();
    seen.data = buffer;
    seen.cap = 5;
    CHECK_EQUAL(10, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_TRUNCATE, MQRS_NOWAIT));
    CHECK(memcmp(buffer, "01234???", 8) == 0);
    CHECK_EQUAL(10, seen.len);
    CHECK_EQUAL(0, messages_in(queue));
    /* No room at all. */
    send_text(queue, "xy", 0);
    begin();
    CHECK_EQUAL(2, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_TRUNCATE, MQRS_NOWAIT));
    close_and_unlink(queue, name);
}

static void a_look_at_nothing_that_can_be_is_refused(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0), *sender = open_queue(name, O_WRONLY);

    begin();
    CHECK_ERROR(EBADF, mqrs_recvmsg(sender, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_NOWAIT));
    CHECK_ERROR(ENOTSUP, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK | MQRS_RECV_TYPE,
                                      MQRS_NOWAIT));
    seen.prio = MQRS_PRIO_MAX + 1;
    seen.sequence = 1;
    CHECK_ERROR(EINVAL, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_NOWAIT));
    /* Numbers that no message has had. */
    seen.prio = 0;
    seen.sequence = UINT64_MAX;
    expect_no_more(queue);
    send_text(queue, "low", 0);
    expect_no_more(queue);
    seen.prio = 1;
    expect_next(queue, "low", 0, 1);
    CHECK_OK(mqrs_close(sender));
    close_and_unlink(queue, name);
}

static mqrs_queue *create_stamped(const char *name)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue = NULL;

    options.flags = MQRS_OPT_STAMP;
    options.maxmsg = 10;
    options.msgsize = 100;
    CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue));
    return queue;
}

static void a_stamp_says_who_sent_and_when(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_stamped(name);
    struct mqrs_attr attr;
    char buffer[100];
    int64_t before = now_ns(CLOCK_MONOTONIC_COARSE);
    pid_t child = start_child();

    if (child == 0) {
        send_text(queue, "stamped", 3);
        CHILD_END;
    }
    JOIN(child);
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK(attr.capabilities & MQRS_CAP_SENDER);

    for (int i = 0; i < 2; i++) {
        begin();
        seen.data = buffer;
        seen.cap = sizeof buffer;
        CHECK_EQUAL(7, mqrs_recvmsg(queue, &seen, sizeof seen, i == 0 ? MQRS_RECV_PEEK : 0,
                                    MQRS_NOWAIT));
        CHECK_EQUAL(child, seen.sender_pid);
        CHECK_EQUAL(geteuid(), seen.sender_uid);
        CHECK(seen.sent_ns >= before && seen.sent_ns <= now_ns(CLOCK_MONOTONIC));
        CHECK_EQUAL(1, seen.sequence);
        CHECK_EQUAL(0, seen.state);
        CHECK_EQUAL(0, seen.type);
    }
    close_and_unlink(queue, name);
}

/* The slots were a child's before, whose stamps are in them. */
static void each_message_of_a_batch_has_its_stamp(void)
{
    enum { COUNT = 10 };
    const char *name = new_name();
    mqrs_queue *queue = create_stamped(name);
    struct mqrs_msg v[COUNT];
    char text[COUNT] = "abcdefghi";
    int64_t before, childs;
    pid_t child = start_child();

    if (child == 0) {
        for (int round = 0; round < 10; round++) {
            CHECK_EQUAL(COUNT, fill(queue));
            CHECK_EQUAL(COUNT, drain(queue));
        }
        CHILD_END;
    }
    JOIN(child);
    childs = now_ns(CLOCK_MONOTONIC_COARSE);
    memset(v, 0, sizeof v);
    for (size_t i = 0; i < COUNT; i++) {
        v[i].data = &text[i];
        v[i].len = v[i].cap = 1;
    }
    /* Later than the child's, by that clock. */
    do
        before = now_ns(CLOCK_MONOTONIC_COARSE);
    while (before == childs);
    CHECK_EQUAL(COUNT, mqrs_sendmmsg(queue, v, sizeof *v, COUNT, 0, MQRS_NOWAIT));
    CHECK_EQUAL(getpid(), stats_of(queue).last_send_pid);
    CHECK_EQUAL(COUNT, mqrs_recvmmsg(queue, v, sizeof *v, COUNT, 0, MQRS_NOWAIT));
    CHECK_EQUAL(getpid(), stats_of(queue).last_receive_pid);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQUAL(getpid(), v[i].sender_pid);
        CHECK_EQUAL(geteuid(), v[i].sender_uid);
        CHECK(v[i].sent_ns >= before && v[i].sent_ns <= now_ns(CLOCK_MONOTONIC));
    }
    close_and_unlink(queue, name);
}

static void without_stamps_nothing_is_said_of_the_sender(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);
    struct mqrs_attr attr;
    char buffer[100];

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK(!(attr.capabilities & MQRS_CAP_SENDER));
    send_text(queue, "anonymous", 3);
    memset(&seen, 0xEE, sizeof seen);
    seen.data = buffer;
    seen.cap = sizeof buffer;
#if UINTPTR_MAX == 0xffffffffu
    seen.pad = 0;
#endif
    CHECK_EQUAL(9, mqrs_recvmsg(queue, &seen, sizeof seen, 0, MQRS_NOWAIT));
    CHECK_EQUAL(0, seen.sender_pid);
    CHECK_EQUAL(0, seen.sender_uid);
    CHECK_EQUAL(0, seen.sent_ns);
    CHECK_EQUAL(1, seen.sequence);
    close_and_unlink(queue, name);
}

static void stamps_stay_with_the_queue_whatever_a_later_open_asks_for(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_stamped(name), *other = open_queue(name, O_RDWR | O_CREAT);
    struct mqrs_attr attr;
    char buffer[100];

    CHECK_OK(mqrs_getattr(other, &attr, sizeof attr));
    CHECK(attr.capabilities & MQRS_CAP_SENDER);
    send_text(other, "x", 0);
    begin();
    seen.data = buffer;
    seen.cap = sizeof buffer;
    CHECK_EQUAL(1, mqrs_recvmsg(queue, &seen, sizeof seen, 0, MQRS_NOWAIT));
    CHECK_EQUAL(getpid(), seen.sender_pid);
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

/* Whoever looks while others send and receive sees whole messages, each in its order. */
static void looks_beside_senders_and_receivers_see_whole_messages(void)
{
    enum { LOOKS = 20000, SIZE = 600 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, SIZE, 0);
    pid_t children[2];

    for (int i = 0; i < 2; i++) {
        children[i] = start_child();
        if (children[i] == 0) {
            char buffer[SIZE];

            for (uint8_t round = 0;; round++) {
                memset(buffer, round, sizeof buffer);
                CHECK_OK(mqrs_send(queue, buffer, 1u + round % 2 * (SIZE - 1), round % 3));
                CHECK_OK(mqrs_receive(queue, buffer, sizeof buffer, NULL));
            }
        }
    }
    begin();
    for (int looks = 0; looks < LOOKS;) {
        char buffer[SIZE];
        uint64_t before = seen.sequence;
        uint32_t prio = seen.prio;
        ssize_t len;

        seen.data = buffer;
        seen.cap = sizeof buffer;
        len = mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_NOWAIT);
        if (len == -EAGAIN) {
            seen.sequence = 0;
            continue;
        }
        CHECK_OK(len);
        looks++;
        CHECK_EQUAL(buffer[0] % 2 == 0 ? 1 : SIZE, len);
        CHECK_EQUAL((uint8_t)buffer[0] % 3, seen.prio);
        for (ssize_t i = 0; i < len; i++)
            CHECK_EQUAL(buffer[0], buffer[i]);
        if (before != 0)
            CHECK(seen.prio < prio || (seen.prio == prio && seen.sequence > before));
    }
    kill_child(children[0]);
    kill_child(children[1]);
    close_and_unlink(queue, name);
}

/* The next message is sent before the last is received: there is one at every instant. */
static void a_queue_that_is_never_empty_always_shows_a_message(void)
{
    enum { LOOKS = 200000 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 8, 0);
    char buffer[8];
    pid_t child;

    send_text(queue, "x", 0);
    child = start_child();
    if (child == 0)
        for (;;) {
            send_text(queue, "x", 0);
            EXPECT_TEXT(queue, "x", 0);
        }
    for (int looks = 0; looks < LOOKS; looks++) {
        begin();
        seen.data = buffer;
        seen.cap = sizeof buffer;
        CHECK_EQUAL(1, mqrs_recvmsg(queue, &seen, sizeof seen, MQRS_RECV_PEEK, MQRS_NOWAIT));
    }
    kill_child(child);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_look_leaves_the_message_where_it_is);
    RUN(messages_of_one_priority_are_seen_in_order);
    RUN(messages_of_several_priorities_are_seen_as_they_would_be_received);
    RUN(the_message_looked_at_last_may_be_gone);
    RUN(a_batch_of_looks_goes_on_from_message_to_message);
    RUN(a_look_waits_for_a_message_and_takes_it_from_nobody);
    RUN(who_looks_does_not_keep_a_notification_back);
    RUN(what_does_not_fit_is_cut_only_if_that_is_wanted);
    RUN(a_look_at_nothing_that_can_be_is_refused);
    RUN(a_stamp_says_who_sent_and_when);
    RUN(each_message_of_a_batch_has_its_stamp);
    RUN(without_stamps_nothing_is_said_of_the_sender);
    RUN(stamps_stay_with_the_queue_whatever_a_later_open_asks_for);
    RUN(looks_beside_senders_and_receivers_see_whole_messages);
    RUN(a_queue_that_is_never_empty_always_shows_a_message);
    return check_end();
}
