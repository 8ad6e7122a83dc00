/* Who may open and unlink a queue, and whose it is. Most of it takes two users, which only
 * root can be. */
#include "check.h"

static int is_root(void)
{
    return geteuid() == 0;
}

static mqrs_queue *create_with_mode(const char *name, uint32_t mode, uint64_t flags)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue;

    options.mode = mode;
    options.flags = flags;
    CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue));
    return queue;
}

static void expect_mode(const mqrs_queue *queue, const char *name, uint32_t mode)
{
    struct mqrs_attr attr;
    struct stat status;

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(mode, attr.mode);
    SYSTEM(stat(queue_file(name), &status));
    CHECK_EQUAL(mode, status.st_mode & 07777);
}

static void expect_use(mqrs_queue *queue)
{
    send_text(queue, "usable", 0);
    EXPECT_TEXT(queue, "usable", 0);
}

/* What another user meets who opens for any direction. */
static void expect_from(unsigned uid, const char *name, int expected)
{
    static const int oflags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_CREAT | O_RDWR};
    pid_t child = start_child();

    if (child == 0) {
        become_user(uid);
        for (size_t i = 0; i < sizeof oflags / sizeof *oflags; i++) {
            mqrs_queue *queue = NULL;
            int result = mqrs_open(name, oflags[i], NULL, 0, &queue);

            CHECK_EQUAL(-expected, result);
            if (result == 0)
                CHECK_OK(mqrs_close(queue));
            else
                CHECK(mqrs_last_error(NULL, 0) > 0);
        }
        CHECK_ERROR(EEXIST, mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, NULL, 0,
                                      (mqrs_queue *[1]){NULL}));
        CHILD_END;
    }
    JOIN(child);
}

static void the_mode_is_0600_unless_asked(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_with_mode(name, 0, 0);

    expect_mode(queue, name, 0600);
    close_and_unlink(queue, name);
}

static void the_umask_takes_bits_away(void)
{
    static const struct {
        mode_t umask;
        uint32_t asked, given;
    } cases[] = {
        {022, 0666, 0644}, {0, 0666, 0666}, {077, 0777, 0700}, {027, 0660, 0640}, {066, 0, 0600},
    };
    mode_t before = umask(0);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *name = new_name();
        mqrs_queue *queue;

        umask(cases[i].umask);
        queue = create_with_mode(name, cases[i].asked, 0);
        expect_mode(queue, name, cases[i].given);
        expect_use(queue);
        close_and_unlink(queue, name);
    }
    umask(before);
}

static void an_exact_mode_is_not_masked(void)
{
    static const uint32_t modes[] = {0666, 0777, 0660, 0600, 0400, 0200, 0};
    mode_t before = umask(077);

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *name = new_name();
        mqrs_queue *queue = create_with_mode(name, modes[i], MQRS_OPT_EXACT_MODE);

        expect_mode(queue, name, modes[i]);
        expect_use(queue);
        close_and_unlink(queue, name);
    }
    umask(before);
}

static void the_creator_has_access_whatever_the_mode(void)
{
    static const uint32_t modes[] = {0400, 0200, 0044, 0};

    SKIP_IF(!is_root(), "needs root to become an ordinary user");
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        pid_t child = start_child();

        if (child == 0) {
            const char *name = new_name();
            mqrs_queue *queue, *again;

            become_user(NOBODY);
            queue = create_with_mode(name, modes[i], MQRS_OPT_EXACT_MODE);
            expect_use(queue);
            /* The child of a fork goes on with it, */
            if ((child = start_child()) == 0) {
                expect_use(queue);
                CHILD_END;
            }
            JOIN(child);
            /* but opening it anew is for the mode to allow. */
            CHECK_ERROR(EACCES, mqrs_open(name, O_RDWR, NULL, 0, &again));
            CHECK_ERROR(EACCES, mqrs_open(name, O_RDONLY, NULL, 0, &again));
            CHECK_ERROR(EACCES, mqrs_open(name, O_CREAT | O_WRONLY, NULL, 0, &again));
            close_and_unlink(queue, name);
            CHILD_END;
        }
        JOIN(child);
    }
}

static void others_need_read_and_write_permission(void)
{
    static const struct {
        uint32_t mode;
        int error;
    } cases[] = {{0600, EACCES}, {0644, EACCES}, {0622, EACCES}, {0660, EACCES}, {0666, 0},
                 {0606, 0},      {0006, 0}};

    SKIP_IF(!is_root(), "needs root to become another user");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *name = new_name();
        mqrs_queue *queue = create_with_mode(name, cases[i].mode, MQRS_OPT_EXACT_MODE);

        expect_from(NOBODY, name, cases[i].error);
        close_and_unlink(queue, name);
    }
}

static void messages_pass_between_different_users(void)
{
    const char *name = new_name();
    mqrs_queue *queue;
    pid_t child;

    SKIP_IF(!is_root(), "needs root to become another user");
    queue = create_with_mode(name, 0666, MQRS_OPT_EXACT_MODE);
    if ((child = start_child()) == 0) {
        char buffer[8192];
        mqrs_queue *own;

        become_user(NOBODY);
        own = open_queue(name, O_RDWR);
        CHECK_EQUAL(4, mqrs_receive(own, buffer, sizeof buffer, NULL));
        send_text(own, "answer", 1);
        CHILD_END;
    }
    wait_until_asleep(child);
    send_text(queue, "wake", 0);
    JOIN(child);
    EXPECT_TEXT(queue, "answer", 1);
    close_and_unlink(queue, name);
}

static void a_sticky_directory_keeps_others_from_unlinking(void)
{
    const char *name = new_name();
    struct stat status;
    mqrs_queue *queue;
    pid_t child;

    SKIP_IF(!is_root(), "needs root to become another user");
    SYSTEM(stat(queue_directory(), &status));
    SKIP_IF(!(status.st_mode & S_ISVTX), "the directory of the queues is not sticky");
    queue = create_with_mode(name, 0666, MQRS_OPT_EXACT_MODE);
    if ((child = start_child()) == 0) {
        become_user(NOBODY);
        CHECK_ERROR(EACCES, mqrs_unlink(name));
        CHILD_END;
    }
    JOIN(child);
    close_and_unlink(open_queue(name, O_RDWR), name);
    CHECK_OK(mqrs_close(queue));
}

static void a_queue_belongs_to_its_creator(void)
{
    pid_t child;

    SKIP_IF(!is_root(), "needs root to become another user");
    if ((child = start_child()) == 0) {
        const char *name = new_name();
        struct mqrs_attr attr;
        mqrs_queue *queue;

        SYSTEM(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
        SYSTEM(setresuid(NOBODY, NOBODY, NOBODY));
        queue = create_with_mode(name, 0, 0);
        CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
        CHECK_EQUAL(NOBODY, attr.uid);
        CHECK_EQUAL(SOMEBODY, attr.gid);
        close_and_unlink(queue, name);
        CHILD_END;
    }
    JOIN(child);
}

static void the_owner_may_change_the_mode(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_with_mode(name, 0600, MQRS_OPT_EXACT_MODE);
    struct mqrs_attr before, after;

    CHECK_OK(mqrs_getattr(queue, &before, sizeof before));
    CHECK_OK(mqrs_set_owner(queue, 0660, UINT32_MAX, UINT32_MAX));
    expect_mode(queue, name, 0660);
    CHECK_OK(mqrs_set_owner(queue, UINT32_MAX, UINT32_MAX, UINT32_MAX));
    expect_mode(queue, name, 0660);
    CHECK_OK(mqrs_set_owner(queue, 0, UINT32_MAX, UINT32_MAX));
    expect_mode(queue, name, 0);
    CHECK_ERROR(EINVAL, mqrs_set_owner(queue, 01600, UINT32_MAX, UINT32_MAX));
    CHECK_ERROR(EINVAL, mqrs_set_owner(queue, UINT32_MAX - 1, UINT32_MAX, UINT32_MAX));
    expect_mode(queue, name, 0);
    expect_use(queue);
    CHECK_OK(mqrs_getattr(queue, &after, sizeof after));
    CHECK_EQUAL(before.uid, after.uid);
    CHECK_EQUAL(before.gid, after.gid);
    close_and_unlink(queue, name);
}

static void root_may_give_a_queue_away(void)
{
    const char *name = new_name();
    struct mqrs_attr attr;
    mqrs_queue *queue;
    pid_t child;

    SKIP_IF(!is_root(), "needs root to give a file away");
    queue = create_with_mode(name, 0600, 0);
    expect_from(NOBODY, name, EACCES);
    CHECK_OK(mqrs_set_owner(queue, UINT32_MAX, NOBODY, UINT32_MAX));
    CHECK_OK(mqrs_set_owner(queue, UINT32_MAX, UINT32_MAX, SOMEBODY));
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(NOBODY, attr.uid);
    CHECK_EQUAL(SOMEBODY, attr.gid);
    CHECK_EQUAL(0600, attr.mode);
    expect_from(NOBODY, name, 0);
    expect_from(SOMEBODY, name, EACCES);

    /* All three at once, the mode being the new owner's. */
    CHECK_OK(mqrs_set_owner(queue, 0640, SOMEBODY, NOBODY));
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(SOMEBODY, attr.uid);
    CHECK_EQUAL(NOBODY, attr.gid);
    expect_mode(queue, name, 0640);
    expect_use(queue);

    /* The new owner may unlink it. */
    if ((child = start_child()) == 0) {
        become_user(SOMEBODY);
        CHECK_OK(mqrs_unlink(name));
        CHILD_END;
    }
    JOIN(child);
    CHECK_OK(mqrs_close(queue));
}

static void a_user_may_change_neither_foreign_queues_nor_give_his_own_away(void)
{
    const char *name = new_name();
    mqrs_queue *queue;
    pid_t child;

    SKIP_IF(!is_root(), "needs root to become another user");
    queue = create_with_mode(name, 0666, MQRS_OPT_EXACT_MODE);
    if ((child = start_child()) == 0) {
        const char *own_name = new_name();
        mqrs_queue *foreign, *own;

        become_user(NOBODY);
        foreign = open_queue(name, O_RDWR);
        CHECK_ERROR(EPERM, mqrs_set_owner(foreign, 0600, UINT32_MAX, UINT32_MAX));
        CHECK_ERROR(EPERM, mqrs_set_owner(foreign, UINT32_MAX, NOBODY, UINT32_MAX));
        expect_mode(foreign, name, 0666);
        own = create_with_mode(own_name, 0600, 0);
        CHECK_ERROR(EPERM, mqrs_set_owner(own, UINT32_MAX, SOMEBODY, UINT32_MAX));
        /* All or nothing: the mode alone would have been allowed. */
        CHECK_ERROR(EPERM, mqrs_set_owner(own, 0666, SOMEBODY, UINT32_MAX));
        expect_mode(own, own_name, 0600);
        CHECK_OK(mqrs_set_owner(own, 0666, UINT32_MAX, UINT32_MAX));
        expect_mode(own, own_name, 0666);
        close_and_unlink(own, own_name);
        CHILD_END;
    }
    JOIN(child);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    umask(022);
    RUN(the_mode_is_0600_unless_asked);
    RUN(the_umask_takes_bits_away);
    RUN(an_exact_mode_is_not_masked);
    RUN(the_creator_has_access_whatever_the_mode);
    RUN(others_need_read_and_write_permission);
    RUN(messages_pass_between_different_users);
    RUN(a_sticky_directory_keeps_others_from_unlinking);
    RUN(a_queue_belongs_to_its_creator);
    RUN(the_owner_may_change_the_mode);
    RUN(root_may_give_a_queue_away);
    RUN(a_user_may_change_neither_foreign_queues_nor_give_his_own_away);
    return check_end();
}
