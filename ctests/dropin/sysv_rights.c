/* System V queues: who may do what. Needs root, to become others. */
#include "sysv.h"

#include <grp.h>

enum { GROUP = 4242 };

/* What an attempt came to: 0 or its errno. */
#define OUTCOME(call) ((errno = 0, (call)) == -1 ? errno : 0)

enum attempt { OPENS_TO_READ, OPENS_TO_WRITE, SENDS, RECEIVES, LOOKS, CHANGES, REMOVES, ATTEMPTS };

static int attempt(enum attempt what, int id, key_t key)
{
    struct msqid_ds record = {0};
    struct message message;

    switch (what) {
    case OPENS_TO_READ:
        return OUTCOME(msgget(key, 0444));
    case OPENS_TO_WRITE:
        return OUTCOME(msgget(key, 0222));
    case SENDS:
        return OUTCOME(put(id, 1, "x", IPC_NOWAIT));
    case RECEIVES:
        return OUTCOME((int)msgrcv(id, &message, 10, 0, IPC_NOWAIT));
    case LOOKS:
        return OUTCOME(msgctl(id, IPC_STAT, &record));
    case CHANGES:
        record.msg_perm.uid = 0;
        record.msg_perm.gid = 0;
        record.msg_perm.mode = 0600;
        record.msg_qbytes = 16384;
        return OUTCOME(msgctl(id, IPC_SET, &record));
    default:
        return OUTCOME(msgctl(id, IPC_RMID, NULL));
    }
}

static int as(uid_t user, gid_t group, enum attempt what, int id, key_t key)
{
    pid_t child = start_child();
    int how;

    if (child == 0) {
        SYSTEM(setgroups(0, NULL));
        SYSTEM(setresgid(group, group, group));
        SYSTEM(setresuid(user, user, user));
        _exit(attempt(what, id, key));
    }
    CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how));
    return WEXITSTATUS(how);
}

static void the_mode_says_who_may_send_and_receive(void)
{
    static const struct {
        int mode;
        gid_t group;
        int right[ATTEMPTS];
    } cases[] = {
        {0600, NOBODY, {EACCES, EACCES, EACCES, EACCES, EACCES, EPERM, EPERM}},
        {0604, NOBODY, {0, EACCES, EACCES, 0, 0, EPERM, EPERM}},
        {0602, NOBODY, {EACCES, 0, 0, EACCES, EACCES, EPERM, EPERM}},
        {0606, NOBODY, {0, 0, 0, 0, 0, EPERM, EPERM}},
        {0640, GROUP, {0, EACCES, EACCES, 0, 0, EPERM, EPERM}},
        {0620, GROUP, {EACCES, 0, 0, EACCES, EACCES, EPERM, EPERM}},
        {0606, GROUP, {EACCES, EACCES, EACCES, EACCES, EACCES, EPERM, EPERM}},
        {0000, NOBODY, {EACCES, EACCES, EACCES, EACCES, EACCES, EPERM, EPERM}},
    };
    key_t key = (key_t)(0x6e000000 | (getpid() & 0xffffff));

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int id = queue(key, IPC_CREAT | IPC_EXCL | cases[i].mode);
        struct msqid_ds record = status_of(id);

        record.msg_perm.gid = GROUP;
        CHECK(msgctl(id, IPC_SET, &record) == 0);
        CHECK(put(id, 1, "x", 0) == 0);
        for (int what = 0; what < ATTEMPTS; what++) {
            int came = as(NOBODY, cases[i].group, (enum attempt)what, id, key);

            if (came != cases[i].right[what])
                FAIL("mode %o, attempt %d: %d", (unsigned)cases[i].mode, what, came);
        }
        /* Root may do everything. */
        CHECK(put(id, 1, "x", 0) == 0 && get(id, 0, 0, 1, "x"));
        CHECK(msgctl(id, IPC_RMID, NULL) == 0);
    }
}

static void a_queue_that_is_given_away_is_its_new_owners(void)
{
    int id = new_queue();
    struct msqid_ds record = status_of(id);

    record.msg_perm.uid = NOBODY;
    CHECK(msgctl(id, IPC_SET, &record) == 0);
    CHECK(status_of(id).msg_perm.uid == NOBODY && status_of(id).msg_perm.cuid == 0);

    CHECK(as(SOMEBODY, SOMEBODY, SENDS, id, 0) == EACCES);
    CHECK(as(NOBODY, NOBODY, SENDS, id, 0) == 0 && as(NOBODY, NOBODY, RECEIVES, id, 0) == 0);
    CHECK(as(SOMEBODY, SOMEBODY, REMOVES, id, 0) == EPERM);
    CHECK(as(NOBODY, NOBODY, REMOVES, id, 0) == 0);
    REFUSED(EINVAL, put(id, 1, "x", IPC_NOWAIT));
}

static void a_stricter_mode_ends_the_wait_of_him_whom_it_excludes(void)
{
    int id = queue(IPC_PRIVATE, 0606);
    struct msqid_ds record = status_of(id);
    pid_t child = start_child();

    if (child == 0) {
        struct message message;

        become_user(NOBODY);
        _exit(!(msgrcv(id, &message, 10, 0, 0) == -1 && errno == EACCES));
    }
    wait_until_asleep(child);
    record.msg_perm.mode = 0600;
    CHECK(msgctl(id, IPC_SET, &record) == 0);

    JOIN(child);
}

static void who_waits_for_room_is_asked_for_his_rights_when_there_is_room(void)
{
    for (int is_allowed = 0; is_allowed < 2; is_allowed++) {
        int id = queue(IPC_PRIVATE, 0606);
        struct msqid_ds record = status_of(id);
        pid_t child;

        record.msg_qbytes = 1;
        CHECK(msgctl(id, IPC_SET, &record) == 0 && put(id, 1, "x", 0) == 0);
        child = start_child();
        if (child == 0) {
            become_user(NOBODY);
            _exit(OUTCOME(put(id, 2, "y", 0)) != (is_allowed ? 0 : EACCES));
        }
        wait_until_asleep(child);
        record.msg_perm.mode = 0600;
        CHECK(msgctl(id, IPC_SET, &record) == 0);
        wait_until_asleep(child);
        record.msg_perm.mode = is_allowed ? 0606 : 0600;
        CHECK(msgctl(id, IPC_SET, &record) == 0);
        CHECK(get(id, 0, 0, 1, "x"));
        JOIN(child);
        CHECK(status_of(id).msg_qnum == (unsigned)is_allowed);
    }
}

static void a_message_that_is_too_long_is_that_for_strangers_too(void)
{
    int id = queue(IPC_PRIVATE, 0600);
    struct msginfo limits;
    pid_t child;

    SYSTEM(msgctl(0, IPC_INFO, (struct msqid_ds *)(void *)&limits));
    child = start_child();
    if (child == 0) {
        struct message message = {.type = 1};

        become_user(NOBODY);
        if (OUTCOME(msgsnd(id, &message, (size_t)limits.msgmax + 1, 0)) != EINVAL)
            _exit(1);
        _exit(OUTCOME(msgsnd(id, &message, 1, 0)) != EACCES);
    }
    JOIN(child);
}

static void who_exclusively_makes_anothers_queue_hears_that_it_is_there(void)
{
    key_t key = (key_t)(0x6f000000 | (getpid() & 0xffffff));
    pid_t child;

    queue(key, IPC_CREAT | 0600);
    child = start_child();
    if (child == 0) {
        become_user(NOBODY);
        if (OUTCOME(msgget(key, IPC_CREAT | IPC_EXCL | 0600)) != EEXIST)
            _exit(1);
        _exit(OUTCOME(msgget(key, IPC_CREAT | 0600)) != EACCES);
    }
    JOIN(child);
}

static void a_user_makes_uses_and_removes_his_own(void)
{
    pid_t child = start_child();

    if (child == 0) {
        int id;

        become_user(NOBODY);
        id = msgget((key_t)(0x70000000 | (getpid() & 0xffffff)), IPC_CREAT | 0600);
        if (id < 0 || put(id, 1, "mine", 0) != 0 || !get(id, 1, 0, 1, "mine"))
            _exit(1);
        _exit(msgctl(id, IPC_RMID, NULL) != 0);
    }
    JOIN(child);
}

int main(void)
{
    sysv_begin();
    if (geteuid() != 0) {
        puts("SKIP sysv_rights: who is not root cannot become others");
        return CHECK_SKIPPED;
    }
    RUN(the_mode_says_who_may_send_and_receive);
    RUN(a_queue_that_is_given_away_is_its_new_owners);
    RUN(a_stricter_mode_ends_the_wait_of_him_whom_it_excludes);
    RUN(who_waits_for_room_is_asked_for_his_rights_when_there_is_room);
    RUN(a_message_that_is_too_long_is_that_for_strangers_too);
    RUN(who_exclusively_makes_anothers_queue_hears_that_it_is_there);
    RUN(a_user_makes_uses_and_removes_his_own);
    return check_end();
}
