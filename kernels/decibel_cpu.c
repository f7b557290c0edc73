#include "decibel.h"

#include "ops.h"

#include <math.h>

int decibel_peak_cpu(struct exec *ex, const struct ragged *x, float *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b] * x->channels;
        float peak = -INFINITY;
        for (int64_t i = 0; i < ragged_length(x, b) * x->channels; i++)
            peak = row[i] > peak ? row[i] : peak;
        y[b] = peak;
    }
    return STATUS_OK;
}

int decibel_clip_cpu(struct exec *ex, struct ragged *x, const float *floor_db)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        float *const row = (float *)x->data + x->offset[b] * x->channels;
        for (int64_t i = 0; i < ragged_length(x, b) * x->channels; i++)
            row[i] = row[i] < floor_db[b] ? floor_db[b] : row[i];
    }
    return STATUS_OK;
}

static int check(const char *op, const struct ragged *x, const void *values)
{
    if (x->dtype != DTYPE_F32 || x->channels < 1 || x->channels > 65537)
        return fail(STATUS_ARGUMENT, "%s: wants float32, 1 to 65537 values per frame", op);
    if (x->rows < 0 || x->offset[0] != 0 || x->total != x->offset[x->rows])
        return fail(STATUS_SHAPE, "%s: %lld rows of %lld frames in all", op, (long long)x->rows, (long long)x->total);
    for (int64_t b = 0; b < x->rows; b++)
        if (ragged_length(x, b) < 0)
            return fail(STATUS_SHAPE, "%s: row %lld has %lld frames", op, (long long)b, (long long)ragged_length(x, b));
    if ((x->total > 0 && !x->data) || (x->rows > 0 && !values))
        return fail(STATUS_ARGUMENT, "%s: no buffer for the values or for what is per row", op);
    return STATUS_OK;
}

int decibel_peak(struct exec *ex, const struct ragged *x, float *y)
{
    const int code = check("decibel_peak", x, y);
    return code ? code : OPS_CALL(ex, decibel_peak, ex, x, y);
}

int decibel_clip(struct exec *ex, struct ragged *x, const float *floor_db)
{
    const int code = check("decibel_clip", x, floor_db);
    return code ? code : OPS_CALL(ex, decibel_clip, ex, x, floor_db);
}
