/* check.c: compare what the consumers wrote down with the files. */
#define _POSIX_C_SOURCE 200809L

#include "demo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where the text of one line of one copy lies, once it has arrived. */
struct arrival {
    char *text;
    size_t len;
};

/* The next message of a log; returns 0 at its end. */
static int read_entry(FILE *log, struct entry *entry, struct message *message)
{
    if (fread(entry, sizeof *entry, 1, log) != 1) {
        if (ferror(log))
            stop("a consumer's log", strerror(errno));
        return 0;
    }
    if (entry->len < HEADER_SIZE || entry->len > sizeof *message ||
        fread(message, entry->len, 1, log) != 1)
        stop("a consumer's log", "it ends in the middle of a message");
    return 1;
}

/* Whether a producer sent `a` before `b`. */
static int is_before(const struct message *a, const struct message *b)
{
    if (a->copy != b->copy)
        return a->copy < b->copy;
    if (a->file != b->file)
        return a->file < b->file;
    return a->line < b->line;
}

static void check_priority(const struct entry *entry, const struct message *message)
{
    if (entry->prio != priority_of(message->text, entry->len - HEADER_SIZE))
        stop("priority", "a message arrived with another than it was sent with");
}

void check_order(FILE *log, const struct file *files, uint32_t file_count, uint32_t count)
{
    struct message last, message;
    struct entry last_entry, entry;
    uint32_t seen = 0;

    memset(&last, 0, sizeof last);
    memset(&last_entry, 0, sizeof last_entry);
    while (read_entry(log, &entry, &message)) {
        if (message.file >= file_count || message.line >= files[message.file].lines)
            stop("order", "a message arrived that nobody sent");
        check_priority(&entry, &message);
        if (seen > 0 && entry.prio > last_entry.prio)
            stop("order", "a message came after one of lower priority");
        if (seen > 0 && entry.prio == last_entry.prio && !is_before(&last, &message))
            stop("order", "two messages of one priority came in the wrong order");
        last = message;
        last_entry = entry;
        seen++;
    }
    if (seen != count)
        stop("order", "the number of messages is wrong");
}

/* Read one consumer's log into `arrivals`, which has a place for each line of each copy. */
static void collect(FILE *log, const struct file *files, uint32_t file_count,
                    const uint32_t *first_line, uint32_t copies, struct arrival *arrivals)
{
    /* What one consumer gets from one producer with one priority is in order, whoever
     * else sends and receives. */
    enum { PRODUCERS = 8, PRIORITIES = PRIO_HEADING + 1 };
    static struct message last[PRODUCERS][PRIORITIES];
    static int has_last[PRODUCERS][PRIORITIES];
    struct message message;
    struct entry entry;

    memset(has_last, 0, sizeof has_last);
    while (read_entry(log, &entry, &message)) {
        size_t len = entry.len - HEADER_SIZE;
        struct arrival *arrival;

        if (message.file >= file_count || message.line >= files[message.file].lines ||
            message.copy >= copies || message.producer >= PRODUCERS)
            stop("result", "a message arrived that nobody sent");
        check_priority(&entry, &message);
        if (has_last[message.producer][entry.prio] &&
            !is_before(&last[message.producer][entry.prio], &message))
            stop("result", "two messages of one producer came in the wrong order");
        has_last[message.producer][entry.prio] = 1;
        memcpy(&last[message.producer][entry.prio], &message, HEADER_SIZE);

        arrival = &arrivals[(size_t)message.copy * first_line[file_count] +
                            first_line[message.file] + message.line];
        if (arrival->text != NULL)
            stop(files[message.file].path, "a line arrived twice");
        arrival->text = (char *)malloc(len);
        if (arrival->text == NULL)
            stop("result", strerror(ENOMEM));
        memcpy(arrival->text, message.text, len);
        arrival->len = len;
    }
}

/* Put one copy of a file together from its lines and compare it with the original. */
static void compare(const struct file *file, struct arrival *arrivals)
{
    size_t at = 0;
    uint32_t line;

    for (line = 0; line < file->lines; line++) {
        struct arrival *arrival = &arrivals[line];

        if (arrival->text == NULL)
            stop(file->path, "a line is missing");
        if (arrival->len > file->len - at ||
            memcmp(arrival->text, file->text + at, arrival->len) != 0)
            stop(file->path, "what arrived is not what was sent");
        at += arrival->len;
        free(arrival->text);
    }
    if (at != file->len)
        stop(file->path, "the end is missing");
}

uint64_t check_all(FILE *const *logs, size_t log_count, const struct file *files,
                   uint32_t file_count, uint32_t copies)
{
    uint32_t *first_line = (uint32_t *)calloc((size_t)file_count + 1, sizeof *first_line);
    struct arrival *arrivals;
    uint64_t messages;
    uint32_t copy, file;
    size_t i;

    if (first_line == NULL)
        stop("result", strerror(ENOMEM));
    for (file = 0; file < file_count; file++)
        first_line[file + 1] = first_line[file] + files[file].lines;
    messages = (uint64_t)first_line[file_count] * copies;
    arrivals = (struct arrival *)calloc((size_t)messages, sizeof *arrivals);
    if (arrivals == NULL)
        stop("result", strerror(ENOMEM));

    for (i = 0; i < log_count; i++)
        collect(logs[i], files, file_count, first_line, copies, arrivals);
    for (copy = 0; copy < copies; copy++)
        for (file = 0; file < file_count; file++)
            compare(&files[file],
                    arrivals + (size_t)copy * first_line[file_count] + first_line[file]);
    free(arrivals);
    free(first_line);
    return messages;
}
