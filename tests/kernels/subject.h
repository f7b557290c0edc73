/* subject - any framed operation with its parameters, so that one test serves them all, on the instruction set that
 * WAVEMILL_TEST_ISA names (scalar without it), or on the device of the module that WAVEMILL_TEST_BACKEND names:
 * emulated or cuda. There, batches are copied to the device and results back, with what surrounds them.
 * WAVEMILL_TEST_OP keeps to one operation. */
#ifndef SUBJECT_H
#define SUBJECT_H
#include "compare.h"
#include "ops.h"
#include "test.h"

enum subject_op { /* the spectral ones are enum spectral_output */
                  SUBJECT_RMS = SPECTRAL_OUTPUTS,
                  SUBJECT_PEAK,
                  SUBJECT_CROSSING,
                  SUBJECTS
};

struct subject {
    int op; /* enum spectral_output or enum subject_op */
    struct spectral_params p;
};

enum exec_isa subject_isa(void);
enum exec_backend subject_backend(void);
bool subject_has(struct exec *ex, int op); /* whether the backend has it and it is wanted */
struct exec *subject_exec(void);           /* one thread */
const char *subject_name(int op);
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
