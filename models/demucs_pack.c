#include "demucs_pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = SEPARATION_CHANNELS };

int demucs_pack_fit(const struct demucs_bag *b, const struct demucs_clip *clips, int count)
{
    const int64_t segment = demucs_bag_config(b)->segment;
    int64_t all = 0;
    int n = 0;
    for (; n < count && clips[n].frames <= segment / 2; n++) {
        all += clips[n].frames;
        if (n > 0 && all + (n + 1) * (segment / DEMUCS_PACK_GAPS) > segment)
            break;
    }
    return n;
}

static int check(const struct demucs_bag *b, const struct demucs_clip *clips, int count)
{
    const int code = demucs_bag_check(b);
    if (code)
        return code;
    if (count < 1 || demucs_pack_fit(b, clips, count) != count)
        return fail(STATUS_ARGUMENT, "demucs: %d signals do not fit in a segment of %lld frames", count,
                    (long long)demucs_bag_config(b)->segment);
    for (int k = 0; k < count; k++)
        if (clips[k].frames < 0 || !isfinite(clips[k].mean) ||
            !(clips[k].deviation >= 0 && isfinite(clips[k].deviation)))
            return fail(STATUS_ARGUMENT, "demucs: signal %d has %lld frames, mean %g, deviation %g", k,
                        (long long)clips[k].frames, (double)clips[k].mean, (double)clips[k].deviation);
    return STATUS_OK;
}

/* Zeros between two of them. */
static int64_t gap_of(int64_t segment, const struct demucs_clip *clips, int count)
{
    for (int k = 0; k < count; k++)
        segment -= clips[k].frames;
    return segment / count;
}

static void lay_in(const struct demucs_clip *c, float *mix)
{
    const float factor = 1 / (c->deviation + 1e-8F);
    for (int64_t i = 0; i < c->frames * CHANNELS; i++)
        mix[i] = (c->x[i] - c->mean) * factor;
}

static void cut_out(const struct demucs_bag *b, const struct demucs_clip *c, const float *from)
{
    const int stems = demucs_bag_config(b)->stems;
    const float deviation = c->deviation + 1e-8F;
    for (int64_t i = 0; i < c->frames; i++)
        for (int s = 0; s < stems; s++)
            for (int k = 0; k < CHANNELS; k++) {
                const int64_t at = (i * stems + s) * CHANNELS + k;
                c->stems[at] = b->wanted[s] ? from[at] * deviation + c->mean : 0;
            }
}

int demucs_pack_run(const struct demucs_bag *b, const struct demucs_clip *clips, int count)
{
    int code = check(b, clips, count);
    if (code)
        return code;
    const struct htdemucs_config *const c = demucs_bag_config(b);
    const int64_t values = (int64_t)c->stems * CHANNELS, gap = gap_of(c->segment, clips, count);
    const size_t all = (size_t)(c->segment * values);
    float *const mix = calloc((size_t)(c->segment * CHANNELS), sizeof *mix);
    float *const stems = malloc(all * sizeof *stems), *const part = malloc(all * sizeof *part);
    code = mix && stems && part ? STATUS_OK : fail(STATUS_NOMEM, "demucs: no memory for a segment");
    int64_t at = gap / 2;
    for (int k = 0; k < count && !code; k++) {
        lay_in(&clips[k], mix + at * CHANNELS);
        at += clips[k].frames + gap;
    }
    code = code ? code : demucs_bag_run(b, &(struct htdemucs_segment){mix, stems}, 1, part);
    at = gap / 2;
    for (int k = 0; k < count && !code; k++) {
        cut_out(b, &clips[k], stems + at * values);
        at += clips[k].frames + gap;
    }
    free(mix);
    free(stems);
    free(part);
    return code;
}
