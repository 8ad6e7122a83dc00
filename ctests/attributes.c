/* What a queue says of itself, what a transport allows, and which version this is. */
#include "check.h"

static void attributes_describe_the_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, O_NONBLOCK);
    struct mqrs_attr attr;

    memset(&attr, 0xEE, sizeof attr);
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(MQRS_SHM, attr.transport);
    CHECK_EQUAL(O_RDWR | O_NONBLOCK, attr.flags);
    CHECK_EQUAL(10, attr.maxmsg);
    CHECK_EQUAL(100, attr.msgsize);
    CHECK_EQUAL(0, attr.curmsgs);
    CHECK_EQUAL(0, attr.curbytes);
    CHECK_EQUAL(0600, attr.mode);
    CHECK_EQUAL(geteuid(), attr.uid);
    CHECK_EQUAL(getegid(), attr.gid);
    CHECK_EQUAL(0, attr.reserved);
    close_and_unlink(queue, name);
}

static void messages_and_bytes_are_counted(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0), *other = open_queue(name, O_RDONLY);
    struct mqrs_attr attr;
    char buffer[100] = "";
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < 10; i++) {
        CHECK_OK(mqrs_send(queue, buffer, 7 * i, (uint32_t)(i % 3)));
        bytes += 7 * i;
        CHECK_OK(mqrs_getattr(other, &attr, sizeof attr));
        CHECK_EQUAL(i + 1, attr.curmsgs);
        CHECK_EQUAL(bytes, attr.curbytes);
    }
    for (uint64_t i = 10; i > 0; i--) {
        CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
        CHECK_EQUAL(i, attr.curmsgs);
        CHECK_EQUAL(bytes, attr.curbytes);
        bytes -= (uint64_t)CHECK_OK(mqrs_receive(other, buffer, sizeof buffer, NULL));
    }
    CHECK_EQUAL(0, messages_in(queue));
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

static void capabilities_name_what_works(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 10, 100, 0);
    struct mqrs_attr attr;

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK(attr.capabilities & MQRS_CAP_NOTIFY);
    CHECK(attr.capabilities & MQRS_CAP_SMALL_BUFFER);
    /* Message types are a thing of System V. */
    CHECK(!(attr.capabilities & MQRS_CAP_TYPES));
    close_and_unlink(queue, name);
}

static void limits_of_shared_memory(void)
{
    struct mqrs_limits limits;

    memset(&limits, 0xEE, sizeof limits);
    CHECK_OK(mqrs_getlimits(MQRS_SHM, &limits, sizeof limits));
    CHECK_EQUAL(0, limits.unavailable);
    CHECK_EQUAL(0, limits.reserved);
    CHECK_EQUAL(64, limits.maxmsg_default);
    CHECK_EQUAL(8192, limits.msgsize_default);
    CHECK(limits.maxmsg_max >= 1000000);
    CHECK(limits.msgsize_max >= UINT64_C(1) << 30);
    CHECK_EQUAL(MQRS_PRIO_MAX, limits.prio_max);
    CHECK_EQUAL(32767, MQRS_PRIO_MAX);
}

static void a_transport_that_is_missing_says_why(void)
{
    struct mqrs_limits limits;

    memset(&limits, 0xEE, sizeof limits);
    CHECK_OK(mqrs_getlimits(MQRS_AMQP, &limits, sizeof limits));
    CHECK_EQUAL(ENOTSUP, limits.unavailable);
    CHECK_EQUAL(0, limits.reserved);
    CHECK_ERROR(EINVAL, mqrs_getlimits(MQRS_ANY, &limits, sizeof limits));
    CHECK_ERROR(EINVAL, mqrs_getlimits(MQRS_AMQP + 1, &limits, sizeof limits));
}

static void the_version_of_header_and_library_agree(void)
{
    char text[64];

    snprintf(text, sizeof text, "%d.%d.%d", MQRS_VERSION_MAJOR, MQRS_VERSION_MINOR,
             MQRS_VERSION_PATCH);
    CHECK(strcmp(text, mqrs_version()) == 0);
    CHECK_EQUAL(MQRS_VERSION_NUMBER, mqrs_version_number());
    CHECK(MQRS_VERSION_NUMBER > 0);
}

int main(void)
{
    check_begin();
    RUN(attributes_describe_the_queue);
    RUN(messages_and_bytes_are_counted);
    RUN(capabilities_name_what_works);
    RUN(limits_of_shared_memory);
    RUN(a_transport_that_is_missing_says_why);
    RUN(the_version_of_header_and_library_agree);
    return check_end();
}
