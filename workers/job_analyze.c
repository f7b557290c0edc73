/* The default analysis: levels of the whole signal, and statistics over frames of what is measured per frame, all of it
 * from one pass over the samples. */
#include "audio.h"
#include "job.h"
#include "measures.h"
#include "params.h"
#include "series.h"
#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float TOP_DB = 80; /* librosa.power_to_db's */

/* Where a measure of the spectral row comes from; contrast's peaks and valleys become contrasts at the end. */
static const int outputs[MEASURES] = {
    [MEASURE_LOGMEL] = SPECTRAL_MEL,          [MEASURE_CENTROID] = SPECTRAL_CENTROID,
    [MEASURE_BANDWIDTH] = SPECTRAL_BANDWIDTH, [MEASURE_ROLLOFF] = SPECTRAL_ROLLOFF,
    [MEASURE_FLATNESS] = SPECTRAL_FLATNESS,   [MEASURE_CONTRAST] = SPECTRAL_CONTRAST,
    [MEASURE_FLUX] = SPECTRAL_FLUX,           [MEASURE_POLY] = SPECTRAL_POLY,
};

struct analysis {
    struct job *job;
    struct kind_analyze_params params;
    uint32_t wanted; /* bit of each measure */
    enum rate_method method;
    struct spectral_params p;
    struct stream stream;
    struct series series;
    float loudest, peak_db, valley_db; /* over all frames, also those that are not kept */
};

static bool has(const struct analysis *a, enum measure m)
{
    return a->wanted >> m & 1;
}

/* Values per frame while they are gathered: cepstra come from log-mel at the end. */
static void widths(const struct analysis *a, int32_t width[SERIES_MOST])
{
    for (int m = 0; m < MEASURES; m++) {
        const bool kept = has(a, (enum measure)m) && m != MEASURE_MFCC;
        const bool spectral = m >= MEASURE_LOGMEL && m != MEASURE_MFCC;
        width[m] = !kept ? 0 : spectral ? (int32_t)spectral_channels(&a->p, (enum spectral_output)outputs[m]) : 1;
    }
    if (has(a, MEASURE_MFCC))
        width[MEASURE_LOGMEL] = a->p.mel.mels;
}

static void note_peaks(struct analysis *a, int64_t skip, int64_t frames)
{
    const int64_t mels = a->series.width[MEASURE_LOGMEL], bands = a->series.width[MEASURE_CONTRAST] / 2;
    if (mels) {
        const int64_t offset[2] = {0, frames};
        const struct ragged x = {.data = series_place(&a->series, MEASURE_LOGMEL, skip),
                                 .channels = (int32_t)mels,
                                 .offset = offset,
                                 .rows = 1,
                                 .total = frames};
        float peak;
        if (decibel_peak(a->job->exec, &x, &peak) == STATUS_OK)
            a->loudest = fmaxf(a->loudest, peak);
    }
    for (int64_t t = 0; bands && t < frames; t++) {
        const float *const edges = series_place(&a->series, MEASURE_CONTRAST, skip + t);
        for (int64_t k = 0; k < bands; k++) { /* fmaxf passes over a band that is not there */
            a->peak_db = fmaxf(a->peak_db, edges[k]);
            a->valley_db = fmaxf(a->valley_db, edges[bands + k]);
        }
    }
}

static int measure_piece(struct analysis *a, struct stream_piece *p)
{
    const int64_t total = p->skip + p->frames, offset[2] = {0, total};
    struct ragged y[MEASURES], *out[SPECTRAL_OUTPUTS] = {0};
    struct exec *const ex = a->job->exec;
    const struct frame_params *const frame = &a->p.stft.frame;
    bool spectra = false;
    int code = series_reserve(&a->series, total);
    for (int m = 0; m < MEASURES && !code; m++) {
        if (!a->series.width[m])
            continue;
        y[m] = (struct ragged){.data = series_place(&a->series, m, 0),
                               .channels = a->series.width[m],
                               .offset = offset,
                               .piece = &p->piece,
                               .rows = 1,
                               .total = total};
        if (m == MEASURE_RMS)
            code = rms(ex, frame, &p->x, &y[m]);
        else if (m == MEASURE_PEAK)
            code = peak(ex, frame, &p->x, &y[m]);
        else if (m == MEASURE_ZCR)
            code = zero_crossing(ex, frame, &p->x, &y[m]);
        else
            out[outputs[m]] = &y[m], spectra = true;
    }
    if (!code && spectra)
        code = spectral(ex, &a->p, &p->x, out);
    if (!code) {
        note_peaks(a, p->skip, p->frames);
        series_commit(&a->series, p->skip, p->frames);
    }
    return code;
}

static int measure(struct analysis *a)
{
    struct stream_piece p;
    int code;
    while (!(code = stream_next(&a->stream, &p)) && p.frames > 0) {
        if ((code = measure_piece(a, &p)))
            return code;
        job_beat(a->job, 0);
    }
    return code;
}

/* What only the whole file's maximum allows: clips in dB, cepstra from clipped bands, contrasts from peaks and valleys.
 */
static int second_pass(struct analysis *a)
{
    struct series *const s = &a->series;
    const int64_t offset[2] = {0, s->frames}, bands = s->width[MEASURE_CONTRAST] / 2;
    struct ragged logmel = {.data = s->values[MEASURE_LOGMEL],
                            .channels = s->width[MEASURE_LOGMEL],
                            .offset = offset,
                            .rows = 1,
                            .total = s->frames};
    const float least = a->loudest - TOP_DB;
    int code = STATUS_OK;
    if (s->width[MEASURE_LOGMEL] && s->frames)
        code = decibel_clip(a->job->exec, &logmel, &least);
    if (!code && has(a, MEASURE_MFCC) && s->frames) {
        const struct mfcc_params p = {.coefficients = (int32_t)a->params.mfcc};
        s->width[MEASURE_MFCC] = p.coefficients;
        s->values[MEASURE_MFCC] = malloc((size_t)(s->frames * p.coefficients) * sizeof(float));
        struct ragged y = logmel;
        y.data = s->values[MEASURE_MFCC];
        y.channels = p.coefficients;
        code = y.data ? mfcc(a->job->exec, &p, &logmel, NULL, &y) : fail(STATUS_NOMEM, "analyze: out of memory");
    }
    for (int64_t t = 0; bands && t < s->frames && !code; t++) {
        const float *const edges = s->values[MEASURE_CONTRAST] + t * 2 * bands;
        contrast_finish(edges, bands, a->peak_db - TOP_DB, a->valley_db - TOP_DB,
                        s->values[MEASURE_CONTRAST] + t * bands);
    }
    s->width[MEASURE_CONTRAST] = (int32_t)bands;
    return code;
}

/* Appends one feature's statistics to the list of the result. mean: of its first value over all frames. */
static int add_series(struct analysis *a, enum measure m, struct wire_buffer *list, double *mean)
{
    const int32_t width = a->series.width[m];
    const int64_t offset[2] = {0, a->series.frames};
    const struct ragged x = {
        .data = a->series.values[m], .channels = width, .offset = offset, .rows = 1, .total = a->series.frames};
    const size_t bytes = (size_t)STATISTICS * (size_t)width * sizeof(float);
    float *const y = malloc(bytes);
    int code = y ? statistics(a->job->exec, &x, a->series.every > 1 ? SERIES_BLOCK : 0, y)
                 : fail(STATUS_NOMEM, "analyze: out of memory");
    if (!code) {
        const struct kind_series entry = {.name = wire_str(measure_member(m)),
                                          .values = (uint64_t)width,
                                          .statistics = {(const uint8_t *)y, (uint32_t)bytes}};
        *mean = y[STATISTIC_MEAN * width];
        code = wire_encode(&kind_series_schema, &entry, list);
    }
    free(y);
    return code;
}

static int write_summary(struct analysis *a, const struct audio *audio)
{
    const struct audio_info *const info = audio_info(audio);
    const struct level *const l = &a->stream.level;
    struct kind_provenance from = {.seconds = NAN};
    struct wire_buffer warnings = {0}, list = {0};
    double mean[MEASURES];
    uint32_t count = 0;
    int code = job_provenance(a->job, audio, &warnings, &from);
    for (int m = 0; m < MEASURES && !code; m++) {
        mean[m] = NAN;
        if (has(a, (enum measure)m) && a->series.width[m] && !(code = add_series(a, (enum measure)m, &list, &mean[m])))
            count++;
    }
    if (!code) {
        struct kind_analyze_result result = {
            .duration_s = (double)info->frames / info->rate_hz,
            .rms = sqrt(l->sum_squares / (double)a->stream.total),
            .peak = l->peak,
            .zero_crossing_rate = mean[MEASURE_ZCR],
            .spectral_centroid_hz = mean[MEASURE_CENTROID],
            .n_fft = a->params.n_fft,
            .hop = a->params.hop,
            .mels = a->params.mels,
            .mfcc = a->params.mfcc,
            .frames = (uint64_t)a->series.seen,
            .series = wire_list_of(&list, count),
            .every = (uint64_t)a->series.every,
            .analysis_rate_hz = (uint64_t)a->p.rate_hz,
        };
        memcpy(&result, &from, sizeof from); /* every result begins with its provenance */
        code = job_write_result(a->job, &kind_analyze_result_schema, &result);
    }
    wire_free(&list);
    wire_free(&warnings);
    return code;
}

static int run(struct analysis *a, struct audio *audio)
{
    int32_t width[SERIES_MOST] = {0};
    int64_t floats = 0;
    a->p = spectral_defaults(a->params.rate_hz ? (double)a->params.rate_hz : audio_info(audio)->rate_hz);
    a->p.stft.frame = (struct frame_params){(int64_t)a->params.n_fft, (int64_t)a->params.hop, true};
    a->p.mel.mels = (int32_t)a->params.mels;
    a->p.mel.log = true;
    a->loudest = a->peak_db = a->valley_db = -INFINITY;
    widths(a, width);
    for (int i = 0; i < SERIES_MOST; i++)
        floats += width[i];
    series_open(&a->series, width);
    int code = stream_open(&a->stream, a->job->exec, audio, &a->p.stft.frame, (size_t)(floats + 1) * sizeof(float));
    if (!code && a->params.rate_hz)
        code = stream_set_rate(&a->stream, (int64_t)a->params.rate_hz, a->method);
    if (!code && has(a, MEASURE_FLUX))
        stream_keep_previous(&a->stream);
    code = code ? code : measure(a);
    code = code ? code : second_pass(a);
    code = code ? code : write_summary(a, audio);
    stream_close(&a->stream);
    series_close(&a->series);
    return code;
}

int job_analyze(struct job *j)
{
    struct analysis a = {.job = j};
    struct audio *audio = NULL;
    int code = params_analyze(j->params, j->request->params_bytes, &a.params, &a.wanted);
    code = code ? code : job_rate_method(a.params.resample, &a.method);
    code = code ? code : job_use_isa(j, a.params.isa);
    code = code ? code : job_open_audio(j, &audio);
    code = code ? code : run(&a, audio);
    audio_close(&audio);
    return code;
}
