/* phase_step_values - some values, for the scalar twin and, compiled for their vectors, the others. Room-internal. */
#ifndef PHASE_STEP_VALUES_H
#define PHASE_STEP_VALUES_H
#include "phase_step.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

enum { PHASE_STEP_VALUES = 8192 };

struct phase_step_call {
    double ahead;
    int64_t n;
    const float *magnitude, *now, *before;
    float *y;
};

static inline int64_t phase_step_turns(int64_t n)
{
    return (n + PHASE_STEP_VALUES - 1) / PHASE_STEP_VALUES;
}

static int phase_step_some(void *context, int64_t turn)
{
    const struct phase_step_call *const k = context;
    const int64_t first = turn * PHASE_STEP_VALUES;
    const int64_t end = k->n - first < PHASE_STEP_VALUES ? k->n : first + PHASE_STEP_VALUES;
    const float *const before = k->before ? k->before : k->now;
    const double ahead = k->before ? k->ahead : 0;
#ifndef __clang__ /* which knows no such pragma */
#pragma GCC ivdep
#endif
    for (int64_t i = first; i < end; i++) {
        const double re = k->now[2 * i] - ahead * before[2 * i], im = k->now[2 * i + 1] - ahead * before[2 * i + 1];
        const double scale = k->magnitude[i] / (sqrt(re * re + im * im) + FLT_MIN);
        k->y[2 * i] = (float)(re * scale);
        k->y[2 * i + 1] = (float)(im * scale);
    }
    return STATUS_OK;
}

#endif
