#include "vae_files.h"

#include "griffin_lim.h"
#include "mel_inverse.h"
#include "philox.h"
#include "safetensors.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_PRIOR = 9, ITERATIONS = 48 };

/* ---- previews ---- */

int vae_audio_of(const struct vae_config *c, const float *spectrogram, uint64_t seed, struct exec *ex, float *y)
{
    const struct spectral_params p = vae_examples_spectral(c);
    const int64_t values = c->frames * c->mels, bins = stft_bins(&p.stft);
    float *const mel = malloc((size_t)values * sizeof *mel);
    float *const magnitude = malloc((size_t)(c->frames * bins) * sizeof *magnitude);
    int code = mel && magnitude ? STATUS_OK : fail(STATUS_NOMEM, "previews: out of memory");
    for (int64_t i = 0; i < values && !code; i++) /* nothing that was trained on is louder than this */
        mel[i] = fminf((float)((double)spectrogram[i] * c->audio.deviation_db + c->audio.mean_db), 80);
    code = code ? code : mel_inverse(ex, &p, MEL_INVERSE_STEPS, mel, c->frames, magnitude);
    const struct griffin_lim_params g = {p.stft, ITERATIONS, 0.99, seed};
    code = code ? code : griffin_lim(ex, &g, magnitude, c->frames, (c->frames - 1) * c->audio.hop, y);
    free(mel);
    free(magnitude);
    return code;
}

int vae_preview_map(struct vae_trainer *t, struct vae_examples *e, enum vae_preview kind, int64_t n, uint64_t seed,
                    float *out)
{
    float z[VAE_LATENT_MOST];
    const int64_t latent = vae_trainer_config(t)->latent;
    if (kind == VAE_PREVIEW_PRIOR) {
        for (int64_t d = 0; d < latent; d++)
            z[d] = (float)philox_normal(seed, STREAM_PRIOR, (uint64_t)n, d);
        return vae_trainer_decode(t, z, 1, out);
    }
    const int code = vae_examples_plain(e, true, n, 1, out);
    return code || kind == VAE_PREVIEW_ORIGINAL ? code : vae_trainer_reconstruct(t, out, 1, NULL, out);
}

/* ---- the file ---- */

/* JSON has no infinities. */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

char *vae_metrics_text(const struct vae_metric *m, int64_t count)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const f = open_memstream(&text, &bytes);
    if (!f)
        return NULL;
    for (int64_t i = 0; i < count; i++) {
        json_t *const line =
            json_pack("{s:I, s:o, s:o, s:o, s:o, s:o}", "step", (json_int_t)m[i].step, "train_loss",
                      number(m[i].train_loss), "validation_loss", number(m[i].validation_loss), "reconstruction",
                      number(m[i].reconstruction), "kl", number(m[i].kl), "seconds", number(m[i].seconds));
        if (line && json_dumpf(line, f, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0)
            fputc('\n', f);
        json_decref(line);
    }
    if (fclose(f) == 0)
        return text;
    free(text);
    return NULL;
}

static json_t *recipe_of(const struct vae_recipe *r)
{
    return json_pack("{s:I, s:I, s:f, s:I, s:f, s:f, s:f, s:f, s:I, s:f, s:f, s:I}", "batch", (json_int_t)r->batch,
                     "steps", (json_int_t)r->steps, "rate", r->rate, "warmup", (json_int_t)r->warmup, "weight_decay",
                     r->weight_decay, "clip", r->clip, "ema_decay", r->ema_decay, "beta", r->beta, "beta_steps",
                     (json_int_t)r->beta_steps, "free_nats", r->free_nats, "weight_l1", r->weight_l1, "patience",
                     (json_int_t)r->patience);
}

static json_t *range(struct augment_range r)
{
    return json_pack("[f, f]", r.least, r.most);
}

static json_t *changes_of(const struct augment_params *a)
{
    static const char *const kinds[AUGMENT_KINDS] = {"pitch",    "stretch", "compress", "gain",
                                                     "polarity", "noise",   "mute"};
    json_t *const chances = json_object();
    for (int k = 0; k < AUGMENT_KINDS; k++)
        json_object_set_new(chances, kinds[k], json_real(a->chance[k]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "chances", chances, "semitones", range(a->semitones),
                     "rate", range(a->rate), "threshold_db", range(a->threshold_db), "ratio", range(a->ratio),
                     "gain_db", range(a->gain_db), "noise_db", range(a->noise_db), "mute_s", range(a->mute_s));
}

static json_t *computed_of(const struct vae_fit_options *o, const struct vae_fit_result *r)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I}", "backend", backend_name(r->backend), "isa", isa_name(r->isa),
                     "precision", precision_name(o->recipe.precision), "device", o->device, "moves",
                     (json_int_t)r->moves);
}

char *vae_training_text(const char *preset, const struct vae_fit_options *o, const struct vae_fit_result *r)
{
    json_t *const result = json_pack(
        "{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:I, s:o}", "end",
        r->end == VAE_END_PATIENCE ? "no longer better" : "all steps", "steps", (json_int_t)r->steps, "best_step",
        (json_int_t)r->best_step, "bad_steps", (json_int_t)r->bad_steps, "train_loss", number(r->train_loss),
        "validation_loss", number(r->validation_loss), "reconstruction", number(r->reconstruction), "kl", number(r->kl),
        "active", (json_int_t)r->active, "kl_of_active", number(r->kl_of_active));
    char seed[24];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->seed); /* JSON's numbers end at 2^53 */
    json_t *const all = json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "preset", preset, "seed", seed,
                                  "validate_steps", (json_int_t)o->validate_steps, "recipe", recipe_of(&o->recipe),
                                  "changes", changes_of(&o->change), "computed", computed_of(o, r), "result", result);
    char *const text = all ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(all);
    return text;
}

static struct safetensors_view view_of(const struct vae_tensor *t, const float *weights)
{
    struct safetensors_view v = {
        .name = t->name, .dtype = SAFETENSORS_F32, .rank = t->rank, .data = weights + t->offset};
    memcpy(v.shape, t->shape, (size_t)t->rank * sizeof *v.shape);
    return v;
}

int vae_model_write(int fd, const char *name, struct vae_trainer *t, const struct vae_config *c, const char *training)
{
    int tensors;
    const struct vae_tensor *const tensor = vae_trainer_tensors(t, &tensors);
    float *const weights = malloc((size_t)vae_trainer_parameters(t) * sizeof *weights);
    struct safetensors_view *const views = calloc((size_t)tensors, sizeof *views);
    char *config = NULL;
    int code = weights && views ? vae_config_text(c, &config) : fail(STATUS_NOMEM, "%.200s: out of memory", name);
    code = code ? code : vae_trainer_get(t, VAE_AVERAGE, weights);
    for (int i = 0; i < tensors && !code; i++)
        views[i] = view_of(&tensor[i], weights);
    if (!code) {
        const struct safetensors_text metadata[] = {
            {"network", "spectral"}, {"config", config}, {"training", training}};
        code = safetensors_write(fd, name, views, (size_t)tensors, metadata, sizeof metadata / sizeof *metadata);
    }
    free(config);
    free(weights);
    free(views);
    return code;
}
