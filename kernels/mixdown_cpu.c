#include "mixdown.h"

#include "ops.h"

#include <string.h>

/* Sum of n neighbours in the order of numpy's pairwise summation: blocks of 128 in eight chains, halves above. */
static float sum_of(const float *v, int32_t n)
{
    if (n > 128) {
        const int32_t half = n / 2 / 8 * 8;
        return sum_of(v, half) + sum_of(v + half, n - half);
    }
    float sum = 0;
    int32_t i = 0;
    if (n >= 8) {
        float r[8];
        for (; i < 8; i++)
            r[i] = v[i];
        for (; i < n - n % 8; i++)
            r[i % 8] += v[i];
        sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    }
    for (; i < n; i++)
        sum += v[i];
    return sum;
}

static float mean_of(const float *v, int32_t channels)
{
    return (0.0f + sum_of(v, channels)) / (float)channels; /* as numpy: the mean of negative zeros is 0, not -0 */
}

int mixdown_cpu(struct exec *ex, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    const float *const in = x->data;
    float *const out = y->data;
    if (x->channels == 1)
        memcpy(out, in, (size_t)x->total * sizeof *out);
    else if (x->channels == 2)
        for (int64_t i = 0; i < x->total; i++)
            out[i] = (0.0f + (in[2 * i] + in[2 * i + 1])) / 2; /* mean_of, in a form that compilers turn into vectors */
    else
        for (int64_t i = 0; i < x->total; i++)
            out[i] = mean_of(in + i * x->channels, x->channels);
    return STATUS_OK;
}

int mixdown(struct exec *ex, const struct ragged *x, struct ragged *y)
{
    if (x->dtype != DTYPE_F32 || x->channels < 1 || x->channels > 1024)
        return fail(STATUS_ARGUMENT, "mixdown: wants float32 of 1 to 1024 channels in");
    if (y->dtype != DTYPE_F32 || y->channels != 1)
        return fail(STATUS_ARGUMENT, "mixdown: gives mono float32");
    if (x->rows < 0 || x->rows != y->rows || x->total != y->total || x->offset[0] != 0 ||
        x->total != x->offset[x->rows])
        return fail(STATUS_SHAPE, "mixdown: %lld rows of %lld samples in all into %lld rows of %lld",
                    (long long)x->rows, (long long)x->total, (long long)y->rows, (long long)y->total);
    if (x->total > 0 && (!x->data || !y->data))
        return fail(STATUS_ARGUMENT, "mixdown: no buffer for the samples or the result");
    for (int64_t b = 0; b <= x->rows; b++)
        if (x->offset[b] != y->offset[b] || (b > 0 && x->offset[b] < x->offset[b - 1]))
            return fail(STATUS_SHAPE, "mixdown: row %lld begins at %lld, its result at %lld", (long long)b,
                        (long long)x->offset[b], (long long)y->offset[b]);
    return OPS_CALL(ex, mixdown, ex, x, y);
}
