/* boss - a scheduler for tests: a ROUTER socket that a supervisor in a process of its own connects to. */
#ifndef BOSS_H
#define BOSS_H
#include "channel.h"
#include "kinds.h"
#include "supervisor.h"

#include <sys/types.h>

/* How long what must come is waited for: only a broken worker lets it pass, no machine that is slow. */
enum { BOSS_PATIENCE_MS = 30000 };
enum { BOSS_OUTCOMES = 256, BOSS_TOKENS = 64, BOSS_OBJECTS = 512, BOSS_LOG = 64 << 10 };

struct outcome {
    uint64_t token, failure;
    char message[LIMIT_MESSAGE + 1], log[LIMIT_LOG + 1];
    uint8_t result[2048];
    uint32_t result_bytes;
    int reports; /* how often it was reported */
};

struct boss_object {
    uint8_t name[LIMIT_OBJECT], *data;
    size_t size, bytes; /* bytes: there so far */
    int puts, gets;
};

struct boss {
    struct supervisor_options options;
    pid_t pid; /* of the supervisor */
    void *context, *socket;
    struct channel_peer peer;
    uint64_t epoch, next_token;
    uint64_t beat_ms;

    /* What it does by itself. */
    bool mute;          /* nothing: it hears, and does not answer */
    bool stopped;       /* it was told to end: what it said last may find nobody to answer */
    bool keep_commits;  /* does not answer reports */
    bool forget;        /* the next READY resumes nothing */
    bool old;           /* knows nothing of objects and checkpoints */
    bool flips;         /* sends objects with a wrong byte */
    int busy;           /* so many more questions for objects are answered ERROR busy */
    uint64_t lease_ms;  /* 0: 10,000 */
    int64_t priority;   /* of what it grants */
    int committed_most; /* verdicts in a COMMITS, when not 0 */

    /* What it has seen. */
    bool take_waits, take_urgent, left;
    uint64_t credits;
    int64_t take_above;
    int readies, takes, reports;
    char name[LIMIT_NAME + 1], device[LIMIT_NAME + 1]; /* of the last READY */
    uint64_t held[BOSS_TOKENS], beaten[BOSS_TOKENS];   /* of the last READY and BEAT */
    int held_count, beaten_count;
    uint32_t beat_seq, report_seq;
    struct outcome outcomes[BOSS_OUTCOMES];
    int outcome_count;
    struct boss_object objects[BOSS_OBJECTS];
    int object_count, checkpoints, returned_count;
    struct {
        uint64_t token;
        uint8_t object[LIMIT_OBJECT];
        double progress;
    } checkpoint; /* the last */
    uint64_t returned[BOSS_TOKENS];
    char log[BOSS_LOG]; /* lines of all BEATs, each after its token and a colon */
    size_t log_bytes;
    char device_id[LIMIT_NAME + 1];
    uint64_t device_bytes;
    int kinds;
};

struct boss_item {
    const char *path, *out;
    uint64_t action, attempt;           /* attempt 0 means 1 */
    uint64_t job;                       /* 0: that of the grant */
    const uint8_t *object, *checkpoint; /* [32], or NULL */
    double progress;
    const char *payload;
};

/* Options that can be changed before boss_start. The current folder gets the store. */
void boss_init(struct boss *b);
void boss_start(struct boss *b);

/* Serves what comes for so long, or until the supervisor has sent a message of this type (then true; 0: any). */
bool boss_wait(struct boss *b, int type, int wait_ms);
bool boss_wait_outcomes(struct boss *b, int count, int wait_ms);

/* Waits for a TAKE and grants; the first token. params may be NULL. */
uint64_t boss_grant(struct boss *b, const char *kind, const struct wire_schema *params_schema, const void *params,
                    const struct boss_item *items, int count);
uint64_t boss_noop(struct boss *b, uint64_t sleep_ms, const struct boss_item *items, int count);
void boss_send_grant(struct boss *b, const struct message_grant *grant);
void boss_abort(struct boss *b, uint64_t token);
void boss_yield(struct boss *b, uint64_t token);
void boss_prefer(struct boss *b, uint64_t token, int64_t priority);
void boss_error(struct boss *b, uint32_t seq, enum wire_error code);

const struct outcome *boss_outcome(const struct boss *b, uint64_t token); /* NULL: none */
bool boss_holds(const uint64_t *tokens, int count, uint64_t token);

/* boss_objects.c: an object that the scheduler has; its name. And PUT, GET and CHECKPOINT of the supervisor. */
const uint8_t *boss_object(struct boss *b, const void *data, size_t bytes);
bool boss_serves_objects(struct boss *b, const struct packet *p);
void boss_send(struct boss *b, enum message_type type, uint32_t seq, const struct wire_schema *schema,
               const void *body);

/* The supervisor's only child, waited for a little; 0: none. */
pid_t boss_compute(const struct boss *b);

/* SIGTERM, LEAVE, exit code 0, nothing left behind. */
void boss_stop(struct boss *b);
/* Waits for its end: exit code, or -signal; 1000 when it goes on. */
int boss_exit_code(struct boss *b, int wait_ms);
void boss_close(struct boss *b);

int64_t boss_clock_ms(void); /* monotonic */

#endif
