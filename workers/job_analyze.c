/* The default analysis: levels of the whole signal, and statistics over frames of what is measured per frame, all of it
 * from one pass over the samples. */
#include "audio.h"
#include "job.h"
#include "measures.h"
#include "offload.h"
#include "params.h"
#include "series.h"
#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESULT_REST = 2048 }; /* bytes of a result beside the statistics */

static const float TOP_DB = 80; /* librosa.power_to_db's */

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
        if (decibel_peak(a->r->job->exec, &x, &peak) == STATUS_OK)
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

static bool any_spectrum(const struct offload_wish *w)
{
    bool any = false;
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++)
        any |= w->spectral[i] != NULL;
    return any;
}

static int measure_piece(struct analysis *a, struct stream_piece *p)
{
    const int64_t total = p->skip + p->frames, offset[2] = {0, total};
    struct ragged y[MEASURES];
    struct offload_wish wish = {.p = &a->r->p, .x = &p->x};
    struct exec *const ex = a->r->job->exec;
    const struct frame_params *const frame = &a->r->p.stft.frame;
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
        else if (m != MEASURE_ZCR)
            wish.spectral[outputs[m]] = &y[m];
    }
    code = code ? code : offload_begin(a->r->job->offload, &wish); /* what the device does not take is left */
    if (!code && a->series.width[MEASURE_ZCR])
        code = zero_crossing(ex, frame, &p->x, &y[MEASURE_ZCR]);
    if (!code && wish.rms)
        code = rms(ex, frame, &p->x, wish.rms);
    if (!code && wish.peak)
        code = peak(ex, frame, &p->x, wish.peak);
    if (!code && any_spectrum(&wish))
        code = spectral(ex, &a->r->p, &p->x, wish.spectral);
    const int ended = offload_end(a->r->job->offload); /* also when something failed: it writes into the series */
    code = code ? code : ended;
    if (!code) {
        note_peaks(a, p->skip, p->frames);
        series_commit(&a->series, p->skip, p->frames);
    }
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
        code = decibel_clip(a->r->job->exec, &logmel, &least);
    if (!code && has(a, MEASURE_MFCC) && s->frames) {
        const struct mfcc_params p = {.coefficients = (int32_t)a->r->params.mfcc};
        s->width[MEASURE_MFCC] = p.coefficients;
        s->values[MEASURE_MFCC] = malloc((size_t)(s->frames * p.coefficients) * sizeof(float));
        struct ragged y = logmel;
        y.data = s->values[MEASURE_MFCC];
        y.channels = p.coefficients;
        code = y.data ? mfcc(a->r->job->exec, &p, &logmel, NULL, &y) : fail(STATUS_NOMEM, "analyze: out of memory");
    }
    for (int64_t t = 0; bands && t < s->frames && !code; t++) {
        const float *const edges = s->values[MEASURE_CONTRAST] + t * 2 * bands;
        contrast_finish(edges, bands, a->peak_db - TOP_DB, a->valley_db - TOP_DB,
                        s->values[MEASURE_CONTRAST] + t * bands);
    }
    s->width[MEASURE_CONTRAST] = (int32_t)bands;
    return code;
}

enum { NARROW = 32 }; /* features of fewer values are described side by side: alone they would leave vectors empty */

/* The narrow features' values, side by side. */
struct joined {
    float *values, *statistics; /* [frames][width], [STATISTICS][width] */
    int32_t width, first[MEASURES];
};

static bool is_narrow(const struct analysis *a, int m)
{
    return has(a, (enum measure)m) && a->series.width[m] && a->series.width[m] < NARROW;
}

static int describe(const struct analysis *a, const float *values, int32_t width, float *y)
{
    const int64_t offset[2] = {0, a->series.frames};
    const struct ragged x = {
        .data = (void *)values, .channels = width, .offset = offset, .rows = 1, .total = a->series.frames};
    return statistics(a->r->job->exec, &x, a->series.every > 1 ? SERIES_BLOCK : 0, y);
}

static int join(const struct analysis *a, struct joined *j)
{
    const int64_t frames = a->series.frames;
    *j = (struct joined){0};
    for (int m = 0; m < MEASURES; m++)
        if (is_narrow(a, m)) {
            j->first[m] = j->width;
            j->width += a->series.width[m];
        }
    if (!j->width)
        return STATUS_OK;
    j->values = malloc((size_t)((frames + STATISTICS) * j->width) * sizeof *j->values);
    if (!j->values)
        return fail(STATUS_NOMEM, "analyze: out of memory");
    j->statistics = j->values + frames * j->width;
    for (int m = 0; m < MEASURES; m++)
        for (int64_t t = 0; is_narrow(a, m) && t < frames; t++)
            for (int64_t c = 0, width = a->series.width[m]; c < width; c++)
                j->values[t * j->width + j->first[m] + c] = a->series.values[m][t * width + c];
    return describe(a, j->values, j->width, j->statistics);
}

/* Appends one feature's statistics to the list of the result. mean: of its first value over all frames. */
static int add_series(const struct analysis *a, const struct joined *j, enum measure m, uint64_t channel,
                      struct wire_buffer *list, double *mean)
{
    const int32_t width = a->series.width[m];
    const size_t bytes = (size_t)STATISTICS * (size_t)width * sizeof(float);
    float *const y = malloc(bytes);
    int code = y ? STATUS_OK : fail(STATUS_NOMEM, "analyze: out of memory");
    if (!code && is_narrow(a, m))
        for (int k = 0; k < STATISTICS; k++)
            memcpy(y + k * width, j->statistics + k * j->width + j->first[m], (size_t)width * sizeof *y);
    else if (!code)
        code = describe(a, a->series.values[m], width, y);
    if (!code) {
        const struct kind_series entry = {.name = wire_str(measure_member(m)),
                                          .values = (uint64_t)width,
                                          .statistics = {(const uint8_t *)y, (uint32_t)bytes},
                                          .channel = channel};
        *mean = y[STATISTIC_MEAN * width];
        code = wire_encode(&kind_series_schema, &entry, list);
    }
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
    struct joined j = {0};
    int code = second_pass(a);
    code = code ? code : join(a, &j);
    for (int m = 0; m < MEASURES && !code; m++) {
        double mean = NAN;
        if (!has(a, (enum measure)m) || !a->series.width[m])
            continue;
        code = add_series(a, &j, (enum measure)m, (uint64_t)channel, &f->series, &mean);
        f->count++;
        if (m == MEASURE_ZCR)
            f->crossings += mean / channels;
        if (m == MEASURE_CENTROID)
            f->centroid_hz += mean / channels;
    }
    free(j.values);
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
    int code = job_provenance(r->job, audio, &warnings, &from);
    for (int c = 0; c < channels && !code; c++)
        code = gather(&a[c], c, channels, &f);
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
    int code = source_open(&source, r->job->exec, audio, (int64_t)r->params.rate_hz);
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
