/* Without a free descriptor opening fails with EMFILE; neither failing nor succeeding
 * calls leak descriptors, mappings or files. */
#include "check.h"
#include <sys/resource.h>

struct held {
    unsigned descriptors, mappings, files;
};

static struct held held_now(void)
{
    return (struct held){count_descriptors(), count_queue_mappings(),
                         count_entries(queue_directory())};
}

#define EXPECT_HELD(expected)                                     \
    do {                                                          \
        struct held now = held_now();                             \
        CHECK_EQUAL((expected).descriptors, now.descriptors);     \
        CHECK_EQUAL((expected).mappings, now.mappings);           \
        CHECK_EQUAL((expected).files, now.files);                 \
    } while (0)

/* The number that the next descriptor will have. */
static rlim_t next_descriptor(void)
{
    int fd = (int)SYSTEM(open("/dev/null", O_RDONLY | O_CLOEXEC));

    close(fd);
    return (rlim_t)fd;
}

static void limit_descriptors(rlim_t count)
{
    struct rlimit limit;

    SYSTEM(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = count;
    SYSTEM(setrlimit(RLIMIT_NOFILE, &limit));
}

/* Try with no free descriptor, with one, with two ... until it succeeds. */
static void expect_emfile_until_it_works(const char *name, int oflag)
{
    struct held before = held_now();
    rlim_t next = next_descriptor();
    mqrs_queue *queue = NULL;
    int refused = 0;

    for (rlim_t free_ones = 0; queue == NULL; free_ones++) {
        int result;

        CHECK(free_ones < 10);
        limit_descriptors(next + free_ones);
        result = mqrs_open(name, oflag, NULL, 0, &queue);
        limit_descriptors(1024);
        if (result != 0) {
            char why[512];

            CHECK_EQUAL(-EMFILE, result);
            mqrs_last_error(why, sizeof why);
            CHECK(strstr(why, "RLIMIT_NOFILE") != NULL);
            CHECK(queue == NULL);
            EXPECT_HELD(before);
            refused++;
        }
    }
    CHECK(refused > 0);
    CHECK_OK(mqrs_close(queue));
}

static void opening_without_a_free_descriptor_is_emfile(void)
{
    const char *name = new_name();

    expect_emfile_until_it_works(name, O_CREAT | O_EXCL | O_RDWR);
    expect_emfile_until_it_works(name, O_CREAT | O_RDWR);
    expect_emfile_until_it_works(name, O_RDONLY);
    CHECK_OK(mqrs_unlink(name));
}

static void an_open_queue_needs_no_more_descriptors(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0);
    rlim_t next = next_descriptor();
    struct mqrs_attr attr;

    limit_descriptors(next);
    for (int round = 0; round < 100; round++) {
        CHECK_EQUAL(4, fill(queue));
        CHECK_EQUAL(4, drain(queue));
    }
    CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(queue, (char[64]){0}, 64, MILLISECOND, NULL));
    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    CHECK_ERROR(EMFILE, mqrs_dup_fd(queue));
    CHECK_OK(mqrs_unlink(name));
    limit_descriptors(1024);
    CHECK_OK(mqrs_close(queue));
}

static void failing_calls_leak_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0), *none;
    struct held before = held_now();

    for (int round = 0; round < 100; round++) {
        CHECK_ERROR(EEXIST, mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, NULL, 0, &none));
        CHECK_ERROR(ENOENT, mqrs_open("/missing", O_RDWR, NULL, 0, &none));
        CHECK_ERROR(EINVAL, mqrs_open(name, O_ACCMODE, NULL, 0, &none));
        CHECK_ERROR(EFAULT, mqrs_open(name, O_RDWR, NULL, 0, NULL));
        CHECK_ERROR(EFAULT, mqrs_open("/new", O_CREAT | O_RDWR, NULL, 0, NULL));
        CHECK_ERROR(EACCES, mqrs_open("/a/b", O_CREAT | O_RDWR, NULL, 0, &none));
        CHECK_ERROR(EINVAL, mqrs_open_fd(0, -1, 0, &none));
        CHECK_ERROR(EBADF, mqrs_open_fd(-1, O_RDWR, 0, &none));
    }
    EXPECT_HELD(before);
    close_and_unlink(queue, name);
}

static void opening_and_closing_leaks_nothing(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0);
    struct held before = held_now();

    for (int round = 0; round < 200; round++) {
        mqrs_queue *other = open_queue(name, O_RDWR), *fresh = create_queue("/fresh", 4, 64, 0);

        CHECK_EQUAL(4, fill(other));
        CHECK_EQUAL(4, drain(queue));
        CHECK_OK(mqrs_unlink("/fresh"));
        CHECK_OK(mqrs_close(other));
        CHECK_OK(mqrs_close(fresh));
    }
    EXPECT_HELD(before);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    limit_descriptors(1024);
    RUN(opening_without_a_free_descriptor_is_emfile);
    RUN(an_open_queue_needs_no_more_descriptors);
    RUN(failing_calls_leak_nothing);
    RUN(opening_and_closing_leaks_nothing);
    return check_end();
}
