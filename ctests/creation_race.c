/* However many processes create one name at once, there is one queue, and it is whole
 * whenever anybody sees it. */
#include "check.h"

enum { RACERS = 8, ROUNDS = 40 };

/* All racers and the judge, one line: nobody goes before everybody is there. */
struct line {
    pthread_barrier_t barrier;
    int winners;
};

static struct line *new_line(void)
{
    struct line *line = shared_memory(sizeof *line);
    pthread_barrierattr_t attributes;

    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    CHECK_EQUAL(0, pthread_barrier_init(&line->barrier, &attributes, RACERS));
    return line;
}

static void start_line(struct line *line)
{
    pthread_barrier_wait(&line->barrier);
}

static void race(void (*run)(struct line *line, int racer))
{
    struct line *line = new_line();
    pid_t children[RACERS];

    for (int i = 0; i < RACERS; i++)
        if ((children[i] = start_child()) == 0) {
            run(line, i);
            CHILD_END;
        }
    for (int i = 0; i < RACERS; i++)
        JOIN(children[i]);
    SYSTEM(munmap(line, sizeof *line));
    CHECK_EQUAL(0, count_entries(queue_directory()));
}

static void create_alone(struct line *line, int racer)
{
    /* Of a size that takes its time: several are to be at it at once. */
    const struct mqrs_options options = {.maxmsg = 512, .msgsize = 8192};

    for (int round = 0; round < ROUNDS; round++) {
        mqrs_queue *queue = NULL;
        char name[32];
        int result;

        (void)racer;
        snprintf(name, sizeof name, "/alone-%d", round);
        start_line(line);
        result = mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue);
        if (result == 0)
            __atomic_add_fetch(&line->winners, 1, __ATOMIC_SEQ_CST);
        else
            CHECK_EQUAL(-EEXIST, result);
        start_line(line);
        CHECK_EQUAL(round + 1, __atomic_load_n(&line->winners, __ATOMIC_SEQ_CST));
        if (result == 0)
            close_and_unlink(queue, name);
    }
}

static void one_of_many_exclusive_creators_wins(void)
{
    race(create_alone);
}

/* Everyone asks for another size: all must see the one that the winner gave. */
static void create_together(struct line *line, int racer)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct mqrs_options options = {0};
        struct mqrs_attr attr;
        mqrs_queue *queue;
        char name[32];

        snprintf(name, sizeof name, "/together-%d", round);
        options.maxmsg = (uint64_t)(RACERS + racer);
        options.msgsize = 100 * options.maxmsg;
        start_line(line);
        CHECK_OK(mqrs_open(name, O_CREAT | O_RDWR, &options, sizeof options, &queue));
        CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
        CHECK(attr.maxmsg >= RACERS && attr.maxmsg < 2 * RACERS);
        CHECK_EQUAL(100 * attr.maxmsg, attr.msgsize);
        CHECK_OK(mqrs_timedsend(queue, &attr.maxmsg, sizeof attr.maxmsg, 0, MQRS_NOWAIT));
        start_line(line);
        if (racer == 0) {
            uint64_t maxmsg;

            CHECK_EQUAL(RACERS, messages_in(queue));
            for (int i = 0; i < RACERS; i++) {
                CHECK_OK(mqrs_timedreceive(queue, &maxmsg, sizeof maxmsg, MQRS_NOWAIT, NULL));
                CHECK_EQUAL(attr.maxmsg, maxmsg);
            }
            CHECK_OK(mqrs_unlink(name));
        }
        CHECK_OK(mqrs_close(queue));
        start_line(line);
    }
}

static void all_creators_without_o_excl_meet_on_one_queue(void)
{
    race(create_together);
}

/* Half of them keep removing the name: every open gives a whole queue or a plain answer. */
static void create_and_remove(struct line *line, int racer)
{
    start_line(line);
    for (int round = 0; round < 20 * ROUNDS; round++) {
        mqrs_queue *queue;
        int result;

        if (racer % 2) {
            result = mqrs_unlink("/unsteady");
            CHECK(result == 0 || result == -ENOENT);
            continue;
        }
        result = mqrs_open("/unsteady", racer % 4 ? O_RDWR : O_CREAT | O_RDWR, NULL, 0, &queue);
        if (result == 0) {
            CHECK_OK(mqrs_timedsend(queue, "x", 1, 0, SECOND));
            result = (int)mqrs_timedreceive(queue, (char[8192]){0}, 8192, MQRS_NOWAIT, NULL);
            CHECK(result == 1 || result == -EAGAIN);
            CHECK_OK(mqrs_close(queue));
        } else {
            CHECK_EQUAL(-ENOENT, result);
            CHECK(racer % 4);
        }
    }
    start_line(line);
    if (racer == 0)
        mqrs_unlink("/unsteady");
}

static void a_name_that_comes_and_goes_is_a_whole_queue_or_none(void)
{
    race(create_and_remove);
}

/* A creator that is killed at any moment leaves a whole queue or nothing. */
static void a_killed_creator_leaves_no_half_made_queue(void)
{
    uint64_t seed = 7;
    int found = 0;

    for (int round = 0; round < 100; round++) {
        struct timespec pause = {0, (long)(random_number(&seed) % 1500000)};
        const char *name = new_name();
        mqrs_queue *queue;
        pid_t child = start_child();
        int result;

        if (child == 0)
            for (;;) {
                create_queue(name, 50, 1000, 0);
                CHECK_OK(mqrs_unlink(name));
            }
        nanosleep(&pause, NULL);
        kill_child(child);
        result = mqrs_open(name, O_RDWR, NULL, 0, &queue);
        if (result == 0) {
            found++;
            CHECK_EQUAL(50, fill(queue));
            close_and_unlink(queue, name);
        } else {
            CHECK_EQUAL(-ENOENT, result);
        }
        CHECK_EQUAL(0, count_entries(queue_directory()));
    }
    printf("  a queue was left %d times of 100\n", found);
}

int main(void)
{
    check_begin();
    RUN(one_of_many_exclusive_creators_wins);
    RUN(all_creators_without_o_excl_meet_on_one_queue);
    RUN(a_name_that_comes_and_goes_is_a_whole_queue_or_none);
    RUN(a_killed_creator_leaves_no_half_made_queue);
    return check_end();
}
