/* Waits end at their timeout or deadline and not before. Only the least time is checked:
 * how late a busy machine may be is nobody's promise. */
#include "check.h"

static const clockid_t CLOCKS[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};

struct pair {
    const char *name;
    mqrs_queue *full, *empty;
    const char *empty_name;
};

static struct pair new_pair(void)
{
    struct pair pair;

    pair.name = new_name();
    pair.empty_name = new_name();
    pair.full = create_queue(pair.name, 1, 16, 0);
    pair.empty = create_queue(pair.empty_name, 1, 16, 0);
    send_text(pair.full, "full", 0);
    return pair;
}

static void remove_pair(struct pair pair)
{
    EXPECT_TEXT(pair.full, "full", 0);
    CHECK_EQUAL(0, messages_in(pair.full));
    CHECK_EQUAL(0, messages_in(pair.empty));
    close_and_unlink(pair.full, pair.name);
    close_and_unlink(pair.empty, pair.empty_name);
}

static void a_relative_timeout_passes_before_etimedout(void)
{
    static const int64_t timeouts[] = {1, 1000, MILLISECOND, 30 * MILLISECOND};
    struct pair pair = new_pair();
    char buffer[16];

    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        int64_t begin = now_ns(CLOCK_MONOTONIC);

        CHECK_ERROR(ETIMEDOUT, mqrs_timedsend(pair.full, "x", 1, 0, timeouts[i]));
        CHECK(now_ns(CLOCK_MONOTONIC) - begin >= timeouts[i]);
        begin = now_ns(CLOCK_MONOTONIC);
        CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(pair.empty, buffer, 16, timeouts[i], NULL));
        CHECK(now_ns(CLOCK_MONOTONIC) - begin >= timeouts[i]);
    }
    remove_pair(pair);
}

static void a_deadline_passes_on_its_own_clock(void)
{
    struct pair pair = new_pair();
    char buffer[16];

    for (size_t i = 0; i < sizeof CLOCKS / sizeof *CLOCKS; i++) {
        int64_t deadline = now_ns(CLOCKS[i]) + 20 * MILLISECOND;

        CHECK_ERROR(ETIMEDOUT, mqrs_send_until(pair.full, "x", 1, 0, CLOCKS[i], deadline));
        CHECK(now_ns(CLOCKS[i]) >= deadline);
        deadline = now_ns(CLOCKS[i]) + 20 * MILLISECOND;
        CHECK_ERROR(ETIMEDOUT,
                    mqrs_receive_until(pair.empty, buffer, 16, CLOCKS[i], deadline, NULL));
        CHECK(now_ns(CLOCKS[i]) >= deadline);
    }
    remove_pair(pair);
}

static void a_deadline_in_the_past_is_expired(void)
{
    struct pair pair = new_pair();
    char buffer[16];

    for (size_t i = 0; i < sizeof CLOCKS / sizeof *CLOCKS; i++) {
        int64_t past[] = {0, 1, now_ns(CLOCKS[i]) - 1};

        for (size_t j = 0; j < sizeof past / sizeof *past; j++) {
            CHECK_ERROR(ETIMEDOUT, mqrs_send_until(pair.full, "x", 1, 0, CLOCKS[i], past[j]));
            CHECK_ERROR(ETIMEDOUT,
                        mqrs_receive_until(pair.empty, buffer, 16, CLOCKS[i], past[j], NULL));
        }
    }
    remove_pair(pair);
}

/* Timeouts and deadlines that lie too far ahead to ever come. */
static int receive_far_ahead(mqrs_queue *queue, int form)
{
    char buffer[16];

    switch (form) {
    case 0:
        return (int)mqrs_timedreceive(queue, buffer, 16, INT64_MAX, NULL);
    case 1:
        return (int)mqrs_timedreceive(queue, buffer, 16, INT64_MAX - 1, NULL);
    case 2:
        return (int)mqrs_timedreceive(queue, buffer, 16, MQRS_FOREVER, NULL);
    default:
        return (int)mqrs_receive_until(queue, buffer, 16, CLOCKS[form % 3],
                                       form < 6 ? INT64_MAX : INT64_MAX - 1, NULL);
    }
}

static void what_lies_beyond_the_clock_never_expires(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, 0);

    for (int form = 0; form < 9; form++) {
        pid_t child = start_child();

        if (child == 0) {
            CHECK_EQUAL(4, receive_far_ahead(queue, form));
            CHILD_END;
        }
        wait_until_asleep(child);
        send_text(queue, "wake", 0);
        JOIN(child);
    }
    close_and_unlink(queue, name);
}

static void what_comes_before_the_deadline_is_taken(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 16, 0);
    pid_t child;

    for (size_t i = 0; i < sizeof CLOCKS / sizeof *CLOCKS; i++) {
        int64_t deadline = now_ns(CLOCKS[i]) + 1000 * SECOND;
        char buffer[16];

        if ((child = start_child()) == 0) {
            CHECK_EQUAL(2, mqrs_receive_until(queue, buffer, 16, CLOCKS[i], deadline, NULL));
            CHILD_END;
        }
        wait_until_asleep(child);
        send_text(queue, "in", 0);
        JOIN(child);

        send_text(queue, "first", 0);
        if ((child = start_child()) == 0) {
            CHECK_OK(mqrs_send_until(queue, "second", 6, 0, CLOCKS[i], deadline));
            CHILD_END;
        }
        wait_until_asleep(child);
        EXPECT_TEXT(queue, "first", 0);
        JOIN(child);
        EXPECT_TEXT(queue, "second", 0);
    }
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_relative_timeout_passes_before_etimedout);
    RUN(a_deadline_passes_on_its_own_clock);
    RUN(a_deadline_in_the_past_is_expired);
    RUN(what_lies_beyond_the_clock_never_expires);
    RUN(what_comes_before_the_deadline_is_taken);
    return check_end();
}
