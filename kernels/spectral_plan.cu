/* The plans of the spectral row in device memory: filled on the host, copied by exec_plan. */
#include "fft.cuh"
#include "mel.h"
#include "poly.h"
#include "spectral.cuh"
#include "spectrum.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static size_t window_bytes(int64_t n)
{
    return round_up((size_t)n * sizeof(float));
}

static size_t twiddle_bytes(int64_t n)
{
    return spectral_is_own_size(n) ? round_up((size_t)fft_twiddles(n / 2) * 2 * sizeof(float)) : 0;
}

static size_t stft_bytes(const void *params)
{
    const struct stft_key *const key = (const struct stft_key *)params;
    const int64_t n = key->n_fft;
    const size_t split = spectral_is_own_size(n) ? (size_t)n * sizeof(float) : 0;
    return round_up(sizeof(struct stft_device_plan)) + window_bytes(n) + twiddle_bytes(n) + round_up(split);
}

static void turn(float *w, double k, double n)
{
    w[0] = (float)cos(2 * M_PI * k / n);
    w[1] = (float)-sin(2 * M_PI * k / n);
}

static int stft_init(void *memory, const void *params)
{
    static const int powers[] = {1, 2, 3, 4, 8, 12};
    const struct stft_key *const key = (const struct stft_key *)params;
    struct stft_device_plan *const plan = (struct stft_device_plan *)memory;
    const int64_t n = key->n_fft;
    plan->head.device = NULL;
    plan->window_at = (int64_t)round_up(sizeof *plan);
    plan->twiddle_at = plan->window_at + (int64_t)window_bytes(n);
    plan->split_at = plan->twiddle_at + (int64_t)twiddle_bytes(n);
    stft_window(key, (float *)((char *)memory + plan->window_at));
    if (!spectral_is_own_size(n))
        return STATUS_OK;
    float *w = (float *)((char *)memory + plan->twiddle_at), *const split = (float *)((char *)memory + plan->split_at);
    for (int64_t length = n / 2; length > FFT_POINTS; length /= FFT_POINTS)
        for (int i = 0; i < 6; i++)
            for (int64_t p = 0; p < length / FFT_POINTS; p++, w += 2)
                turn(w, (double)(powers[i] * p), (double)length);
    for (int64_t k = 0; k < n / 2; k++)
        turn(split + 2 * k, (double)k, (double)n);
    return STATUS_OK;
}

/* ---- bands ---- */

static int64_t groups_of(const struct mel_key *key)
{
    return (key->mels + 31) / 32;
}

static size_t first_bytes(const struct mel_key *key)
{
    return round_up((size_t)key->mels * sizeof(int));
}

/* No band has more weights than there are bins, and a group's longest counts for 32; but bins lie in two bands at most,
 * so what all groups' longest come to is bounded by twice the bins and one group's room for rounding. */
static size_t weights_most(const struct mel_key *key)
{
    const size_t bins = (size_t)key->n_fft / 2 + 1, groups = (size_t)groups_of(key);
    const size_t all = 32 * (2 * bins + groups);
    return all < 32 * bins * groups ? all : 32 * bins * groups;
}

static size_t mel_bytes(const void *params)
{
    const struct mel_key *const key = (const struct mel_key *)params;
    return round_up(sizeof(struct mel_device_plan)) + first_bytes(key) +
           round_up((size_t)groups_of(key) * sizeof(struct mel_group)) + round_up(weights_most(key) * sizeof(float)) +
           round_up((size_t)key->mels * sizeof(struct mel_row)) + (size_t)(key->n_fft + 2) * sizeof(float);
}

static void fill_group(const struct mel_plan *bands, int64_t first, int64_t mels, struct mel_group *g, float *weight)
{
    const int64_t end = first + 32 < mels ? first + 32 : mels;
    int64_t most = 0;
    for (int64_t m = first; m < end; m++)
        most = bands->band[m].count > most ? bands->band[m].count : most;
    g->count = (int)most;
    for (int64_t m = first; m < end; m++)
        for (int64_t i = 0; i < bands->band[m].count; i++)
            weight[g->weight + 32 * i + (m - first)] = bands->weight[bands->band[m].weight + i];
}

static int mel_init(void *memory, const void *params)
{
    const struct mel_key *const key = (const struct mel_key *)params;
    struct mel_device_plan *const plan = (struct mel_device_plan *)memory;
    void *const bands = aligned_alloc(64, (mel_plan_bytes(key) + 63) / 64 * 64);
    int code = bands ? mel_plan_init(bands, key) : fail(STATUS_NOMEM, "mel plan: out of memory");
    if (code) {
        free(bands);
        return code;
    }
    memset(memory, 0, mel_bytes(key));
    plan->first_at = (int64_t)round_up(sizeof *plan);
    plan->group_at = plan->first_at + (int64_t)first_bytes(key);
    plan->weight_at = plan->group_at + (int64_t)round_up((size_t)groups_of(key) * sizeof(struct mel_group));
    plan->row_at = plan->weight_at + (int64_t)round_up(weights_most(key) * sizeof(float));
    plan->row_weight_at = plan->row_at + (int64_t)round_up((size_t)key->mels * sizeof(struct mel_row));
    int *const first = (int *)((char *)memory + plan->first_at);
    struct mel_row *const row = (struct mel_row *)((char *)memory + plan->row_at);
    float *const row_weight = (float *)((char *)memory + plan->row_weight_at);
    struct mel_group *const group = (struct mel_group *)((char *)memory + plan->group_at);
    const struct mel_plan *const p = (const struct mel_plan *)bands;
    for (int64_t m = 0; m < key->mels; m++) {
        const struct mel_band b = p->band[m];
        first[m] = (int)b.first;
        row[m].first = (int)b.first;
        row[m].count = (int)b.count;
        row[m].weight = (int)b.weight;
        memcpy(row_weight + b.weight, p->weight + b.weight, (size_t)b.count * sizeof(float));
    }
    for (int64_t g = 0, next = 0; g < groups_of(key); g++) {
        group[g].weight = (int)next;
        fill_group(p, 32 * g, key->mels, &group[g], (float *)((char *)memory + plan->weight_at));
        next += 32 * group[g].count;
    }
    free(bands);
    return STATUS_OK;
}

/* ---- polynomials ---- */

static size_t poly_bytes(const void *params)
{
    return round_up(sizeof(struct poly_device_plan)) + poly_plan_bytes(params);
}

/* The CPU's plan as it is, behind the offsets at which kernels find its parts. */
static int poly_init(void *memory, const void *params)
{
    struct poly_device_plan *const plan = (struct poly_device_plan *)memory;
    struct poly_plan *const inner = (struct poly_plan *)((char *)memory + round_up(sizeof *plan));
    const int code = poly_plan_init(inner, params);
    plan->head.device = NULL;
    plan->basis_at = (const char *)inner->basis - (const char *)memory;
    plan->powers_at = (const char *)inner->powers - (const char *)memory;
    inner->basis = NULL; /* an address of the host */
    return code;
}

extern "C" {
const struct plan_kind stft_device_plan_kind = {
    .name = "stft", .params_bytes = sizeof(struct stft_key), .bytes = stft_bytes, .init = stft_init, .on_device = true};
/* On the host: kernels get it as a parameter. */
const struct plan_kind contrast_device_plan_kind = {.name = "contrast",
                                                    .params_bytes = sizeof(struct contrast_key),
                                                    .bytes = contrast_plan_bytes,
                                                    .init = contrast_plan_init,
                                                    .on_device = false};
const struct plan_kind mel_device_plan_kind = {
    .name = "mel", .params_bytes = sizeof(struct mel_key), .bytes = mel_bytes, .init = mel_init, .on_device = true};
const struct plan_kind poly_device_plan_kind = {
    .name = "poly", .params_bytes = sizeof(struct poly_key), .bytes = poly_bytes, .init = poly_init, .on_device = true};
}
