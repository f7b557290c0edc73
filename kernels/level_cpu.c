#include "level.h"

#include "ops.h"

#include <math.h>

int level_cpu(struct exec *ex, const struct ragged *x, struct level *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b] * x->channels;
        struct level l = {0, 0, 0, -1};
        for (int64_t i = 0; i < ragged_length(x, b) * x->channels; i++) {
            const double v = row[i];
            if (isfinite(v)) {
                l.sum += v;
                l.sum_squares += v * v;
                l.peak = fabsf(row[i]) > l.peak ? fabsf(row[i]) : l.peak;
            } else if (l.first_not_finite < 0) {
                l.first_not_finite = piece_of(x->piece, b).start + i / x->channels;
            }
        }
        y[b] = l;
    }
    return STATUS_OK;
}

int level(struct exec *ex, const struct ragged *x, struct level *y)
{
    if (x->dtype != DTYPE_F32 || x->channels < 1 || x->channels > 1024)
        return fail(STATUS_ARGUMENT, "level: wants float32 of 1 to 1024 channels");
    if (x->rows < 0 || x->offset[0] != 0 || x->total != x->offset[x->rows])
        return fail(STATUS_SHAPE, "level: %lld rows of %lld samples in all", (long long)x->rows, (long long)x->total);
    if ((x->total > 0 && !x->data) || (x->rows > 0 && !y))
        return fail(STATUS_ARGUMENT, "level: no buffer for the samples or the results");
    for (int64_t b = 0; b < x->rows; b++) {
        const int64_t start = piece_of(x->piece, b).start, samples = ragged_length(x, b);
        if (samples < 0 || start < 0 || start > (INT64_C(1) << 48) - samples)
            return fail(STATUS_SHAPE, "level: row %lld has %lld samples from %lld on", (long long)b, (long long)samples,
                        (long long)start);
    }
    return OPS_CALL(ex, level, ex, x, y);
}
