#include "istft.h"

#include "ops.h"
#include "overlap.h"
#include "spectrum.h"

static size_t round_up(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

size_t istft_scalar_work_bytes(const struct stft_params *p)
{
    const size_t n = (size_t)p->frame.window_samples;
    return 3 * round_up(n * sizeof(double)) + 2 * round_up(n * sizeof(float)) +
           round_up((n / 2 + 1) * sizeof(struct fft_complex)) + round_up(fft_work_bytes((int64_t)n));
}

int istft_cpu(struct exec *ex, const struct stft_params *p, const void *memory, const struct ragged *x,
              struct ragged *y)
{
    const struct spectrum_plan *const plan = memory;
    const int64_t n = p->frame.window_samples, bins = stft_bins(p);
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct overlap o = {0};
    double *samples;
    float *frame, *squares;
    struct fft_complex *spectrum;
    void *work;
    int code = arena_alloc(arena, (size_t)n * sizeof *o.sum, &o.sum);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *o.norm, &o.norm);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *samples, &samples);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *frame, &frame);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *squares, &squares);
    code = code ? code : arena_alloc(arena, (size_t)bins * sizeof *spectrum, &spectrum);
    code = code ? code : arena_alloc(arena, fft_work_bytes(n), &work);
    for (int64_t i = 0; i < n && !code; i++)
        squares[i] = (float)(plan->window[i] * plan->window[i]);
    o.squares = code ? NULL : squares;
    for (int64_t b = 0; b < x->rows && !code; b++) {
        const float *in = (const float *)x->data + x->offset[b] * bins * 2;
        overlap_begin(&o, &p->frame, (float *)y->data + y->offset[b], ragged_length(y, b));
        for (int64_t t = 0; t < ragged_length(x, b); t++, in += 2 * bins) {
            for (int64_t f = 0; f < bins; f++)
                spectrum[f] = (struct fft_complex){in[2 * f], in[2 * f + 1]};
            fft_real_inverse(plan->fft, spectrum, samples, work);
            for (int64_t i = 0; i < n; i++)
                frame[i] = (float)(samples[i] * plan->window[i] / (double)n);
            overlap_add(&o, frame);
        }
        overlap_end(&o);
    }
    arena_reset(arena, mark);
    return code;
}

size_t istft_work_bytes(const struct exec *ex, const struct stft_params *p)
{
    return exec_ops(ex)->istft_work_bytes(p);
}

static int check(const struct stft_params *p, const struct ragged *x, const struct ragged *y)
{
    const int64_t n = p->frame.window_samples;
    const int code = spectrum_check_params("istft", p);
    if (code)
        return code;
    if (p->frame.hop_samples < 1 || p->frame.hop_samples > INT64_C(1) << 40)
        return fail(STATUS_ARGUMENT, "istft: hop of %lld samples, allowed 1 to 2^40", (long long)p->frame.hop_samples);
    if (x->dtype != DTYPE_C64 || x->channels != n / 2 + 1 || y->dtype != DTYPE_F32 || y->channels != 1)
        return fail(STATUS_ARGUMENT, "istft: wants %lld bins of complex64 in, and gives mono float32",
                    (long long)n / 2 + 1);
    if (x->rows < 0 || x->rows != y->rows || x->offset[0] != 0 || y->offset[0] != 0 || x->total != x->offset[x->rows] ||
        y->total != y->offset[y->rows] || y->total > INT64_C(1) << 40)
        return fail(STATUS_SHAPE, "istft: %lld rows of %lld frames in all into %lld signals of %lld samples",
                    (long long)x->rows, (long long)x->total, (long long)y->rows, (long long)y->total);
    for (int64_t b = 0; b < x->rows; b++)
        if (ragged_length(x, b) < 0 || ragged_length(y, b) < 0 ||
            (x->piece && !(x->piece[b].first && x->piece[b].last)))
            return fail(STATUS_SHAPE, "istft: row %lld has %lld frames for %lld samples, allowed whole signals",
                        (long long)b, (long long)ragged_length(x, b), (long long)ragged_length(y, b));
    if ((x->total > 0 && !x->data) || (y->total > 0 && !y->data))
        return fail(STATUS_ARGUMENT, "istft: no buffer for the frames or the samples");
    return STATUS_OK;
}

int istft(struct exec *ex, const struct stft_params *p, const struct ragged *x, struct ragged *y)
{
    const void *plan;
    int code = check(p, x, y);
    if (code)
        return code;
    const struct stft_key key = spectrum_key(p);
    code = exec_plan(ex, exec_ops(ex)->stft_plan, &key, &plan);
    return code ? code : OPS_CALL(ex, istft, ex, p, plan, x, y);
}
