/* A program that uses <mqueue.h> as its manual pages tell, and knows nothing of this library.
 *
 *     actor SOCKET SLOT      connect to the abstract Unix socket, and say which one it is
 *     actor                  read standard input, to be tried by hand
 *
 * It reads a call a line and answers with a line: its result, or the name of its errno, and
 * what it gave. Numbers of descriptors are not told: they are kept in variables, v0 to v5. A
 * signal that arrives is a line of its own, which begins with '!'.
 */
#define _GNU_SOURCE
#include "actor.h"
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VARIABLES = 6, WORDS = 12, ASIDE = 300 };

/* The numbers of descriptors; -1 is none. What was closed keeps its number until that is
 * another variable's. */
static int variable[VARIABLES];
/* What has been opened, for closing it in the end: a variable may be given another number. */
static char is_open[ASIDE];
static uid_t first_user;
static int control = 0;
static int answers = 1;
char socket_name[100];
static char program[4096];

void *volatile nothing = NULL;

void say(const char *format, ...)
{
    char line[LONGEST];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    if (write(answers, line, (size_t)length) != length)
        _exit(3);
}

void result(long value)
{
    if (value == -1)
        say("%s", strerrorname_np(errno));
    else
        say("%ld", value);
}

/* snprintf is none of the functions that a handler may call; glibc's allocates nothing for
 * these formats. */
static void arrived(int number, siginfo_t *info, void *context)
{
    (void)context;
    int before = errno;
    if (number >= SIGRTMIN)
        say("! signal %d code %d value %d by %d uid %d", number - SIGRTMIN, info->si_code,
            info->si_value.sival_int, info->si_pid, info->si_uid);
    else
        say("! %s", number == SIGUSR1 ? "interrupted" : "restarted");
    errno = before;
}

static void handle_signals(void)
{
    struct sigaction action = {.sa_sigaction = arrived, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_flags |= SA_RESTART;
    sigaction(SIGUSR2, &action, NULL);
    for (int i = 0; i < 4; i++)
        sigaction(SIGRTMIN + i, &action, NULL);
    /* Children leave nothing behind. */
    signal(SIGCHLD, SIG_IGN);
}

/* Where no queue's number will be. */
static int aside(int descriptor)
{
    int moved = fcntl(descriptor, F_DUPFD, ASIDE);
    close(descriptor);
    return moved;
}

static void come(int slot)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(socket_name);
    memcpy(address.sun_path + 1, socket_name, length);
    control = aside(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    fcntl(control, F_SETFD, FD_CLOEXEC);
    answers = control;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    if (connect(control, (struct sockaddr *)&address, size) != 0)
        _exit(2);
    say("%d %d", slot, getpid());
}

/* v3, or a number as it is. */
static int descriptor(const char *word)
{
    return word[0] == 'v' ? variable[word[1] - '0'] : atoi(word);
}

/* A number that became another variable's is no longer the old one's. */
static void keep(const char *word, int number)
{
    if (number == -1 || word[0] != 'v')
        return;
    for (int i = 0; i < VARIABLES; i++)
        if (variable[i] == number)
            variable[i] = -1;
    variable[word[1] - '0'] = number;
    if (number < ASIDE)
        is_open[number] = 1;
}

static int forget(int number, int closed)
{
    if (closed == 0 && number >= 0 && number < ASIDE)
        is_open[number] = 0;
    return closed;
}

int flags_of(char *word, const struct flag *known, size_t count)
{
    int all = 0;
    for (char *rest, *one = strtok_r(word, "|", &rest); one; one = strtok_r(NULL, "|", &rest))
        for (size_t i = 0; i < count; i++)
            if (strcmp(one, known[i].name) == 0)
                all |= known[i].bits;
    return all;
}

static int flags(char *word)
{
    static const struct flag known[] = {
        {"RDONLY", O_RDONLY}, {"WRONLY", O_WRONLY}, {"RDWR", O_RDWR}, {"NEITHER", O_ACCMODE},
        {"CREAT", O_CREAT}, {"EXCL", O_EXCL}, {"NONBLOCK", O_NONBLOCK}, {"CLOEXEC", O_CLOEXEC},
        {"TRUNC", O_TRUNC}, {"APPEND", O_APPEND}, {"0", 0},
    };
    return flags_of(word, known, sizeof known / sizeof *known);
}

/* A deadline by its name; NULL for "none", which is waiting for ever. */
static const struct timespec *deadline(const char *word, struct timespec *time)
{
    clock_gettime(CLOCK_REALTIME, time);
    switch (word[0] << 8 | word[1]) {
    case 'n' << 8 | 'o': return nothing;                    /* none */
    case 'n' << 8 | 'e':                                    /* near */
        time->tv_nsec += 2000000;
        if (time->tv_nsec >= 1000000000)
            time->tv_sec++, time->tv_nsec -= 1000000000;
        break;
    case 'f' << 8 | 'a': time->tv_sec += 3600; break;       /* far */
    case 'p' << 8 | 'a': time->tv_sec -= 10; break;         /* past */
    case 'z' << 8 | 'e': time->tv_sec = time->tv_nsec = 0; break;
    case 'b' << 8 | 'e': time->tv_sec = -1; break;          /* before 1970 */
    case 'o' << 8 | 'v': time->tv_nsec = 1000000000; break; /* over a second */
    case 'u' << 8 | 'n': time->tv_nsec = -1; break;         /* under zero */
    }
    return time;
}

static void send_message(char **word)
{
    char bytes[LONGEST];
    size_t length = (size_t)atol(word[2]);
    memset(bytes, word[3][0], sizeof bytes);
    const char *data = word[3][0] == '0' ? nothing : bytes;
    unsigned priority = (unsigned)strtoul(word[4], NULL, 0);
    struct timespec time;
    if (strcmp(word[5], "plain") == 0)
        result(mq_send(descriptor(word[1]), data, length, priority));
    else
        result(mq_timedsend(descriptor(word[1]), data, length, priority, deadline(word[5], &time)));
}

static void receive_message(char **word)
{
    char bytes[LONGEST] = "";
    size_t capacity = (size_t)atol(word[2]);
    char *data = strcmp(word[3], "NULL") == 0 ? nothing : bytes;
    unsigned priority = 4444, *where = strcmp(word[4], "NULL") == 0 ? nothing : &priority;
    struct timespec time;
    ssize_t length = strcmp(word[5], "plain") == 0
        ? mq_receive(descriptor(word[1]), data, capacity, where)
        : mq_timedreceive(descriptor(word[1]), data, capacity, where, deadline(word[5], &time));
    if (length == -1)
        say("%s \"%.20s\" %u", strerrorname_np(errno), bytes, priority);
    else
        say("%zd \"%.*s\" %u", length, (int)length, data ? data : "", priority);
}

static void attributes(const char *of, int failed, const struct mq_attr *attr)
{
    if (failed)
        result(failed);
    else
        say("%s %s maxmsg %ld msgsize %ld curmsgs %ld", of,
            attr->mq_flags == O_NONBLOCK ? "nonblock" : attr->mq_flags ? "other" : "wait",
            attr->mq_maxmsg, attr->mq_msgsize, attr->mq_curmsgs);
}

static void notify(char **word)
{
    struct sigevent event = {.sigev_notify = 77};
    if (strcmp(word[2], "none") == 0)
        event.sigev_notify = SIGEV_NONE;
    if (strcmp(word[2], "signal") == 0) {
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = atoi(word[3]);
        /* Those between are not for asking; 0 and what is too much are. */
        if (event.sigev_signo > 0 && event.sigev_signo < 10)
            event.sigev_signo += SIGRTMIN - 1;
        event.sigev_value.sival_int = atoi(word[4]);
    }
    result(mq_notify(descriptor(word[1]), strcmp(word[2], "NULL") == 0 ? nothing : &event));
}

static void events(int count, short revents)
{
    if (count == -1)
        result(count);
    else
        say("%s%s%s%s", revents & POLLIN ? "r" : "-", revents & POLLOUT ? "w" : "-",
            revents & POLLNVAL ? "invalid" : "", revents & (POLLERR | POLLHUP) ? "error" : "");
}

/* Which variables' descriptors show what, without a call of the queue. */
static void look(void)
{
    char line[LONGEST] = "", *at = line;
    for (int i = 0; i < VARIABLES; i++) {
        struct pollfd one = {.fd = variable[i], .events = POLLIN | POLLOUT};
        int is_queue = variable[i] >= 0 && variable[i] < ASIDE && is_open[variable[i]];
        if (is_queue && poll(&one, 1, 0) >= 0)
            at += sprintf(at, "v%d:%s%s ", i, one.revents & POLLIN ? "r" : "-",
                          one.revents & POLLOUT ? "w" : "-");
    }
    say("%s", line);
}

static void become(unsigned user)
{
    /* Rights of the superuser first, or they cannot be given away. */
    if (setresuid(0, 0, 0) != 0 || setresuid(user, user, 0) != 0)
        result(-1);
    else
        say("%u", user);
}

/* As at the start; and without the queues of these names. */
static void clean(char **names, int count)
{
    for (int i = 0; i < ASIDE; i++)
        if (is_open[i])
            forget(i, mq_close(i) && 0);
    for (int i = 0; i < VARIABLES; i++)
        variable[i] = -1;
    begin_sysv();
    umask(022);
    /* Who was another user at an exec remains that. */
    int is_as_before = getuid() == first_user || setresuid(0, 0, 0) == 0;
    for (int i = 0; i < count; i++)
        mq_unlink(names[i] + 1);
    say(is_as_before ? "clean" : "spoilt");
}

static void fork_into(int slot)
{
    int old = control;
    pid_t child = fork();
    if (child == 0) {
        close(old);
        come(slot);
    } else {
        result(child > 0 ? 0 : -1);
    }
}

static void execute(void)
{
    char numbers[VARIABLES + 2][20];
    for (int i = 0; i < VARIABLES; i++)
        sprintf(numbers[i], "%d", variable[i]);
    sprintf(numbers[VARIABLES], "%d", control);
    sprintf(numbers[VARIABLES + 1], "%d", (int)first_user);
    fcntl(control, F_SETFD, 0);
    leave_sysv();
    execl(program, program, socket_name, numbers[6], numbers[0], numbers[1], numbers[2],
          numbers[3], numbers[4], numbers[5], numbers[7], (char *)NULL);
    result(-1);
}

static void open_queue(char **word, int count)
{
    const char *name = word[2] + 1;
    int oflag = flags(word[3]);
    mode_t mode = count > 4 ? (mode_t)strtoul(word[4], NULL, 8) : 0;
    struct mq_attr attr = {.mq_flags = 0};
    mqd_t queue;
    if (!(oflag & O_CREAT)) {
        queue = mq_open(name, oflag);
    } else if (count < 7) {
        queue = mq_open(name, oflag, mode, nothing);
    } else {
        attr.mq_maxmsg = strtol(word[5], NULL, 0);
        attr.mq_msgsize = strtol(word[6], NULL, 0);
        attr.mq_flags = count > 7 ? O_NONBLOCK : 0;
        queue = mq_open(name, oflag, mode, &attr);
    }
    keep(word[1], queue);
    result(queue == -1 ? -1 : 0);
}

static void call(char **word, int count)
{
    const char *verb = word[0];
    struct mq_attr attr = {.mq_flags = 0}, old = {.mq_flags = 0};
    struct stat status;
    int fd = count > 1 ? descriptor(word[1]) : -1;
#define IS(name) (strcmp(verb, name) == 0)
    if (IS("open")) {
        open_queue(word, count);
    } else if (IS("unlink")) {
        result(mq_unlink(word[1] + 1));
    } else if (IS("send")) {
        send_message(word);
    } else if (IS("receive")) {
        receive_message(word);
    } else if (IS("getattr")) {
        attributes("now", mq_getattr(fd, count > 2 ? nothing : &attr), &attr);
    } else if (IS("setattr")) {
        attr.mq_flags = flags(word[2]);
        attr.mq_maxmsg = attr.mq_msgsize = attr.mq_curmsgs = 99;
        attributes("before", mq_setattr(fd, strcmp(word[2], "NULL") ? &attr : nothing,
                                        count > 3 ? nothing : &old), &old);
    } else if (IS("notify")) {
        notify(word);
    } else if (IS("mq_close")) {
        result(forget(fd, mq_close(fd)));
    } else if (IS("close")) {
        result(forget(fd, close(fd)));
    } else if (IS("dup")) {
        int new = dup(fd);
        keep(word[2], new);
        result(new == -1 ? -1 : 0);
    } else if (IS("dup2")) {
        int to = descriptor(word[2]), new = dup2(fd, to);
        if (new != -1 && fd != to)
            keep(word[2], new);
        result(new == -1 ? -1 : 0);
    } else if (IS("cover")) {
        /* Another file at that number. */
        int other = aside(open("/dev/null", O_RDWR | O_CLOEXEC));
        int new = dup3(other, fd, O_CLOEXEC);
        close(other);
        result(new == -1 ? -1 : 0);
    } else if (IS("flags")) {
        int of = fcntl(fd, F_GETFL), on = fcntl(fd, F_GETFD);
        if (of == -1)
            result(-1);
        else
            say("%s %s", of & O_NONBLOCK ? "nonblock" : "wait", on & FD_CLOEXEC ? "cloexec" : "");
    } else if (IS("setfl")) {
        int of = fcntl(fd, F_GETFL);
        result(of == -1 ? -1 : fcntl(fd, F_SETFL, (of & ~O_NONBLOCK) | flags(word[2])));
    } else if (IS("stat")) {
        if (fstat(fd, &status) != 0)
            result(-1);
        else
            say("%04o %u %u", status.st_mode & 07777, status.st_uid, status.st_gid);
    } else if (IS("poll")) {
        short wanted = (strchr(word[2], 'r') ? POLLIN : 0) | (strchr(word[2], 'w') ? POLLOUT : 0);
        struct pollfd one = {.fd = fd, .events = wanted};
        /* poll takes -1 for nobody's, and would wait. */
        int ready = fd == -1 ? 1 : poll(&one, 1, -1);
        events(ready, fd == -1 ? POLLNVAL : one.revents);
    } else if (IS("look")) {
        look();
    } else if (IS("umask")) {
        say("%03o", umask((mode_t)strtoul(word[1], NULL, 8)));
    } else if (IS("become")) {
        become((unsigned)atoi(word[1]));
    } else if (IS("fork")) {
        fork_into(atoi(word[1]));
    } else if (IS("exec")) {
        execute();
    } else if (IS("end")) {
        _exit(0);
    } else if (IS("clean")) {
        clean(word + 1, count - 1);
    } else if (!call_sysv(word, count)) {
        say("what is %s?", verb);
    }
}

int main(int count, char **argument)
{
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        return 2;
    for (int i = 0; i < VARIABLES; i++)
        variable[i] = -1;
    begin_sysv();
    umask(022);
    handle_signals();
    first_user = getuid();
    if (count > 2)
        snprintf(socket_name, sizeof socket_name, "%s", argument[1]);
    if (count > 3) {
        /* After an exec: the old socket, and what a dup has let through. */
        control = answers = atoi(argument[2]);
        first_user = (uid_t)atoi(argument[9]);
        fcntl(control, F_SETFD, FD_CLOEXEC);
        for (int i = 0; i < VARIABLES; i++)
            variable[i] = atoi(argument[3 + i]);
        for (int i = 3; i < ASIDE; i++)
            is_open[i] = fcntl(i, F_GETFD) != -1;
        say("0");
    } else if (count > 2) {
        come(atoi(argument[2]));
    }
    for (;;) {
        char line[LONGEST], *word[WORDS] = {NULL};
        ssize_t length = read(control, line, sizeof line - 1);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return 0;
        line[length - 1] = '\0';
        int words = 0;
        for (char *rest, *one = strtok_r(line, " ", &rest); one && words < WORDS;
             one = strtok_r(NULL, " ", &rest))
            word[words++] = one;
        if (words > 0)
            call(word, words);
    }
}
