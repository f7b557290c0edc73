#include "params.h"

#include "hash.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_N_FFT = 2048, DEFAULT_HOP = 512, DEFAULT_MELS = 128, DEFAULT_TOP_DB = 80 };

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

int params_analyze(const void *data, size_t bytes, struct kind_analyze_params *out)
{
    data = or_empty_map(data, &bytes);
    const int code = wire_decode(&kind_analyze_params_schema, data, bytes, out);
    return code ? code : check_frames(&out->n_fft, &out->hop);
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
    out->fmin_hz = isfinite(out->fmin_hz) ? out->fmin_hz : 0;
    out->top_db = isfinite(out->top_db) ? out->top_db : DEFAULT_TOP_DB;
    if (out->win_length > out->n_fft)
        return fail(STATUS_ARGUMENT, "win_length is %llu, over n_fft %llu", (unsigned long long)out->win_length,
                    (unsigned long long)out->n_fft);
    if (!is_one_of(out->window, windows))
        return fail(STATUS_ARGUMENT, "window: there are hann, hamming, blackman, bartlett, rectangular");
    if (!is_one_of(out->pad, pads))
        return fail(STATUS_ARGUMENT, "pad: there are zero and reflect");
    if (isfinite(out->fmax_hz) && !(out->fmax_hz > out->fmin_hz))
        return fail(STATUS_ARGUMENT, "fmax %g Hz is not above fmin %g Hz", out->fmax_hz, out->fmin_hz);
    return STATUS_OK;
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

int params_analyze_hash(const struct kind_analyze_params *p, uint8_t out[16])
{
    const struct kind_analyze_params counted = {.n_fft = p->n_fft, .hop = p->hop};
    return hash_of(KIND_ANALYZE, ANALYZE_VERSION, &kind_analyze_params_schema, &counted, out);
}

int params_features_hash(const struct kind_features_params *p, enum feature_kind feature, uint8_t out[16])
{
    const bool spectral =
        feature == FEATURE_STFT || feature == FEATURE_MEL || feature == FEATURE_LOGMEL || feature == FEATURE_CENTROID;
    const bool mel = feature == FEATURE_MEL || feature == FEATURE_LOGMEL;
    struct kind_features_params counted = {.n_fft = p->n_fft,
                                           .hop = p->hop,
                                           .not_centred = p->not_centred,
                                           .feature = p->feature,
                                           .fmin_hz = NAN,
                                           .fmax_hz = NAN,
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
    if (feature == FEATURE_LOGMEL)
        counted.top_db = p->top_db < 0 ? -1 : p->top_db + 0.0;
    return hash_of(KIND_FEATURES, FEATURES_VERSION, &kind_features_params_schema, &counted, out);
}
