/* wavemill-scheduler - takes jobs from clients and hands their items to workers. PROTOCOL.md says how. */
#include "broker.h"
#include "journal_lmdb.h"
#include "journal_tools.h"
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

#ifdef WAVEMILL_SANITIZE
/* libzmq 4.3.4 loses messages that are on their way between its threads when a context ends under load. Messages that
 * the broker itself would lose are found by its tests, which have no such exception. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libzmq.so\n";
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#endif

enum { EXIT_USAGE = 2, EXIT_RUNNING = 3, EXIT_INTERNAL = 5 };

static const char help[] =
    "usage: wavemill-scheduler --run-dir DIR [OPTION]...\n"
    "       wavemill-scheduler --fsck DIR | --backup DIR TO | --compact DIR [--json]\n"
    "\n"
    "Takes jobs from clients and hands their items to workers, over two sockets in DIR.\n"
    "\n"
    "  --run-dir DIR             where client.sock, worker.sock and the lock files are; made if it is missing\n"
    "  --journal DIR             keep the queue there, made if it is missing (default: in memory, gone with the "
    "process)\n"
    "  --objects DIR             keep what clients and workers PUT in DIR/queue (default: PUT and GET are refused)\n"
    "  --object-keep-ms N        keep an object that no job names for at least so long (default: a day)\n"
    "  --upload-idle-ms N        drop an upload that is silent for so long (default 300000)\n"
    "  --listen ADDRESS          take workers also at tcp://127.0.0.1:PORT\n"
    "  --insecure-tcp            let --listen be an address that other machines reach: whoever reaches it may work\n"
    "  --linger-ms N             end when no client has been there for N ms (default -1: stay)\n"
    "  --lease-ms N              how long a worker may keep an item without a beat (default 10000)\n"
    "  --beat-ms N               how often workers should beat (default 1000)\n"
    "  --session-timeout-ms N    a client that is silent for so long is gone (default 5000)\n"
    "  --ready-fd N              write R to descriptor N when the sockets are there, or E (B: another runs) and a "
    "message\n"
    "  --log FILE                append messages to FILE instead of stderr\n"
    "  --help, --version\n"
    "\n"
    "Looking after a journal (the folder that --journal names):\n"
    "\n"
    "  --fsck DIR                check it, also while a scheduler runs on it\n"
    "  --backup DIR TO           copy it into the folder TO, new or empty, also while a scheduler runs on it; checks "
    "the\n"
    "                            copy\n"
    "  --compact DIR             give back the space that it no longer uses; no scheduler may run on it\n"
    "  --json                    say it as one JSON object\n"
    "\n"
    "Their exit status: 0 sound, 1 damaged, 2 wrong use, 3 somebody has it, 5 no journal or it cannot be read.\n"
    "\n"
    "Exit status: 0 ended as asked, 2 wrong use, 3 a scheduler runs in DIR already, 5 internal error.\n";

struct arguments {
    struct broker_options broker;
    struct journal_memory memory;
    struct journal_lmdb *disk;
    const char *journal, *log;
    const char *fsck, *backup, *compact, *to;
    bool json;
    long long ready_fd;
};

enum {
    OPTION_RUN_DIR = 256,
    OPTION_JOURNAL,
    OPTION_OBJECTS,
    OPTION_OBJECT_KEEP,
    OPTION_UPLOAD_IDLE,
    OPTION_LISTEN,
    OPTION_INSECURE,
    OPTION_LINGER,
    OPTION_LEASE,
    OPTION_BEAT,
    OPTION_SESSION,
    OPTION_READY,
    OPTION_LOG,
    OPTION_FSCK,
    OPTION_BACKUP,
    OPTION_COMPACT,
    OPTION_JSON
};

static const struct option options[] = {
    {"run-dir", required_argument, NULL, OPTION_RUN_DIR},
    {"journal", required_argument, NULL, OPTION_JOURNAL},
    {"objects", required_argument, NULL, OPTION_OBJECTS},
    {"object-keep-ms", required_argument, NULL, OPTION_OBJECT_KEEP},
    {"upload-idle-ms", required_argument, NULL, OPTION_UPLOAD_IDLE},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"insecure-tcp", no_argument, NULL, OPTION_INSECURE},
    {"linger-ms", required_argument, NULL, OPTION_LINGER},
    {"lease-ms", required_argument, NULL, OPTION_LEASE},
    {"beat-ms", required_argument, NULL, OPTION_BEAT},
    {"session-timeout-ms", required_argument, NULL, OPTION_SESSION},
    {"ready-fd", required_argument, NULL, OPTION_READY},
    {"log", required_argument, NULL, OPTION_LOG},
    {"fsck", required_argument, NULL, OPTION_FSCK},
    {"backup", required_argument, NULL, OPTION_BACKUP},
    {"compact", required_argument, NULL, OPTION_COMPACT},
    {"json", no_argument, NULL, OPTION_JSON},
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
        case OPTION_OBJECTS:
            a->broker.objects = optarg;
            break;
        case OPTION_OBJECT_KEEP:
            good = read_number(optarg, 1, &a->broker.object_keep_ms);
            break;
        case OPTION_UPLOAD_IDLE:
            good = read_number(optarg, 1, &a->broker.upload_idle_ms);
            break;
        case OPTION_LISTEN:
            a->broker.listen = optarg;
            break;
        case OPTION_INSECURE:
            a->broker.insecure_tcp = true;
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
        case OPTION_FSCK:
            a->fsck = optarg;
            break;
        case OPTION_BACKUP:
            a->backup = optarg;
            break;
        case OPTION_COMPACT:
            a->compact = optarg;
            break;
        case OPTION_JSON:
            a->json = true;
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
    const int tools = !!a->fsck + !!a->backup + !!a->compact;
    if (good && tools) {
        a->to = argv[optind]; /* NULL: none */
        good = tools == 1 && optind + !!a->backup == argc && !a->broker.run_dir && !a->journal;
        if (!good)
            fputs("wavemill-scheduler: one of --fsck DIR, --backup DIR TO, --compact DIR; see --help\n", stderr);
    } else if (good && (optind != argc || !a->broker.run_dir || a->json)) {
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
        snprintf(text, sizeof text, "%c%s", code == STATUS_BUSY ? 'B' : 'E', status_message());
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
    if (a.fsck)
        return journal_main_fsck(a.fsck, a.json);
    if (a.backup)
        return journal_main_backup(a.backup, a.to, a.json);
    if (a.compact)
        return journal_main_compact(a.compact, a.json);
    return serve(&a);
}
