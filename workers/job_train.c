/* A network is trained on a pack of sounds. It runs on the exec that networks share, in turns of one step or one batch
 * of a validation; at the beginning and at the end, for previews, it keeps the turn for seconds. */
#include "audio_write.h"
#include "job.h"
#include "kinds.h"
#include "log.h"
#include "networks.h"
#include "pack.h"
#include "slots.h"
#include "vae_files.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SAVE_MS = 5000 };

struct training {
    struct job *job;
    struct vae_fit_options o;
    char preset[LIMIT_FEATURE_NAME + 1];
    int64_t previews;
    struct pack *pack;
    struct vae_sound *sounds;
    int64_t count;
    int slots; /* where states are kept */
    struct exec *ex;
    int64_t saved_ms;
    struct vae_fit_result result;
    struct vae_metric metrics[VAE_METRICS_MOST];
    int64_t metric_count;
    struct vae_trainer *trainer;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what to do ---- */

static int64_t or_preset(uint64_t given, int64_t preset)
{
    return given ? (int64_t)(given < INT32_MAX ? given : INT32_MAX) : preset;
}

static double or_default(double given, double preset)
{
    return isnan(given) ? preset : given;
}

static int read_options(struct training *t)
{
    struct kind_train_item m;
    int code = wire_decode(&kind_train_item_schema, t->job->item_params, t->job->request->item_params_bytes, &m);
    if (code)
        return code;
    wire_copy(m.preset, t->preset, sizeof t->preset);
    code = vae_fit_preset(t->preset, &t->o);
    if (code)
        return code;
    struct vae_recipe *const r = &t->o.recipe;
    t->o.seed = m.seed;
    r->rate = or_default(m.rate, r->rate);
    r->beta = or_default(m.beta, r->beta);
    r->free_nats = or_default(m.free_nats, r->free_nats);
    r->weight_decay = or_default(m.weight_decay, r->weight_decay);
    r->steps = or_preset(m.steps, r->steps);
    r->batch = or_preset(m.batch, r->batch);
    r->patience = or_preset(m.patience, r->patience);
    t->o.config.dropout = or_default(m.dropout, t->o.config.dropout);
    t->o.config.latent = or_preset(m.latent, t->o.config.latent);
    t->o.validate_steps = or_preset(m.validate_steps, t->o.validate_steps);
    for (int k = 0; k < AUGMENT_KINDS && m.no_changes; k++)
        t->o.change.chance[k] = 0;
    t->previews = or_preset(m.previews, TRAIN_PREVIEWS);
    t->o.pause_step = or_preset(m.until, 0);
    return STATUS_OK;
}

/* Blocks and activations; a quarter is left for states and sounds. What does not fit would be ended by the supervisor,
 * without a word. */
static int check_memory(struct training *t)
{
    const size_t there = networks_memory(t->job->networks);
    size_t wanted = 0;
    const int code = vae_trainer_needs(&t->o.config, t->o.recipe.batch, networks_exec(t->job->networks), &wanted);
    if (!code && wanted > there / 4 * 3)
        return fail(
            STATUS_NOMEM,
            "train: %zu MiB are wanted, three quarters of what networks may have are %zu: a smaller --batch, or more "
            "by --memory-limit",
            wanted >> 20, (there / 4 * 3) >> 20);
    return code;
}

/* Every sample is looked at, so that training meets none that is not finite. */
static int open_sounds(struct training *t)
{
    struct hash all;
    int code = pack_open(t->job->fds[TASK_FD_INPUT], "the pack of sounds", &t->pack);
    if (code)
        return code;
    t->count = (int64_t)pack_count(t->pack);
    t->sounds = calloc((size_t)t->count, sizeof *t->sounds);
    if (!t->sounds)
        return fail(STATUS_NOMEM, "train: %lld sounds", (long long)t->count);
    if (pack_rate_hz(t->pack) != t->o.config.audio.rate_hz)
        return fail(STATUS_ARGUMENT, "train: the sounds have %lld Hz, preset %s wants %lld",
                    (long long)pack_rate_hz(t->pack), t->preset, (long long)t->o.config.audio.rate_hz);
    for (int64_t i = 0; i < t->count && !code; i++) {
        const struct pack_entry *const e = pack_at(t->pack, (size_t)i);
        code = pack_check(t->pack, (size_t)i);
        t->sounds[i] = (struct vae_sound){e->samples, (int64_t)e->count, e->part == PACK_VALIDATION};
    }
    code = code ? code : hash_file(t->job->fds[TASK_FD_INPUT], &all, NULL);
    if (!code)
        memcpy(t->o.sounds, all.bytes, sizeof t->o.sounds);
    return code;
}

/* ---- on the way ---- */

static int alive(void *context, const struct vae_losses *l, int64_t step, int64_t steps)
{
    struct training *const t = context;
    (void)l;
    job_beat(t->job, (double)step / (double)steps);
    networks_end_turn(t->job->networks); /* somebody else's */
    networks_begin_turn(t->job->networks);
    return STATUS_OK;
}

static int validated(void *context, const struct vae_metric *m, bool best)
{
    (void)context;
    log_info("train {\"step\":%lld,\"train_loss\":%.6g,\"validation_loss\":%.6g,\"reconstruction\":%.6g,\"kl\":%.6g,"
             "\"seconds\":%.3f,\"best\":%s}",
             (long long)m->step, m->train_loss, m->validation_loss, m->reconstruction, m->kl, m->seconds,
             best ? "true" : "false");
    return STATUS_OK;
}

/* One that cannot be kept costs time if this process dies, never the training. That of a pause is always kept. */
static int save(void *context, const void *state, size_t bytes, double progress)
{
    struct training *const t = context;
    const int64_t now = now_ms();
    const bool pauses = t->o.pause_step > 0 && progress >= (double)t->o.pause_step / (double)t->o.recipe.steps;
    if (progress > 0 && !pauses && now - t->saved_ms < SAVE_MS)
        return STATUS_OK;
    t->saved_ms = now;
    if (slots_write(t->slots, state, bytes))
        log_warn("%s", status_message());
    return STATUS_OK;
}

static void says(void *context, const char *text)
{
    (void)context;
    log_warn("%s", text);
}

static int fit(struct training *t)
{
    const struct vae_fit_hooks hooks = {t, alive, validated, save, says};
    void *state = NULL;
    size_t bytes = 0;
    int code = slots_read(t->slots, &state, &bytes);
    if (code == STATUS_DAMAGED)
        log_warn("begun anew: states: %s", status_message());
    else if (code && code != STATUS_NOT_FOUND)
        return code;
    code = vae_fit(&t->o, t->sounds, t->count, t->ex, t->ex, state, bytes, &hooks, &t->result, t->metrics,
                   &t->metric_count, &t->trainer);
    if (state && !t->trainer && (code == STATUS_FORMAT || code == STATUS_VERSION)) {
        log_warn("begun anew: %s", status_message());
        code = vae_fit(&t->o, t->sounds, t->count, t->ex, t->ex, NULL, 0, &hooks, &t->result, t->metrics,
                       &t->metric_count, &t->trainer);
    }
    free(state);
    return code;
}

/* ---- what came of it ---- */

static int output_of(const struct training *t, int n)
{
    return task_extra(t->job->request, t->job->fds, TASK_ROLE_OUTPUT, n);
}

static int write_text(const struct training *t, int n, const char *text)
{
    const size_t bytes = text ? strlen(text) : 0;
    const int fd = output_of(t, n);
    if (!text)
        return fail(STATUS_NOMEM, "train: out of memory");
    if (fd < 0 || write(fd, text, bytes) != (ssize_t)bytes)
        return fail(STATUS_IO, "train: a file of %zu bytes cannot be written: %s", bytes, strerror(errno));
    return STATUS_OK;
}

static int write_wav(const struct training *t, int n, const struct vae_preview *p)
{
    const struct audio_format format = {.sample = AUDIO_INT16};
    struct audio_writer *w = NULL;
    audio_clip(AUDIO_CLIP_RESCALE, audio_clip_divisor(AUDIO_CLIP_RESCALE, audio_peak(0, p->samples, (size_t)p->count)),
               p->samples, (size_t)p->count);
    int code = audio_write_open(output_of(t, n), &format, (int)t->o.config.audio.rate_hz, 1, p->count, &w);
    code = code ? code : audio_write(w, p->samples, p->count);
    const int closed = w ? audio_write_close(&w) : STATUS_OK;
    return code ? code : closed;
}

static const char *end_of(enum vae_end end)
{
    return end == VAE_END_PATIENCE ? "no longer better" : end == VAE_END_PAUSE ? "paused" : "all steps";
}

/* Three of each sound, in the order of the outputs. */
static int write_previews(struct training *t)
{
    struct vae_preview previews[TRAIN_PREVIEW_KINDS * LIMIT_PREVIEWS];
    struct vae_examples *e = NULL;
    int64_t count = 0;
    int code = vae_examples_open(&t->result.config, &t->o.change, t->o.seed, t->sounds, t->count, t->ex, &e);
    code = code ? code
                : vae_previews_make(t->trainer, e, &t->result.config, t->previews, t->o.seed, t->ex, previews, &count);
    for (int64_t i = 0; i < count && !code; i++)
        code = write_wav(t, TRAIN_TEXTS + (int)i, &previews[i]);
    vae_previews_free(previews, count);
    vae_examples_close(&e);
    return code;
}

static int write_model(struct training *t)
{
    char *config = NULL;
    char *const training = vae_training_text(t->preset, &t->o, &t->result);
    int code = vae_config_text(&t->result.config, &config);
    code = code ? code : write_text(t, 0, config);
    code = code ? code : write_text(t, 1, training);
    code = code ? code : write_previews(t);
    code =
        code ? code : vae_model_write(t->job->fds[TASK_FD_ARRAY], "the model", t->trainer, &t->result.config, training);
    free(config);
    free(training);
    return code;
}

static int write_metrics(const struct training *t)
{
    char *const metrics = vae_metrics_text(t->metrics, t->metric_count);
    const int code = write_text(t, 2, metrics);
    free(metrics);
    return code;
}

static int report(struct training *t)
{
    const struct vae_fit_result *const r = &t->result;
    const struct kind_train_result out = {.seconds = NAN,
                                          .decode_s = NAN,
                                          .copy_in_s = NAN,
                                          .device_s = NAN,
                                          .copy_out_s = NAN,
                                          .backend = wire_str(backend_name(exec_backend(t->ex))),
                                          .isa = wire_str(isa_name(exec_isa(t->ex))),
                                          .version = wire_str(WAVEMILL_VERSION),
                                          .steps = (uint64_t)r->steps,
                                          .best_step = (uint64_t)r->best_step,
                                          .train_loss = r->train_loss,
                                          .validation_loss = r->validation_loss,
                                          .reconstruction = r->reconstruction,
                                          .kl = r->kl,
                                          .active = (uint64_t)r->active,
                                          .kl_of_active = r->kl_of_active,
                                          .training_s = r->seconds,
                                          .end = wire_str(end_of(r->end)),
                                          .resumed_from = r->from > 0 ? r->from : NAN,
                                          .parameters = (uint64_t)vae_trainer_parameters(t->trainer),
                                          .bad_steps = (uint64_t)r->bad_steps,
                                          .seed = t->o.seed};
    return job_write_result(t->job, &kind_train_result_schema, &out);
}

int job_train(struct job *j)
{
    struct training *const t = calloc(1, sizeof *t);
    if (!t)
        return fail(STATUS_NOMEM, "train: out of memory");
    t->job = j;
    t->slots = task_extra(j->request, j->fds, TASK_ROLE_SLOTS, 0);
    int code = t->slots < 0 || j->fds[TASK_FD_ARRAY] < 0 ? fail(STATUS_INTERNAL, "train: a descriptor is missing")
                                                         : read_options(t);
    code = code ? code : check_memory(t);
    code = code ? code : open_sounds(t);
    if (!code) {
        t->ex = networks_begin_turn(j->networks);
        code = fit(t);
        code = code ? code : write_metrics(t);
        code = code || t->o.pause_step > 0 ? code : write_model(t);
        code = code ? code : report(t);
        vae_trainer_destroy(&t->trainer);
        networks_end_turn(j->networks);
    }
    pack_close(&t->pack);
    free(t->sounds);
    free(t);
    return code;
}
