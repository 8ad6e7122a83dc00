/* Sending and receiving: what is checked, in which order, and how long calls wait. */
#include "queues.h"

static const struct timespec past = {1, 0}, negative = {-1, 0}, too_many = {1, 1000000000},
                             below = {1, -1};
static char bytes[64];

static void the_time_is_checked_first(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 2, 8);
    const struct timespec *bad[] = {&negative, &too_many, &below};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        REFUSED(EINVAL, mq_timedsend(queue, "1", 1, 0, bad[i]));
        REFUSED(EINVAL, mq_timedsend(-1, "1", 1, 0, bad[i]));
        REFUSED(EINVAL, mq_timedsend(queue, bytes, 64, 0, bad[i]));
        REFUSED(EINVAL, mq_timedreceive(queue, bytes, 64, NULL, bad[i]));
        REFUSED(EINVAL, mq_timedreceive(-1, bytes, 1, NULL, bad[i]));
    }
    SYSTEM(mq_close(queue));
}

static void then_come_priority_descriptor_direction_and_length(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 1, 8);
    mqd_t reader = (mqd_t)SYSTEM(mq_open(name, O_RDONLY));
    mqd_t writer = (mqd_t)SYSTEM(mq_open(name, O_WRONLY));

    SYSTEM(mq_unlink(name));
    REFUSED(EINVAL, mq_send(-1, "1", 1, 32768));
    REFUSED(EINVAL, mq_send(reader, bytes, 64, 32768));
    REFUSED(EBADF, mq_send(reader, bytes, 64, 0));
    REFUSED(EBADF, mq_receive(writer, bytes, 1, NULL));
    REFUSED(EMSGSIZE, mq_send(writer, bytes, 9, 0));
    REFUSED(EMSGSIZE, mq_receive(reader, bytes, 7, NULL));
    SYSTEM(mq_send(writer, bytes, 8, 32767));
    REFUSED(EMSGSIZE, mq_send(writer, bytes, 9, 0));
    REFUSED(EMSGSIZE, mq_receive(reader, bytes, 7, NULL));
    REFUSED(EMSGSIZE, mq_receive(reader, bytes, 0, NULL));
    CHECK_EQUAL(1, attributes_of(queue).mq_curmsgs);
    SYSTEM(mq_close(queue));
    SYSTEM(mq_close(reader));
    SYSTEM(mq_close(writer));
}

/* NULL that the compiler does not see. */
static const char *volatile nothing = NULL;

static void no_memory_at_all_is_a_fault(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 2, 8);

    REFUSED(EFAULT, mq_send(queue, nothing, 8, 0));
    SYSTEM(mq_send(queue, nothing, 0, 0));
    CHECK_EQUAL(0, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
    SYSTEM(mq_close(queue));
}

static void messages_come_by_priority_and_then_in_order(void)
{
    static const struct {
        const char *text;
        unsigned prio;
    } sent[] = {{"a", 1}, {"b", 7}, {"c", 1}, {"d", 32767}, {"e", 7}, {"f", 0}}, *expected;
    static const int order[] = {3, 1, 4, 0, 2, 5};
    mqd_t queue = unnamed_queue(O_RDWR, 6, 8);

    for (int i = 0; i < 6; i++)
        SYSTEM(mq_send(queue, sent[i].text, 1, sent[i].prio));
    for (int i = 0; i < 6; i++) {
        unsigned prio;

        expected = &sent[order[i]];
        CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, &prio)));
        CHECK_EQUAL(*expected->text, *bytes);
        CHECK_EQUAL(expected->prio, prio);
    }
    SYSTEM(mq_close(queue));
}

static void without_waiting_full_and_empty_are_eagain(void)
{
    mqd_t queue = unnamed_queue(O_RDWR | O_NONBLOCK, 1, 8);
    struct timespec later = in_ns(SECOND);

    REFUSED(EAGAIN, mq_receive(queue, bytes, 8, NULL));
    REFUSED(EAGAIN, mq_timedreceive(queue, bytes, 8, NULL, &later));
    REFUSED(EAGAIN, mq_timedreceive(queue, bytes, 8, NULL, &past));
    SYSTEM(mq_timedsend(queue, "1", 1, 0, &past));
    REFUSED(EAGAIN, mq_send(queue, "1", 1, 0));
    REFUSED(EAGAIN, mq_timedsend(queue, "1", 1, 0, &later));
    CHECK_EQUAL(1, SYSTEM(mq_timedreceive(queue, bytes, 8, NULL, &past)));
    SYSTEM(mq_close(queue));
}

static void a_time_that_comes_ends_the_wait(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 1, 8);
    struct timespec soon = in_ns(30 * MILLISECOND);
    int64_t at = soon.tv_sec * SECOND + soon.tv_nsec;

    REFUSED(ETIMEDOUT, mq_timedreceive(queue, bytes, 8, NULL, &past));
    REFUSED(ETIMEDOUT, mq_timedreceive(queue, bytes, 8, NULL, &soon));
    CHECK(now_ns(CLOCK_REALTIME) >= at);
    SYSTEM(mq_send(queue, "1", 1, 0));
    REFUSED(ETIMEDOUT, mq_timedsend(queue, "1", 1, 0, &past));
    soon = in_ns(30 * MILLISECOND);
    at = soon.tv_sec * SECOND + soon.tv_nsec;
    REFUSED(ETIMEDOUT, mq_timedsend(queue, "1", 1, 0, &soon));
    CHECK(now_ns(CLOCK_REALTIME) >= at);
    SYSTEM(mq_close(queue));
}

static const struct timespec *volatile no_time = NULL;

static void waiting_processes_are_served(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 1, 8);
    pid_t child = start_child();

    if (child == 0) {
        CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
        CHECK_EQUAL(1, SYSTEM(mq_timedreceive(queue, bytes, 8, NULL, no_time)));
        CHILD_END;
    }
    wait_until_asleep(child);
    SYSTEM(mq_send(queue, "1", 1, 0));
    wait_until_asleep(child);
    SYSTEM(mq_send(queue, "2", 1, 0));
    JOIN(child);

    SYSTEM(mq_send(queue, "full", 4, 0));
    child = start_child();
    if (child == 0) {
        SYSTEM(mq_send(queue, "3", 1, 0));
        SYSTEM(mq_timedsend(queue, "4", 1, 0, no_time));
        CHILD_END;
    }
    wait_until_asleep(child);
    CHECK_EQUAL(4, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
    wait_until_asleep(child);
    CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
    CHECK_EQUAL('3', *bytes);
    JOIN(child);
    CHECK_EQUAL(1, SYSTEM(mq_receive(queue, bytes, 8, NULL)));
    CHECK_EQUAL('4', *bytes);
    SYSTEM(mq_close(queue));
}

static void attributes_change_one_flag_only(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 3, 8);
    struct mq_attr wanted = {0}, before = {0};

    wanted.mq_flags = O_NONBLOCK;
    wanted.mq_maxmsg = 99;
    wanted.mq_msgsize = 99;
    wanted.mq_curmsgs = 99;
    SYSTEM(mq_setattr(queue, &wanted, &before));
    CHECK_EQUAL(0, before.mq_flags);
    CHECK_EQUAL(3, before.mq_maxmsg);
    CHECK_EQUAL(O_NONBLOCK, attributes_of(queue).mq_flags);
    CHECK_EQUAL(3, attributes_of(queue).mq_maxmsg);
    wanted.mq_flags = O_NONBLOCK | O_RDWR;
    REFUSED(EINVAL, mq_setattr(queue, &wanted, &before));
    REFUSED(EINVAL, mq_setattr(-1, &wanted, &before));
    wanted.mq_flags = 0;
    SYSTEM(mq_setattr(queue, &wanted, NULL));
    CHECK_EQUAL(0, attributes_of(queue).mq_flags);
    SYSTEM(mq_close(queue));
}

int main(void)
{
    check_begin();
    RUN(the_time_is_checked_first);
    RUN(then_come_priority_descriptor_direction_and_length);
    RUN(no_memory_at_all_is_a_fault);
    RUN(messages_come_by_priority_and_then_in_order);
    RUN(without_waiting_full_and_empty_are_eagain);
    RUN(a_time_that_comes_ends_the_wait);
    RUN(waiting_processes_are_served);
    RUN(attributes_change_one_flag_only);
    return check_end();
}
