/* split - what the tests of separators share: signals, a run in blocks of any size, and where stems go. */
#ifndef SPLIT_H
#define SPLIT_H
#include "separation.h"

struct exec;

/* Stems as they come out, guarded against more than were asked for. */
struct split_out {
    float *stems; /* [frames][stems][2] */
    int stem_count;
    int64_t frames, room;
    int64_t fail_from; /* emit fails once so many frames are out; negative: never */
};

struct exec *split_exec(int threads); /* on the instruction set that WAVEMILL_TEST_ISA names */

int split_emit(void *context, const float *stems, int64_t frames);

/* All of x [frames][2] through s in blocks of `block` frames (0: sizes change with every push), and the end. */
int split_run(struct separation *s, const float *x, int64_t frames, int64_t block) MUST_USE;

/* [frames][2] to be freed: noise with tones and clicks, or the first frames of a file of the test data. */
float *split_signal(int64_t frames);
float *split_audio(const char *name, int64_t *frames);

/* Signal `at` of x [frames][width], alone. */
float *split_take(const float *x, int64_t frames, int width, int at);

#endif
