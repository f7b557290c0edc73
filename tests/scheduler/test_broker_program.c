/* The real program: how it starts, how it ends, and that only one runs. */
#include "peer.h"
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct program {
    pid_t pid;
    char said[600]; /* through --ready-fd */
};

/* Starts `wavemill-scheduler --run-dir run ...`; returns what it says when it is up. */
static struct program start(const char *const *more)
{
    struct program p = {0};
    int ends[2];
    const char *argv[20] = {test_bin("wavemill-scheduler"), "--run-dir", "run", "--ready-fd", "9", "--log", "log"};
    for (int i = 7; more && *more; i++)
        argv[i] = *more++;
    REQUIRE(pipe(ends) == 0);
    p.pid = fork();
    if (p.pid == 0) {
        dup2(ends[1], 9);
        close(ends[0]);
        close(ends[1]);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    struct pollfd wait = {.fd = ends[0], .events = POLLIN};
    if (poll(&wait, 1, PEER_PATIENCE_MS) > 0 && read(ends[0], p.said, sizeof p.said - 1) < 0)
        p.said[0] = '\0';
    close(ends[0]);
    return p;
}

/* Its exit status, or 1000 and the signal; -1: it runs on for so long. */
static int status_of(const struct program *p, int wait_ms)
{
    const int64_t end = peer_clock_ms() + wait_ms;
    int state = 0;
    while (waitpid(p->pid, &state, WNOHANG) == 0) {
        if (peer_clock_ms() > end)
            return -1;
        usleep(10000);
    }
    return WIFEXITED(state) ? WEXITSTATUS(state) : 1000 + WTERMSIG(state);
}

static int stop(const struct program *p)
{
    kill(p->pid, SIGTERM);
    return status_of(p, PEER_PATIENCE_MS);
}

TEST(program_serves_and_ends_on_sigterm)
{
    struct stat s;
    struct peer_end client, worker;
    struct message_engaged engaged = {0};
    struct message_grant grant = {0};
    const struct program p = start(NULL);
    CHECK(p.said[0] == 'R');
    CHECK(stat("run", &s) == 0 && (s.st_mode & 0777) == 0700);
    CHECK(stat("run/client.sock", &s) == 0 && S_ISSOCK(s.st_mode) && (s.st_mode & 0777) == 0600);
    CHECK(stat("run/worker.sock", &s) == 0 && S_ISSOCK(s.st_mode) && (s.st_mode & 0777) == 0600);
    CHECK(peer_open(&client, "run", "client") && peer_open(&worker, "run", "worker"));
    CHECK(peer_hello(&client, NULL) && peer_ready(&worker, "w", "noop", &engaged));
    CHECK(peer_submit(&client, "noop", 3, true) == 1);
    CHECK(peer_send(&worker, MESSAGE_TAKE, &take_schema, &(struct message_take){.credits = 2}));
    CHECK(peer_receive(&worker, PEER_PATIENCE_MS) == MESSAGE_GRANT && worker.packet.header.seq == worker.seq);
    CHECK(peer_decode(&worker, &grant_schema, &grant) && grant.job == 1 && grant.leases.count == 2);
    CHECK(stop(&p) == 0);
    CHECK(access("run/client.sock", F_OK) != 0 && access("run/scheduler.lock", F_OK) == 0);
    peer_close(&client);
    peer_close(&worker);
}

TEST(program_is_alone_and_its_epoch_grows)
{
    struct message_welcome first = {0}, second = {0};
    struct peer_end client;
    const struct program p = start(NULL);
    CHECK(p.said[0] == 'R');
    struct program other = start(NULL);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)p.pid);
    CHECK(other.said[0] == 'B' && strstr(other.said, pid));
    CHECK(status_of(&other, PEER_PATIENCE_MS) == 3);
    CHECK(peer_open(&client, "run", "client") && peer_hello(&client, &first));
    peer_close(&client);
    kill(p.pid, SIGKILL);
    CHECK(status_of(&p, PEER_PATIENCE_MS) == 1000 + SIGKILL);
    CHECK(access("run/client.sock", F_OK) == 0); /* stale */
    other = start(NULL);
    CHECK(other.said[0] == 'R');
    CHECK(peer_open(&client, "run", "client") && peer_hello(&client, &second));
    CHECK(second.epoch > first.epoch && second.epoch < 1u << 23);
    peer_close(&client);
    CHECK(stop(&other) == 0);
}

TEST(program_lingers_then_ends)
{
    const char *const more[] = {"--linger-ms", "300", NULL};
    struct peer_end client;
    REQUIRE(mkdir("run", 0700) == 0);

    /* A client that is starting up holds start.lock: the scheduler waits for it. */
    int lock = open("run/start.lock", O_RDWR | O_CREAT, 0600);
    CHECK(flock(lock, LOCK_EX) == 0);
    struct program p = start(more);
    CHECK(p.said[0] == 'R' && status_of(&p, 1000) == -1);
    CHECK(peer_open(&client, "run", "client") && peer_hello(&client, NULL));
    close(lock);
    CHECK(status_of(&p, 700) == -1); /* a client is there */
    CHECK(peer_send(&client, MESSAGE_BYE, &empty_schema, &(struct message_empty){0}));
    CHECK(status_of(&p, PEER_PATIENCE_MS) == 0);
    CHECK(access("run/client.sock", F_OK) != 0 && access("run/worker.sock", F_OK) != 0);
    peer_close(&client);

    lock = open("run/start.lock", O_RDWR | O_CREAT, 0600);
    CHECK(flock(lock, LOCK_EX) == 0);
    p = start(more);
    CHECK(p.said[0] == 'R' && peer_open(&client, "run", "client") && peer_hello(&client, NULL));
    close(lock);
    peer_close(&client); /* without BYE: its session times out first */
    CHECK(status_of(&p, PEER_PATIENCE_MS) == 0);
}

TEST(program_refuses_unsafe_folders)
{
    struct program p;
    REQUIRE(mkdir("open", 0700) == 0 && chmod("open", 0755) == 0 && symlink("open", "link") == 0);
    static const struct {
        const char *option, *value;
        int status;
    } cases[] = {
        {"--run-dir", "open", 2},      {"--run-dir", "link", 2},          {"--run-dir", "link/", 2},
        {"--run-dir", "/dev/null", 2}, {"--run-dir", "/proc/none/x", 5},  {"--log", "none/log", 5},
        {"--lease-ms", "0", 2},        {"--lease-ms", "ten", 2},          {"--linger-ms", "-2", 2},
        {"--beat-ms", "", 2},          {"--session-timeout-ms", "1x", 2}, {"--ready-fd", "-1", 2},
        {"--unknown", "x", 2},         {"--lease-ms", "999999999999", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        p = start((const char *const[]){cases[i].option, cases[i].value, NULL});
        const int status = status_of(&p, PEER_PATIENCE_MS);
        if (status != cases[i].status)
            printf("    case %zu: %s %s gives %d\n", i, cases[i].option, cases[i].value, status);
        CHECK(status == cases[i].status);
    }
    char longest[120];
    memset(longest, 'x', sizeof longest);
    longest[100] = '\0';
    p = start((const char *const[]){"--run-dir", longest, NULL});
    CHECK(p.said[0] == 'E' && strstr(p.said, "too long") && status_of(&p, PEER_PATIENCE_MS) == 2);
    p = start((const char *const[]){"something", NULL});
    CHECK(status_of(&p, PEER_PATIENCE_MS) == 2);
    p = start((const char *const[]){"--help", NULL});
    CHECK(status_of(&p, PEER_PATIENCE_MS) == 0);
    p = start((const char *const[]){"--version", NULL});
    CHECK(status_of(&p, PEER_PATIENCE_MS) == 0);
    REQUIRE(mkdir("shared", 0700) == 0 && chmod("shared", 0777) == 0);
    p = start((const char *const[]){"--run-dir", "shared/run", NULL});
    CHECK(p.said[0] == 'E' && status_of(&p, PEER_PATIENCE_MS) == 2);
    REQUIRE(mkdir("blocked", 0700) == 0);
    close(open("blocked/client.sock", O_CREAT | O_WRONLY, 0600));
    p = start((const char *const[]){"--run-dir", "blocked", NULL});
    CHECK(p.said[0] == 'E' && strstr(p.said, "no socket") && status_of(&p, PEER_PATIENCE_MS) == 2);
    if (geteuid() == 0) {
        REQUIRE(mkdir("foreign", 0700) == 0 && chown("foreign", 1, 1) == 0);
        p = start((const char *const[]){"--run-dir", "foreign", NULL});
        CHECK(p.said[0] == 'E' && status_of(&p, PEER_PATIENCE_MS) == 2);
    }
}
