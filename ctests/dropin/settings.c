/* Opens queues named on the command line and says what became of each: "ours", "kernel" or the
 * errno. tests/dropin.rs runs it under several environments. Usage: settings MAXMSG NAME... */
#include "queues.h"

int main(int argc, char **argv)
{
    struct mq_attr attr = {0};

    attr.mq_maxmsg = atol(argv[1]);
    attr.mq_msgsize = 8192;
    for (int i = 2; i < argc; i++) {
        mqd_t queue = mq_open(argv[i], O_CREAT | O_RDWR, 0600, &attr);
        char *buffer = malloc(8192);
        struct stat status;

        if (queue == -1) {
            printf("%d\n", errno);
            continue;
        }
        SYSTEM(fstat(queue, &status));
        printf("%s\n", S_ISFIFO(status.st_mode) ? "ours" : "kernel");
        SYSTEM(mq_send(queue, "1", 1, 5));
        CHECK_EQUAL(1, attributes_of(queue).mq_curmsgs);
        CHECK_EQUAL(1, SYSTEM(mq_receive(queue, buffer, 8192, NULL)));
        free(buffer);
    }
    /* They stay open, so that limits count them, and go with the program. */
    for (int i = 2; i < argc; i++)
        mq_unlink(argv[i]);
    return 0;
}
