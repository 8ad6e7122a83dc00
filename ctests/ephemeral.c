/* A queue made with MQRS_OPT_EPHEMERAL goes with its last user, however that one ends; and
 * while somebody has it open, its name means that queue and no other. */
#include "check.h"

static mqrs_queue *open_ephemeral(const char *name, int oflag)
{
    const struct mqrs_options options = {.flags = MQRS_OPT_EPHEMERAL, .maxmsg = 4, .msgsize = 64};
    mqrs_queue *queue = NULL;

    CHECK_OK(mqrs_open(name, oflag, &options, sizeof options, &queue));
    return queue;
}

static mqrs_queue *create_ephemeral(const char *name)
{
    return open_ephemeral(name, O_CREAT | O_EXCL | O_RDWR);
}

static int try_to_open(const char *name, int oflag)
{
    mqrs_queue *queue;
    int result = mqrs_open(name, oflag, NULL, 0, &queue);

    if (result == 0)
        CHECK_OK(mqrs_close(queue));
    return result;
}

static unsigned count_listed(void)
{
    struct mqrs_entry entry;
    unsigned count = 0;
    mqrs_list *list;

    CHECK_OK(mqrs_list_open(MQRS_SHM, &list));
    while (CHECK_OK(mqrs_list_next(list, &entry, sizeof entry)))
        count++;
    CHECK_OK(mqrs_list_close(list));
    return count;
}

#define CHECK_GONE(name)                                         \
    do {                                                         \
        CHECK_ERROR(ENOENT, try_to_open(name, O_RDWR));          \
        CHECK_EQUAL(0, count_entries(queue_directory()));        \
    } while (0)

static void the_last_close_removes_the_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_ephemeral(name), *second;

    CHECK_EQUAL(1, count_listed());
    second = open_queue(name, O_WRONLY);
    CHECK_OK(mqrs_close(queue));
    send_text(second, "still here", 1);
    queue = open_queue(name, O_RDONLY);
    CHECK_OK(mqrs_close(second));
    EXPECT_TEXT(queue, "still here", 1);
    CHECK_OK(mqrs_close(queue));
    CHECK_GONE(name);
    CHECK_ERROR(ENOENT, mqrs_unlink(name));
    CHECK_EQUAL(0, count_listed());
}

static void the_option_counts_when_the_queue_is_made(void)
{
    const char *lasting = new_name(), *passing = new_name();
    mqrs_queue *queue = create_queue(lasting, 4, 64, 0);

    CHECK_OK(mqrs_close(queue));
    CHECK_OK(mqrs_close(open_ephemeral(lasting, O_CREAT | O_RDWR)));
    CHECK_OK(try_to_open(lasting, O_RDWR));
    CHECK_OK(mqrs_unlink(lasting));

    queue = create_ephemeral(passing);
    CHECK_OK(try_to_open(passing, O_CREAT | O_RDWR));
    CHECK_OK(mqrs_close(queue));
    CHECK_GONE(passing);
}

static void a_nameless_one_goes_too(void)
{
    CHECK_OK(mqrs_close(create_ephemeral(NULL)));
    CHECK_EQUAL(0, count_entries(queue_directory()));
}

static void an_unlinked_one_leaves_the_next_of_its_name_alone(void)
{
    const char *name = new_name();
    mqrs_queue *old = create_ephemeral(name), *new;

    CHECK_OK(mqrs_unlink(name));
    CHECK_EQUAL(0, count_entries(queue_directory()));
    CHECK_ERROR(ENOENT, mqrs_unlink(name));
    new = create_ephemeral(name);
    send_text(old, "to the old", 0);
    send_text(new, "to the new", 0);
    CHECK_OK(mqrs_close(old));
    old = open_queue(name, O_RDONLY);
    EXPECT_TEXT(old, "to the new", 0);
    CHECK_OK(mqrs_close(old));
    CHECK_OK(mqrs_close(new));
    CHECK_GONE(name);
}

/* Leave a queue with a message in it that nobody has open. */
static const char *abandon(int killed)
{
    const char *name = new_name();
    struct gate ready = new_gate();
    pid_t child = start_child();

    if (child == 0) {
        send_text(create_ephemeral(name), "left behind", 0);
        if (!killed)
            CHILD_END;
        open_gate(ready);
        pause();
    }
    if (killed) {
        pass_gate(ready);
        kill_child(child);
    } else {
        JOIN(child);
    }
    remove_gate(ready);
    CHECK_EQUAL(1, count_entries(queue_directory()));
    return name;
}

static void what_the_dead_leave_is_absent_for_everybody(void)
{
    for (int killed = 0; killed < 2; killed++) {
        const char *name = abandon(killed);
        mqrs_queue *queue;

        CHECK_GONE(name);

        name = abandon(killed);
        CHECK_ERROR(ENOENT, mqrs_unlink(name));
        CHECK_EQUAL(0, count_entries(queue_directory()));

        abandon(killed);
        CHECK_EQUAL(0, count_listed());
        CHECK_EQUAL(0, count_entries(queue_directory()));

        name = abandon(killed);
        queue = open_ephemeral(name, O_CREAT | O_EXCL | O_RDWR);
        CHECK_EQUAL(0, messages_in(queue));
        CHECK_OK(mqrs_close(queue));

        /* The next one is what its maker wants it to be. */
        name = abandon(killed);
        CHECK_OK(try_to_open(name, O_CREAT | O_RDWR));
        queue = open_queue(name, O_RDWR);
        CHECK_EQUAL(0, messages_in(queue));
        close_and_unlink(queue, name);
        CHECK_GONE(name);
    }
}

static void a_child_is_a_user_from_its_first_call_on(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_ephemeral(name);
    struct gate ready = new_gate(), leave = new_gate(), come = new_gate();
    pid_t user, latecomer;

    if ((user = start_child()) == 0) {
        send_text(queue, "the child's", 2);
        open_gate(ready);
        pass_gate(leave);
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }
    if ((latecomer = start_child()) == 0) {
        pass_gate(come);
        /* The queue is over; what this one has inherited has no name any more. */
        EXPECT_TEXT(queue, "the child's", 2);
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }
    pass_gate(ready);
    CHECK_OK(mqrs_close(queue));
    CHECK_OK(try_to_open(name, O_RDWR));
    open_gate(leave);
    JOIN(user);
    CHECK_GONE(name);
    open_gate(come);
    JOIN(latecomer);
    CHECK_GONE(name);
    remove_gate(ready);
    remove_gate(leave);
    remove_gate(come);
}

static void a_handle_that_a_child_never_used_does_not_count(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_ephemeral(name);
    struct gate go = new_gate();
    pid_t child;

    if ((child = start_child()) == 0) {
        pass_gate(go);
        CHECK_OK(mqrs_close(queue));
        CHILD_END;
    }
    CHECK_OK(mqrs_close(queue));
    CHECK_GONE(name);
    open_gate(go);
    JOIN(child);
    remove_gate(go);
}

static void an_adopted_descriptor_is_a_user_and_a_bare_one_is_none(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_ephemeral(name), *adopted;
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue)), bare = (int)CHECK_OK(mqrs_dup_fd(queue));

    CHECK_OK(mqrs_open_fd(fd, O_RDWR, 0, &adopted));
    CHECK_OK(mqrs_close(queue));
    CHECK_OK(try_to_open(name, O_RDWR));
    send_text(adopted, "in the file", 3);
    CHECK_OK(mqrs_close(adopted));
    CHECK_GONE(name);

    CHECK_OK(mqrs_open_fd(bare, O_RDWR, 0, &adopted));
    EXPECT_TEXT(adopted, "in the file", 3);
    queue = create_ephemeral(name);
    CHECK_OK(mqrs_close(adopted));
    CHECK_OK(try_to_open(name, O_RDWR));
    CHECK_OK(mqrs_close(queue));
    CHECK_GONE(name);
}

static void one_whose_descriptors_were_closed_underneath_goes_as_well(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_ephemeral(name);

    SYSTEM(syscall(SYS_close_range, 3, ~0u, 0));
    CHECK_OK(mqrs_close(queue));
    CHECK_GONE(name);
}

/* Whoever may not remove it still does not see it. */
static void one_that_only_another_user_may_remove_is_absent_all_the_same(void)
{
    const char *name;
    pid_t child;

    SKIP_IF(geteuid() != 0, "only root can be several users");
    SYSTEM(chmod(queue_directory(), 01777));
    umask(0);
    name = new_name();
    if ((child = start_child()) == 0) {
        const struct mqrs_options options = {.flags = MQRS_OPT_EPHEMERAL, .mode = 0666};
        mqrs_queue *queue;

        CHECK_OK(mqrs_open(name, O_CREAT | O_RDWR, &options, sizeof options, &queue));
        CHILD_END;
    }
    JOIN(child);
    if ((child = start_child()) == 0) {
        mqrs_queue *queue;

        become_user(NOBODY);
        CHECK_ERROR(ENOENT, mqrs_open(name, O_RDWR, NULL, 0, &queue));
        CHECK_ERROR(ENOENT, mqrs_unlink(name));
        CHECK_EQUAL(0, count_listed());
        CHECK_ERROR(EACCES, mqrs_open(name, O_CREAT | O_RDWR, NULL, 0, &queue));
        CHECK_ERROR(EACCES, mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, NULL, 0, &queue));
        CHILD_END;
    }
    JOIN(child);
    CHECK_EQUAL(1, count_entries(queue_directory()));
    CHECK_GONE(name);
}

/* ---- Races ------------------------------------------------------------------- */

enum { RACERS = 4, ROUNDS = 400 };

static ino_t file_of(const mqrs_queue *queue)
{
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue));
    struct stat status;

    SYSTEM(fstat(fd, &status));
    close(fd);
    return status.st_ino;
}

/* Open and close without end; while the queue is open, its name means it. */
static void come_and_go(const char *name, int racer, int rounds)
{
    uint64_t seed = (uint64_t)racer + 1;

    for (int round = 0; round < rounds; round++) {
        uint32_t choice = random_number(&seed);
        mqrs_queue *queue = NULL, *again;
        int result;

        switch (choice % 4) {
        case 0:
            result = try_to_open(name, O_RDWR);
            CHECK(result == 0 || result == -ENOENT);
            continue;
        case 1: {
            const struct mqrs_options options = {.flags = MQRS_OPT_EPHEMERAL};

            result = mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue);
            if (result == -EEXIST)
                continue;
            CHECK_OK(result);
            break;
        }
        default:
            queue = open_ephemeral(name, O_CREAT | O_RDWR);
        }
        again = open_queue(name, O_RDWR);
        CHECK_EQUAL(file_of(queue), file_of(again));
        CHECK_OK(mqrs_timedsend(queue, "x", 1, 0, SECOND));
        CHECK_EQUAL(1, CHECK_OK(mqrs_timedreceive(again, (char[8192]){0}, 8192, 10 * SECOND, NULL)));
        CHECK_OK(mqrs_close(choice & 4 ? queue : again));
        CHECK_OK(mqrs_close(choice & 4 ? again : queue));
    }
}

static void nobody_loses_the_queue_that_is_open(void)
{
    const char *name = new_name();
    pid_t racers[RACERS];

    for (int i = 0; i < RACERS; i++)
        if ((racers[i] = start_child()) == 0) {
            come_and_go(name, i, ROUNDS);
            CHILD_END;
        }
    for (int i = 0; i < RACERS; i++)
        JOIN(racers[i]);
    CHECK_GONE(name);
}

/* One of the racers is killed again and again, in the middle of what it does. */
static void nor_when_others_are_killed_or_stopped(void)
{
    const char *name = new_name();
    pid_t racers[RACERS];
    uint64_t seed = 5;

    for (int i = 0; i < RACERS - 1; i++)
        if ((racers[i] = start_child()) == 0) {
            come_and_go(name, i, ROUNDS);
            CHILD_END;
        }
    for (int round = 0; round < 150; round++) {
        struct timespec pause = {0, (long)(random_number(&seed) % 2000000)};
        pid_t victim = start_child();

        if (victim == 0)
            for (;;)
                CHECK_OK(mqrs_close(open_ephemeral(name, O_CREAT | O_RDWR)));
        nanosleep(&pause, NULL);
        if (round % 2) {
            SYSTEM(kill(victim, SIGSTOP));
            SYSTEM(waitpid(victim, NULL, WUNTRACED));
            come_and_go(name, round, 5);
            SYSTEM(kill(victim, SIGCONT));
            nanosleep(&pause, NULL);
        }
        kill_child(victim);
        come_and_go(name, round, 5);
    }
    for (int i = 0; i < RACERS - 1; i++)
        JOIN(racers[i]);
    CHECK_EQUAL(0, count_listed());
    CHECK_GONE(name);
}

int main(void)
{
    check_begin();
    RUN(the_last_close_removes_the_queue);
    RUN(the_option_counts_when_the_queue_is_made);
    RUN(a_nameless_one_goes_too);
    RUN(an_unlinked_one_leaves_the_next_of_its_name_alone);
    RUN(what_the_dead_leave_is_absent_for_everybody);
    RUN(a_child_is_a_user_from_its_first_call_on);
    RUN(a_handle_that_a_child_never_used_does_not_count);
    RUN(an_adopted_descriptor_is_a_user_and_a_bare_one_is_none);
    RUN(one_whose_descriptors_were_closed_underneath_goes_as_well);
    RUN(one_that_only_another_user_may_remove_is_absent_all_the_same);
    RUN(nobody_loses_the_queue_that_is_open);
    RUN(nor_when_others_are_killed_or_stopped);
    return check_end();
}
