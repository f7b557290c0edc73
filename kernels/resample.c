#include "resample.h"

#include "ops.h"

static int check(const struct resample_params *p, const struct ragged *x, const struct ragged *y)
{
    const int64_t most = INT64_C(1) << 30;
    if (p->rate_in < 1 || p->rate_in > most || p->rate_out < 1 || p->rate_out > most ||
        p->rate_in > 1000 * p->rate_out || p->rate_out > 1000 * p->rate_in)
        return fail(STATUS_ARGUMENT, "resample: from %lld to %lld Hz, allowed 1 to 2^30 and 1:1000 to 1000:1",
                    (long long)p->rate_in, (long long)p->rate_out);
    const struct resample_key k = resample_key(p);
    if (k.up * resample_taps(&k) > RESAMPLE_TAPS_MOST)
        return fail(STATUS_ARGUMENT,
                    "resample: from %lld to %lld Hz takes %lld filters of %lld taps, allowed 2^25 taps",
                    (long long)p->rate_in, (long long)p->rate_out, (long long)k.up, (long long)resample_taps(&k));
    if (x->dtype != DTYPE_F32 || x->channels != 1 || y->dtype != DTYPE_F32 || y->channels != 1)
        return fail(STATUS_ARGUMENT, "resample: wants mono float32 in and out");
    if (x->rows < 0 || x->rows != y->rows || x->offset[0] != 0 || y->offset[0] != 0 || x->total != x->offset[x->rows] ||
        y->total != y->offset[y->rows])
        return fail(STATUS_SHAPE, "resample: %lld signals of %lld samples in all into %lld of %lld", (long long)x->rows,
                    (long long)x->total, (long long)y->rows, (long long)y->total);
    if ((x->total > 0 && !x->data) || (y->total > 0 && !y->data))
        return fail(STATUS_ARGUMENT, "resample: no buffer for the samples");
    for (int64_t b = 0; b < x->rows; b++) {
        const struct piece piece = piece_of(x->piece, b);
        const int64_t samples = ragged_length(x, b);
        if (samples < 0 || piece.start < 0 || piece.start > (INT64_C(1) << 44) / k.up - samples ||
            piece.first != (piece.start == 0))
            return fail(STATUS_SHAPE, "resample: row %lld has %lld samples from %lld on%s", (long long)b,
                        (long long)samples, (long long)piece.start, piece.first ? ", the first piece" : "");
        if (resample_count(p, piece, samples) != ragged_length(y, b))
            return fail(STATUS_SHAPE, "resample: row %lld gives %lld samples, room for %lld", (long long)b,
                        (long long)resample_count(p, piece, samples), (long long)ragged_length(y, b));
    }
    return STATUS_OK;
}

int resample(struct exec *ex, const struct resample_params *p, const struct ragged *x, struct ragged *y)
{
    const void *plan;
    int code = check(p, x, y);
    if (code)
        return code;
    const struct resample_key key = resample_key(p);
    code = exec_plan(ex, exec_ops(ex)->resample_plan, &key, &plan);
    return code ? code : OPS_CALL(ex, resample, ex, plan, x, y);
}
