#include "peak.h"

#include "ops.h"

#include <math.h>

/* One frame whose window begins at `from`, counted from the row's first sample. */
static float frame_peak(const float *row, int64_t samples, int64_t from, int64_t window)
{
    const int64_t lo = from < 0 ? 0 : from;
    const int64_t hi = from + window < samples ? from + window : samples;
    float most = 0;
    for (int64_t i = lo; i < hi; i++) {
        const float v = fabsf(row[i]);
        if (isnan(v))
            return v;
        most = v > most ? v : most;
    }
    return most;
}

int peak_cpu(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b];
        float *const out = (float *)y->data + y->offset[b];
        const int64_t from = frame_from(p, piece_of(x->piece, b));
        for (int64_t t = 0; t < ragged_length(y, b); t++)
            out[t] = frame_peak(row, ragged_length(x, b), from + t * p->hop_samples, p->window_samples);
    }
    return STATUS_OK;
}

int peak(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y)
{
    const struct frames_want want = {"peak", 1, 65536, DTYPE_F32, 1, false, exec_backend(ex) != BACKEND_CPU};
    const int code = frames_check(&want, p, x, y);
    return code ? code : OPS_CALL(ex, peak, ex, p, x, y);
}
