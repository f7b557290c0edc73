#include "mfcc.h"

#include "ops.h"

int mfcc_cpu(struct exec *ex, const struct mfcc_plan *plan, const struct ragged *x, const float *floor_db,
             struct ragged *y)
{
    (void)ex;
    for (int64_t b = 0; b < x->rows; b++)
        for (int64_t t = x->offset[b]; t < x->offset[b + 1]; t++) {
            const float *const in = (const float *)x->data + t * plan->mels;
            float *const out = (float *)y->data + t * plan->coefficients;
            for (int64_t c = 0; c < plan->coefficients; c++) {
                double sum = 0;
                for (int64_t i = 0; i < plan->mels; i++) {
                    const float v = floor_db && in[i] < floor_db[b] ? floor_db[b] : in[i];
                    sum += (double)v * plan->cosine[i * plan->row + c];
                }
                out[c] = (float)sum;
            }
        }
    return STATUS_OK;
}

static int check(const struct mfcc_params *p, const struct ragged *x, const struct ragged *y)
{
    if (x->dtype != DTYPE_F32 || y->dtype != DTYPE_F32 || x->channels < 1 || x->channels > 4096)
        return fail(STATUS_ARGUMENT, "mfcc: wants float32, 1 to 4096 bands");
    if (p->coefficients < 1 || p->coefficients > x->channels || y->channels != p->coefficients)
        return fail(STATUS_ARGUMENT, "mfcc: %d coefficients of %d bands, room for %d", (int)p->coefficients,
                    (int)x->channels, (int)y->channels);
    if (!(p->lifter >= 0 && p->lifter <= 1e9))
        return fail(STATUS_ARGUMENT, "mfcc: lifter %g, allowed 0 to 1e9", p->lifter);
    if (x->rows < 0 || x->rows != y->rows || x->offset[0] != 0 || x->total != x->offset[x->rows])
        return fail(STATUS_SHAPE, "mfcc: %lld rows of %lld frames in all into %lld rows", (long long)x->rows,
                    (long long)x->total, (long long)y->rows);
    for (int64_t b = 0; b <= x->rows; b++)
        if (x->offset[b] != y->offset[b] || (b > 0 && x->offset[b] < x->offset[b - 1]))
            return fail(STATUS_SHAPE, "mfcc: row %lld begins at frame %lld, its result at %lld", (long long)b,
                        (long long)x->offset[b], (long long)y->offset[b]);
    if (x->total > 0 && (!x->data || !y->data))
        return fail(STATUS_ARGUMENT, "mfcc: no buffer for the bands or the coefficients");
    return STATUS_OK;
}

int mfcc(struct exec *ex, const struct mfcc_params *p, const struct ragged *x, const float *floor_db, struct ragged *y)
{
    const void *plan;
    int code = check(p, x, y);
    if (code)
        return code;
    const struct mfcc_key key = {x->channels, p->coefficients, p->lifter + 0.0};
    code = exec_plan(ex, exec_ops(ex)->mfcc_plan, &key, &plan);
    return code ? code : OPS_CALL(ex, mfcc, ex, plan, x, floor_db, y);
}
