/*
 * producer.c: send the lines of files as messages with priorities.
 *
 *     producer CODE DOCUMENTS PART PARTS COPIES MOST FILE...
 *
 * CODE, DOCUMENTS  names of queues, which exist; lines of *.md files go to the second
 * PART, PARTS      of all the files send every PARTS-th, beginning with number PART
 * COPIES           how often to send them
 * MOST             stop after so many messages; 0: do not
 */
#include "demo.h"

#include <mqueue_rs.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static mqrs_queue *open_to_send(const char *name)
{
    mqrs_queue *queue = NULL;
    int err = mqrs_open(name, O_WRONLY, NULL, 0, &queue);

    if (err < 0)
        stop_call("mqrs_open", err);
    return queue;
}

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

static int is_document(const char *path)
{
    size_t len = strlen(path);

    return len >= 3 && strcmp(path + len - 3, ".md") == 0;
}

/* Send one copy of a file; returns how many messages may still follow. */
static uint32_t send_file(mqrs_queue *queue, const struct file *file, struct message *message,
                          uint32_t most)
{
    size_t at, len;

    message->line = 0;
    for (at = 0; at < file->len && most > 0; at += len, most--) {
        uint32_t prio;
        int err;

        len = line_length(file->text + at, file->len - at);
        prio = priority_of(file->text + at, len);
        memcpy(message->text, file->text + at, len);
        /* Waits while the queue is full. */
        err = mqrs_send(queue, message, HEADER_SIZE + len, prio);
        if (err < 0)
            stop_call("mqrs_send", err);
        message->line++;
    }
    return most;
}

int main(int argc, char **argv)
{
    mqrs_queue *code, *documents;
    struct message message;
    struct file *files;
    uint32_t part, parts, copies, most, count, i;

    if (argc < 8)
        stop("usage", "producer CODE DOCUMENTS PART PARTS COPIES MOST FILE...");
    code = open_to_send(argv[1]);
    documents = open_to_send(argv[2]);
    part = number(argv[3]);
    parts = number(argv[4]);
    copies = number(argv[5]);
    most = number(argv[6]) > 0 ? number(argv[6]) : UINT32_MAX;
    argv += 7;
    count = (uint32_t)(argc - 7);

    files = (struct file *)calloc(count, sizeof *files);
    if (files == NULL)
        stop("producer", "no memory");
    for (i = part; i < count; i += parts)
        read_file(&files[i], argv[i]);

    message.producer = part;
    for (message.copy = 0; message.copy < copies; message.copy++) {
        for (i = part; i < count; i += parts) {
            message.file = i;
            most = send_file(is_document(argv[i]) ? documents : code, &files[i], &message, most);
        }
    }
    mqrs_close(code);
    mqrs_close(documents);
    return EXIT_SUCCESS;
}
