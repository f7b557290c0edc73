#include "mixture.h"

#include "audio_write.h"
#include "rate.h"
#include "source.h"

#include <math.h>
#include <stdlib.h>

enum { CHANNELS = 2 };

struct maker {
    struct source source;
    struct rate rate[CHANNELS];
    bool changes;
    int channels; /* of the file that are taken: 1 or 2 */
    int64_t room;
    float *in, *changed[CHANNELS], *pairs;
    double sum, square;
};

static int open_maker(struct maker *m, struct job *j, struct audio *a, int64_t rate_hz)
{
    const struct audio_info *const info = audio_info(a);
    int code = source_open(&m->source, j->exec, a, SOURCE_BLOCK_SAMPLES, rate_hz);
    m->channels = info->channels < CHANNELS ? 1 : CHANNELS;
    m->changes = rate_hz && rate_hz != info->rate_hz;
    m->room = m->source.block_frames;
    for (int c = 0; c < m->channels && m->changes && !code; c++) {
        code = rate_open(&m->rate[c], j->exec, info->rate_hz, rate_hz, RATE_POLYPHASE, m->source.block_frames);
        m->room = code ? m->room : rate_room(&m->rate[c], m->source.block_frames);
    }
    if (code)
        return code;
    m->in = malloc((size_t)m->source.block_frames * sizeof *m->in);
    m->pairs = malloc((size_t)m->room * CHANNELS * sizeof *m->pairs);
    m->changed[0] = malloc((size_t)m->room * sizeof(float));
    m->changed[1] = m->channels > 1 ? malloc((size_t)m->room * sizeof(float)) : NULL;
    const bool have = m->in && m->pairs && m->changed[0] && m->changed[m->channels - 1];
    return have ? STATUS_OK : fail(STATUS_NOMEM, "separate: out of memory");
}

static void close_maker(struct maker *m)
{
    for (int c = 0; c < CHANNELS; c++) {
        if (m->changes)
            rate_close(&m->rate[c]);
        free(m->changed[c]);
    }
    free(m->in);
    free(m->pairs);
    source_close(&m->source);
}

/* The block's channels at the new rate, *n samples each; at the end what is left of them. */
static int change_block(struct maker *m, int64_t *n)
{
    int code = STATUS_OK;
    struct level level;
    for (int c = 0; c < m->channels && !code; c++) {
        if (m->source.got)
            code = source_copy(&m->source, c, m->changes ? m->in : m->changed[c], &level);
        *n = m->source.got;
        if (m->changes && !code)
            code = rate_feed(&m->rate[c], m->in, m->source.got, m->source.ended, m->changed[c], n);
    }
    return code;
}

static int put_block(struct maker *m, struct spool *s, int64_t n, struct mixture *out)
{
    const float *const left = m->changed[0], *const right = m->changed[m->channels - 1];
    for (int64_t i = 0; i < n; i++) {
        const double mono = 0.5 * ((double)left[i] + (double)right[i]);
        m->pairs[2 * i] = left[i];
        m->pairs[2 * i + 1] = right[i];
        m->sum += mono;
        m->square += mono * mono;
    }
    out->peak = audio_peak(out->peak, m->pairs, (size_t)n * CHANNELS);
    const int code = spool_put_mixture(s, out->frames, m->pairs, n);
    out->frames += n;
    return code;
}

int mixture_make(struct job *j, struct audio *a, int64_t rate_hz, struct spool *s, struct mixture *out)
{
    struct maker m = {0};
    *out = (struct mixture){.rate_hz = rate_hz ? rate_hz : audio_info(a)->rate_hz};
    int code = open_maker(&m, j, a, rate_hz);
    while (!code && !m.source.ended) {
        int64_t n = 0;
        code = source_read(&m.source);
        code = code ? code : change_block(&m, &n);
        code = code ? code : put_block(&m, s, n, out);
        job_beat(j, 0);
    }
    j->decode_s = m.source.seconds;
    close_maker(&m);
    const double count = (double)out->frames;
    if (out->frames > 0)
        out->mean = m.sum / count;
    if (out->frames > 1)
        out->std = sqrt(fmax(0, (m.square - count * out->mean * out->mean) / (count - 1)));
    s->frames = out->frames;
    return code;
}
