/* 32-bit and 64-bit programs use one queue. MQRS_PARTNER names this very program, compiled
 * for the other word size; the roles that a process is started in stand in main. */
#include "ledger.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

enum { MAXMSG = 12, TRAFFIC = 20000, KILLS = 60, ROUNDS = 20 };
enum { CROWD = 600, USERS = 1024, SIZES_AND_OFFSETS = 0x50 };

/* What all processes know. Of fixed-width integers, for it is two programs'. */
struct shared {
    int32_t finish, stage;
    uint32_t maxmsg, msgsize;
    struct ledger ledger;
};

static struct shared *shared;
static int shared_fd;

static const char *partner(void)
{
    return getenv("MQRS_PARTNER");
}

static const char *ourselves(void)
{
    return "/proc/self/exe";
}

static void share(int fd)
{
    shared_fd = fd;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(shared != MAP_FAILED);
}

/* A program in a role. */
static pid_t start(const char *program, const char *role, const char *name, int number)
{
    char fd[16], text[16];
    pid_t child;

    snprintf(fd, sizeof fd, "%d", shared_fd);
    snprintf(text, sizeof text, "%d", number);
    if ((child = start_child()) == 0) {
        execl(program, program_invocation_name, role, name, fd, text, (char *)NULL);
        FAIL("%s: %s", program, strerror(errno));
    }
    return child;
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

static void start_afresh(void)
{
    SYSTEM(ftruncate(shared_fd, 0));
    SYSTEM(ftruncate(shared_fd, sizeof *shared));
}

static void receive_until_finished(mqrs_queue *queue)
{
    struct order order = new_order();

    for (;;) {
        int finish = __atomic_load_n(&shared->finish, __ATOMIC_ACQUIRE);

        if (!receive_next(&shared->ledger, queue, &order, 20 * MILLISECOND) && finish)
            return;
    }
}

/* ---- What each behaviour needs of a partner ------------------------------------ */

static void make(const char *name)
{
    mqrs_queue *queue = create_queue(name, shared->maxmsg, shared->msgsize, 0);

    send_text(queue, "a", 0);
    if (shared->maxmsg > 1)
        send_text(queue, "b", MQRS_PRIO_MAX);
    CHECK_OK(mqrs_close(queue));
}

static void send_some(const char *name, uint32_t sender)
{
    mqrs_queue *queue = open_queue(name, O_WRONLY);

    for (int i = 0; i < TRAFFIC; i++)
        send_next(&shared->ledger, queue, sender, MQRS_FOREVER);
}

static void send_without_end(const char *name, uint32_t sender)
{
    mqrs_queue *queue = open_queue(name, O_WRONLY);

    while (!__atomic_load_n(&shared->finish, __ATOMIC_ACQUIRE))
        send_next(&shared->ledger, queue, sender, MQRS_FOREVER);
}

static void expect_signal(pid_t sender, intptr_t value)
{
    siginfo_t info = take_signal(SIGRTMIN);

    CHECK_EQUAL(SI_MESGQ, info.si_code);
    CHECK_EQUAL(sender, info.si_pid);
    CHECK_EQUAL(geteuid(), info.si_uid);
    CHECK_EQUAL(value, (intptr_t)info.si_value.sival_ptr);
}

/* Whether the queue's registration, ours, is still there. */
static int is_registered(mqrs_queue *queue)
{
    int result = mqrs_notify_signal(queue, 0, 0, 0);

    CHECK(result == 0 || result == -EBUSY);
    return result == -EBUSY;
}

/* Sleep for a message and pass it on, when the other sleeps for that. That messages wake, and
 * are not merely found after a while, is seen by a registration: it stays where a receiver
 * was woken. On a busy machine it may be used up now and then all the same. */
static void pass_on(const char *names, int rounds)
{
    mqrs_queue *from, *to;
    char first[64];
    uint32_t kept = 0;

    snprintf(first, sizeof first, "%s", names);
    from = open_queue(first, O_RDONLY);
    strcat(first, "-back");
    to = open_queue(first, O_WRONLY);
    for (int i = 0; i < rounds; i++) {
        char byte;
        uint32_t prio;

        CHECK_EQUAL(1, mqrs_receive(from, &byte, 1, &prio));
        CHECK_OK(mqrs_notify_signal(to, 0, 0, 0));
        wait_until_asleep(getppid());
        CHECK_OK(mqrs_send(to, &byte, 1, prio + 1));
        /* The other has taken it before it goes on. */
        while (messages_in(to) > 0)
            sched_yield();
        kept += (uint32_t)is_registered(to);
        CHECK_OK(mqrs_notify_cancel(to));
    }
    CHECK(kept > 0);
}

static void send_to_a_full_queue(const char *name, int rounds)
{
    mqrs_queue *queue = open_queue(name, O_WRONLY);

    for (int i = 0; i < rounds; i++)
        send_text(queue, "late", 1);
}

static void be_notified(const char *name)
{
    mqrs_queue *queue = open_queue(name, O_RDWR);

    block_signal(SIGRTMIN);
    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, -5, 0));
    next_stage();
    expect_signal(getppid(), -5);
    EXPECT_TEXT(queue, "notify", 2);
}

static void register_and_stay(const char *name)
{
    mqrs_queue *queue = open_queue(name, O_RDWR);

    CHECK_OK(mqrs_notify_signal(queue, 0, 0, 0));
    next_stage();
    for (;;)
        pause();
}

static void open_often_and_stay(const char *name)
{
    for (int i = 0; i < CROWD; i++)
        open_queue(name, O_RDWR);
    next_stage();
    for (;;)
        pause();
}

static void send_one(const char *name)
{
    send_text(open_queue(name, O_WRONLY), "notify", 2);
}

static void exchange(const char *name)
{
    mqrs_queue *queue = open_queue(name, O_RDWR);

    EXPECT_TEXT(queue, "there", 3);
    send_text(queue, "back", 4);
}

/* ---- Behaviours ---------------------------------------------------------------- */

static void queues_made_by_either_are_alike(void)
{
    static const uint32_t sizes[][2] = {{1, 1},    {7, 13},       {64, 8192},
                                        {130, 57}, {1024, 256},   {1000, 1001},
                                        {3, 8},    {70000, 1},    {2, 1 << 20}};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *names[] = {new_name(), new_name()};
        unsigned char prologues[2][SIZES_AND_OFFSETS];
        struct stat files[2];

        shared->maxmsg = sizes[i][0];
        shared->msgsize = sizes[i][1];
        make(names[0]);
        JOIN(start(partner(), "make", names[1], 0));
        for (int which = 0; which < 2; which++) {
            int fd = (int)SYSTEM(open(queue_file(names[which]), O_RDONLY | O_CLOEXEC));
            mqrs_queue *queue = open_queue(names[which], O_RDWR);
            struct mqrs_attr attr;

            SYSTEM(fstat(fd, &files[which]));
            CHECK_EQUAL(SIZES_AND_OFFSETS,
                        SYSTEM(pread(fd, prologues[which], SIZES_AND_OFFSETS, 0)));
            close(fd);
            CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
            CHECK_EQUAL(sizes[i][0], attr.maxmsg);
            CHECK_EQUAL(sizes[i][1], attr.msgsize);
            if (attr.maxmsg > 1)
                EXPECT_TEXT(queue, "b", MQRS_PRIO_MAX);
            EXPECT_TEXT(queue, "a", 0);
            close_and_unlink(queue, names[which]);
        }
        CHECK_EQUAL(files[0].st_size, files[1].st_size);
        CHECK(memcmp(prologues[0], prologues[1], SIZES_AND_OFFSETS) == 0);
    }
}

static void messages_pass_both_ways_in_order(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, LEDGER_MSGSIZE, 0);
    pid_t receivers[2], senders[2];

    start_afresh();
    receivers[0] = start(ourselves(), "receive", name, 0);
    receivers[1] = start(partner(), "receive", name, 0);
    senders[0] = start(ourselves(), "send", name, 0);
    senders[1] = start(partner(), "send", name, 1);
    JOIN(senders[0]);
    JOIN(senders[1]);
    __atomic_store_n(&shared->finish, 1, __ATOMIC_RELEASE);
    JOIN(receivers[0]);
    JOIN(receivers[1]);
    CHECK_EQUAL(TRAFFIC, shared->ledger.next[0]);
    CHECK_EQUAL(TRAFFIC, shared->ledger.next[1]);
    judge(&shared->ledger, 0);
    close_and_unlink(queue, name);
}

static void each_wakes_the_other(void)
{
    const char *name = new_name();
    mqrs_queue *there = create_queue(name, 4, 16, 0), *back;
    char back_name[64];
    uint32_t kept = 0;
    pid_t other;

    snprintf(back_name, sizeof back_name, "%s-back", name);
    back = create_queue(back_name, 4, 16, 0);
    other = start(partner(), "pass on", name, ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        char byte = (char)i;
        uint32_t prio;

        CHECK_OK(mqrs_notify_signal(there, 0, 0, 0));
        wait_until_asleep(other);
        CHECK_OK(mqrs_send(there, &byte, 1, (uint32_t)i));
        CHECK_EQUAL(1, mqrs_receive(back, &byte, 1, &prio));
        CHECK_EQUAL(i, byte);
        CHECK_EQUAL(i + 1, prio);
        kept += (uint32_t)is_registered(there);
        CHECK_OK(mqrs_notify_cancel(there));
    }
    CHECK(kept > 0);
    JOIN(other);
    close_and_unlink(back, back_name);

    CHECK_EQUAL(4, fill(there));
    other = start(partner(), "send to full", name, ROUNDS);
    for (int i = 0; i < ROUNDS; i++) {
        wait_until_asleep(other);
        EXPECT_TEXT(there, i < 1 ? "x" : "late", i < 1 ? 0 : 1);
        while (messages_in(there) < 4)
            sched_yield();
    }
    JOIN(other);
    CHECK_EQUAL(4, drain(there));
    close_and_unlink(there, name);
}

static void one_is_killed_and_the_other_goes_on(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, MAXMSG, LEDGER_MSGSIZE, 0);
    struct order order = new_order();
    uint64_t seed = sizeof(void *);
    pid_t sender, receiver;

    start_afresh();
    sender = start(ourselves(), "send without end", name, 0);
    receiver = start(ourselves(), "receive", name, 0);
    for (int i = 0; i < KILLS; i++) {
        pid_t victims[2] = {start(partner(), "send without end", name, 1),
                            start(partner(), "receive", name, 0)};
        uint32_t before = __atomic_load_n(&shared->ledger.next[1], __ATOMIC_RELAXED);

        /* It is in the midst of it, */
        while (__atomic_load_n(&shared->ledger.next[1], __ATOMIC_RELAXED) == before)
            sched_yield();
        nanosleep(&(struct timespec){0, random_number(&seed) % 1000000}, NULL);
        kill_child(victims[i % 2]);
        kill_child(victims[1 - i % 2]);
        /* and the others go on. */
        for (int j = 0; j < 2; j++) {
            before = __atomic_load_n(&shared->ledger.next[0], __ATOMIC_RELAXED);
            while (__atomic_load_n(&shared->ledger.next[0], __ATOMIC_RELAXED) < before + 100)
                sched_yield();
        }
    }
    __atomic_store_n(&shared->finish, 1, __ATOMIC_RELEASE);
    JOIN(sender);
    JOIN(receiver);
    while (receive_next(&shared->ledger, queue, &order, MQRS_NOWAIT))
        ;
    judge(&shared->ledger, KILLS);
    CHECK_EQUAL(MAXMSG, fill(queue));
    CHECK_EQUAL(MAXMSG, drain(queue));
    close_and_unlink(queue, name);
}

static void each_notifies_the_other(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);
    pid_t other;

    start_afresh();
    block_signal(SIGRTMIN);
    other = start(partner(), "be notified", name, 0);
    wait_for_stage(1);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, SIGRTMIN, 1, 0));
    send_text(queue, "notify", 2);
    JOIN(other);

    CHECK_OK(mqrs_notify_signal(queue, SIGRTMIN, 123456789, 0));
    other = start(partner(), "send one", name, 0);
    expect_signal(other, 123456789);
    JOIN(other);
    EXPECT_TEXT(queue, "notify", 2);
    close_and_unlink(queue, name);
}

/* futex_waitv has one number everywhere and 64-bit times; what takes its place where it is
 * missing has not. */
static void each_wakes_the_other_without_futex_waitv(void)
{
    enum { FUTEX_WAITV = 449 };
    struct sock_filter refuse[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAITV, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof refuse / sizeof *refuse, refuse};
    pid_t child = start_child();

    if (child == 0) {
        SYSTEM(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        SYSTEM(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
        CHECK_EQUAL(-1, syscall(FUTEX_WAITV, NULL, 0, 0, NULL, 0));
        CHECK_EQUAL(ENOSYS, errno);
        each_wakes_the_other();
        each_notifies_the_other();
        CHILD_END;
    }
    JOIN(child);
}

static void each_sees_whether_the_other_lives(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0), *another;
    int opened = 0, result;
    pid_t other;

    start_afresh();
    other = start(partner(), "register and stay", name, 0);
    wait_for_stage(1);
    CHECK_ERROR(EBUSY, mqrs_notify_signal(queue, 0, 0, 0));
    kill_child(other);
    CHECK_OK(mqrs_notify_signal(queue, 0, 0, 0));

    /* Each handle has a number of its own, whoever has the others. */
    other = start(partner(), "open often and stay", name, 0);
    wait_for_stage(2);
    while ((result = mqrs_open(name, O_RDWR, NULL, 0, &another)) == 0)
        opened++;
    CHECK_EQUAL(-EUSERS, result);
    CHECK_EQUAL(USERS - CROWD - 1, opened);
    kill_child(other);
    CHECK_OK(mqrs_open(name, O_RDWR, NULL, 0, &another));
    close_and_unlink(queue, name);
}

static void a_file_may_be_longer_than_a_word_can_say(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 16, 0);

    /* Longer than it need be: that is allowed, and takes no memory. */
    CHECK_EQUAL(0, truncate64(queue_file(name), INT64_C(5) << 30));
    send_text(queue, "there", 3);
    JOIN(start(partner(), "exchange", name, 0));
    EXPECT_TEXT(queue, "back", 4);
    send_text(queue, "there", 3);
    JOIN(start(ourselves(), "exchange", name, 0));
    EXPECT_TEXT(queue, "back", 4);
    close_and_unlink(queue, name);
}

static void what_fits_no_address_space_is_enomem(void)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue = NULL;

    if (sizeof(void *) > 4)
        return;
    options.maxmsg = 1000000;
    options.msgsize = 1 << 30;
    CHECK_ERROR(ENOMEM, mqrs_open(new_name(), O_CREAT | O_EXCL | O_RDWR, &options,
                                  sizeof options, &queue));
    CHECK(queue == NULL);
}

static void play(const char *role, const char *name, int number)
{
    if (strcmp(role, "make") == 0)
        make(name);
    else if (strcmp(role, "send") == 0)
        send_some(name, (uint32_t)number);
    else if (strcmp(role, "send without end") == 0)
        send_without_end(name, (uint32_t)number);
    else if (strcmp(role, "receive") == 0)
        receive_until_finished(open_queue(name, O_RDONLY));
    else if (strcmp(role, "pass on") == 0)
        pass_on(name, number);
    else if (strcmp(role, "send to full") == 0)
        send_to_a_full_queue(name, number);
    else if (strcmp(role, "be notified") == 0)
        be_notified(name);
    else if (strcmp(role, "register and stay") == 0)
        register_and_stay(name);
    else if (strcmp(role, "open often and stay") == 0)
        open_often_and_stay(name);
    else if (strcmp(role, "send one") == 0)
        send_one(name);
    else if (strcmp(role, "exchange") == 0)
        exchange(name);
    else
        FAIL("there is no role '%s'", role);
}

int main(int argc, char **argv)
{
    if (argc == 5) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        share(atoi(argv[3]));
        play(argv[1], argv[2], atoi(argv[4]));
        return 0;
    }
    check_begin();
    CHECK(partner() != NULL);
    shared_fd = (int)SYSTEM(memfd_create("word_sizes", 0));
    SYSTEM(ftruncate(shared_fd, sizeof *shared));
    share(shared_fd);
    printf("  %zu bits\n", 8 * sizeof(void *));
    RUN(queues_made_by_either_are_alike);
    RUN(messages_pass_both_ways_in_order);
    RUN(each_wakes_the_other);
    RUN(one_is_killed_and_the_other_goes_on);
    RUN(each_notifies_the_other);
    RUN(each_sees_whether_the_other_lives);
    RUN(each_wakes_the_other_without_futex_waitv);
    RUN(a_file_may_be_longer_than_a_word_can_say);
    RUN(what_fits_no_address_space_is_enomem);
    return check_end();
}
