/* What the two halves of the actor share: actor.c, which has the calls of <mqueue.h> and those
 * that concern the process, and actor_sysv.c, which has those of <sys/msg.h>. */
#ifndef ACTOR_H
#define ACTOR_H

#include <stddef.h>

/* Bytes in a line. */
enum { LONGEST = 1024 };

/* The compiler would warn of, and optimise by, what the header says is never NULL. */
extern void *volatile nothing;

/* The name of the socket, which no other side has. */
extern char socket_name[100];

/* Answer. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* A result as it is; a failure by the name of its errno. */
void result(long value);

/* Make a call of System V; 0 if this is none. */
int call_sysv(char **word, int count);

/* Its variables: none, or what an exec has left. */
void begin_sysv(void);

/* An exec is to come, after which they are as they were. */
void leave_sysv(void);

/* One of the names that a word may join by |. */
struct flag {
    const char *name;
    int bits;
};

int flags_of(char *word, const struct flag *known, size_t count);

#endif
