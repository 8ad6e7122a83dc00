/* Messages have 0 to msgsize bytes of any value; they are never cut and never merged. */
#include "check.h"

static void empty_messages_are_messages(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    char buffer[16];
    uint32_t prio;

    CHECK_OK(mqrs_send(queue, NULL, 0, 3));
    CHECK_OK(mqrs_send(queue, "ignored", 0, 2));
    CHECK_EQUAL(2, messages_in(queue));

    memset(buffer, 'b', sizeof buffer);
    CHECK_EQUAL(0, mqrs_receive(queue, buffer, sizeof buffer, &prio));
    CHECK_EQUAL(3, prio);
    CHECK_EQUAL('b', buffer[0]);
    /* An empty message fits into no buffer at all. */
    CHECK_EQUAL(0, mqrs_receive(queue, NULL, 0, &prio));
    CHECK_EQUAL(2, prio);
    close_and_unlink(queue, name);
}

static void every_byte_value_passes(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 256, 0);
    unsigned char sent[256], got[257];

    for (int i = 0; i < 256; i++)
        sent[i] = (unsigned char)i;
    CHECK_OK(mqrs_send(queue, sent, 256, 0));
    memset(got, 'g', sizeof got);
    CHECK_EQUAL(256, mqrs_receive(queue, got, sizeof got, NULL));
    CHECK(memcmp(sent, got, 256) == 0);
    CHECK_EQUAL('g', got[256]);
    close_and_unlink(queue, name);
}

/* Each length around a size at which something could change, with the bytes around the
 * buffer guarded. */
static void every_length_arrives_whole(void)
{
    enum { MSGSIZE = 5000 };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 3, MSGSIZE, 0);
    unsigned char sent[MSGSIZE], got[MSGSIZE + 1];
    uint64_t seed = 4;

    for (size_t len = 0; len <= MSGSIZE; len += len < 300 ? 1 : 47) {
        for (size_t i = 0; i < len; i++)
            sent[i] = (unsigned char)random_number(&seed);
        CHECK_OK(mqrs_send(queue, sent, len, 0));
        memset(got, 0xEE, sizeof got);
        CHECK_EQUAL(len, mqrs_receive(queue, got, MSGSIZE, NULL));
        CHECK(memcmp(sent, got, len) == 0);
        for (size_t i = len; i < sizeof got; i++)
            CHECK_EQUAL(0xEE, got[i]);
    }
    close_and_unlink(queue, name);
}

static void msgsize_is_the_longest(void)
{
    static const size_t sizes[] = {1, 7, 8, 9, 63, 64, 65, 100, 8192, 1000000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *name = new_name();
        mqrs_queue *queue = create_queue(name, 2, sizes[i], 0);
        char *sent = malloc(sizes[i] + 1), *got = malloc(sizes[i]);

        CHECK(sent != NULL && got != NULL);
        memset(sent, 's', sizes[i] + 1);
        CHECK_OK(mqrs_send(queue, sent, sizes[i], 0));
        CHECK_ERROR(EMSGSIZE, mqrs_send(queue, sent, sizes[i] + 1, 0));
        CHECK_ERROR(EMSGSIZE, mqrs_send(queue, sent, SIZE_MAX, 0));
        CHECK_EQUAL(1, messages_in(queue));
        CHECK_EQUAL(sizes[i], mqrs_receive(queue, got, sizes[i], NULL));
        CHECK(memcmp(sent, got, sizes[i]) == 0);
        free(sent);
        free(got);
        close_and_unlink(queue, name);
    }
}

static void a_small_buffer_takes_what_fits_and_leaves_what_does_not(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 100, 0);
    char buffer[16];
    uint32_t prio = 77;

    send_text(queue, "ten bytes!", 1);
    send_text(queue, "the next", 0);

    memset(buffer, 'u', sizeof buffer);
    CHECK_ERROR(EMSGSIZE, mqrs_receive(queue, buffer, 9, &prio));
    CHECK_ERROR(EMSGSIZE, mqrs_timedreceive(queue, buffer, 0, MQRS_NOWAIT, &prio));
    CHECK_ERROR(EMSGSIZE, mqrs_receive(queue, NULL, 0, &prio));
    CHECK_EQUAL(77, prio);
    for (size_t i = 0; i < sizeof buffer; i++)
        CHECK_EQUAL('u', buffer[i]);
    CHECK_EQUAL(2, messages_in(queue));

    /* It is still the first, and fits its own length exactly. */
    CHECK_EQUAL(10, mqrs_receive(queue, buffer, 10, &prio));
    CHECK(memcmp("ten bytes!", buffer, 10) == 0);
    CHECK_EQUAL(1, prio);
    EXPECT_TEXT(queue, "the next", 0);
    close_and_unlink(queue, name);
}

static void a_message_that_does_not_fit_keeps_its_place_among_others(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 100, 0);
    char buffer[4];

    send_text(queue, "long one", 5);
    send_text(queue, "b", 5);
    send_text(queue, "c", 2);
    for (int i = 0; i < 100; i++)
        CHECK_ERROR(EMSGSIZE, mqrs_receive(queue, buffer, sizeof buffer, NULL));
    send_text(queue, "a", 6);
    CHECK_EQUAL(1, mqrs_receive(queue, buffer, sizeof buffer, NULL));
    CHECK_ERROR(EMSGSIZE, mqrs_receive(queue, buffer, sizeof buffer, NULL));
    EXPECT_TEXT(queue, "long one", 5);
    EXPECT_TEXT(queue, "b", 5);
    EXPECT_TEXT(queue, "c", 2);
    close_and_unlink(queue, name);
}

static void a_message_is_copied_before_send_returns(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    char text[] = "before";

    CHECK_OK(mqrs_send(queue, text, 6, 0));
    memset(text, 'X', sizeof text);
    EXPECT_TEXT(queue, "before", 0);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(empty_messages_are_messages);
    RUN(every_byte_value_passes);
    RUN(every_length_arrives_whole);
    RUN(msgsize_is_the_longest);
    RUN(a_small_buffer_takes_what_fits_and_leaves_what_does_not);
    RUN(a_message_that_does_not_fit_keeps_its_place_among_others);
    RUN(a_message_is_copied_before_send_returns);
    return check_end();
}
