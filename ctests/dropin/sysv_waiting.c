/* System V queues: who waits, and what ends his wait. */
#include "sysv.h"

static void a_message_wakes_him_who_waits_for_its_type(void)
{
    int id = new_queue();
    pid_t children[5];

    for (int type = 1; type <= 4; type++) {
        children[type] = start_child();
        if (children[type] == 0)
            _exit(!get(id, type, 0, type, "yours"));
    }
    children[0] = start_child();
    if (children[0] == 0)
        _exit(!get(id, 4, MSG_EXCEPT, 77, "not four"));
    for (int type = 1; type <= 4; type++)
        wait_until_asleep(children[type]);
    wait_until_asleep(children[0]);

    CHECK(put(id, 77, "not four", 0) == 0);
    JOIN(children[0]);
    for (int type = 4; type >= 1; type--) {
        CHECK(put(id, type, "yours", 0) == 0);
        JOIN(children[type]);
    }
}

static void many_types_at_once(void)
{
    enum { TYPES = 8, EACH = 300 };
    int id = new_queue();
    pid_t receivers[TYPES], senders[3];

    for (int i = 0; i < TYPES; i++) {
        receivers[i] = start_child();
        if (receivers[i] == 0) {
            int next[3] = {0};

            for (int n = 0; n < 3 * EACH; n++) {
                struct message message;
                int from, number;

                if (msgrcv(id, &message, sizeof message.text, i + 1, 0) < 0)
                    _exit(1);
                if (sscanf(message.text, "%d %d", &from, &number) != 2 || message.type != i + 1)
                    _exit(2);
                /* One sender's messages of one type come in order. */
                if (number != next[from]++)
                    _exit(3);
            }
            _exit(0);
        }
    }
    for (int from = 0; from < 3; from++) {
        senders[from] = start_child();
        if (senders[from] == 0) {
            for (int number = 0; number < EACH; number++)
                for (int i = 0; i < TYPES; i++) {
                    struct message message = {.type = (i + from) % TYPES + 1};

                    memset(message.text, 0, 64);
                    sprintf(message.text, "%d %d", from, number);
                    if (msgsnd(id, &message, (size_t)(32 + number % 32), 0) != 0)
                        _exit(1);
                }
            _exit(0);
        }
    }

    for (int from = 0; from < 3; from++)
        JOIN(senders[from]);
    for (int i = 0; i < TYPES; i++)
        JOIN(receivers[i]);
    CHECK(status_of(id).msg_qnum == 0 && status_of(id).__msg_cbytes == 0);
}

static int filled_queue(void)
{
    int id = new_queue();
    struct msqid_ds record = status_of(id);

    record.msg_qbytes = 10;
    CHECK(msgctl(id, IPC_SET, &record) == 0 && put(id, 1, "12345678", 0) == 0);
    return id;
}

static void room_wakes_him_whose_message_fits(void)
{
    int id = filled_queue();
    pid_t large = start_child(), small;

    if (large == 0)
        _exit(put(id, 3, "1234567890", 0) != 0);
    wait_until_asleep(large);
    small = start_child();
    if (small == 0)
        _exit(put(id, 2, "123", 0) != 0);
    wait_until_asleep(small);
    /* Two bytes more are there: too few for either. */
    CHECK(put(id, 1, "12", IPC_NOWAIT) == 0 && get(id, 0, 0, 1, "12345678"));

    JOIN(small);
    CHECK(get(id, 0, 0, 1, "12") && get(id, 0, 0, 2, "123") && get(id, 0, 0, 3, "1234567890"));
    JOIN(large);
}

static void a_larger_bound_wakes_a_sender(void)
{
    int id = filled_queue();
    struct msqid_ds record = status_of(id);
    pid_t child = start_child();

    if (child == 0)
        _exit(put(id, 2, "1234", 0) != 0);
    wait_until_asleep(child);
    record.msg_qbytes = 12;
    CHECK(msgctl(id, IPC_SET, &record) == 0);

    JOIN(child);
    CHECK(status_of(id).msg_qnum == 2);
}

static void removal_ends_all_waits(void)
{
    int empty = new_queue(), full = filled_queue();
    pid_t children[6];

    for (int i = 0; i < 6; i++) {
        children[i] = start_child();
        if (children[i] == 0) {
            struct message message;

            if (i < 3)
                _exit(!(msgrcv(empty, &message, 10, i - 1, 0) == -1 && errno == EIDRM));
            _exit(!(put(full, 1, "12345", 0) == -1 && errno == EIDRM));
        }
        wait_until_asleep(children[i]);
    }
    CHECK(msgctl(empty, IPC_RMID, NULL) == 0 && msgctl(full, IPC_RMID, NULL) == 0);

    for (int i = 0; i < 6; i++)
        JOIN(children[i]);
}

static volatile sig_atomic_t handled;

static void handle(int signal)
{
    (void)signal;
    handled = 1;
}

static void a_handler_ends_a_wait_even_with_sa_restart(void)
{
    int empty = new_queue(), full = filled_queue();

    for (int i = 0; i < 4; i++) {
        pid_t child = start_child();

        if (child == 0) {
            struct sigaction action = {.sa_handler = handle, .sa_flags = i % 2 ? SA_RESTART : 0};
            struct message message;
            int is_right;

            sigaction(SIGUSR1, &action, NULL);
            is_right = i < 2 ? msgrcv(empty, &message, 10, 0, 0) == -1 && errno == EINTR
                             : put(full, 1, "12345", 0) == -1 && errno == EINTR;
            _exit(!(is_right && handled));
        }
        wait_until_asleep(child);
        kill(child, SIGUSR1);
        JOIN(child);
    }
    CHECK(status_of(empty).msg_qnum == 0 && status_of(full).msg_qnum == 1);
}

static void a_stop_does_not_end_a_wait(void)
{
    int id = new_queue(), how;
    pid_t child = start_child();

    if (child == 0)
        _exit(!get(id, 1, 0, 1, "late"));
    wait_until_asleep(child);
    kill(child, SIGSTOP);
    CHECK(waitpid(child, &how, WUNTRACED) == child && WIFSTOPPED(how));
    kill(child, SIGCONT);
    wait_until_asleep(child);

    CHECK(put(id, 1, "late", 0) == 0);
    JOIN(child);
}

struct waiter {
    int id, is_send;
    volatile pid_t number;
};

static void *wait_in_a_call(void *argument)
{
    struct waiter *waiter = argument;
    struct message message;

    waiter->number = gettid();
    if (waiter->is_send)
        put(waiter->id, 1, "12345", 0);
    else
        msgrcv(waiter->id, &message, 10, 5, 0);
    return NULL;
}

static void a_thread_can_be_cancelled_in_a_wait(void)
{
    struct waiter waiters[] = {{new_queue(), 0, 0}, {filled_queue(), 1, 0}};

    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *result;

        CHECK(pthread_create(&thread, NULL, wait_in_a_call, &waiters[i]) == 0);
        while (waiters[i].number == 0)
            sched_yield();
        wait_until_asleep(waiters[i].number);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED);
    }
    /* Nothing is the worse for it. */
    CHECK(put(waiters[0].id, 5, "five", 0) == 0 && get(waiters[0].id, 0, 0, 5, "five"));
    CHECK(get(waiters[1].id, 0, 0, 1, "12345678") && put(waiters[1].id, 1, "12345", 0) == 0);
}

static int handlers_queue;

static void use_in_handler(int signal)
{
    (void)signal;
    if (put(handlers_queue, 2, "from a handler", IPC_NOWAIT) != 0)
        _exit(9);
}

static void a_handler_may_send_in_the_midst_of_a_wait(void)
{
    int id = new_queue();
    pid_t child;

    handlers_queue = new_queue();
    child = start_child();
    if (child == 0) {
        struct message message;

        signal(SIGUSR1, use_in_handler);
        _exit(!(msgrcv(id, &message, 10, 0, 0) == -1 && errno == EINTR));
    }
    wait_until_asleep(child);
    kill(child, SIGUSR1);

    JOIN(child);
    CHECK(get(handlers_queue, 2, 0, 2, "from a handler"));
}

int main(void)
{
    sysv_begin();
    RUN(a_message_wakes_him_who_waits_for_its_type);
    RUN(many_types_at_once);
    RUN(room_wakes_him_whose_message_fits);
    RUN(a_larger_bound_wakes_a_sender);
    RUN(removal_ends_all_waits);
    RUN(a_handler_ends_a_wait_even_with_sa_restart);
    RUN(a_stop_does_not_end_a_wait);
    RUN(a_thread_can_be_cancelled_in_a_wait);
    RUN(a_handler_may_send_in_the_midst_of_a_wait);
    return check_end();
}
