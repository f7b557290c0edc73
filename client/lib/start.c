#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LOG_BYTES_MOST = 1 << 20, ARGUMENTS_MOST = 64, LINGER_MS = 1000, OTHER_MS = 500 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int start_lock(const struct paths *paths, const struct client_options *options, int64_t timeout_ms, int *fd)
{
    char path[PATHS_MAX + 32];
    snprintf(path, sizeof path, "%s/start.lock", paths->run);
    const int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f < 0)
        return fail(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    const int64_t end = now_ms() + timeout_ms;
    while (flock(f, LOCK_EX | LOCK_NB)) {
        const bool stop = options->interrupted && *options->interrupted;
        if (stop || now_ms() > end) {
            close(f);
            return stop ? fail(STATUS_CANCELLED, "interrupted")
                        : fail(STATUS_TIMEOUT, "%s has been held for %lld ms by somebody who starts a scheduler", path,
                               (long long)timeout_ms);
        }
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    *fd = f;
    return STATUS_OK;
}

bool start_is_running(const struct paths *paths)
{
    char path[PATHS_MAX + 32];
    snprintf(path, sizeof path, "%s/scheduler.lock", paths->run);
    const int f = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (f < 0)
        return false;
    const bool taken = flock(f, LOCK_SH | LOCK_NB) != 0;
    close(f);
    return taken;
}

static int find_program(const struct client_options *options, char *out, size_t capacity)
{
    if (options->program) {
        snprintf(out, capacity, "%s", options->program);
        return STATUS_OK;
    }
    char folder[PATHS_MAX];
    const int code = paths_program_folder(folder, sizeof folder);
    if (!code)
        snprintf(out, capacity, "%s/wavemill", folder);
    return code;
}

/* The service outlives this program: its words go to a file in the home. */
static int open_log(const struct paths *paths)
{
    char path[PATHS_MAX + 32];
    struct stat s;
    snprintf(path, sizeof path, "%s/serve.log", paths->home);
    const int large = stat(path, &s) == 0 && s.st_size > LOG_BYTES_MOST ? O_TRUNC : 0;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | large, 0600);
}

static void become_serve(const char *program, const struct paths *paths, const struct client_options *options,
                         int ready, int null, int log)
{
    char ready_text[16], linger[16];
    const char *argv[ARGUMENTS_MOST + 8] = {program,    "serve",       "--embedded", "--ready-fd",
                                            ready_text, "--linger-ms", linger};
    int n = 7;
    snprintf(ready_text, sizeof ready_text, "%d", 3);
    snprintf(linger, sizeof linger, "%d", LINGER_MS);
    for (int i = 0; options->serve_options && options->serve_options[i] && i < ARGUMENTS_MOST; i++)
        argv[n++] = options->serve_options[i];
    argv[n] = NULL;
    setenv("WAVEMILL_HOME", paths->home, 1);
    setsid(); /* the terminal's Ctrl-C is the command's affair */
    if (chdir("/") || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log >= 0 ? log : null, 2) < 0)
        _exit(126);
    /* Everything else is close-on-exec; the ready pipe is moved to where the option says. */
    if (ready == 3 ? fcntl(3, F_SETFD, 0) < 0 : dup2(ready, 3) < 0)
        _exit(126);
    execv(program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Reads 'R', or 'E' or 'B' and a message, or nothing because the process died. STATUS_BUSY: another scheduler has
 * begun. */
static int await_ready(int fd, const char *program, int64_t timeout_ms)
{
    char text[512] = "";
    size_t n = 0;
    const int64_t end = now_ms() + timeout_ms;
    while (n < sizeof text - 1) {
        struct pollfd p = {fd, POLLIN, 0};
        const int64_t left = end - now_ms();
        if (left <= 0)
            return fail(STATUS_TIMEOUT, "the scheduler was started but is not ready after %lld ms",
                        (long long)timeout_ms);
        if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
            return fail(STATUS_IO, "poll: %s", strerror(errno));
        if (!p.revents)
            continue;
        const ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
        if (text[0] == 'R')
            return STATUS_OK;
    }
    text[n] = '\0';
    if (text[0] == 'E' || text[0] == 'B')
        return fail(text[0] == 'B' ? STATUS_BUSY : STATUS_IO, "the scheduler cannot start: %s", text + 1);
    return fail(STATUS_IO, "%s serve ended before it was ready; see serve.log in the data folder", program);
}

/* `wavemill serve` starts its scheduler again when it was killed, and may have been quicker: whether it runs now. */
static bool await_other(const struct paths *paths, const struct client_options *options, int64_t end_ms)
{
    while (!start_is_running(paths)) {
        if ((options->interrupted && *options->interrupted) || now_ms() > end_ms)
            return false;
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    return true;
}

static int start_once(const char *program, const struct paths *paths, const struct client_options *options,
                      int64_t timeout_ms)
{
    int ready[2];
    if (pipe2(ready, O_CLOEXEC))
        return fail(STATUS_IO, "pipe: %s", strerror(errno));
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open_log(paths);
    const pid_t pid = fork();
    if (pid == 0) {
        if (fork() == 0) /* twice, so that nobody has to reap it */
            become_serve(program, paths, options, ready[1], null, log);
        _exit(0);
    }
    int code = pid < 0 ? fail(STATUS_IO, "fork: %s", strerror(errno)) : STATUS_OK;
    close(ready[1]);
    if (null >= 0)
        close(null);
    if (log >= 0)
        close(log);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (!code)
        code = await_ready(ready[0], program, timeout_ms);
    close(ready[0]);
    return code;
}

int start_serve(const struct paths *paths, const struct client_options *options, int64_t timeout_ms)
{
    char program[PATHS_MAX + 32], why[512];
    const int64_t end = now_ms() + timeout_ms;
    int code = find_program(options, program, sizeof program);
    if (code)
        return code;
    if (access(program, X_OK))
        return fail(STATUS_NOT_FOUND, "no scheduler runs, and %s cannot be started: %s", program, strerror(errno));
    while ((code = start_once(program, paths, options, end - now_ms())) == STATUS_BUSY) {
        snprintf(why, sizeof why, "%s", status_message());
        const int64_t now = now_ms();
        if (await_other(paths, options, now + OTHER_MS < end ? now + OTHER_MS : end))
            return STATUS_OK;
        if (options->interrupted && *options->interrupted)
            return fail(STATUS_CANCELLED, "interrupted");
        if (now_ms() > end)
            return fail(STATUS_IO, "%s", why);
    } /* the other was about to end: it has let go by now, or will soon */
    return code;
}
