/* A thread that is to be started later: SIGEV_THREAD. See thread.c. */
#ifndef MQRS_DROPIN_THREAD_H
#define MQRS_DROPIN_THREAD_H

#include <signal.h>

struct thread;

/* What a program asked for, with a copy of its attributes; NULL with errno. */
struct thread *thread_copy(const struct sigevent *event);

/* Start one; 0 if the system has too many threads now. */
int mqrs_dropin_start_thread(struct thread *thread);

void mqrs_dropin_free_thread(struct thread *thread);

#endif
