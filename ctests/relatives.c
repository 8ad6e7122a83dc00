/* Processes that share a handle by fork, and of which some may not open the queue any more: they
 * have become another user. All of them are users of the queue like others. */
#include "check.h"

/* A queue that only the superuser may open. */
static mqrs_queue *guarded_queue(const char *name, uint64_t flags)
{
    struct mqrs_options options = {.maxmsg = 4, .msgsize = 16, .flags = flags};
    mqrs_queue *queue = NULL;

    CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue));
    return queue;
}

/* A child that is nobody; the parent goes on when the child opens the gate. */
static pid_t start_nobody(struct gate gate)
{
    pid_t child = start_child();

    if (child == 0) {
        become_user(NOBODY);
        return 0;
    }
    pass_gate(gate);
    return child;
}

#define NEEDS_ROOT() SKIP_IF(geteuid() != 0, "needs root to become an ordinary user")

static uint32_t users_of(mqrs_queue *queue)
{
    struct mqrs_stats stats;

    CHECK_OK(mqrs_getstats(queue, &stats, sizeof stats));
    return stats.users;
}

static void a_child_that_may_not_open_it_is_seen_to_live(void)
{
    const char *name = new_name();
    struct gate gate = new_gate();
    mqrs_queue *queue;
    pid_t child;

    NEEDS_ROOT();
    queue = guarded_queue(name, 0);
    child = start_nobody(gate);
    if (child == 0) {
        CHECK_EQUAL(2, users_of(queue));
        open_gate(gate);
        pause();
    }
    CHECK_EQUAL(2, users_of(queue));
    kill_child(child);
    CHECK_EQUAL(1, users_of(queue));
    remove_gate(gate);
    close_and_unlink(queue, name);
}

static void a_message_that_it_has_acquired_is_not_sent_again_while_it_lives(void)
{
    const char *name = new_name();
    struct gate gate = new_gate();
    mqrs_queue *queue;
    char buffer[16];
    pid_t child;

    NEEDS_ROOT();
    queue = guarded_queue(name, MQRS_OPT_REDELIVER);
    send_text(queue, "once", 0);
    child = start_nobody(gate);
    if (child == 0) {
        const void *data;

        CHECK_EQUAL(4, mqrs_acquire(queue, MQRS_NOWAIT, &data, NULL));
        open_gate(gate);
        pause();
    }
    CHECK_ERROR(ETIMEDOUT,
                mqrs_timedreceive(queue, buffer, sizeof buffer, 200 * MILLISECOND, NULL));
    kill_child(child);
    CHECK_EQUAL(4, mqrs_timedreceive(queue, buffer, sizeof buffer, 10 * SECOND, NULL));
    remove_gate(gate);
    close_and_unlink(queue, name);
}

static void an_ephemeral_queue_stays_as_long_as_it_uses_it(void)
{
    const char *name = new_name();
    struct gate gate = new_gate();
    mqrs_queue *queue, *again;
    pid_t child;

    NEEDS_ROOT();
    queue = guarded_queue(name, MQRS_OPT_EPHEMERAL);
    child = start_nobody(gate);
    if (child == 0) {
        send_text(queue, "kept", 0);
        open_gate(gate);
        pause();
    }
    CHECK_OK(mqrs_close(queue));
    queue = open_queue(name, O_RDWR);
    EXPECT_TEXT(queue, "kept", 0);
    CHECK_EQUAL(2, users_of(queue));
    CHECK_OK(mqrs_close(queue));
    kill_child(child);
    CHECK_ERROR(ENOENT, mqrs_open(name, O_RDWR, NULL, 0, &again));
    remove_gate(gate);
}

static int registers(mqrs_queue *queue)
{
    return mqrs_notify_signal(queue, SIGRTMIN, 0, 0);
}

static void its_registration_counts_and_the_dead_s_does_not(void)
{
    const char *name = new_name();
    struct gate gate = new_gate();
    mqrs_queue *queue;
    pid_t dead, child;

    NEEDS_ROOT();
    queue = guarded_queue(name, 0);
    dead = start_child();
    if (dead == 0) {
        CHECK_OK(registers(queue));
        open_gate(gate);
        pause();
    }
    pass_gate(gate);
    kill_child(dead);
    child = start_nobody(gate);
    if (child == 0) {
        CHECK_OK(registers(queue));
        open_gate(gate);
        pause();
    }
    CHECK_ERROR(EBUSY, registers(queue));
    kill_child(child);
    CHECK_OK(registers(queue));
    remove_gate(gate);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_child_that_may_not_open_it_is_seen_to_live);
    RUN(a_message_that_it_has_acquired_is_not_sent_again_while_it_lives);
    RUN(an_ephemeral_queue_stays_as_long_as_it_uses_it);
    RUN(its_registration_counts_and_the_dead_s_does_not);
    return check_end();
}
