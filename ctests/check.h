/* What the C test programs of the library share beside program.h: checks of its results, and
 * queues. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "mqueue_rs.h"
#include <stdio.h>

#define CHECK_WHY() tell_last_error()

static inline void tell_last_error(void)
{
    char why[512] = "";

    mqrs_last_error(why, sizeof why);
    fprintf(stderr, "    last error of this thread: %s\n", why[0] ? why : "none");
}

#include "program.h"

/* ---- Checks ------------------------------------------------------------------ */

HELPER int64_t check_success(const char *file, int line, int64_t result, const char *text)
{
    if (result < 0)
        check_failed(file, line, "%s failed: %s", text, mqrs_errname((int)result));
    return result;
}

/* The call does not fail; gives its result. */
#define CHECK_OK(call) check_success(__FILE__, __LINE__, (int64_t)(call), #call)

HELPER void check_error(const char *file, int line, int expected, int64_t result, const char *text)
{
    if (result != -(int64_t)expected)
        check_failed(file, line, "%s gave %" PRId64 " (%s), expected -%s", text, result,
                     result < 0 ? mqrs_errname((int)result) : "success", mqrs_errname(expected));
    if (mqrs_last_error(NULL, 0) == 0)
        check_failed(file, line, "%s failed without a sentence", text);
}

/* The call fails with this errno, and mqrs_last_error has a sentence. */
#define CHECK_ERROR(expected, call) \
    check_error(__FILE__, __LINE__, expected, (int64_t)(call), #call)

/* ---- Queues ------------------------------------------------------------------ */

/* A new name, different in every process; one of the last 16 given. */
HELPER const char *new_name(void)
{
    static char names[16][64];
    static unsigned count;
    char *name = names[count % 16];

    snprintf(name, sizeof names[0], "/ctest-%d-%u", (int)getpid(), count++);
    return name;
}

HELPER const char *queue_directory(void)
{
    const char *directory = getenv("MQRS_DIR");

    return directory ? directory : "/dev/shm";
}

/* The path of the file that holds the queue "/name"; one of the last 4 given. */
HELPER const char *queue_file(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned count;
    char *path = paths[count++ % 4];

    snprintf(path, PATH_MAX, "%s/mqrs.%s", queue_directory(), name + 1);
    return path;
}

HELPER mqrs_queue *open_queue(const char *name, int oflag)
{
    mqrs_queue *queue = NULL;

    CHECK_OK(mqrs_open(name, oflag, NULL, 0, &queue));
    CHECK(queue != NULL);
    return queue;
}

/* Create a queue of this size, for sending and receiving; flags are added to the oflag. */
HELPER mqrs_queue *create_queue(const char *name, uint64_t maxmsg, uint64_t msgsize, int flags)
{
    struct mqrs_options options = {0};
    mqrs_queue *queue = NULL;

    options.maxmsg = maxmsg;
    options.msgsize = msgsize;
    CHECK_OK(mqrs_open(name, O_CREAT | O_EXCL | O_RDWR | flags, &options, sizeof options, &queue));
    CHECK(queue != NULL);
    return queue;
}

HELPER void close_and_unlink(mqrs_queue *queue, const char *name)
{
    CHECK_OK(mqrs_close(queue));
    CHECK_OK(mqrs_unlink(name));
}

HELPER uint64_t messages_in(const mqrs_queue *queue)
{
    struct mqrs_attr attr;

    CHECK_OK(mqrs_getattr(queue, &attr, sizeof attr));
    return attr.curmsgs;
}

HELPER void send_text(mqrs_queue *queue, const char *text, uint32_t prio)
{
    CHECK_OK(mqrs_send(queue, text, strlen(text), prio));
}

/* The next message is this text with this priority, and it is there already. */
#define EXPECT_TEXT(queue, text, prio) expect_text(__FILE__, __LINE__, queue, text, prio)

HELPER void expect_text(const char *file, int line, mqrs_queue *queue, const char *text,
                        uint32_t prio)
{
    char buffer[8192];
    uint32_t got_prio = UINT32_MAX;
    int64_t len = check_success(
        file, line, mqrs_timedreceive(queue, buffer, sizeof buffer, MQRS_NOWAIT, &got_prio), text);

    if ((size_t)len != strlen(text) || memcmp(buffer, text, (size_t)len) != 0 || got_prio != prio)
        check_failed(file, line, "received \"%.*s\" at priority %u, expected \"%s\" at %u",
                     (int)len, buffer, got_prio, text, prio);
}

/* Send small messages without waiting until the queue is full; how many went in. */
HELPER uint64_t fill(mqrs_queue *queue)
{
    uint64_t count = 0;
    int result;

    while ((result = mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT)) == 0)
        count++;
    CHECK_EQUAL(-EAGAIN, result);
    return count;
}

/* Take everything without waiting; how many came out. */
HELPER uint64_t drain(mqrs_queue *queue)
{
    char buffer[8192];
    uint64_t count = 0;
    ssize_t result;

    while ((result = mqrs_timedreceive(queue, buffer, sizeof buffer, MQRS_NOWAIT, NULL)) >= 0)
        count++;
    CHECK_EQUAL(-EAGAIN, result);
    return count;
}

/* The number of mappings of queue files in this process. */
HELPER unsigned count_queue_mappings(void)
{
    char line[PATH_MAX + 128];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");

    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, queue_directory()) != NULL;
    fclose(maps);
    return count;
}

#endif
