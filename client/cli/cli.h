/* cli - what the commands of `wavemill` share: exit codes, options, output. */
#ifndef CLI_H
#define CLI_H
#include "client.h"
#include "device_choice.h"
#include "kinds.h"
#include "progress.h"

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_SOME_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NO_SCHEDULER = 3,
    EXIT_NO_DEVICE = 4,
    EXIT_INTERNAL = 5,
    EXIT_INTERRUPTED = 130
};

enum { OUTPUT_SCHEMA = 1 }; /* of the JSON that commands print; raised when a name changes its meaning */

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_CSV };

/* Options that many commands have. cli_common handles one of them; commands append CLI_COMMON_OPTIONS to theirs. */
struct common {
    enum output_format format;
    enum progress_kind progress;
    bool quiet, dry_run;
    bool names_device; /* --device was given and is not auto: that one or none */
    struct device_choice device;
    const char *serve[16]; /* options for a scheduler that has to be started */
    int serve_count;
    int64_t timeout_ms;
    int64_t priority; /* of the jobs; commands that have it append CLI_PRIORITY_OPTION */
};

enum {
    OPT_JSON = 1000,
    OPT_CSV,
    OPT_PROGRESS,
    OPT_QUIET,
    OPT_DRY_RUN,
    OPT_DEVICE,
    OPT_GPU_MEMORY,
    OPT_THREADS,
    OPT_MEMORY,
    OPT_STORE_LIMIT,
    OPT_TIMEOUT,
    OPT_PRIORITY,
    OPT_HELP
};

#define CLI_PRIORITY_OPTION \
    { \
        "priority", required_argument, NULL, OPT_PRIORITY \
    }

#define CLI_COMMON_OPTIONS \
    {"json", no_argument, NULL, OPT_JSON}, {"csv", no_argument, NULL, OPT_CSV}, \
        {"progress", required_argument, NULL, OPT_PROGRESS}, {"quiet", no_argument, NULL, OPT_QUIET}, \
        {"dry-run", no_argument, NULL, OPT_DRY_RUN}, {"device", required_argument, NULL, OPT_DEVICE}, \
        {"gpu-mem-limit", required_argument, NULL, OPT_GPU_MEMORY}, {"threads", required_argument, NULL, OPT_THREADS}, \
        {"memory-limit", required_argument, NULL, OPT_MEMORY}, \
        {"store-limit", required_argument, NULL, OPT_STORE_LIMIT}, {"timeout", required_argument, NULL, OPT_TIMEOUT}, \
        {"help", no_argument, NULL, OPT_HELP}, \
    { \
        0 \
    }

extern const char cli_common_help[];

/* -1: handled, go on; else the exit code to return at once (OPT_HELP prints `help`). */
int cli_common(int option, struct common *c, const char *command, const char *help);

/* Parses a whole number; on failure says so and returns false. */
bool cli_number(const char *command, const char *option, const char *text, double least, double most, double *out);

/* "250ms", "30s", "5m", "2h", "1d"; on failure says so and returns false, as all of these do. */
bool cli_duration(const char *command, const char *option, const char *text, double most_ms, uint64_t *ms);
/* "+5m": from now; or 2026-01-31T18:30:00, local time, with Z at its end UTC. In Unix milliseconds. */
bool cli_moment(const char *command, const char *option, const char *text, uint64_t *unix_ms);
/* Digits only, up to `most`; says nothing. */
bool cli_id(const char *text, uint64_t most, uint64_t *out);
bool cli_jobs(const char *command, int count, char **texts, uint64_t *ids);
/* An idempotency key: the text itself up to 16 bytes, else its BLAKE2b-128; of the index-th job of one command (from 0)
 * that of the text, a newline and the index. Empty when out of memory. */
struct wire_slice cli_key(const char *text, uint64_t index, uint8_t buffer[LIMIT_KEY]);

/* A list a,b,c as elements of a WIRE_STRS list, which stay in *buffer; false for an empty name or a name too long. */
bool cli_names(const char *text, struct wire_buffer *buffer, struct wire_list *out);

/* Prints "wavemill COMMAND: message" to stderr; returns `code`. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
int cli_failed(const char *command, int status); /* with the thread's message; returns the exit code for it */

/* What the scheduler answered to a question about a job: no such job, not in its state, a key's conflict are told and
 * give 1, as do-able things that did not happen; all else is cli_failed. */
int cli_answered(const char *command, const struct client *c, uint64_t job, int status);

extern volatile sig_atomic_t cli_interrupted; /* set by SIGINT and SIGTERM */
int cli_connect(const struct common *c, bool start, struct client **out);

/* Options of a command that has none of its own. -1: go on at optind; else the exit code to return. */
int cli_plain_options(int argc, char **argv, struct common *c, const char *command, const char *help);

/* For a command that sends work: to the scheduler that runs, or to one that is started. STATUS_UNSUPPORTED: the device
 * that was asked for by name is not on this machine, or not among those of the workers that run. */
int cli_connect_for_work(const struct common *c, struct client **out);

/* What a job that wants so much device memory books: that, where each of the workers is on a device that has so much in
 * all. Else nothing, since a booking would keep work from those that have less and compute on the CPU. */
int cli_booking(struct client *c, uint64_t wanted, uint64_t *out);

/* Absolute form of a path as the user gave it; NULL when out of memory. Free it. */
char *cli_absolute(const char *path);

/* Is this the name of a file with sound? By ending, whatever its case. */
bool cli_is_audio_name(const char *name);

/* The files that the arguments name: files as they are, folders walked in order of name (files that end like audio,
 * hidden ones and links to folders left out). Names that cannot be looked at are kept: the worker says why. */
struct walk {
    char **paths; /* as given, joined */
    size_t count, capacity;
};
int walk_add(struct walk *w, const char *path) MUST_USE;
void walk_free(struct walk *w);

/* ---- output ---- */

/* A JSON string of a path's bytes: those that are not UTF-8 become U+FFFD, and *exact is then false. */
json_t *output_path(const char *path, bool *exact);
void output_json_line(json_t *line); /* prints, flushes, releases */

/* {"schema", "tool_version", "input": {path ...}} */
json_t *output_begin(const char *path);
/* Adds input and provenance members of a result. */
void output_provenance(json_t *line, const struct kind_provenance *p);
/* A job as `jobs` and `show` print it. */
json_t *output_job(const struct message_job *j);
/* A job as a line, in the command's format; with headings before the `first`. */
void output_job_row(const struct common *c, const struct message_job *j, bool first);
/* An outcome: {"schema", "tool_version", "job", "item", "state", "attempts", "retried"}, the item's "input" where it
 * has a path, and "error" where it failed. */
json_t *output_outcome(uint64_t job, const struct message_outcome *o);
/* Text with control characters as '?'. */
void output_plain(FILE *to, const char *text);
json_t *output_number(double v); /* null for what is not finite */
void output_csv_text(const char *text);
/* Text for a terminal: control characters as '?', cut in front to `width` columns. */
void output_fit(const char *text, int width, char *out, size_t capacity);
/* A failed item, in the command's format. */
void output_failure(const struct common *c, const char *path, uint64_t failure, const char *message);

/* ---- a job over files, watched to its end ---- */

struct batch {
    const struct common *common;
    const char *command, *kind;
    const char *name; /* of the job; NULL: the command */
    struct wire_slice params;
    const struct walk *files;
    char *const *names;             /* [files]: what failures call the items; NULL: their paths */
    struct wire_slice *item_params; /* [files], or NULL */
    uint64_t device_bytes;          /* of device memory that an item wants; 0: nothing is booked */
    uint64_t wave;                  /* items that run before the next so many may; 0: all at once */
    bool upload;                    /* the files go to the scheduler as objects */
    bool was_cancelled;             /* by somebody else, or with its session */
    /* Before an item is sent: what its parameters need that only a connection gives, into item_params; or NULL. */
    int (*ready)(struct batch *b, struct client *c, size_t index);
    /* One result that was committed. */
    int (*show)(struct batch *b, const char *path, struct wire_slice result);
    /* Whenever it has looked for results; or NULL. */
    int (*during)(struct batch *b, struct client *c);
    /* One that failed for good, by its place in `files`; or NULL. */
    void (*failed_for_good)(struct batch *b, size_t index);
    /* One that failed for good and is done in another way: true, and nothing is said of it; or NULL. */
    bool (*excuse)(struct batch *b, size_t index);
    const char *stays;          /* what an interrupt leaves; NULL: results, in the store */
    uint64_t job;               /* its number, once it is submitted */
    struct client *client;      /* while it runs */
    struct stems_upload *stems; /* of uploads that are separated; else NULL */
    void *context;
    uint64_t done, failed, from_store;
    double seconds;
    /* Sums over what was computed now: of threads and, where there is a device, of its stream. */
    double decode_s, copy_in_s, device_s, copy_out_s;
    uint64_t on_device, launches;
};

/* Submits, prints outcomes as they come, and cancels on interrupt. Returns an exit code. */
int batch_run(struct batch *b);

/* Gives a file to the scheduler; one that cannot be read is left to the worker that gets its path. */
int batch_put_file(struct client *c, const char *path, uint8_t hash[LIMIT_OBJECT], bool *is_there) MUST_USE;

/* ---- submitting without waiting ---- */

/* What `wavemill submit` says of its jobs. While it is set, batch_run submits and does not wait. */
struct submission {
    struct client_job job; /* but for kind, params and key */
    const char *key;       /* NULL: a random one for each */
    bool books;            /* the device memory that the networks need */
    uint64_t jobs;
};
extern const struct submission *cli_submission;

/* Sends as many jobs as cli_submission says, each with these items; prints what was acknowledged. b: whose items they
 * are, for its `ready`; NULL: nobody's. */
int submit_jobs(const struct common *c, const char *kind, struct wire_slice params, struct client_item *items,
                size_t count, uint8_t (*objects)[LIMIT_OBJECT], struct batch *b);

/* ---- commands ---- */
int cmd_analyze(int argc, char **argv);
int cmd_features(int argc, char **argv);
int cmd_separate(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_submit(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_jobs(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_dead(int argc, char **argv);
int cmd_retry(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_priority(int argc, char **argv);
int cmd_queue(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_worker(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_models(int argc, char **argv);
int cmd_dataset(int argc, char **argv);
int cmd_plot(int argc, char **argv);
int cmd_doctor(int argc, char **argv);

#endif
