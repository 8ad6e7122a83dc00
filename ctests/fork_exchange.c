/* A process and its forked child exchange messages, each with a handle of its own. */
#include "check.h"

enum { ROUNDS = 2000 };

static void a_forked_child_answers_every_message(void)
{
    const char *question = new_name(), *answer = new_name();
    mqrs_queue *questions = create_queue(question, 4, 64, 0);
    mqrs_queue *answers = create_queue(answer, 4, 64, 0);
    pid_t child = start_child();

    if (child == 0) {
        mqrs_queue *in = open_queue(question, O_RDONLY), *out = open_queue(answer, O_WRONLY);

        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint64_t number;
            uint32_t prio;

            CHECK_EQUAL(sizeof number, mqrs_receive(in, &number, sizeof number, &prio));
            CHECK_EQUAL(round, number);
            CHECK_EQUAL(round % 3, prio);
            number *= 2;
            CHECK_OK(mqrs_send(out, &number, sizeof number, prio + 1));
        }
        CHECK_OK(mqrs_close(in));
        CHECK_OK(mqrs_close(out));
        CHILD_END;
    }
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t number = round;
        uint32_t prio;

        CHECK_EQUAL(0, mqrs_send(questions, &number, sizeof number, (uint32_t)(round % 3)));
        CHECK_EQUAL(sizeof number, mqrs_receive(answers, &number, sizeof number, &prio));
        CHECK_EQUAL(2 * round, number);
        CHECK_EQUAL(round % 3 + 1, prio);
    }
    JOIN(child);
    close_and_unlink(questions, question);
    close_and_unlink(answers, answer);
}

static void messages_outlive_their_sender(void)
{
    const char *name = new_name();
    mqrs_queue *queue;
    pid_t child = start_child();

    if (child == 0) {
        queue = create_queue(name, 4, 64, 0);
        send_text(queue, "left behind", 7);
        CHILD_END; /* without closing: the process just ends */
    }
    JOIN(child);

    queue = open_queue(name, O_RDWR);
    EXPECT_TEXT(queue, "left behind", 7);
    close_and_unlink(queue, name);
}

int main(void)
{
    check_begin();
    RUN(a_forked_child_answers_every_message);
    RUN(messages_outlive_their_sender);
    return check_end();
}
