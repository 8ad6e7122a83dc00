/* Four writing and four reading processes on one queue: every message arrives once, whole,
 * and for each reader in the order in which its sender sent those of one priority. */
#include "check.h"

enum { WRITERS = 4, READERS = 4, EACH = 5000, STOP = WRITERS };

struct message {
    uint32_t writer, number, prio, filler_len;
    unsigned char filler[48];
};

#define HEAD offsetof(struct message, filler)

static void write_all(const char *name, uint32_t writer, uint32_t priorities)
{
    mqrs_queue *queue = open_queue(name, O_WRONLY);
    uint64_t seed = writer + 1;

    for (uint32_t number = 0; number < EACH; number++) {
        struct message message = {.writer = writer, .number = number};

        message.prio = 1 + random_number(&seed) % priorities;
        message.filler_len = random_number(&seed) % sizeof message.filler;
        memset(message.filler, (int)(number + writer), message.filler_len);
        CHECK_OK(mqrs_send(queue, &message, HEAD + message.filler_len, message.prio));
    }
    CHECK_OK(mqrs_close(queue));
}

static void read_until_stopped(const char *name, unsigned char (*seen)[EACH])
{
    mqrs_queue *queue = open_queue(name, O_RDONLY);
    int64_t last[WRITERS][64];

    memset(last, -1, sizeof last);
    for (;;) {
        struct message message;
        uint32_t prio;
        ssize_t len = mqrs_receive(queue, &message, sizeof message, &prio);

        CHECK_OK(len);
        CHECK((size_t)len >= HEAD);
        if (message.writer == STOP)
            break;
        CHECK(message.writer < WRITERS && message.number < EACH);
        CHECK_EQUAL(HEAD + message.filler_len, len);
        CHECK_EQUAL(message.prio, prio);
        for (uint32_t i = 0; i < message.filler_len; i++)
            CHECK(message.filler[i] == (unsigned char)(message.number + message.writer));
        CHECK(last[message.writer][prio] < (int64_t)message.number);
        last[message.writer][prio] = message.number;
        CHECK_EQUAL(0, __atomic_fetch_add(&seen[message.writer][message.number], 1,
                                          __ATOMIC_RELAXED));
    }
    CHECK_OK(mqrs_close(queue));
}

static void exchange(uint64_t maxmsg, uint32_t priorities)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, maxmsg, sizeof(struct message), 0);
    unsigned char(*seen)[EACH] = shared_memory(sizeof(unsigned char[WRITERS][EACH]));
    struct message stop = {.writer = STOP};
    pid_t writers[WRITERS], readers[READERS];

    for (int i = 0; i < READERS; i++)
        if ((readers[i] = start_child()) == 0) {
            read_until_stopped(name, seen);
            CHILD_END;
        }
    for (uint32_t i = 0; i < WRITERS; i++)
        if ((writers[i] = start_child()) == 0) {
            write_all(name, i, priorities);
            CHILD_END;
        }
    for (int i = 0; i < WRITERS; i++)
        JOIN(writers[i]);
    /* The lowest priority of all and sent last: received last. */
    for (int i = 0; i < READERS; i++)
        CHECK_OK(mqrs_send(queue, &stop, HEAD, 0));
    for (int i = 0; i < READERS; i++)
        JOIN(readers[i]);

    for (int writer = 0; writer < WRITERS; writer++)
        for (int number = 0; number < EACH; number++)
            CHECK_EQUAL(1, seen[writer][number]);
    CHECK_EQUAL(0, messages_in(queue));
    SYSTEM(munmap(seen, sizeof(unsigned char[WRITERS][EACH])));
    close_and_unlink(queue, name);
}

static void nothing_is_lost_or_doubled_with_one_priority(void)
{
    exchange(10, 1);
}

static void nothing_is_lost_or_doubled_with_many_priorities(void)
{
    exchange(32, 60);
}

static void nothing_is_lost_or_doubled_in_a_queue_of_one_message(void)
{
    exchange(1, 3);
}

int main(void)
{
    check_begin();
    RUN(nothing_is_lost_or_doubled_with_one_priority);
    RUN(nothing_is_lost_or_doubled_with_many_priorities);
    RUN(nothing_is_lost_or_doubled_in_a_queue_of_one_message);
    return check_end();
}
