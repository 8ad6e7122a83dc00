/* A queue comes as a descriptor to a process that could not open it by its name: through a
 * socket, over exec, with any access, of another user, from another mount namespace. */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { FIRST_PASSED = 3 };   /* of sd_listen_fds(3) */

static mqrs_queue *adopt(int fd, int oflag)
{
    mqrs_queue *queue = NULL;

    CHECK_OK(mqrs_open_fd(fd, oflag, 0, &queue));
    CHECK(queue != NULL);
    return queue;
}

static int duplicate(const mqrs_queue *queue)
{
    return (int)CHECK_OK(mqrs_dup_fd(queue));
}

/* ---- Sockets --------------------------------------------------------------------- */

struct parcel {
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec part;
    struct msghdr message;
};

static struct msghdr *pack(struct parcel *parcel)
{
    *parcel = (struct parcel){.byte = 'x'};
    parcel->part = (struct iovec){&parcel->byte, 1};
    parcel->message = (struct msghdr){.msg_iov = &parcel->part,
                                      .msg_iovlen = 1,
                                      .msg_control = parcel->control,
                                      .msg_controllen = sizeof parcel->control};
    return &parcel->message;
}

/* Send a descriptor, and close it here. */
static void pass(int socket, int fd)
{
    struct parcel parcel;
    struct msghdr *message = pack(&parcel);
    struct cmsghdr *header = CMSG_FIRSTHDR(message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    CHECK_EQUAL(1, SYSTEM(sendmsg(socket, message, 0)));
    close(fd);
}

static int take(int socket)
{
    struct parcel parcel;
    struct msghdr *message = pack(&parcel);
    struct cmsghdr *header;
    int fd;

    CHECK_EQUAL(1, SYSTEM(recvmsg(socket, message, MSG_CMSG_CLOEXEC)));
    header = CMSG_FIRSTHDR(message);
    CHECK(header != NULL && header->cmsg_type == SCM_RIGHTS);
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

/* A server's address that no file stands for. */
static struct sockaddr_un address_of(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "mqrs%s", name);
    return address;
}

static int new_socket(void)
{
    return (int)SYSTEM(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

/* ---- Programs that share nothing but a socket ------------------------------------ */

enum { CLIENTS = 3, QUESTIONS = 200 };

/* A role: get the queue from the server, and ask. */
static int ask(const char *name)
{
    struct sockaddr_un address = address_of(name);
    int socket = new_socket();
    mqrs_queue *questions, *answers;

    SYSTEM(connect(socket, (struct sockaddr *)&address, sizeof address));
    questions = adopt(take(socket), O_WRONLY);
    answers = adopt(take(socket), O_RDONLY);
    for (uint32_t i = 0; i < QUESTIONS; i++) {
        uint32_t answer;

        CHECK_OK(mqrs_timedsend(questions, &i, sizeof i, 0, 30 * SECOND));
        CHECK_EQUAL(sizeof answer, CHECK_OK(mqrs_timedreceive(answers, &answer, sizeof answer,
                                                              30 * SECOND, NULL)));
        CHECK_EQUAL(i + 1, answer);
    }
    /* Without closing: it is the end of the process that counts. */
    CHILD_END;
}

static void a_server_hands_nameless_queues_to_programs_that_it_does_not_know(void)
{
    const char *name = new_name();
    struct sockaddr_un address = address_of(name);
    int server = new_socket();
    mqrs_queue *questions[CLIENTS], *answers[CLIENTS];
    pid_t clients[CLIENTS];

    SYSTEM(bind(server, (struct sockaddr *)&address, sizeof address));
    SYSTEM(listen(server, CLIENTS));
    for (int i = 0; i < CLIENTS; i++) {
        const char *own = new_name();
        int client;

        clients[i] = start_role("ask", name, NULL);
        client = (int)SYSTEM(accept4(server, NULL, NULL, SOCK_CLOEXEC));
        questions[i] = create_queue(own, 2, sizeof(uint32_t), 0);
        CHECK_OK(mqrs_unlink(own));
        answers[i] = create_queue(own, 2, sizeof(uint32_t), 0);
        CHECK_OK(mqrs_unlink(own));
        pass(client, duplicate(questions[i]));
        pass(client, duplicate(answers[i]));
        close(client);
    }
    for (int question = 0; question < QUESTIONS; question++)
        for (int i = 0; i < CLIENTS; i++) {
            uint32_t number;

            CHECK_OK(mqrs_timedreceive(questions[i], &number, sizeof number, 30 * SECOND, NULL));
            number++;
            CHECK_OK(mqrs_timedsend(answers[i], &number, sizeof number, 0, 30 * SECOND));
        }
    for (int i = 0; i < CLIENTS; i++) {
        JOIN(clients[i]);
        CHECK_EQUAL(2, fill(questions[i]));
        CHECK_OK(mqrs_close(questions[i]));
        CHECK_OK(mqrs_close(answers[i]));
    }
    close(server);
    CHECK_EQUAL(0, count_entries(queue_directory()));
}

/* What an adopter holds when it is killed comes back, as from anybody else. */
static void an_adopter_may_be_killed(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 64, 0);
    int ends[2];

    SYSTEM(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    for (int round = 0; round < 30; round++) {
        pid_t child = start_child();
        char byte;

        if (child == 0) {
            mqrs_queue *adopted = adopt(take(ends[1]), O_RDWR);

            SYSTEM(write(ends[1], "x", 1));
            for (;;) {
                CHECK_OK(mqrs_send(adopted, "x", 1, 0));
                CHECK_OK(mqrs_receive(adopted, (char[64]){0}, 64, NULL));
            }
        }
        pass(ends[0], duplicate(queue));
        SYSTEM(read(ends[0], &byte, 1));
        kill_child(child);
        drain(queue);
        CHECK_EQUAL(2, fill(queue));
        CHECK_EQUAL(2, drain(queue));
    }
    close(ends[0]);
    close(ends[1]);
    close_and_unlink(queue, name);
}

/* ---- Over exec ------------------------------------------------------------------- */

/* A role: what a service does that a supervisor started with its queues open. */
static int serve(const char *count)
{
    CHECK_EQUAL(getpid(), atoi(getenv("LISTEN_PID")));
    CHECK_EQUAL(atoi(count), atoi(getenv("LISTEN_FDS")));
    for (int i = 0; i < atoi(count); i++) {
        mqrs_queue *queue = adopt(FIRST_PASSED + i, O_RDWR);
        char text[64];
        ssize_t len = CHECK_OK(mqrs_receive(queue, text, sizeof text, NULL));

        CHECK(fcntl(FIRST_PASSED + i, F_GETFD) & FD_CLOEXEC);
        CHECK_OK(mqrs_send(queue, text, (size_t)len, 7));
        CHECK_OK(mqrs_close(queue));
    }
    return 0;
}

static void a_supervisor_starts_a_service_with_its_queues(void)
{
    const char *names[] = {new_name(), new_name()};
    mqrs_queue *queues[2];
    pid_t service;

    for (int i = 0; i < 2; i++) {
        queues[i] = create_queue(names[i], 2, 64, 0);
        send_text(queues[i], names[i], 0);
    }
    if ((service = start_child()) == 0) {
        int fds[] = {duplicate(queues[0]), duplicate(queues[1])};
        char pid[16];

        /* Out of the way of the numbers that they get. */
        for (int i = 0; i < 2; i++)
            fds[i] = (int)SYSTEM(fcntl(fds[i], F_DUPFD, 100));
        for (int i = 0; i < 2; i++)
            SYSTEM(dup2(fds[i], FIRST_PASSED + i));
        SYSTEM(syscall(SYS_close_range, FIRST_PASSED + 2, ~0u, 0));
        snprintf(pid, sizeof pid, "%d", (int)getpid());
        SYSTEM(setenv("LISTEN_PID", pid, 1));
        SYSTEM(setenv("LISTEN_FDS", "2", 1));
        execl(own_path(), program_invocation_name, "serve", "2", (char *)NULL);
        FAIL("exec: %s", strerror(errno));
    }
    JOIN(service);
    for (int i = 0; i < 2; i++) {
        EXPECT_TEXT(queues[i], names[i], 7);
        close_and_unlink(queues[i], names[i]);
    }
}

/* ---- What a descriptor allows ---------------------------------------------------- */

static void its_access_is_the_handle_s_direction(void)
{
    static const struct {
        int flags, sends, receives;
    } accesses[] = {
        {O_RDONLY, 0, 1}, {O_WRONLY, 1, 0}, {O_RDWR, 1, 1}, {O_PATH, 1, 1},
    };
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 2, 64, 0), *none = NULL;

    for (int unlinked = 0; unlinked < 2; unlinked++) {
        int path = (int)SYSTEM(open(queue_file(name), O_PATH | O_CLOEXEC));
        char link[64];

        snprintf(link, sizeof link, "/proc/self/fd/%d", path);
        if (unlinked)
            CHECK_OK(mqrs_unlink(name));
        for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++) {
            int fd = (int)SYSTEM(open(link, accesses[i].flags | O_CLOEXEC));

            if (!accesses[i].receives)
                CHECK_ERROR(EACCES, mqrs_open_fd(fd, O_RDONLY, 0, &none));
            if (!accesses[i].sends)
                CHECK_ERROR(EACCES, mqrs_open_fd(fd, O_WRONLY, 0, &none));
            if (!accesses[i].sends || !accesses[i].receives)
                CHECK_ERROR(EACCES, mqrs_open_fd(fd, O_RDWR, 0, &none));
            CHECK(none == NULL);
            if (accesses[i].sends) {
                mqrs_queue *sender = adopt(dup(fd), O_WRONLY);

                send_text(sender, "sent", 1);
                CHECK_OK(mqrs_close(sender));
                EXPECT_TEXT(queue, "sent", 1);
            }
            if (accesses[i].receives) {
                mqrs_queue *receiver = adopt(dup(fd), O_RDONLY);

                send_text(queue, "received", 2);
                EXPECT_TEXT(receiver, "received", 2);
                CHECK_OK(mqrs_close(receiver));
            }
            close(fd);
        }
        close(path);
        if (!unlinked)
            CHECK_EQUAL(2, fill(queue));
        drain(queue);
    }
    CHECK_OK(mqrs_close(queue));
}

static void what_cannot_be_read_may_still_be_no_queue(void)
{
    int zeros = (int)SYSTEM(memfd_create("zeros", MFD_CLOEXEC));
    char link[64];

    SYSTEM(ftruncate(zeros, 1 << 20));
    snprintf(link, sizeof link, "/proc/self/fd/%d", zeros);
    for (int i = 0; i < 3; i++) {
        int fds[] = {(int)SYSTEM(open(link, O_WRONLY | O_CLOEXEC)),
                     (int)SYSTEM(open(link, O_PATH | O_CLOEXEC)),
                     (int)SYSTEM(open("/proc/self/exe", O_PATH | O_CLOEXEC))};
        mqrs_queue *none = NULL;

        CHECK_ERROR(EBADF, mqrs_open_fd(fds[i], O_WRONLY, 0, &none));
        CHECK(none == NULL);
        for (int k = 0; k < 3; k++)
            SYSTEM(close(fds[k]));
    }
    close(zeros);
}

/* The mode lets nobody else in; whoever is handed a descriptor for both is in already. */
static void of_another_user_one_for_both_is_enough_and_one_for_one_is_not(void)
{
    const char *name = new_name();
    mqrs_queue *queue;
    int fds[4];
    pid_t child;

    SKIP_IF(geteuid() != 0, "only root can be several users");
    queue = create_queue(name, 2, 64, 0);
    fds[0] = duplicate(queue);
    fds[1] = (int)SYSTEM(open(queue_file(name), O_WRONLY | O_CLOEXEC));
    fds[2] = (int)SYSTEM(open(queue_file(name), O_RDONLY | O_CLOEXEC));
    fds[3] = (int)SYSTEM(open(queue_file(name), O_PATH | O_CLOEXEC));
    if ((child = start_child()) == 0) {
        mqrs_queue *none = NULL;

        become_user(NOBODY);
        CHECK_ERROR(EACCES, mqrs_open(name, O_RDWR, NULL, 0, &none));
        CHECK_ERROR(EACCES, mqrs_open_fd(fds[1], O_WRONLY, 0, &none));
        CHECK_ERROR(EACCES, mqrs_open_fd(fds[2], O_RDONLY, 0, &none));
        CHECK_ERROR(EACCES, mqrs_open_fd(fds[3], O_RDWR, 0, &none));
        CHECK(none == NULL);
        none = adopt(fds[0], O_RDWR);
        send_text(none, "from nobody", 1);
        CHECK_OK(mqrs_close(none));
        CHILD_END;
    }
    JOIN(child);
    EXPECT_TEXT(queue, "from nobody", 1);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    close_and_unlink(queue, name);
}

/* ---- Where the name means nothing ------------------------------------------------ */

static int can_have_mounts_of_its_own(void)
{
    pid_t child = start_child();
    int status;

    if (child == 0)
        _exit(unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) == -1 ||
              mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1 ||
              mount("none", queue_directory(), "tmpfs", 0, NULL) == -1);
    SYSTEM(waitpid(child, &status, 0));
    return status == 0;
}

/* The other one's directory of queues is not ours, and has a queue of our queue's name. */
static void a_queue_of_another_mount_namespace_is_the_giver_s(void)
{
    const char *name = new_name();
    mqrs_queue *own, *adopted;
    int ends[2];
    pid_t child;

    SKIP_IF(!can_have_mounts_of_its_own(), "mount namespaces are not permitted here");
    SYSTEM(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    own = create_queue(name, 2, 64, 0);
    if ((child = start_child()) == 0) {
        const struct mqrs_options options = {.flags = MQRS_OPT_EPHEMERAL, .maxmsg = 3};
        mqrs_queue *queue;
        char byte;

        SYSTEM(unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER));
        SYSTEM(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL));
        SYSTEM(mount("none", queue_directory(), "tmpfs", 0, NULL));
        CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue));
        send_text(queue, "from elsewhere", 1);
        pass(ends[1], duplicate(queue));
        SYSTEM(read(ends[1], &byte, 1));
        EXPECT_TEXT(queue, "to elsewhere", 2);
        CHECK_OK(mqrs_close(queue));
        /* Its last user is in the other namespace, and cannot see its name. */
        SYSTEM(write(ends[1], "x", 1));
        SYSTEM(read(ends[1], &byte, 1));
        CHECK_ERROR(ENOENT, mqrs_open(name, O_RDWR, NULL, 0, &queue));
        CHECK_EQUAL(0, count_entries(queue_directory()));
        CHILD_END;
    }
    adopted = adopt(take(ends[0]), O_RDWR);
    EXPECT_TEXT(adopted, "from elsewhere", 1);
    send_text(adopted, "to elsewhere", 2);
    CHECK_EQUAL(0, messages_in(own));
    SYSTEM(write(ends[0], "x", 1));
    SYSTEM(read(ends[0], &(char){0}, 1));
    CHECK_OK(mqrs_close(adopted));
    SYSTEM(write(ends[0], "x", 1));
    JOIN(child);
    close(ends[0]);
    close(ends[1]);
    /* The end of that one was none of ours. */
    CHECK_OK(mqrs_close(open_queue(name, O_RDWR)));
    close_and_unlink(own, name);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return strcmp(argv[1], "ask") == 0 ? ask(argv[2]) : serve(argv[2]);
    check_begin();
    RUN(a_server_hands_nameless_queues_to_programs_that_it_does_not_know);
    RUN(an_adopter_may_be_killed);
    RUN(a_supervisor_starts_a_service_with_its_queues);
    RUN(its_access_is_the_handle_s_direction);
    RUN(what_cannot_be_read_may_still_be_no_queue);
    RUN(of_another_user_one_for_both_is_enough_and_one_for_one_is_not);
    RUN(a_queue_of_another_mount_namespace_is_the_giver_s);
    return check_end();
}
