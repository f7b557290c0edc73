#include "measure.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

void SIMD(measure_power)(const struct measure *m, double power, vf *out)
{
    if (power == 2 || power == 1) {
        memcpy(out, power == 2 ? m->power : m->magnitude, (size_t)m->bins * sizeof *out);
        return;
    }
    const float *const square = (const float *)m->power;
    float *const lanes = (float *)out;
    for (int64_t i = 0; i < m->bins * LANES; i++)
        lanes[i] = (float)pow(square[i], power / 2);
}

void SIMD(measure_mel)(const struct measure *m, const vf *energy, vf *out)
{
    const struct mel_bands *const bands = &m->p->mel;
    for (int64_t i = 0; i < bands->mels; i++) {
        const struct mel_band b = m->plans->mel->band[i];
        const float *const w = m->plans->mel->weight + b.weight;
        const vf *const e = energy + b.first;
        vf even = {0}, odd = {0};
        int64_t k = 0;
        for (; k + 2 <= b.count; k += 2) {
            even += e[k] * w[k];
            odd += e[k + 1] * w[k + 1];
        }
        if (k < b.count)
            even += e[k] * w[k];
        out[i] = bands->log ? vf_decibels(even + odd) : even + odd;
    }
}

static int64_t block_end(const struct measure *m, int64_t first)
{
    return first + BLOCK_BINS < m->bins ? first + BLOCK_BINS : m->bins;
}

struct moments {
    vf weight, bin; /* sum of magnitudes; their mean bin */
};

static struct moments moments(const struct measure *m)
{
    vf weight = {0}, moment = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0}, place = {0};
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++) {
            part += m->magnitude[i];
            place += m->magnitude[i] * (float)(i - first);
        }
        weight += part;
        moment += place + part * (float)first;
    }
    weight = vf_select(vf_less(weight, vf_set(FLT_MIN)), vf_set(1), weight);
    return (struct moments){weight, moment / weight};
}

static float bin_hz(const struct measure *m)
{
    return (float)(m->p->rate_hz / (double)m->p->stft.frame.window_samples);
}

vf SIMD(measure_centroid)(const struct measure *m)
{
    return moments(m).bin * bin_hz(m);
}

vf SIMD(measure_bandwidth)(const struct measure *m)
{
    const struct moments centre = moments(m);
    vf spread = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0};
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++) {
            const vf away = (float)i - centre.bin;
            part += away * away * m->magnitude[i];
        }
        spread += part;
    }
    return vf_sqrt(spread / centre.weight) * bin_hz(m);
}

vf SIMD(measure_rolloff)(const struct measure *m)
{
    vf total = {0}, below = {0}, bin = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0};
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++)
            part += m->magnitude[i];
        total += part;
    }
    const vf threshold = total * (float)m->p->rolloff, one = vf_set(1);
    for (int64_t first = 0; first < m->bins - 1; first += BLOCK_BINS) {
        vf part = {0};
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end && i < m->bins - 1; i++) {
            part += m->magnitude[i];
            bin = vf_add_where(vf_less(below + part, threshold), bin, one);
        }
        below += part;
    }
    return bin * bin_hz(m);
}

vf SIMD(measure_flatness)(const struct measure *m)
{
    const vf least = vf_set(1e-10f);
    vf logs = {0}, sum = {0};
    vi exponents = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0}, mantissas = vf_set(1); /* their product stays below 2^BLOCK_BINS */
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++) {
            const vf e = vf_max(m->power[i], least);
            part += e;
            exponents += ((vi)e >> 23) - 127;
            mantissas *= (vf)(((vi)e & 0x007fffff) | 0x3f800000);
        }
        sum += part;
        logs += vf_log2(mantissas);
    }
    float log2s[LANES], sums[LANES], out[LANES];
    vf_store(log2s, logs + vf_of_int(exponents));
    vf_store(sums, sum);
    for (int l = 0; l < LANES; l++)
        out[l] = (float)(exp2((double)log2s[l] / (double)m->bins) / ((double)sums[l] / (double)m->bins));
    return vf_load(out);
}

/* Means of the `take` largest and smallest of n vectors, lane by lane: each value sinks to its place in two rows that
 * stay in order. */
INLINE void extremes(const int take, const vf *v, int64_t n, vf *largest, vf *smallest)
{
    vf high[8], low[8];
#pragma GCC unroll 8
    for (int k = 0; k < take; k++) {
        high[k] = vf_set(-INFINITY);
        low[k] = vf_set(INFINITY);
    }
    for (int64_t i = 0; i < n; i++) {
        vf up = v[i], down = v[i];
#pragma GCC unroll 8
        for (int k = 0; k < take; k++) {
            const vf h = high[k], l = low[k];
            high[k] = vf_max(h, up);
            up = vf_min(h, up);
            low[k] = vf_min(l, down);
            down = vf_max(l, down);
        }
    }
    vf a = high[0], b = low[0];
#pragma GCC unroll 8
    for (int k = 1; k < take; k++) {
        a += high[k];
        b += low[k];
    }
    *largest = a / (float)take;
    *smallest = b / (float)take;
}

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The same for any number, by sorting each lane. */
static void extremes_sorted(const struct measure *m, const struct contrast_band *b, vf *largest, vf *smallest)
{
    float high[LANES], low[LANES];
    for (int l = 0; l < LANES; l++) {
        for (int64_t i = 0; i < b->count; i++)
            m->scratch[i] = ((const float *)(m->magnitude + b->first + i))[l];
        qsort(m->scratch, (size_t)b->count, sizeof *m->scratch, rising);
        double top = 0, bottom = 0;
        for (int64_t i = 0; i < b->take; i++) {
            bottom += m->scratch[i];
            top += m->scratch[b->count - 1 - i];
        }
        high[l] = (float)(top / (double)b->take);
        low[l] = (float)(bottom / (double)b->take);
    }
    *largest = vf_load(high);
    *smallest = vf_load(low);
}

static void band_extremes(const struct measure *m, const struct contrast_band *b, vf *largest, vf *smallest)
{
    const vf *const v = m->magnitude + b->first;
    switch (b->take) {
    case 1:
        extremes(1, v, b->count, largest, smallest);
        break;
    case 2:
        extremes(2, v, b->count, largest, smallest);
        break;
    case 3:
        extremes(3, v, b->count, largest, smallest);
        break;
    case 4:
        extremes(4, v, b->count, largest, smallest);
        break;
    case 5:
        extremes(5, v, b->count, largest, smallest);
        break;
    case 6:
        extremes(6, v, b->count, largest, smallest);
        break;
    case 7:
        extremes(7, v, b->count, largest, smallest);
        break;
    case 8:
        extremes(8, v, b->count, largest, smallest);
        break;
    default:
        extremes_sorted(m, b, largest, smallest);
    }
}

void SIMD(measure_contrast)(const struct measure *m, vf *out)
{
    const struct contrast_plan *const plan = m->plans->contrast;
    for (int64_t k = 0; k < plan->bands; k++) {
        vf largest = vf_set(NAN), smallest = vf_set(NAN);
        if (plan->band[k].count)
            band_extremes(m, &plan->band[k], &largest, &smallest);
        out[k] = plan->band[k].count ? vf_decibels(largest) : largest;
        out[plan->bands + k] = plan->band[k].count ? vf_decibels(smallest) : smallest;
    }
}

vf SIMD(measure_flux)(const struct measure *m, const float *previous)
{
    vf sum = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0};
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++) {
            const vf change = m->magnitude[i] - vf_shift_in(m->magnitude[i], vf_set(previous[i]));
            part += change * change;
        }
        sum += part;
    }
    return vf_sqrt(sum);
}

void SIMD(measure_poly)(const struct measure *m, vf *out)
{
    const struct poly_plan *const plan = m->plans->poly;
    float lanes[POLY_ORDER_MOST + 1][LANES];
    for (int64_t j = 0; j <= plan->order; j++) {
        const float *const basis = plan->basis + j * m->bins;
        vf sum = {0};
        for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
            vf part = {0};
            const int64_t end = block_end(m, first);
            for (int64_t i = first; i < end; i++)
                part += m->magnitude[i] * basis[i];
            sum += part;
        }
        vf_store(lanes[j], sum);
    }
    for (int l = 0; l < LANES; l++) {
        double dots[POLY_ORDER_MOST + 1];
        float c[POLY_ORDER_MOST + 1];
        for (int64_t j = 0; j <= plan->order; j++)
            dots[j] = lanes[j][l];
        poly_finish(plan, dots, c);
        for (int64_t j = 0; j <= plan->order; j++)
            ((float *)(out + j))[l] = c[j];
    }
}
