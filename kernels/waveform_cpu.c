#include "waveform.h"

#include "ops.h"

#include <math.h>

static void measure(const float *x, int64_t n, float *y)
{
    double sum = 0;
    y[0] = INFINITY;
    y[1] = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)x[i] * x[i];
        y[0] = x[i] < y[0] ? x[i] : y[0];
        y[1] = x[i] > y[1] ? x[i] : y[1];
    }
    y[2] = (float)sqrt(sum / (double)n);
    if (isnan(sum))
        y[0] = y[1] = y[2] = NAN;
}

int waveform_cpu(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const struct piece piece = piece_of(x->piece, b);
        const float *const row = (const float *)x->data + x->offset[b];
        const int64_t samples = ragged_length(x, b);
        int64_t from = waveform_first(block, piece) * block - piece.start;
        for (int64_t t = y->offset[b]; t < y->offset[b + 1]; t++, from += block)
            measure(row + from, samples - from < block ? samples - from : block, (float *)y->data + 3 * t);
    }
    return STATUS_OK;
}

int waveform(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y)
{
    if (block < 1 || block > 1 << 24)
        return fail(STATUS_ARGUMENT, "waveform: blocks of %lld samples, allowed 1 to 2^24", (long long)block);
    if (x->dtype != DTYPE_F32 || x->channels != 1 || y->dtype != DTYPE_F32 || y->channels != 3)
        return fail(STATUS_ARGUMENT, "waveform: wants mono float32 in, gives three float32 per block");
    if (x->rows < 0 || x->rows != y->rows || x->offset[0] != 0 || y->offset[0] != 0 || x->total != x->offset[x->rows] ||
        y->total != y->offset[y->rows] || y->total > INT64_C(1) << 34)
        return fail(STATUS_SHAPE, "waveform: %lld signals of %lld samples in all into %lld rows of %lld blocks",
                    (long long)x->rows, (long long)x->total, (long long)y->rows, (long long)y->total);
    if ((x->total > 0 && !x->data) || (y->total > 0 && !y->data))
        return fail(STATUS_ARGUMENT, "waveform: no buffer for the samples or the blocks");
    for (int64_t b = 0; b < x->rows; b++) {
        const struct piece piece = piece_of(x->piece, b);
        const int64_t samples = ragged_length(x, b);
        if (samples < 0 || piece.start < 0 || piece.start > (INT64_C(1) << 48) - samples ||
            piece.first != (piece.start == 0))
            return fail(STATUS_SHAPE, "waveform: row %lld has %lld samples from %lld on%s", (long long)b,
                        (long long)samples, (long long)piece.start, piece.first ? ", the first piece" : "");
        if (waveform_count(block, piece, samples) != ragged_length(y, b))
            return fail(STATUS_SHAPE, "waveform: row %lld gives %lld blocks, room for %lld", (long long)b,
                        (long long)waveform_count(block, piece, samples), (long long)ragged_length(y, b));
    }
    return OPS_CALL(ex, waveform, ex, block, x, y);
}
