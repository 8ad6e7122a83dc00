/* A program closes descriptors that it does not know, as daemons do: an open queue goes on
 * working, and a number that has become another file's is never taken for the queue. */
#include "check.h"

enum { NUMBERS = 64 };

static void close_all_descriptors(void)
{
    for (int fd = 3; fd < NUMBERS; fd++)
        close(fd);
}

/* Occupy all the numbers that were closed with one file. */
static void fill_descriptors_with(const char *path)
{
    int fd = (int)SYSTEM(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640));

    for (int other = 3; other < NUMBERS; other++)
        if (other != fd)
            SYSTEM(dup3(fd, other, O_CLOEXEC));
}

static void expect_use(mqrs_queue *queue)
{
    for (int round = 0; round < 100; round++) {
        CHECK_EQUAL(8, fill(queue));
        CHECK_ERROR(ETIMEDOUT, mqrs_timedsend(queue, "x", 1, 0, 1000));
        CHECK_EQUAL(8, drain(queue));
    }
}

/* These need the descriptor, and say so. */
static void expect_descriptor_gone(mqrs_queue *queue)
{
    struct mqrs_attr attr;
    int result = mqrs_getattr(queue, &attr, sizeof attr);

    CHECK(result == 0 || result == -EBADF);
    CHECK_ERROR(EBADF, mqrs_dup_fd(queue));
    CHECK_ERROR(EBADF, mqrs_set_owner(queue, 0666, UINT32_MAX, UINT32_MAX));
}

static void closed_descriptors_do_not_stop_messages(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0), *other;

    close_all_descriptors();
    expect_use(queue);
    expect_descriptor_gone(queue);

    /* It can be opened anew beside the old handle. */
    other = open_queue(name, O_RDWR);
    send_text(queue, "old to new", 0);
    EXPECT_TEXT(other, "old to new", 0);
    CHECK_OK(mqrs_close(other));

    mqrs_close(queue); /* may report the missing descriptor */
    CHECK_OK(mqrs_unlink(name));
}

static void a_number_that_became_another_file_is_left_alone(void)
{
    const char *name = new_name();
    char path[PATH_MAX];
    mqrs_queue *queue = create_queue(name, 8, 64, 0);
    struct stat before, after;

    snprintf(path, sizeof path, "%.4000s/other-file", queue_directory());
    close_all_descriptors();
    fill_descriptors_with(path);
    SYSTEM(stat(path, &before));

    expect_use(queue);
    expect_descriptor_gone(queue);
    SYSTEM(stat(path, &after));
    CHECK_EQUAL(before.st_mode, after.st_mode);
    CHECK_EQUAL(0, after.st_size);

    mqrs_close(queue);
    for (int fd = 3; fd < NUMBERS; fd++)
        SYSTEM(fcntl(fd, F_GETFD));
    close_all_descriptors();
    SYSTEM(unlink(path));
    CHECK_OK(mqrs_unlink(name));
}

/* One that lives without its descriptor is as alive as any: its slots and its place as a
 * user of the queue are not taken from it. */
static void its_owner_is_still_known_to_be_alive(void)
{
    const char *name = new_name();
    struct gate ready = new_gate(), go = new_gate();
    mqrs_queue *queue;
    pid_t child = start_child();

    if (child == 0) {
        queue = create_queue(name, 8, 64, 0);
        for (int fd = 3; fd < NUMBERS; fd++)
            if (fd != ready.ends[1] && fd != go.ends[0])
                close(fd);
        CHECK_OK(mqrs_notify_signal(queue, 0, 0, 0));
        open_gate(ready);
        pass_gate(go);
        expect_use(queue);
        CHILD_END;
    }
    pass_gate(ready);
    queue = open_queue(name, O_RDWR);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, 0, 0, 0));
    open_gate(go);
    JOIN(child);
    CHECK_OK(mqrs_notify_signal(queue, 0, 0, 0));
    close_and_unlink(queue, name);
    remove_gate(ready);
    remove_gate(go);
}

/* A child has to attach itself anew, for which it would need the descriptor: it may get on
 * without, or is told so. */
static void a_forked_child_is_told_or_served(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 8, 64, 0);
    pid_t child;

    close_all_descriptors();
    if ((child = start_child()) == 0) {
        int result = mqrs_send(queue, "x", 1, 0);

        CHECK(result == 0 || result == -EBADF);
        result = mqrs_close(queue);
        CHECK(result == 0 || result == -EBADF);
        CHILD_END;
    }
    JOIN(child);
    drain(queue);
    expect_use(queue);
    mqrs_close(queue);
    CHECK_OK(mqrs_unlink(name));
}

int main(void)
{
    check_begin();
    RUN(closed_descriptors_do_not_stop_messages);
    RUN(a_number_that_became_another_file_is_left_alone);
    RUN(its_owner_is_still_known_to_be_alive);
    RUN(a_forked_child_is_told_or_served);
    return check_end();
}
