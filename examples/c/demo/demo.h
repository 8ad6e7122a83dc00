/*
 * demo.h: what the programs of the demo agree on.
 *
 *     producer.c   reads files and sends their lines
 *     consumer.c   receives lines and writes them down, waiting in one of two ways
 *     demo.c       starts both with exec, checks what arrived, prints the rate
 *     check.c      the checking: order, and every byte of every file
 *     kernel.c     the functions that producer and consumer call, over the kernel's queues
 *
 * The producers and the consumers know of each other nothing but the names of two
 * queues: one for the lines of documents, one for the lines of code.
 */
#ifndef DEMO_H
#define DEMO_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Text in one message. A longer line goes as several. */
enum { TEXT_MOST = 496 };

/* The file number of the message after which a consumer is done. */
#define NO_FILE UINT32_MAX

struct message {
    uint32_t producer;
    uint32_t copy; /* the files are sent several times, so that there is something to do */
    uint32_t file;
    uint32_t line;
    char text[TEXT_MOST]; /* with the newline, if there is one; as long as the message is */
};

enum { HEADER_SIZE = offsetof(struct message, text) };

/* What a consumer writes down: this, and the message as it came. */
struct entry {
    uint32_t prio;
    uint32_t len;
};

/* Priorities: what a reader would want to see first. */
enum { PRIO_END = 0, PRIO_BLANK = 1, PRIO_CODE = 10, PRIO_COMMENT = 20, PRIO_HEADING = 30 };

struct file {
    const char *path;
    char *text;
    size_t len;
    uint32_t lines; /* so many messages */
};

/* Say what failed and exit. */
void stop(const char *what, const char *why);

/* The same for a call of the library that returned `err`. */
void stop_call(const char *call, int err);

/* Read a whole file and count its lines. */
void read_file(struct file *file, const char *path);

/* The length of the line at the beginning of `text`, of which `left` bytes are left. */
size_t line_length(const char *text, size_t left);

/* How urgent a line is. */
uint32_t priority_of(const char *text, size_t len);

/* check.c: what the consumers wrote down is what was to be sent. Stops otherwise. */

/* One consumer took everything that lay in the queue, `count` messages, in one go. */
void check_order(FILE *log, const struct file *files, uint32_t file_count, uint32_t count);

/* Several consumers together got every line of every copy of the files, once. Returns
 * how many messages that were. */
uint64_t check_all(FILE *const *logs, size_t log_count, const struct file *files,
                   uint32_t file_count, uint32_t copies);

#endif
