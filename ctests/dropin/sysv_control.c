/* System V queues: keys, what msgctl tells and changes, when a queue is full, how it goes. */
#include "sysv.h"

static key_t a_key(void)
{
    return (key_t)(0x6d000000 | (getpid() & 0xffffff));
}

static void a_key_is_one_queue(void)
{
    key_t key = a_key();
    int id;

    REFUSED(ENOENT, msgget(key, 0600));
    id = queue(key, IPC_CREAT | IPC_EXCL | 0640);

    CHECK(id > 0 && msgget(key, 0) == id && msgget(key, IPC_CREAT | 0666) == id);
    REFUSED(EEXIST, msgget(key, IPC_CREAT | IPC_EXCL | 0600));
    CHECK(status_of(id).msg_perm.__key == key && (status_of(id).msg_perm.mode & 0777) == 0640);
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
    REFUSED(ENOENT, msgget(key, 0));
    CHECK(queue(key, IPC_CREAT | 0600) != id);
}

static void a_private_queue_is_another_one_each_time(void)
{
    int one = new_queue(), other = new_queue();

    CHECK(one > 0 && other > 0 && one != other && status_of(one).msg_perm.__key == IPC_PRIVATE);
}

static void of_many_that_make_a_key_at_once_one_wins(void)
{
    key_t key = a_key() ^ 0x1000000;
    int pipe_of_ids[2], ids[8], winners = 0;

    CHECK(pipe(pipe_of_ids) == 0);
    for (int i = 0; i < 8; i++)
        if (start_child() == 0) {
            int told[2] = {msgget(key, IPC_CREAT | IPC_EXCL | 0600), 0};

            told[1] = msgget(key, IPC_CREAT | 0600);
            _exit(write(pipe_of_ids[1], told, sizeof told) != sizeof told);
        }
    for (int i = 0; i < 8; i++) {
        int told[2];

        CHECK(read(pipe_of_ids[0], told, sizeof told) == sizeof told);
        winners += told[0] >= 0;
        ids[i] = told[1];
    }
    while (wait(NULL) > 0) {
    }
    made[made_count++] = ids[0];

    CHECK(winners == 1);
    for (int i = 0; i < 8; i++)
        CHECK(ids[i] == ids[0]);
}

static void a_new_queue_tells_who_made_it(void)
{
    time_t before = time(NULL);
    struct msqid_ds record = status_of(new_queue());

    CHECK(record.msg_perm.uid == geteuid() && record.msg_perm.cuid == geteuid());
    CHECK(record.msg_perm.gid == getegid() && record.msg_perm.cgid == getegid());
    CHECK(record.msg_stime == 0 && record.msg_rtime == 0);
    CHECK(record.msg_ctime >= before - 1 && record.msg_ctime <= time(NULL) + 1);
    CHECK(record.msg_lspid == 0 && record.msg_lrpid == 0);
    CHECK(record.msg_qnum == 0 && record.__msg_cbytes == 0 && record.msg_qbytes > 0);
}

static void a_queue_tells_what_is_in_it_and_who_used_it_last(void)
{
    int id = new_queue();
    time_t before = time(NULL);
    pid_t child;
    struct msqid_ds record;

    CHECK(put(id, 1, "abc", 0) == 0 && put(id, 2, "de", 0) == 0);
    child = start_child();
    if (child == 0)
        _exit(!get(id, 2, 0, 2, "de"));
    JOIN(child);

    record = status_of(id);
    CHECK(record.msg_qnum == 1 && record.__msg_cbytes == 3);
    CHECK(record.msg_lspid == getpid() && record.msg_lrpid == child);
    CHECK(record.msg_stime >= before - 1 && record.msg_rtime >= before - 1);
}

static void bytes_fill_a_queue(void)
{
    int id = new_queue();
    struct msqid_ds record = status_of(id);

    record.msg_qbytes = 10;
    CHECK(msgctl(id, IPC_SET, &record) == 0 && status_of(id).msg_qbytes == 10);

    CHECK(put(id, 1, "123456", IPC_NOWAIT) == 0);
    REFUSED(EAGAIN, put(id, 1, "12345", IPC_NOWAIT));
    CHECK(put(id, 1, "1234", IPC_NOWAIT) == 0);
    REFUSED(EAGAIN, put(id, 1, "1", IPC_NOWAIT));
    CHECK(put(id, 1, "", IPC_NOWAIT) == 0);
    CHECK(get(id, 0, 0, 1, "123456") && put(id, 1, "12345", IPC_NOWAIT) == 0);
    REFUSED(EAGAIN, put(id, 1, "12345678901", IPC_NOWAIT));
}

static void messages_fill_a_queue_however_short(void)
{
    int id = new_queue();
    struct msqid_ds record = status_of(id);

    record.msg_qbytes = 3;
    CHECK(msgctl(id, IPC_SET, &record) == 0);

    for (int i = 0; i < 3; i++)
        CHECK(put(id, 1, "", IPC_NOWAIT) == 0);
    REFUSED(EAGAIN, put(id, 1, "", IPC_NOWAIT));
    CHECK(get(id, 1, 0, 1, "") && put(id, 1, "", IPC_NOWAIT) == 0);
}

static void a_queue_takes_what_it_holds_by_default(void)
{
    int id = new_queue(), sent = 0;
    struct message message = {.type = 1};
    unsigned long most = status_of(id).msg_qbytes;

    while (msgsnd(id, &message, 32, IPC_NOWAIT) == 0)
        CHECK(++sent < 1 << 20);
    CHECK(errno == EAGAIN && (unsigned long)sent == most / 32);

    for (int i = 0; i < sent; i++)
        CHECK(msgrcv(id, &message, sizeof message.text, i % 2, IPC_NOWAIT) == 32);
    CHECK(status_of(id).msg_qnum == 0 && status_of(id).__msg_cbytes == 0);
    /* And again, of the longest. */
    for (sent = 0; msgsnd(id, &message, sizeof message.text, IPC_NOWAIT) == 0; sent++) {
    }
    CHECK(errno == EAGAIN && (unsigned long)sent == most / sizeof message.text);
}

static void an_owner_changes_mode_and_bounds(void)
{
    int id = new_queue();
    struct msqid_ds record = status_of(id);
    unsigned long bytes = record.msg_qbytes;

    record.msg_perm.mode = 07606;
    record.msg_qbytes = bytes / 2;
    CHECK(msgctl(id, IPC_SET, &record) == 0);

    CHECK((status_of(id).msg_perm.mode & 0777) == 0606 && status_of(id).msg_qbytes == bytes / 2);
    CHECK(status_of(id).msg_perm.uid == geteuid());
    REFUSED(EINVAL, msgctl(id, 12345, &record));
    REFUSED(EINVAL, msgctl(id, -1, &record));
    REFUSED(EINVAL, msgctl(-1, IPC_STAT, &record));
    REFUSED(EFAULT, msgctl(id, IPC_STAT, NULL));
    REFUSED(EFAULT, msgctl(id, IPC_SET, NULL));
}

static void every_queue_has_a_place(void)
{
    int id = new_queue(), last, found = 0, found_any = 0;
    struct msginfo all, limits;
    struct msqid_ds record;

    CHECK(put(id, 1, "12345", 0) == 0);
    last = msgctl(0, MSG_INFO, (struct msqid_ds *)&all);
    CHECK(last >= 0 && all.msgpool >= 1 && all.msgmap >= 1 && all.msgtql >= 5);
    CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&limits) >= 0);
    CHECK(limits.msgmax > 0 && limits.msgmnb > 0 && limits.msgmni > 0);
    CHECK((unsigned long)limits.msgmnb == status_of(id).msg_qbytes);
    for (int place = 0; place <= last; place++) {
        if (msgctl(place, MSG_STAT, &record) == id)
            found += record.__msg_cbytes == 5;
        if (msgctl(place, MSG_STAT_ANY, &record) == id)
            found_any += record.__msg_cbytes == 5;
    }

    CHECK(found == 1 && found_any == 1);
    REFUSED(EINVAL, msgctl(last + 10000, MSG_STAT, &record));
}

static void a_queue_is_good_in_a_stranger_that_knows_its_number(void)
{
    int id = new_queue();
    pid_t child = start_child();

    if (child == 0) {
        char number[16];

        sprintf(number, "%d", id);
        execl("/proc/self/exe", "stranger", number, NULL);
        _exit(1);
    }
    CHECK(get(id, 9, 0, 9, "from a stranger"));
    JOIN(child);
}

static void no_descriptor_is_a_queues(void)
{
    int id = new_queue();
    pid_t child;

    CHECK(put(id, 1, "before", 0) == 0);
    child = start_child();
    if (child == 0) {
        for (int fd = 0; fd < 1024; fd++)
            close(fd);
        if (!get(id, 1, 0, 1, "before") || put(id, 1, "after", 0) != 0)
            _exit(1);
        child = start_child();
        if (child == 0)
            _exit(!get(id, 1, 0, 1, "after"));
        JOIN(child);
        _exit(0);
    }
    JOIN(child);
}

static void thousands_of_queues_come_and_go(void)
{
    for (int round = 0; round < 20; round++) {
        int ids[100];

        for (int i = 0; i < 100; i++) {
            ids[i] = msgget(IPC_PRIVATE, 0600);
            CHECK(ids[i] >= 0 && put(ids[i], 1, "x", 0) == 0);
        }
        for (int i = 0; i < 100; i++)
            CHECK(get(ids[i], 1, 0, 1, "x") && msgctl(ids[i], IPC_RMID, NULL) == 0);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return put(atoi(argv[1]), 9, "from a stranger", 0) != 0;
    sysv_begin();
    RUN(a_key_is_one_queue);
    RUN(a_private_queue_is_another_one_each_time);
    RUN(of_many_that_make_a_key_at_once_one_wins);
    RUN(a_new_queue_tells_who_made_it);
    RUN(a_queue_tells_what_is_in_it_and_who_used_it_last);
    RUN(bytes_fill_a_queue);
    RUN(messages_fill_a_queue_however_short);
    RUN(a_queue_takes_what_it_holds_by_default);
    RUN(an_owner_changes_mode_and_bounds);
    RUN(every_queue_has_a_place);
    RUN(a_queue_is_good_in_a_stranger_that_knows_its_number);
    RUN(no_descriptor_is_a_queues);
    RUN(thousands_of_queues_come_and_go);
    return check_end();
}
