/* What the System V programs for the drop-in share. As queues.h: nothing in them knows of this
 * library, and the kernel judges them first. */
#ifndef SYSV_H
#define SYSV_H

#include "../program.h"
#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

struct message {
    long type;
    char text[8192];
};

/* The queues that the program has made; they go with it. */
HELPER int made[64], made_count;
HELPER pid_t maker;

HELPER void remove_queues(void)
{
    if (getpid() == maker)
        while (made_count > 0)
            msgctl(made[--made_count], IPC_RMID, NULL);
}

HELPER void sysv_begin(void)
{
    check_begin();
    maker = getpid();
    atexit(remove_queues);
}

HELPER int queue(key_t key, int flags)
{
    int id = (int)SYSTEM(msgget(key, flags));

    CHECK(made_count < 64);
    made[made_count++] = id;
    return id;
}

HELPER int new_queue(void)
{
    return queue(IPC_PRIVATE, IPC_CREAT | 0600);
}

/* Send a text; the result of msgsnd. */
HELPER int put(int id, long type, const char *text, int flags)
{
    struct message message = {.type = type};

    strcpy(message.text, text);
    return msgsnd(id, &message, strlen(text), flags);
}

/* Receive something of any length; the result of msgrcv. */
HELPER long take(int id, long wanted, int flags)
{
    struct message message;

    return msgrcv(id, &message, sizeof message.text, wanted, flags);
}

/* Whether this text of this type comes. */
HELPER int get(int id, long wanted, int flags, long type, const char *text)
{
    struct message message;
    ssize_t len = msgrcv(id, &message, sizeof message.text, wanted, flags);

    return len == (ssize_t)strlen(text) && message.type == type &&
           memcmp(message.text, text, (size_t)len) == 0;
}

HELPER struct msqid_ds status_of(int id)
{
    struct msqid_ds record;

    memset(&record, 0xaa, sizeof record);
    SYSTEM(msgctl(id, IPC_STAT, &record));
    return record;
}

#endif
