/* The default analysis: levels of the whole mono signal, and means over frames of what is measured per frame. */
#include "audio.h"
#include "job.h"
#include "params.h"
#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct means {
    double crossings, centroid_hz;
    int64_t frames;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): `out` is written through the ragged batch that holds it */
static int add_frames(struct job *j, const struct spectral_params *c, struct stream_piece *p, float *out,
                      struct means *m)
{
    const int64_t total = p->skip + p->frames;
    const int64_t offset[2] = {0, total};
    struct ragged y = {.data = out, .channels = 1, .offset = offset, .piece = &p->piece, .rows = 1, .total = total};
    int code = zero_crossing(j->exec, &c->stft.frame, &p->x, &y);
    if (code)
        return code;
    for (int64_t t = p->skip; t < total; t++)
        m->crossings += out[t];
    struct ragged *outputs[SPECTRAL_OUTPUTS] = {[SPECTRAL_CENTROID] = &y};
    if ((code = spectral(j->exec, c, &p->x, outputs)))
        return code;
    for (int64_t t = p->skip; t < total; t++)
        m->centroid_hz += out[t];
    m->frames += p->frames;
    return STATUS_OK;
}

static int measure(struct job *j, struct stream *s, const struct spectral_params *c, struct means *m)
{
    /* At most this many frames come per piece, but for the few at the end of a signal, where windows reach beyond. */
    const int64_t most = s->most_frames + c->stft.frame.window_samples / c->stft.frame.hop_samples + 4;
    float *out = malloc((size_t)most * sizeof *out);
    if (!out)
        return fail(STATUS_NOMEM, "analyze: out of memory");
    struct stream_piece p;
    int code;
    while (!(code = stream_next(s, &p)) && p.frames > 0) {
        if (p.skip + p.frames > most)
            code = fail(STATUS_INTERNAL, "analyze: a piece of %lld frames", (long long)(p.skip + p.frames));
        else
            code = add_frames(j, c, &p, out, m);
        if (code)
            break;
        job_beat(j, 0);
    }
    free(out);
    return code;
}

static int write_summary(struct job *j, const struct audio *a, const struct kind_analyze_params *params,
                         const struct level *l, const struct means *m)
{
    const struct audio_info *info = audio_info(a);
    struct kind_provenance from = {.seconds = NAN};
    struct wire_buffer warnings = {0};
    int code = job_provenance(j, a, &warnings, &from);
    const double frames = (double)info->frames;
    struct kind_analyze_result result = {
        .duration_s = frames / info->rate_hz,
        .rms = sqrt(l->sum_squares / frames),
        .peak = l->peak,
        .zero_crossing_rate = m->frames ? m->crossings / (double)m->frames : NAN,
        .spectral_centroid_hz = m->frames ? m->centroid_hz / (double)m->frames : NAN,
        .n_fft = params->n_fft,
        .hop = params->hop,
    };
    memcpy(&result, &from, sizeof from); /* every result begins with its provenance */
    if (!code)
        code = job_write_result(j, &kind_analyze_result_schema, &result);
    wire_free(&warnings);
    return code;
}

int job_analyze(struct job *j)
{
    struct kind_analyze_params params;
    struct audio *a = NULL;
    struct stream s = {0};
    struct means m = {0};
    int code = params_analyze(j->params, j->request->params_bytes, &params);
    if (!code)
        code = job_open_audio(j, &a);
    if (code)
        return code;
    struct spectral_params c = spectral_defaults(audio_info(a)->rate_hz);
    c.stft.frame = (struct frame_params){(int64_t)params.n_fft, (int64_t)params.hop, true};
    code = stream_open(&s, j->exec, a, &c.stft.frame, sizeof(float));
    if (!code)
        code = measure(j, &s, &c, &m);
    if (!code)
        code = write_summary(j, a, &params, &s.level, &m);
    stream_close(&s);
    audio_close(&a);
    return code;
}
