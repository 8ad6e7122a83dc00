/* Messages that say who sent them, which number of his they are, and what their bytes and
 * their priority must be; and the book in which every process enters what it has sent and
 * received, so that at the end one can tell whether any was lost, doubled or changed.
 *
 * The book is in memory that all processes share, programs of 32 and of 64 bits alike.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include "check.h"

enum {
    LEDGER_SENDERS = 8,
    LEDGER_MOST = 1 << 24,  /* messages of one sender */
    LEDGER_PRIORITIES = 5,
    LEDGER_MSGSIZE = 48,
};

struct ledger {
    uint32_t next[LEDGER_SENDERS];                  /* number of the sender's next message */
    unsigned char sent[LEDGER_SENDERS][LEDGER_MOST]; /* whether the send has returned */
    unsigned char seen[LEDGER_SENDERS][LEDGER_MOST]; /* how often it was received */
};

/* What a receiver got last of each sender and priority. */
struct order {
    int64_t last[LEDGER_SENDERS][LEDGER_PRIORITIES];
};

HELPER struct order new_order(void)
{
    struct order order;

    memset(&order, -1, sizeof order);
    return order;
}

HELPER size_t compose(uint32_t *message, uint32_t sender, uint32_t number)
{
    size_t len = 8 + (number * 7 + sender) % (LEDGER_MSGSIZE - 8 + 1);

    memset(message, (int)(number + sender), len);
    message[0] = sender;
    message[1] = number;
    return len;
}

HELPER uint32_t priority_of(uint32_t sender, uint32_t number)
{
    return (number * 2654435761u + sender) % LEDGER_PRIORITIES;
}

/* Send the sender's next message, if there is room in time; whether there was. */
HELPER int send_next(struct ledger *ledger, mqrs_queue *queue, uint32_t sender,
                     int64_t timeout_ns)
{
    uint32_t message[LEDGER_MSGSIZE / 4], number = ledger->next[sender];
    size_t len = compose(message, sender, number);
    int result;

    if (number == LEDGER_MOST)
        return 0;
    /* Before it is sent, for nothing may be received twice even of what its sender did not
     * live to see sent. */
    __atomic_store_n(&ledger->next[sender], number + 1, __ATOMIC_SEQ_CST);
    result = mqrs_timedsend(queue, message, len, priority_of(sender, number), timeout_ns);
    if (result == -EAGAIN || result == -ETIMEDOUT) {
        __atomic_store_n(&ledger->next[sender], number, __ATOMIC_SEQ_CST);
        return 0;
    }
    CHECK_OK(result);
    ledger->sent[sender][number] = 1;
    return 1;
}

/* Receive a message, if one comes in time, check it and book it; whether one came. */
HELPER int receive_next(struct ledger *ledger, mqrs_queue *queue, struct order *order,
                        int64_t timeout_ns)
{
    uint32_t message[LEDGER_MSGSIZE / 4], expected[LEDGER_MSGSIZE / 4], prio;
    ssize_t len = mqrs_timedreceive(queue, message, sizeof message, timeout_ns, &prio);
    uint32_t sender = message[0], number = message[1];

    if (len == -EAGAIN || len == -ETIMEDOUT)
        return 0;
    CHECK_OK(len);
    CHECK(len >= 8 && sender < LEDGER_SENDERS && number < LEDGER_MOST);
    CHECK_EQUAL(compose(expected, sender, number), len);
    CHECK(memcmp(expected, message, (size_t)len) == 0);
    CHECK_EQUAL(priority_of(sender, number), prio);
    CHECK(order->last[sender][prio] < (int64_t)number);
    order->last[sender][prio] = number;
    CHECK_EQUAL(0, __atomic_fetch_add(&ledger->seen[sender][number], 1, __ATOMIC_RELAXED));
    return 1;
}

/* Nothing came twice, and for each receiver that was killed at most one message is missing. */
HELPER void judge(const struct ledger *ledger, uint32_t receivers_killed)
{
    uint32_t messages = 0, missing = 0;

    for (int sender = 0; sender < LEDGER_SENDERS; sender++) {
        messages += ledger->next[sender];
        for (uint32_t number = 0; number < ledger->next[sender]; number++) {
            CHECK(ledger->seen[sender][number] <= 1);
            missing += ledger->sent[sender][number] > ledger->seen[sender][number];
        }
    }
    printf("  %u messages, %u missing\n", messages, missing);
    CHECK(messages > 0);
    CHECK(missing <= receivers_killed);
}

#endif
