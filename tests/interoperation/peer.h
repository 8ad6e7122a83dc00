/* What the two C peers share: the lines that they read and answer (see peer.rs). */
#ifndef PEER_H
#define PEER_H

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_WORDS = 6, MOST_BYTES = 8192 };

/* "forever", "now", or milliseconds. */
#define FOREVER (-1L)

static char line[2 * MOST_BYTES + 256];
static char *words[MOST_WORDS];

static int is(const char *verb)
{
    return strcmp(words[0], verb) == 0;
}

static long number(int word)
{
    return strtol(words[word], NULL, 10);
}

static long wait_of(int word)
{
    if (strcmp(words[word], "forever") == 0)
        return FOREVER;
    return strcmp(words[word], "now") == 0 ? 0 : number(word);
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c - 'a' + 10;
}

/* Read the message of a line into `to`; "-" is one of no bytes. */
static size_t message(int word, unsigned char *to)
{
    const char *text = words[word];
    size_t length = 0;

    if (strcmp(text, "-") == 0)
        return 0;
    for (; text[0] && text[1]; text += 2)
        to[length++] = (unsigned char)(digit(text[0]) << 4 | digit(text[1]));
    return length;
}

static void answer(long result)
{
    switch (result == -1 ? errno : 0) {
    case 0:
        puts("ok");
        break;
    case EAGAIN:
    case ETIMEDOUT:
    case ENOMSG:
        puts("busy");
        break;
    case EIDRM:
        puts("gone");
        break;
    default:
        printf("error %d\n", errno);
    }
}

static void answer_message(long label, const unsigned char *from, size_t length)
{
    printf("ok %ld ", label);
    for (size_t i = 0; i < length; i++)
        printf("%02x", from[i]);
    puts(length ? "" : "-");
}

/* Read one line and split it; 0 at the end of the input. */
static int next_line(void)
{
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return 0;
    memset(words, 0, sizeof words);
    char *rest = line;
    for (int i = 0; i < MOST_WORDS; i++)
        if ((words[i] = strtok_r(rest, " \n", &rest)) == NULL)
            break;
    return words[0] != NULL;
}

#endif
