/* What a queue tells about its past and its users. */
#include "check.h"

static struct mqrs_stats stats_of(mqrs_queue *queue)
{
    struct mqrs_stats stats;

    memset(&stats, 0xEE, sizeof stats);
    CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    CHECK_EQUAL(0, stats.reserved);
    return stats;
}

static void a_new_queue_has_seen_nothing_but_its_maker(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);
    struct mqrs_stats stats = stats_of(queue), expected = {0};
    struct mqrs_attr attr;

    expected.users = 1;
    CHECK(memcmp(&expected, &stats, sizeof stats) == 0);
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK(attr.capabilities & MQRS_CAP_STATS);
    close_and_unlink(queue, name);
}

static void sends_and_receives_of_all_processes_are_counted_exactly(void)
{
    enum { PROCESSES = 4, EACH = 5000 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);
    struct mqrs_stats stats;
    pid_t children[2 * PROCESSES];

    for (int i = 0; i < 2 * PROCESSES; i++) {
        children[i] = start_child();
        if (children[i] == 0) {
            char buffer[100];

            for (uint32_t n = 0; n < EACH; n++) {
                if (i < PROCESSES)
                    CHECK_OK(mqrs_send(queue, &n, sizeof n, n / 50 % 3));
                else
                    CHECK_OK(mqrs_receive(queue, buffer, sizeof buffer, NULL));
            }
            CHILD_END;
        }
    }
    for (int i = 0; i < 2 * PROCESSES; i++)
        JOIN(children[i]);
    stats = stats_of(queue);
    CHECK_EQUAL(PROCESSES * EACH, stats.sent);
    CHECK_EQUAL(PROCESSES * EACH, stats.received);
    CHECK_EQUAL(0, stats.dropped);
    send_text(queue, "one more", 0);
    stats = stats_of(queue);
    CHECK_EQUAL(PROCESSES * EACH + 1, stats.sent);
    CHECK_EQUAL(PROCESSES * EACH, stats.received);
    close_and_unlink(queue, name);
}

static void the_most_messages_are_remembered(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);

    for (int i = 0; i < 7; i++)
        send_text(queue, "x", 0);
    CHECK_EQUAL(7, drain(queue));
    CHECK_EQUAL(7, stats_of(queue).max_curmsgs);
    send_text(queue, "x", 0);
    CHECK_EQUAL(7, stats_of(queue).max_curmsgs);
    fill(queue);
    CHECK_EQUAL(10, stats_of(queue).max_curmsgs);
    drain(queue);
    CHECK_EQUAL(10, stats_of(queue).max_curmsgs);
    close_and_unlink(queue, name);
}

static void handles_are_counted_and_the_dead_are_not(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0), *other = open_queue(name, O_RDONLY);
    struct gate opened = new_gate();
    pid_t child;

    CHECK_EQUAL(2, stats_of(queue).users);
    CHECK_OK(mqrs_close(other));
    CHECK_EQUAL(1, stats_of(queue).users);
    child = start_child();
    if (child == 0) {
        open_queue(name, O_RDWR);
        open_gate(opened);
        for (;;)
            pause();
    }
    pass_gate(opened);
    CHECK_EQUAL(2, stats_of(queue).users);
    kill_child(child);
    CHECK_EQUAL(1, stats_of(queue).users);
    remove_gate(opened);
    close_and_unlink(queue, name);
}

static void who_waits_is_counted_until_he_dies(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 100, 0);
    const struct timespec moment = {0, MILLISECOND};
    pid_t children[2];

    for (int i = 0; i < 2; i++) {
        children[i] = start_child();
        if (children[i] == 0) {
            char buffer[100];

            CHECK_OK(mqrs_receive(queue, buffer, sizeof buffer, NULL));
            /* The other one is dead by then. */
            CHECK_EQUAL(0, stats_of(queue).blocked_receivers);
            CHILD_END;
        }
    }
    while (stats_of(queue).blocked_receivers < 2)
        nanosleep(&moment, NULL);
    CHECK_EQUAL(0, stats_of(queue).blocked_senders);
    CHECK_EQUAL(3, stats_of(queue).users);
    kill_child(children[0]);
    CHECK_EQUAL(1, stats_of(queue).blocked_receivers);
    send_text(queue, "x", 0);
    JOIN(children[1]);
    CHECK_EQUAL(0, stats_of(queue).blocked_receivers);

    CHECK_EQUAL(1, fill(queue));
    children[0] = start_child();
    if (children[0] == 0) {
        CHECK_OK(mqrs_send(queue, "x", 1, 0));
        CHILD_END;
    }
    while (stats_of(queue).blocked_senders < 1)
        nanosleep(&moment, NULL);
    CHECK_EQUAL(0, stats_of(queue).blocked_receivers);
    EXPECT_TEXT(queue, "x", 0);
    JOIN(children[0]);
    close_and_unlink(queue, name);
}

static void what_the_dead_left_behind_is_counted_as_a_recovery(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 100, 0);
    struct mqrs_stats stats;

    /* Killed again and again in the midst of sends and receives, until it hurt. */
    do {
        pid_t child = start_child();

        if (child == 0) {
            char buffer[100];

            for (;;) {
                mqrs_timedsend(queue, buffer, sizeof buffer, 0, MQRS_NOWAIT);
                mqrs_timedreceive(queue, buffer, sizeof buffer, MQRS_NOWAIT, NULL);
            }
        }
        for (volatile int i = 0; i < 100000; i++)
            ;
        kill_child(child);
        /* Whoever opens with the dead one's number clears up; any number will do here. */
        for (int i = 0; i < 3; i++)
            CHECK_OK(mqrs_close(open_queue(name, O_RDWR)));
        stats = stats_of(queue);
    } while (stats.recoveries == 0);
    CHECK(stats.sent >= stats.received && stats.sent - stats.received <= 1);
    close_and_unlink(queue, name);
}

static void last_users_are_known_where_there_are_stamps(void)
{
    const char *name = new_name();
    struct mqrs_options options = {0};
    mqrs_queue *queue = NULL;
    struct mqrs_stats stats;
    int64_t before = now_ns(CLOCK_REALTIME);
    pid_t child;

    options.flags = MQRS_OPT_STAMP;
    CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue));
    stats = stats_of(queue);
    CHECK_EQUAL(0, stats.last_send_pid);
    CHECK_EQUAL(0, stats.last_send_ns);
    send_text(queue, "x", 0);
    child = start_child();
    if (child == 0) {
        EXPECT_TEXT(queue, "x", 0);
        CHILD_END;
    }
    JOIN(child);
    stats = stats_of(queue);
    CHECK_EQUAL(getpid(), stats.last_send_pid);
    CHECK_EQUAL(child, stats.last_receive_pid);
    /* The clock of stamps lies up to a tick behind. */
    CHECK(stats.last_send_ns >= before - SECOND / 10);
    CHECK(stats.last_send_ns <= now_ns(CLOCK_REALTIME));
    CHECK(stats.last_receive_ns >= stats.last_send_ns - SECOND / 10);
    CHECK(stats.last_receive_ns <= now_ns(CLOCK_REALTIME));
    close_and_unlink(queue, name);
}

static void statistics_are_given_to_any_handle_and_to_valid_arguments_only(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0), *sender = open_queue(name, O_WRONLY);
    struct mqrs_stats stats;

    CHECK_EQUAL(2, stats_of(sender).users);
    CHECK_ERROR(EBADF, mqrs_getstats(NULL, &stats, sizeof stats));
    CHECK_ERROR(EFAULT, mqrs_getstats(queue, NULL, sizeof stats));
    CHECK_ERROR(EINVAL, mqrs_getstats(queue, &stats, sizeof stats - 1));
    CHECK_OK(mqrs_close(sender));
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_new_queue_has_seen_nothing_but_its_maker);
    RUN(sends_and_receives_of_all_processes_are_counted_exactly);
    RUN(the_most_messages_are_remembered);
    RUN(handles_are_counted_and_the_dead_are_not);
    RUN(who_waits_is_counted_until_he_dies);
    RUN(what_the_dead_left_behind_is_counted_as_a_recovery);
    RUN(last_users_are_known_where_there_are_stamps);
    RUN(statistics_are_given_to_any_handle_and_to_valid_arguments_only);
    return check_end();
}
