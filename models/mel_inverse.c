#include "mel_inverse.h"

#include "exec.h"
#include "mel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 16, STEPS_MOST = 10000 }; /* frames side by side */

typedef float lanes[LANES];

struct inverse {
    const struct spectral_params *p;
    const struct mel_plan *plan;
    int steps;
    int64_t mels, bins, frames, workers;
    float *pivot, *beside; /* [mels]: 1/pivot of W W^T without its lower half, and what is beside the diagonal */
    float length;          /* of a step */
    const float *mel;
    float *magnitude;
    unsigned char *work;
    size_t work_bytes;
};

struct work {
    lanes *x, *ahead, *slope; /* [bins] */
    lanes *want, *gap;        /* [mels] */
};

static size_t round_up(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

/* W W^T: the diagonal and beside it, made into factors; how long a step may be. */
static void factor(struct inverse *v)
{
    const struct mel_plan *const plan = v->plan;
    double most = 0, before = 0, under = 0, last = 0; /* under: pivot of the row before */
    for (int64_t m = 0; m < v->mels; m++) {
        const struct mel_band *const a = &plan->band[m], *const b = a + 1;
        double square = 0, next = 0;
        for (int64_t k = 0; k < a->count; k++) {
            const int64_t f = a->first + k;
            const double w = plan->weight[a->weight + k];
            square += w * w;
            if (m + 1 < v->mels && f >= b->first && f < b->first + b->count)
                next += w * plan->weight[b->weight + f - b->first];
        }
        most = fmax(most, before + square + next);
        /* Bands of the same bins are one equation twice; a band without bins is none. */
        const double raised = square > 0 ? square * (1 + 1e-6) : 1;
        const double pivot = m == 0 ? raised : raised - last * last / under;
        v->pivot[m] = (float)(1 / pivot);
        v->beside[m] = (float)next;
        before = last = next;
        under = pivot;
    }
    v->length = most > 0 ? (float)(1 / most) : 0;
}

/* Band m of what x gives. */
static inline void band_of(const struct inverse *v, int64_t m, const lanes *x, float *sum)
{
    const struct mel_band *const band = &v->plan->band[m];
    const float *const w = v->plan->weight + band->weight;
    lanes s = {0};
    for (int64_t k = 0; k < band->count; k++)
        for (int l = 0; l < LANES; l++)
            s[l] += w[k] * x[band->first + k][l];
    memcpy(sum, s, sizeof s);
}

static void spread(const struct inverse *v, const lanes *y, lanes *x)
{
    memset(x, 0, (size_t)v->bins * sizeof *x);
    for (int64_t m = 0; m < v->mels; m++) {
        const struct mel_band *const band = &v->plan->band[m];
        const float *const w = v->plan->weight + band->weight;
        for (int64_t k = 0; k < band->count; k++)
            for (int l = 0; l < LANES; l++)
                x[band->first + k][l] += w[k] * y[m][l];
    }
}

/* The least x that gives `want`, without what is negative. */
static void begin(const struct inverse *v, const struct work *w)
{
    lanes *const y = w->gap;
    for (int64_t m = 0; m < v->mels; m++)
        for (int l = 0; l < LANES; l++)
            y[m][l] = w->want[m][l] - (m ? v->beside[m - 1] * v->pivot[m - 1] * y[m - 1][l] : 0);
    for (int64_t m = v->mels - 1; m >= 0; m--)
        for (int l = 0; l < LANES; l++)
            y[m][l] = v->pivot[m] * (y[m][l] - (m + 1 < v->mels ? v->beside[m] * y[m + 1][l] : 0));
    spread(v, y, w->x);
    for (int64_t f = 0; f < v->bins; f++)
        for (int l = 0; l < LANES; l++)
            w->x[f][l] = w->x[f][l] > 0 ? w->x[f][l] : 0;
    memcpy(w->ahead, w->x, (size_t)v->bins * sizeof *w->x);
}

static void refine(const struct inverse *v, const struct work *w)
{
    double t = 1;
    for (int step = 0; step < v->steps; step++) {
        const double next = (1 + sqrt(1 + 4 * t * t)) / 2;
        const float momentum = (float)((t - 1) / next);
        for (int64_t m = 0; m < v->mels; m++) {
            band_of(v, m, w->ahead, w->gap[m]);
            for (int l = 0; l < LANES; l++)
                w->gap[m][l] -= w->want[m][l];
        }
        spread(v, w->gap, w->slope);
        for (int64_t f = 0; f < v->bins; f++)
            for (int l = 0; l < LANES; l++) {
                const float to = w->ahead[f][l] - v->length * w->slope[f][l], x = to > 0 ? to : 0;
                w->ahead[f][l] = x + momentum * (x - w->x[f][l]);
                w->x[f][l] = x;
            }
        t = next;
    }
}

static void some_frames(const struct inverse *v, const struct work *w, int64_t first, int64_t count)
{
    const double power = v->p->mel.power;
    for (int64_t m = 0; m < v->mels; m++)
        for (int l = 0; l < LANES; l++) {
            const float y = l < count ? v->mel[(first + l) * v->mels + m] : 0;
            w->want[m][l] = l >= count ? 0 : v->p->mel.log ? (float)pow(10, 0.1 * y) : y;
        }
    begin(v, w);
    refine(v, w);
    for (int64_t l = 0; l < count; l++)
        for (int64_t f = 0; f < v->bins; f++) {
            const float s = w->x[f][l];
            v->magnitude[(first + l) * v->bins + f] = power == 2 ? sqrtf(s) : power == 1 ? s : (float)pow(s, 1 / power);
        }
}

static int run(void *context, int64_t i)
{
    const struct inverse *const v = context;
    const int64_t blocks = (v->frames + LANES - 1) / LANES;
    lanes *const at = (lanes *)(void *)(v->work + (size_t)i * v->work_bytes);
    const struct work w = {at, at + v->bins, at + 2 * v->bins, at + 3 * v->bins, at + 3 * v->bins + v->mels};
    for (int64_t b = blocks * i / v->workers; b < blocks * (i + 1) / v->workers; b++) {
        const int64_t left = v->frames - b * LANES;
        some_frames(v, &w, b * LANES, left < LANES ? left : LANES);
    }
    return STATUS_OK;
}

static int check(const struct spectral_params *p, int steps, const float *mel, int64_t frames, const float *magnitude)
{
    const int64_t n_fft = p->stft.frame.window_samples;
    if (n_fft < 16 || n_fft > 65536)
        return fail(STATUS_ARGUMENT, "mel_inverse: n_fft of %lld, allowed 16 to 65536", (long long)n_fft);
    const int code = mel_check(p);
    if (code)
        return code;
    if (steps < 0 || steps > STEPS_MOST || frames < 0 || frames > INT64_C(1) << 32)
        return fail(STATUS_ARGUMENT, "mel_inverse: %d steps of %lld frames, allowed 0 to %d of 2^32", steps,
                    (long long)frames, STEPS_MOST);
    if (frames > 0 && (!mel || !magnitude))
        return fail(STATUS_ARGUMENT, "mel_inverse: no bands, or no buffer for the magnitudes");
    const float least = p->mel.log ? -INFINITY : 0, most = p->mel.log ? 300 : 1e30f;
    for (int64_t i = 0; i < frames * p->mel.mels; i++)
        if (!(mel[i] > -INFINITY && mel[i] >= least && mel[i] <= most))
            return fail(STATUS_ARGUMENT, "mel_inverse: band %lld of frame %lld is %g", (long long)(i % p->mel.mels),
                        (long long)(i / p->mel.mels), (double)mel[i]);
    return STATUS_OK;
}

int mel_inverse(struct exec *ex, const struct spectral_params *p, int steps, const float *mel, int64_t frames,
                float *magnitude)
{
    int code = check(p, steps, mel, frames, magnitude);
    if (code || frames == 0)
        return code;
    const struct mel_key key = mel_key(p);
    struct inverse v = {.p = p, .steps = steps, .mels = p->mel.mels, .bins = stft_bins(&p->stft), .frames = frames};
    v.workers = exec_threads(ex);
    v.work_bytes = (size_t)(3 * v.bins + 2 * v.mels) * sizeof(lanes);
    const size_t plan_bytes = round_up(mel_plan_bytes(&key)), row = round_up((size_t)v.mels * sizeof(float));
    unsigned char *const block = aligned_alloc(ARENA_ALIGN, plan_bytes + 2 * row + (size_t)v.workers * v.work_bytes);
    if (!block)
        return fail(STATUS_NOMEM, "mel_inverse: out of memory");
    v.plan = (const struct mel_plan *)(void *)block;
    v.pivot = (float *)(void *)(block + plan_bytes);
    v.beside = (float *)(void *)(block + plan_bytes + row);
    v.work = block + plan_bytes + 2 * row;
    v.mel = mel;
    v.magnitude = magnitude;
    code = mel_plan_init(block, &key);
    if (!code) {
        factor(&v);
        code = exec_parallel(ex, v.workers, run, &v);
    }
    free(block);
    return code;
}
