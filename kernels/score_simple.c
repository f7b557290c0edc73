/* The two measures that need no filters: one and two passes over the samples. */
#include "score_parts.h"

#include <math.h>

int score_check(const char *who, int32_t which, const struct score_signal *x, const struct score_signal *first)
{
    if (x->samples < 1 || x->samples > SCORE_SAMPLES_MOST || x->channels < 1 || x->channels > SCORE_CHANNELS_MOST)
        return fail(STATUS_SHAPE, "score: %s %d has %lld samples of %d channels, allowed 1 to 2^40 of 1 to %d", who,
                    which, (long long)x->samples, x->channels, SCORE_CHANNELS_MOST);
    if (x->samples != first->samples || x->channels != first->channels)
        return fail(STATUS_SHAPE, "score: %s %d has %lld samples of %d channels, reference 0 has %lld of %d", who,
                    which, (long long)x->samples, x->channels, (long long)first->samples, first->channels);
    for (int64_t i = 0; i < x->samples * x->channels; i++)
        if (!isfinite(x->data[i]))
            return fail(STATUS_ARGUMENT, "score: %s %d is not finite at sample %lld", who, which,
                        (long long)(i / x->channels));
    return STATUS_OK;
}

double score_decibel(double over, double under)
{
    return 10 * log10(over / under); /* by IEEE: x/0 is infinity, 0/0 NaN, log10(0) -infinity */
}

static int check_both(const struct score_signal *reference, const struct score_signal *estimate)
{
    const int code = score_check("reference", 0, reference, reference);
    return code ? code : score_check("estimate", 0, estimate, reference);
}

int score_plain_first(struct score_plain *out, const struct score_signal *reference,
                      const struct score_signal *estimate)
{
    const int code = check_both(reference, estimate);
    if (code)
        return code;
    struct score_plain sums = *out;
    for (int64_t i = 0; i < reference->samples * reference->channels; i++) {
        const double s = reference->data[i], e = estimate->data[i], d = s - e;
        sums.truth += s * s;
        sums.error += d * d;
        sums.cross += s * e;
    }
    *out = sums;
    return STATUS_OK;
}

int score_plain_second(struct score_plain *out, const struct score_signal *reference,
                       const struct score_signal *estimate)
{
    const int code = check_both(reference, estimate);
    if (code)
        return code;
    const double a = out->cross / out->truth;
    double target = 0, rest = 0;
    for (int64_t i = 0; i < reference->samples * reference->channels; i++) {
        const double scaled = a * (double)reference->data[i], gap = scaled - (double)estimate->data[i];
        target += scaled * scaled;
        rest += gap * gap;
    }
    out->target += target;
    out->rest += rest;
    return STATUS_OK;
}

double score_plain_sdr_mdx(const struct score_plain *s)
{
    const double delta = 1e-7;
    return score_decibel(s->truth + delta, s->error + delta);
}

double score_plain_si_sdr(const struct score_plain *s)
{
    return score_decibel(s->target, s->rest);
}

int score_sdr_mdx(const struct score_signal *reference, const struct score_signal *estimate, double *db)
{
    struct score_plain sums = {0};
    const int code = score_plain_first(&sums, reference, estimate);
    if (!code)
        *db = score_plain_sdr_mdx(&sums);
    return code;
}

/* Mean of one channel, or 0 when none is to be taken away. */
static double mean_of(const struct score_signal *x, int32_t channel, bool wanted)
{
    double sum = 0;
    for (int64_t i = channel; wanted && i < x->samples * x->channels; i += x->channels)
        sum += (double)x->data[i];
    return sum / (double)x->samples;
}

/* SI-SDR of channels from .. to - 1 as one signal. */
static double si_sdr_of(const struct score_signal *s, const struct score_signal *e, int32_t from, int32_t to,
                        bool zero_mean)
{
    double s_mean[SCORE_CHANNELS_MOST], e_mean[SCORE_CHANNELS_MOST], cross = 0, square = 0, target = 0, rest = 0;
    for (int32_t c = from; c < to; c++) {
        s_mean[c] = mean_of(s, c, zero_mean);
        e_mean[c] = mean_of(e, c, zero_mean);
        for (int64_t i = c; i < s->samples * s->channels; i += s->channels) {
            const double truth = (double)s->data[i] - s_mean[c];
            cross += truth * ((double)e->data[i] - e_mean[c]);
            square += truth * truth;
        }
    }
    for (int32_t c = from; c < to; c++) /* again, since a difference of sums would end at 150 dB */
        for (int64_t i = c; i < s->samples * s->channels; i += s->channels) {
            const double scaled = cross / square * ((double)s->data[i] - s_mean[c]);
            const double gap = scaled - ((double)e->data[i] - e_mean[c]);
            target += scaled * scaled;
            rest += gap * gap;
        }
    return score_decibel(target, rest);
}

int score_si_sdr(const struct score_si_sdr_params *p, const struct score_signal *reference,
                 const struct score_signal *estimate, double *db)
{
    const int code = check_both(reference, estimate);
    if (code)
        return code;
    const int32_t channels = reference->channels;
    if (!p->per_channel) {
        *db = si_sdr_of(reference, estimate, 0, channels, p->zero_mean);
        return STATUS_OK;
    }
    double sum = 0;
    for (int32_t c = 0; c < channels; c++)
        sum += si_sdr_of(reference, estimate, c, c + 1, p->zero_mean);
    *db = sum / channels;
    return STATUS_OK;
}
