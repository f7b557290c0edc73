/* wavemill-worker - one worker on this machine's CPU: a supervisor and its compute child. `wavemill serve` starts it.
 */
#include "log.h"
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
    "  --device cpu       what to compute on; auto means cpu here\n"
    "  --threads N        files decoded and computed at once (default: the processors)\n"
    "  --memory-limit MB  resident memory of the compute process (default: 1024, or 96 per thread)\n"
    "  --store-limit SIZE what records and objects may take, as bytes or 500M, 2G: above it the oldest are removed, "
    "down\n"
    "                     to 90 % of it (default: no limit)\n"
    "  --stall-ms N       time without progress after which an item counts as hung (default: 120000)\n"
    "  --place N          number that tells workers of one host and device apart (default: the process id); a worker "
    "that\n"
    "                     is started again under the same number takes the dead one's place\n"
    "  --version, --help\n"
    "Exit: 0 stopped, 2 usage, 5 internal.\n";

enum {
    OPTION_HOME = 256,
    OPTION_DEVICE,
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

int main(int argc, char **argv)
{
    static const struct option options[] = {{"home", required_argument, NULL, OPTION_HOME},
                                            {"device", required_argument, NULL, OPTION_DEVICE},
                                            {"threads", required_argument, NULL, OPTION_THREADS},
                                            {"memory-limit", required_argument, NULL, OPTION_MEMORY},
                                            {"stall-ms", required_argument, NULL, OPTION_STALL},
                                            {"store-limit", required_argument, NULL, OPTION_LIMIT},
                                            {"place", required_argument, NULL, OPTION_PLACE},
                                            {"end-with-parent", no_argument, NULL, OPTION_PARENT},
                                            {"version", no_argument, NULL, OPTION_VERSION},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *home = NULL;
    uint64_t store_limit = 0;
    long threads = sysconf(_SC_NPROCESSORS_ONLN), memory_mb = 0, stall_ms = 120000, place = getpid();
    if (threads < 1 || threads > 256)
        threads = threads < 1 ? 1 : 256;
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        bool ok = true;
        switch (o) {
        case OPTION_HOME:
            home = optarg;
            break;
        case OPTION_DEVICE:
            if (strcmp(optarg, "cpu") != 0 && strcmp(optarg, "auto") != 0) {
                fprintf(stderr, "wavemill-worker: device %s is not available: this build computes on the cpu\n",
                        optarg);
                return 4;
            }
            break;
        case OPTION_THREADS:
            ok = parse_number(optarg, 1, 256, &threads);
            break;
        case OPTION_MEMORY:
            ok = parse_number(optarg, 64, 1 << 20, &memory_mb);
            break;
        case OPTION_STALL:
            ok = parse_number(optarg, 100, 86400000, &stall_ms);
            break;
        case OPTION_LIMIT:
            if (store_parse_size(optarg, &store_limit)) {
                fprintf(stderr, "wavemill-worker: --store-limit: %s\n", status_message());
                ok = false;
            }
            break;
        case OPTION_PLACE:
            ok = parse_number(optarg, 1, 1L << 40, &place);
            break;
        case OPTION_PARENT:
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            break;
        case OPTION_VERSION:
            puts("wavemill-worker " WAVEMILL_VERSION);
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            ok = false;
        }
        if (!ok)
            return 2;
    }
    log_init("wavemill-worker", LOG_WARN_);
    struct paths paths;
    char folder[PATHS_MAX], compute[PATHS_MAX + 32];
    int code = paths_find(home, &paths);
    if (!code)
        code = paths_program_folder(folder, sizeof folder);
    if (!code) {
        snprintf(compute, sizeof compute, "%s/wavemill-compute", folder);
        if (memory_mb == 0)
            memory_mb = 96 * threads > 1024 ? 96 * threads : 1024;
        code = supervisor_run(&(struct supervisor_options){.place = place,
                                                           .worker_socket = paths.worker_socket,
                                                           .features = paths.features,
                                                           .objects = paths.objects,
                                                           .compute = compute,
                                                           .threads = (int)threads,
                                                           .memory_bytes = (size_t)memory_mb << 20,
                                                           .store_limit_bytes = store_limit,
                                                           .stall_ms = stall_ms});
    }
    if (code)
        log_error("%s", status_message());
    return code ? 5 : 0;
}
