/* The oldest message of the highest priority comes first. */
#include "check.h"

static void higher_priorities_overtake_lower_ones(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0);

    send_text(queue, "low", 1);
    send_text(queue, "lowest", 0);
    send_text(queue, "highest", MQRS_PRIO_MAX);
    send_text(queue, "middle", 100);

    EXPECT_TEXT(queue, "highest", MQRS_PRIO_MAX);
    send_text(queue, "urgent", 101);
    EXPECT_TEXT(queue, "urgent", 101);
    EXPECT_TEXT(queue, "middle", 100);
    EXPECT_TEXT(queue, "low", 1);
    EXPECT_TEXT(queue, "lowest", 0);
    close_and_unlink(queue, name);
}

static void messages_of_one_priority_keep_their_order(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 30, 64, 0);
    char text[16];

    for (uint32_t i = 0; i < 30; i++) {
        snprintf(text, sizeof text, "%u", i / 3);
        send_text(queue, text, i % 3);
    }
    for (int prio = 2; prio >= 0; prio--)
        for (int i = 0; i < 10; i++) {
            snprintf(text, sizeof text, "%d", i);
            EXPECT_TEXT(queue, text, (uint32_t)prio);
        }
    close_and_unlink(queue, name);
}

static void every_priority_has_its_place(void)
{
    static const uint32_t priorities[] = {0,   1,    2,    31,    32,    63,    64,   127,
                                          255, 1023, 1024, 16383, 16384, 32766, 32767};
    enum { COUNT = sizeof priorities / sizeof *priorities };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, COUNT, 64, 0);

    /* A fixed stride that is prime to the count visits each once, in no sorted order. */
    for (int i = 0; i < COUNT; i++)
        send_text(queue, "x", priorities[(i * 7) % COUNT]);
    for (int i = COUNT - 1; i >= 0; i--)
        EXPECT_TEXT(queue, "x", priorities[i]);
    close_and_unlink(queue, name);
}

/* The rule itself as the judge: the oldest of the highest among those in the queue. */
static void a_long_random_sequence_follows_the_rule(void)
{
    enum { MAXMSG = 50, STEPS = 20000 };
    struct {
        uint32_t prio, number;
    } model[MAXMSG];
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, sizeof(uint32_t), 0);
    uint64_t seed = 2;
    uint32_t next = 0;
    int count = 0;

    for (int step = 0; step < STEPS; step++) {
        /* Phases of few and of many priorities, of filling and of draining. */
        uint32_t priorities = step / 1000 % 3 == 0 ? 1 : step / 1000 % 3 == 1 ? 3 : 32768;
        int send = random_number(&seed) % 10 < (step / 500 % 2 ? 7u : 4u);

        if (send) {
            uint32_t prio = random_number(&seed) % priorities;
            int expected = count < MAXMSG ? 0 : -EAGAIN;

            CHECK_EQUAL(expected, mqrs_timedsend(queue, &next, sizeof next, prio, MQRS_NOWAIT));
            if (expected == 0) {
                model[count].prio = prio;
                model[count++].number = next++;
            }
        } else {
            uint32_t prio, number;
            ssize_t len = mqrs_timedreceive(queue, &number, sizeof number, MQRS_NOWAIT, &prio);
            int best = 0;

            CHECK_EQUAL(count ? (int)sizeof number : -EAGAIN, len);
            if (count == 0)
                continue;
            for (int i = 1; i < count; i++)
                if (model[i].prio > model[best].prio)
                    best = i;
            CHECK_EQUAL(model[best].prio, prio);
            CHECK_EQUAL(model[best].number, number);
            memmove(&model[best], &model[best + 1], sizeof *model * (size_t)(--count - best));
        }
    }
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(higher_priorities_overtake_lower_ones);
    RUN(messages_of_one_priority_keep_their_order);
    RUN(every_priority_has_its_place);
    RUN(a_long_random_sequence_follows_the_rule);
    return check_end();
}
