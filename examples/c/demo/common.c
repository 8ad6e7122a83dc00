/* common.c: what several programs of the demo need; demo.h says what. */
#define _POSIX_C_SOURCE 200809L

#include "demo.h"

#include <mqueue_rs.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void stop(const char *what, const char *why)
{
    fprintf(stderr, "demo: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* Every call that fails returns a negative errno; mqrs_last_error tells the cause in
 * one sentence. */
void stop_call(const char *call, int err)
{
    char why[256];

    mqrs_last_error(why, sizeof why);
    fprintf(stderr, "demo: %s: %s: %s\n", call, mqrs_errname(err), why);
    exit(EXIT_FAILURE);
}

void read_file(struct file *file, const char *path)
{
    FILE *stream = fopen(path, "rb");
    size_t at, room = 0;

    if (stream == NULL)
        stop(path, strerror(errno));
    memset(file, 0, sizeof *file);
    file->path = path;
    do {
        if (file->len == room) {
            room = room * 2 + 65536;
            file->text = (char *)realloc(file->text, room);
            if (file->text == NULL)
                stop(path, strerror(ENOMEM));
        }
        at = fread(file->text + file->len, 1, room - file->len, stream);
        file->len += at;
    } while (at > 0);
    if (ferror(stream))
        stop(path, strerror(errno));
    fclose(stream);

    for (at = 0; at < file->len; at += line_length(file->text + at, file->len - at))
        file->lines++;
}

size_t line_length(const char *text, size_t left)
{
    size_t most = left < TEXT_MOST ? left : TEXT_MOST;
    const char *newline = (const char *)memchr(text, '\n', most);

    return newline != NULL ? (size_t)(newline - text) + 1 : most;
}

uint32_t priority_of(const char *text, size_t len)
{
    size_t at = 0;

    while (at < len && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0')
        at++;
    if (at == len)
        return PRIO_BLANK;
    if (text[at] == '#')
        return PRIO_HEADING;
    if (text[at] == '*')
        return PRIO_COMMENT;
    if (text[at] == '/' && at + 1 < len && (text[at + 1] == '/' || text[at + 1] == '*'))
        return PRIO_COMMENT;
    return PRIO_CODE;
}
