/* A queue "/x" of <mqueue.h>, with the drop-in, is the queue "/x" of mqueue_rs.h: programs of
 * both kinds use it together. Here the parent is of one kind, and its child of the other. */
#include "../../ctests/check.h"
#include <mqueue.h>
#include <poll.h>

enum { MAXMSG = 2, MSGSIZE = 16 };

static mqd_t opened(const char *name)
{
    return (mqd_t)SYSTEM(mq_open(name, O_RDWR));
}

/* The next message, which mq_receive may have to wait for. */
static void expect_message(mqd_t queue, const char *text, unsigned prio)
{
    char buffer[MSGSIZE];
    unsigned got_prio = 4444;

    CHECK_EQUAL(strlen(text), SYSTEM(mq_receive(queue, buffer, sizeof buffer, &got_prio)));
    CHECK(memcmp(buffer, text, strlen(text)) == 0);
    CHECK_EQUAL(prio, got_prio);
}

/* Which of these events there are; waits for one as long as `most` says. */
static int events_of(mqd_t queue, short wanted, const struct timespec *most)
{
    struct pollfd item = {queue, wanted, 0};

    SYSTEM(ppoll(&item, 1, most, NULL));
    return item.revents;
}

static const struct timespec at_once = {0, 0};

#define EVENTS_NOW(queue) events_of(queue, POLLIN | POLLOUT, &at_once)

static void each_receives_what_the_other_sends(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    struct gate is_sent = new_gate(), is_answered = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        mqd_t same = opened(name);

        pass_gate(is_sent);
        expect_message(same, "urgent", 9);
        expect_message(same, "later", 1);
        SYSTEM(mq_send(same, "second", 6, 3));
        SYSTEM(mq_send(same, "first", 5, MQRS_PRIO_MAX));
        open_gate(is_answered);
        CHILD_END;
    }
    send_text(queue, "later", 1);
    send_text(queue, "urgent", 9);
    open_gate(is_sent);
    pass_gate(is_answered);

    EXPECT_TEXT(queue, "first", MQRS_PRIO_MAX);
    EXPECT_TEXT(queue, "second", 3);
    JOIN(child);
    remove_gate(is_sent);
    remove_gate(is_answered);
    close_and_unlink(queue, name);
}

static void each_ends_the_others_wait(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    struct gate is_awake = new_gate();
    char buffer[MSGSIZE];
    pid_t child = start_child();

    if (child == 0) {
        mqd_t same = opened(name);

        expect_message(same, "wake", 0);
        open_gate(is_awake);
        wait_until_asleep(getppid());
        SYSTEM(mq_send(same, "wake too", 8, 0));
        CHILD_END;
    }
    wait_until_asleep(child);
    send_text(queue, "wake", 0);
    pass_gate(is_awake);

    CHECK_EQUAL(8, CHECK_OK(mqrs_receive(queue, buffer, sizeof buffer, NULL)));
    JOIN(child);
    remove_gate(is_awake);
    close_and_unlink(queue, name);
}

static void poll_sees_what_the_other_sends_and_takes(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    struct gate is_ready = new_gate(), is_full = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        mqd_t same = opened(name);

        CHECK_EQUAL(POLLOUT, EVENTS_NOW(same));
        CHECK_EQUAL(POLLIN, events_of(same, POLLIN, NULL));
        CHECK_EQUAL(POLLIN | POLLOUT, EVENTS_NOW(same));
        open_gate(is_ready);
        pass_gate(is_full);
        CHECK_EQUAL(POLLIN, EVENTS_NOW(same));
        CHECK_EQUAL(POLLOUT, events_of(same, POLLOUT, NULL));
        CHILD_END;
    }
    wait_until_asleep(child);
    send_text(queue, "one", 0);
    pass_gate(is_ready);
    send_text(queue, "two", 0);
    open_gate(is_full);
    wait_until_asleep(child);
    EXPECT_TEXT(queue, "one", 0);

    JOIN(child);
    remove_gate(is_ready);
    remove_gate(is_full);
    close_and_unlink(queue, name);
}

static void both_tell_the_same_of_a_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, MSGSIZE, 0);
    mqd_t same = opened(name);
    struct mqrs_attr attr;
    struct mq_attr theirs;

    for (unsigned count = 0; count <= MAXMSG; count++) {
        CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
        SYSTEM(mq_getattr(same, &theirs));
        CHECK_EQUAL(count, attr.curmsgs);
        CHECK_EQUAL(attr.curmsgs, theirs.mq_curmsgs);
        CHECK_EQUAL(attr.maxmsg, theirs.mq_maxmsg);
        CHECK_EQUAL(attr.msgsize, theirs.mq_msgsize);
        if (count == 0)
            send_text(queue, "ours", 0);
        else if (count == 1)
            SYSTEM(mq_send(same, "theirs", 6, 0));
    }
    SYSTEM(mq_close(same));
    close_and_unlink(queue, name);
}

static void what_one_makes_the_other_finds_and_removes(void)
{
    const char *name = new_name();
    struct mq_attr attr = {.mq_maxmsg = MAXMSG, .mq_msgsize = MSGSIZE};
    mqrs_queue *queue;
    mqd_t same;

    CHECK_OK(mqrs_close(create_queue(name, MAXMSG, MSGSIZE, 0)));
    REFUSED(EEXIST, mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
    SYSTEM(mq_unlink(name));
    CHECK_ERROR(ENOENT, mqrs_open(name, O_RDWR, NULL, 0, &queue));

    same = (mqd_t)SYSTEM(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr));
    SYSTEM(mq_send(same, "there", 5, 4));
    SYSTEM(mq_close(same));
    queue = open_queue(name, O_RDWR);
    EXPECT_TEXT(queue, "there", 4);
    close_and_unlink(queue, name);
    REFUSED(ENOENT, mq_open(name, O_RDWR));
}

int main(void)
{
    check_begin();
    RUN(each_receives_what_the_other_sends);
    RUN(each_ends_the_others_wait);
    RUN(poll_sees_what_the_other_sends_and_takes);
    RUN(both_tell_the_same_of_a_queue);
    RUN(what_one_makes_the_other_finds_and_removes);
    return check_end();
}
