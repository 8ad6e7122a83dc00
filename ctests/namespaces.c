/* Processes in different namespaces, as of containers that share a directory, use one queue:
 * nothing in it depends on numbers that mean something else elsewhere. */
#include "ledger.h"
#include <sched.h>
#include <sys/mount.h>

enum { MAXMSG = 12, CONTAINERS = 16, ROUNDS = 10, USERS = 1024, MANY = 500 };

struct shared {
    int32_t stage;
    int32_t finish;
    struct ledger ledger;
};

static struct shared *shared;

static void start_afresh(void)
{
    if (shared != NULL)
        SYSTEM(munmap(shared, sizeof *shared));
    shared = shared_memory(sizeof *shared);
}

static void next_stage(void)
{
    __atomic_fetch_add(&shared->stage, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_stage(int32_t stage)
{
    while (__atomic_load_n(&shared->stage, __ATOMIC_SEQ_CST) < stage)
        nanosleep(&(struct timespec){0, 200000}, NULL);
}

static void write_file(const char *path, const char *format, unsigned inner, unsigned outer)
{
    int fd = (int)SYSTEM(open(path, O_WRONLY | O_CLOEXEC));

    CHECK(dprintf(fd, format, inner, outer) > 0);
    close(fd);
}

/* Who has no rights of his own gets them in a user namespace. */
static int with_rights(int flags)
{
    return geteuid() == 0 ? flags : flags | CLONE_NEWUSER;
}

/* Fork into new namespaces; in a user namespace the child is root, and outside who it was. */
static pid_t start_in(int flags)
{
    unsigned uid = geteuid(), gid = getegid();
    pid_t child;

    flags = with_rights(flags);
    fflush(stdout);
    child = (pid_t)SYSTEM(syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL));
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (flags & CLONE_NEWUSER) {
            write_file("/proc/self/setgroups", "deny", 0, 0);
            write_file("/proc/self/uid_map", "%u %u 1", 0, uid);
            write_file("/proc/self/gid_map", "%u %u 1", 0, gid);
        }
    }
    return child;
}

/* Whether that is allowed here. */
static int can_start_in(int flags)
{
    pid_t child = (pid_t)syscall(SYS_clone, with_rights(flags) | SIGCHLD, NULL, NULL, NULL, NULL);

    if (child == 0)
        _exit(0);
    if (child > 0)
        JOIN(child);
    return child > 0;
}

static void expect_signal(pid_t pid, uid_t uid)
{
    siginfo_t info = take_signal(SIGRTMIN);

    CHECK_EQUAL(SI_MESGQ, info.si_code);
    CHECK_EQUAL(pid, info.si_pid);
    CHECK_EQUAL(uid, info.si_uid);
}

static mqrs_queue *create_for_all(const char *name)
{
    mqrs_queue *queue = create_queue(name, MAXMSG, LEDGER_MSGSIZE, 0);

    CHECK_OK(mqrs_set_owner(queue, 0666, UINT32_MAX, UINT32_MAX));
    return queue;
}

/* ---- Any namespaces: everything that two processes do with each other ----------- */

/* The one in other namespaces. */
static void be_the_other(const char *name)
{
    mqrs_queue *queue = open_queue(name, O_RDWR);
    char text[LEDGER_MSGSIZE];

    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQUAL(5, mqrs_receive(queue, text, sizeof text, NULL));
        CHECK_EQUAL(0, messages_in(queue));
        send_text(queue, "answer", (uint32_t)i);
        next_stage();
        wait_for_stage(2 * i + 2);
    }

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 0, 0));
    next_stage();
    take_signal(SIGRTMIN);
    EXPECT_TEXT(queue, "notify", 1);
    CHECK_ERROR(ETIMEDOUT, mqrs_timedreceive(queue, text, sizeof text, 5 * MILLISECOND, NULL));
    CHECK_ERROR(ETIMEDOUT,
                mqrs_receive_until(queue, text, sizeof text, CLOCK_MONOTONIC,
                                   now_ns(CLOCK_MONOTONIC) + 5 * MILLISECOND, NULL));
    CHECK_OK(mqrs_notify_signal(queue, 0, 0, 0));
    next_stage();
    for (;;)
        pause();
}

/* Talk with it; it is killed in the end. */
static void talk_with(pid_t other, const char *name, mqrs_queue *queue)
{
    for (int i = 0; i < ROUNDS; i++) {
        wait_until_asleep(other);
        send_text(queue, "hello", 0);
        wait_for_stage(2 * i + 1);
        EXPECT_TEXT(queue, "answer", (uint32_t)i);
        next_stage();
    }
    wait_for_stage(2 * ROUNDS + 1);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, 0, 0, 0));
    send_text(queue, "notify", 1);
    wait_for_stage(2 * ROUNDS + 2);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, 0, 0, 0));
    kill_child(other);
    CHECK_OK(mqrs_notify_signal(queue, 0, 0, 0));
    close_and_unlink(queue, name);
}

static void talk_across(int flags, void (*prepare)(void))
{
    const char *name = new_name();
    mqrs_queue *queue = create_for_all(name);
    pid_t other;

    start_afresh();
    if ((other = start_in(flags)) == 0) {
        prepare();
        be_the_other(name);
    }
    talk_with(other, name, queue);
}

static void nothing(void)
{
}

static void ipc_network_and_host_names_do_not_matter(void)
{
    const int flags = CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP;

    SKIP_IF(!can_start_in(flags), "namespaces are not permitted here");
    talk_across(flags, nothing);
}

static void users_of_another_namespace(void)
{
    SKIP_IF(!can_start_in(CLONE_NEWUSER), "user namespaces are not permitted here");
    talk_across(CLONE_NEWUSER, nothing);
}

static void processes_of_another_namespace(void)
{
    SKIP_IF(!can_start_in(CLONE_NEWPID), "pid namespaces are not permitted here");
    talk_across(CLONE_NEWPID, nothing);
}

/* A /proc of its own, where the others do not exist. */
static void mount_proc(void)
{
    SYSTEM(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL));
    SYSTEM(mount("proc", "/proc", "proc", 0, NULL));
    CHECK_EQUAL(1, getpid());
}

static int can_mount_proc(void)
{
    pid_t child = start_in(CLONE_NEWPID | CLONE_NEWNS);
    int status;

    if (child == 0)
        _exit(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == -1 ||
              mount("proc", "/proc", "proc", 0, NULL) == -1);
    SYSTEM(waitpid(child, &status, 0));
    return status == 0;
}

static void processes_that_see_no_others(void)
{
    SKIP_IF(!can_start_in(CLONE_NEWPID | CLONE_NEWNS), "pid namespaces are not permitted here");
    SKIP_IF(!can_mount_proc(), "a new /proc may not be mounted here");
    talk_across(CLONE_NEWPID | CLONE_NEWNS, mount_proc);
}

/* The directory of the queues under another path, through another mount. */
static void mount_elsewhere(void)
{
    const char *elsewhere = "/mnt";

    SYSTEM(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL));
    SYSTEM(mount(queue_directory(), elsewhere, "none", MS_BIND, NULL));
    SYSTEM(mount("none", "/dev/shm", "tmpfs", 0, NULL));
    SYSTEM(setenv("MQRS_DIR", elsewhere, 1));
}

static void the_directory_may_be_mounted_elsewhere(void)
{
    SKIP_IF(!can_start_in(CLONE_NEWNS), "mount namespaces are not permitted here");
    SKIP_IF(access("/mnt", F_OK) == -1, "there is no /mnt to mount on");
    talk_across(CLONE_NEWNS, mount_elsewhere);
}

/* Clocks that show seventy years more: beyond what 32 bits count. */
static void move_clocks(void)
{
    int fd;

    SYSTEM(unshare(CLONE_NEWTIME));
    write_file("/proc/self/timens_offsets", "monotonic %u %u\n", 2207520000u, 0);
    write_file("/proc/self/timens_offsets", "boottime %u %u\n", 2207520000u, 0);
    fd = (int)SYSTEM(open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC));
    SYSTEM(setns(fd, CLONE_NEWTIME));
    close(fd);
}

static void clocks_that_show_another_time(void)
{
    SKIP_IF(access("/proc/self/timens_offsets", F_OK) == -1, "there are no time namespaces");
    SKIP_IF(!can_start_in(CLONE_NEWNS), "namespaces are not permitted here");
    talk_across(CLONE_NEWNS, move_clocks);
}

/* ---- Equal pids ------------------------------------------------------------------ */

static void two_processes_with_one_pid_are_two(void)
{
    const char *name = new_name();
    mqrs_queue *queue;
    pid_t first, second;

    SKIP_IF(!can_start_in(CLONE_NEWPID), "pid namespaces are not permitted here");
    start_afresh();
    queue = create_for_all(name);
    if ((first = start_in(CLONE_NEWPID)) == 0) {
        mqrs_queue *own = open_queue(name, O_RDWR);

        CHECK_EQUAL(1, getpid());
        for (int i = 0; i < MANY; i++)
            open_queue(name, O_RDWR);
        block_signal(SIGRTMIN);
        CHECK_OK(mqrs_notify_signal(own, SIGRTMIN, 0, 0));
        next_stage();
        /* The numbers are those that the sender has where it is. */
        expect_signal(1, geteuid());
        EXPECT_TEXT(own, "from one like you", 0);
        CHECK_OK(mqrs_notify_signal(own, SIGRTMIN, 0, 0));
        next_stage();
        for (;;)
            pause();
    }
    wait_for_stage(1);
    if ((second = start_in(CLONE_NEWPID)) == 0) {
        mqrs_queue *own = open_queue(name, O_RDWR), *none;

        CHECK_EQUAL(1, getpid());
        /* Each handle has a number of its own: with theirs and ours there are 1024. */
        for (int i = 0; i < USERS - MANY - 3; i++)
            open_queue(name, O_RDWR);
        CHECK_ERROR(EUSERS, mqrs_open(name, O_RDWR, NULL, 0, &none));
        CHECK_ERROR(EBUSY, mqrs_notify_signal(own, 0, 0, 0));
        send_text(own, "from one like you", 0);
        wait_for_stage(2);
        CHECK_ERROR(EBUSY, mqrs_notify_signal(own, 0, 0, 0));
        next_stage();
        /* It dies, and we do not. */
        wait_for_stage(4);
        CHECK_OK(mqrs_notify_signal(own, 0, 0, 0));
        CHILD_END;
    }
    wait_for_stage(3);
    kill_child(first);
    next_stage();
    JOIN(second);
    close_and_unlink(queue, name);
}

static void send_and_receive(const char *name, uint32_t sender)
{
    mqrs_queue *queue = open_queue(name, O_RDWR);
    struct order order = new_order();

    while (!__atomic_load_n(&shared->finish, __ATOMIC_ACQUIRE)) {
        send_next(&shared->ledger, queue, sender, MILLISECOND);
        receive_next(&shared->ledger, queue, &order, MQRS_NOWAIT);
    }
}

/* In each container the same pids; when its first process dies, the kernel kills the rest. */
static void whole_containers_are_killed_and_the_others_go_on(void)
{
    enum { IN_EACH = 3 };
    const char *name = new_name();
    struct order order = new_order();
    uint64_t seed = 7;
    mqrs_queue *queue;
    pid_t stays;

    SKIP_IF(!can_start_in(CLONE_NEWPID), "pid namespaces are not permitted here");
    start_afresh();
    queue = create_for_all(name);
    if ((stays = start_in(CLONE_NEWPID)) == 0) {
        send_and_receive(name, 0);
        CHILD_END;
    }
    for (int i = 0; i < CONTAINERS; i++) {
        uint32_t before[1 + IN_EACH];
        pid_t container;

        memcpy(before, shared->ledger.next, sizeof before);
        if ((container = start_in(CLONE_NEWPID)) == 0) {
            CHECK_EQUAL(1, getpid());
            for (uint32_t sender = 2; sender <= IN_EACH; sender++)
                if (start_child() == 0)
                    send_and_receive(name, sender);
            send_and_receive(name, 1);
        }
        for (int sender = 0; sender <= IN_EACH; sender++)
            while (__atomic_load_n(&shared->ledger.next[sender], __ATOMIC_RELAXED) ==
                   before[sender])
                nanosleep(&(struct timespec){0, 200000}, NULL);
        nanosleep(&(struct timespec){0, random_number(&seed) % 1000000}, NULL);
        kill_child(container);
    }
    __atomic_store_n(&shared->finish, 1, __ATOMIC_RELEASE);
    JOIN(stays);
    while (receive_next(&shared->ledger, queue, &order, MQRS_NOWAIT))
        ;
    judge(&shared->ledger, CONTAINERS * IN_EACH);
    CHECK_EQUAL(MAXMSG, fill(queue));
    CHECK_EQUAL(MAXMSG, drain(queue));
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(ipc_network_and_host_names_do_not_matter);
    RUN(users_of_another_namespace);
    RUN(processes_of_another_namespace);
    RUN(processes_that_see_no_others);
    RUN(the_directory_may_be_mounted_elsewhere);
    RUN(clocks_that_show_another_time);
    RUN(two_processes_with_one_pid_are_two);
    RUN(whole_containers_are_killed_and_the_others_go_on);
    return check_end();
}
