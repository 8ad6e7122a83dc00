/* A receiver killed at any moment takes at most one message with it; all the others are
 * received once, in order, and the queue works on with all its room. */
#include "check.h"

enum { KILLS = 200, MAXMSG = 16, MOST = 4000000 };

/* Written by the readers, read by the judge. */
struct record {
    uint32_t booked;            /* messages that were booked in all */
    unsigned char seen[MOST];   /* how often each was received */
};

/* Receive without end and book each message, in the order of each priority. */
static void receive_in_a_loop(mqrs_queue *queue, uint32_t priorities, struct record *record)
{
    int64_t last[8];

    memset(last, -1, sizeof last);
    for (;;) {
        uint32_t number, prio;

        CHECK_EQUAL(sizeof number, mqrs_receive(queue, &number, sizeof number, &prio));
        CHECK(number < MOST);
        CHECK_EQUAL(number % priorities, prio);
        CHECK(last[prio] < (int64_t)number);
        last[prio] = number;
        CHECK_EQUAL(0, __atomic_fetch_add(&record->seen[number], 1, __ATOMIC_RELAXED));
        __atomic_fetch_add(&record->booked, 1, __ATOMIC_RELEASE);
    }
}

static void kill_readers(uint32_t priorities, int readers_at_a_time)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, sizeof(uint32_t), 0);
    struct record *record = shared_memory(sizeof *record);
    uint64_t seed = 19 + priorities;
    uint32_t next = 0, missing = 0;
    int kills = 0;

    for (int round = 0; kills < KILLS; round++) {
        pid_t readers[4];
        uint32_t booked = __atomic_load_n(&record->booked, __ATOMIC_ACQUIRE);
        int64_t end;

        for (int i = 0; i < readers_at_a_time; i++)
            if ((readers[i] = start_child()) == 0)
                receive_in_a_loop(open_queue(name, O_RDONLY), priorities, record);
        end = now_ns(CLOCK_MONOTONIC) + MILLISECOND + random_number(&seed) % (2 * MILLISECOND);
        /* Every other time, when they have received; else whatever they are doing then. */
        while ((now_ns(CLOCK_MONOTONIC) < end ||
                (round % 2 == 0 && __atomic_load_n(&record->booked, __ATOMIC_ACQUIRE) == booked)) &&
               next < MOST - 1) {
            int result = mqrs_timedsend(queue, &next, sizeof next, next % priorities,
                                        MILLISECOND);

            if (result == 0)
                next++;
            else
                CHECK_EQUAL(-ETIMEDOUT, result);
        }
        for (int i = 0; i < readers_at_a_time; i++, kills++)
            kill_child(readers[i]);
    }

    /* What is left is received by this process, in order. */
    for (int64_t last[8] = {-1, -1, -1, -1, -1, -1, -1, -1};;) {
        uint32_t number, prio;
        ssize_t len = mqrs_timedreceive(queue, &number, sizeof number, MQRS_NOWAIT, &prio);

        if (len == -EAGAIN)
            break;
        CHECK_EQUAL(sizeof number, len);
        CHECK_EQUAL(number % priorities, prio);
        CHECK(last[prio] < (int64_t)number);
        last[prio] = number;
        CHECK_EQUAL(0, record->seen[number]++);
    }
    for (uint32_t number = 0; number < MOST; number++) {
        if (number >= next)
            CHECK_EQUAL(0, record->seen[number]);
        else if (record->seen[number] == 0)
            missing++;
    }
    printf("  %d readers killed, %u messages, %u missing\n", kills, next, missing);
    CHECK(record->booked > 0);
    CHECK(missing <= (uint32_t)kills);
    CHECK_EQUAL(MAXMSG, fill(queue));
    CHECK_EQUAL(MAXMSG, drain(queue));
    SYSTEM(munmap(record, sizeof *record));
    close_and_unlink(queue, name);
}

static void readers_of_one_priority(void)
{
    kill_readers(1, 1);
}

static void readers_of_several_priorities(void)
{
    kill_readers(5, 1);
}

static void several_readers_at_a_time(void)
{
    kill_readers(3, 4);
}

int main(void)
{
    check_begin();
    RUN(readers_of_one_priority);
    RUN(readers_of_several_priorities);
    RUN(several_readers_at_a_time);
    return check_end();
}
