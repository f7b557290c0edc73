/* worker - one worker in the foreground, for a scheduler on another machine: becomes wavemill-worker. */
#include "cli.h"
#include "paths.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill worker --connect tcp://HOST:PORT [OPTION...]\n"
    "Works on this machine for the scheduler at that address (`wavemill serve --listen`) until it is stopped (Ctrl-C "
    "or\n"
    "SIGTERM: what is being computed is finished if that takes no longer than two seconds, the rest is given back). "
    "It\n"
    "reads no files of the other machine: submit with --upload. The connection is neither encrypted nor checked; lead "
    "it\n"
    "through ssh: `ssh -L 7070:127.0.0.1:7070 HOST` here, and --connect tcp://127.0.0.1:7070.\n\n"
    "  --connect ADDRESS  the scheduler's; without it: the scheduler of WAVEMILL_HOME on this machine\n";

enum { ARGUMENTS = 32 };

int cmd_worker(int argc, char **argv)
{
    enum { CONNECT = 1 };
    static const struct option options[] = {{"connect", required_argument, NULL, CONNECT}, CLI_COMMON_OPTIONS};
    struct common common = {0};
    const char *address = NULL, *list[ARGUMENTS] = {0};
    char folder[PATHS_MAX], program[PATHS_MAX + 32];
    int n = 1;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int code = o == CONNECT ? -1 : cli_common(o, &common, "worker", help);
        if (o == CONNECT)
            address = optarg;
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return cli_usage("worker", "what is %s?", argv[optind]);
    const int code = paths_program_folder(folder, sizeof folder);
    if (code)
        return cli_failed("worker", code);
    snprintf(program, sizeof program, "%s/wavemill-worker", folder);
    list[0] = program;
    if (address) {
        list[n++] = "--connect";
        list[n++] = address;
    }
    for (int i = 0; i < common.serve_count && n + 1 < ARGUMENTS; i++)
        list[n++] = common.serve[i];
    execv(program, (char *const *)(uintptr_t)list);
    fprintf(stderr, "wavemill worker: cannot start %s: %s\n", program, strerror(errno));
    return EXIT_INTERNAL;
}
