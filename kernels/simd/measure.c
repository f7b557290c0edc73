#include "measure.h"

#include "select.h"

#include <float.h>
#include <math.h>

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

struct moments SIMD(measure_moments)(const struct measure *m)
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
    const vf norm = vf_select(vf_less(weight, vf_set(FLT_MIN)), vf_set(1), weight);
    return (struct moments){weight, norm, moment / norm};
}

static float bin_hz(const struct measure *m)
{
    return (float)(m->p->rate_hz / (double)m->p->stft.frame.window_samples);
}

vf SIMD(measure_centroid)(const struct measure *m)
{
    return m->moments.bin * bin_hz(m);
}

vf SIMD(measure_bandwidth)(const struct measure *m)
{
    vf spread = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0};
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++) {
            const vf away = (float)i - m->moments.bin;
            part += away * away * m->magnitude[i];
        }
        spread += part;
    }
    return vf_sqrt(spread / m->moments.norm) * bin_hz(m);
}

vf SIMD(measure_rolloff)(const struct measure *m)
{
    vf below = {0}, bin = {0};
    const vf threshold = m->moments.weight * (float)m->p->rolloff, one = vf_set(1);
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

enum { TAKE_MOST = 16 };

/* The `take` smallest of n vectors, lane by lane, in order: each value sinks to its place. v is read downwards, since a
 * spectrum falls: what comes later is then rarely among them, and one comparison tells. */
INLINE vf mean_of_smallest(const int take, const vf *v, int64_t n)
{
    vf row[TAKE_MOST];
#pragma GCC unroll 16
    for (int k = 0; k < take; k++)
        row[k] = vf_set(INFINITY);
    for (int64_t i = n - 1; i >= 0; i--) {
        vf x = v[i];
        if (!vmask_bits(vf_less(x, row[take - 1])))
            continue;
#pragma GCC unroll 16
        for (int k = 0; k < take; k++) {
            const vf r = row[k];
            row[k] = vf_min(r, x);
            x = vf_max(r, x);
        }
    }
    vf sum = row[0];
#pragma GCC unroll 16
    for (int k = 1; k < take; k++)
        sum += row[k];
    return sum / (float)take;
}

INLINE vf mean_of_largest(const int take, const vf *v, int64_t n)
{
    vf row[TAKE_MOST];
#pragma GCC unroll 16
    for (int k = 0; k < take; k++)
        row[k] = vf_set(-INFINITY);
    for (int64_t i = 0; i < n; i++) {
        vf x = v[i];
        if (!vmask_bits(vf_less(row[take - 1], x)))
            continue;
#pragma GCC unroll 16
        for (int k = 0; k < take; k++) {
            const vf r = row[k];
            row[k] = vf_max(r, x);
            x = vf_min(r, x);
        }
    }
    vf sum = row[0];
#pragma GCC unroll 16
    for (int k = 1; k < take; k++)
        sum += row[k];
    return sum / (float)take;
}

INLINE void means(const int take, const vf *v, int64_t n, vf *largest, vf *smallest)
{
    *largest = mean_of_largest(take, v, n);
    *smallest = mean_of_smallest(take, v, n);
}

/* The same for any number: the value of the last rank that counts, what lies beyond it, and equal ones to fill up. */
static void means_by_rank(const struct contrast_band *b, const vf *v, vf *largest, vf *smallest)
{
    const vf take = vf_set((float)b->take), one = vf_set(1);
    vf least = v[0], most = v[0], above = {0}, below = {0}, high = {0}, low = {0};
    for (int64_t i = 1; i < b->count; i++) {
        least = vf_min(least, v[i]);
        most = vf_max(most, v[i]);
    }
    const vi *const key = (const vi *)v; /* magnitudes are not negative: their bits are in order */
    const vf top = (vf)select_rank(key, b->count, vf_set((float)(b->count - b->take)), (vi)least, (vi)most);
    const vf bottom = (vf)select_rank(key, b->count, vf_set((float)(b->take - 1)), (vi)least, (vi)most);
    for (int64_t first = 0; first < b->count; first += BLOCK_BINS) {
        vf part = {0}, other = {0};
        for (int64_t i = first; i < b->count && i < first + BLOCK_BINS; i++) {
            const vmask is_above = vf_less(top, v[i]), is_below = vf_less(v[i], bottom);
            part = vf_add_where(is_above, part, v[i]);
            above = vf_add_where(is_above, above, one);
            other = vf_add_where(is_below, other, v[i]);
            below = vf_add_where(is_below, below, one);
        }
        high += part;
        low += other;
    }
    *largest = (high + (take - above) * top) / take;
    *smallest = (low + (take - below) * bottom) / take;
}

static void band_extremes(const struct measure *m, const struct contrast_band *b, vf *largest, vf *smallest)
{
    const vf *const v = m->magnitude + b->first;
    switch (b->take) {
    case 1:
        means(1, v, b->count, largest, smallest);
        break;
    case 2:
        means(2, v, b->count, largest, smallest);
        break;
    case 3:
        means(3, v, b->count, largest, smallest);
        break;
    case 4:
        means(4, v, b->count, largest, smallest);
        break;
    case 5:
        means(5, v, b->count, largest, smallest);
        break;
    case 6:
        means(6, v, b->count, largest, smallest);
        break;
    case 7:
        means(7, v, b->count, largest, smallest);
        break;
    case 8:
        means(8, v, b->count, largest, smallest);
        break;
    case 9:
        means(9, v, b->count, largest, smallest);
        break;
    case 10:
        means(10, v, b->count, largest, smallest);
        break;
    case 11:
        means(11, v, b->count, largest, smallest);
        break;
    case 12:
        means(12, v, b->count, largest, smallest);
        break;
    case 13:
        means(13, v, b->count, largest, smallest);
        break;
    case 14:
        means(14, v, b->count, largest, smallest);
        break;
    case 15:
        means(15, v, b->count, largest, smallest);
        break;
    case 16:
        means(16, v, b->count, largest, smallest);
        break;
    default:
        means_by_rank(b, v, largest, smallest);
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
