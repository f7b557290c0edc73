/* boss - a scheduler for tests: a ROUTER socket that a supervisor in a process of its own connects to. */
#ifndef BOSS_H
#define BOSS_H
#include "channel.h"
#include "kinds.h"
#include "supervisor.h"

#include <sys/types.h>

enum { BOSS_OUTCOMES = 256, BOSS_TOKENS = 64 };

struct outcome {
    uint64_t token, failure;
    char message[LIMIT_MESSAGE + 1];
    uint8_t result[2048];
    uint32_t result_bytes;
    int reports; /* how often it was reported */
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
    int committed_most; /* verdicts in a COMMITS, when not 0 */

    /* What it has seen. */
    bool take_waits, left;
    uint64_t credits;
    int readies, takes, reports;
    char name[LIMIT_NAME + 1], device[LIMIT_NAME + 1]; /* of the last READY */
    uint64_t held[BOSS_TOKENS], beaten[BOSS_TOKENS];   /* of the last READY and BEAT */
    int held_count, beaten_count;
    uint32_t beat_seq, report_seq;
    struct outcome outcomes[BOSS_OUTCOMES];
    int outcome_count;
};

struct boss_item {
    const char *path, *out;
    uint64_t action, attempt; /* attempt 0 means 1 */
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
void boss_error(struct boss *b, uint32_t seq, enum wire_error code);

const struct outcome *boss_outcome(const struct boss *b, uint64_t token); /* NULL: none */
bool boss_holds(const uint64_t *tokens, int count, uint64_t token);

/* The supervisor's only child, waited for a little; 0: none. */
pid_t boss_compute(const struct boss *b);

/* SIGTERM, LEAVE, exit code 0, nothing left behind. */
void boss_stop(struct boss *b);
/* Waits for its end: exit code, or -signal; 1000 when it goes on. */
int boss_exit_code(struct boss *b, int wait_ms);
void boss_close(struct boss *b);

#endif
