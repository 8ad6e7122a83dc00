/* What a failure looks like in words: mqrs_last_error, mqrs_strerror, mqrs_errname. */
#include "check.h"

static void each_failure_leaves_one_sentence(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 1, 8, O_NONBLOCK), *none;
    char first[512], second[512];

    CHECK_ERROR(EMSGSIZE, mqrs_send(queue, "123456789", 9, 0));
    CHECK(mqrs_last_error(first, sizeof first) == strlen(first));
    CHECK_ERROR(ENOENT, mqrs_open(new_name(), O_RDWR, NULL, 0, &none));
    CHECK(mqrs_last_error(second, sizeof second) == strlen(second));
    CHECK(strcmp(first, second) != 0);

    /* Not cleared by success. */
    send_text(queue, "x", 0);
    CHECK(mqrs_last_error(first, sizeof first) == strlen(second));
    CHECK(strcmp(first, second) == 0);

    /* The transport that is missing is named, and a limit with its value. */
    CHECK_ERROR(ENOTSUP, mqrs_open("amqp://host/x", O_RDWR, NULL, 0, &none));
    mqrs_last_error(first, sizeof first);
    CHECK(strstr(first, "amqp") != NULL);
    close_and_unlink(queue, name);
}

static void a_short_buffer_gets_the_beginning(void)
{
    char whole[512], part[512];
    size_t len;

    CHECK_ERROR(EBADF, mqrs_send(NULL, "x", 1, 0));
    len = mqrs_last_error(whole, sizeof whole);
    CHECK(len > 10 && len < sizeof whole);
    for (size_t cap = 0; cap <= len + 2; cap++) {
        memset(part, '#', sizeof part);
        CHECK_EQUAL(len, mqrs_last_error(part, cap));
        if (cap > 0) {
            size_t kept = cap - 1 < len ? cap - 1 : len;

            CHECK(memcmp(whole, part, kept) == 0);
            CHECK_EQUAL(0, part[kept]);
        }
        for (size_t i = cap; i < sizeof part; i++)
            CHECK_EQUAL('#', part[i]);
    }
    CHECK_EQUAL(len, mqrs_last_error(NULL, 0));
    CHECK_EQUAL(len, mqrs_last_error(NULL, 100));
}

static void *fail_in_a_thread(void *unused)
{
    char text[512];

    text[0] = '#';
    CHECK_EQUAL(0, mqrs_last_error(text, sizeof text));
    CHECK_EQUAL(0, text[0]);
    CHECK_ERROR(EINVAL, mqrs_unlink("no slash"));
    return unused;
}

static void every_thread_has_its_own(void)
{
    char before[512], after[512];
    pthread_t thread;

    CHECK_ERROR(EBADF, mqrs_send(NULL, "x", 1, 0));
    mqrs_last_error(before, sizeof before);
    CHECK_EQUAL(0, pthread_create(&thread, NULL, fail_in_a_thread, NULL));
    CHECK_EQUAL(0, pthread_join(thread, NULL));
    mqrs_last_error(after, sizeof after);
    CHECK(strcmp(before, after) == 0);
}

/* The names that the contract uses, with their text the same under both signs. */
static void errors_have_a_name_and_a_text_under_either_sign(void)
{
    static const struct {
        int error;
        const char *name;
    } errors[] = {
        {EAGAIN, "EAGAIN"},
        {EINVAL, "EINVAL"},
        {EBADF, "EBADF"},
        {EFAULT, "EFAULT"},
        {EMSGSIZE, "EMSGSIZE"},
        {ETIMEDOUT, "ETIMEDOUT"},
        {EINTR, "EINTR"},
        {ENOENT, "ENOENT"},
        {EEXIST, "EEXIST"},
        {EACCES, "EACCES"},
        {EPERM, "EPERM"},
        {ENAMETOOLONG, "ENAMETOOLONG"},
        {ENOTSUP, "ENOTSUP"},
        {ENOSPC, "ENOSPC"},
        {ENOMEM, "ENOMEM"},
        {EMFILE, "EMFILE"},
        {ENFILE, "ENFILE"},
        {EUSERS, "EUSERS"},
        {EBUSY, "EBUSY"},
        {E2BIG, "E2BIG"},
        {EBADMSG, "EBADMSG"},
        {ENOTRECOVERABLE, "ENOTRECOVERABLE"},
        {ECANCELED, "ECANCELED"},
        {EPIPE, "EPIPE"},
        {EIDRM, "EIDRM"},
        {EADDRINUSE, "EADDRINUSE"},
        {ENOBUFS, "ENOBUFS"},
        {EROFS, "EROFS"},
        {ENOTDIR, "ENOTDIR"},
        {ELOOP, "ELOOP"},
        {EIO, "EIO"},
    };

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        int error = errors[i].error;
        const char *name = mqrs_errname(error), *negative = mqrs_errname(-error);

        /* Two names for one number: either may be told. */
        if (error == ENOTSUP && strcmp(name, "EOPNOTSUPP") == 0)
            name = "ENOTSUP";
        if (strcmp(errors[i].name, name) != 0)
            FAIL("mqrs_errname(%d) is %s, expected %s", error, name, errors[i].name);
        CHECK(strcmp(mqrs_errname(error), negative) == 0);
        CHECK(strlen(mqrs_strerror(error)) > 3);
        CHECK(strcmp(mqrs_strerror(error), mqrs_strerror(-error)) == 0);
    }
    for (size_t i = 1; i < sizeof errors / sizeof *errors; i++)
        CHECK(strcmp(mqrs_strerror(errors[0].error), mqrs_strerror(errors[i].error)) != 0);
}

static void every_number_has_some_text(void)
{
    static const int numbers[] = {0, 41, -58, 134, -4095, 4096, 100000, INT_MAX, INT_MIN, -INT_MAX};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        CHECK(mqrs_strerror(numbers[i]) != NULL && mqrs_strerror(numbers[i])[0] != 0);
        CHECK(mqrs_errname(numbers[i]) != NULL && mqrs_errname(numbers[i])[0] != 0);
    }
}

int main(void)
{
    check_begin();
    RUN(each_failure_leaves_one_sentence);
    RUN(a_short_buffer_gets_the_beginning);
    RUN(every_thread_has_its_own);
    RUN(errors_have_a_name_and_a_text_under_either_sign);
    RUN(every_number_has_some_text);
    return check_end();
}
