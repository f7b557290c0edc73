#include "params.h"

#include "hash.h"

#include <math.h>
#include <string.h>

enum {
    DEFAULT_N_FFT = 2048,
    DEFAULT_HOP = 512,
    DEFAULT_MELS = 128,
    DEFAULT_TOP_DB = 80,
    DEFAULT_MFCC = 20,
    DEFAULT_BANDS = 6
};

static const double DEFAULT_ROLLOFF = 0.85, DEFAULT_QUANTILE = 0.02;

static int check_frames(uint64_t *n_fft, uint64_t *hop)
{
    *n_fft = *n_fft ? *n_fft : DEFAULT_N_FFT;
    *hop = *hop ? *hop : DEFAULT_HOP;
    if (*n_fft < 16 || *n_fft > 65536)
        return fail(STATUS_ARGUMENT, "n_fft is %llu, allowed 16 to 65536", (unsigned long long)*n_fft);
    if (*hop > UINT32_MAX)
        return fail(STATUS_ARGUMENT, "hop is %llu, allowed 1 to %u", (unsigned long long)*hop, UINT32_MAX);
    return STATUS_OK;
}

static const void *or_empty_map(const void *data, size_t *bytes)
{
    static const uint8_t empty_map[1] = {0x80};
    if (*bytes)
        return data;
    *bytes = 1;
    return empty_map;
}

static int read_measures(struct wire_list names, uint32_t *wanted)
{
    struct wire_slice name;
    int code = STATUS_OK;
    *wanted = names.count ? 0 : (uint32_t)MEASURES_DEFAULT;
    while (!code && wire_next_str(&names, &name)) {
        char text[LIMIT_FEATURE_NAME + 1];
        enum measure m = MEASURE_RMS;
        wire_copy(name, text, sizeof text);
        code = measure_parse(text, &m);
        *wanted |= 1U << m;
    }
    return code;
}

int params_analyze(const void *data, size_t bytes, struct kind_analyze_params *out, uint32_t *wanted)
{
    data = or_empty_map(data, &bytes);
    int code = wire_decode(&kind_analyze_params_schema, data, bytes, out);
    code = code ? code : check_frames(&out->n_fft, &out->hop);
    code = code ? code : read_measures(out->features, wanted);
    if (code)
        return code;
    out->mels = out->mels ? out->mels : DEFAULT_MELS;
    if (!out->mfcc)
        out->mfcc = out->mels < DEFAULT_MFCC ? out->mels : DEFAULT_MFCC;
    if (out->mfcc > out->mels && *wanted >> MEASURE_MFCC & 1)
        return fail(STATUS_ARGUMENT, "n_mfcc is %llu, over n_mels %llu", (unsigned long long)out->mfcc,
                    (unsigned long long)out->mels);
    return STATUS_OK;
}

static bool is_one_of(struct wire_slice s, const char *const *names)
{
    for (; *names; names++)
        if (strlen(*names) == s.bytes && memcmp(*names, s.data, s.bytes) == 0)
            return true;
    return false;
}

int params_features(const void *data, size_t bytes, struct kind_features_params *out, enum feature_kind *feature)
{
    static const char *const windows[] = {"hann", "hamming", "blackman", "bartlett", "rectangular", NULL};
    static const char *const pads[] = {"zero", "reflect", NULL};
    char name[LIMIT_FEATURE_NAME + 1];
    data = or_empty_map(data, &bytes);
    int code = wire_decode(&kind_features_params_schema, data, bytes, out);
    if (code)
        return code;
    wire_copy(out->feature, name, sizeof name);
    if ((code = feature_parse(name, feature)) || (code = check_frames(&out->n_fft, &out->hop)))
        return code;
    out->win_length = out->win_length ? out->win_length : out->n_fft;
    out->mels = out->mels ? out->mels : DEFAULT_MELS;
    out->window = out->window.bytes ? out->window : wire_str("hann");
    out->pad = out->pad.bytes ? out->pad : wire_str("zero");
    if (*feature != FEATURE_CONTRAST) /* whose lowest octave has its own default */
        out->fmin_hz = isfinite(out->fmin_hz) ? out->fmin_hz : 0;
    out->mfcc = out->mfcc ? out->mfcc : out->mels < DEFAULT_MFCC ? out->mels : DEFAULT_MFCC;
    out->lifter = isfinite(out->lifter) ? out->lifter : 0;
    out->rolloff = isfinite(out->rolloff) ? out->rolloff : DEFAULT_ROLLOFF;
    out->bands = out->bands ? out->bands : DEFAULT_BANDS;
    out->quantile = isfinite(out->quantile) ? out->quantile : DEFAULT_QUANTILE;
    out->order = isfinite(out->order) ? out->order : 1;
    out->top_db = isfinite(out->top_db) ? out->top_db : DEFAULT_TOP_DB;
    if (out->win_length > out->n_fft)
        return fail(STATUS_ARGUMENT, "win_length is %llu, over n_fft %llu", (unsigned long long)out->win_length,
                    (unsigned long long)out->n_fft);
    if (!is_one_of(out->window, windows))
        return fail(STATUS_ARGUMENT, "window: there are hann, hamming, blackman, bartlett, rectangular");
    if (!is_one_of(out->pad, pads))
        return fail(STATUS_ARGUMENT, "pad: there are zero and reflect");
    if (*feature == FEATURE_MFCC && (out->mfcc > out->mels || out->lifter < 0))
        return fail(STATUS_ARGUMENT, "n_mfcc is %llu of %llu bands, lifter %g", (unsigned long long)out->mfcc,
                    (unsigned long long)out->mels, out->lifter);
    if (*feature == FEATURE_POLY && !(out->order >= 0 && out->order <= 8 && out->order == floor(out->order)))
        return fail(STATUS_ARGUMENT, "order is %g, allowed 0 to 8", out->order);
    if (out->each_channel && *feature != FEATURE_SAMPLES)
        return fail(STATUS_ARGUMENT, "each_channel: of samples only");
    if (isfinite(out->fmax_hz) && isfinite(out->fmin_hz) && !(out->fmax_hz > out->fmin_hz))
        return fail(STATUS_ARGUMENT, "fmax %g Hz is not above fmin %g Hz", out->fmax_hz, out->fmin_hz);
    return STATUS_OK;
}

int params_separate(const void *data, size_t bytes, struct separate_settings *out)
{
    char text[LIMIT_FEATURE_NAME + 1];
    struct kind_separate_params *const p = &out->params;
    data = or_empty_map(data, &bytes);
    int code = wire_decode(&kind_separate_params_schema, data, bytes, p);
    if (code)
        return code;
    if (!p->model.bytes || memchr(p->model.data, 0, p->model.bytes))
        return fail(STATUS_ARGUMENT, "model: it has no name");
    p->format = p->format.bytes ? p->format : wire_str("wav/int16/demucs");
    p->clip = p->clip.bytes ? p->clip : wire_str("rescale");
    wire_copy(p->format, text, sizeof text);
    if ((code = audio_format_parse(text, &out->format)))
        return code;
    wire_copy(p->clip, text, sizeof text);
    if ((code = audio_clip_parse(text, &out->clip)))
        return code;
    out->precision = PRECISION_F32;
    wire_copy(p->precision, text, sizeof text);
    if (p->precision.bytes && (code = precision_parse(text, &out->precision)))
        return code;
    if (isfinite(p->overlap) && !(p->overlap >= 0 && p->overlap <= 0.99))
        return fail(STATUS_ARGUMENT, "overlap is %g, allowed 0 to 0.99", p->overlap);
    if (isfinite(p->segment_s) && !(p->segment_s >= 0.1 && p->segment_s <= 3600))
        return fail(STATUS_ARGUMENT, "segment is %g s, allowed 0.1 to 3600", p->segment_s);
    return STATUS_OK;
}

int params_clips(const void *data, size_t bytes, struct separate_settings *out)
{
    const int code = params_separate(data, bytes, out);
    const struct kind_separate_params *const p = &out->params;
    if (!code && (isfinite(p->overlap) || isfinite(p->segment_s) || p->shifts || p->seed))
        return fail(STATUS_ARGUMENT, "a clip lies in one segment as it is: no overlap, segment or shifts");
    return code;
}

int params_score(const void *data, size_t bytes, struct kind_score_params *out)
{
    data = or_empty_map(data, &bytes);
    return wire_decode(&kind_score_params_schema, data, bytes, out);
}

int params_inspect(const void *data, size_t bytes, struct kind_inspect_params *out)
{
    data = or_empty_map(data, &bytes);
    const int code = wire_decode(&kind_inspect_params_schema, data, bytes, out);
    if (!code && (!out->columns != !out->bands || out->columns * out->bands > LIMIT_PICTURE))
        return fail(STATUS_ARGUMENT, "a picture of %llu columns and %llu bands: allowed are %d values",
                    (unsigned long long)out->columns, (unsigned long long)out->bands, LIMIT_PICTURE);
    return code;
}

static int hash_of(const char *name, uint64_t version, const struct wire_schema *schema, const void *params,
                   uint8_t out[16])
{
    struct wire_buffer b = {0};
    int code = wire_append_str(&b, name);
    if (!code)
        code = wire_append_uint(&b, version);
    if (!code)
        code = wire_encode(schema, params, &b);
    if (!code)
        hash_short(b.data, b.bytes, out);
    wire_free(&b);
    return code;
}

int params_analyze_hash(const struct kind_analyze_params *p, uint32_t wanted, uint8_t out[16])
{
    const bool mels = wanted & (1U << MEASURE_LOGMEL | 1U << MEASURE_MFCC);
    struct kind_analyze_params counted = {.n_fft = p->n_fft,
                                          .hop = p->hop,
                                          .mels = mels ? p->mels : 0,
                                          .rate_hz = p->rate_hz,
                                          .each_channel = p->each_channel};
    struct wire_buffer names = {0};
    uint32_t count = 0;
    int code = STATUS_OK;
    counted.mfcc = wanted & 1U << MEASURE_MFCC ? p->mfcc : 0;
    counted.resample = p->rate_hz ? p->resample : wire_str(NULL);
    for (int m = 0; m < MEASURES && !code; m++) /* in one order, whatever the caller's was */
        if (wanted >> m & 1) {
            code = wire_append_str(&names, measure_name((enum measure)m));
            count++;
        }
    counted.features = wire_list_of(&names, count);
    code = code ? code : hash_of(KIND_ANALYZE, ANALYZE_VERSION, &kind_analyze_params_schema, &counted, out);
    wire_free(&names);
    return code;
}

int params_features_hash(const struct kind_features_params *p, enum feature_kind feature, uint8_t out[16])
{
    const bool framed = feature != FEATURE_SAMPLES;
    const bool spectral = framed && feature != FEATURE_RMS && feature != FEATURE_PEAK && feature != FEATURE_ZCR;
    const bool mel = feature == FEATURE_MEL || feature == FEATURE_LOGMEL || feature == FEATURE_MFCC;
    struct kind_features_params counted = {.n_fft = framed ? p->n_fft : 0,
                                           .hop = framed ? p->hop : 0,
                                           .not_centred = framed && p->not_centred,
                                           .each_channel = p->each_channel,
                                           .feature = p->feature,
                                           .rate_hz = p->rate_hz,
                                           .resample = p->rate_hz ? p->resample : wire_str(NULL),
                                           .fmin_hz = NAN,
                                           .fmax_hz = NAN,
                                           .lifter = NAN,
                                           .rolloff = NAN,
                                           .quantile = NAN,
                                           .order = NAN,
                                           .top_db = NAN};
    if (spectral) {
        counted.win_length = p->win_length;
        counted.window = p->window;
        counted.pad = p->not_centred ? wire_str("zero") : p->pad; /* nothing is padded without centring */
    }
    if (mel) {
        counted.mels = p->mels;
        counted.fmin_hz = p->fmin_hz + 0.0; /* -0 is 0 */
        counted.fmax_hz = p->fmax_hz;
        counted.htk = p->htk;
        counted.no_norm = p->no_norm;
    }
    if (feature == FEATURE_LOGMEL || feature == FEATURE_MFCC || feature == FEATURE_DB)
        counted.top_db = p->top_db < 0 ? -1 : p->top_db + 0.0;
    if (feature == FEATURE_MFCC) {
        counted.mfcc = p->mfcc;
        counted.lifter = p->lifter + 0.0;
    }
    if (feature == FEATURE_CONTRAST) {
        counted.bands = p->bands;
        counted.fmin_hz = p->fmin_hz;
        counted.quantile = p->quantile;
    }
    if (feature == FEATURE_ROLLOFF)
        counted.rolloff = p->rolloff;
    if (feature == FEATURE_POLY)
        counted.order = p->order;
    return hash_of(KIND_FEATURES, FEATURES_VERSION, &kind_features_params_schema, &counted, out);
}
