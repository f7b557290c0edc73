#include "ops.h"
#include "time_stretch_bins.h"

int time_stretch_cpu(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y)
{
    struct stretch_call k = stretch_call_of(rate, x, y);
    return exec_parallel(ex, x->rows * k.blocks, stretch_some, &k);
}

static int check_row(double rate, const struct ragged *x, const struct ragged *y, int64_t b)
{
    if (!(rate >= 1e-3 && rate <= 1e3))
        return fail(STATUS_ARGUMENT, "time_stretch: rate %g of row %lld, allowed 1/1000 to 1000", rate, (long long)b);
    const int64_t frames = ragged_length(x, b);
    if (frames < 0 || (x->piece && !(x->piece[b].first && x->piece[b].last)))
        return fail(STATUS_SHAPE, "time_stretch: row %lld has %lld frames, allowed whole signals", (long long)b,
                    (long long)frames);
    if (time_stretch_frames(rate, frames) != ragged_length(y, b))
        return fail(STATUS_SHAPE, "time_stretch: row %lld gives %lld frames, room for %lld", (long long)b,
                    (long long)time_stretch_frames(rate, frames), (long long)ragged_length(y, b));
    return STATUS_OK;
}

static int check(const double *rate, const struct ragged *x, const struct ragged *y)
{
    const int64_t most = INT64_C(1) << 34;
    if (x->dtype != DTYPE_C64 || x->channels < 1 || x->channels > 32769 || y->dtype != DTYPE_C64 ||
        y->channels != x->channels)
        return fail(STATUS_ARGUMENT, "time_stretch: wants complex64 in and out, 1 to 32769 bins");
    if (x->rows < 0 || x->rows != y->rows || x->offset[0] != 0 || y->offset[0] != 0 || x->total != x->offset[x->rows] ||
        y->total != y->offset[y->rows] || x->total > most || y->total > most)
        return fail(STATUS_SHAPE, "time_stretch: %lld rows of %lld frames in all into %lld of %lld", (long long)x->rows,
                    (long long)x->total, (long long)y->rows, (long long)y->total);
    if ((x->rows > 0 && !rate) || (x->total > 0 && !x->data) || (y->total > 0 && !y->data))
        return fail(STATUS_ARGUMENT, "time_stretch: no rates, or no buffer for the frames");
    int code = STATUS_OK;
    for (int64_t b = 0; b < x->rows && !code; b++)
        code = check_row(rate[b], x, y, b);
    return code;
}

int time_stretch(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y)
{
    const int code = check(rate, x, y);
    return code ? code : OPS_CALL(ex, time_stretch, ex, rate, x, y);
}
