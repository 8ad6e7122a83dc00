/* Which addresses are queues, and with which errno all the others are refused. */
#include "check.h"

#define A50 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeee"
#define A250 A50 A50 A50 A50 A50

static mqrs_queue *const UNTOUCHED = (mqrs_queue *)0x5A5A;

static const struct {
    const char *address;
    int error;
} NO_ADDRESSES[] = {
    {"", EINVAL},
    {"name", EINVAL},
    {"name/", EINVAL},
    {".", EINVAL},
    {"shm:", EINVAL},
    {"shm:name", EINVAL},
    {"shm:name/", EINVAL},
    {"shm", EINVAL},
    {":", EINVAL},
    {":/name", EINVAL},
    {"SHM:/name", EINVAL},
    {" /name", EINVAL},
    {"unknown:/name", EINVAL},
    {"http://host/name", EINVAL},
    {"shm:shm:/name", EINVAL},
    {"/", ENOENT},
    {"shm:/", ENOENT},
    {"//", EACCES},
    {"/a/b", EACCES},
    {"/a/", EACCES},
    {"//a", EACCES},
    {"/.", EACCES},
    {"/..", EACCES},
    {"/../escape", EACCES},
    {"/a/../../escape", EACCES},
    {"shm://", EACCES},
    {"shm:/..", EACCES},
    {"shm:/a/b", EACCES},
    {"/" A250 "123456", ENAMETOOLONG},
    {"shm:/" A250 "123456", ENAMETOOLONG},
    {"/" A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250 A250,
     ENAMETOOLONG},
    {"posix:", EINVAL},
    {"posix:name", EINVAL},
    {"posix:posix:/name", EINVAL},
    {"posix:/", ENOENT},
    {"posix:/a/b", EACCES},
    {"posix:/..", EACCES},
    {"posix:/" A250 "123456", ENAMETOOLONG},
    {"sysv:", EINVAL},
    {"sysv:0", EINVAL},
    {"sysv:0x0", EINVAL},
    {"sysv:-1", EINVAL},
    {"sysv:name", EINVAL},
    {"sysv:0x100000000", EINVAL},
    {"sysv:id:", EINVAL},
    {"sysv:id:-1", EINVAL},
    {"sysv:id:2147483648", EINVAL},
    {"sysv:/", ENOENT},
    {"sysv://", EACCES},
    {"sysv:/.", EACCES},
    {"sysv:/" A250 "123456", ENAMETOOLONG},
    /* The plug-in that is not installed. */
    {"amqp://host/name", ENOTSUP},
};

static void addresses_of_no_queue_are_refused_in_every_call(void)
{
    static const int oflags[] = {O_RDWR, O_RDONLY, O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_WRONLY};

    for (size_t i = 0; i < sizeof NO_ADDRESSES / sizeof *NO_ADDRESSES; i++) {
        printf("  %.40s\n", NO_ADDRESSES[i].address);
        for (size_t j = 0; j < sizeof oflags / sizeof *oflags; j++) {
            mqrs_queue *queue = UNTOUCHED;

            CHECK_ERROR(NO_ADDRESSES[i].error,
                        mqrs_open(NO_ADDRESSES[i].address, oflags[j], NULL, 0, &queue));
            CHECK(queue == UNTOUCHED);
        }
        CHECK_ERROR(NO_ADDRESSES[i].error, mqrs_unlink(NO_ADDRESSES[i].address));
    }
    CHECK_EQUAL(0, count_entries(queue_directory()));
}

static void expect_a_queue_of_its_own(const char *name)
{
    char address[300];
    mqrs_queue *queue = open_queue(name, O_CREAT | O_EXCL | O_RDWR), *other;

    snprintf(address, sizeof address, "shm:%s", name);
    CHECK(strcmp(address, mqrs_name(queue)) == 0);
    send_text(queue, "hello", 0);
    other = open_queue(address, O_RDWR);
    CHECK(strcmp(address, mqrs_name(other)) == 0);
    EXPECT_TEXT(other, "hello", 0);
    CHECK_OK(mqrs_close(other));
    CHECK_EQUAL(1, count_entries(queue_directory()));
    close_and_unlink(queue, address);
    CHECK_EQUAL(0, count_entries(queue_directory()));
}

static void every_other_name_is_a_queue(void)
{
    static const char *const names[] = {
        "/a",      "/...",    "/.hidden", "/..a",       "/a.",         "/a:b",    "/shm:",
        "/with a space", "/\xff\xfe not utf-8", "/new\nline", "/%s%n", "/-rf", "/mqrs.a", "/\\",
        "/\xc3\xa4\xe2\x82\xac", "/*", "/~",
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        expect_a_queue_of_its_own(names[i]);
}

static void both_forms_of_an_address_are_one_queue(void)
{
    mqrs_queue *queue = open_queue("/both", O_CREAT | O_EXCL | O_RDWR), *other;

    CHECK_ERROR(EEXIST, mqrs_open("shm:/both", O_CREAT | O_EXCL | O_RDWR, NULL, 0, &other));
    CHECK_OK(mqrs_unlink("shm:/both"));
    CHECK_ERROR(ENOENT, mqrs_open("/both", O_RDWR, NULL, 0, &other));
    CHECK_ERROR(ENOENT, mqrs_unlink("/both"));
    CHECK_OK(mqrs_close(queue));
}

/* Up to 255 bytes after the slash, though a file name has to hold more than that: none of
 * the long names may meet another one. */
static void long_names_are_all_different(void)
{
    enum { SHORTEST = 240, LONGEST = 255, VARIANTS = 3 };
    static mqrs_queue *queues[LONGEST + 1][VARIANTS];
    char name[LONGEST + 2];

    for (int pass = 0; pass < 2; pass++)
        for (int len = SHORTEST; len <= LONGEST; len++)
            for (int variant = 0; variant < VARIANTS; variant++) {
                memset(name, 'n', sizeof name);
                name[0] = '/';
                name[len + 1] = 0;
                /* One differs at its end, one in its middle. */
                if (variant > 0)
                    name[variant == 1 ? len : 120] = 'm';
                if (pass == 0) {
                    queues[len][variant] = create_queue(name, 1, 300, 0);
                    send_text(queues[len][variant], name, 0);
                } else {
                    mqrs_queue *other = open_queue(name, O_RDWR);

                    CHECK(strcmp(name, mqrs_name(other) + strlen("shm:")) == 0);
                    EXPECT_TEXT(other, name, 0);
                    CHECK_OK(mqrs_close(other));
                    close_and_unlink(queues[len][variant], name);
                }
            }
    CHECK_EQUAL(0, count_entries(queue_directory()));
}

static void a_short_name_cannot_reach_the_file_of_a_long_one(void)
{
    mqrs_queue *queue = open_queue("/" A250 "12345", O_CREAT | O_EXCL | O_RDWR), *other;
    struct dirent *entry;
    DIR *directory = opendir(queue_directory());
    char name[300] = "";

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            snprintf(name, sizeof name, "/%.256s", entry->d_name);
    closedir(directory);
    /* What follows the five bytes of the prefix, taken as a queue's name of its own. */
    CHECK(strlen(name) > 6);
    memmove(name + 1, name + 6, strlen(name + 6) + 1);
    CHECK_ERROR(ENOENT, mqrs_open(name, O_RDWR, NULL, 0, &other));
    CHECK_ERROR(ENOENT, mqrs_unlink(name));
    close_and_unlink(queue, "/" A250 "12345");
}

/* The path of the only file among the queues. */
static void path_of_the_only_file(char path[PATH_MAX])
{
    struct dirent *entry;
    DIR *directory = opendir(queue_directory());

    CHECK(directory != NULL);
    CHECK_EQUAL(1, count_entries(queue_directory()));
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.')
            snprintf(path, PATH_MAX, "%s/%s", queue_directory(), entry->d_name);
    closedir(directory);
}

/* The header has the full name, so that nobody is fooled by a file of another queue. */
static void a_file_moved_to_another_long_name_is_ebadmsg(void)
{
    static const char one[] = "/" A250 "12345", another[] = "/" A250 "54321";
    char path[PATH_MAX], moved[PATH_MAX];
    mqrs_queue *queue = open_queue(another, O_CREAT | O_EXCL | O_RDWR), *other;

    path_of_the_only_file(moved);
    close_and_unlink(queue, another);
    queue = open_queue(one, O_CREAT | O_EXCL | O_RDWR);
    path_of_the_only_file(path);
    SYSTEM(rename(path, moved));
    CHECK_ERROR(EBADMSG, mqrs_open(another, O_RDWR, NULL, 0, &other));
    SYSTEM(rename(moved, path));
    close_and_unlink(queue, one);
}

static void unlinking_what_is_not_there_is_enoent(void)
{
    CHECK_ERROR(ENOENT, mqrs_unlink(new_name()));
    CHECK_ERROR(EFAULT, mqrs_unlink(NULL));
}

int main(void)
{
    check_begin();
    RUN(addresses_of_no_queue_are_refused_in_every_call);
    RUN(every_other_name_is_a_queue);
    RUN(both_forms_of_an_address_are_one_queue);
    RUN(long_names_are_all_different);
    RUN(a_short_name_cannot_reach_the_file_of_a_long_one);
    RUN(a_file_moved_to_another_long_name_is_ebadmsg);
    RUN(unlinking_what_is_not_there_is_enoent);
    return check_end();
}
