/* wavemill-scheduler - takes jobs from clients and hands their items to workers. PROTOCOL.md says how. */
#include "broker.h"
#include "journal_lmdb.h"
#include "log.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_RUNNING = 3, EXIT_INTERNAL = 5 };

static const char help[] =
    "usage: wavemill-scheduler --run-dir DIR [OPTION]...\n"
    "\n"
    "Takes jobs from clients and hands their items to workers, over two sockets in DIR.\n"
    "\n"
    "  --run-dir DIR             where client.sock, worker.sock and the lock files are; made if it is missing\n"
    "  --journal DIR             keep the queue there, made if it is missing (default: in memory, gone with the "
    "process)\n"
    "  --linger-ms N             end when no client has been there for N ms (default -1: stay)\n"
    "  --lease-ms N              how long a worker may keep an item without a beat (default 10000)\n"
    "  --beat-ms N               how often workers should beat (default 1000)\n"
    "  --session-timeout-ms N    a client that is silent for so long is gone (default 5000)\n"
    "  --ready-fd N              write R to descriptor N when the sockets are there, or E and a message\n"
    "  --log FILE                append messages to FILE instead of stderr\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 ended as asked, 2 wrong use, 3 a scheduler runs in DIR already, 5 internal error.\n";

struct arguments {
    struct broker_options broker;
    struct journal_memory memory;
    struct journal_lmdb *disk;
    const char *journal, *log;
    long long ready_fd;
};

enum {
    OPTION_RUN_DIR = 256,
    OPTION_JOURNAL,
    OPTION_LINGER,
    OPTION_LEASE,
    OPTION_BEAT,
    OPTION_SESSION,
    OPTION_READY,
    OPTION_LOG
};

static const struct option options[] = {
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"journal", required_argument, NULL, OPTION_JOURNAL},
    {"linger-ms", required_argument, NULL, OPTION_LINGER},
    {"lease-ms", required_argument, NULL, OPTION_LEASE},
    {"beat-ms", required_argument, NULL, OPTION_BEAT},
    {"session-timeout-ms", required_argument, NULL, OPTION_SESSION},
    {"ready-fd", required_argument, NULL, OPTION_READY},
    {"log", required_argument, NULL, OPTION_LOG},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {0},
};

static bool read_number(const char *text, long long least, int64_t *out)
{
    char *end;
    const long long n = strtoll(text, &end, 10);
    if (end == text || *end || n < least || n > 86400000) {
        fprintf(stderr, "wavemill-scheduler: %s: not a number from %lld to 86400000\n", text, least);
        return false;
    }
    *out = n;
    return true;
}

/* -1: go on; else the exit status. */
static int read_arguments(int argc, char **argv, struct arguments *a)
{
    int64_t ready = -1;
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "hv", options, NULL)) != -1;)
        switch (c) {
        case OPTION_RUN_DIR:
            a->broker.run_dir = optarg;
            break;
        case OPTION_JOURNAL:
            a->journal = optarg;
            break;
        case OPTION_LINGER:
            good = read_number(optarg, -1, &a->broker.linger_ms);
            break;
        case OPTION_LEASE:
            good = read_number(optarg, 1, &a->broker.lease_ms);
            break;
        case OPTION_BEAT:
            good = read_number(optarg, 1, &a->broker.beat_ms);
            break;
        case OPTION_SESSION:
            good = read_number(optarg, 1, &a->broker.session_timeout_ms);
            break;
        case OPTION_READY:
            good = read_number(optarg, 0, &ready);
            break;
        case OPTION_LOG:
            a->log = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            return EXIT_SUCCESS;
        case 'v':
            puts("wavemill-scheduler " WAVEMILL_VERSION);
            return EXIT_SUCCESS;
        default:
            good = false;
        }
    a->ready_fd = ready;
    if (good && (optind != argc || !a->broker.run_dir)) {
        fputs("wavemill-scheduler: --run-dir DIR, and nothing without a dash; see --help\n", stderr);
        good = false;
    }
    return good ? -1 : EXIT_USAGE;
}

static void tell_ready(const struct arguments *a, const char *text)
{
    if (a->ready_fd < 0)
        return;
    if (write((int)a->ready_fd, text, strlen(text)) < 0)
        log_warn("--ready-fd %lld cannot be written", a->ready_fd);
    if (a->ready_fd > 2)
        close((int)a->ready_fd);
}

/* What the starter left open, such as the start.lock that it holds, must not live on in this process. */
static void close_inherited(long long ready_fd)
{
    const unsigned keep = ready_fd > 2 ? (unsigned)ready_fd : 2;
    if (keep > 3)
        close_range(3, keep - 1, 0);
    close_range(keep + 1, ~0u, 0);
}

/* SIGTERM and SIGINT as something to read; SIGHUP and SIGPIPE do nothing. */
static int open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Each connection takes a descriptor, and the usual soft limit is 1,024. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_log(const char *path)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(STATUS_IO, "log %s cannot be written", path);
    const int failed = dup2(fd, STDERR_FILENO) < 0;
    close(fd);
    return failed ? fail(STATUS_IO, "log %s", path) : STATUS_OK;
}

static int serve(struct arguments *a)
{
    struct broker *b = NULL;
    journal_memory_init(&a->memory);
    a->broker.journal = &a->memory.journal;
    if (a->ready_fd >= 0 && fcntl((int)a->ready_fd, F_GETFD) < 0) {
        log_warn("--ready-fd %lld is not open", a->ready_fd);
        a->ready_fd = -1; /* the number will soon be somebody else's */
    }
    close_inherited(a->ready_fd);
    raise_descriptors();
    a->broker.stop_fd = open_signals();
    int code = a->log ? open_log(a->log) : STATUS_OK;
    if (!code && a->journal)
        code = journal_lmdb_open(a->journal, &a->disk);
    if (a->disk)
        a->broker.journal = journal_lmdb_base(a->disk);
    if (!code)
        code = broker_create(&a->broker, &b);
    if (code) {
        char text[600];
        snprintf(text, sizeof text, "E%s", status_message());
        log_error("%s", status_message());
        tell_ready(a, text);
        journal_lmdb_close(&a->disk);
        return code == STATUS_BUSY ? EXIT_RUNNING : code == STATUS_ARGUMENT ? EXIT_USAGE : EXIT_INTERNAL;
    }
    log_info("started in %s, epoch %llu", a->broker.run_dir, (unsigned long long)broker_epoch(b));
    tell_ready(a, "R");
    code = broker_run(b);
    if (code)
        log_error("%s", status_message());
    log_info("ended");
    broker_destroy(&b);
    journal_lmdb_close(&a->disk);
    close(a->broker.stop_fd);
    return code ? EXIT_INTERNAL : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct arguments a = {.broker = {.linger_ms = -1, .stop_fd = -1}, .ready_fd = -1};
    const int status = read_arguments(argc, argv, &a);
    if (status >= 0)
        return status;
    log_init("wavemill-scheduler", LOG_INFO_);
    return serve(&a);
}
