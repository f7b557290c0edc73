/* serve - parent of one scheduler and its workers: starts them, starts them again when they die, ends them. */
#include "cli.h"
#include "log.h"
#include "paths.h"
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill serve [OPTION...]\n"
    "Keeps a scheduler and a worker for this machine's device running until it is stopped (Ctrl-C or SIGTERM).\n"
    "Commands find it by WAVEMILL_HOME and attach. Without it a command that computes starts one for its own\n"
    "duration. Jobs are kept in WAVEMILL_HOME/queue, and are there again after a crash.\n\n"
    "  --linger-ms N      end by itself N ms after the last client has left (default: stay)\n"
    "  --listen ADDRESS   take workers of other machines at tcp://127.0.0.1:PORT (see `wavemill worker`)\n"
    "  --insecure-tcp     let --listen be an address that other machines reach: whoever reaches it may work\n"
    "  --no-workers       the scheduler only\n"
    "  --stall-ms N       time without progress after which an item counts as hung (default: 120000)\n";

enum {
    ARGUMENTS = 32,
    SCHEDULER = 0,
    WORKER = 1,
    CHILDREN = 2,
    QUICK_MS = 2000,
    QUICK_MOST = 5,
    STOP_MS = 5000,
    LINGER_WAIT_MS = 3000
};

struct service {
    struct paths paths;
    char programs[CHILDREN][PATHS_MAX + 32];
    const char *arguments[CHILDREN][ARGUMENTS];
    pid_t pids[CHILDREN];
    int64_t started_ms[CHILDREN];
    int quick[CHILDREN];
    bool workers, embedded;
    int ready_fd; /* the caller's, for the first scheduler; -1 */
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Removes an option and its value. */
static void drop_argument(struct service *s, int which, const char *option)
{
    const char **list = s->arguments[which];
    int to = 0;
    for (int from = 0; list[from]; from++) {
        if (strcmp(list[from], option) == 0 && list[from + 1])
            from++;
        else
            list[to++] = list[from];
    }
    list[to] = NULL;
}

static int start_one(struct service *s, int which)
{
    const char *const *argv = s->arguments[which];
    const pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return fail(STATUS_IO, "fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent)
            _exit(0);
        setpgid(0, 0); /* a Ctrl-C reaches serve alone, which ends its children in order */
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (s->ready_fd >= 0)
            fcntl(s->ready_fd, F_SETFD, which == SCHEDULER ? 0 : FD_CLOEXEC);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        fprintf(stderr, "wavemill serve: cannot start %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    s->pids[which] = pid;
    s->started_ms[which] = now_ms();
    if (which == SCHEDULER && s->ready_fd >= 0) { /* told once: in a second one that number is another descriptor */
        close(s->ready_fd);
        s->ready_fd = -1;
        drop_argument(s, SCHEDULER, "--ready-fd");
    }
    return STATUS_OK;
}

static void end_one(struct service *s, int which)
{
    if (s->pids[which] <= 0)
        return;
    kill(s->pids[which], SIGTERM);
    for (int64_t end = now_ms() + STOP_MS; now_ms() < end;) {
        if (waitpid(s->pids[which], NULL, WNOHANG) != 0) {
            s->pids[which] = 0;
            return;
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    kill(s->pids[which], SIGKILL);
    waitpid(s->pids[which], NULL, 0);
    s->pids[which] = 0;
}

/* A child has ended: the scheduler with 0 when its last client has left, else it is started again. */
static int on_end(struct service *s, int which, int state, bool *over, int *exit_code)
{
    s->pids[which] = 0;
    const bool clean = WIFEXITED(state) && WEXITSTATUS(state) == 0;
    if (which == SCHEDULER && !s->embedded && WIFEXITED(state) && WEXITSTATUS(state) == EXIT_NO_SCHEDULER) {
        /* Ours died, and a command was quicker to start another: that one leaves with its last client. */
        nanosleep(&(struct timespec){0, 200000000}, NULL);
        return start_one(s, which);
    }
    if (which == SCHEDULER && (clean || (WIFEXITED(state) && WEXITSTATUS(state) != 5))) {
        *over = true;
        *exit_code = WEXITSTATUS(state);
        return STATUS_OK;
    }
    if (which == WORKER && WIFEXITED(state) && WEXITSTATUS(state) == EXIT_NO_DEVICE) { /* it has said why */
        *over = true;
        *exit_code = EXIT_NO_DEVICE;
        return STATUS_OK;
    }
    s->quick[which] = now_ms() - s->started_ms[which] < QUICK_MS ? s->quick[which] + 1 : 0;
    if (s->quick[which] > QUICK_MOST) {
        *over = true;
        *exit_code = EXIT_INTERNAL;
        return fail(STATUS_INTERNAL, "%s ends as soon as it is started", s->programs[which]);
    }
    if (!clean)
        log_warn("%s ended (%s %d): started again", s->programs[which], WIFSIGNALED(state) ? "signal" : "exit code",
                 WIFSIGNALED(state) ? WTERMSIG(state) : WEXITSTATUS(state));
    if (s->quick[which] > 1)
        nanosleep(&(struct timespec){0, 100000000L * s->quick[which]}, NULL);
    return start_one(s, which);
}

static int watch(struct service *s, int *exit_code)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGCHLD, SIG_DFL);
    int code = start_one(s, SCHEDULER);
    if (!code && s->workers)
        code = start_one(s, WORKER);
    bool over = false;
    while (!code && !over) {
        const int signal_number = sigwaitinfo(&set, NULL);
        if (signal_number > 0 && signal_number != SIGCHLD)
            break;
        int state;
        for (pid_t pid; !over && !code && (pid = waitpid(-1, &state, WNOHANG)) > 0;)
            for (int i = 0; i < CHILDREN; i++)
                if (s->pids[i] == pid)
                    code = on_end(s, i, state, &over, exit_code);
    }
    end_one(s, WORKER); /* before the scheduler, so that it can give its items back */
    end_one(s, SCHEDULER);
    return code;
}

static void argument(struct service *s, int which, const char *text)
{
    int n = 0;
    while (s->arguments[which][n])
        n++;
    if (n + 1 < ARGUMENTS)
        s->arguments[which][n] = text;
}

static int prepare(struct service *s, const struct common *c, const char *linger, const char *stall, const char *ready)
{
    static const char *const names[CHILDREN] = {"wavemill-scheduler", "wavemill-worker"};
    char folder[PATHS_MAX];
    int code = paths_find(NULL, &s->paths);
    if (!code)
        code = paths_program_folder(folder, sizeof folder);
    if (code)
        return code;
    for (int i = 0; i < CHILDREN; i++) {
        snprintf(s->programs[i], sizeof s->programs[i], "%s/%s", folder, names[i]);
        s->arguments[i][0] = s->programs[i];
    }
    argument(s, SCHEDULER, "--run-dir");
    argument(s, SCHEDULER, s->paths.run);
    argument(s, SCHEDULER, "--journal");
    argument(s, SCHEDULER, s->paths.queue);
    argument(s, SCHEDULER, "--objects");
    argument(s, SCHEDULER, s->paths.objects);
    if (linger) {
        argument(s, SCHEDULER, "--linger-ms");
        argument(s, SCHEDULER, linger);
    }
    if (ready) {
        argument(s, SCHEDULER, "--ready-fd");
        argument(s, SCHEDULER, ready);
    }
    argument(s, WORKER, "--home");
    argument(s, WORKER, s->paths.home);
    argument(s, WORKER, "--end-with-parent");
    static char place[16];
    snprintf(place, sizeof place, "%d", (int)getpid());
    argument(s, WORKER, "--place");
    argument(s, WORKER, place);
    if (stall) {
        argument(s, WORKER, "--stall-ms");
        argument(s, WORKER, stall);
    }
    for (int i = 0; i < c->serve_count; i++)
        argument(s, WORKER, c->serve[i]);
    return STATUS_OK;
}

/* By hand: hold start.lock until the sockets are bound, as every other starter does. */
static int serve_by_hand(struct service *s, int *exit_code)
{
    const struct client_options options = {.interrupted = &cli_interrupted};
    int lock = -1;
    int code = start_lock(&s->paths, &options, 10000, &lock);
    if (code)
        return code;
    /* One that a command started may only be waiting for its last second to pass; it needs the lock to leave. */
    for (const int64_t end = now_ms() + LINGER_WAIT_MS; start_is_running(&s->paths);) {
        close(lock);
        if (cli_interrupted || now_ms() > end) {
            *exit_code = EXIT_NO_SCHEDULER;
            return fail(STATUS_BUSY, "a scheduler runs for %s already", s->paths.home);
        }
        nanosleep(&(struct timespec){0, 20000000}, NULL);
        if ((code = start_lock(&s->paths, &options, 10000, &lock)))
            return code;
    }
    int ready[2];
    if (pipe(ready)) {
        close(lock);
        return fail(STATUS_IO, "pipe: %s", strerror(errno));
    }
    fcntl(ready[0], F_SETFD, FD_CLOEXEC);
    static char ready_text[16];
    snprintf(ready_text, sizeof ready_text, "%d", ready[1]);
    argument(s, SCHEDULER, "--ready-fd");
    argument(s, SCHEDULER, ready_text);
    s->ready_fd = ready[1];
    fprintf(stderr, "wavemill serve: for %s; stop with Ctrl-C\n", s->paths.home);
    /* The lock is let go by a reader of the pipe, so that this loop need not wait. */
    if (fork() == 0) {
        char byte;
        close(ready[1]);
        const ssize_t got = read(ready[0], &byte, 1);
        if (got == 1 && byte == 'R')
            fprintf(stderr, "wavemill serve: ready\n");
        _exit(0);
    }
    close(lock);
    close(ready[0]);
    return watch(s, exit_code);
}

int cmd_serve(int argc, char **argv)
{
    enum { LINGER = 1, NO_WORKERS, STALL, EMBEDDED, READY, LISTEN, INSECURE };
    static const struct option options[] = {
        {"linger-ms", required_argument, NULL, LINGER}, {"no-workers", no_argument, NULL, NO_WORKERS},
        {"stall-ms", required_argument, NULL, STALL},   {"embedded", no_argument, NULL, EMBEDDED},
        {"ready-fd", required_argument, NULL, READY},   {"listen", required_argument, NULL, LISTEN},
        {"insecure-tcp", no_argument, NULL, INSECURE},  CLI_COMMON_OPTIONS};
    static struct service s;
    struct common common = {0};
    const char *linger = NULL, *stall = NULL, *ready = NULL;
    bool embedded = false;
    double number;
    s.workers = true;
    s.ready_fd = -1;
    s.arguments[SCHEDULER][0] = s.arguments[WORKER][0] = ""; /* the programs' places */
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int code = -1;
        switch (o) {
        case LINGER:
            linger = optarg;
            code = cli_number("serve", "--linger-ms", optarg, -1, 1e9, &number) ? -1 : EXIT_USAGE;
            break;
        case NO_WORKERS:
            s.workers = false;
            break;
        case STALL:
            stall = optarg;
            code = cli_number("serve", "--stall-ms", optarg, 100, 1e9, &number) ? -1 : EXIT_USAGE;
            break;
        case LISTEN:
            argument(&s, SCHEDULER, "--listen");
            argument(&s, SCHEDULER, optarg);
            break;
        case INSECURE:
            argument(&s, SCHEDULER, "--insecure-tcp");
            break;
        case EMBEDDED:
            embedded = true;
            break;
        case READY:
            ready = optarg;
            s.ready_fd = (int)strtol(optarg, NULL, 10);
            break;
        default:
            code = cli_common(o, &common, "serve", help);
        }
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return cli_usage("serve", "what is %s?", argv[optind]);
    s.embedded = embedded;
    int exit_code = EXIT_DONE;
    int code = prepare(&s, &common, linger, stall, ready);
    if (!code)
        code = embedded ? watch(&s, &exit_code) : serve_by_hand(&s, &exit_code);
    if (code && exit_code == EXIT_DONE)
        return cli_failed("serve", code);
    if (code)
        fprintf(stderr, "wavemill serve: %s\n", status_message());
    return exit_code;
}
