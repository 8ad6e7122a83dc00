/*
 * demo.c: processes pass the lines of files through queues, compared byte for byte.
 *
 *     demo [-n COPIES] FILE...
 *
 * Each job makes two queues, starts the programs by exec, and looks at what they did:
 *
 *     producer 0 --+--> queue "code" ------> consumer, blocked in receive
 *                  |              \--------> consumer, blocked in receive
 *     producer 1 --+--> queue "documents" -> consumer, waits for a notification
 *
 * It runs first on queues of the library, then, with the same sources of producer and
 * consumer, on the kernel's.
 */
#define _POSIX_C_SOURCE 200809L

#include "demo.h"

#include <mqueue_rs.h>

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PRODUCERS = 2, CONSUMERS = 3, PATIENCE_S = 60, MESSAGES_WANTED = 1000000 };

/* A queue, of one kind or the other. */
struct queue {
    char name[64];
    mqrs_queue *ours;
    mqd_t kernels; /* -1: this queue is ours */
    int is_there;
};

enum { CODE, DOCUMENTS, QUEUES };

static struct queue queues[QUEUES];
static pid_t children[PRODUCERS + CONSUMERS]; /* 0: not running */
static char directory[4096];                  /* where the programs are */
static struct timespec give_up;               /* when, on CLOCK_MONOTONIC */

static double seconds(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - since->tv_sec) + (double)(now.tv_nsec - since->tv_nsec) / 1e9;
}

/* ---- queues ---- */

/* Returns 0, or the errno why the kernel has no such queue for us. */
static int make_queue(struct queue *queue, const char *what, int is_kernels, long depth)
{
    snprintf(queue->name, sizeof queue->name, "/mqrs-demo-%ld-%s", (long)getpid(), what);
    if (is_kernels) {
        struct mq_attr attr;

        memset(&attr, 0, sizeof attr);
        attr.mq_maxmsg = depth;
        attr.mq_msgsize = sizeof(struct message);
        queue->kernels = mq_open(queue->name, O_WRONLY | O_CREAT | O_EXCL, 0600, &attr);
        if (queue->kernels < 0)
            return errno;
    } else {
        struct mqrs_options options;
        int err;

        /* Zero means the default in every field. */
        memset(&options, 0, sizeof options);
        options.maxmsg = (uint64_t)depth;
        options.msgsize = sizeof(struct message);
        err = mqrs_open(queue->name, O_WRONLY | O_CREAT | O_EXCL, &options, sizeof options,
                        &queue->ours);
        if (err < 0)
            stop_call("mqrs_open", err);
        queue->kernels = -1;
    }
    queue->is_there = 1;
    return 0;
}

/* Tell one consumer that nothing will come any more. It is the least urgent message, so
 * all others are taken before. */
static void send_end(struct queue *queue)
{
    struct message message;

    memset(&message, 0, sizeof message);
    message.file = NO_FILE;
    if (queue->kernels >= 0) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += PATIENCE_S;
        if (mq_timedsend(queue->kernels, (char *)&message, HEADER_SIZE, PRIO_END, &until) < 0)
            stop("mq_timedsend", strerror(errno));
    } else {
        int err = mqrs_timedsend(queue->ours, &message, HEADER_SIZE, PRIO_END,
                                 PATIENCE_S * INT64_C(1000000000));

        if (err < 0)
            stop_call("mqrs_timedsend", err);
    }
}

static void remove_queue(struct queue *queue)
{
    if (!queue->is_there)
        return;
    queue->is_there = 0;
    if (queue->kernels >= 0) {
        mq_close(queue->kernels);
        mq_unlink(queue->name);
    } else {
        mqrs_close(queue->ours);
        mqrs_unlink(queue->name);
    }
}

/* ---- processes ---- */

/* Start a program of ours, with its output in `output`. */
static pid_t start(char **arguments, FILE *output)
{
    pid_t parent = getpid(), child = fork();
    sigset_t none;

    if (child < 0)
        stop("fork", strerror(errno));
    if (child > 0)
        return child;
    /* Nobody is left behind, not even if this program is killed. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (output == NULL || dup2(fileno(output), STDOUT_FILENO) >= 0)
        execv(arguments[0], arguments);
    fprintf(stderr, "demo: %s: %s\n", arguments[0], strerror(errno));
    _exit(EXIT_FAILURE);
}

/* The path of a program; that for the kernel's queues has another name. */
static const char *program(const char *name, int is_kernels)
{
    static char path[4200];

    snprintf(path, sizeof path, "%s/%s%s", directory, name, is_kernels ? "-kernel" : "");
    return path;
}

/* A program's argument that is a number. */
static const char *decimal(uint32_t value, char text[16])
{
    snprintf(text, 16, "%u", (unsigned)value);
    return text;
}

static pid_t start_producer(int is_kernels, const struct queue *code,
                            const struct queue *documents, uint32_t part, uint32_t parts,
                            uint32_t copies, uint32_t most, const struct file *files,
                            uint32_t file_count)
{
    const char **arguments = (const char **)calloc(file_count + 8, sizeof *arguments);
    char numbers[4][16];
    uint32_t i;
    pid_t child;

    if (arguments == NULL)
        stop("demo", "no memory");
    arguments[0] = program("producer", is_kernels);
    arguments[1] = code->name;
    arguments[2] = documents->name;
    arguments[3] = decimal(part, numbers[0]);
    arguments[4] = decimal(parts, numbers[1]);
    arguments[5] = decimal(copies, numbers[2]);
    arguments[6] = decimal(most, numbers[3]);
    for (i = 0; i < file_count; i++)
        arguments[7 + i] = files[i].path;
    child = start((char **)arguments, NULL);
    free(arguments);
    return child;
}

static pid_t start_consumer(int is_kernels, const struct queue *queue, const char *how,
                            FILE *output)
{
    const char *arguments[4] = {NULL, NULL, NULL, NULL};

    arguments[0] = program("consumer", is_kernels);
    arguments[1] = queue->name;
    arguments[2] = how;
    return start((char **)arguments, output);
}

/* A child ended: badly is the end of the whole demo. */
static void note_end(pid_t child, int status)
{
    size_t i;

    for (i = 0; i < sizeof children / sizeof *children; i++)
        if (children[i] == child)
            children[i] = 0;
    if (WIFSIGNALED(status))
        stop("a program was killed", strsignal(WTERMSIG(status)));
    if (status != 0)
        stop("a program failed", "it said why");
}

/* Wait until the children from `first` to before `end` are done. The signals that we wait
 * for are blocked everywhere else, so that none is missed. */
static void wait_for(size_t first, size_t end)
{
    sigset_t set;
    size_t i;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    for (;;) {
        struct timespec left = {0, 0};
        int status, signo;
        pid_t child;

        while ((child = waitpid(-1, &status, WNOHANG)) > 0)
            note_end(child, status);
        for (i = first; i < end && children[i] == 0; i++) {
        }
        if (i == end)
            return;

        left.tv_sec = (time_t)-seconds(&give_up);
        if (left.tv_sec <= 0)
            stop("watchdog", "the programs are not done after a minute");
        signo = sigtimedwait(&set, NULL, &left);
        if (signo > 0 && signo != SIGCHLD)
            stop("ended by a signal", strsignal(signo));
    }
}

static void block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* However the demo ends, no process and no queue is left. */
static void clean_up(void)
{
    size_t i;

    for (i = 0; i < sizeof children / sizeof *children; i++) {
        if (children[i] > 0) {
            kill(children[i], SIGKILL);
            waitpid(children[i], NULL, 0);
        }
    }
    for (i = 0; i < QUEUES; i++)
        remove_queue(&queues[i]);
}

/* ---- the job ---- */

/* A file for what a consumer writes, without a name. */
static FILE *new_log(void)
{
    FILE *log = tmpfile();

    if (log == NULL)
        stop("tmpfile", strerror(errno));
    return log;
}

/* One producer fills a queue; then one consumer takes it all in one go. */
static void order(int is_kernels, uint32_t depth, const struct file *files, uint32_t file_count)
{
    FILE *log = new_log();

    children[0] = start_producer(is_kernels, &queues[CODE], &queues[CODE], 0, 1, 1, depth, files,
                                 file_count);
    wait_for(0, 1);
    children[0] = start_consumer(is_kernels, &queues[CODE], "once", log);
    wait_for(0, 1);
    rewind(log);
    check_order(log, files, file_count, depth);
    fclose(log);
}

/* All files, all processes at once; returns the messages per second. */
static double transfer(int is_kernels, const struct file *files, uint32_t file_count,
                       uint32_t copies)
{
    static const struct {
        int queue;
        const char *how;
    } roles[CONSUMERS] = {{CODE, "blocking"}, {CODE, "blocking"}, {DOCUMENTS, "notified"}};
    FILE *logs[CONSUMERS];
    struct timespec began;
    double took;
    uint64_t messages;
    uint32_t i;

    clock_gettime(CLOCK_MONOTONIC, &began);
    for (i = 0; i < CONSUMERS; i++) {
        logs[i] = new_log();
        children[PRODUCERS + i] =
            start_consumer(is_kernels, &queues[roles[i].queue], roles[i].how, logs[i]);
    }
    for (i = 0; i < PRODUCERS; i++)
        children[i] = start_producer(is_kernels, &queues[CODE], &queues[DOCUMENTS], i, PRODUCERS,
                                     copies, 0, files, file_count);
    wait_for(0, PRODUCERS);
    for (i = 0; i < CONSUMERS; i++)
        send_end(&queues[roles[i].queue]);
    wait_for(PRODUCERS, PRODUCERS + CONSUMERS);
    took = seconds(&began);

    for (i = 0; i < CONSUMERS; i++)
        rewind(logs[i]);
    messages = check_all(logs, CONSUMERS, files, file_count, copies);
    for (i = 0; i < CONSUMERS; i++)
        fclose(logs[i]);
    return (double)messages / took;
}

/* The whole job on queues of `depth` messages. Returns the messages per second, or 0 and
 * the reason if there are no such queues. */
static double job(int is_kernels, uint32_t depth, const struct file *files, uint32_t file_count,
                  uint32_t copies, int *why_not)
{
    double rate;

    *why_not = make_queue(&queues[CODE], "code", is_kernels, depth);
    if (*why_not == 0)
        *why_not = make_queue(&queues[DOCUMENTS], "documents", is_kernels, depth);
    if (*why_not != 0) {
        remove_queue(&queues[CODE]);
        return 0;
    }
    order(is_kernels, depth, files, file_count);
    rate = transfer(is_kernels, files, file_count, copies);
    remove_queue(&queues[CODE]);
    remove_queue(&queues[DOCUMENTS]);
    return rate;
}

/* The depth of a queue that does not ask for one. */
static uint32_t default_depth(void)
{
    struct mqrs_limits limits;
    int err = mqrs_getlimits(MQRS_SHM, &limits, sizeof limits);

    if (err < 0)
        stop_call("mqrs_getlimits", err);
    return (uint32_t)limits.maxmsg_default;
}

/* How many messages a queue of the kernel may hold for everybody: 10, unless an
 * administrator changed that. */
static uint32_t kernel_depth(void)
{
    FILE *file = fopen("/proc/sys/fs/mqueue/msg_max", "r");
    unsigned depth = 10;

    if (file != NULL) {
        if (fscanf(file, "%u", &depth) != 1)
            depth = 10;
        fclose(file);
    }
    return depth;
}

/* Where the programs are: beside this one. */
static void find_directory(void)
{
    ssize_t len = readlink("/proc/self/exe", directory, sizeof directory - 1);

    if (len < 0)
        stop("/proc/self/exe", strerror(errno));
    directory[len] = '\0';
    *strrchr(directory, '/') = '\0';
}

int main(int argc, char **argv)
{
    struct file *files;
    uint32_t file_count, copies = 0, lines = 0, depth, ours, i;
    size_t bytes = 0;
    double fast, same, kernels;
    int why_not;

    if (argc > 2 && strcmp(argv[1], "-n") == 0) {
        copies = (uint32_t)strtoul(argv[2], NULL, 10);
        argv += 2;
        argc -= 2;
    }
    argv++;
    argc--;
    file_count = (uint32_t)argc;
    files = (struct file *)calloc(file_count + 1, sizeof *files);
    if (files == NULL)
        stop("demo", "no memory");
    for (i = 0; i < file_count; i++) {
        read_file(&files[i], argv[i]);
        lines += files[i].lines;
        bytes += files[i].len;
    }
    ours = default_depth();
    depth = kernel_depth() < ours ? kernel_depth() : ours;
    if (lines < ours)
        stop("usage", "demo [-n COPIES] FILE..., with more lines than a queue holds");
    if (copies == 0)
        copies = MESSAGES_WANTED / lines + 1;

    find_directory();
    block_signals();
    clock_gettime(CLOCK_MONOTONIC, &give_up);
    give_up.tv_sec += PATIENCE_S;
    atexit(clean_up);

    printf("%u files with %u lines, %zu bytes, each sent %u times: %llu messages\n", file_count,
           lines, bytes, copies, (unsigned long long)lines * copies);
    printf("%d producers, %d consumers; one of these waits for notifications\n\n", PRODUCERS,
           CONSUMERS);
    fflush(stdout);

    fast = job(0, ours, files, file_count, copies, &why_not);
    same = job(0, depth, files, file_count, copies, &why_not);
    kernels = job(1, depth, files, file_count, copies, &why_not);

    printf("Every queue gave the highest priority first, and first in first out within one.\n");
    printf("Every file arrived %u times, the same to the byte.\n\n", copies);
    printf("messages per second, queue of %3u   mqueue_rs %10.0f\n", ours, fast);
    printf("                     queue of %3u   mqueue_rs %10.0f\n", depth, same);
    if (kernels > 0)
        printf("                     queue of %3u   kernel    %10.0f   (mqueue_rs: %.1f times)\n",
               depth, kernels, same / kernels);
    else
        printf("The kernel's queues cannot be used here for comparison: %s.\n",
               why_not == EMFILE ? "the limit on bytes in them (ulimit -q) is too low"
                                 : strerror(why_not));
    return EXIT_SUCCESS;
}
