/* cancel, pause, resume, priority, retry - what can be done to jobs. They never start a scheduler. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char cancel_help[] = "usage: wavemill cancel [OPTION...] JOB...\n"
                                  "Cancels jobs by their number. What was finished stays in the store.\n\n";
static const char pause_help[] = "usage: wavemill pause [OPTION...] JOB...\n"
                                 "Begins no more items of these jobs until `wavemill resume`; what is being worked on "
                                 "goes on.\n\n";
static const char resume_help[] = "usage: wavemill resume [OPTION...] JOB...\n"
                                  "Goes on with jobs that were paused.\n\n";
static const char priority_help[] = "usage: wavemill priority [OPTION...] JOB N\n"
                                    "Changes the priority of what is not yet begun of a job: -1000 to 1000, larger "
                                    "first.\n\n";
static const char retry_help[] = "usage: wavemill retry [OPTION...] JOB [ITEM...]\n"
                                 "Queues dead items of a job again, all or those named (`wavemill dead JOB` lists "
                                 "them), with all of their attempts\n"
                                 "and without the job's deadline. What is not dead is left alone.\n\n";

typedef int action(struct client *c, uint64_t job, struct message_job *out);

/* One action on each of the jobs; those that do not exist are told, the others done. */
static int each_job(int argc, char **argv, const char *command, const char *help, action *act)
{
    struct common common = {0};
    struct client *c = NULL;
    int exit_code = cli_plain_options(argc, argv, &common, command, help);
    if (exit_code >= 0)
        return exit_code;
    const int count = argc - optind;
    if (count == 0)
        return cli_usage(command, "which job?");
    uint64_t *const ids = calloc((size_t)count, sizeof *ids);
    if (!ids)
        return cli_failed(command, fail(STATUS_NOMEM, "out of memory"));
    exit_code = cli_jobs(command, count, argv + optind, ids) ? EXIT_DONE : EXIT_USAGE;
    const int code = exit_code ? STATUS_OK : cli_connect(&common, false, &c);
    if (code)
        exit_code = cli_failed(command, code);
    for (int i = 0, shown = 0; i < count && c && exit_code <= EXIT_SOME_FAILED; i++) {
        struct message_job j;
        const int told = cli_answered(command, c, ids[i], act(c, ids[i], &j));
        if (told)
            exit_code = told;
        else
            output_job_row(&common, &j, shown++ == 0);
    }
    client_close(&c);
    free(ids);
    return exit_code;
}

int cmd_cancel(int argc, char **argv)
{
    return each_job(argc, argv, "cancel", cancel_help, client_cancel);
}

int cmd_pause(int argc, char **argv)
{
    return each_job(argc, argv, "pause", pause_help, client_pause);
}

int cmd_resume(int argc, char **argv)
{
    return each_job(argc, argv, "resume", resume_help, client_resume);
}

/* "-5" is a number here, not an option: it is taken out before the options are read. NULL: there is none. */
static const char *take_negative(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++)
        if (argv[i][0] == '-' && argv[i][1] >= '0' && argv[i][1] <= '9') {
            const char *const found = argv[i];
            memmove(argv + i, argv + i + 1, (size_t)(*argc - i) * sizeof *argv); /* with the NULL at the end */
            --*argc;
            return found;
        }
    return NULL;
}

int cmd_priority(int argc, char **argv)
{
    struct common common = {0};
    struct client *c = NULL;
    double number;
    uint64_t id;
    const char *text = take_negative(&argc, argv);
    int exit_code = cli_plain_options(argc, argv, &common, "priority", priority_help);
    if (exit_code >= 0)
        return exit_code;
    if (argc - optind != (text ? 1 : 2))
        return cli_usage("priority", "the number of a job, and then its priority");
    text = text ? text : argv[argc - 1];
    if (!cli_jobs("priority", 1, argv + optind, &id) ||
        !cli_number("priority", "N", text, -LIMIT_PRIORITY, LIMIT_PRIORITY, &number))
        return EXIT_USAGE;
    if (number != (double)(int64_t)number)
        return cli_usage("priority", "N %s: a whole number", text);
    const int code = cli_connect(&common, false, &c);
    if (code)
        return cli_failed("priority", code);
    struct message_job j;
    exit_code = cli_answered("priority", c, id, client_priority(c, id, (int64_t)number, &j));
    if (!exit_code)
        output_job_row(&common, &j, true);
    client_close(&c);
    return exit_code;
}

/* As many messages as the items need. */
static int retry_items(struct client *c, uint64_t id, const uint64_t *items, size_t count, struct message_job *j)
{
    int code = client_retry(c, id, items, count < LIMIT_LIST ? count : LIMIT_LIST, j);
    for (size_t i = LIMIT_LIST; i < count && !code; i += LIMIT_LIST)
        code = client_retry(c, id, items + i, count - i < LIMIT_LIST ? count - i : LIMIT_LIST, j);
    return code;
}

static int retry(const struct common *common, int count, char **words, uint64_t *numbers)
{
    struct client *c = NULL;
    struct message_job j;
    if (!cli_jobs("retry", 1, words, numbers))
        return EXIT_USAGE;
    for (int i = 1; i < count; i++)
        if (!cli_id(words[i], UINT64_MAX, &numbers[i]))
            return cli_usage("retry", "%s is not the number of an item", words[i]);
    const int code = cli_connect(common, false, &c);
    if (code)
        return cli_failed("retry", code);
    const int exit_code =
        cli_answered("retry", c, numbers[0], retry_items(c, numbers[0], numbers + 1, (size_t)count - 1, &j));
    if (!exit_code)
        output_job_row(common, &j, true);
    client_close(&c);
    return exit_code;
}

int cmd_retry(int argc, char **argv)
{
    struct common common = {0};
    int exit_code = cli_plain_options(argc, argv, &common, "retry", retry_help);
    if (exit_code >= 0)
        return exit_code;
    if (optind == argc)
        return cli_usage("retry", "which job?");
    uint64_t *const numbers = calloc((size_t)(argc - optind), sizeof *numbers);
    if (!numbers)
        return cli_failed("retry", fail(STATUS_NOMEM, "out of memory"));
    exit_code = retry(&common, argc - optind, argv + optind, numbers);
    free(numbers);
    return exit_code;
}
