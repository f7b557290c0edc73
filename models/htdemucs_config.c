#include "htdemucs_net.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* Options that change the mathematics, and the one value of each that is implemented. A file may leave them out. */
static int check_options(const json_t *kwargs, const char *name)
{
    static const struct {
        const char *key, *wanted; /* as JSON, dense */
    } options[] = {
        {"audio_channels", "2"},
        {"channels_time", "null"},
        {"wiener_iters", "0"},
        {"end_iters", "0"},
        {"cac", "true"},
        {"rewrite", "true"},
        {"kernel_size", "8"},
        {"stride", "4"},
        {"context", "1"},
        {"context_enc", "0"},
        {"t_emb", "\"sin\""},
        {"t_norm_in", "true"},
        {"t_norm_in_group", "false"},
        {"t_group_norm", "false"},
        {"t_norm_first", "true"},
        {"t_norm_out", "true"},
        {"t_layer_scale", "true"},
        {"t_gelu", "true"},
        {"t_weight_pos_embed", "1.0"},
        {"t_sparse_self_attn", "false"},
        {"t_sparse_cross_attn", "false"},
        {"t_cross_first", "false"},
        {"use_train_segment", "true"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const json_t *const value = json_object_get(kwargs, options[i].key);
        if (!value)
            continue;
        json_t *const wanted = json_loads(options[i].wanted, JSON_DECODE_ANY, NULL);
        const bool same = wanted && (json_is_number(wanted) ? json_is_number(value) &&
                                                                  json_number_value(value) == json_number_value(wanted)
                                                            : json_equal(wanted, value));
        json_decref(wanted);
        if (!same)
            return fail(STATUS_UNSUPPORTED, "%s: %s is not %s: this variant of htdemucs is not implemented", name,
                        options[i].key, options[i].wanted);
    }
    const json_t *const multi = json_object_get(kwargs, "multi_freqs");
    if (multi && !json_is_null(multi) && json_array_size(multi) > 0)
        return fail(STATUS_UNSUPPORTED, "%s: multi_freqs: this variant of htdemucs is not implemented", name);
    return STATUS_OK;
}

/* A whole number, or the default where it is absent. */
static int whole(const json_t *kwargs, const char *key, int64_t otherwise, int64_t least, int64_t most,
                 const char *name, int64_t *out)
{
    const json_t *const value = json_object_get(kwargs, key);
    const double number = value ? json_number_value(value) : (double)otherwise;
    if ((value && !json_is_number(value)) || !(number >= (double)least && number <= (double)most) ||
        number != floor(number))
        return fail(STATUS_FORMAT, "%s: %s is not a whole number from %lld to %lld", name, key, (long long)least,
                    (long long)most);
    *out = (int64_t)number;
    return STATUS_OK;
}

static int real(const json_t *kwargs, const char *key, double otherwise, const char *name, double *out)
{
    const json_t *const value = json_object_get(kwargs, key);
    *out = value ? json_number_value(value) : otherwise;
    if ((value && !json_is_number(value)) || !isfinite(*out))
        return fail(STATUS_FORMAT, "%s: %s is not a number", name, key);
    return STATUS_OK;
}

static int sources(const json_t *kwargs, const char *name, struct htdemucs_config *out)
{
    const json_t *const list = json_object_get(kwargs, "sources");
    const size_t count = json_array_size(list);
    if (count < 1 || count > HTDEMUCS_STEMS_MOST)
        return fail(STATUS_FORMAT, "%s: sources: a list of 1 to %d names", name, HTDEMUCS_STEMS_MOST);
    out->stems = (int)count;
    for (size_t i = 0; i < count; i++) {
        const char *const text = json_string_value(json_array_get(list, i));
        if (!text || !*text || strlen(text) >= HTDEMUCS_NAME_MOST ||
            strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(text))
            return fail(STATUS_FORMAT, "%s: source %zu: a name of letters, digits, _ and -, at most %d", name, i,
                        HTDEMUCS_NAME_MOST - 1);
        for (size_t j = 0; j < i; j++)
            if (strcmp(out->stem[j], text) == 0)
                return fail(STATUS_FORMAT, "%s: source '%s' twice", name, text);
        memcpy(out->stem[i], text, strlen(text) + 1);
    }
    return STATUS_OK;
}

/* Seconds, as a number or as {"_type": "fraction", "numerator", "denominator"}: int(segment*rate) frames. */
static int segment_of(const json_t *kwargs, const char *name, struct htdemucs_config *out)
{
    const json_t *const value = json_object_get(kwargs, "segment");
    double numerator = 10, denominator = 1;
    if (json_is_object(value)) {
        numerator = json_number_value(json_object_get(value, "numerator"));
        denominator = json_number_value(json_object_get(value, "denominator"));
    } else if (value) {
        numerator = json_number_value(value);
    }
    const double frames = denominator > 0 ? floor(numerator * (double)out->rate_hz / denominator) : 0;
    if (!(frames >= (double)out->n_fft && frames <= (double)(60 * out->rate_hz)))
        return fail(STATUS_FORMAT, "%s: segment: n_fft samples to 60 s", name);
    out->segment = (int64_t)frames;
    return STATUS_OK;
}

static int fields(const json_t *kwargs, const char *name, struct htdemucs_config *out)
{
    int64_t norm_starts = 0;
    double frequency = 0, scale = 0, hidden = 0;
    int code = check_options(kwargs, name);
    code = code ? code : sources(kwargs, name, out);
    code = code ? code : whole(kwargs, "samplerate", 44100, 8000, 192000, name, &out->rate_hz);
    code = code ? code : whole(kwargs, "channels", 48, 1, 1024, name, &out->channels);
    code = code ? code : whole(kwargs, "growth", 2, 1, 4, name, &out->growth);
    code = code ? code : whole(kwargs, "depth", 4, 1, HTDEMUCS_DEPTH_MOST, name, &out->depth);
    code = code ? code : whole(kwargs, "nfft", 4096, 64, 32768, name, &out->n_fft);
    code = code ? code : whole(kwargs, "norm_starts", 4, 0, 1000, name, &norm_starts);
    code = code ? code : whole(kwargs, "dconv_mode", 1, 0, 3, name, &out->dconv_mode);
    code = code ? code : whole(kwargs, "dconv_depth", 2, 0, 2, name, &out->dconv_depth);
    code = code ? code : whole(kwargs, "dconv_comp", 8, 1, 64, name, &out->compress);
    code = code ? code : whole(kwargs, "bottom_channels", 0, 0, HTDEMUCS_CHANNELS_MOST, name, &out->bottom);
    code = code ? code : whole(kwargs, "t_layers", 5, 0, HTDEMUCS_LAYERS_MOST, name, &out->layers);
    code = code ? code : whole(kwargs, "t_heads", 8, 1, 256, name, &out->heads);
    code = code ? code : real(kwargs, "t_hidden_scale", 4, name, &hidden);
    code = code ? code : real(kwargs, "t_max_period", 10000, name, &out->max_period);
    code = code ? code : real(kwargs, "freq_emb", 0.2, name, &frequency);
    code = code ? code : real(kwargs, "emb_scale", 10, name, &scale);
    code = code ? code : segment_of(kwargs, name, out);
    if (code)
        return code;
    if (norm_starts < out->depth || frequency == 0 || out->layers == 0)
        return fail(STATUS_UNSUPPORTED,
                    "%s: norms in the layers, no frequency embedding, no transformer: not implemented", name);
    const int64_t deepest = channels_of(out, out->depth - 1), width = out->bottom ? out->bottom : deepest;
    if (deepest > HTDEMUCS_CHANNELS_MOST)
        return fail(STATUS_UNSUPPORTED, "%s: the last layer has %lld channels, the limit is %d", name,
                    (long long)deepest, HTDEMUCS_CHANNELS_MOST);
    if (!(out->max_period >= 1))
        return fail(STATUS_FORMAT, "%s: t_max_period is not 1 or more", name);
    if (!(hidden * (double)width >= 1 && hidden * (double)width <= 65536) || width % out->heads || width % 4 ||
        width < 4 || width / out->heads > 256)
        return fail(STATUS_FORMAT, "%s: a transformer of width %lld with %lld heads", name, (long long)width,
                    (long long)out->heads);
    out->hidden = (int64_t)(hidden * (double)width);
    out->frequency_weight = frequency * scale;
    return STATUS_OK;
}

int htdemucs_config_parse(const char *kwargs, const char *name, struct htdemucs_config *out)
{
    json_error_t error;
    struct htdemucs_config c = {0};
    json_t *const root = json_loads(kwargs, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return fail(STATUS_FORMAT, "%s: kwargs: %s", name, error.text);
    const int code = json_is_object(root) ? fields(root, name, &c) : fail(STATUS_FORMAT, "%s: kwargs: no object", name);
    json_decref(root);
    if (!code)
        *out = c;
    return code;
}
