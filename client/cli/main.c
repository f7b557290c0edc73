/* wavemill - the command. Each command is one file, cmd_NAME.c. */
#include "cli.h"
#include "log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *what;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"analyze", "measure audio files; results in the feature store and on stdout", cmd_analyze},
    {"features", "write one feature of a file as a NumPy array", cmd_features},
    {"separate", "take audio files apart into stems", cmd_separate},
    {"score", "measure separated stems against the true ones", cmd_score},
    {"train", "train a model on a dataset", cmd_train},
    {"sweep", "train many models side by side, and keep the best", cmd_sweep},
    {"submit", "send a job and leave it to the scheduler", cmd_submit},
    {"watch", "print a job's outcomes as they come", cmd_watch},
    {"jobs", "list the scheduler's jobs", cmd_jobs},
    {"show", "show one job: its items, where their time went, what failed", cmd_show},
    {"logs", "print the log lines of a job's items", cmd_logs},
    {"dead", "list the items that failed for good, and why", cmd_dead},
    {"retry", "queue dead items again", cmd_retry},
    {"cancel", "cancel jobs", cmd_cancel},
    {"pause", "begin nothing more of a job for now", cmd_pause},
    {"resume", "go on with a paused job", cmd_resume},
    {"priority", "change a job's priority", cmd_priority},
    {"queue", "check, back up or compact the queue on disk", cmd_queue},
    {"serve", "keep a scheduler and a worker running", cmd_serve},
    {"worker", "work for a scheduler on another machine", cmd_worker},
    {"store", "look after the feature store: stats, fsck, prune, gc, export", cmd_store},
    {"models", "networks and their weights: import, fetch, list, show, verify, remove", cmd_models},
    {"dataset", "sounds to train with: create, summary, check, thumbnails, list, remove", cmd_dataset},
    {"plot", "draw a training: its curves, its sounds and what became of them", cmd_plot},
    {"doctor", "say what was found on this machine, and what is missing", cmd_doctor},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

volatile sig_atomic_t cli_interrupted;

static void on_signal(int number)
{
    cli_interrupted = number;
}

static void print_help(FILE *to)
{
    fputs("usage: wavemill COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n", to);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
    fputs("\n`wavemill COMMAND --help` tells about one; `wavemill --version` prints the version.\n"
          "Data lie in $WAVEMILL_HOME, else ~/.local/share/wavemill.\n"
          "Exit codes: 0 all done, 1 some items failed, 2 usage, 3 no scheduler or time-out, 4 device unavailable,\n"
          "5 internal, 130 interrupted.\n",
          to);
}

int main(int argc, char **argv)
{
    log_init("wavemill", LOG_WARN_);
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("wavemill " WAVEMILL_VERSION);
        return EXIT_DONE;
    }
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is seen at the next write */
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "wavemill: there is no command '%s'; `wavemill --help` lists them\n", argv[1]);
    return EXIT_USAGE;
}
