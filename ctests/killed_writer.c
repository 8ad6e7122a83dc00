/* A sender killed at any moment has sent all that was acknowledged to it, at most the one
 * message more that it was sending, each whole and once; and the queue works on with all
 * its room. */
#include "check.h"

enum { KILLS = 200, MAXMSG = 16, FILLER = 200 };

struct message {
    uint32_t writer, number;
    unsigned char filler[FILLER];
};

#define HEAD offsetof(struct message, filler)

static unsigned filler_len(uint32_t number)
{
    return number * 37 % (FILLER + 1);
}

/* Send without end; *acknowledged counts the sends that have returned. */
static void send_in_a_loop(mqrs_queue *queue, uint32_t writer, uint32_t priorities,
                           uint32_t *acknowledged)
{
    struct message message = {.writer = writer};

    for (;; message.number++) {
        unsigned len = filler_len(message.number);

        memset(message.filler, (int)(message.number ^ writer), len);
        CHECK_OK(mqrs_send(queue, &message, HEAD + len, message.number % priorities));
        __atomic_store_n(acknowledged, message.number + 1, __ATOMIC_RELEASE);
    }
}

struct account {
    int64_t last[8];   /* of each priority */
    uint32_t received; /* in all */
};

/* Take one message, wait at most so long for it, and book it; whether there was one. */
static int take_one(mqrs_queue *queue, uint32_t writer, uint32_t priorities, int64_t timeout,
                    struct account *account)
{
    struct message message;
    uint32_t prio;
    ssize_t len = mqrs_timedreceive(queue, &message, sizeof message, timeout, &prio);

    if (len == -EAGAIN || len == -ETIMEDOUT)
        return 0;
    CHECK_OK(len);
    CHECK_EQUAL(writer, message.writer);
    CHECK_EQUAL(HEAD + filler_len(message.number), len);
    CHECK_EQUAL(message.number % priorities, prio);
    for (unsigned i = 0; i < filler_len(message.number); i++)
        CHECK_EQUAL((unsigned char)(message.number ^ writer), message.filler[i]);
    /* Neither a gap nor a double within one priority. */
    CHECK_EQUAL(account->last[prio] + (account->last[prio] < 0 ? 1 + prio : priorities),
                message.number);
    account->last[prio] = message.number;
    account->received++;
    return 1;
}

static void kill_writers(uint32_t priorities, int inherit)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, sizeof(struct message), 0);
    uint32_t *acknowledged = shared_memory(sizeof *acknowledged);
    uint64_t seed = 17 + priorities, sent = 0;

    for (uint32_t writer = 0; writer < KILLS; writer++) {
        struct account account = {.received = 0};
        uint32_t promised;
        int64_t end;
        pid_t child;

        memset(account.last, -1, sizeof account.last);
        *acknowledged = 0;
        if ((child = start_child()) == 0)
            send_in_a_loop(inherit ? queue : open_queue(name, O_WRONLY), writer, priorities,
                           acknowledged);
        /* Some are killed at work, some while they sleep before a full queue. */
        while (__atomic_load_n(acknowledged, __ATOMIC_ACQUIRE) == 0)
            sched_yield();
        end = now_ns(CLOCK_MONOTONIC) + random_number(&seed) % (2 * MILLISECOND);
        while (now_ns(CLOCK_MONOTONIC) < end)
            if (writer % 4)
                take_one(queue, writer, priorities, MILLISECOND / 2, &account);
        kill_child(child);

        promised = __atomic_load_n(acknowledged, __ATOMIC_ACQUIRE);
        while (take_one(queue, writer, priorities, MQRS_NOWAIT, &account))
            ;
        if (account.received != promised && account.received != promised + 1)
            FAIL("writer %u had %u sends acknowledged, %u arrived", writer, promised,
                 account.received);
        /* They are the first ones: of each priority as many as there are among these. */
        for (uint32_t prio = 0; prio < priorities && prio < account.received; prio++)
            CHECK_EQUAL(account.received - 1 - (account.received - 1 - prio) % priorities,
                        account.last[prio]);
        sent += account.received;
    }
    printf("  %d writers killed, %" PRIu64 " messages\n", KILLS, sent);
    CHECK_EQUAL(MAXMSG, fill(queue));
    CHECK_EQUAL(MAXMSG, drain(queue));
    SYSTEM(munmap(acknowledged, sizeof *acknowledged));
    close_and_unlink(queue, name);
}

static void writers_of_one_priority(void)
{
    kill_writers(1, 0);
}

static void writers_of_several_priorities(void)
{
    kill_writers(5, 0);
}

static void writers_with_an_inherited_handle(void)
{
    kill_writers(3, 1);
}

int main(void)
{
    check_begin();
    RUN(writers_of_one_priority);
    RUN(writers_of_several_priorities);
    RUN(writers_with_an_inherited_handle);
    return check_end();
}
