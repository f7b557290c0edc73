/* queue - the care of the journal: wavemill-scheduler does it, this finds the program and the folder. */
#include "cli.h"
#include "paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill queue fsck [--json]\n"
    "       wavemill queue backup FOLDER [--json]\n"
    "       wavemill queue compact [--json]\n"
    "The queue on disk, in WAVEMILL_HOME/queue. fsck: checks every record; the exit code is 1 when something is\n"
    "damaged. backup: writes a copy into FOLDER that a scheduler can be started from. compact: gives free pages back "
    "to\n"
    "the file system; no scheduler may run. fsck and backup work beside a running one.\n\n";

/* Replaces this process. */
static int become(const char *verb, const char *to, bool json)
{
    struct paths paths;
    char folder[PATHS_MAX], program[PATHS_MAX + 32], option[16];
    int code = paths_find(NULL, &paths);
    if (!code)
        code = paths_program_folder(folder, sizeof folder);
    if (code)
        return cli_failed("queue", code);
    snprintf(program, sizeof program, "%s/wavemill-scheduler", folder);
    snprintf(option, sizeof option, "--%s", verb);
    const char *argv[6] = {program, option, paths.queue};
    int n = 3;
    if (to)
        argv[n++] = to;
    if (json)
        argv[n++] = "--json";
    execv(program, (char *const *)(uintptr_t)argv);
    return cli_failed("queue", fail(STATUS_IO, "cannot start %s: %s", program, strerror(errno)));
}

int cmd_queue(int argc, char **argv)
{
    struct common common = {0};
    int exit_code = cli_plain_options(argc, argv, &common, "queue", help);
    if (exit_code >= 0)
        return exit_code;
    const char *const verb = optind < argc ? argv[optind] : "";
    const bool is_backup = strcmp(verb, "backup") == 0;
    if (!is_backup && strcmp(verb, "fsck") != 0 && strcmp(verb, "compact") != 0)
        return cli_usage("queue", "fsck, backup FOLDER or compact");
    if (common.format == OUTPUT_CSV)
        return cli_usage("queue", "there is no table: --json, or as it is");
    if (is_backup && argc - optind == 1)
        return cli_usage("queue", "backup into which folder?");
    if (argc - optind > (is_backup ? 2 : 1))
        return cli_usage("queue", "what is %s?", argv[argc - 1]);
    char *const to = is_backup ? cli_absolute(argv[optind + 1]) : NULL;
    if (is_backup && !to)
        return cli_failed("queue", fail(STATUS_NOMEM, "out of memory"));
    exit_code = become(verb, to, common.format == OUTPUT_JSON);
    free(to);
    return exit_code;
}
