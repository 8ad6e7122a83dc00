/*
 * worker_pool.c: jobs by priority for a pool of processes, and an orderly end.
 *
 * The parent makes two queues and forks four workers, which inherit the handles. It sends jobs
 * and gathers results. One worker gets stuck in the middle of the first job and is killed: the
 * pool goes on, and somebody else does that job. At the end the parent shuts the queue of jobs
 * down, and every worker leaves.
 *
 * Four things make this work:
 *
 *   MQRS_OPT_REDELIVER   a job that a worker has acquired, and not released when it dies, is
 *                        sent again. It may be done twice, if the worker dies between sending
 *                        the result and releasing the job; so results are told apart by number.
 *   mqrs_acquire         shows a worker its job in place; mqrs_release says that it is done.
 *   mqrs_shutdown        ends the queue for all: workers take what is left, then get -EPIPE.
 *   MQRS_OPT_EPHEMERAL   the queues vanish with their last user, whatever becomes of it.
 *
 *     cc worker_pool.c $(pkg-config --cflags --libs mqueue_rs) -o worker_pool
 *     ./worker_pool
 */
#define _POSIX_C_SOURCE 200809L /* fork, kill, waitpid */

#include <mqueue_rs.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, JOBS = 100, URGENT = 9 };

struct job {
    uint32_t number;
    uint32_t limit; /* count the primes below */
};

struct result {
    uint32_t number;
    uint32_t primes;
};

static void stop(const char *call, long err)
{
    char sentence[256];

    mqrs_last_error(sentence, sizeof sentence);
    fprintf(stderr, "%s: %s: %s\n", call, mqrs_errname((int)err), sentence);
    exit(EXIT_FAILURE);
}

/* A queue without a name of our choice: the workers inherit the handle. */
static mqrs_queue *make(uint64_t maxmsg, uint64_t msgsize, uint64_t flags)
{
    struct mqrs_options options;
    mqrs_queue *queue;
    int err;

    memset(&options, 0, sizeof options);
    options.flags = MQRS_OPT_EPHEMERAL | flags;
    options.maxmsg = maxmsg;
    options.msgsize = msgsize;
    err = mqrs_open(NULL, O_CREAT | O_EXCL | O_RDWR, &options, sizeof options, &queue);
    if (err < 0)
        stop("mqrs_open", err);
    return queue;
}

static uint32_t count_primes(uint32_t limit)
{
    uint32_t count = 0, number, divisor;

    for (number = 2; number < limit; number++) {
        for (divisor = 2; divisor * divisor <= number; divisor++)
            if (number % divisor == 0)
                break;
        count += divisor * divisor > number;
    }
    return count;
}

/* Ends when the queue of jobs is shut down and empty. */
static void work(mqrs_queue *jobs, mqrs_queue *results, int gets_stuck)
{
    const void *data;
    ssize_t len;

    while ((len = mqrs_acquire(jobs, MQRS_FOREVER, &data, NULL)) >= 0) {
        struct job job;
        struct result result;
        int err;

        if ((size_t)len != sizeof job)
            stop("a job of another length", -EMSGSIZE);
        memcpy(&job, data, sizeof job);
        if (gets_stuck)
            raise(SIGSTOP);
        result.number = job.number;
        result.primes = count_primes(job.limit);
        err = mqrs_send(results, &result, sizeof result, 0);
        if (err < 0)
            stop("mqrs_send", err);
        err = mqrs_release(jobs, data);
        if (err < 0)
            stop("mqrs_release", err);
    }
    if (len != -EPIPE)
        stop("mqrs_acquire", len);
}

static pid_t start_worker(mqrs_queue *jobs, mqrs_queue *results, int gets_stuck)
{
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == -1) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    if (pid == 0) {
        work(jobs, results, gets_stuck);
        _exit(EXIT_SUCCESS);
    }
    return pid;
}

/* Take results until there are as many as that; the time is for each. */
static uint32_t gather(mqrs_queue *results, uint32_t *primes, uint32_t have, uint32_t want)
{
    while (have < want) {
        struct result result;
        ssize_t len =
            mqrs_timedreceive(results, &result, sizeof result, INT64_C(60000000000), NULL);

        if (len < 0)
            stop("mqrs_timedreceive", len);
        if (result.number < JOBS && primes[result.number] == UINT32_MAX) {
            primes[result.number] = result.primes;
            have++;
        }
    }
    return have;
}

int main(void)
{
    mqrs_queue *jobs = make(16, sizeof(struct job), MQRS_OPT_REDELIVER);
    mqrs_queue *results = make(16, sizeof(struct result), 0);
    uint32_t primes[JOBS], have = 0, number;
    pid_t workers[WORKERS];
    int i, err, status, orderly = 0;

    memset(primes, 0xFF, sizeof primes);
    workers[0] = start_worker(jobs, results, 1);
    for (number = 0; number < JOBS; number++) {
        struct job job;

        job.number = number;
        job.limit = 1000 + 10 * number;
        /* No more under way than the queue of results holds, or all would wait for all. */
        have = gather(results, primes, have, number < 16 ? 0 : number - 15);
        err = mqrs_send(jobs, &job, sizeof job, number % 10 == 0 ? URGENT : 0);
        if (err < 0)
            stop("mqrs_send", err);
        if (number == 0) {
            waitpid(workers[0], &status, WUNTRACED);
            for (i = 1; i < WORKERS; i++)
                workers[i] = start_worker(jobs, results, 0);
        }
        if (number == 10) {
            /* The first job is still in the hands of a worker that does not move. */
            kill(workers[0], SIGKILL);
            waitpid(workers[0], &status, 0);
            printf("a worker was killed in the middle of a job\n");
            workers[0] = start_worker(jobs, results, 0);
        }
    }
    have = gather(results, primes, have, JOBS);
    printf("%u jobs, each has its result\n", (unsigned)have);
    printf("%u primes below 1000, %u below 1990\n", (unsigned)primes[0],
           (unsigned)primes[JOBS - 1]);

    err = mqrs_shutdown(jobs);
    if (err < 0)
        stop("mqrs_shutdown", err);
    for (i = 0; i < WORKERS; i++)
        orderly += waitpid(workers[i], &status, 0) == workers[i] && WIFEXITED(status) &&
                   WEXITSTATUS(status) == EXIT_SUCCESS;
    printf("%d workers left in good order\n", orderly);
    mqrs_close(jobs);
    mqrs_close(results);
    return orderly == WORKERS ? EXIT_SUCCESS : EXIT_FAILURE;
}
