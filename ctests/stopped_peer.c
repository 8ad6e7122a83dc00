/* A peer that is stopped at any moment of a send or a receive holds nobody up: the others
 * find the queue as full and as empty as it is, and go on. */
#include "check.h"

enum { STOPS = 300, MAXMSG = 12, MOST = 20000000, CHILD = 0, PARENT = 1 };

struct message {
    uint32_t sender, number;
};

/* What both processes know. */
struct shared {
    int finish;
    uint32_t sent[2];
    unsigned char seen[2][MOST];
};

static struct shared *shared;
static mqrs_queue *queue;

/* Send one message and say whether there was room. */
static int send_one(int who, uint32_t priorities)
{
    struct message message = {(uint32_t)who, shared->sent[who]};
    int result = mqrs_timedsend(queue, &message, sizeof message,
                                random_number(&(uint64_t){message.number}) % priorities,
                                MQRS_NOWAIT);

    if (result == -EAGAIN)
        return 0;
    CHECK_OK(result);
    shared->sent[who]++;
    return 1;
}

/* Receive one message, book it, and say whether there was one. */
static int receive_one(void)
{
    struct message message;
    ssize_t len = mqrs_timedreceive(queue, &message, sizeof message, MQRS_NOWAIT, NULL);

    if (len == -EAGAIN)
        return 0;
    CHECK_EQUAL(sizeof message, len);
    CHECK(message.sender < 2 && message.number < MOST);
    CHECK_EQUAL(0, __atomic_fetch_add(&shared->seen[message.sender][message.number], 1,
                                      __ATOMIC_RELAXED));
    return 1;
}

static void stop_a_peer(uint32_t priorities)
{
    const char *name = new_name();
    uint64_t seed = 23 + priorities;
    int status;
    pid_t child;

    shared = shared_memory(sizeof *shared);
    queue = create_queue(name, MAXMSG, sizeof(struct message), 0);
    if ((child = start_child()) == 0) {
        /* Now it sends more than it receives, now less: the queue fills and empties. */
        for (uint32_t round = 0; !__atomic_load_n(&shared->finish, __ATOMIC_ACQUIRE); round++) {
            if (shared->sent[CHILD] < MOST && (round / 64 % 2 || round % 3))
                send_one(CHILD, priorities);
            if (!(round / 64 % 2) || round % 3)
                receive_one();
        }
        CHILD_END;
    }
    for (int stop = 0; stop < STOPS; stop++) {
        struct timespec pause = {0, (long)(random_number(&seed) % 500000)};
        int count = 0;

        nanosleep(&pause, NULL);
        SYSTEM(kill(child, SIGSTOP));
        SYSTEM(waitpid(child, &status, WUNTRACED));
        CHECK(WIFSTOPPED(status));

        while (receive_one())
            ;
        while (send_one(PARENT, priorities))
            count++;
        CHECK_EQUAL(MAXMSG, count);
        CHECK_EQUAL(MAXMSG, messages_in(queue));
        for (count = 0; receive_one(); count++)
            ;
        CHECK_EQUAL(MAXMSG, count);
        SYSTEM(kill(child, SIGCONT));
    }
    __atomic_store_n(&shared->finish, 1, __ATOMIC_RELEASE);
    JOIN(child);
    while (receive_one())
        ;
    for (int who = 0; who < 2; who++)
        for (uint32_t number = 0; number < shared->sent[who]; number++)
            CHECK_EQUAL(1, shared->seen[who][number]);
    printf("  %d stops, %u + %u messages\n", STOPS, shared->sent[CHILD], shared->sent[PARENT]);
    CHECK(shared->sent[CHILD] > 0);
    SYSTEM(munmap(shared, sizeof *shared));
    close_and_unlink(queue, name);
}

static void a_stopped_peer_with_one_priority(void)
{
    stop_a_peer(1);
}

static void a_stopped_peer_with_several_priorities(void)
{
    stop_a_peer(6);
}

int main(void)
{
    check_begin();
    RUN(a_stopped_peer_with_one_priority);
    RUN(a_stopped_peer_with_several_priorities);
    return check_end();
}
