/* A program that uses System V queues and nothing of ours: msgget(2), msgop(2), msgctl(2).
 *
 *     sysv KEY
 *
 * It does what the lines on its standard input say; peer.rs has the list. */
#define _GNU_SOURCE
#include "peer.h"
#include <sys/ipc.h>
#include <sys/msg.h>

static int queue = -1;

static struct {
    long type;
    unsigned char bytes[MOST_BYTES];
} buffer;

/* These functions wait for ever or not at all. */
static int flags_of(long wait)
{
    return wait == FOREVER ? 0 : IPC_NOWAIT;
}

static void receive_message(size_t capacity, int flags)
{
    ssize_t length = msgrcv(queue, &buffer, capacity, number(1), flags);

    if (length == -1)
        answer(-1);
    else
        answer_message(buffer.type, buffer.bytes, (size_t)length);
}

/* take SELECTOR CAPACITY [n][x][c]: MSG_NOERROR, MSG_EXCEPT, MSG_COPY. */
static void take_message(void)
{
    const char *letters = words[3] ? words[3] : "";
    int flags = IPC_NOWAIT;

    flags |= strchr(letters, 'n') ? MSG_NOERROR : 0;
    flags |= strchr(letters, 'x') ? MSG_EXCEPT : 0;
    flags |= strchr(letters, 'c') ? MSG_COPY : 0;
    receive_message((size_t)number(2), flags);
}

static void tell_attributes(void)
{
    struct msqid_ds state;

    if (msgctl(queue, IPC_STAT, &state) == -1)
        answer(-1);
    else
        printf("ok %lu %lu %ld %ld %o\n", (unsigned long)state.msg_qnum,
               (unsigned long)state.msg_qbytes, (long)state.msg_lspid, (long)state.msg_lrpid,
               (unsigned)state.msg_perm.mode);
}

static long set_bytes(unsigned long most)
{
    struct msqid_ds state;

    if (msgctl(queue, IPC_STAT, &state) == -1)
        return -1;
    state.msg_qbytes = most;
    return msgctl(queue, IPC_SET, &state);
}

int main(int count, char **arguments)
{
    key_t key = count > 1 ? (key_t)strtoul(arguments[1], NULL, 10) : 0;

    while (next_line()) {
        if (is("create")) {
            queue = msgget(key, IPC_CREAT | IPC_EXCL | 0640);
            answer(queue);
        } else if (is("open")) {
            queue = msgget(key, 0);
            answer(queue);
        } else if (is("adopt")) {
            queue = (int)number(1);
            answer(0);
        } else if (is("send")) {
            size_t length = message(3, buffer.bytes);

            buffer.type = number(1);
            answer(msgsnd(queue, &buffer, length, flags_of(wait_of(2))));
        } else if (is("receive")) {
            receive_message(sizeof buffer.bytes, flags_of(wait_of(2)));
        } else if (is("take")) {
            take_message();
        } else if (is("attributes")) {
            tell_attributes();
        } else if (is("bytes")) {
            answer(set_bytes((unsigned long)number(1)));
        } else if (is("remove")) {
            answer(msgctl(queue, IPC_RMID, NULL));
        } else {
            puts("unknown");
        }
    }
    return 0;
}
