#include "spectrum.h"

#include <math.h>

int spectrum_check_params(const char *op, const struct stft_params *p)
{
    const int64_t n = p->frame.window_samples;
    if (n < 16 || n > FFT_MOST)
        return fail(STATUS_ARGUMENT, "%s: window of %lld samples, allowed 16 to %d", op, (long long)n, FFT_MOST);
    if (p->win_length < 0 || p->win_length > n)
        return fail(STATUS_ARGUMENT, "%s: win_length %lld, allowed 1 to n_fft %lld", op, (long long)p->win_length,
                    (long long)n);
    if ((unsigned)p->window > WINDOW_RECTANGULAR || (unsigned)p->pad > PAD_REFLECT)
        return fail(STATUS_ARGUMENT, "%s: unknown window %d or padding %d", op, (int)p->window, (int)p->pad);
    return STATUS_OK;
}

int spectrum_check(const char *op, const struct stft_params *p, const struct ragged *x, const struct ragged *y,
                   enum dtype dtype, int64_t channels, bool integers)
{
    const struct frames_want want = {op, 16, FFT_MOST, dtype, channels, p->pad == PAD_REFLECT, integers};
    const int code = spectrum_check_params(op, p);
    return code ? code : frames_check(&want, &p->frame, x, y);
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

/* Sample i of n_fft: the window lies in the middle, zeros around it. */
static double window_of(const struct stft_key *key, int64_t i)
{
    const int64_t k = i - (key->n_fft - key->win_length) / 2;
    return k < 0 || k >= key->win_length ? 0 : window_at(key->window, k, key->win_length);
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

void stft_window(const struct stft_key *key, float *out)
{
    for (int64_t i = 0; i < key->n_fft; i++)
        out[i] = (float)window_of(key, i);
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
    for (int64_t i = 0; i < key->n_fft; i++)
        window[i] = window_of(key, i);
    *plan = (struct spectrum_plan){window, fft};
    return fft_plan_init(fft, key->n_fft);
}
