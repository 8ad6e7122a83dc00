/* Unlinking takes the name away at once; those who have the queue open keep it. */
#include "check.h"

static void the_queue_lives_on_without_its_name(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0), *other = open_queue(name, O_RDWR);
    mqrs_queue *none;

    send_text(queue, "before", 1);
    CHECK_OK(mqrs_unlink(name));
    CHECK_ERROR(ENOENT, mqrs_open(name, O_RDWR, NULL, 0, &none));
    CHECK_ERROR(ENOENT, mqrs_unlink(name));

    send_text(queue, "after", 0);
    EXPECT_TEXT(other, "before", 1);
    EXPECT_TEXT(other, "after", 0);
    CHECK_OK(mqrs_close(queue));
    send_text(other, "alone", 0);
    EXPECT_TEXT(other, "alone", 0);
    CHECK_OK(mqrs_close(other));
}

static void the_same_name_then_makes_a_new_queue(void)
{
    const char *name = new_name();
    mqrs_queue *old = create_queue(name, 4, 64, 0), *new;

    send_text(old, "old", 0);
    CHECK_OK(mqrs_unlink(name));
    new = create_queue(name, 7, 32, 0);
    CHECK_EQUAL(0, messages_in(new));
    send_text(new, "new", 0);
    EXPECT_TEXT(old, "old", 0);
    CHECK_EQUAL(0, messages_in(old));
    EXPECT_TEXT(new, "new", 0);
    CHECK_OK(mqrs_close(old));
    close_and_unlink(new, name);
}

static void closing_never_unlinks(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0);

    send_text(queue, "kept", 3);
    CHECK_OK(mqrs_close(queue));
    queue = open_queue(name, O_RDWR);
    EXPECT_TEXT(queue, "kept", 3);
    close_and_unlink(queue, name);
}

static void a_sleeping_receiver_is_still_reached(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0);
    pid_t child = start_child();

    if (child == 0) {
        char buffer[64];

        CHECK_EQUAL(4, mqrs_receive(open_queue(name, O_RDONLY), buffer, 64, NULL));
        CHILD_END;
    }
    wait_until_asleep(child);
    CHECK_OK(mqrs_unlink(name));
    send_text(queue, "wake", 0);
    JOIN(child);
    CHECK_OK(mqrs_close(queue));
}

/* The child has to attach itself anew, and its queue has no name any more. */
static void a_child_of_a_later_fork_uses_the_nameless_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0);
    pid_t child;

    CHECK_OK(mqrs_unlink(name));
    if ((child = start_child()) == 0) {
        send_text(queue, "from the child", 0);
        CHILD_END;
    }
    JOIN(child);
    EXPECT_TEXT(queue, "from the child", 0);
    CHECK_OK(mqrs_close(queue));
}

int main(void)
{
    check_begin();
    RUN(the_queue_lives_on_without_its_name);
    RUN(the_same_name_then_makes_a_new_queue);
    RUN(closing_never_unlinks);
    RUN(a_sleeping_receiver_is_still_reached);
    RUN(a_child_of_a_later_fork_uses_the_nameless_queue);
    return check_end();
}
