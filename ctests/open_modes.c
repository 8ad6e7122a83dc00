/* mqrs_open: what exists, what is created, of which size, and what is refused. */
#include "check.h"

static mqrs_queue *const UNTOUCHED = (mqrs_queue *)0x5A5A;

/* Opening fails with this errno, hands out nothing and makes no file. */
static void refuse(int expected, const char *name, int oflag, const struct mqrs_options *options)
{
    mqrs_queue *queue = UNTOUCHED;
    unsigned files = count_entries(queue_directory());

    CHECK_ERROR(expected, mqrs_open(name, oflag, options, options ? sizeof *options : 0, &queue));
    CHECK(queue == UNTOUCHED);
    CHECK_EQUAL(files, count_entries(queue_directory()));
}

static void a_missing_queue_is_enoent_without_o_creat(void)
{
    refuse(ENOENT, new_name(), O_RDONLY, NULL);
    refuse(ENOENT, new_name(), O_WRONLY | O_NONBLOCK, NULL);
    refuse(ENOENT, new_name(), O_RDWR, NULL);
}

static void o_creat_makes_a_missing_queue_and_opens_an_existing_one(void)
{
    const char *name = new_name();
    mqrs_queue *made = open_queue(name, O_CREAT | O_RDWR), *opened;

    send_text(made, "kept", 0);
    opened = open_queue(name, O_CREAT | O_RDWR);
    EXPECT_TEXT(opened, "kept", 0);
    CHECK_OK(mqrs_close(opened));
    close_and_unlink(made, name);
}

static void o_excl_refuses_an_existing_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = open_queue(name, O_CREAT | O_EXCL | O_RDWR);

    send_text(queue, "kept", 0);
    refuse(EEXIST, name, O_CREAT | O_EXCL | O_RDWR, NULL);
    EXPECT_TEXT(queue, "kept", 0);
    close_and_unlink(queue, name);
}

static void each_access_mode_opens(void)
{
    static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};
    const char *name = new_name();
    mqrs_queue *queue = open_queue(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC);
    struct mqrs_attr attr;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        mqrs_queue *other = open_queue(name, modes[i]);

        CHECK_OK(mqrs_getattr(other, &attr, sizeof attr));
        CHECK_EQUAL(modes[i], attr.flags);
        CHECK_OK(mqrs_close(other));
        other = open_queue(name, modes[i] | O_NONBLOCK | O_CLOEXEC);
        CHECK_OK(mqrs_getattr(other, &attr, sizeof attr));
        CHECK_EQUAL(modes[i] | O_NONBLOCK, attr.flags);
        CHECK_OK(mqrs_close(other));
    }
    close_and_unlink(queue, name);
}

static void other_open_flags_are_refused(void)
{
    static const int flags[] = {
        O_ACCMODE,          O_EXCL | O_RDWR,      O_TRUNC | O_RDWR,   O_APPEND | O_RDWR,
        O_DIRECTORY,        O_NOFOLLOW | O_RDWR,  O_SYNC | O_RDWR,    O_NOCTTY | O_RDWR,
        O_PATH,             O_TMPFILE | O_RDWR,   O_ASYNC | O_RDWR,   O_CREAT | O_ACCMODE,
        O_RDWR | (1 << 30), INT_MIN,              -1,
    };
    const char *name = new_name();
    mqrs_queue *queue = open_queue(name, O_CREAT | O_RDWR);

    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        refuse(EINVAL, name, flags[i], NULL);
        refuse(EINVAL, new_name(), flags[i], NULL);
    }
    close_and_unlink(queue, name);
}

static void expect_size(const mqrs_queue *queue, uint64_t maxmsg, uint64_t msgsize)
{
    struct mqrs_attr attr;

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_EQUAL(maxmsg, attr.maxmsg);
    CHECK_EQUAL(msgsize, attr.msgsize);
}

static void zero_means_64_messages_of_8192_bytes(void)
{
    static const struct {
        uint64_t maxmsg, msgsize, is_maxmsg, is_msgsize;
    } sizes[] = {{0, 0, 64, 8192}, {5, 0, 5, 8192}, {0, 100, 64, 100}, {3, 7, 3, 7}};
    const char *name = new_name();
    mqrs_queue *queue = open_queue(name, O_CREAT | O_RDWR);
    char buffer[8192] = "";

    expect_size(queue, 64, 8192);
    CHECK_OK(mqrs_send(queue, buffer, 8192, 0));
    CHECK_EQUAL(8192, mqrs_receive(queue, buffer, 8192, NULL));
    CHECK_EQUAL(64, fill(queue));
    close_and_unlink(queue, name);

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        queue = create_queue(name, sizes[i].maxmsg, sizes[i].msgsize, 0);
        expect_size(queue, sizes[i].is_maxmsg, sizes[i].is_msgsize);
        close_and_unlink(queue, name);
    }
}

static void an_existing_queue_keeps_its_size(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 3, 100, 0), *other;
    struct mqrs_options options = {0};
    struct mqrs_attr attr;

    options.maxmsg = 50;
    options.msgsize = 4096;
    options.mode = 0777;
    CHECK_OK(mqrs_open(name, O_CREAT | O_RDWR, &options, sizeof options, &other));
    expect_size(other, 3, 100);
    CHECK_OK(mqrs_getattr(other, &attr, sizeof attr));
    CHECK_EQUAL(0600, attr.mode);
    CHECK_EQUAL(3, fill(other));
    CHECK_ERROR(EMSGSIZE, mqrs_timedsend(other, "", 101, 0, MQRS_NOWAIT));
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, name);
}

static void sizes_beyond_the_limits_are_refused(void)
{
    struct mqrs_limits limits;
    struct mqrs_options options = {0};

    CHECK_OK(mqrs_getlimits(MQRS_SHM, &limits, sizeof limits));
    CHECK(limits.maxmsg_max >= 1000000);
    CHECK(limits.msgsize_max >= UINT64_C(1) << 30);

    options.maxmsg = limits.maxmsg_max + 1;
    refuse(EINVAL, new_name(), O_CREAT | O_RDWR, &options);
    options.maxmsg = UINT32_MAX + UINT64_C(1);
    refuse(EINVAL, new_name(), O_CREAT | O_RDWR, &options);
    options.maxmsg = UINT64_MAX;
    refuse(EINVAL, new_name(), O_CREAT | O_RDWR, &options);

    options.maxmsg = 1;
    options.msgsize = limits.msgsize_max + 1;
    refuse(EINVAL, new_name(), O_CREAT | O_RDWR, &options);
    options.msgsize = UINT32_MAX + UINT64_C(1);
    refuse(EINVAL, new_name(), O_CREAT | O_RDWR, &options);
    options.msgsize = UINT64_MAX;
    refuse(EINVAL, new_name(), O_CREAT | O_RDWR, &options);
}

static void a_million_messages_fit_into_a_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1000000, 8, 0);

    expect_size(queue, 1000000, 8);
    CHECK_EQUAL(1000000, fill(queue));
    CHECK_EQUAL(1000000, messages_in(queue));
    CHECK_EQUAL(1000000, drain(queue));
    close_and_unlink(queue, name);
}

static void a_queue_larger_than_the_memory_is_refused_and_leaves_nothing(void)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue = UNTOUCHED;
    unsigned files = count_entries(queue_directory());
    int result;

    options.maxmsg = 1000000;
    options.msgsize = UINT64_C(1) << 30;
    result = mqrs_open(new_name(), O_CREAT | O_RDWR, &options, sizeof options, &queue);
    CHECK(result == -ENOSPC || result == -ENOMEM);
    CHECK(queue == UNTOUCHED);
    CHECK(mqrs_last_error(NULL, 0) > 0);
    CHECK_EQUAL(files, count_entries(queue_directory()));
}

static void the_options_struct_follows_the_size_rules(void)
{
    const char *name = new_name();
    struct {
        struct mqrs_options options;
        unsigned char more[64];
    } newer = {0};
    struct mqrs_options options = {0};
    mqrs_queue *queue;

    /* A newer caller's struct: the rest must be zero. */
    newer.options.maxmsg = 9;
    CHECK_OK(mqrs_open(name, O_CREAT | O_RDWR, &newer.options, sizeof newer, &queue));
    expect_size(queue, 9, 8192);
    close_and_unlink(queue, name);
    for (size_t i = 0; i < sizeof newer.more; i++) {
        queue = UNTOUCHED;
        newer.more[i] = 1;
        CHECK_ERROR(E2BIG, mqrs_open(name, O_CREAT | O_RDWR, &newer.options, sizeof newer, &queue));
        CHECK(queue == UNTOUCHED);
        newer.more[i] = 0;
    }

    for (size_t size = 0; size < sizeof options; size++) {
        queue = UNTOUCHED;
        CHECK_ERROR(EINVAL, mqrs_open(name, O_CREAT | O_RDWR, &options, size, &queue));
        CHECK(queue == UNTOUCHED);
    }
    queue = UNTOUCHED;
    CHECK_ERROR(E2BIG, mqrs_open(name, O_CREAT | O_RDWR, &options, SIZE_MAX, &queue));
    CHECK_ERROR(EFAULT, mqrs_open(name, O_CREAT | O_RDWR, NULL, sizeof options, &queue));
    CHECK(queue == UNTOUCHED);
    options.reserved = 1;
    refuse(EINVAL, name, O_CREAT | O_RDWR, &options);
    options.reserved = 0;
    options.flags = UINT64_C(1) << 63;
    refuse(EINVAL, name, O_CREAT | O_RDWR, &options);
    options.flags = UINT64_C(1) << 32;
    refuse(EINVAL, name, O_CREAT | O_RDWR, &options);
}

static void a_queue_without_a_name_gets_a_random_one(void)
{
    char first[300], second[300];
    mqrs_queue *queue, *other;

    CHECK_OK(mqrs_open(NULL, O_CREAT | O_EXCL | O_RDWR, NULL, 0, &queue));
    CHECK_OK(mqrs_open(NULL, O_CREAT | O_EXCL | O_RDWR, NULL, 0, &other));
    CHECK(strlen(mqrs_name(queue)) < sizeof first && strlen(mqrs_name(other)) < sizeof second);
    strcpy(first, mqrs_name(queue));
    strcpy(second, mqrs_name(other));
    CHECK(strcmp(first, second) != 0);
    CHECK(strncmp(first, "shm:/", 5) == 0);
    CHECK_OK(mqrs_close(other));

    send_text(queue, "by its random name", 0);
    other = open_queue(first, O_RDWR);
    EXPECT_TEXT(other, "by its random name", 0);
    CHECK_OK(mqrs_close(other));
    close_and_unlink(queue, first);
    CHECK_OK(mqrs_unlink(second));

    refuse(EFAULT, NULL, O_RDWR, NULL);
    refuse(EFAULT, NULL, O_CREAT | O_RDWR, NULL);
}

int main(void)
{
    check_begin();
    umask(022);
    RUN(a_missing_queue_is_enoent_without_o_creat);
    RUN(o_creat_makes_a_missing_queue_and_opens_an_existing_one);
    RUN(o_excl_refuses_an_existing_queue);
    RUN(each_access_mode_opens);
    RUN(other_open_flags_are_refused);
    RUN(zero_means_64_messages_of_8192_bytes);
    RUN(an_existing_queue_keeps_its_size);
    RUN(sizes_beyond_the_limits_are_refused);
    RUN(a_million_messages_fit_into_a_queue);
    RUN(a_queue_larger_than_the_memory_is_refused_and_leaves_nothing);
    RUN(the_options_struct_follows_the_size_rules);
    RUN(a_queue_without_a_name_gets_a_random_one);
    return check_end();
}
