/* Who must not wait gets EAGAIN, and a call that can proceed at once succeeds whatever its
 * timeout or deadline. */
#include "check.h"

static const int64_t LONG_AGO = 1;

/* Every form that must not wait, on a queue that is full. */
static void expect_no_room(mqrs_queue *queue)
{
    CHECK_ERROR(EAGAIN, mqrs_send(queue, "x", 1, 0));
    CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "x", 1, 0, MQRS_FOREVER));
    CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "x", 1, 0, SECOND));
    CHECK_ERROR(EAGAIN, mqrs_send_until(queue, "x", 1, 0, CLOCK_MONOTONIC, INT64_MAX));
    CHECK_ERROR(EAGAIN, mqrs_send_until(queue, "x", 1, 0, CLOCK_REALTIME, LONG_AGO));
    CHECK_ERROR(EAGAIN, mqrs_sendall(queue, "x", 1, 0));
}

/* Every form that must not wait, on a queue that is empty. */
static void expect_no_message(mqrs_queue *queue)
{
    char buffer[16];
    uint32_t prio = 55;

    CHECK_ERROR(EAGAIN, mqrs_receive(queue, buffer, 16, &prio));
    CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, buffer, 16, MQRS_FOREVER, &prio));
    CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, buffer, 16, SECOND, &prio));
    CHECK_ERROR(EAGAIN,
                mqrs_receive_until(queue, buffer, 16, CLOCK_MONOTONIC, INT64_MAX, &prio));
    CHECK_ERROR(EAGAIN, mqrs_receive_until(queue, buffer, 16, CLOCK_REALTIME, LONG_AGO, &prio));
    CHECK_EQUAL(55, prio);
}

static void a_handle_opened_with_o_nonblock_never_waits(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, O_NONBLOCK);

    expect_no_message(queue);
    CHECK_EQUAL(2, fill(queue));
    expect_no_room(queue);
    CHECK_EQUAL(2, drain(queue));
    close_and_unlink(queue, name);
}

static void a_timeout_of_nowait_never_waits(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0);
    char buffer[16];

    CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, buffer, 16, MQRS_NOWAIT, NULL));
    CHECK_EQUAL(2, fill(queue));
    CHECK_ERROR(EAGAIN, mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT));
    close_and_unlink(queue, name);
}

static void nonblocking_can_be_switched_on_and_off(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0), *other = open_queue(name, O_RDWR);
    struct mqrs_attr attr;
    char buffer[16];

    CHECK_OK(mqrs_set_nonblock(queue, 1));
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(O_RDWR | O_NONBLOCK, attr.flags);
    expect_no_message(queue);
    CHECK_EQUAL(2, fill(queue));
    expect_no_room(queue);
    CHECK_EQUAL(2, drain(queue));

    /* It belongs to the handle, not to the queue. */
    CHECK_OK(mqrs_getattr(other, &attr, sizeof attr));
    CHECK_EQUAL(O_RDWR, attr.flags);

    CHECK_OK(mqrs_set_nonblock(queue, 0));
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(O_RDWR, attr.flags);
    CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(queue, buffer, 16, MILLISECOND, NULL));

    /* Any value other than 0 is "on". */
    CHECK_OK(mqrs_set_nonblock(queue, -7));
    expect_no_message(queue);
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

static void a_call_that_can_proceed_succeeds_however_late_it_is(void)
{
    static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 16, 0);
    char buffer[16];

    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++)
        for (int64_t deadline = 0; deadline < 2; deadline++) {
            CHECK_OK(mqrs_send_until(queue, "x", 1, 0, clocks[i], deadline));
            CHECK_EQUAL(1, mqrs_receive_until(queue, buffer, 16, clocks[i], deadline, NULL));
        }
    CHECK_OK(mqrs_timedsend(queue, "x", 1, 0, 1));
    CHECK_EQUAL(1, mqrs_timedreceive(queue, buffer, 16, 1, NULL));
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_handle_opened_with_o_nonblock_never_waits);
    RUN(a_timeout_of_nowait_never_waits);
    RUN(nonblocking_can_be_switched_on_and_off);
    RUN(a_call_that_can_proceed_succeeds_however_late_it_is);
    return check_end();
}
