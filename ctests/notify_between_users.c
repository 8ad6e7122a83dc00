/* A sender notifies a registrant of another user, whom it has no right to send signals. */
#include "check.h"

static void the_signal_crosses_users(void)
{
    static const struct {
        unsigned registrant, sender;
    } cases[] = {{NOBODY, 0}, {0, NOBODY}, {NOBODY, SOMEBODY}};

    SKIP_IF(geteuid() != 0, "needs root to become other users");
    block_signal(SIGRTMIN);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *name = new_name();
        struct gate registered = new_gate();
        pid_t *sender = shared_memory(sizeof *sender);
        mqrs_queue *queue = create_queue(name, 4, 16, 0);
        pid_t registrant;

        CHECK_OK(mqrs_set_owner(queue, 0666, UINT32_MAX, UINT32_MAX));
        if ((registrant = start_child()) == 0) {
            mqrs_queue *own;
            siginfo_t info;

            become_user(cases[i].registrant);
            own = open_queue(name, O_RDWR);
            CHECK_OK(mqrs_notify_signal(own, SIGRTMIN, 8, 0));
            open_gate(registered);
            info = take_signal(SIGRTMIN);
            CHECK_EQUAL(SI_MESGQ, info.si_code);
            CHECK_EQUAL(cases[i].sender, info.si_uid);
            CHECK_EQUAL(__atomic_load_n(sender, __ATOMIC_SEQ_CST), info.si_pid);
            CHECK_EQUAL(8, info.si_value.sival_int);
            EXPECT_TEXT(own, "x", 0);
            CHILD_END;
        }
        pass_gate(registered);
        if (start_child() == 0) {
            mqrs_queue *own;

            __atomic_store_n(sender, getpid(), __ATOMIC_SEQ_CST);
            become_user(cases[i].sender);
            own = open_queue(name, O_RDWR);
            if (cases[i].sender != 0 && cases[i].sender != cases[i].registrant) {
                /* It may not do so itself. */
                CHECK_EQUAL(-1, kill(registrant, 0));
                CHECK_EQUAL(EPERM, errno);
            }
            CHECK_ERROR(EBUSY, mqrs_notify_signal(own, SIGRTMIN, 9, 0));
            send_text(own, "x", 0);
            CHILD_END;
        }
        JOIN(-1);
        JOIN(-1);
        SYSTEM(munmap(sender, sizeof *sender));
        remove_gate(registered);
        close_and_unlink(queue, name);
    }
}

int main(void)
{
    check_begin();
    RUN(the_signal_crosses_users);
    return check_end();
}
