/* subject - any framed operation with its parameters, so that one test serves them all. */
#ifndef SUBJECT_H
#define SUBJECT_H
#include "compare.h"
#include "ops.h"
#include "test.h"

enum subject_op { SUBJECT_STFT, SUBJECT_MEL, SUBJECT_CENTROID, SUBJECT_RMS, SUBJECT_PEAK, SUBJECT_CROSSING, SUBJECTS };

struct subject {
    enum subject_op op;
    struct mel_params mel; /* mel.stft, mel.stft.frame and mel.rate_hz serve the other operations too */
};

struct exec *subject_exec(void); /* one thread, ops_cpu */
const char *subject_name(enum subject_op op);
int64_t subject_channels(const struct subject *s);
int64_t subject_floats(const struct subject *s); /* per frame */
int64_t subject_frames(const struct subject *s, struct piece piece, int64_t samples);

/* The ragged result for `rows` rows; offset has room for rows + 1 and is filled. */
struct ragged subject_result(const struct subject *s, const struct ragged *x, int64_t *offset);

int subject_run(struct exec *ex, const struct subject *s, const struct ragged *x, struct ragged *y) MUST_USE;

/* Frames of one row, guarded; ends the test when the operation fails or writes outside. */
struct guarded subject_row(struct exec *ex, const struct subject *s, const float *x, int64_t samples,
                           struct piece piece);

void subject_noise(uint64_t *seed, float *x, int64_t samples);

#endif
