/* sweep_records - what came of each round of a sweep's trials, in its folder (sweep_layout.h).
 *
 *   whole        a record is there whole or not at all, and on the disk before anybody hears of it
 *   damage       one that is not what was written (a CRC-32C is in front of it) is said in the log and counts as missing:
 *                its trial does the round again, and all behind it, or is lost
 *   errors       STATUS_NOT_FOUND, STATUS_IO, STATUS_NOMEM */
#ifndef SWEEP_RECORDS_H
#define SWEEP_RECORDS_H
#include "halving.h"
#include "kinds.h"

struct sweep_record {
    uint8_t *bytes; /* what the result's texts lie in; sweep_record_free */
    size_t count;
    struct kind_sweep_result result;
};

/* STATUS_NOT_FOUND: there is none that can be used. */
int sweep_record_read(const char *folder, int64_t trial, int64_t round, struct sweep_record *out) MUST_USE;
void sweep_record_free(struct sweep_record *r);

/* What it is ranked by; judge: weight of the divergence, NaN: its own loss. */
double sweep_score(const struct kind_sweep_result *r, double judge);

/* `token` tells apart who writes it. */
int sweep_record_write(const char *folder, int64_t trial, int64_t round, struct wire_slice result,
                       uint64_t token) MUST_USE;

/* A file of the sweep's folder: `head`, then `data`; whole or as it was before, and on the disk. */
int sweep_file_write(const char *path, const void *head, size_t head_bytes, const void *data, size_t bytes,
                     uint64_t token) MUST_USE;

/* Those of a trial from `round` on go: what comes behind a round that is done again is done again, too. */
int sweep_records_forget(const char *folder, const struct halving *h, int64_t trial, int64_t round) MUST_USE;

/* Of the rounds before `rounds`: scores [rounds][trials], NaN: none. */
int sweep_records_scores(const char *folder, const struct halving *h, int64_t rounds, double *scores) MUST_USE;

/* Why a trial has no record; "" is nothing known. What cannot be kept is said in the log. */
void sweep_failure_keep(const char *folder, int64_t trial, const char *why);
void sweep_failure_read(const char *folder, int64_t trial, char *out, size_t capacity);

#endif
