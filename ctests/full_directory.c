/* The directory of the queues is full, missing, read-only or not writable: creating fails
 * with the reason and leaves nothing behind; queues that exist go on. */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

static mqrs_queue *const UNTOUCHED = (mqrs_queue *)0x5A5A;

/* Creating fails, of whatever size. */
static void refuse(int expected, uint64_t maxmsg, uint64_t msgsize)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue = UNTOUCHED;

    options.maxmsg = maxmsg;
    options.msgsize = msgsize;
    CHECK_ERROR(expected, mqrs_open("/refused", O_CREAT | O_RDWR, &options, sizeof options, &queue));
    CHECK_ERROR(expected, mqrs_open("/refused", O_CREAT | O_EXCL | O_WRONLY, &options,
                                    sizeof options, &queue));
    CHECK(queue == UNTOUCHED);
}

/* A directory below the given one; the queues are there from now on. */
static const char *enter_directory(const char *name)
{
    static char paths[2][PATH_MAX];
    static unsigned count;
    char *path = paths[count++ % 2];

    snprintf(path, PATH_MAX, "%s/%s", queue_directory(), name);
    if (mkdir(path, 0755) == -1)
        CHECK_EQUAL(EEXIST, errno);
    SYSTEM(setenv("MQRS_DIR", path, 1));
    return path;
}

static int may_mount(void)
{
    pid_t child = start_child();
    int status;

    if (child == 0)
        _exit(unshare(CLONE_NEWNS) == -1);
    SYSTEM(waitpid(child, &status, 0));
    return status == 0;
}

/* Run a behaviour in a child that sees a file system of its own, mounted with these options,
 * as the directory of the queues. */
static void on_a_small_file_system(const char *options, void (*behaviour)(const char *path))
{
    pid_t child = start_child();

    if (child == 0) {
        const char *path = enter_directory("mounted");

        SYSTEM(unshare(CLONE_NEWNS));
        SYSTEM(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL));
        SYSTEM(mount("tmpfs", path, "tmpfs", 0, options));
        behaviour(path);
        CHILD_END;
    }
    JOIN(child);
}

static void fill_file_system(const char *path)
{
    char file[PATH_MAX], block[1024] = "";
    int fd;

    snprintf(file, sizeof file, "%.4000s/ballast", path);
    fd = (int)SYSTEM(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    while (write(fd, block, sizeof block) > 0)
        ;
    CHECK_EQUAL(ENOSPC, errno);
    close(fd);
}

static void create_too_large(const char *path)
{
    refuse(ENOSPC, 64, 8192);
    refuse(ENOSPC, 1000000, 1024);
    CHECK_EQUAL(0, count_entries(path));

    /* All is there again, for one that fits. */
    mqrs_queue *queue = create_queue("/fits", 4, 64, 0);
    CHECK_EQUAL(4, fill(queue));
    close_and_unlink(queue, "/fits");
    CHECK_EQUAL(0, count_entries(path));
}

static void a_full_file_system_is_enospc_and_nothing_is_left(void)
{
    SKIP_IF(!may_mount(), "needs the right to mount a file system");
    on_a_small_file_system("size=256k", create_too_large);
}

static void use_while_full(const char *path)
{
    mqrs_queue *queue = create_queue("/first", 16, 1000, 0), *other;
    char buffer[1000];

    fill_file_system(path);
    memset(buffer, 'b', sizeof buffer);
    /* Every page of it is touched, and no SIGBUS comes. */
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 16; i++)
            CHECK_OK(mqrs_timedsend(queue, buffer, sizeof buffer, i % 3, MQRS_NOWAIT));
        CHECK_EQUAL(16, drain(queue));
    }
    other = open_queue("/first", O_RDWR);
    CHECK_EQUAL(16, fill(other));
    CHECK_OK(mqrs_close(other));
    refuse(ENOSPC, 1, 1);
    CHECK_EQUAL(2, count_entries(path));
    close_and_unlink(queue, "/first");
}

static void queues_that_exist_go_on_when_it_is_full(void)
{
    SKIP_IF(!may_mount(), "needs the right to mount a file system");
    on_a_small_file_system("size=256k", use_while_full);
}

static void create_without_inodes(const char *path)
{
    refuse(ENOSPC, 1, 1);
    CHECK_EQUAL(0, count_entries(path));
}

static void a_file_system_without_free_inodes_is_enospc(void)
{
    SKIP_IF(!may_mount(), "needs the right to mount a file system");
    on_a_small_file_system("size=1m,nr_inodes=1", create_without_inodes);
}

static void use_read_only(const char *path)
{
    mqrs_queue *queue = create_queue("/made-before", 4, 64, 0), *other = UNTOUCHED;
    const char *view = enter_directory("view");

    /* A second view of it that is read-only: the first is in use for writing. */
    SYSTEM(mount(path, view, "none", MS_BIND, NULL));
    SYSTEM(mount("none", view, "none", MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    refuse(EROFS, 4, 64);
    CHECK_ERROR(EROFS, mqrs_unlink("/made-before"));
    CHECK_ERROR(EROFS, mqrs_open("/made-before", O_RDWR, NULL, 0, &other));
    CHECK(other == UNTOUCHED);
    /* What was open before needs the file system no more. */
    CHECK_EQUAL(4, fill(queue));
    CHECK_EQUAL(4, drain(queue));
    CHECK_OK(mqrs_close(queue));
}

static void a_read_only_file_system_is_erofs(void)
{
    SKIP_IF(!may_mount(), "needs the right to mount a file system");
    on_a_small_file_system("size=256k", use_read_only);
}

static void a_missing_directory_is_enoent(void)
{
    pid_t child = start_child();

    if (child == 0) {
        struct mqrs_limits limits;
        mqrs_queue *queue;

        CHECK_OK(mqrs_getlimits(MQRS_SHM, &limits, sizeof limits));
        CHECK_EQUAL(0, limits.unavailable);
        SYSTEM(setenv("MQRS_DIR", "/nowhere/at/all", 1));
        CHECK_OK(mqrs_getlimits(MQRS_SHM, &limits, sizeof limits));
        CHECK_EQUAL(ENOENT, limits.unavailable);
        refuse(ENOENT, 4, 64);
        CHECK_ERROR(ENOENT, mqrs_open("/x", O_RDWR, NULL, 0, &queue));
        CHECK_ERROR(ENOENT, mqrs_unlink("/x"));
        CHILD_END;
    }
    JOIN(child);
}

static void a_file_instead_of_a_directory_is_enotdir(void)
{
    pid_t child = start_child();

    if (child == 0) {
        mqrs_queue *queue;

        SYSTEM(setenv("MQRS_DIR", "/proc/self/exe", 1));
        refuse(ENOTDIR, 4, 64);
        CHECK_ERROR(ENOTDIR, mqrs_open("/x", O_RDWR, NULL, 0, &queue));
        CHECK_ERROR(ENOTDIR, mqrs_unlink("/x"));
        CHILD_END;
    }
    JOIN(child);
}

static void a_directory_of_another_user_is_eacces(void)
{
    pid_t child;

    SKIP_IF(geteuid() != 0, "needs root to become another user");
    if ((child = start_child()) == 0) {
        const char *path = enter_directory("foreign");

        become_user(NOBODY);
        refuse(EACCES, 4, 64);
        CHECK_EQUAL(0, count_entries(path));
        CHILD_END;
    }
    JOIN(child);
}

static void queues_are_files_of_the_directory_that_is_named(void)
{
    pid_t child = start_child();

    if (child == 0) {
        const char *path = enter_directory("named");
        mqrs_queue *queue = create_queue("/here", 4, 64, 0);

        CHECK_EQUAL(1, count_entries(path));
        SYSTEM(access(queue_file("/here"), R_OK | W_OK));
        close_and_unlink(queue, "/here");
        CHILD_END;
    }
    JOIN(child);
}

static void remove_directories(void)
{
    static const char *const names[] = {"mounted", "foreign", "named"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", queue_directory(), names[i]);
        if (rmdir(path) == -1)
            CHECK_EQUAL(ENOENT, errno);
    }
}

int main(void)
{
    check_begin();
    RUN(a_full_file_system_is_enospc_and_nothing_is_left);
    RUN(queues_that_exist_go_on_when_it_is_full);
    RUN(a_file_system_without_free_inodes_is_enospc);
    RUN(a_read_only_file_system_is_erofs);
    RUN(a_missing_directory_is_enoent);
    RUN(a_file_instead_of_a_directory_is_enotdir);
    RUN(a_directory_of_another_user_is_eacces);
    RUN(queues_are_files_of_the_directory_that_is_named);
    remove_directories();
    return check_end();
}
