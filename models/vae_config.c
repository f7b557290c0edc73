#include "vae.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

static const struct preset {
    const char *name;
    struct vae_config config;
    struct vae_recipe recipe;
} presets[] = {
    {"tiny",
     {.frames = 64,
      .mels = 64,
      .depth = 3,
      .channels = {16, 32, 64},
      .stride_frames = {2, 2, 2},
      .stride_mels = {2, 2, 2},
      .groups = 8,
      .latent = 16,
      .dropout = 0.1,
      .audio = {22050, 1024, 256, 30, 11025, -80, 0, 1}},
     {.batch = 16,
      .steps = 3000,
      .rate = 2e-3,
      .warmup = 50,
      .weight_decay = 0.02,
      .clip = 1,
      .ema_decay = 0.99,
      .beta = 2e-3,
      .beta_steps = 400,
      .free_nats = 0.05,
      .patience = 12}},
    {"small",
     {.frames = 128,
      .mels = 128,
      .depth = 4,
      .channels = {32, 64, 128, 256},
      .stride_frames = {2, 2, 2, 2},
      .stride_mels = {2, 2, 2, 2},
      .groups = 8,
      .latent = 64,
      .dropout = 0.05,
      .audio = {22050, 1024, 256, 30, 11025, -80, 0, 1}},
     {.batch = 16,
      .steps = 10000,
      .rate = 1e-3,
      .warmup = 100,
      .weight_decay = 0.01,
      .clip = 1,
      .ema_decay = 0.995,
      .beta = 5e-4,
      .beta_steps = 1000,
      .free_nats = 0.05,
      .patience = 12}},
    {"medium",
     {.frames = 128,
      .mels = 128,
      .depth = 4,
      .channels = {64, 128, 256, 512},
      .stride_frames = {2, 2, 2, 2},
      .stride_mels = {2, 2, 2, 2},
      .groups = 8,
      .latent = 128,
      .audio = {44100, 2048, 512, 30, 20000, -80, 0, 1}},
     {.batch = 32,
      .steps = 50000,
      .rate = 5e-4,
      .warmup = 500,
      .weight_decay = 0.01,
      .clip = 1,
      .ema_decay = 0.999,
      .beta = 2e-4,
      .beta_steps = 5000,
      .free_nats = 0.05,
      .patience = 20}},
};
enum { PRESETS = sizeof presets / sizeof *presets };

int vae_preset(const char *name, struct vae_config *config, struct vae_recipe *recipe)
{
    for (int i = 0; i < PRESETS; i++)
        if (strcmp(name, presets[i].name) == 0) {
            *config = presets[i].config;
            *recipe = presets[i].recipe;
            return STATUS_OK;
        }
    return fail(STATUS_ARGUMENT, "there is no preset '%.40s': tiny, small, medium", name);
}

struct vae_step vae_recipe_step(const struct vae_recipe *r, uint64_t step)
{
    const double done = (double)step / (double)r->steps, warm = (double)step / (double)(r->warmup > 0 ? r->warmup : 1);
    const double cosine = 0.01 + 0.99 * (1 + cos(PI * fmin(done, 1))) / 2;
    const double grown = (double)step / (double)(r->beta_steps > 0 ? r->beta_steps : 1);
    return (struct vae_step){step, r->rate * fmin(warm, 1) * cosine, r->beta * fmin(grown, 1)};
}

/* ---- what can be ---- */

static int check_layers(const struct vae_config *c)
{
    int64_t height = c->frames, width = c->mels;
    for (int64_t i = 0; i < c->depth; i++) {
        const int64_t h = c->stride_frames[i], w = c->stride_mels[i], channels = c->channels[i];
        if ((h != 1 && h != 2 && h != 4) || (w != 1 && w != 2 && w != 4))
            return fail(STATUS_ARGUMENT,
                        "vae: strides of layer %" PRId64 " are %" PRId64 " and %" PRId64 ", allowed 1, 2 and 4", i, h,
                        w);
        if (channels < 1 || channels > VAE_CHANNELS_MOST || (c->groups > 0 && channels % c->groups != 0))
            return fail(STATUS_ARGUMENT,
                        "vae: %" PRId64 " channels in layer %" PRId64 ", allowed 1 to %d in %" PRId64 " groups",
                        channels, i, VAE_CHANNELS_MOST, c->groups);
        if (height % h != 0 || width % w != 0)
            return fail(STATUS_ARGUMENT,
                        "vae: %" PRId64 " x %" PRId64 " positions before layer %" PRId64
                        " do not divide by its strides",
                        height, width, i);
        height /= h;
        width /= w;
    }
    return STATUS_OK;
}

static bool within(double x, double low, double high)
{
    return x >= low && x <= high;
}

static int check_audio(const struct vae_audio *a)
{
    if (!within((double)a->rate_hz, 1000, 768000) || !within((double)a->n_fft, 16, 65536) || a->n_fft % 2 != 0 ||
        !within((double)a->hop, 1, (double)a->n_fft))
        return fail(STATUS_ARGUMENT,
                    "vae: spectra of %" PRId64 " Hz, %" PRId64 " samples every %" PRId64 " are not possible",
                    a->rate_hz, a->n_fft, a->hop);
    if (!within(a->low_hz, 0, (double)a->rate_hz / 2) || !within(a->high_hz, a->low_hz + 1, (double)a->rate_hz / 2) ||
        !within(a->floor_db, -300, 0) || !within(a->mean_db, -300, 300) || !within(a->deviation_db, 1e-6, 300))
        return fail(STATUS_ARGUMENT,
                    "vae: bands from %g to %g Hz, floor %g, mean %g, deviation %g dB: one is out of "
                    "its range",
                    a->low_hz, a->high_hz, a->floor_db, a->mean_db, a->deviation_db);
    return STATUS_OK;
}

int vae_config_check(const struct vae_config *c)
{
    if (c->frames < 1 || c->frames > VAE_SIDE_MOST || c->mels < 1 || c->mels > VAE_SIDE_MOST)
        return fail(STATUS_ARGUMENT, "vae: %" PRId64 " frames of %" PRId64 " bands, allowed 1 to %d each", c->frames,
                    c->mels, VAE_SIDE_MOST);
    if (c->depth < 1 || c->depth > VAE_DEPTH_MOST)
        return fail(STATUS_ARGUMENT, "vae: %" PRId64 " layers, allowed 1 to %d", c->depth, VAE_DEPTH_MOST);
    if (c->latent < 1 || c->latent > VAE_LATENT_MOST)
        return fail(STATUS_ARGUMENT, "vae: %" PRId64 " latent dimensions, allowed 1 to %d", c->latent, VAE_LATENT_MOST);
    if (c->groups < 0 || c->groups > VAE_CHANNELS_MOST ||
        (c->activation != VAE_SILU && c->activation != VAE_LEAKY_RELU) || !within(c->dropout, 0, 0.95))
        return fail(STATUS_ARGUMENT, "vae: %" PRId64 " groups, activation %d, dropout %g: one cannot be", c->groups,
                    (int)c->activation, c->dropout);
    const int code = check_layers(c);
    return code ? code : check_audio(&c->audio);
}

/* ---- JSON ---- */

static json_t *list_of(const int64_t *values, int64_t n)
{
    json_t *const list = json_array();
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(values[i]));
    return list;
}

int vae_config_text(const struct vae_config *c, char **out)
{
    const struct vae_audio *const a = &c->audio;
    json_t *const audio =
        json_pack("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "rate_hz", (json_int_t)a->rate_hz, "n_fft",
                  (json_int_t)a->n_fft, "hop", (json_int_t)a->hop, "low_hz", a->low_hz, "high_hz", a->high_hz,
                  "floor_db", a->floor_db, "mean_db", a->mean_db, "deviation_db", a->deviation_db);
    json_t *const all = json_pack(
        "{s:i, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:s, s:I, s:f, s:o}", "version", 1, "network", "spectral", "frames",
        (json_int_t)c->frames, "mels", (json_int_t)c->mels, "channels", list_of(c->channels, c->depth), "stride_frames",
        list_of(c->stride_frames, c->depth), "stride_mels", list_of(c->stride_mels, c->depth), "groups",
        (json_int_t)c->groups, "activation", c->activation == VAE_SILU ? "silu" : "leaky_relu", "latent",
        (json_int_t)c->latent, "dropout", c->dropout, "audio", audio);
    *out = all ? json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(all);
    return *out ? STATUS_OK : fail(STATUS_NOMEM, "vae: its configuration as text");
}

static bool read_list(const json_t *list, int64_t n, int64_t *out)
{
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return false;
    for (int64_t i = 0; i < n; i++) {
        const json_t *const v = json_array_get(list, (size_t)i);
        if (!json_is_integer(v))
            return false;
        out[i] = json_integer_value(v);
    }
    return true;
}

static bool read_audio(json_t *audio, struct vae_audio *a)
{
    json_int_t rate, n_fft, hop;
    if (json_unpack(audio, "{s:I, s:I, s:I, s:F, s:F, s:F, s:F, s:F !}", "rate_hz", &rate, "n_fft", &n_fft, "hop", &hop,
                    "low_hz", &a->low_hz, "high_hz", &a->high_hz, "floor_db", &a->floor_db, "mean_db", &a->mean_db,
                    "deviation_db", &a->deviation_db))
        return false;
    a->rate_hz = rate;
    a->n_fft = n_fft;
    a->hop = hop;
    return true;
}

static int read_all(json_t *all, const char *name, struct vae_config *c)
{
    json_int_t version, frames, mels, groups, latent;
    json_t *channels, *strides_frames, *strides_mels, *audio;
    const char *network, *activation;
    json_error_t error;
    if (json_unpack_ex(all, &error, 0, "{s:I, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:s, s:I, s:F, s:o !}", "version",
                       &version, "network", &network, "frames", &frames, "mels", &mels, "channels", &channels,
                       "stride_frames", &strides_frames, "stride_mels", &strides_mels, "groups", &groups, "activation",
                       &activation, "latent", &latent, "dropout", &c->dropout, "audio", &audio))
        return fail(STATUS_FORMAT, "%.200s: %.160s", name, error.text);
    if (version != 1 || strcmp(network, "spectral") != 0)
        return fail(STATUS_VERSION, "%.200s: network '%.40s' of version %d, this program has 'spectral' of version 1",
                    name, network, (int)version);
    const bool silu = strcmp(activation, "silu") == 0;
    const int64_t depth = (int64_t)json_array_size(channels);
    if (depth < 1 || depth > VAE_DEPTH_MOST || !read_list(channels, depth, c->channels) ||
        !read_list(strides_frames, depth, c->stride_frames) || !read_list(strides_mels, depth, c->stride_mels) ||
        (!silu && strcmp(activation, "leaky_relu") != 0) || !read_audio(audio, &c->audio))
        return fail(STATUS_FORMAT, "%.200s: channels, strides, activation or audio are not as they should be", name);
    c->frames = frames;
    c->mels = mels;
    c->depth = depth;
    c->groups = groups;
    c->activation = silu ? VAE_SILU : VAE_LEAKY_RELU;
    c->latent = latent;
    return vae_config_check(c);
}

int vae_config_parse(const char *json, const char *name, struct vae_config *out)
{
    json_error_t error;
    json_t *const all = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    *out = (struct vae_config){0};
    if (!all)
        return fail(STATUS_FORMAT, "%.200s: line %d: %.160s", name, error.line, error.text);
    const int code = read_all(all, name, out);
    json_decref(all);
    return code;
}
