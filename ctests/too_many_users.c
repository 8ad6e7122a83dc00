/* 1024 processes may use one queue; the next one is told, and let in when one has gone. */
#include "check.h"
#include <sys/resource.h>

enum { USERS = 1024 };

static void the_1025th_process_is_eusers(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0), *none = NULL;
    struct gate attached = new_gate();
    static pid_t users[USERS];
    pid_t child;

    for (int i = 1; i < USERS; i++) {
        if ((users[i] = start_child()) == 0) {
            /* Half of them use what they inherited, half open it themselves. */
            mqrs_queue *own = i % 2 ? queue : open_queue(name, O_RDWR);

            CHECK_ERROR(EAGAIN, mqrs_timedreceive(own, (char[64]){0}, 64, MQRS_NOWAIT, NULL));
            open_gate(attached);
            for (;;)
                pause();
        }
    }
    for (int i = 1; i < USERS; i++)
        pass_gate(attached);

    if ((child = start_child()) == 0) {
        /* A child of a fork meets it in its first call, of whatever kind. */
        CHECK_ERROR(EUSERS, mqrs_timedreceive(queue, (char[64]){0}, 64, MQRS_NOWAIT, NULL));
        CHECK_ERROR(EUSERS, mqrs_send(queue, "x", 1, 0));
        CHECK_ERROR(EUSERS, mqrs_open(name, O_RDWR, NULL, 0, &none));
        CHECK(none == NULL);
        CHILD_END;
    }
    JOIN(child);
    kill_child(users[7]);
    if ((child = start_child()) == 0) {
        mqrs_queue *own = open_queue(name, O_RDWR);

        send_text(own, "let in", 0);
        CHILD_END;
    }
    JOIN(child);
    EXPECT_TEXT(queue, "let in", 0);
    for (int i = 1; i < USERS; i++)
        if (i != 7)
            kill_child(users[i]);
    remove_gate(attached);
    close_and_unlink(queue, name);
}

/* It is processes that are counted: one has as many handles as it likes. */
int main(void)
{
    check_begin();
    RUN(the_1025th_process_is_eusers);
    return check_end();
}
