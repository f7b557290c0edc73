/* The tables that a transform works with, and the memory that it needs. */
#include "transform.h"

#include "rows.h"

#include "spectrum.h"

#include <math.h>

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* The radices of half the size, or 0 passes when it has other factors or n is odd. Eights come first: they read the
 * samples. */
static int32_t factor(int64_t n, int32_t radix[])
{
    int64_t rest = n / 2;
    int32_t count = 0, twos = 0;
    if (n % 2)
        return 0;
    for (; rest % 2 == 0; rest /= 2)
        twos++;
    for (; twos >= 3 && twos != 4; twos -= 3)
        radix[count++] = 8;
    for (; twos >= 2; twos -= 2)
        radix[count++] = 4;
    if (twos)
        radix[count++] = 2;
    for (; rest % 3 == 0; rest /= 3)
        radix[count++] = 3;
    for (; rest % 5 == 0; rest /= 5)
        radix[count++] = 5;
    return rest == 1 ? count : 0;
}

size_t SIMD(transform_plan_bytes)(const void *stft_key)
{
    const struct stft_key *const key = stft_key;
    const size_t n = (size_t)key->n_fft;
    int32_t radix[FFT_PASSES_MOST];
    const size_t common = round_up(sizeof(struct transform_plan)) + round_up(n * sizeof(float));
    if (!factor(key->n_fft, radix))
        return common + stft_plan_bytes(key);
    return common + round_up(n * sizeof(float)) + round_up((n / 2 + 2) * sizeof(float)); /* twiddles, split */
}

static void turn(float *w, double k, double n)
{
    w[0] = (float)cos(2 * M_PI * k / n);
    w[1] = (float)-sin(2 * M_PI * k / n);
}

int SIMD(transform_plan_init)(void *memory, const void *stft_key)
{
    const struct stft_key *const key = stft_key;
    struct transform_plan *const p = memory;
    *p = (struct transform_plan){.n = key->n_fft, .half = key->n_fft / 2};
    float *const window = (float *)((char *)memory + round_up(sizeof *p));
    float *w = (float *)((char *)window + round_up((size_t)p->n * sizeof *window));
    p->window = window;
    stft_window(key, window);
    p->passes = factor(p->n, p->radix);
    if (!p->passes) {
        p->lane_by_lane = (struct spectrum_plan *)w;
        return stft_plan_init(w, key);
    }
    float *const split = (float *)((char *)w + round_up((size_t)p->n * sizeof *w));
    p->twiddle = w;
    p->split = split;
    int64_t m = p->half;
    for (int32_t i = 0; i < p->passes - 1; i++) {
        const int64_t size = m;
        m /= p->radix[i];
        for (int64_t k = 0; k < m; k++)
            for (int r = 1; r < p->radix[i]; r++, w += 2)
                turn(w, (double)(k * r), (double)size);
    }
    for (int64_t k = 0; 2 * k <= p->half; k++)
        turn(split + 2 * k, (double)k, (double)p->n);
    return STATUS_OK;
}

size_t SIMD(transform_work_bytes)(int64_t n)
{
    int32_t radix[FFT_PASSES_MOST];
    if (factor(n, radix))
        return (size_t)(n + 2 + LANES) * 2 * sizeof(vf);
    return round_up((size_t)n * sizeof(double)) + round_up((size_t)(n / 2 + 4) * sizeof(struct fft_complex)) +
           round_up(fft_work_bytes(n));
}
