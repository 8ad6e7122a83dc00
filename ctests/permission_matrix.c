/* Who may do what, in every combination of user, group, mode, umask and access: as with a
 * plain file of the same owner and mode that is opened to read and to write, and as with
 * the kernel's queues where those ask for the same. */
#include "check.h"
#include <grp.h>
#include <mqueue.h>
#include <sched.h>

/* Users and groups that own nothing else. */
enum { OWNER = 65520, FELLOW, STRANGER, GROUP, FELLOWS, STRANGERS };
enum { MODES = 01000 };

static const struct identity {
    const char *name;
    uid_t real, effective;
    gid_t group, another_group;
} identities[] = {
    {"the owner", OWNER, OWNER, GROUP, GROUP},
    {"the owner, elsewhere", OWNER, OWNER, STRANGERS, STRANGERS},
    {"the owner by effective user", STRANGER, OWNER, STRANGERS, STRANGERS},
    {"a stranger by effective user", OWNER, STRANGER, STRANGERS, STRANGERS},
    {"a member of the group", FELLOW, FELLOW, GROUP, GROUP},
    {"a member by supplementary group", FELLOW, FELLOW, FELLOWS, GROUP},
    {"a stranger", STRANGER, STRANGER, STRANGERS, STRANGERS},
    {"root", 0, 0, 0, 0},
};

#define FOR_EACH(type, element, array)                                                         \
    for (type element = array; element < array + sizeof array / sizeof *array; element++)

static void become(const struct identity *who)
{
    SYSTEM(setgroups(1, &who->another_group));
    SYSTEM(setresgid(who->group, who->group, who->group));
    SYSTEM(setresuid(who->real, who->effective, who->effective));
}

static const struct identity *const the_owner = identities;

/* Run something as somebody. */
#define AS(who, ...)                     \
    do {                                 \
        pid_t child_ = start_child();    \
        if (child_ == 0) {               \
            become(who);                 \
            __VA_ARGS__;                 \
            CHILD_END;                   \
        }                                \
        JOIN(child_);                    \
    } while (0)

/* The plain file that is compared with a queue lies beside it. */
static const char *plain_file(const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/plain.%s", queue_directory(), name + 1);
    return path;
}

static int open_plain(const char *name, int oflag, mode_t mode)
{
    int fd = open(plain_file(name), oflag | O_CLOEXEC, mode);

    return fd == -1 ? -errno : (close(fd), 0);
}

static void make_plain(const char *name, mode_t mode)
{
    CHECK_EQUAL(0, open_plain(name, O_CREAT | O_EXCL | O_RDWR, mode));
}

/* What unlink said; glibc's mq_unlink makes EACCES of EPERM, and so do we. */
static int unlink_plain(const char *name)
{
    return unlink(plain_file(name)) == 0 ? 0 : errno == EPERM ? -EACCES : -errno;
}

static void compare(const char *who, const char *what, unsigned mode, int64_t expected,
                    int64_t actual)
{
    if (expected != actual)
        FAIL("%s, %s, mode %04o: %" PRId64 ", expected %" PRId64, who, what, mode, actual,
             expected);
}

/* ---- The kernel's queues, without a library ------------------------------------ */

/* A descriptor, or -1. */
static int open_kernel(const char *name, int oflag, mode_t mode)
{
    struct mq_attr attr = {0};

    attr.mq_maxmsg = 1;
    attr.mq_msgsize = 8;
    return (int)syscall(SYS_mq_open, name + 1, oflag, mode, &attr);
}

static int try_kernel(const char *name, int oflag, mode_t mode)
{
    int fd = open_kernel(name, oflag, mode);

    return fd == -1 ? -errno : (close(fd), 0);
}

static int unlink_kernel(const char *name)
{
    return syscall(SYS_mq_unlink, name + 1) == 0 ? 0 : errno == EPERM ? -EACCES : -errno;
}

/* ---- Queues of every mode ------------------------------------------------------- */

static const char *name_of_mode(unsigned mode)
{
    static char name[64];

    snprintf(name, sizeof name, "/matrix-%04o", mode);
    return name;
}

/* 0 or a negative errno; what was made or opened is closed. */
static int try_queue(const char *name, int oflag, unsigned mode, uint64_t flags)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue = NULL;
    int result;

    options.maxmsg = 1;
    options.msgsize = 8;
    options.mode = mode;
    options.flags = flags;
    result = mqrs_open(name, oflag, &options, sizeof options, &queue);
    if (result == 0) {
        int access = oflag & O_ACCMODE;
        char byte;

        /* The direction is kept whatever the file would allow. */
        CHECK_EQUAL(access == O_RDONLY ? -EBADF : 0, mqrs_timedsend(queue, "x", 1, 0, 0));
        if (access == O_RDWR)
            CHECK_EQUAL(1, mqrs_timedreceive(queue, &byte, 1, 0, NULL));
        else if (access == O_RDONLY)
            CHECK_ERROR(EAGAIN, mqrs_timedreceive(queue, &byte, 1, 0, NULL));
        else
            CHECK_ERROR(EBADF, mqrs_timedreceive(queue, &byte, 1, 0, NULL));
        CHECK_OK(mqrs_close(queue));
        if (access == O_WRONLY) {
            CHECK_OK(mqrs_open(name, O_RDWR, NULL, 0, &queue));
            CHECK_EQUAL(1, drain(queue));
            CHECK_OK(mqrs_close(queue));
        }
    }
    return result;
}

static void expect_same_status(const char *name, unsigned mode)
{
    struct stat ours, plain;

    SYSTEM(stat(queue_file(name), &ours));
    SYSTEM(stat(plain_file(name), &plain));
    compare("anybody", "mode", mode, plain.st_mode, ours.st_mode);
    compare("anybody", "uid", mode, plain.st_uid, ours.st_uid);
    compare("anybody", "gid", mode, plain.st_gid, ours.st_gid);
}

static void a_queue_gets_the_mode_that_a_file_would(void)
{
    static const mode_t umasks[] = {0, 022, 027, 077, 0117, 0777};

    SKIP_IF(geteuid() != 0, "needs root to become other users");
    FOR_EACH(const mode_t *, mask, umasks)
        AS(the_owner, {
            umask(*mask);
            for (unsigned mode = 0; mode < MODES; mode++) {
                const char *name = name_of_mode(mode);
                mqrs_queue *queue;
                struct mqrs_options options = {0};

                options.maxmsg = options.msgsize = 1;
                options.mode = mode;
                CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options,
                                   &queue));
                make_plain(name, mode == 0 ? 0600 : mode);
                expect_same_status(name, mode);
                CHECK_EQUAL(0, unlink_plain(name));
                close_and_unlink(queue, name);
            }
        });
}

static void open_every_mode(const char *who)
{
    static const struct {
        const char *name;
        int oflag;
    } accesses[] = {{"to receive", O_RDONLY},
                    {"to send", O_WRONLY},
                    {"to do both", O_RDWR},
                    {"or create", O_RDWR | O_CREAT}};

    for (unsigned mode = 0; mode < MODES; mode++) {
        const char *name = name_of_mode(mode);
        int expected = open_plain(name, O_RDWR, 0);

        CHECK(expected == 0 || expected == -EACCES);
        for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++) {
            int oflag = accesses[i].oflag;

            compare(who, accesses[i].name, mode, expected, try_queue(name, oflag, 0, 0));
        }
        compare(who, "create", mode, -EEXIST, try_queue(name, O_CREAT | O_EXCL | O_RDWR, 0, 0));
    }
}

static void opening_needs_what_a_file_opened_both_ways_needs(void)
{
    SKIP_IF(geteuid() != 0, "needs root to become other users");
    AS(the_owner, {
        umask(0);
        for (unsigned mode = 0; mode < MODES; mode++) {
            struct mqrs_options options = {0};
            mqrs_queue *queue;

            options.maxmsg = 1;
            options.msgsize = 8;
            options.mode = mode;
            options.flags = MQRS_OPT_EXACT_MODE;
            CHECK_OK(mqrs_open(name_of_mode(mode), O_CREAT | O_EXCL | O_RDWR, &options,
                               sizeof options, &queue));
            make_plain(name_of_mode(mode), mode);
            CHECK_OK(mqrs_close(queue));
        }
    });
    FOR_EACH(const struct identity *, who, identities)
        AS(who, open_every_mode(who->name));
    for (unsigned mode = 0; mode < MODES; mode++) {
        CHECK_EQUAL(0, unlink_plain(name_of_mode(mode)));
        CHECK_OK(mqrs_unlink(name_of_mode(mode)));
    }
}

/* The kernel's own queues ask only for what the direction needs; opened for both, they and
 * ours agree. Bits to execute mean nothing to either. */
static void the_kernels_queues_agree(void)
{
    pid_t child;

    SKIP_IF(geteuid() != 0, "needs root to become other users");
    SKIP_IF(open_kernel("/", O_RDWR, 0) == -1 && errno == ENOSYS, "no queues in this kernel");
    if ((child = start_child()) == 0) {
        /* With limits of our own. */
        SYSTEM(unshare(CLONE_NEWIPC));
        umask(0);
        for (unsigned mode = 0; mode < MODES; mode++) {
            const char *name = name_of_mode(mode);

            if (mode & 0111)
                continue;
            AS(the_owner, {
                SYSTEM(open_kernel(name, O_CREAT | O_EXCL | O_RDWR, mode));
                CHECK_EQUAL(0, try_queue(name, O_CREAT | O_EXCL | O_RDWR, mode,
                                         MQRS_OPT_EXACT_MODE));
            });
        }
        FOR_EACH(const struct identity *, who, identities)
            AS(who, {
                for (unsigned mode = 0; mode < MODES; mode++) {
                    const char *name = name_of_mode(mode);
                    int expected;

                    if (mode & 0111)
                        continue;
                    expected = try_kernel(name, O_RDWR, 0);
                    CHECK(expected == 0 || expected == -EACCES);
                    compare(who->name, "open", mode, expected, try_queue(name, O_RDWR, 0, 0));
                    compare(who->name, "open or create", mode,
                            try_kernel(name, O_RDWR | O_CREAT, 0600),
                            try_queue(name, O_RDWR | O_CREAT, 0600, 0));
                    compare(who->name, "create", mode,
                            try_kernel(name, O_RDWR | O_CREAT | O_EXCL, 0600),
                            try_queue(name, O_RDWR | O_CREAT | O_EXCL, 0600, 0));
                    if (who->effective != OWNER && who->effective != 0)
                        compare(who->name, "unlink", mode, unlink_kernel(name),
                                mqrs_unlink(name));
                }
            });
        for (unsigned mode = 0; mode < MODES; mode++)
            if (!(mode & 0111))
                AS(the_owner, compare("the owner", "unlink", mode,
                                      unlink_kernel(name_of_mode(mode)),
                                      mqrs_unlink(name_of_mode(mode))));
        CHILD_END;
    }
    JOIN(child);
}

/* ---- Directories of every mode --------------------------------------------------- */

/* A name that is somebody's, as a queue and as a file. */
static void make_both(const char *name, uid_t uid, gid_t gid)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue;

    options.maxmsg = options.msgsize = 1;
    CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue));
    CHECK_OK(mqrs_set_owner(queue, 0666, uid, gid));
    CHECK_OK(mqrs_close(queue));
    make_plain(name, 0666);
    SYSTEM(chown(plain_file(name), uid, gid));
}

static void use_directory(const struct identity *who, unsigned mode)
{
    static const char *const names[] = {"/own", "/owners", "/foreign", "/none"};
    static const int oflags[] = {O_RDWR, O_CREAT | O_EXCL | O_RDWR, O_CREAT | O_RDWR};

    FOR_EACH(const char *const *, name, names) {
        FOR_EACH(const int *, oflag, oflags) {
            int expected = open_plain(*name, *oflag, 0600);

            /* Somebody else's file in a sticky directory may be opened, but not with O_CREAT
             * (fs.protected_regular); a queue may. */
            if (expected == -EACCES && *oflag == (O_CREAT | O_RDWR))
                expected = open_plain(*name, O_RDWR, 0) == 0 ? 0 : expected;
            compare(who->name, *name, mode, expected, try_queue(*name, *oflag, 0600, 0));
        }
        compare(who->name, "unlink", mode, unlink_plain(*name), mqrs_unlink(*name));
        compare(who->name, "unlink again", mode, unlink_plain(*name), mqrs_unlink(*name));
    }
}

static void directories_allow_what_they_allow_of_files(void)
{
    static const unsigned classes[] = {0111, 0100, 0010, 0001};
    char above[PATH_MAX], path[PATH_MAX + 16];

    SKIP_IF(geteuid() != 0, "needs root to become other users");
    umask(0);
    snprintf(above, sizeof above, "%s", queue_directory());
    snprintf(path, sizeof path, "%s/directory", above);
    SYSTEM(setenv("MQRS_DIR", path, 1));
    FOR_EACH(const struct identity *, who, identities)
        FOR_EACH(const unsigned *, class, classes)
            for (unsigned mode = 0; mode < 020; mode++) {
                unsigned all = (mode & 7) * *class | (mode & 8 ? S_ISVTX : 0);

                SYSTEM(mkdir(path, 0755));
                make_both("/own", who->effective, who->group);
                make_both("/owners", OWNER, GROUP);
                make_both("/foreign", 1, 1);
                SYSTEM(chown(path, OWNER, GROUP));
                SYSTEM(chmod(path, all));
                AS(who, use_directory(who, all));
                for (const char *const *name = (const char *[]){"/own", "/owners", "/foreign",
                                                                "/none", NULL}; *name; name++) {
                    unlink_plain(*name);
                    mqrs_unlink(*name);
                }
                SYSTEM(rmdir(path));
            }
    SYSTEM(setenv("MQRS_DIR", above, 1));
}

/* ---- Changing owner and mode ----------------------------------------------------- */

static int change_plain(const char *name, uint32_t mode, uid_t uid, gid_t gid)
{
    struct stat before;

    SYSTEM(stat(plain_file(name), &before));
    if (mode != UINT32_MAX && chmod(plain_file(name), mode) == -1)
        return -errno;
    if (chown(plain_file(name), uid, gid) == 0)
        return 0;
    CHECK_EQUAL(EPERM, errno);
    chmod(plain_file(name), before.st_mode);
    return -EPERM;
}

static void an_owner_changes_what_he_could_of_a_file(void)
{
    static const uint32_t modes[] = {UINT32_MAX, 0, 0600, 0660, 0777};
    static const uint32_t uids[] = {UINT32_MAX, OWNER, FELLOW, STRANGER, 0};
    static const uint32_t gids[] = {UINT32_MAX, GROUP, FELLOWS, STRANGERS, 0};
    const char *name = "/changed";

    SKIP_IF(geteuid() != 0, "needs root to become other users");
    umask(0);
    FOR_EACH(const struct identity *, who, identities) {
        int changes = 0;

        FOR_EACH(const uint32_t *, mode, modes)
            FOR_EACH(const uint32_t *, uid, uids)
                FOR_EACH(const uint32_t *, gid, gids) {
                    make_both(name, OWNER, GROUP);
                    AS(who, {
                        mqrs_queue *queue = open_queue(name, O_RDONLY);

                        compare(who->name, "change", *mode, change_plain(name, *mode, *uid, *gid),
                                mqrs_set_owner(queue, *mode, *uid, *gid));
                    });
                    expect_same_status(name, *mode);
                    CHECK_EQUAL(0, unlink_plain(name));
                    CHECK_OK(mqrs_unlink(name));
                    changes++;
                }
        CHECK_EQUAL(125, changes);
    }
}

int main(void)
{
    check_begin();
    RUN(a_queue_gets_the_mode_that_a_file_would);
    RUN(opening_needs_what_a_file_opened_both_ways_needs);
    RUN(the_kernels_queues_agree);
    RUN(directories_allow_what_they_allow_of_files);
    RUN(an_owner_changes_what_he_could_of_a_file);
    return check_end();
}
