/* A queue passed on as a descriptor: mqrs_dup_fd gives one, mqrs_open_fd adopts one. */
#include "check.h"
#include <sys/socket.h>

static mqrs_queue *const UNTOUCHED = (mqrs_queue *)0x5A5A;

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

static mqrs_queue *adopt(int fd, int oflag)
{
    mqrs_queue *queue = NULL;

    CHECK_OK(mqrs_open_fd(fd, oflag, 0, &queue));
    CHECK(queue != NULL);
    return queue;
}

static void a_duplicate_is_adopted_as_the_same_queue(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 5, 64, 0), *adopted;
    struct mqrs_attr attr;
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue));

    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    adopted = adopt(fd, O_RDWR);
    CHECK_OK(mqrs_getattr(adopted, &attr, sizeof attr));
    CHECK_EQUAL(5, attr.maxmsg);
    CHECK_EQUAL(64, attr.msgsize);
    CHECK_EQUAL(O_RDWR, attr.flags);
    send_text(queue, "to the adopted", 1);
    EXPECT_TEXT(adopted, "to the adopted", 1);
    send_text(adopted, "and back", 2);
    EXPECT_TEXT(queue, "and back", 2);

    /* The handle owns the descriptor now. */
    CHECK_OK(mqrs_close(adopted));
    CHECK(!is_open(fd));
    close_and_unlink(queue, name);
}

static void a_duplicate_outlives_handle_and_name(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 5, 64, 0);
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue));

    send_text(queue, "left behind", 4);
    close_and_unlink(queue, name);
    queue = adopt(fd, O_RDONLY | O_NONBLOCK);
    EXPECT_TEXT(queue, "left behind", 4);
    CHECK_ERROR(EAGAIN, mqrs_receive(queue, (char[64]){0}, 64, NULL));
    CHECK_ERROR(EBADF, mqrs_send(queue, "x", 1, 0));
    CHECK(mqrs_name(queue) != NULL);
    CHECK_OK(mqrs_close(queue));
}

static void an_inherited_descriptor_is_adopted_after_exec(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 5, 64, 0);
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue));
    char number[16];

    SYSTEM(fcntl(fd, F_SETFD, 0));
    snprintf(number, sizeof number, "%d", fd);
    CHECK_OK(mqrs_unlink(name));
    JOIN(start_role("adopt", number, NULL));
    EXPECT_TEXT(queue, "from another program", 9);
    CHECK_EQUAL(5, fill(queue));
    close(fd);
    CHECK_OK(mqrs_close(queue));
}

static int adopt_inherited(const char *number)
{
    mqrs_queue *queue;

    /* It came through exec; what the handle owns does not go through another one. */
    CHECK_EQUAL(0, SYSTEM(fcntl(atoi(number), F_GETFD)));
    queue = adopt(atoi(number), O_WRONLY);
    CHECK_EQUAL(FD_CLOEXEC, SYSTEM(fcntl(atoi(number), F_GETFD)));
    send_text(queue, "from another program", 9);
    CHECK_OK(mqrs_close(queue));
    return 0;
}

/* Both sides use the queue at once: the one who gave the descriptor does not lose its own
 * place in the queue when the other one ends. */
static void a_descriptor_sent_through_a_socket_is_adopted(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 5, 64, 0);
    char control[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int ends[2], fd;
    pid_t child;

    SYSTEM(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    if ((child = start_child()) == 0) {
        mqrs_queue *adopted;

        CHECK_EQUAL(1, SYSTEM(recvmsg(ends[1], &message, MSG_CMSG_CLOEXEC)));
        header = CMSG_FIRSTHDR(&message);
        CHECK(header != NULL && header->cmsg_type == SCM_RIGHTS);
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
        adopted = adopt(fd, O_RDWR);
        EXPECT_TEXT(adopted, "question", 0);
        send_text(adopted, "answer", 1);
        CHECK_OK(mqrs_close(adopted));
        CHILD_END;
    }
    send_text(queue, "question", 0);
    fd = (int)CHECK_OK(mqrs_dup_fd(queue));
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    CHECK_EQUAL(1, SYSTEM(sendmsg(ends[0], &message, 0)));
    close(fd);
    JOIN(child);
    EXPECT_TEXT(queue, "answer", 1);
    CHECK_EQUAL(5, fill(queue));
    close(ends[0]);
    close(ends[1]);
    close_and_unlink(queue, name);
}

static void what_is_no_queue_stays_its_owner_s(void)
{
    int files[] = {
        (int)SYSTEM(open("/dev/null", O_RDWR | O_CLOEXEC)),
        (int)SYSTEM(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)),
        (int)SYSTEM(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
        (int)SYSTEM(memfd_create("empty", MFD_CLOEXEC)),
        (int)SYSTEM(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        (int)SYSTEM(memfd_create("zeros", MFD_CLOEXEC)),
        (int)SYSTEM(open("/", O_PATH | O_CLOEXEC)),
    };

    SYSTEM(ftruncate(files[5], 1 << 20));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        mqrs_queue *queue = UNTOUCHED;

        CHECK_ERROR(EBADF, mqrs_open_fd(files[i], O_RDWR, 0, &queue));
        CHECK(queue == UNTOUCHED);
        CHECK(is_open(files[i]));
        close(files[i]);
    }
}

static void the_descriptor_is_the_permission(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 5, 64, 0), *adopted = UNTOUCHED;
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue)), narrow;
    pid_t child;

    /* The mode has closed the queue to everybody, but who was given a descriptor has it. */
    CHECK_OK(mqrs_set_owner(queue, 0, UINT32_MAX, UINT32_MAX));
    if ((child = start_child()) == 0) {
        if (geteuid() == 0)
            become_user(NOBODY);
        adopted = adopt(fd, O_RDWR);
        send_text(adopted, "from outside", 2);
        CHECK_OK(mqrs_close(adopted));
        CHILD_END;
    }
    JOIN(child);
    EXPECT_TEXT(queue, "from outside", 2);
    close(fd);

    /* One that may only read the file is not enough for sending. */
    CHECK_OK(mqrs_set_owner(queue, 0600, UINT32_MAX, UINT32_MAX));
    narrow = (int)SYSTEM(open(queue_file(name), O_RDONLY | O_CLOEXEC));
    CHECK_ERROR(EACCES, mqrs_open_fd(narrow, O_WRONLY, 0, &adopted));
    CHECK_ERROR(EACCES, mqrs_open_fd(narrow, O_RDWR, 0, &adopted));
    CHECK(adopted == UNTOUCHED);
    CHECK(is_open(narrow));
    close(narrow);
    close_and_unlink(queue, name);
}

static void bad_arguments_leave_the_descriptor_to_the_caller(void)
{
    static const int oflags[] = {O_ACCMODE, O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_RDWR,
                                 O_TRUNC | O_RDWR, -1};
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 5, 64, 0), *none = UNTOUCHED;
    int fd = (int)CHECK_OK(mqrs_dup_fd(queue));

    for (size_t i = 0; i < sizeof oflags / sizeof *oflags; i++)
        CHECK_ERROR(EINVAL, mqrs_open_fd(fd, oflags[i], 0, &none));
    CHECK_ERROR(EINVAL, mqrs_open_fd(fd, O_RDWR, UINT64_C(1) << 63, &none));
    CHECK_ERROR(EFAULT, mqrs_open_fd(fd, O_RDWR, 0, NULL));
    CHECK_ERROR(EBADF, mqrs_open_fd(-1, O_RDWR, 0, &none));
    CHECK_ERROR(EBADF, mqrs_open_fd(INT_MAX, O_RDWR, 0, &none));
    CHECK_ERROR(EBADF, mqrs_open_fd(INT_MIN, O_RDWR, 0, &none));
    CHECK(none == UNTOUCHED);
    CHECK(is_open(fd));
    CHECK_OK(mqrs_close(adopt(fd, O_RDWR)));
    CHECK(!is_open(fd));
    close_and_unlink(queue, name);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return adopt_inherited(argv[2]);
    check_begin();
    RUN(a_duplicate_is_adopted_as_the_same_queue);
    RUN(a_duplicate_outlives_handle_and_name);
    RUN(an_inherited_descriptor_is_adopted_after_exec);
    RUN(a_descriptor_sent_through_a_socket_is_adopted);
    RUN(what_is_no_queue_stays_its_owner_s);
    RUN(the_descriptor_is_the_permission);
    RUN(bad_arguments_leave_the_descriptor_to_the_caller);
    return check_end();
}
