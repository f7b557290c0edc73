/* Messages between supervisor and child, and the pool of threads. */
#include "pool.h"
#include "task.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    REQUIRE(d != NULL);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void open_pair(int pair[2])
{
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
}

static _Alignas(16) char buffer[sizeof(struct task_request) + TASK_PARAMS_MAX];

TEST(request_with_descriptors)
{
    int pair[2], got[TASK_FDS_MOST];
    open_pair(pair);
    const int fds[TASK_FDS_MOST] = {memfd_create("a", 0), memfd_create("b", 0), -1, -1};
    REQUIRE(write(fds[0], "first", 5) == 5 && write(fds[1], "second", 6) == 6);
    const int before = descriptors();
    const struct task_request r = {
        .magic = TASK_MAGIC, .kind = TASK_FEATURES, .flags = 1, .params_bytes = 3, .item_params_bytes = 4, .id = 99};
    const struct task_request *seen;
    const uint8_t *params;
    char text[8] = {0};
    CHECK_OK(task_send_request(pair[0], &r, "abc", "wxyz", fds));
    CHECK_OK(task_receive_request(pair[1], buffer, &seen, &params, got));
    CHECK(seen->kind == r.kind && seen->flags == r.flags && seen->id == r.id && memcmp(params, "abcwxyz", 7) == 0);
    CHECK(got[0] >= 0 && got[1] >= 0 && got[2] == -1 && descriptors() == before + 2);
    CHECK(pread(got[0], text, 8, 0) == 5 && strcmp(text, "first") == 0);
    CHECK(pread(got[1], text, 8, 0) == 6 && strcmp(text, "second") == 0);
    CHECK(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
}

/* As a separation sends them: fixed ones that end before the fourth, then others, each with its role. */
TEST(extra_descriptors_have_roles)
{
    int pair[2], got[TASK_FDS_MOST], fds[TASK_FDS_MOST];
    open_pair(pair);
    for (int fixed = 0; fixed <= TASK_FDS; fixed += 2)
        for (uint32_t extra = 0; extra <= TASK_EXTRA; extra += TASK_EXTRA / 2) {
            struct task_request r = {.magic = TASK_MAGIC, .kind = TASK_SEPARATE, .extra = extra};
            const struct task_request *seen;
            const uint8_t *params;
            for (int i = 0; i < TASK_FDS_MOST; i++)
                fds[i] = i < fixed || i >= TASK_FDS ? memfd_create("x", 0) : -1;
            for (uint32_t i = 0; i < extra; i++) {
                r.role[i] = (uint8_t)(i == 0 ? TASK_ROLE_SPOOL : i % 2 ? TASK_ROLE_OUTPUT : TASK_ROLE_WEIGHTS);
                REQUIRE(pwrite(fds[TASK_FDS + i], &i, sizeof i, 0) == sizeof i);
            }
            const int before = descriptors();
            CHECK_OK(task_send_request(pair[0], &r, NULL, NULL, fds));
            CHECK_OK(task_receive_request(pair[1], buffer, &seen, &params, got));
            CHECK(descriptors() == before + fixed + (int)extra && seen->extra == extra);
            for (int i = 0; i < TASK_FDS_MOST; i++)
                CHECK((got[i] >= 0) == (i < fixed || (i >= TASK_FDS && i < TASK_FDS + (int)extra)));
            uint32_t number = 0;
            CHECK((task_extra(seen, got, TASK_ROLE_SPOOL, 0) >= 0) == (extra > 0));
            CHECK(task_extra(seen, got, TASK_ROLE_SPOOL, 1) == -1);
            const int third = task_extra(seen, got, TASK_ROLE_OUTPUT, 2);
            CHECK(extra ? pread(third, &number, sizeof number, 0) == sizeof number && number == 5 : third == -1);
            for (int i = 0; i < TASK_FDS_MOST; i++) {
                close(got[i]);
                close(fds[i]);
            }
        }
    const struct task_request more = {.magic = TASK_MAGIC, .extra = TASK_EXTRA + 1};
    CHECK_CODE(task_send_request(pair[0], &more, NULL, NULL, fds), STATUS_INTERNAL);
}

TEST(largest_request)
{
    int pair[2], got[TASK_FDS_MOST];
    const int fds[TASK_FDS_MOST] = {-1, -1, -1, -1};
    open_pair(pair);
    char *params = calloc(1, TASK_PARAMS_MAX);
    const struct task_request r = {
        .magic = TASK_MAGIC, .params_bytes = TASK_PARAMS_MAX - 8192, .item_params_bytes = 8192, .id = 1};
    const struct task_request *seen;
    const uint8_t *at;
    CHECK_OK(task_send_request(pair[0], &r, params, params, fds));
    CHECK_OK(task_receive_request(pair[1], buffer, &seen, &at, got));
    CHECK(seen->params_bytes == TASK_PARAMS_MAX - 8192 && got[0] == -1);
    free(params);
}

TEST(not_of_this_build)
{
    int pair[2], got[TASK_FDS_MOST];
    const int file = memfd_create("x", 0), fds[TASK_FDS_MOST] = {file, file, file, -1};
    open_pair(pair);
    const struct task_request *seen;
    const uint8_t *params;
    const struct task_request wrong = {.magic = TASK_MAGIC + 1}, good = {.magic = TASK_MAGIC, .params_bytes = 10};
    const int before = descriptors();
    CHECK_OK(task_send_request(pair[0], &wrong, NULL, NULL, fds));
    CHECK_CODE(task_receive_request(pair[1], buffer, &seen, &params, got), STATUS_FORMAT);
    CHECK(descriptors() == before);                             /* what came with it is not left open */
    CHECK(send(pair[0], &good, sizeof good, 0) == sizeof good); /* says that parameters follow */
    CHECK_CODE(task_receive_request(pair[1], buffer, &seen, &params, got), STATUS_FORMAT);
    CHECK(send(pair[0], "short", 5, 0) == 5);
    CHECK_CODE(task_receive_request(pair[1], buffer, &seen, &params, got), STATUS_FORMAT);
    /* more roles than descriptors */
    const struct task_request missing = {.magic = TASK_MAGIC, .extra = 1};
    CHECK(send(pair[0], &missing, sizeof missing, 0) == sizeof missing);
    CHECK_CODE(task_receive_request(pair[1], buffer, &seen, &params, got), STATUS_FORMAT);
    CHECK(descriptors() == before);
}

TEST(end_of_the_conversation)
{
    int pair[2], got[TASK_FDS_MOST], fd;
    const int fds[TASK_FDS_MOST] = {-1, -1, -1, -1};
    open_pair(pair);
    const struct task_request *seen;
    const uint8_t *params;
    const struct task_request r = {.magic = TASK_MAGIC};
    struct task_reply reply = {.magic = TASK_MAGIC};
    CHECK_CODE(task_receive_reply(pair[0], &reply, &fd), STATUS_TIMEOUT);
    close(pair[1]);
    CHECK_CODE(task_receive_reply(pair[0], &reply, &fd), STATUS_IO);
    CHECK_CODE(task_send_request(pair[0], &r, NULL, NULL, fds), STATUS_IO);
    CHECK_CODE(task_send_reply(pair[0], &reply), STATUS_IO);
    open_pair(pair);
    close(pair[0]);
    CHECK_CODE(task_receive_request(pair[1], buffer, &seen, &params, got), STATUS_NOT_FOUND);
}

TEST(full_socket)
{
    int pair[2];
    const int fds[TASK_FDS_MOST] = {-1, -1, -1, -1};
    const struct task_request r = {.magic = TASK_MAGIC};
    open_pair(pair);
    int code = STATUS_OK, sent = 0;
    while (!code && sent < 1000000 && !(code = task_send_request(pair[0], &r, NULL, NULL, fds)))
        sent++;
    CHECK_CODE(code, STATUS_BUSY);
    CHECK(sent > 0);
}

TEST(replies)
{
    int pair[2], fd;
    open_pair(pair);
    struct task_reply reply = {.magic = TASK_MAGIC, .event = TASK_DONE, .id = 7, .frames = 1ull << 40, .seconds = 1.5};
    struct task_reply seen;
    memset(reply.message, 'x', sizeof reply.message); /* without an end */
    CHECK_OK(task_send_reply(pair[1], &reply));
    CHECK_OK(task_receive_reply(pair[0], &seen, &fd));
    CHECK(seen.id == 7 && seen.frames == 1ull << 40 && seen.seconds == 1.5 && strlen(seen.message) == TASK_MESSAGE - 1);
    reply.magic++;
    CHECK_OK(task_send_reply(pair[1], &reply));
    CHECK_CODE(task_receive_reply(pair[0], &seen, &fd), STATUS_FORMAT);
    CHECK(send(pair[1], "short", 5, 0) == 5);
    CHECK_CODE(task_receive_reply(pair[0], &seen, &fd), STATUS_FORMAT);
}

TEST(a_checkpoint_goes_up_as_a_descriptor)
{
    int pair[2], fd;
    char text[8] = "";
    open_pair(pair);
    struct task_reply reply = {.magic = TASK_MAGIC, .event = TASK_SAVED, .id = 9, .progress = 0.25}, seen;
    const int file = memfd_create("c", 0);
    CHECK(write(file, "saved", 5) == 5);
    CHECK_OK(task_send_saved(pair[1], &reply, file));
    close(file);
    CHECK_OK(task_receive_reply(pair[0], &seen, &fd));
    CHECK(seen.event == TASK_SAVED && seen.progress == 0.25 && fd >= 0);
    CHECK(pread(fd, text, 8, 0) == 5 && strcmp(text, "saved") == 0);
    close(fd);
    reply.magic++; /* of another build: its descriptor is not left open */
    const int other = memfd_create("c", 0), next = dup(other);
    close(next);
    CHECK_OK(task_send_saved(pair[1], &reply, other));
    CHECK_CODE(task_receive_reply(pair[0], &seen, &fd), STATUS_FORMAT);
    CHECK(fd == -1 && dup(other) == next);
}

/* ---- pool ---- */

struct counted {
    struct pool_work work;
    int number, runs;
};

static void count_run(struct pool_work *w)
{
    struct counted *c = (struct counted *)w;
    c->runs++;
    if (c->number % 100 == 0)
        usleep(100);
}

static bool is_readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1;
}

TEST(pool_keeps_the_order_of_one_thread)
{
    enum { COUNT = 1000 };
    static struct counted work[COUNT];
    struct pool *p = NULL;
    CHECK_OK(pool_create(1, &p));
    for (int i = 0; i < COUNT; i++) {
        work[i] = (struct counted){.work.run = count_run, .number = i};
        pool_submit(p, &work[i].work);
    }
    for (int i = 0; i < COUNT;) {
        struct counted *c = (struct counted *)pool_finished(p);
        if (!c)
            usleep(200);
        else
            CHECK(c->number == i++);
    }
    CHECK(!pool_finished(p) && !is_readable(pool_event_fd(p)));
    pool_destroy(&p);
    CHECK(p == NULL);
}

TEST(pool_runs_everything_once)
{
    enum { COUNT = 20000 };
    static struct counted work[COUNT];
    struct pool *p = NULL;
    int finished = 0;
    CHECK_OK(pool_create(4, &p));
    for (int i = 0; i < COUNT; i++) {
        work[i] = (struct counted){.work.run = count_run, .number = i + 1};
        pool_submit(p, &work[i].work);
        if (i % 3 == 0)
            finished += pool_finished(p) != NULL;
    }
    while (finished < COUNT) {
        struct pollfd wait = {pool_event_fd(p), POLLIN, 0};
        REQUIRE(poll(&wait, 1, 5000) == 1);
        while (pool_finished(p))
            finished++;
    }
    for (int i = 0; i < COUNT; i++)
        REQUIRE(work[i].runs == 1);
    pool_destroy(&p);
}

TEST(pool_destroy_finishes_what_is_pending)
{
    enum { COUNT = 500 };
    static struct counted work[COUNT];
    struct pool *p = NULL;
    const int before = descriptors();
    CHECK_OK(pool_create(2, &p));
    for (int i = 0; i < COUNT; i++) {
        work[i] = (struct counted){.work.run = count_run, .number = i};
        pool_submit(p, &work[i].work);
    }
    pool_destroy(&p);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(work[i].runs == 1);
    pool_destroy(&p); /* NULL is fine */
    CHECK(descriptors() == before);
}
