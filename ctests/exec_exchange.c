/* Programs that share nothing but the names of two queues exchange messages. */
#include "check.h"

enum { ROUNDS = 500 };

/* The other program: it has been started by exec and opens what it is told to open. */
static int answer_questions(const char *question, const char *answer)
{
    mqrs_queue *in = open_queue(question, O_RDONLY), *out = open_queue(answer, O_WRONLY);
    char text[128];
    uint32_t prio;

    for (int round = 0; round < ROUNDS; round++) {
        ssize_t len = mqrs_receive(in, text, sizeof text, &prio);

        CHECK_OK(len);
        for (ssize_t i = 0; i < len / 2; i++) {
            char swap = text[i];

            text[i] = text[len - 1 - i];
            text[len - 1 - i] = swap;
        }
        CHECK_OK(mqrs_send(out, text, (size_t)len, prio));
    }
    CHECK_OK(mqrs_close(in));
    CHECK_OK(mqrs_close(out));
    return 0;
}

static void a_program_started_by_exec_opens_the_queues_by_name(void)
{
    const char *question = new_name(), *answer = new_name();
    mqrs_queue *questions = create_queue(question, 3, 128, 0);
    mqrs_queue *answers = create_queue(answer, 3, 128, 0);
    pid_t peer = start_role("answer", question, answer);

    for (int round = 0; round < ROUNDS; round++) {
        char text[32], reversed[32], got[128];
        uint32_t prio;
        int len = snprintf(text, sizeof text, "round %d of many", round);

        for (int i = 0; i < len; i++)
            reversed[i] = text[len - 1 - i];
        CHECK_OK(mqrs_send(questions, text, (size_t)len, 5));
        CHECK_EQUAL(len, mqrs_receive(answers, got, sizeof got, &prio));
        CHECK(memcmp(reversed, got, (size_t)len) == 0);
        CHECK_EQUAL(5, prio);
    }
    JOIN(peer);
    close_and_unlink(questions, question);
    close_and_unlink(answers, answer);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return answer_questions(argv[2], argv[3]);
    check_begin();
    RUN(a_program_started_by_exec_opens_the_queues_by_name);
    return check_end();
}
