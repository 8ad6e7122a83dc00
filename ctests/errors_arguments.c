/* Bad arguments get the documented errno, in the documented order, and change nothing. */
#include "check.h"

static const int NO_CLOCKS[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
                                CLOCK_MONOTONIC_RAW,      CLOCK_REALTIME_COARSE,
                                CLOCK_MONOTONIC_COARSE,   CLOCK_TAI,
                                -1,                       999,
                                INT_MAX,                  INT_MIN};

static const char *name;
static mqrs_queue *queue, *reader, *writer;

/* A queue of two messages of up to 8 bytes, one of them there, and three handles. */
static void set_up(void)
{
    name = new_name();
    queue = create_queue(name, 2, 8, 0);
    reader = open_queue(name, O_RDONLY);
    writer = open_queue(name, O_WRONLY);
    send_text(queue, "there", 4);
}

/* The message is still there and still alone. */
static void tear_down(void)
{
    EXPECT_TEXT(queue, "there", 4);
    CHECK_EQUAL(0, messages_in(queue));
    CHECK_OK(mqrs_close(reader));
    CHECK_OK(mqrs_close(writer));
    close_and_unlink(queue, name);
}

static void a_null_handle_is_ebadf_before_all_else(void)
{
    struct mqrs_attr attr;
    char buffer[8];

    CHECK_ERROR(EBADF, mqrs_send(NULL, NULL, SIZE_MAX, 32768));
    CHECK_ERROR(EBADF, mqrs_send(NULL, "x", 1, 0));
    CHECK_ERROR(EBADF, mqrs_timedsend(NULL, NULL, 9, 32768, -2));
    CHECK_ERROR(EBADF, mqrs_send_until(NULL, NULL, 9, 32768, -1, -1));
    CHECK_ERROR(EBADF, mqrs_sendall(NULL, NULL, SIZE_MAX, 32768));
    CHECK_ERROR(EBADF, mqrs_sendall(NULL, NULL, 0, 0));
    CHECK_ERROR(EBADF, mqrs_receive(NULL, NULL, 8, NULL));
    CHECK_ERROR(EBADF, mqrs_receive(NULL, buffer, 8, NULL));
    CHECK_ERROR(EBADF, mqrs_timedreceive(NULL, NULL, 8, -2, NULL));
    CHECK_ERROR(EBADF, mqrs_receive_until(NULL, NULL, 8, -1, -1, NULL));
    CHECK_ERROR(EBADF, mqrs_getattr(NULL, &attr, sizeof attr));
    CHECK_ERROR(EBADF, mqrs_getattr(NULL, NULL, 0));
    CHECK_ERROR(EBADF, mqrs_set_nonblock(NULL, 1));
    CHECK_ERROR(EBADF, mqrs_set_owner(NULL, 0600, 0, 0));
    CHECK_ERROR(EBADF, mqrs_dup_fd(NULL));
    CHECK_ERROR(EBADF, mqrs_notify_signal(NULL, -1, 0, UINT64_MAX));
    CHECK_ERROR(EBADF, mqrs_notify_callback(NULL, NULL, NULL, UINT64_MAX));
    CHECK_ERROR(EBADF, mqrs_notify_cancel(NULL));
    CHECK_EQUAL(0, mqrs_close(NULL));
    mqrs_name(NULL); /* a string or NULL, but no crash */
}

static void bad_numbers_are_einval_before_the_direction(void)
{
    static const uint32_t priorities[] = {32768, 65535, 65536, INT32_MAX, UINT32_MAX};
    static const int64_t timeouts[] = {-2, -1000000000, INT64_MIN};

    set_up();
    /* Each also has a wrong direction, a null pointer and too long a message. */
    for (size_t i = 0; i < sizeof priorities / sizeof *priorities; i++) {
        CHECK_ERROR(EINVAL, mqrs_send(reader, NULL, 9, priorities[i]));
        CHECK_ERROR(EINVAL, mqrs_timedsend(reader, NULL, 9, priorities[i], MQRS_NOWAIT));
        CHECK_ERROR(EINVAL, mqrs_send_until(reader, NULL, 9, priorities[i], CLOCK_MONOTONIC, 0));
        CHECK_ERROR(EINVAL, mqrs_sendall(reader, NULL, SIZE_MAX, priorities[i]));
        CHECK_ERROR(EINVAL, mqrs_send(queue, "x", 1, priorities[i]));
    }
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        CHECK_ERROR(EINVAL, mqrs_timedsend(reader, NULL, 9, 0, timeouts[i]));
        CHECK_ERROR(EINVAL, mqrs_timedreceive(writer, NULL, 8, timeouts[i], NULL));
        /* As a deadline just the same; and -1 is no deadline. */
        CHECK_ERROR(EINVAL, mqrs_send_until(reader, NULL, 9, 0, CLOCK_REALTIME, timeouts[i]));
        CHECK_ERROR(EINVAL,
                    mqrs_receive_until(writer, NULL, 8, CLOCK_BOOTTIME, timeouts[i], NULL));
    }
    CHECK_ERROR(EINVAL, mqrs_send_until(reader, NULL, 9, 0, CLOCK_MONOTONIC, -1));
    CHECK_ERROR(EINVAL, mqrs_receive_until(writer, NULL, 8, CLOCK_MONOTONIC, -1, NULL));
    for (size_t i = 0; i < sizeof NO_CLOCKS / sizeof *NO_CLOCKS; i++) {
        CHECK_ERROR(EINVAL, mqrs_send_until(reader, NULL, 9, 0, NO_CLOCKS[i], INT64_MAX));
        CHECK_ERROR(EINVAL, mqrs_receive_until(writer, NULL, 8, NO_CLOCKS[i], INT64_MAX, NULL));
    }
    tear_down();
}

/* Checked always, also where the call could proceed at once. */
static void bad_times_are_refused_even_without_waiting(void)
{
    char buffer[8];

    set_up();
    CHECK_ERROR(EINVAL, mqrs_timedreceive(queue, buffer, 8, -2, NULL));
    CHECK_ERROR(EINVAL, mqrs_receive_until(queue, buffer, 8, CLOCK_MONOTONIC, -1, NULL));
    CHECK_ERROR(EINVAL, mqrs_receive_until(queue, buffer, 8, 999, INT64_MAX, NULL));
    CHECK_ERROR(EINVAL, mqrs_timedsend(queue, "x", 1, 0, -2));
    CHECK_ERROR(EINVAL, mqrs_send_until(queue, "x", 1, 0, CLOCK_MONOTONIC, -1));
    CHECK_ERROR(EINVAL, mqrs_send_until(queue, "x", 1, 0, 999, INT64_MAX));
    CHECK_OK(mqrs_set_nonblock(queue, 1));
    CHECK_ERROR(EINVAL, mqrs_timedsend(queue, "x", 1, 0, -2));
    tear_down();
}

static void the_wrong_direction_is_ebadf_before_the_pointers(void)
{
    char buffer[8];
    uint32_t prio = 77;

    set_up();
    CHECK_ERROR(EBADF, mqrs_send(reader, NULL, 9, 0));
    CHECK_ERROR(EBADF, mqrs_send(reader, "x", 1, 0));
    CHECK_ERROR(EBADF, mqrs_send(reader, NULL, 0, 0));
    CHECK_ERROR(EBADF, mqrs_timedsend(reader, NULL, 9, 0, MQRS_NOWAIT));
    CHECK_ERROR(EBADF, mqrs_send_until(reader, NULL, 9, 0, CLOCK_MONOTONIC, 0));
    CHECK_ERROR(EBADF, mqrs_sendall(reader, NULL, 9, 0));
    CHECK_ERROR(EBADF, mqrs_sendall(reader, "x", 1, 0));
    CHECK_ERROR(EBADF, mqrs_receive(writer, NULL, 8, &prio));
    CHECK_ERROR(EBADF, mqrs_receive(writer, buffer, 8, &prio));
    CHECK_ERROR(EBADF, mqrs_timedreceive(writer, NULL, 8, MQRS_NOWAIT, &prio));
    CHECK_ERROR(EBADF, mqrs_receive_until(writer, NULL, 8, CLOCK_MONOTONIC, 0, &prio));
    CHECK_EQUAL(77, prio);

    /* The right one works. */
    CHECK_OK(mqrs_send(writer, "x", 1, 9));
    CHECK_EQUAL(1, mqrs_receive(reader, buffer, 8, &prio));
    tear_down();
}

static void null_pointers_are_efault_before_the_length(void)
{
    uint32_t prio = 77;

    set_up();
    CHECK_ERROR(EFAULT, mqrs_send(queue, NULL, 1, 0));
    CHECK_ERROR(EFAULT, mqrs_send(queue, NULL, 9, 0));
    CHECK_ERROR(EFAULT, mqrs_send(queue, NULL, SIZE_MAX, 0));
    CHECK_ERROR(EFAULT, mqrs_timedsend(queue, NULL, 9, 0, MQRS_NOWAIT));
    CHECK_ERROR(EFAULT, mqrs_send_until(queue, NULL, 9, 0, CLOCK_MONOTONIC, 0));
    CHECK_ERROR(EFAULT, mqrs_sendall(queue, NULL, 1, 0));
    CHECK_ERROR(EFAULT, mqrs_sendall(queue, NULL, SIZE_MAX, 0));
    CHECK_ERROR(EFAULT, mqrs_receive(queue, NULL, 1, &prio));
    CHECK_ERROR(EFAULT, mqrs_receive(queue, NULL, SIZE_MAX, &prio));
    CHECK_ERROR(EFAULT, mqrs_timedreceive(queue, NULL, 8, MQRS_NOWAIT, &prio));
    CHECK_ERROR(EFAULT, mqrs_receive_until(queue, NULL, 8, CLOCK_MONOTONIC, 0, &prio));
    CHECK_EQUAL(77, prio);

    CHECK_ERROR(EFAULT, mqrs_open(name, O_RDWR, NULL, 0, NULL));
    CHECK_ERROR(EFAULT, mqrs_open(NULL, O_RDWR, NULL, 0, (mqrs_queue *[1]){NULL}));
    CHECK_ERROR(EFAULT, mqrs_unlink(NULL));
    CHECK_ERROR(EFAULT, mqrs_getattr(queue, NULL, sizeof(struct mqrs_attr)));
    CHECK_ERROR(EFAULT, mqrs_getlimits(MQRS_SHM, NULL, sizeof(struct mqrs_limits)));
    CHECK_ERROR(EFAULT, mqrs_notify_callback(queue, NULL, NULL, 0));
    tear_down();
}

/* The length is judged before fullness, so that no wait is ever in vain. */
static void a_message_too_long_is_emsgsize_before_full(void)
{
    set_up();
    CHECK_EQUAL(1, fill(queue));
    CHECK_ERROR(EMSGSIZE, mqrs_send(queue, "123456789", 9, 0));
    CHECK_ERROR(EMSGSIZE, mqrs_timedsend(queue, "123456789", 9, 0, MQRS_NOWAIT));
    CHECK_ERROR(EMSGSIZE, mqrs_send_until(queue, "123456789", 9, 0, CLOCK_MONOTONIC, 0));
    CHECK_ERROR(EMSGSIZE, mqrs_send(queue, "123456789", SIZE_MAX, 0));
#if SIZE_MAX > UINT32_MAX
    CHECK_ERROR(EMSGSIZE, mqrs_send(queue, "123456789", (size_t)UINT32_MAX + 2, 0));
#endif
    EXPECT_TEXT(queue, "there", 4);
    EXPECT_TEXT(queue, "x", 0);
    send_text(queue, "there", 4);
    tear_down();
}

static void a_capacity_beyond_all_memory_is_only_a_bound(void)
{
    char buffer[8];

    set_up();
    CHECK_EQUAL(5, mqrs_receive(queue, buffer, SIZE_MAX, NULL));
    CHECK(memcmp("there", buffer, 5) == 0);
    send_text(queue, "there", 4);
    tear_down();
}

/* A struct handed out has the size that the caller knows, within limits. */
static void structs_handed_out_follow_the_size_rules(void)
{
    enum { ROOM = 1024 };
    unsigned char large[ROOM], before[ROOM];
    struct mqrs_attr attr;
    struct mqrs_limits limits;

    set_up();
    memset(before, 0xA5, sizeof before);

    /* Too small, or absurdly large: refused, and nothing is written. */
    for (size_t size = 0; size < sizeof attr; size++) {
        memcpy(large, before, sizeof large);
        CHECK_ERROR(EINVAL, mqrs_getattr(queue, (struct mqrs_attr *)(void *)large, size));
        CHECK(memcmp(before, large, sizeof large) == 0);
    }
    for (size_t size = 0; size < sizeof limits; size++) {
        memcpy(large, before, sizeof large);
        CHECK_ERROR(EINVAL, mqrs_getlimits(MQRS_SHM, (struct mqrs_limits *)(void *)large, size));
        CHECK(memcmp(before, large, sizeof large) == 0);
    }

    CHECK_ERROR(E2BIG, mqrs_getattr(queue, &attr, SIZE_MAX));
    CHECK_ERROR(E2BIG, mqrs_getlimits(MQRS_SHM, &limits, SIZE_MAX));

    /* A newer caller's: the known part is written, the rest zeroed, no byte more. */
    memcpy(large, before, sizeof large);
    CHECK_OK(mqrs_getattr(queue, (struct mqrs_attr *)(void *)large, ROOM - 8));
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK(memcmp(&attr, large, sizeof attr) == 0);
    for (size_t i = sizeof attr; i < ROOM; i++)
        CHECK_EQUAL(i < ROOM - 8 ? 0 : 0xA5, large[i]);

    memcpy(large, before, sizeof large);
    CHECK_OK(mqrs_getlimits(MQRS_SHM, (struct mqrs_limits *)(void *)large, ROOM - 8));
    CHECK_OK(mqrs_getlimits(MQRS_SHM, &limits, sizeof limits));
    CHECK(memcmp(&limits, large, sizeof limits) == 0);
    for (size_t i = sizeof limits; i < ROOM; i++)
        CHECK_EQUAL(i < ROOM - 8 ? 0 : 0xA5, large[i]);
    tear_down();
}

static void failed_calls_leave_their_outputs_alone(void)
{
    unsigned char pattern[64], buffer[64];
    struct mqrs_attr attr, attr_before;
    struct mqrs_limits limits, limits_before;
    uint32_t prio = 0xDEADBEEF;

    set_up();
    memset(pattern, 0x3C, sizeof pattern);
    memcpy(buffer, pattern, sizeof buffer);
    CHECK_ERROR(EMSGSIZE, mqrs_receive(queue, buffer, 4, &prio));
    EXPECT_TEXT(queue, "there", 4);
    CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, buffer, 64, MQRS_NOWAIT, &prio));
    CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(queue, buffer, 64, MILLISECOND, &prio));
    CHECK_ERROR(ETIMEDOUT, mqrs_receive_until(queue, buffer, 64, CLOCK_REALTIME, 1, &prio));
    CHECK_ERROR(EBADF, mqrs_receive(writer, buffer, 64, &prio));
    CHECK_EQUAL(0xDEADBEEF, prio);
    CHECK(memcmp(pattern, buffer, sizeof buffer) == 0);

    memset(&attr, 0x3C, sizeof attr);
    memset(&attr_before, 0x3C, sizeof attr_before);
    CHECK_ERROR(EBADF, mqrs_getattr(NULL, &attr, sizeof attr));
    CHECK(memcmp(&attr_before, &attr, sizeof attr) == 0);

    memset(&limits, 0x3C, sizeof limits);
    memset(&limits_before, 0x3C, sizeof limits_before);
    CHECK_ERROR(EINVAL, mqrs_getlimits(MQRS_ANY, &limits, sizeof limits));
    CHECK_ERROR(EINVAL, mqrs_getlimits(99, &limits, sizeof limits));
    CHECK_ERROR(EINVAL, mqrs_getlimits(UINT32_MAX, &limits, sizeof limits));
    CHECK(memcmp(&limits_before, &limits, sizeof limits) == 0);
    send_text(queue, "there", 4);
    tear_down();
}

static void count_call(mqrs_queue *q, void *user)
{
    (void)q;
    ++*(int *)user;
}

static void bad_notifications_are_einval(void)
{
    static const int signals[] = {-1, 65, 1000, INT_MAX, INT_MIN};
    int calls = 0;

    set_up();
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        CHECK_ERROR(EINVAL, mqrs_notify_signal(queue, signals[i], 0, 0));
    CHECK_ERROR(EINVAL, mqrs_notify_signal(queue, SIGUSR1, 0, UINT64_C(1) << 63));
    CHECK_ERROR(EINVAL, mqrs_notify_signal(queue, SIGUSR1, 0, UINT64_C(1) << 31));
    CHECK_ERROR(EINVAL, mqrs_notify_callback(queue, count_call, &calls, UINT64_C(1) << 63));
    CHECK_ERROR(EINVAL, mqrs_notify_callback(queue, NULL, NULL, UINT64_C(1) << 63));

    /* None of them has taken the slot. */
    CHECK_OK(mqrs_notify_signal(queue, 0, 0, 0));
    CHECK_OK(mqrs_notify_cancel(queue));
    CHECK_EQUAL(0, calls);
    tear_down();
}

int main(void)
{
    check_begin();
    RUN(a_null_handle_is_ebadf_before_all_else);
    RUN(bad_numbers_are_einval_before_the_direction);
    RUN(bad_times_are_refused_even_without_waiting);
    RUN(the_wrong_direction_is_ebadf_before_the_pointers);
    RUN(null_pointers_are_efault_before_the_length);
    RUN(a_message_too_long_is_emsgsize_before_full);
    RUN(a_capacity_beyond_all_memory_is_only_a_bound);
    RUN(structs_handed_out_follow_the_size_rules);
    RUN(failed_calls_leave_their_outputs_alone);
    RUN(bad_notifications_are_einval);
    return check_end();
}
