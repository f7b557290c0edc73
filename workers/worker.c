/* wavemill-worker - one worker on one device of this machine: a supervisor and its compute child. `wavemill serve`
 * starts it. */
#include "device.h"
#include "device_choice.h"
#include "log.h"
#include "module.h"
#include "paths.h"
#include "store_care.h"
#include "supervisor.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char usage[] =
    "usage: wavemill-worker [OPTION...]\n"
    "Leases items from the scheduler of WAVEMILL_HOME and computes them. Started by `wavemill serve` and by commands "
    "that\n"
    "find no scheduler; by hand only for a scheduler that runs without workers.\n\n"
    "  --home DIR         data folder (default: $WAVEMILL_HOME, else ~/.local/share/wavemill)\n"
    "  --connect ADDRESS  tcp:// address of a scheduler, as of another machine (default: that of the data folder)\n"
    "  --device DEV       what to compute on: auto (default: a GPU if there is one, else the cpu), cpu, cuda, cuda:N,\n"
    "                     emulated (the GPU's code on the cpu: slow, for tests)\n"
    "  --gpu-mem-limit SIZE  memory to take of the device at most, as bytes or 500M, 2G (default: what it has)\n"
    "  --threads N        files decoded and computed at once (default: the processors)\n"
    "  --memory-limit MB  resident memory of the compute process (default: 1024 and 128 per thread, at least 2048)\n"
    "  --store-limit SIZE what records and objects may take, as bytes or 500M, 2G: above it the oldest are removed, "
    "down\n"
    "                     to 90 % of it (default: no limit)\n"
    "  --stall-ms N       time without progress after which an item counts as hung (default: 120000)\n"
    "  --place N          number that tells workers of one host and device apart (default: the process id); a worker "
    "that\n"
    "                     is started again under the same number takes the dead one's place\n"
    "  --version, --help\n"
    "Exit: 0 stopped, 2 usage, 4 device unavailable, 5 internal.\n";

enum {
    OPTION_HOME = 256,
    OPTION_CONNECT,
    OPTION_DEVICE,
    OPTION_GPU_MEMORY,
    OPTION_THREADS,
    OPTION_MEMORY,
    OPTION_STALL,
    OPTION_LIMIT,
    OPTION_VERSION,
    OPTION_PARENT,
    OPTION_PLACE
};

static bool parse_number(const char *text, long least, long most, long *out)
{
    char *end;
    *out = strtol(text, &end, 10);
    if (*text && !*end && *out >= least && *out <= most)
        return true;
    fprintf(stderr, "wavemill-worker: %s is not a number from %ld to %ld\n", text, least, most);
    return false;
}

struct settings {
    const char *home, *connect;
    struct device_choice device;
    uint64_t device_limit, store_limit;
    long threads, memory_mb, stall_ms, place;
};

static bool parse_size(const char *option, const char *text, uint64_t *out)
{
    if (store_parse_size(text, out) == STATUS_OK)
        return true;
    fprintf(stderr, "wavemill-worker: %s: %s\n", option, status_message());
    return false;
}

static bool parse_device(const char *text, struct device_choice *out)
{
    if (device_choice_parse(text, out) == STATUS_OK)
        return true;
    fprintf(stderr, "wavemill-worker: %s\n", status_message());
    return false;
}

/* -1: go on; else the exit code. */
static int set_option(struct settings *s, int option)
{
    switch (option) {
    case OPTION_HOME:
        s->home = optarg;
        return -1;
    case OPTION_CONNECT:
        s->connect = optarg;
        if (strncmp(optarg, "tcp://", 6) == 0)
            return -1;
        fprintf(stderr, "wavemill-worker: --connect %s: not an address like tcp://host:7070\n", optarg);
        return 2;
    case OPTION_DEVICE:
        return parse_device(optarg, &s->device) ? -1 : 2;
    case OPTION_GPU_MEMORY:
        return parse_size("--gpu-mem-limit", optarg, &s->device_limit) ? -1 : 2;
    case OPTION_THREADS:
        return parse_number(optarg, 1, 256, &s->threads) ? -1 : 2;
    case OPTION_MEMORY:
        return parse_number(optarg, 64, 1 << 20, &s->memory_mb) ? -1 : 2;
    case OPTION_STALL:
        return parse_number(optarg, 100, 86400000, &s->stall_ms) ? -1 : 2;
    case OPTION_LIMIT:
        return parse_size("--store-limit", optarg, &s->store_limit) ? -1 : 2;
    case OPTION_PLACE:
        return parse_number(optarg, 1, 1L << 40, &s->place) ? -1 : 2;
    case OPTION_PARENT:
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        return -1;
    case OPTION_VERSION:
        puts("wavemill-worker " WAVEMILL_VERSION);
        return 0;
    case 'h':
        fputs(usage, stdout);
        return 0;
    default:
        return 2;
    }
}

/* What jobs may book of it: of a device its memory, of the processor what the compute process may have. */
static uint64_t device_bytes(const struct settings *s)
{
    struct device_info info;
    if (s->device.backend == BACKEND_CPU)
        return (uint64_t)s->memory_mb << 20;
    const struct device_api *api = s->device.module ? s->device.module->device : NULL;
    if (s->device_limit || !api || api->describe(s->device.index, &info))
        return s->device_limit;
    return info.memory_bytes;
}

static int run(struct settings *s)
{
    /* A thread's share is a song's, a network's segments; a training of preset medium needs the least; the last is what
     * a driver keeps in its process. */
    enum { BASE_MB = 1024, THREAD_MB = 128, LEAST_MB = 2048, DEVICE_MB = 1024 };
    struct paths paths;
    char folder[PATHS_MAX], compute[PATHS_MAX + 32], device[DEVICE_NAME], fetched[PATHS_MAX + 32];
    int code = paths_find(s->home, &paths);
    if (!code)
        code = paths_program_folder(folder, sizeof folder);
    if (!code)
        code = device_choice_resolve(&s->device);
    if (code)
        return code;
    snprintf(compute, sizeof compute, "%s/wavemill-compute", folder);
    device_choice_name(&s->device, device);
    if (s->memory_mb == 0)
        s->memory_mb = (BASE_MB + THREAD_MB * s->threads > LEAST_MB ? BASE_MB + THREAD_MB * s->threads : LEAST_MB) +
                       (s->device.backend == BACKEND_CPU ? 0 : DEVICE_MB);
    /* Beside the feature store's objects, which that sweeps by its records. */
    snprintf(fetched, sizeof fetched, "%s/%s", paths.objects, s->connect ? "fetched" : "queue");
    code = paths_make(fetched);
    return code ? code
                : supervisor_run(
                      &(struct supervisor_options){.place = s->place,
                                                   .worker_socket = s->connect ? s->connect : paths.worker_socket,
                                                   .fetched = fetched,
                                                   .device_bytes = device_bytes(s),
                                                   .home = paths.home,
                                                   .features = paths.features,
                                                   .objects = paths.objects,
                                                   .compute = compute,
                                                   .threads = (int)s->threads,
                                                   .device = device,
                                                   .device_limit = s->device_limit,
                                                   .memory_bytes = (size_t)s->memory_mb << 20,
                                                   .store_limit_bytes = s->store_limit,
                                                   .stall_ms = s->stall_ms});
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"home", required_argument, NULL, OPTION_HOME},
                                            {"connect", required_argument, NULL, OPTION_CONNECT},
                                            {"device", required_argument, NULL, OPTION_DEVICE},
                                            {"gpu-mem-limit", required_argument, NULL, OPTION_GPU_MEMORY},
                                            {"threads", required_argument, NULL, OPTION_THREADS},
                                            {"memory-limit", required_argument, NULL, OPTION_MEMORY},
                                            {"stall-ms", required_argument, NULL, OPTION_STALL},
                                            {"store-limit", required_argument, NULL, OPTION_LIMIT},
                                            {"place", required_argument, NULL, OPTION_PLACE},
                                            {"end-with-parent", no_argument, NULL, OPTION_PARENT},
                                            {"version", no_argument, NULL, OPTION_VERSION},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct settings s = {.device = {.automatic = true, .index = -1},
                         .threads = sysconf(_SC_NPROCESSORS_ONLN),
                         .stall_ms = 120000,
                         .place = getpid()};
    if (s.threads < 1 || s.threads > 256)
        s.threads = s.threads < 1 ? 1 : 256;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        const int exit_code = set_option(&s, o);
        if (exit_code >= 0)
            return exit_code;
    }
    log_init("wavemill-worker", LOG_WARN_);
    const int code = run(&s);
    if (code)
        log_error("%s", status_message());
    return code == STATUS_OK ? 0 : code == STATUS_UNSUPPORTED || code == STATUS_DEVICE ? 4 : 5;
}
