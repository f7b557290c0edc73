/* The default analysis: levels of the whole signal, and statistics over frames of what is measured per frame, all of it
 * from one pass over the samples. */
#include "audio.h"
#include "job.h"
#include "measures.h"
#include "offload.h"
#include "params.h"
#include "series.h"
#include "stream.h"
#include "summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESULT_REST = 2048 }; /* bytes of a result beside the statistics */

/* Where a measure of the spectral row comes from; contrast's peaks and valleys become contrasts at the end. */
static const int outputs[MEASURES] = {
    [MEASURE_LOGMEL] = SPECTRAL_MEL,          [MEASURE_CENTROID] = SPECTRAL_CENTROID,
    [MEASURE_BANDWIDTH] = SPECTRAL_BANDWIDTH, [MEASURE_ROLLOFF] = SPECTRAL_ROLLOFF,
    [MEASURE_FLATNESS] = SPECTRAL_FLATNESS,   [MEASURE_CONTRAST] = SPECTRAL_CONTRAST,
    [MEASURE_FLUX] = SPECTRAL_FLUX,           [MEASURE_POLY] = SPECTRAL_POLY,
};

/* What is asked, the same for every channel. */
struct request {
    struct job *job;
    struct kind_analyze_params params;
    uint32_t wanted; /* bit of each measure */
    enum rate_method method;
    struct spectral_params p;
};

/* The analysis of the mono mean, or of one channel. */
struct analysis {
    const struct request *r;
    struct stream stream;
    struct series series;
    float loudest, peak_db, valley_db; /* over all frames, also those that are not kept */
};

static bool has(const struct analysis *a, enum measure m)
{
    return a->r->wanted >> m & 1;
}

/* Values per frame while they are gathered: cepstra come from log-mel at the end. */
static void widths(const struct analysis *a, int32_t width[SERIES_MOST])
{
    for (int m = 0; m < MEASURES; m++) {
        const bool kept = has(a, (enum measure)m) && m != MEASURE_MFCC;
        const bool spectral = m >= MEASURE_LOGMEL && m != MEASURE_MFCC;
        width[m] = !kept ? 0 : spectral ? (int32_t)spectral_channels(&a->r->p, (enum spectral_output)outputs[m]) : 1;
    }
    if (has(a, MEASURE_MFCC))
        width[MEASURE_LOGMEL] = a->r->p.mel.mels;
}

/* Contrast's peaks and valleys; frames that came before say nothing new. */
static void note_edges(struct analysis *a, int64_t skip, int64_t frames)
{
    const int64_t bands = a->series.width[MEASURE_CONTRAST] / 2;
    for (int64_t t = 0; bands && t < frames; t++) {
        const float *const edges = series_place(&a->series, MEASURE_CONTRAST, skip + t);
        for (int64_t k = 0; k < bands; k++) { /* fmaxf passes over a band that is not there */
            a->peak_db = fmaxf(a->peak_db, edges[k]);
            a->valley_db = fmaxf(a->valley_db, edges[bands + k]);
        }
    }
}

static bool any_spectrum(const struct offload_frames *w)
{
    bool any = false;
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++)
        any |= w->spectral[i] != NULL;
    return any;
}

/* The device's, then what it left. */
static int measure(const struct request *r, const struct stream_piece *p, struct offload_frames *wish)
{
    struct exec *const ex = r->job->exec;
    const struct frame_params *const frame = &r->p.stft.frame;
    int code = offload_measure(r->job->offload, wish, &r->job->stages);
    if (!code && wish->zero_crossing)
        code = zero_crossing(ex, frame, &p->x, wish->zero_crossing);
    if (!code && wish->rms)
        code = rms(ex, frame, &p->x, wish->rms);
    if (!code && wish->peak)
        code = peak(ex, frame, &p->x, wish->peak);
    if (!code && any_spectrum(wish))
        code = spectral(ex, &r->p, &p->x, wish->spectral);
    return code;
}

static int measure_piece(struct analysis *a, struct stream_piece *p)
{
    const int64_t total = p->skip + p->frames, offset[2] = {0, total};
    struct ragged y[MEASURES];
    float loudest = -INFINITY;
    struct offload_frames wish = {.p = &a->r->p, .x = &p->x};
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
            wish.rms = &y[m];
        else if (m == MEASURE_PEAK)
            wish.peak = &y[m];
        else if (m == MEASURE_ZCR)
            wish.zero_crossing = &y[m];
        else
            wish.spectral[outputs[m]] = &y[m];
    }
    wish.loudest = wish.spectral[SPECTRAL_MEL] ? &loudest : NULL;
    code = code ? code : measure(a->r, p, &wish);
    if (code)
        return code;
    if (wish.loudest)
        code = decibel_peak(a->r->job->exec, &y[MEASURE_LOGMEL], &loudest);
    a->loudest = fmaxf(a->loudest, loudest);
    note_edges(a, p->skip, p->frames);
    series_commit(&a->series, p->skip, p->frames);
    return code;
}

/* What the block that the source holds brings. */
static int measure_block(struct analysis *a)
{
    struct stream_piece p;
    int code = stream_take(&a->stream);
    while (!code && stream_try(&a->stream, &p))
        code = measure_piece(a, &p);
    return code;
}

/* Appends one feature's statistics to the list of the result. mean: of its first value over all frames. */
static int add_series(const struct analysis *a, const struct summary *s, enum measure m, uint64_t channel,
                      struct wire_buffer *list, double *mean)
{
    const int32_t width = a->series.width[m];
    const size_t bytes = (size_t)STATISTICS * (size_t)width * sizeof(float);
    float *const y = malloc(bytes);
    if (!y)
        return fail(STATUS_NOMEM, "analyze: out of memory");
    summary_copy(s, m, width, y);
    const struct kind_series entry = {.name = wire_str(measure_member(m)),
                                      .values = (uint64_t)width,
                                      .statistics = {(const uint8_t *)y, (uint32_t)bytes},
                                      .channel = channel};
    *mean = y[STATISTIC_MEAN * width];
    const int code = wire_encode(&kind_series_schema, &entry, list);
    free(y);
    return code;
}

/* All channels' series, their levels, and what the table shows: means over the channels. */
struct findings {
    struct wire_buffer series, levels;
    uint32_t count;
    double square, peak, crossings, centroid_hz;
};

static int gather(struct analysis *a, int channel, int channels, struct findings *f)
{
    const struct level *const l = &a->stream.level;
    const double square = l->sum_squares / (double)a->stream.total;
    const struct kind_channel entry = {.rms = sqrt(square), .peak = l->peak};
    struct summary s;
    int code = summary_make(&(struct summary_request){.job = a->r->job,
                                                      .series = &a->series,
                                                      .wanted = a->r->wanted,
                                                      .coefficients = (int32_t)a->r->params.mfcc,
                                                      .loudest = a->loudest,
                                                      .peak_db = a->peak_db,
                                                      .valley_db = a->valley_db},
                            &s);
    for (int m = 0; m < MEASURES && !code; m++) {
        double mean = NAN;
        if (!has(a, (enum measure)m) || !a->series.width[m])
            continue;
        code = add_series(a, &s, (enum measure)m, (uint64_t)channel, &f->series, &mean);
        f->count++;
        if (m == MEASURE_ZCR)
            f->crossings += mean / channels;
        if (m == MEASURE_CENTROID)
            f->centroid_hz += mean / channels;
    }
    summary_free(&s);
    f->square += square / channels;
    f->peak = l->peak > f->peak ? l->peak : f->peak;
    return code ? code : wire_encode(&kind_channel_schema, &entry, &f->levels);
}

static int write_result(const struct request *r, struct analysis *a, int channels, const struct audio *audio)
{
    const struct audio_info *const info = audio_info(audio);
    struct kind_provenance from = {.seconds = NAN};
    struct wire_buffer warnings = {0};
    struct findings f = {0};
    int code = STATUS_OK;
    for (int c = 0; c < channels && !code; c++)
        code = gather(&a[c], c, channels, &f);
    code = code ? code : job_provenance(r->job, audio, &warnings, &from); /* when the device has done all its work */
    if (!code && f.series.bytes > LIMIT_RESULT - RESULT_REST)
        code =
            fail(STATUS_ARGUMENT, "the statistics of %d channels take %zu bytes, allowed %d: fewer bands or features",
                 channels, f.series.bytes, LIMIT_RESULT - RESULT_REST);
    if (!code) {
        struct kind_analyze_result result = {
            .duration_s = (double)info->frames / info->rate_hz,
            .rms = sqrt(f.square),
            .peak = f.peak,
            .zero_crossing_rate = r->wanted >> MEASURE_ZCR & 1 ? f.crossings : NAN,
            .spectral_centroid_hz = r->wanted >> MEASURE_CENTROID & 1 ? f.centroid_hz : NAN,
            .n_fft = r->params.n_fft,
            .hop = r->params.hop,
            .mels = r->params.mels,
            .mfcc = r->params.mfcc,
            .frames = (uint64_t)a->series.seen,
            .series = wire_list_of(&f.series, f.count),
            .every = (uint64_t)a->series.every,
            .analysis_rate_hz = (uint64_t)r->p.rate_hz,
        };
        if (r->params.each_channel)
            result.channel_levels = wire_list_of(&f.levels, (uint32_t)channels);
        memcpy(&result, &from, sizeof from); /* every result begins with its provenance */
        code = job_write_result(r->job, &kind_analyze_result_schema, &result);
    }
    wire_free(&f.series);
    wire_free(&f.levels);
    wire_free(&warnings);
    return code;
}

static int open_analysis(struct analysis *a, const struct request *r, struct source *source, int channel)
{
    int32_t width[SERIES_MOST] = {0};
    int64_t floats = 0;
    *a = (struct analysis){.r = r, .loudest = -INFINITY, .peak_db = -INFINITY, .valley_db = -INFINITY};
    widths(a, width);
    for (int i = 0; i < SERIES_MOST; i++)
        floats += width[i];
    series_open(&a->series, width);
    int code = stream_open(&a->stream, source, channel, &r->p.stft.frame, (size_t)(floats + 1) * sizeof(float));
    if (!code && r->params.rate_hz)
        code = stream_set_rate(&a->stream, (int64_t)r->params.rate_hz, r->method);
    if (!code && has(a, MEASURE_FLUX))
        stream_keep_previous(&a->stream);
    return code;
}

/* Every channel goes through a block before the next block is decoded. */
static int run(const struct request *r, struct audio *audio, struct analysis *a, int channels)
{
    struct source source = {0};
    int code = source_open(&source, r->job->exec, audio, job_block_samples(r->job), (int64_t)r->params.rate_hz);
    for (int c = 0; c < channels && !code; c++)
        code = open_analysis(&a[c], r, &source, r->params.each_channel ? c : SOURCE_MIX);
    while (!code && !source.ended) {
        code = source_read(&source);
        for (int c = 0; c < channels && !code; c++)
            code = measure_block(&a[c]);
        job_beat(r->job, 0);
    }
    r->job->decode_s = source.seconds;
    code = code ? code : write_result(r, a, channels, audio);
    for (int c = 0; c < channels; c++) {
        stream_close(&a[c].stream);
        series_close(&a[c].series);
    }
    source_close(&source);
    return code;
}

int job_analyze(struct job *j)
{
    struct request r = {.job = j};
    struct audio *audio = NULL;
    int code = params_analyze(j->params, j->request->params_bytes, &r.params, &r.wanted);
    code = code ? code : job_rate_method(r.params.resample, &r.method);
    code = code ? code : job_use_isa(j, r.params.isa);
    code = code ? code : job_open_audio(j, &audio);
    if (code)
        return code;
    r.p = spectral_defaults(r.params.rate_hz ? (double)r.params.rate_hz : audio_info(audio)->rate_hz);
    r.p.stft.frame = (struct frame_params){(int64_t)r.params.n_fft, (int64_t)r.params.hop, true};
    r.p.mel.mels = (int32_t)r.params.mels;
    r.p.mel.log = true;
    const int channels = r.params.each_channel ? audio_info(audio)->channels : 1;
    struct analysis *const a = channels <= LIMIT_CHANNELS ? calloc((size_t)channels, sizeof *a) : NULL;
    if (channels > LIMIT_CHANNELS)
        code = fail(STATUS_ARGUMENT, "%d channels, each by itself: allowed %d", channels, LIMIT_CHANNELS);
    else if (!a)
        code = fail(STATUS_NOMEM, "analyze: out of memory");
    code = code ? code : run(&r, audio, a, channels);
    free(a);
    audio_close(&audio);
    return code;
}
