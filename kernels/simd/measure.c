#include "measure.h"

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

/* One pass: the roots take longest, and everything else happens while they are on their way. */
struct survey SIMD(measure_survey)(const struct measure *m, vf *magnitude)
{
    const vf least = vf_set(1e-10f);
    vf weight = {0}, moment = {0}, energy = {0}, logs = {0};
    vi exponents = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0}, place = {0}, floored = {0}, mantissas = vf_set(1); /* their product is below 2^BLOCK_BINS */
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++) {
            const vf root = vf_sqrt(m->power[i]), e = vf_max(m->power[i], least);
            magnitude[i] = root;
            part += root;
            place += root * (float)(i - first);
            floored += e;
            exponents += ((vi)e >> 23) - 127;
            mantissas *= (vf)(((vi)e & 0x007fffff) | 0x3f800000);
        }
        weight += part;
        moment += place + part * (float)first;
        energy += floored;
        logs += vf_log2(mantissas);
    }
    const vf norm = vf_select(vf_less(weight, vf_set(FLT_MIN)), vf_set(1), weight);
    return (struct survey){weight, norm, moment / norm, energy, logs + vf_of_int(exponents)};
}

static float bin_hz(const struct measure *m)
{
    return (float)(m->p->rate_hz / (double)m->p->stft.frame.window_samples);
}

vf SIMD(measure_centroid)(const struct measure *m)
{
    return m->survey.bin * bin_hz(m);
}

vf SIMD(measure_bandwidth)(const struct measure *m)
{
    vf spread = {0};
    for (int64_t first = 0; first < m->bins; first += BLOCK_BINS) {
        vf part = {0};
        const int64_t end = block_end(m, first);
        for (int64_t i = first; i < end; i++) {
            const vf away = (float)i - m->survey.bin;
            part += away * away * m->magnitude[i];
        }
        spread += part;
    }
    return vf_sqrt(spread / m->survey.norm) * bin_hz(m);
}

vf SIMD(measure_rolloff)(const struct measure *m)
{
    vf below = {0}, bin = {0};
    const vf threshold = m->survey.weight * (float)m->p->rolloff, one = vf_set(1);
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
    float log2s[LANES], sums[LANES], out[LANES];
    vf_store(log2s, m->survey.log2s);
    vf_store(sums, m->survey.energy);
    for (int l = 0; l < LANES; l++)
        out[l] = (float)(exp2((double)log2s[l] / (double)m->bins) / ((double)sums[l] / (double)m->bins));
    return vf_load(out);
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
