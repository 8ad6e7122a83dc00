/* read, which programs may call on an mqd_t, too: the kernel answers with a line about the queue.
 *
 * Everybody's reads come here. Those of a number that never was a queue's go on to libc's read
 * after two loads; by a jump, so that nothing of ours is on the stack when libc's is cancelled.
 * The others ask the Rust half (src/read.rs), which tells whether the number is another file's now.
 *
 * Source: read(2); feature_test_macros(7), _FORTIFY_SOURCE, for __read_chk.
 */
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOT_OURS (-2)

bool mqrs_dropin_is_known(int number);
ssize_t mqrs_dropin_read(int number, void *buffer, size_t count);

typedef ssize_t reader(int number, void *buffer, size_t count);

static ssize_t read_by_kernel(int number, void *buffer, size_t count)
{
    return syscall(SYS_read, number, buffer, count);
}

/* libc's, or that of a library between; the kernel's for those who read before we are loaded. */
static reader *next = read_by_kernel;

__attribute__((constructor)) static void find_next(void)
{
    reader *found = NULL;

    *(void **)&found = dlsym(RTLD_NEXT, "read");
    if (found != NULL)
        __atomic_store_n(&next, found, __ATOMIC_RELAXED);
}

ssize_t read(int number, void *buffer, size_t count)
{
    if (__builtin_expect(mqrs_dropin_is_known(number), 0)) {
        ssize_t given;

        pthread_testcancel();
        given = mqrs_dropin_read(number, buffer, count);
        if (given != NOT_OURS)
            return given;
    }
    return __atomic_load_n(&next, __ATOMIC_RELAXED)(number, buffer, count);
}

#ifdef __GLIBC__
/* What read is in a program compiled with _FORTIFY_SOURCE, and how that one ends it. */
ssize_t __read_chk(int number, void *buffer, size_t count, size_t size);
__attribute__((noreturn)) void __chk_fail(void);

ssize_t __read_chk(int number, void *buffer, size_t count, size_t size)
{
    if (count > size)
        __chk_fail();
    return read(number, buffer, count);
}
#endif
