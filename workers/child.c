#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs between fork and exec in a process that has threads: async-signal-safe calls only. Each fds[i] becomes i. */
static void become(const int *fds, int count, char *const argv[])
{
    /* First out of the way of the targets, then into place. */
    int moved[8];
    for (int i = 0; i < count; i++)
        if ((moved[i] = fcntl(fds[i], F_DUPFD, count + 16)) < 0)
            _exit(126);
    for (int i = 0; i < count; i++)
        if (dup2(moved[i], i) < 0)
            _exit(126);
#ifdef SYS_close_range
    if (syscall(SYS_close_range, count, ~0U, 0) == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
#endif
    for (int fd = count; fd < 65536; fd++)
        close(fd);
    execv(argv[0], argv);
    _exit(127);
}

int child_start(struct child *c, const struct child_options *options)
{
    int pair[2], log[2];
    char count[16], limit[24], memory[24];
    const char *program = options->program, *device = options->device ? options->device : "cpu";
    snprintf(count, sizeof count, "%d", options->threads);
    snprintf(limit, sizeof limit, "%llu", (unsigned long long)options->device_limit);
    snprintf(memory, sizeof memory, "%zu", options->memory_bytes);
    char *const argv[] = {(char *)(uintptr_t)program, count, (char *)(uintptr_t)device, limit, memory, NULL};
    if (access(program, X_OK))
        return fail(STATUS_IO, "cannot start %s: %s", program, strerror(errno));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return fail(STATUS_IO, "socketpair: %s", strerror(errno));
    if (pipe2(log, O_CLOEXEC)) {
        close(pair[0]);
        close(pair[1]);
        return fail(STATUS_IO, "pipe: %s", strerror(errno));
    }
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int fds[4] = {null, null, log[1], pair[1]};
    const pid_t pid = null < 0 ? -1 : fork();
    if (pid == 0) {
        setpgid(0, 0); /* a Ctrl-C of the terminal goes to the supervisor, which decides */
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        become(fds, 4, argv);
    }
    const int error = errno;
    close(pair[1]);
    close(log[1]);
    if (null >= 0)
        close(null);
    if (pid < 0) {
        close(pair[0]);
        close(log[0]);
        return fail(STATUS_IO, "cannot start %s: %s", program, strerror(error));
    }
    fcntl(log[0], F_SETFL, O_NONBLOCK);
    *c = (struct child){.pid = pid, .socket = pair[0], .log = log[0]};
    return STATUS_OK;
}

static void describe_end(int state, char *out, size_t capacity)
{
    if (WIFSIGNALED(state))
        snprintf(out, capacity, "killed by signal %d (%s)", WTERMSIG(state), strsignal(WTERMSIG(state)));
    else
        snprintf(out, capacity, "ended with exit code %d", WEXITSTATUS(state));
}

int child_end(struct child *c, char *how, size_t capacity)
{
    int state = 0;
    if (how)
        snprintf(how, capacity, "gone");
    if (c->pid > 0) {
        /* When the socket ended by itself the process is dying or dead: its own signal tells more than ours. */
        for (int i = 0; i < 50 && waitpid(c->pid, &state, WNOHANG) == 0; i++) {
            if (i == (how ? 40 : 0))
                kill(c->pid, SIGKILL);
            usleep(500);
        }
        kill(c->pid, SIGKILL);
        waitpid(c->pid, &state, 0); /* fails when it was reaped above: state is set then */
        if (how)
            describe_end(state, how, capacity);
    }
    if (c->socket >= 0)
        close(c->socket);
    if (c->log >= 0)
        close(c->log);
    const bool exited = c->pid > 0 && WIFEXITED(state);
    *c = (struct child){.pid = 0, .socket = -1, .log = -1};
    return exited ? WEXITSTATUS(state) : -1;
}

/* A line of /proc/PID/status, in bytes; 0: there is none. */
static size_t status_bytes(const char *text, const char *name)
{
    const char *const line = strstr(text, name);
    return line ? (size_t)strtoull(line + strlen(name), NULL, 10) << 10 : 0;
}

/* Without mapped files: what they take is given back when it is wanted, and a pack of sounds may be larger than all
 * else. */
size_t child_resident_bytes(pid_t pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const size_t all = status_bytes(text, "\nVmRSS:"), files = status_bytes(text, "\nRssFile:");
    return all > files ? all - files : 0;
}

int ffmpeg_find(char *out, size_t capacity)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        const size_t n = strcspn(path, ":");
        if (n && (size_t)snprintf(out, capacity, "%.*s/ffmpeg", (int)n, path) < capacity && access(out, X_OK) == 0)
            return STATUS_OK;
        path += n + (path[n] == ':');
    }
    return fail(STATUS_NOT_FOUND, "there is no ffmpeg on PATH");
}

int ffmpeg_start(struct ffmpeg *f, const char *program, int input, const char *name)
{
    /* Containers and codecs of sound only: a playlist or a text that claims to be video must not make it open files. */
    static char formats[] = "mov,mp4,m4a,3gp,3g2,mj2,aac,ogg,flac,matroska,webm,asf,caf,wav,w64,aiff,au,mp3,ape,wv,tta,"
                            "dsf,ac3,eac3,dts,amr,amrnb,amrwb,mpc,mpc8,tak,loas,latm,truehd,mlp,aa,aax,gsm,voc,xwma,"
                            "swf,flv,avi,mpeg,mpegts";
    const size_t n = strlen(name);
    const bool flac = n > 5 && strcasecmp(name + n - 5, ".flac") == 0;
    const char *argv[32] = {
        program,     "-nostdin",          "-hide_banner", "-loglevel", "error", "-protocol_whitelist",
        "file,pipe", "-format_whitelist", formats};
    static const char *const rest[] = {"-i",  "file:/dev/fd/3", "-map",      "0:a:0", "-vn", "-sn",
                                       "-dn", "-c:a",           "pcm_f32be", "-f",    "au",  "pipe:1"};
    int count = 9;
    if (flac) {
        argv[count++] = "-f";
        argv[count++] = "flac";
    }
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        argv[count++] = rest[i];
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC))
        return fail(STATUS_IO, "pipe: %s", strerror(errno));
    fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 20);
    const int message = memfd_create("ffmpeg-message", MFD_CLOEXEC), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int fds[4] = {null, pipe_fds[1], message, input};
    const pid_t pid = message < 0 || null < 0 ? -1 : fork();
    if (pid == 0) {
        const struct rlimit memory = {(rlim_t)2 << 30, (rlim_t)2 << 30}, cpu = {3600, 3600}, no_core = {0, 0};
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifdef WAVEMILL_SANITIZE
        (void)memory; /* the shadow memory of this process alone is larger */
#else
        setrlimit(RLIMIT_AS, &memory);
#endif
        setrlimit(RLIMIT_CPU, &cpu);
        setrlimit(RLIMIT_CORE, &no_core);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        become(fds, 4, (char *const *)(uintptr_t)argv);
    }
    const int error = errno;
    close(pipe_fds[1]);
    if (null >= 0)
        close(null);
    if (pid < 0) {
        close(pipe_fds[0]);
        if (message >= 0)
            close(message);
        return fail(STATUS_IO, "cannot start ffmpeg: %s", strerror(error));
    }
    *f = (struct ffmpeg){.pid = pid, .output = pipe_fds[0], .message = message};
    return STATUS_OK;
}

/* The last line that ffmpeg printed, without line break and control codes. */
static void last_line(int fd, char *out, size_t capacity)
{
    char text[2048];
    const off_t end = lseek(fd, 0, SEEK_END);
    const off_t from = end > (off_t)sizeof text - 1 ? end - (off_t)sizeof text + 1 : 0;
    const ssize_t got = pread(fd, text, sizeof text - 1, from);
    size_t n = got > 0 ? (size_t)got : 0;
    while (n && (unsigned char)text[n - 1] <= ' ')
        n--;
    text[n] = '\0';
    static const char name[] = "file:/dev/fd/3: "; /* what ffmpeg knows the input by says nothing to the user */
    const char *line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
    if (strncmp(line, name, sizeof name - 1) == 0)
        line += sizeof name - 1;
    snprintf(out, capacity, "%s", line);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p == 0x7f)
            *p = ' ';
}

void ffmpeg_said(const struct ffmpeg *f, char *out, size_t capacity)
{
    *out = '\0';
    if (f->message >= 0)
        last_line(f->message, out, capacity);
}

int ffmpeg_end(struct ffmpeg *f, bool suspected)
{
    if (f->pid <= 0)
        return STATUS_OK;
    int state = 0, code = STATUS_OK;
    if (f->output >= 0)
        close(f->output); /* the child holds its own; an ffmpeg that still writes gets SIGPIPE */
    bool over = false;
    for (int i = 0; i < 400 && !over; i++) {
        over = waitpid(f->pid, &state, WNOHANG) != 0;
        if (!over)
            usleep(500);
    }
    if (!over) {
        kill(f->pid, SIGKILL);
        waitpid(f->pid, &state, 0);
    } else if (WIFSIGNALED(state) &&
               WTERMSIG(state) != SIGPIPE) { /* what came is a part: not to be taken for the whole */
        code = fail(STATUS_IO, "ffmpeg was killed by signal %d (%s)", WTERMSIG(state), strsignal(WTERMSIG(state)));
    } else if (WIFEXITED(state) && (WEXITSTATUS(state) != 0 || suspected)) {
        /* One that died because nobody reads its pipe any more has nothing to say of the file. */
        char line[200];
        last_line(f->message, line, sizeof line);
        if (!strstr(line, "Broken pipe") && (*line || !suspected))
            code = fail(STATUS_FORMAT, "ffmpeg: %s", *line ? line : "failed without a word");
    }
    if (f->message >= 0)
        close(f->message);
    *f = (struct ffmpeg){.pid = 0, .output = -1, .message = -1};
    return code;
}
