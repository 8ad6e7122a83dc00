/* mqrs_wait for very many queues, and with few descriptors to do it with, of which it leaves none
 * behind. */
#include "wait_many.h"
#include <sys/resource.h>

enum { MANY = 1000 };

static void a_thousand_queues_are_waited_for(void)
{
    static struct mqrs_wait_item items[MANY];
    struct rlimit limit;
    static char addresses[MANY][64];

    SYSTEM(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur < MANY + 100)
        limit.rlim_cur = limit.rlim_max;
    SYSTEM(setrlimit(RLIMIT_NOFILE, &limit));
    SKIP_IF(limit.rlim_cur < MANY + 100, "RLIMIT_NOFILE is too low");
    for (int i = 0; i < MANY; i++) {
        strcpy(addresses[i], new_name());
        items[i].queue = create_queue(addresses[i], MAXMSG, MSGSIZE, 0);
        items[i].events = MQRS_READABLE;
    }
    CHECK_EQUAL(0, mqrs_wait(items, sizeof items[0], MANY, 20 * MILLISECOND));
    for (int which = 0; which < MANY; which += MANY / 3) {
        pid_t child = start_child();

        if (child == 0) {
            wait_until_asleep(getppid());
            send_text(items[which].queue, "x", 0);
            CHILD_END;
        }
        CHECK_EQUAL(1, mqrs_wait(items, sizeof items[0], MANY, MQRS_FOREVER));
        CHECK_EQUAL(MQRS_READABLE, items[which].revents);
        JOIN(child);
        EXPECT_TEXT(items[which].queue, "x", 0);
    }
    for (int i = 0; i < MANY; i++)
        close_and_unlink(items[i].queue, addresses[i]);
}

/* ppoll(2) refuses them all at once. */
static void more_queues_than_descriptors_are_allowed_now_are_waited_for(void)
{
    struct some some = {0};
    struct rlimit limit, low;
    pid_t child;

    SKIP_IF(!is_there(POSIX), "no POSIX queues");
    for (int i = 0; i < 6; i++)
        add(&some, POSIX, MQRS_READABLE);
    SYSTEM(getrlimit(RLIMIT_NOFILE, &limit));
    low = limit;
    low.rlim_cur = 3;
    child = start_child();
    if (child == 0) {
        wait_until_asleep(getppid());
        send_text(some.items[5].queue, "x", 0);
        CHILD_END;
    }
    SYSTEM(setrlimit(RLIMIT_NOFILE, &low));
    CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
    SYSTEM(setrlimit(RLIMIT_NOFILE, &limit));
    expect_only(&some, 5, MQRS_READABLE);
    JOIN(child);
    remove_all(&some);
}

/* What a wait keeps for the next one is little, and the same after many. */
static void waits_leave_no_descriptors_behind(void)
{
    struct some some = {0};
    unsigned before;

    SKIP_IF(!is_there(POSIX), "no POSIX queues");
    add(&some, SHM, MQRS_READABLE);
    add(&some, POSIX, MQRS_READABLE);
    CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
    before = count_descriptors();
    for (int i = 0; i < 20; i++)
        CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
    CHECK_EQUAL(before, count_descriptors());
    remove_all(&some);
}

/* A program that closes all descriptors has closed what was kept, and the number is another's;
 * a child has what its parent keeps. */
static void what_was_kept_may_be_another_s_meanwhile(void)
{
    struct some some = {0};
    pid_t child;

    SKIP_IF(!is_there(POSIX), "no POSIX queues");
    add(&some, SHM, MQRS_READABLE);
    add(&some, POSIX, MQRS_READABLE);
    CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
    for (int children = 0; children < 2; children++) {
        if ((child = start_child()) == 0) {
            char link[64], path[64];

            CHECK_EQUAL(0, wait_for(&some, MILLISECOND));
            if (children == 1)
                for (int fd = 3; fd < 64; fd++) {
                    ssize_t len;

                    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                    len = readlink(path, link, sizeof link - 1);
                    link[len > 0 ? len : 0] = 0;
                    if (strstr(link, "inotify") == NULL)
                        continue;
                    close(fd);
                    SYSTEM(open("/dev/zero", O_RDONLY | O_CLOEXEC));
                }
            wait_until_asleep(getppid());
            send_text(some.items[0].queue, "x", 0);
            CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
            CHILD_END;
        }
        CHECK_EQUAL(1, wait_for(&some, MQRS_FOREVER));
        JOIN(child);
        EXPECT_TEXT(some.items[0].queue, "x", 0);
    }
    remove_all(&some);
}

int main(void)
{
    check_begin();
    RUN(a_thousand_queues_are_waited_for);
    RUN(more_queues_than_descriptors_are_allowed_now_are_waited_for);
    RUN(waits_leave_no_descriptors_behind);
    RUN(what_was_kept_may_be_another_s_meanwhile);
    return check_end();
}
