/* System V messages: which one comes, how long it may be, and what is refused. */
#include "sysv.h"

static void the_oldest_comes_first_if_none_is_named(void)
{
    int id = new_queue();

    CHECK(put(id, 5, "a", 0) == 0 && put(id, 1, "b", 0) == 0 && put(id, 5, "c", 0) == 0);

    CHECK(get(id, 0, 0, 5, "a") && get(id, 0, 0, 1, "b") && get(id, 0, 0, 5, "c"));
    REFUSED(ENOMSG, take(id, 0, IPC_NOWAIT));
}

static void a_type_picks_the_oldest_of_its_kind(void)
{
    int id = new_queue();

    CHECK(put(id, 1, "a", 0) == 0 && put(id, 2, "b", 0) == 0 && put(id, 2, "c", 0) == 0);
    CHECK(put(id, 1, "d", 0) == 0);

    CHECK(get(id, 2, IPC_NOWAIT, 2, "b") && get(id, 1, IPC_NOWAIT, 1, "a"));
    CHECK(get(id, 2, IPC_NOWAIT, 2, "c"));
    REFUSED(ENOMSG, take(id, 2, IPC_NOWAIT));
    CHECK(get(id, 1, IPC_NOWAIT, 1, "d"));
}

static void a_negative_type_picks_the_lowest_up_to_it(void)
{
    int id = new_queue();

    CHECK(put(id, 9, "a", 0) == 0 && put(id, 4, "b", 0) == 0 && put(id, 3, "c", 0) == 0);
    CHECK(put(id, 3, "d", 0) == 0);

    CHECK(get(id, -4, IPC_NOWAIT, 3, "c") && get(id, -4, IPC_NOWAIT, 3, "d"));
    CHECK(get(id, -4, IPC_NOWAIT, 4, "b"));
    REFUSED(ENOMSG, take(id, -4, IPC_NOWAIT));
    CHECK(get(id, (long)(~0UL ^ (~0UL >> 1)), IPC_NOWAIT, 9, "a"));
}

static void all_but_one_type(void)
{
    int id = new_queue();

    CHECK(put(id, 7, "a", 0) == 0 && put(id, 8, "b", 0) == 0);

    CHECK(get(id, 7, IPC_NOWAIT | MSG_EXCEPT, 8, "b"));
    REFUSED(ENOMSG, take(id, 7, IPC_NOWAIT | MSG_EXCEPT));
    /* It says nothing beside a type that is not positive. */
    CHECK(get(id, -7, IPC_NOWAIT | MSG_EXCEPT, 7, "a"));
}

static void the_largest_types_are_types(void)
{
    int id = new_queue();
    long most = (long)(~0UL >> 1);

    CHECK(put(id, most, "most", 0) == 0 && put(id, most - 1, "less", 0) == 0);

    CHECK(get(id, -most, IPC_NOWAIT, most - 1, "less") && get(id, most, IPC_NOWAIT, most, "most"));
}

static void a_message_that_does_not_fit_stays_or_is_cut(void)
{
    int id = new_queue();
    struct message message;

    CHECK(put(id, 1, "12345", 0) == 0 && put(id, 2, "", 0) == 0);

    REFUSED(E2BIG, msgrcv(id, &message, 4, 0, IPC_NOWAIT));
    REFUSED(E2BIG, msgrcv(id, &message, 4, 1, IPC_NOWAIT));
    CHECK(status_of(id).msg_qnum == 2 && status_of(id).__msg_cbytes == 5);
    memset(&message, '-', sizeof message);
    CHECK(msgrcv(id, &message, 4, 1, IPC_NOWAIT | MSG_NOERROR) == 4);
    CHECK(memcmp(message.text, "1234-", 5) == 0);
    CHECK(status_of(id).msg_qnum == 1 && status_of(id).__msg_cbytes == 0);
    CHECK(msgrcv(id, &message, 0, 0, IPC_NOWAIT) == 0 && message.type == 2);
}

static void a_copy_leaves_the_message(void)
{
    int id = new_queue();
    struct message message;
    const int copy = MSG_COPY | IPC_NOWAIT;

    CHECK(put(id, 3, "zero", 0) == 0 && put(id, 2, "one", 0) == 0 && put(id, 3, "two", 0) == 0);
    SKIP_IF(take(id, 0, copy) < 0 && errno == ENOSYS, "the kernel copies no messages");

    CHECK(get(id, 1, copy, 2, "one") && get(id, 0, copy, 3, "zero") && get(id, 2, copy, 3, "two"));
    REFUSED(ENOMSG, msgrcv(id, &message, sizeof message.text, 3, copy));
    REFUSED(ENOMSG, msgrcv(id, &message, sizeof message.text, -1, copy));
    REFUSED(EINVAL, msgrcv(id, &message, sizeof message.text, 0, MSG_COPY));
    REFUSED(EINVAL, msgrcv(id, &message, sizeof message.text, 0, copy | MSG_EXCEPT));
    REFUSED(E2BIG, msgrcv(id, &message, 3, 0, copy));
    REFUSED(EINVAL, msgrcv(id, &message, 3, 0, copy | MSG_NOERROR));
    CHECK(status_of(id).msg_qnum == 3);
    /* Also in what is left when some were taken out of turn. */
    CHECK(get(id, 2, 0, 2, "one") && get(id, 1, copy, 3, "two"));
    for (int i = 0; i < 100; i++) {
        char text[16];

        sprintf(text, "%d", i);
        CHECK(put(id, 1 + i, text, 0) == 0);
    }
    CHECK(get(id, 1 + 70, 0, 1 + 70, "70") && get(id, 2 + 71, copy, 1 + 72, "72"));
    CHECK(get(id, 2 + 98, copy, 1 + 99, "99"));
}

static void what_is_wrong_is_told_in_the_kernels_order(void)
{
    int id = new_queue();
    struct message message = {.type = 1};

    REFUSED(EINVAL, msgsnd(id, &(struct message){.type = 0}, 1, 0));
    REFUSED(EINVAL, msgsnd(id, &(struct message){.type = -1}, 1, 0));
    REFUSED(EINVAL, msgsnd(-1, &message, 1, 0));
    REFUSED(EINVAL, msgsnd(id, &message, (size_t)-1, 0));
    REFUSED(EINVAL, msgrcv(-1, &message, 1, 0, IPC_NOWAIT));
    REFUSED(EINVAL, msgrcv(id, &message, (size_t)-1, 0, IPC_NOWAIT));
    REFUSED(EINVAL, msgrcv(-1, &message, 1, 0, MSG_COPY));
    REFUSED(EFAULT, msgsnd(id, NULL, 1, 0));
    CHECK(msgctl(id, IPC_RMID, NULL) == 0);
    REFUSED(EINVAL, msgsnd(id, &message, 1, IPC_NOWAIT));
    REFUSED(EINVAL, msgrcv(id, &message, 1, 0, IPC_NOWAIT));
    REFUSED(EINVAL, msgctl(id, IPC_RMID, NULL));
}

static void the_longest_message_is_msgmax(void)
{
    int id = new_queue();
    struct msginfo info;
    char *message;
    size_t longest;

    CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
    longest = (size_t)info.msgmax;
    message = calloc(1, sizeof(long) + longest + 1);
    CHECK(message != NULL);
    *(long *)message = 1;
    message[sizeof(long) + longest - 1] = 'z';

    REFUSED(EINVAL, msgsnd(id, message, longest + 1, IPC_NOWAIT));
    if ((int)longest <= info.msgmnb) {
        CHECK(msgsnd(id, message, longest, IPC_NOWAIT) == 0);
        message[sizeof(long) + longest - 1] = 0;
        CHECK(msgrcv(id, message, longest, 1, IPC_NOWAIT) == (ssize_t)longest);
        CHECK(message[sizeof(long) + longest - 1] == 'z');
    }
    free(message);
}

int main(void)
{
    sysv_begin();
    RUN(the_oldest_comes_first_if_none_is_named);
    RUN(a_type_picks_the_oldest_of_its_kind);
    RUN(a_negative_type_picks_the_lowest_up_to_it);
    RUN(all_but_one_type);
    RUN(the_largest_types_are_types);
    RUN(a_message_that_does_not_fit_stays_or_is_cut);
    RUN(a_copy_leaves_the_message);
    RUN(what_is_wrong_is_told_in_the_kernels_order);
    RUN(the_longest_message_is_msgmax);
    return check_end();
}
