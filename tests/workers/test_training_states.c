/* Where a training keeps its states: the file of two places through every kind of failed write, and the bounds of
 * checkpoints. */
#include "job.h"
#include "slots.h"
#include "test.h"
#include "training_states.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STATE = 300000 };

struct desk {
    struct job job;
    struct task_request request;
    int sockets[2];
    struct training_states states;
};

/* A task with the file as its slots; fd -1: none. */
static void desk_open(struct desk *d, int fd)
{
    memset(d, 0, sizeof *d);
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, d->sockets) == 0);
    d->job = (struct job){.request = &d->request, .socket = d->sockets[0]};
    for (int i = 0; i < TASK_FDS_MOST; i++)
        d->job.fds[i] = -1;
    if (fd >= 0) {
        d->job.fds[TASK_FDS] = fd;
        d->request.role[d->request.extra++] = TASK_ROLE_SLOTS;
    }
    d->states = training_states_of(&d->job);
}

static void desk_close(struct desk *d)
{
    close(d->sockets[0]);
    close(d->sockets[1]);
}

static bool reads(int fd, uint8_t what, size_t want)
{
    void *state = NULL;
    size_t bytes = 0;
    bool same = slots_read(fd, &state, &bytes) == STATUS_OK && bytes == want;
    for (size_t i = 0; same && i < bytes; i++)
        same = ((uint8_t *)state)[i] == what;
    free(state);
    return same;
}

static void most_bytes(rlim_t bytes)
{
    struct rlimit now;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &now) == 0);
    now.rlim_cur = bytes;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &now) == 0);
}

/* The disk ends somewhere in the second state: the first is what is read, training is told that all is well, and when
 * there is room again the next one counts. */
TEST(a_full_disk_leaves_the_state_before)
{
    static const rlim_t rooms[] = {4096 + STATE + 1, 4096 + STATE + 5000, 4096 + 2 * STATE - 1};
    uint8_t *const state = malloc(STATE);
    struct rlimit before;
    REQUIRE(state && getrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, SIG_IGN);
    for (size_t r = 0; r < sizeof rooms / sizeof *rooms; r++) {
        struct desk d;
        const int fd = open("states", O_RDWR | O_CREAT | O_TRUNC, 0600);
        REQUIRE(fd >= 0);
        desk_open(&d, fd);
        memset(state, 1, STATE);
        CHECK_OK(training_states_keep(&d.states, state, STATE, 0, false));
        CHECK(reads(fd, 1, STATE));
        memset(state, 2, STATE);
        most_bytes(rooms[r]);
        CHECK_CODE(slots_write(fd, state, STATE), STATUS_IO);
        CHECK(strstr(status_message(), "cannot be kept"));
        d.states.kept_ms = 0;
        CHECK_OK(training_states_keep(&d.states, state, STATE, 0.5, false));
        most_bytes(before.rlim_cur);
        CHECK(reads(fd, 1, STATE));
        char byte;
        CHECK(recv(d.sockets[1], &byte, 1, MSG_DONTWAIT) < 0); /* the queue hears of no state that is not there */
        d.states.kept_ms = 0;
        CHECK_OK(training_states_keep(&d.states, state, STATE, 0.6, false));
        CHECK(reads(fd, 2, STATE));
        CHECK(recv(d.sockets[1], &byte, 1, MSG_DONTWAIT) > 0);
        desk_close(&d);
        close(fd);
    }
    free(state);
}

/* What is altered in the file: the other place is read, or nothing, and never other bytes. */
TEST(altered_bytes_are_never_read)
{
    enum { HEADER = 64, AT1 = 4096, AT2 = 4096 + (STATE + 4095) / 4096 * 4096 };
    static const struct {
        off_t at[2];
        int read; /* which state; 0: none */
        const char *why;
    } cases[] = {
        {{-1, -1}, 2, "as it is"},
        {{AT2 + 1000, -1}, 1, "the newer one's bytes"},
        {{0, -1}, 1, "the newer one's header: the first state has the second place"},
        {{AT1 + 1000, -1}, 2, "the older one's bytes"},
        {{HEADER + 20, -1}, 2, "the older one's header"},
        {{AT1 + 1000, AT2 + STATE - 1}, 0, "both"},
        {{0, HEADER}, 0, "both headers"},
    };
    uint8_t *const state = malloc(STATE);
    REQUIRE(state);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int fd = open("states", O_RDWR | O_CREAT | O_TRUNC, 0600);
        struct desk d;
        REQUIRE(fd >= 0);
        for (int i = 1; i <= 2; i++) {
            memset(state, i, STATE);
            CHECK_OK(slots_write(fd, state, STATE));
        }
        for (int i = 0; i < 2 && cases[c].at[i] >= 0; i++)
            CHECK(pwrite(fd, "\xff", 1, cases[c].at[i]) == 1);
        desk_open(&d, fd);
        void *read = NULL;
        size_t bytes = 0;
        const int code = training_states_read(&d.states, &read, &bytes);
        if (cases[c].read ? !reads(fd, (uint8_t)cases[c].read, STATE) || code : code != STATUS_DAMAGED)
            test_report(false, __FILE__, __LINE__, "%s: %s", cases[c].why, status_name(code));
        CHECK(code || (bytes == STATE && *(uint8_t *)read == cases[c].read));
        free(read);
        desk_close(&d);
        close(fd);
    }
    free(state);
}

/* A checkpoint that is too large ends the training before its first step; in a folder the same is only not kept. */
TEST(checkpoints_have_a_bound)
{
    struct desk d;
    uint8_t byte = 0;
    desk_open(&d, -1);
    CHECK_CODE(training_states_keep(&d.states, &byte, STATE_CHECKPOINT_MOST + 1, 0, false), STATUS_ARGUMENT);
    CHECK(strstr(status_message(), "without --upload") && strstr(status_message(), "1024"));
    CHECK(training_states_begins_anew(&d.states, STATUS_ARGUMENT) &&
          training_states_begins_anew(&d.states, STATUS_VERSION));
    CHECK(!training_states_begins_anew(&d.states, STATUS_NOMEM));
    CHECK_CODE(training_states_read(&d.states, &(void *){NULL}, &(size_t){0}), STATUS_NOT_FOUND);
    desk_close(&d);
    const int fd = open("states", O_RDWR | O_CREAT | O_TRUNC, 0600);
    desk_open(&d, fd);
    CHECK(!training_states_begins_anew(&d.states, STATUS_ARGUMENT) &&
          training_states_begins_anew(&d.states, STATUS_FORMAT));
    desk_close(&d);
    close(fd);
}

/* Whoever begins again within an attempt goes on from what it has saved, not from what it began with. */
TEST(what_was_saved_is_read_again)
{
    struct desk d;
    void *read = NULL;
    size_t bytes = 0;
    char earlier[] = "earlier", saved[] = "saved in this attempt";
    desk_open(&d, -1);
    d.request.flags = TASK_RESUME;
    d.job.fds[TASK_FD_CHECKPOINT] = memfd_create("test", MFD_CLOEXEC);
    REQUIRE(write(d.job.fds[TASK_FD_CHECKPOINT], earlier, sizeof earlier) == sizeof earlier);
    CHECK_OK(training_states_read(&d.states, &read, &bytes));
    CHECK(bytes == sizeof earlier && memcmp(read, earlier, bytes) == 0);
    for (int i = 0; i < 3; i++) {
        free(read);
        saved[0] = (char)('s' + i);
        CHECK_OK(training_states_keep(&d.states, saved, sizeof saved - (size_t)i, 0, false));
        CHECK_OK(training_states_read(&d.states, &read, &bytes));
        CHECK(bytes == sizeof saved - (size_t)i && memcmp(read, saved, bytes) == 0);
    }
    /* One that is not sent is none: the supervisor is gone. */
    close(d.sockets[1]);
    d.sockets[1] = open("/dev/null", O_RDONLY);
    const int held = d.states.saved;
    CHECK_OK(training_states_keep(&d.states, earlier, sizeof earlier, 0, false));
    CHECK(d.states.saved == held && held >= 0);
    training_states_close(&d.states);
    training_states_close(&d.states);
    CHECK(d.states.saved == -1 && fcntl(held, F_GETFD) < 0);
    free(read);
    close(d.job.fds[TASK_FD_CHECKPOINT]);
    desk_close(&d);
}

/* A checkpoint goes up at once at the beginning, then not before 5 s, nor before so many seconds as it has MiB. */
TEST(checkpoints_keep_their_distance)
{
    static const struct {
        size_t mib;
        int64_t ago_ms;
        double progress;
        bool goes;
    } cases[] = {{1, 0, 0, true},       {1, 4000, 0.5, false}, {1, 6000, 0.5, true},
                 {8, 6000, 0.5, false}, {8, 9000, 0.5, true},  {8, 100, 0, true}};
    uint8_t *const state = calloc(8, 1 << 20);
    REQUIRE(state);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct desk d;
        struct task_reply r;
        int fd = -1;
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        desk_open(&d, -1);
        d.states.kept_ms = t.tv_sec * 1000 + t.tv_nsec / 1000000 - cases[c].ago_ms;
        CHECK_OK(training_states_keep(&d.states, state, cases[c].mib << 20, cases[c].progress, false));
        shutdown(d.sockets[0], SHUT_WR);
        const bool went = task_receive_reply(d.sockets[1], &r, &fd) == STATUS_OK;
        struct stat s;
        CHECK(went == cases[c].goes);
        CHECK(!went || (r.event == TASK_SAVED && r.progress == cases[c].progress && fstat(fd, &s) == 0 &&
                        (size_t)s.st_size == cases[c].mib << 20));
        if (fd >= 0)
            close(fd);
        training_states_close(&d.states);
        desk_close(&d);
    }
    free(state);
}
