#include "spectrum.h"

#include <math.h>

int spectrum_check(const char *op, const struct stft_params *p, const struct ragged *x, const struct ragged *y,
                   enum dtype dtype, int64_t channels)
{
    const struct frames_want want = {op, 16, FFT_MOST, dtype, channels, p->pad == PAD_REFLECT};
    if (p->win_length < 0 || p->win_length > p->frame.window_samples)
        return fail(STATUS_ARGUMENT, "%s: win_length %lld, allowed 1 to n_fft %lld", op, (long long)p->win_length,
                    (long long)p->frame.window_samples);
    if ((unsigned)p->window > WINDOW_RECTANGULAR || (unsigned)p->pad > PAD_REFLECT)
        return fail(STATUS_ARGUMENT, "%s: unknown window %d or padding %d", op, (int)p->window, (int)p->pad);
    return frames_check(&want, &p->frame, x, y);
}

struct stft_key spectrum_key(const struct stft_params *p)
{
    const int64_t n = p->frame.window_samples;
    return (struct stft_key){.n_fft = n, .win_length = p->win_length ? p->win_length : n, .window = p->window};
}

/* Sample i of a periodic window of n samples. */
static double window_at(int64_t kind, int64_t i, int64_t n)
{
    const double turn = 2 * M_PI * (double)i / (double)n;
    if (n == 1)
        return 1;
    switch (kind) {
    case WINDOW_HANN:
        return 0.5 - 0.5 * cos(turn);
    case WINDOW_HAMMING:
        return 0.54 - 0.46 * cos(turn);
    case WINDOW_BLACKMAN:
        return 0.42 - 0.5 * cos(turn) + 0.08 * cos(2 * turn);
    case WINDOW_BARTLETT:
        return 2 * i <= n ? 2 * (double)i / (double)n : 2 - 2 * (double)i / (double)n;
    default:
        return 1;
    }
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t stft_plan_bytes(const void *params)
{
    const struct stft_key *const key = params;
    return round_up(sizeof(struct spectrum_plan)) + round_up((size_t)key->n_fft * sizeof(double)) +
           round_up(fft_plan_bytes(key->n_fft));
}

int stft_plan_init(void *memory, const void *params)
{
    const struct stft_key *const key = params;
    struct spectrum_plan *const plan = memory;
    double *const window = (double *)((char *)memory + round_up(sizeof *plan));
    void *const fft = (char *)window + round_up((size_t)key->n_fft * sizeof *window);
    const int64_t before = (key->n_fft - key->win_length) / 2;
    for (int64_t i = 0; i < key->n_fft; i++) {
        const int64_t k = i - before;
        window[i] = k < 0 || k >= key->win_length ? 0 : window_at(key->window, k, key->win_length);
    }
    *plan = (struct spectrum_plan){window, fft};
    return fft_plan_init(fft, key->n_fft);
}

size_t stft_work_bytes(const struct stft_params *p)
{
    const size_t n = (size_t)p->frame.window_samples;
    return round_up(n * sizeof(double)) + round_up((n / 2 + 1) * sizeof(struct fft_complex)) +
           round_up(fft_work_bytes((int64_t)n)) + ARENA_ALIGN;
}

/* The windowed frame that begins at `from`, counted from the row's first sample; false when a sample is not finite. */
static bool load(const struct stft_params *p, const double *window, const float *row, int64_t samples, int64_t from,
                 double *frame)
{
    const int64_t n = p->frame.window_samples;
    const bool reflect = p->pad == PAD_REFLECT;
    double probe = 0; /* becomes NaN with the first NaN or infinity */
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = from + i;
        const bool inside = at >= 0 && at < samples;
        const double v = inside ? row[at] : reflect ? row[frame_reflect(at, samples)] : 0;
        probe += v * 0;
        frame[i] = v * window[i];
    }
    return probe == 0;
}

int spectrum_each(struct exec *ex, const struct stft_params *p, const struct spectrum_plan *plan,
                  const struct ragged *x, struct ragged *y, spectrum_emit *emit, const void *context)
{
    const int64_t bins = stft_bins(p), floats = (int64_t)y->channels * (y->dtype == DTYPE_C64 ? 2 : 1);
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    double *frame;
    struct fft_complex *spectrum;
    void *work;
    int code = arena_alloc(arena, (size_t)p->frame.window_samples * sizeof *frame, &frame);
    code = code ? code : arena_alloc(arena, (size_t)bins * sizeof *spectrum, &spectrum);
    code = code ? code : arena_alloc(arena, fft_work_bytes(p->frame.window_samples), &work);
    for (int64_t b = 0; !code && b < x->rows; b++) {
        const float *const row = (const float *)x->data + x->offset[b];
        float *out = (float *)y->data + y->offset[b] * floats;
        int64_t from = frame_from(&p->frame, piece_of(x->piece, b));
        for (int64_t t = 0; t < ragged_length(y, b); t++, out += floats, from += p->frame.hop_samples) {
            if (load(p, plan->window, row, ragged_length(x, b), from, frame)) {
                fft_real_forward(plan->fft, frame, spectrum, work);
                emit(context, spectrum, bins, out);
            } else {
                for (int64_t i = 0; i < floats; i++)
                    out[i] = NAN;
            }
        }
    }
    arena_reset(arena, mark);
    return code;
}
