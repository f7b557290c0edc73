#include "zero_crossing.h"

#include "ops.h"

static inline bool is_negative(float v) /* false for what counts as zero, and for a NaN */
{
    return v < -1e-10f;
}

/* One frame whose window begins at `from`, counted from the row's first sample. */
static float frame_crossings(const float *row, int64_t samples, int64_t from, int64_t window)
{
    const int64_t lo = from < 0 ? 0 : from;
    const int64_t hi = from + window < samples ? from + window : samples;
    int64_t count = 0;
    for (int64_t i = lo + 1; i < hi; i++)
        count += is_negative(row[i - 1]) != is_negative(row[i]);
    return (float)((double)count / (double)window);
}

int zero_crossing_cpu(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b];
        float *const out = (float *)y->data + y->offset[b];
        const int64_t from = frame_from(p, piece_of(x->piece, b));
        for (int64_t t = 0; t < ragged_length(y, b); t++)
            out[t] = frame_crossings(row, ragged_length(x, b), from + t * p->hop_samples, p->window_samples);
    }
    return STATUS_OK;
}

int zero_crossing(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    const struct frames_want want = {"zero_crossing", 1, 65536, DTYPE_F32, 1, false, exec_backend(ex) != BACKEND_CPU};
    const int code = frames_check(&want, p, x, y);
    return code ? code : OPS_CALL(ex, zero_crossing, ex, p, x, y);
}
