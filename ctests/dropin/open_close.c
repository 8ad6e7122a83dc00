/* Names, flags, sizes and modes of mq_open; what closing and unlinking leaves. */
#include "queues.h"

static void names_follow_the_rules(void)
{
    char longest[300] = "/", longer[300] = "/";
    mqd_t queue;

    memset(longest + 1, 'n', 255);
    memset(longer + 1, 'n', 256);
    REFUSED(EINVAL, mq_open("", O_RDONLY));
    REFUSED(EINVAL, mq_open("name", O_RDONLY));
    REFUSED(ENOENT, mq_open("/", O_RDONLY));
    REFUSED(EACCES, mq_open("//", O_RDONLY));
    REFUSED(EACCES, mq_open("/a/b", O_RDONLY));
    REFUSED(EACCES, mq_open("/a/", O_RDONLY));
    REFUSED(EACCES, mq_open("/.", O_RDONLY));
    REFUSED(EACCES, mq_open("/..", O_RDONLY));
    REFUSED(ENAMETOOLONG, mq_open(longer, O_RDONLY));
    REFUSED(ENOENT, mq_open(longest, O_RDONLY));
    REFUSED(EINVAL, mq_unlink("name"));
    REFUSED(ENOENT, mq_unlink("/"));
    REFUSED(EACCES, mq_unlink("/a/b"));
    REFUSED(ENAMETOOLONG, mq_unlink(longer));
    REFUSED(ENOENT, mq_unlink(new_name()));

    queue = make_queue(longest, O_RDWR, 2, 8);

    SYSTEM(mq_unlink(longest));
    SYSTEM(mq_close(queue));
}

static void sizes_are_those_asked_for(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 3, 17);
    struct mq_attr attr = attributes_of(queue), others = {0};
    mqd_t again;

    CHECK_EQUAL(3, attr.mq_maxmsg);
    CHECK_EQUAL(17, attr.mq_msgsize);
    CHECK_EQUAL(0, attr.mq_curmsgs);
    CHECK_EQUAL(0, attr.mq_flags);

    others.mq_maxmsg = -7;
    others.mq_msgsize = 0;
    again = (mqd_t)SYSTEM(mq_open(name, O_CREAT | O_RDONLY | O_NONBLOCK, 0600, &others));

    attr = attributes_of(again);
    CHECK_EQUAL(3, attr.mq_maxmsg);
    CHECK_EQUAL(O_NONBLOCK, attr.mq_flags);
    SYSTEM(mq_close(again));
    SYSTEM(mq_close(queue));
    SYSTEM(mq_unlink(name));
}

static void bad_sizes_are_refused(void)
{
    static const long sizes[][2] = {{0, 8}, {8, 0}, {-1, 8}, {8, -1}, {LONG_MAX, 8}, {8, LONG_MAX}};
    const char *name = new_name();

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct mq_attr attr = {0};

        attr.mq_maxmsg = sizes[i][0];
        attr.mq_msgsize = sizes[i][1];
        REFUSED(EINVAL, mq_open(name, O_CREAT | O_RDWR, 0600, &attr));
    }
    REFUSED(ENOENT, mq_unlink(name));
}

static long number_in(const char *path)
{
    FILE *file = fopen(path, "r");
    long number = -1;

    if (file != NULL) {
        CHECK_EQUAL(1, fscanf(file, "%ld", &number));
        fclose(file);
    }
    return number;
}

static void without_sizes_they_are_the_kernels(void)
{
    const char *name = new_name();
    long maxmsg = number_in("/proc/sys/fs/mqueue/msg_default");
    long msgsize = number_in("/proc/sys/fs/mqueue/msgsize_default");
    mqd_t queue = (mqd_t)SYSTEM(mq_open(name, O_CREAT | O_RDWR, 0600, NULL));

    CHECK_EQUAL(maxmsg < 0 ? 10 : maxmsg, attributes_of(queue).mq_maxmsg);
    CHECK_EQUAL(msgsize < 0 ? 8192 : msgsize, attributes_of(queue).mq_msgsize);
    SYSTEM(mq_close(queue));
    SYSTEM(mq_unlink(name));
}

static void exclusive_means_that_there_is_none(void)
{
    const char *name = new_name();
    struct mq_attr bad = {0};
    mqd_t queue = make_queue(name, O_RDWR, 2, 8), again;

    REFUSED(EEXIST, mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL));
    REFUSED(EEXIST, mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &bad));
    again = (mqd_t)SYSTEM(mq_open(name, O_EXCL | O_RDWR));
    SYSTEM(mq_close(again));
    REFUSED(EINVAL, mq_open(name, O_ACCMODE));
    again = (mqd_t)SYSTEM(mq_open(name, O_RDWR | O_TRUNC | O_APPEND | O_DIRECTORY));
    SYSTEM(mq_close(again));
    SYSTEM(mq_close(queue));
    SYSTEM(mq_unlink(name));
}

static void a_descriptor_is_closed_by_exec(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 2, 8);

    CHECK_EQUAL(FD_CLOEXEC, fcntl(queue, F_GETFD));
    SYSTEM(mq_close(queue));
}

static void the_mode_is_masked_by_umask(void)
{
    static const mode_t modes[][3] = {
        {0666, 022, 0644}, {0600, 0, 0600}, {0640, 0, 0640}, {0, 0, 0}, {0666, 0177, 0600}};

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *name = new_name();
        mode_t before = umask(modes[i][1]);
        struct stat status;
        mqd_t queue = (mqd_t)SYSTEM(mq_open(name, O_CREAT | O_RDWR, modes[i][0], NULL));

        umask(before);
        SYSTEM(fstat(queue, &status));
        CHECK_EQUAL(modes[i][2], status.st_mode & 07777);
        CHECK_EQUAL(geteuid(), status.st_uid);
        SYSTEM(mq_close(queue));
        SYSTEM(mq_unlink(name));
    }
}

static void who_may_not_is_refused(void)
{
    const char *name = new_name();
    mqd_t queue;
    pid_t child;

    SKIP_IF(geteuid() != 0, "needs root to become two users");
    queue = make_queue(name, O_RDWR, 2, 8);
    child = start_child();
    if (child == 0) {
        become_user(NOBODY);
        REFUSED(EACCES, mq_open(name, O_RDONLY));
        REFUSED(EACCES, mq_open(name, O_CREAT | O_RDWR, 0600, NULL));
        REFUSED(EEXIST, mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL));
        REFUSED(EACCES, mq_unlink(name));
        CHILD_END;
    }
    JOIN(child);
    SYSTEM(mq_close(queue));
    SYSTEM(mq_unlink(name));
}

static void a_queue_without_a_name_lives_on(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_RDWR, 2, 8), other;
    char byte;

    SYSTEM(mq_send(queue, "1", 1, 0));
    SYSTEM(mq_unlink(name));
    REFUSED(ENOENT, mq_open(name, O_RDWR));
    other = make_queue(name, O_RDWR | O_NONBLOCK, 2, 1);
    REFUSED(EAGAIN, mq_receive(other, &byte, 1, NULL));
    REFUSED(EMSGSIZE, mq_receive(queue, &byte, 1, NULL));
    CHECK_EQUAL(1, attributes_of(queue).mq_curmsgs);
    SYSTEM(mq_close(queue));
    SYSTEM(mq_close(other));
    SYSTEM(mq_unlink(name));
}

static void what_is_closed_is_no_queue(void)
{
    mqd_t queue = unnamed_queue(O_RDWR, 2, 8);
    struct mq_attr attr;
    char bytes[8];

    SYSTEM(mq_close(queue));

    REFUSED(EBADF, mq_close(queue));
    REFUSED(EBADF, mq_send(queue, "1", 1, 0));
    REFUSED(EBADF, mq_receive(queue, bytes, sizeof bytes, NULL));
    REFUSED(EBADF, mq_getattr(queue, &attr));
    REFUSED(EBADF, mq_notify(queue, NULL));
    REFUSED(EBADF, mq_send(-1, "1", 1, 0));
    REFUSED(EBADF, mq_receive(0, bytes, sizeof bytes, NULL));
}

static void a_queue_is_there_for_programs_that_come_later(void)
{
    const char *name = new_name();
    mqd_t queue = make_queue(name, O_WRONLY, 4, 8);
    char bytes[8];
    unsigned prio = 0;

    SYSTEM(mq_send(queue, "low", 3, 1));
    SYSTEM(mq_send(queue, "high", 4, 9));
    SYSTEM(mq_close(queue));
    queue = (mqd_t)SYSTEM(mq_open(name, O_RDONLY));

    CHECK_EQUAL(4, SYSTEM(mq_receive(queue, bytes, sizeof bytes, &prio)));

    CHECK_EQUAL(9, prio);
    CHECK_EQUAL(0, memcmp(bytes, "high", 4));
    SYSTEM(mq_close(queue));
    SYSTEM(mq_unlink(name));
}

int main(void)
{
    check_begin();
    RUN(names_follow_the_rules);
    RUN(sizes_are_those_asked_for);
    RUN(bad_sizes_are_refused);
    RUN(without_sizes_they_are_the_kernels);
    RUN(exclusive_means_that_there_is_none);
    RUN(a_descriptor_is_closed_by_exec);
    RUN(the_mode_is_masked_by_umask);
    RUN(who_may_not_is_refused);
    RUN(a_queue_without_a_name_lives_on);
    RUN(what_is_closed_is_no_queue);
    RUN(a_queue_is_there_for_programs_that_come_later);
    return check_end();
}
