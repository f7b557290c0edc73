#include "summary.h"

#include "contrast.h"
#include "decibel.h"
#include "mfcc.h"
#include "offload.h"

#include <stdlib.h>
#include <string.h>

static const float TOP_DB = 80; /* librosa.power_to_db's */

static bool has(const struct summary_request *a, int m)
{
    return a->wanted >> m & 1;
}

/* Contrasts from peaks and valleys, clipped below the whole file's. */
static void finish_contrast(const struct summary_request *a)
{
    struct series *const s = a->series;
    const int64_t bands = s->width[MEASURE_CONTRAST] / 2;
    for (int64_t t = 0; bands && t < s->frames; t++) {
        const float *const edges = s->values[MEASURE_CONTRAST] + t * 2 * bands;
        contrast_finish(edges, bands, a->peak_db - TOP_DB, a->valley_db - TOP_DB,
                        s->values[MEASURE_CONTRAST] + t * bands);
    }
    s->width[MEASURE_CONTRAST] = (int32_t)bands;
}

/* Log-mel clipped below the whole file's maximum, and cepstra from that. */
static int finish_bands(const struct summary_request *a)
{
    struct series *const s = a->series;
    const int64_t offset[2] = {0, s->frames};
    struct ragged logmel = {.data = s->values[MEASURE_LOGMEL],
                            .channels = s->width[MEASURE_LOGMEL],
                            .offset = offset,
                            .rows = 1,
                            .total = s->frames};
    const float least = a->loudest - TOP_DB;
    int code = STATUS_OK;
    if (s->width[MEASURE_LOGMEL] && s->frames)
        code = decibel_clip(a->job->exec, &logmel, &least);
    if (code || !has(a, MEASURE_MFCC) || !s->frames)
        return code;
    const struct mfcc_params p = {.coefficients = a->coefficients};
    s->values[MEASURE_MFCC] = malloc((size_t)(s->frames * p.coefficients) * sizeof(float));
    struct ragged y = logmel;
    y.data = s->values[MEASURE_MFCC];
    y.channels = p.coefficients;
    return y.data ? mfcc(a->job->exec, &p, &logmel, NULL, &y) : fail(STATUS_NOMEM, "analyze: out of memory");
}

enum { NARROW = 32 }; /* features of fewer values are described side by side: alone they would leave vectors empty */

void summary_free(struct summary *s)
{
    free(s->values);
    for (int m = 0; m < MEASURES; m++)
        free(s->alone[m]);
    *s = (struct summary){0};
}

/* Room for all statistics, and the values of some side by side: on the CPU the narrow ones, on a device all but log-mel
 * and cepstra, which are made there. */
static int summary_open(const struct summary_request *a, bool on_device, struct summary *s)
{
    const int64_t frames = a->series->frames;
    bool missing = false;
    *s = (struct summary){0};
    for (int m = 0; m < MEASURES; m++) {
        const int32_t width = a->series->width[m];
        if (!has(a, m) || !width)
            continue;
        s->along[m] = on_device ? m != MEASURE_LOGMEL && m != MEASURE_MFCC : width < NARROW;
        s->first[m] = s->width;
        s->width += s->along[m] ? width : 0;
        if (!s->along[m])
            missing |= !(s->alone[m] = malloc((size_t)width * STATISTICS * sizeof(float)));
    }
    if (s->width)
        missing |= !(s->values = malloc((size_t)((frames + STATISTICS) * s->width) * sizeof(float)));
    if (missing) {
        summary_free(s);
        return fail(STATUS_NOMEM, "analyze: out of memory");
    }
    s->joined = s->values ? s->values + frames * s->width : NULL;
    for (int m = 0; m < MEASURES; m++)
        for (int64_t t = 0; s->along[m] && t < frames; t++)
            for (int64_t c = 0, width = a->series->width[m]; c < width; c++)
                s->values[t * s->width + s->first[m] + c] = a->series->values[m][t * width + c];
    return STATUS_OK;
}

static int describe(const struct summary_request *a, const float *values, int32_t width, float *y)
{
    const int64_t offset[2] = {0, a->series->frames};
    const struct ragged x = {
        .data = (void *)values, .channels = width, .offset = offset, .rows = 1, .total = a->series->frames};
    return statistics(a->job->exec, &x, a->series->every > 1 ? SERIES_BLOCK : 0, y);
}

static int summarize_on_device(const struct summary_request *a, struct summary *s, bool *done)
{
    const int code = summary_open(a, true, s);
    if (code)
        return code;
    const struct offload_series wish = {
        .frames = a->series->frames,
        .block = a->series->every > 1 ? SERIES_BLOCK : 0,
        .logmel = a->series->values[MEASURE_LOGMEL],
        .mels = a->series->width[MEASURE_LOGMEL],
        .floor_db = a->loudest - TOP_DB,
        .coefficients = s->alone[MEASURE_MFCC] ? a->series->width[MEASURE_MFCC] : 0,
        .joined = s->values,
        .width = s->width,
        .logmel_statistics = s->alone[MEASURE_LOGMEL],
        .mfcc_statistics = s->alone[MEASURE_MFCC],
        .joined_statistics = s->joined,
    };
    return offload_describe(a->job->offload, &wish, done, &a->job->stages);
}

static int summarize_here(const struct summary_request *a, struct summary *s)
{
    int code = finish_bands(a);
    code = code ? code : summary_open(a, false, s);
    if (!code && s->width)
        code = describe(a, s->values, s->width, s->joined);
    for (int m = 0; m < MEASURES && !code; m++)
        if (s->alone[m])
            code = describe(a, a->series->values[m], a->series->width[m], s->alone[m]);
    return code;
}

int summary_make(const struct summary_request *a, struct summary *s)
{
    bool done = false;
    int code = STATUS_OK;
    *s = (struct summary){0};
    finish_contrast(a);
    if (has(a, MEASURE_MFCC))
        a->series->width[MEASURE_MFCC] = a->coefficients;
    if (offload_works(a->job->offload) && a->series->frames)
        code = summarize_on_device(a, s, &done);
    if (code || done)
        return code;
    summary_free(s);
    return summarize_here(a, s);
}

void summary_copy(const struct summary *s, enum measure m, int32_t width, float *y)
{
    for (int k = 0; k < STATISTICS; k++)
        memcpy(y + k * width, s->along[m] ? s->joined + k * s->width + s->first[m] : s->alone[m] + k * width,
               (size_t)width * sizeof *y);
}
