/* The actor's calls of <sys/msg.h>, as their manual pages tell.
 *
 * The numbers of queues are kept in variables, q0 to q3, which go on through fork and exec.
 * Where one is told, it is after the word "queue", and a process after the word "by": the
 * coordinator makes of them what is the same on both sides (side.rs).
 *
 * Source: msgget(2), msgop(2), msgctl(2).
 */
#define _GNU_SOURCE
#include "actor.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

enum { QUEUES = 4 };

static int queue[QUEUES];

/* What is before the numbers that a new program finds. */
static const char inherited[] = "ACTOR_QUEUES";

/* More than kernel.msgmax, as it is. */
static struct {
    long type;
    char text[16384];
} message;

/* A queue's number: q3, or a number as it is. */
static int number(const char *word)
{
    return word[0] == 'q' ? queue[word[1] - '0'] : atoi(word);
}

/* Keys that no other program has, nor the other side: from a hash of what tells the sides
 * apart (FNV-1a). 0 is IPC_PRIVATE. */
static key_t first_key(void)
{
    uint32_t hash = 2166136261u;
    for (const char *at = socket_name; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    return (key_t)((hash & 0x7fffff00) | 0x1000);
}

static key_t key(const char *word)
{
    int which = atoi(word);
    return which == 0 ? IPC_PRIVATE : first_key() + which;
}

static int flags(char *word)
{
    static const struct flag known[] = {
        {"CREAT", IPC_CREAT}, {"EXCL", IPC_EXCL}, {"NOWAIT", IPC_NOWAIT},
        {"NOERROR", MSG_NOERROR}, {"EXCEPT", MSG_EXCEPT}, {"COPY", MSG_COPY},
    };
    return flags_of(word, known, sizeof known / sizeof *known);
}

/* msgget VARIABLE KEY FLAGS MODE */
static void get(char **word)
{
    int id = msgget(key(word[2]), flags(word[3]) | (int)strtoul(word[4], NULL, 8));
    if (id == -1) {
        result(-1);
        return;
    }
    queue[word[1][1] - '0'] = id;
    say("queue %d", id);
}

/* msgsnd QUEUE TYPE LENGTH LETTER FLAGS; no letter, but 0, is no message. */
static void put(char **word)
{
    message.type = atol(word[2]);
    memset(message.text, word[4][0], sizeof message.text);
    void *from = word[4][0] == '0' ? nothing : &message;
    result(msgsnd(number(word[1]), from, (size_t)atol(word[3]), flags(word[5])));
}

/* msgrcv QUEUE CAPACITY TYPE BUFFER FLAGS; tells what it wrote, also where it failed. */
static void take(char **word)
{
    message.type = 4444;
    memset(message.text, '.', sizeof message.text);
    void *to = strcmp(word[4], "NULL") == 0 ? nothing : &message;
    long length = msgrcv(number(word[1]), to, (size_t)atol(word[2]), atol(word[3]),
                         flags(word[5]));
    int error = errno;
    size_t written = 0;
    while (written < sizeof message.text && message.text[written] != '.')
        written++;
    size_t same = 0;
    while (same < written && message.text[same] == message.text[0])
        same++;
    const char *torn = same == written ? "" : " torn";
    if (length == -1)
        say("%s type %ld %zu bytes%s", strerrorname_np(error), message.type, written, torn);
    else
        say("%ld type %ld %zu bytes of %c%s", length, message.type, written, message.text[0], torn);
}

/* All there is to know of a queue, but when. */
static int describe(char *at, size_t room, const struct msqid_ds *of)
{
    const struct ipc_perm *right = &of->msg_perm;
    int which = right->__key == IPC_PRIVATE ? 0 : right->__key - first_key();
    return snprintf(at, room, "%lu/%lu/%lu sent%s by %d received%s by %d of %u,%u made %s%u,%u "
                    "mode %04o key %d", (unsigned long)of->msg_qnum,
                    (unsigned long)of->__msg_cbytes, (unsigned long)of->msg_qbytes,
                    of->msg_stime ? "" : " never", of->msg_lspid,
                    of->msg_rtime ? "" : " never", of->msg_lrpid, right->uid, right->gid,
                    of->msg_ctime ? "" : "never ", right->cuid, right->cgid, right->mode, which);
}

static void tell(int failed, const struct msqid_ds *of)
{
    char line[LONGEST / 2];
    if (failed == -1) {
        result(-1);
        return;
    }
    describe(line, sizeof line, of);
    say("%s", line);
}

/* msgset QUEUE BYTES MODE USER GROUP; - leaves it as it is, as far as that may be known. */
static void set(char **word)
{
    struct msqid_ds record = {.msg_qbytes = 16384};
    record.msg_perm.uid = geteuid();
    record.msg_perm.gid = getegid();
    int id = number(word[1]);
    msgctl(id, IPC_STAT, &record);
    if (word[2][0] != '-')
        record.msg_qbytes = strtoul(word[2], NULL, 0);
    if (word[3][0] != '-')
        record.msg_perm.mode = (unsigned short)strtoul(word[3], NULL, 8);
    if (word[4][0] != '-')
        record.msg_perm.uid = (uid_t)strtoul(word[4], NULL, 0);
    if (word[5][0] != '-')
        record.msg_perm.gid = (gid_t)strtoul(word[5], NULL, 0);
    result(msgctl(id, IPC_SET, &record));
}

/* msgfind QUEUE [ANY]: look at one place after the other until it is there. */
static void find(char **word, int count)
{
    int command = count > 2 ? MSG_STAT_ANY : MSG_STAT, id = number(word[1]);
    struct msqid_ds record;
    struct msginfo info;
    int last = msgctl(0, IPC_INFO, (struct msqid_ds *)(void *)&info);
    for (int place = 0; place <= last; place++) {
        int found = msgctl(place, command, &record);
        if (found == id && id >= 0) {
            tell(0, &record);
            return;
        }
    }
    say("nowhere");
}

/* What the variables' queues are. */
static void look(void)
{
    char line[LONGEST - 2] = "", *at = line;
    for (int i = 0; i < QUEUES; i++) {
        struct msqid_ds record;
        size_t room = sizeof line - (size_t)(at - line);
        if (queue[i] == -1)
            continue;
        at += snprintf(at, room, "q%d: ", i);
        room = sizeof line - (size_t)(at - line);
        if (msgctl(queue[i], IPC_STAT, &record) == 0)
            at += describe(at, room, &record);
        else
            at += snprintf(at, room, "%s", strerrorname_np(errno));
        *at++ = ';';
    }
    *at = '\0';
    say("%s", line);
}

int call_sysv(char **word, int count)
{
    const char *verb = word[0];
    struct msqid_ds record = {.msg_qbytes = 0};
    int is_null = count > 2 && strcmp(word[2], "NULL") == 0;
#define IS(name) (strcmp(verb, name) == 0)
    if (IS("msgget"))
        get(word);
    else if (IS("msgsnd"))
        put(word);
    else if (IS("msgrcv"))
        take(word);
    else if (IS("msgstat"))
        tell(msgctl(number(word[1]), IPC_STAT, is_null ? nothing : &record), &record);
    else if (IS("msgset") && is_null)
        result(msgctl(number(word[1]), IPC_SET, nothing));
    else if (IS("msgset"))
        set(word);
    else if (IS("msgrmid"))
        result(msgctl(number(word[1]), IPC_RMID, nothing));
    else if (IS("msgctl"))
        result(msgctl(number(word[1]), atoi(word[2]), &record));
    else if (IS("msgfind"))
        find(word, count);
    else if (IS("msglook"))
        look();
    else
        return 0;
    return 1;
}

void begin_sysv(void)
{
    const char *numbers = getenv(inherited);
    for (int i = 0; i < QUEUES; i++)
        queue[i] = -1;
    if (numbers != NULL)
        sscanf(numbers, "%d %d %d %d", &queue[0], &queue[1], &queue[2], &queue[3]);
    unsetenv(inherited);
}

void leave_sysv(void)
{
    char numbers[64];
    snprintf(numbers, sizeof numbers, "%d %d %d %d", queue[0], queue[1], queue[2], queue[3]);
    setenv(inherited, numbers, 1);
}
