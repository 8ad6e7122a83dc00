/* A set-user-ID program ignores MQRS_DIR: its caller must not choose where its queues lie. */
#include "check.h"
#include <sys/auxv.h>

static const char *const DEFAULT_DIRECTORY = "/dev/shm";

/* The program with other rights than its caller. */
static int create_somewhere(const char *name)
{
    char path[PATH_MAX];
    mqrs_queue *queue;

    if (!getauxval(AT_SECURE))
        return CHECK_SKIPPED;
    CHECK(getenv("MQRS_DIR") != NULL);
    queue = create_queue(name, 1, 8, 0);
    CHECK_EQUAL(-1, access(queue_file(name), F_OK));
    snprintf(path, sizeof path, "%s/mqrs.%s", DEFAULT_DIRECTORY, name + 1);
    SYSTEM(access(path, F_OK));
    close_and_unlink(queue, name);
    return 0;
}

/* A copy of this program beside it, set-user-ID of somebody else. */
static void copy_program(const char *path)
{
    int from = (int)SYSTEM(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    int to = (int)SYSTEM(open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755));
    char block[65536];
    ssize_t len;

    while ((len = SYSTEM(read(from, block, sizeof block))) > 0)
        CHECK_EQUAL(len, SYSTEM(write(to, block, (size_t)len)));
    SYSTEM(fchown(to, NOBODY, NOBODY));
    SYSTEM(fchmod(to, 04755));
    close(from);
    close(to);
}

static void the_directory_of_the_caller_is_ignored(void)
{
    char path[PATH_MAX];
    const char *name = new_name();
    ssize_t len = SYSTEM(readlink("/proc/self/exe", path, sizeof path - 16));
    int status;
    pid_t child;

    SKIP_IF(geteuid() != 0, "needs root to make a set-user-ID program");
    SKIP_IF(strcmp(queue_directory(), DEFAULT_DIRECTORY) == 0, "MQRS_DIR is not set");
    SKIP_IF(access(DEFAULT_DIRECTORY, W_OK) == -1, "there is no /dev/shm");
    strcpy(path + len, ".set-uid");
    copy_program(path);
    if ((child = start_child()) == 0) {
        execl(path, path, "create", name, (char *)NULL);
        _exit(CHECK_SKIPPED);
    }
    SYSTEM(waitpid(child, &status, 0));
    SYSTEM(unlink(path));
    SKIP_IF(WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIPPED,
            "set-user-ID has no effect here");
    CHECK_EQUAL(0, status);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return create_somewhere(argv[2]);
    check_begin();
    RUN(the_directory_of_the_caller_is_ignored);
    return check_end();
}
