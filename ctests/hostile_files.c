/* Files in the place of queues: what is no queue, a newer one, a cut off or a damaged one.
 * The answer is a documented error and never a crash. */
#include "check.h"

enum {
    PROLOGUE = 0x184, /* the constants of the header, */
    CRC_AT = 0x180,   /* ending with the CRC-32 of all before it */
    CONTROL_AT = 0x200,
    VERSION_AT = 0x08,
    INCOMPATIBLE_AT = 0x10,
    OPTIONS_AT = 0x68,
    BYTE_ORDER_AT = 0x18,
};

static mqrs_queue *const UNTOUCHED = (mqrs_queue *)0x5A5A;

static uint32_t crc32(const unsigned char *bytes, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    int fd = (int)SYSTEM(open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));

    CHECK_EQUAL(len, SYSTEM(write(fd, bytes, len)));
    close(fd);
}

static void write_at(const char *path, const void *bytes, size_t len, off_t offset)
{
    int fd = (int)SYSTEM(open(path, O_WRONLY | O_CLOEXEC));

    CHECK_EQUAL(len, SYSTEM(pwrite(fd, bytes, len, offset)));
    close(fd);
}

static void read_at(const char *path, void *bytes, size_t len, off_t offset)
{
    int fd = (int)SYSTEM(open(path, O_RDONLY | O_CLOEXEC));

    CHECK_EQUAL(len, SYSTEM(pread(fd, bytes, len, offset)));
    close(fd);
}

static int64_t size_of_file(const char *path)
{
    struct stat status;

    SYSTEM(stat(path, &status));
    return status.st_size;
}

/* Opening gives this error, for any direction; creating alone gives EEXIST. */
static void refuse(const char *name, int expected)
{
    static const int oflags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_CREAT | O_RDWR};
    mqrs_queue *queue = UNTOUCHED;

    for (size_t i = 0; i < sizeof oflags / sizeof *oflags; i++)
        CHECK_ERROR(expected, mqrs_open(name, oflags[i], NULL, 0, &queue));
    CHECK_ERROR(EEXIST, mqrs_open(name, O_CREAT | O_EXCL | O_RDWR, NULL, 0, &queue));
    CHECK(queue == UNTOUCHED);
}

static void regular_files_that_are_no_queue_are_ebadmsg(void)
{
    static const size_t sizes[] = {0, 1, 7, 8, 100, PROLOGUE - 1, PROLOGUE, 4096, 100000};
    static unsigned char noise[100000];
    uint64_t seed = 11;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int kind = 0; kind < 3; kind++) {
            const char *name = new_name();

            /* Zeros, noise, and noise behind the right first bytes. */
            for (size_t j = 0; j < sizeof noise; j++)
                noise[j] = kind ? (unsigned char)random_number(&seed) : 0;
            if (kind == 2)
                memcpy(noise, "mqrsQ\0\r\n", 8);
            write_file(queue_file(name), noise, sizes[i]);
            if (kind == 2 && sizes[i] >= PROLOGUE) {
                /* It looks like a queue of a strange machine or version: either will do. */
                mqrs_queue *queue = UNTOUCHED;
                int result = mqrs_open(name, O_RDWR, NULL, 0, &queue);

                CHECK(result == -EBADMSG || result == -ENOTSUP);
                CHECK(queue == UNTOUCHED);
            } else {
                refuse(name, EBADMSG);
            }
            CHECK_EQUAL(sizes[i], size_of_file(queue_file(name)));
            /* The name can be cleared away. */
            CHECK_OK(mqrs_unlink(name));
        }
}

static void what_is_no_regular_file_is_refused_without_waiting(void)
{
    const char *name = new_name();
    mqrs_queue *queue;

    SYSTEM(mkdir(queue_file(name), 0700));
    refuse(name, EBADMSG);
    SYSTEM(rmdir(queue_file(name)));

    SYSTEM(mkfifo(queue_file(name), 0600));
    refuse(name, EBADMSG);
    CHECK_OK(mqrs_unlink(name));

    /* A link could lead anybody's queue to a file of the link's owner. */
    queue = create_queue("/target", 1, 8, 0);
    SYSTEM(symlink(queue_file("/target"), queue_file(name)));
    refuse(name, EBADMSG);
    CHECK_OK(mqrs_unlink(name));
    SYSTEM(symlink("/nowhere/at/all", queue_file(name)));
    refuse(name, EBADMSG);
    CHECK_OK(mqrs_unlink(name));
    close_and_unlink(queue, "/target");
}

/* Patch four bytes of the header and make the checksum right again. */
static void patch_header(const char *path, size_t offset, uint32_t value)
{
    unsigned char header[PROLOGUE];
    uint32_t crc;

    read_at(path, header, sizeof header, 0);
    memcpy(header + offset, &value, sizeof value);
    crc = crc32(header, CRC_AT);
    memcpy(header + CRC_AT, &crc, sizeof crc);
    write_at(path, header, sizeof header, 0);
}

/* The same bytes written again are a queue; so it is the change below that is refused. */
static void expect_checksum(const char *path)
{
    unsigned char header[PROLOGUE];
    uint32_t crc;

    read_at(path, header, sizeof header, 0);
    memcpy(&crc, header + CRC_AT, sizeof crc);
    CHECK_EQUAL(crc32(header, CRC_AT), crc);
}

static void queues_of_another_layout_are_enotsup(void)
{
    static const struct {
        size_t offset;
        uint32_t value;
        const char *why;
    } patches[] = {
        {VERSION_AT, 4u << 16, "the next major version"},
        {VERSION_AT, 2u << 16, "the major version before"},
        {VERSION_AT, 0xFFFFu << 16, "the last major version"},
        {VERSION_AT, 0, "a version before the first"},
        {INCOMPATIBLE_AT, 1, "an unknown feature"},
        {INCOMPATIBLE_AT, 1u << 31, "another unknown feature"},
        {OPTIONS_AT + 4, 1u << 31, "an unknown option"},
        {BYTE_ORDER_AT, 0x04030201, "the other byte order"},
    };
    const char *name = new_name();

    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        printf("  %s\n", patches[i].why);
        CHECK_OK(mqrs_close(create_queue(name, 4, 64, 0)));
        expect_checksum(queue_file(name));
        patch_header(queue_file(name), patches[i].offset, patches[i].value);
        refuse(name, ENOTSUP);
        CHECK_OK(mqrs_unlink(name));
    }

    /* A newer minor version, and features that need not be known, are no hindrance. */
    CHECK_OK(mqrs_close(create_queue(name, 4, 64, 0)));
    patch_header(queue_file(name), VERSION_AT, (3u << 16) + 9);
    patch_header(queue_file(name), INCOMPATIBLE_AT + 4, 0xFF);
    close_and_unlink(open_queue(name, O_RDWR), name);
}

static void a_header_that_contradicts_itself_is_ebadmsg(void)
{
    static const size_t offsets[] = {0x0C, 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38,
                                     0x3C, 0x40, 0x44, 0x48, 0x4C, 0x78};
    static const uint32_t values[] = {1000001, 0x7FFFFFFF, 0x80000000, UINT32_MAX};
    const char *name = new_name();

    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            CHECK_OK(mqrs_close(create_queue(name, 4, 64, 0)));
            patch_header(queue_file(name), offsets[i], values[j]);
            refuse(name, EBADMSG);
            CHECK_OK(mqrs_unlink(name));
        }
}

static void a_cut_off_file_is_ebadmsg(void)
{
    const char *name = new_name();
    mqrs_queue *queue = create_queue(name, 4, 64, 0);
    int64_t whole = size_of_file(queue_file(name));
    int64_t lengths[] = {0,    1,        8,     PROLOGUE - 1, PROLOGUE, CONTROL_AT,
                         4095, 4096, whole / 2, whole - 64};

    /* The length may be rounded up to whole pages: what is missing must be needed. */
    CHECK_OK(mqrs_close(queue));
    CHECK_OK(mqrs_unlink(name));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        CHECK_OK(mqrs_close(create_queue(name, 4, 64, 0)));
        SYSTEM(truncate(queue_file(name), lengths[i]));
        refuse(name, EBADMSG);
        CHECK_OK(mqrs_unlink(name));
    }
    /* More than needed harms nobody. */
    CHECK_OK(mqrs_close(create_queue(name, 4, 64, 0)));
    SYSTEM(truncate(queue_file(name), whole + 100000));
    queue = open_queue(name, O_RDWR);
    CHECK_EQUAL(4, fill(queue));
    close_and_unlink(queue, name);
}

static void every_flipped_bit_of_the_header_is_noticed(void)
{
    const char *name = new_name();
    unsigned char header[CONTROL_AT], flipped[CONTROL_AT];
    int opened = 0;

    CHECK_OK(mqrs_close(create_queue(name, 4, 64, 0)));
    read_at(queue_file(name), header, sizeof header, 0);
    for (size_t i = 0; i < sizeof header * 8; i++) {
        mqrs_queue *queue = UNTOUCHED;
        int result;

        memcpy(flipped, header, sizeof header);
        flipped[i / 8] ^= (unsigned char)(1 << i % 8);
        write_at(queue_file(name), flipped, sizeof flipped, 0);
        result = mqrs_open(name, O_RDWR, NULL, 0, &queue);
        if (result == 0) {
            /* Only behind the checksum, where nothing is. */
            CHECK(i / 8 >= PROLOGUE);
            CHECK_EQUAL(4, fill(queue));
            CHECK_EQUAL(4, drain(queue));
            CHECK_OK(mqrs_close(queue));
            opened++;
        } else {
            CHECK(result == -EBADMSG || result == -ENOTSUP);
            CHECK(queue == UNTOUCHED);
            CHECK(mqrs_last_error(NULL, 0) > 0);
        }
    }
    printf("  %d of %zu changes are harmless\n", opened, sizeof header * 8);
    CHECK_OK(mqrs_unlink(name));
}

/* A buffer of this size whose end is the end of all memory that may be touched. */
static char *guarded_buffer(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page;
    char *memory = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    SYSTEM(mprotect(memory + pages * page, page, PROT_NONE));
    return memory + pages * page - size;
}

/* Some calls on a queue that may be damaged; whether they found it so. */
static int use_damaged(mqrs_queue *queue, char *buffer, size_t msgsize, uint64_t *seed)
{
    for (int i = 0; i < 40; i++) {
        struct mqrs_attr attr;
        int64_t result;
        uint32_t prio = random_number(seed) % 4;

        switch (random_number(seed) % 5) {
        case 0:
            result = mqrs_timedsend(queue, buffer, random_number(seed) % (msgsize + 1), prio,
                                    MQRS_NOWAIT);
            break;
        case 1:
            result = mqrs_timedsend(queue, buffer, 1, prio, MILLISECOND);
            break;
        case 2:
            result = mqrs_timedreceive(queue, buffer, msgsize, MQRS_NOWAIT, &prio);
            break;
        case 3:
            result = mqrs_timedreceive(queue, buffer, msgsize, MILLISECOND, &prio);
            break;
        default:
            result = mqrs_getattr(queue, &attr, sizeof attr);
            break;
        }
        if (result == -EBADMSG)
            return 1;
        /* A word may also say that the queue was shut down. */
        if (result < 0 && result != -EAGAIN && result != -ETIMEDOUT && result != -EMSGSIZE &&
            result != -EPIPE)
            FAIL("unexpected error: %s", mqrs_errname((int)result));
        CHECK(result <= (int64_t)msgsize);
    }
    return 0;
}

/* Closing may report the damage, and closes all the same. */
static void close_damaged(mqrs_queue *queue)
{
    int result = mqrs_close(queue);

    CHECK(result == 0 || result == -EBADMSG);
}

/* Where to do damage: mostly where it is read, in the words of tail, head and registration
 * and in the headers of the slots. */
static off_t place_to_damage(const char *path, uint64_t *seed)
{
    uint64_t slots, size = (uint64_t)size_of_file(path);
    uint32_t nslots, stride;

    switch (random_number(seed) % 4) {
    case 0:
        return CONTROL_AT + (off_t)(random_number(seed) % 4 * 0x80);
    case 1:
        return CONTROL_AT + (off_t)(random_number(seed) % (0x300 / 8) * 8);
    case 2:
        read_at(path, &nslots, sizeof nslots, 0x28);
        read_at(path, &stride, sizeof stride, 0x2C);
        read_at(path, &slots, sizeof slots, 0x40);
        return (off_t)(slots + random_number(seed) % nslots * (uint64_t)stride +
                       random_number(seed) % 4 * 8);
    default:
        return CONTROL_AT + (off_t)(random_number(seed) % ((size - CONTROL_AT) / 8) * 8);
    }
}

/* Words of the living part changed at random, while the queue is open: calls go on or find
 * it out, then everybody is told, and nothing is read or written outside. */
static void a_damaged_queue_is_poisoned_for_everybody(void)
{
    enum { ROUNDS = 300, MSGSIZE = 100 };
    char *buffer = guarded_buffer(MSGSIZE);
    uint64_t seed = 13;
    int found = 0;

    for (int round = 0; round < ROUNDS; round++) {
        const char *name = new_name();
        mqrs_queue *queue = create_queue(name, 6, MSGSIZE, 0), *other = open_queue(name, O_RDWR);

        for (uint32_t i = 0; i < (uint32_t)round % 7; i++)
            CHECK_OK(mqrs_timedsend(queue, "message", i, i % (1 + (uint32_t)round % 3),
                                    MQRS_NOWAIT));
        for (int changes = 1 + round % 5; changes > 0; changes--) {
            static const uint64_t words[] = {0, UINT64_MAX, 1, UINT64_C(1) << 63, 0x7FFFFFFF};
            uint64_t word = random_number(&seed) % 2
                                ? words[random_number(&seed) % 5]
                                : (uint64_t)random_number(&seed) << 33 ^ random_number(&seed);

            write_at(queue_file(name), &word, sizeof word,
                     place_to_damage(queue_file(name), &seed));
        }
        if (use_damaged(queue, buffer, MSGSIZE, &seed)) {
            found++;
            CHECK_ERROR(EBADMSG, mqrs_timedsend(queue, "x", 1, 0, MQRS_NOWAIT));
            CHECK_ERROR(EBADMSG, mqrs_timedreceive(other, buffer, MSGSIZE, MQRS_NOWAIT, NULL));
            CHECK_ERROR(EBADMSG, mqrs_timedsend(other, "x", 1, 0, MQRS_FOREVER));
        } else {
            use_damaged(other, buffer, MSGSIZE, &seed);
        }
        close_damaged(other);
        close_damaged(queue);
        CHECK_OK(mqrs_unlink(name));
    }
    printf("  the damage was found in %d of %d queues\n", found, ROUNDS);
    CHECK(found > 0);
}

int main(void)
{
    check_begin();
    RUN(regular_files_that_are_no_queue_are_ebadmsg);
    RUN(what_is_no_regular_file_is_refused_without_waiting);
    RUN(queues_of_another_layout_are_enotsup);
    RUN(a_header_that_contradicts_itself_is_ebadmsg);
    RUN(a_cut_off_file_is_ebadmsg);
    RUN(every_flipped_bit_of_the_header_is_noticed);
    RUN(a_damaged_queue_is_poisoned_for_everybody);
    return check_end();
}
