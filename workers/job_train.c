/* A network is trained on a pack of sounds. On the CPU it runs on the exec that networks share, in turns of one step,
 * one batch of a validation or one preview; at the beginning it keeps the turn for seconds. On a device it has an exec
 * of its own, and turns only for what is made of sounds. */
#include "job.h"
#include "kinds.h"
#include "log.h"
#include "networks.h"
#include "pack.h"
#include "previews.h"
#include "status_origin.h"
#include "training_states.h"
#include "vae_files.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct training {
    struct job *job;
    struct vae_fit_options o;
    char preset[LIMIT_FEATURE_NAME + 1];
    struct previews previews;
    enum precision precision; /* asked for; that of the options is what there is */
    struct pack *pack;
    struct vae_sound *sounds;
    int64_t count;
    struct training_states states;
    struct exec *ex; /* the CPU's, that all share: in a turn only */
    struct networks_part part;
    double progress;
    struct demucs_alive alive; /* of this training, while it waits */
    bool refused;              /* the state that it was to go on from */
    bool moves;                /* it has begun to train: until then it waits */
    bool device_is_full;       /* what ended it */
    struct vae_fit_result result;
    struct vae_metric metrics[VAE_METRICS_MOST];
    int64_t metric_count;
    struct vae_trainer *trainer;
};

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
    if (m.precision.bytes) {
        char name[LIMIT_FEATURE_NAME + 1];
        wire_copy(m.precision, name, sizeof name);
        code = precision_parse(name, &t->precision);
    }
    r->steps = or_preset(m.steps, r->steps);
    r->batch = or_preset(m.batch, r->batch);
    r->patience = or_preset(m.patience, r->patience);
    t->o.config.dropout = or_default(m.dropout, t->o.config.dropout);
    t->o.config.latent = or_preset(m.latent, t->o.config.latent);
    t->o.validate_steps = or_preset(m.validate_steps, t->o.validate_steps);
    for (int k = 0; k < AUGMENT_KINDS && m.no_changes; k++)
        t->o.change.chance[k] = 0;
    t->previews = (struct previews){.job = t->job,
                                    .ex = networks_exec(t->job->networks),
                                    .alive = &t->alive,
                                    .sounds = or_preset(m.previews, TRAIN_PREVIEWS),
                                    .seed = m.seed,
                                    .every = or_preset(m.preview_every, 0),
                                    .at_end = m.previews_at_end,
                                    .nowhere = t->states.slots < 0};
    t->o.pause_step = or_preset(m.until, 0);
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

static void beat(void *context)
{
    struct training *const t = context;
    if (t->moves)
        job_beat(t->job, t->progress);
    else
        job_waits(t->job, t->progress);
}

static void for_sounds(void *context, bool begin)
{
    struct training *const t = context;
    if (begin)
        networks_begin_turn(t->job->networks, &t->alive);
    else
        networks_end_turn(t->job->networks);
}

static int alive(void *context, const struct vae_losses *l, int64_t step, int64_t steps)
{
    struct training *const t = context;
    (void)l;
    t->moves = true;
    t->progress = (double)step / (double)steps;
    beat(t);
    if (!t->part.place.on_device)
        networks_pass_turn(t->job->networks, &t->alive);
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

/* That of a pause is always kept; where it becomes an object as it is, not as a checkpoint besides. */
static int save(void *context, const void *state, size_t bytes, double progress)
{
    struct training *const t = context;
    const bool pauses =
        t->states.slots >= 0 && t->o.pause_step > 0 && progress >= (double)t->o.pause_step / (double)t->o.recipe.steps;
    return training_states_keep(&t->states, state, bytes, progress, pauses);
}

/* Without a folder, where the model would be: the next round may be another worker's. */
static int paused(void *context, const void *state, size_t bytes)
{
    const struct training *const t = context;
    const int fd = t->job->fds[TASK_FD_ARRAY];
    for (size_t done = 0; t->states.slots < 0 && done < bytes;) {
        const ssize_t n = pwrite(fd, (const char *)state + done, bytes - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "train: a state of %zu bytes cannot be written: %s", bytes, strerror(errno));
        done += (size_t)n;
    }
    return STATUS_OK;
}

static int look(void *context, const struct vae_fit_view *v)
{
    struct training *const t = context;
    if (t->part.place.on_device)
        for_sounds(t, true);
    const int code = previews_look(&t->previews, v);
    if (t->part.place.on_device)
        for_sounds(t, false);
    return code;
}

static void says(void *context, const char *text)
{
    (void)context;
    log_warn("%s", text);
}

static void refused(void *context)
{
    struct training *const t = context;
    t->refused = true;
}

static int fit(struct training *t)
{
    const struct vae_fit_hooks hooks = {
        t, alive, validated, save, look, says, t->part.place.on_device ? for_sounds : NULL, paused, refused};
    struct exec *const ex = t->part.exec;
    void *state = NULL;
    size_t bytes = 0;
    t->moves = t->refused = false;
    int code = training_states_read(&t->states, &state, &bytes);
    if (code == STATUS_DAMAGED)
        log_warn("begun anew: states: %s", status_message());
    else if (code && code != STATUS_NOT_FOUND)
        return code;
    code = vae_fit(&t->o, t->sounds, t->count, ex, t->ex, state, bytes, &hooks, &t->result, t->metrics,
                   &t->metric_count, &t->trainer);
    if (t->refused && training_states_begins_anew(&t->states, code)) {
        log_warn("begun anew: %s", status_message());
        code = vae_fit(&t->o, t->sounds, t->count, ex, t->ex, NULL, 0, &hooks, &t->result, t->metrics, &t->metric_count,
                       &t->trainer);
    }
    free(state);
    return code;
}

/* Memory and a place for it. Sounds are not counted: they are the file's pages. What does not fit would be ended by the
 * supervisor, without a word. */
static int begin_work(struct training *t, bool on_cpu)
{
    struct networks *const n = t->job->networks;
    const struct exec *const device = networks_device(n);
    struct networks_work w = {
        .name = "train", .precision = t->precision, .on_cpu = on_cpu, .scratch = EXEC_ARENA_BYTES, .alive = t->alive};
    size_t network = 0;
    int code = vae_fit_needs(&t->o, networks_exec(n), &network, &w.beside);
    w.host = network + w.beside;
    if (!code && device)
        code = vae_fit_needs(&t->o, device, &w.device, &w.beside);
    w.device += w.scratch;
    code = code ? code : networks_begin_work(n, &w, &t->part);
    if (code)
        return code;
    t->o.recipe.precision = t->part.place.precision;
    snprintf(t->o.device, sizeof t->o.device, "%s", t->part.device);
    if (t->precision != t->part.place.precision)
        log_warn("train: %s is what there is, not %s", precision_name(t->part.place.precision),
                 precision_name(t->precision));
    return STATUS_OK;
}

/* With a turn from then on, whether it came to anything or not. */
static int fit_in_turn(struct training *t)
{
    const bool on_device = t->part.place.on_device;
    if (!on_device)
        for_sounds(t, true);
    int code = fit(t);
    t->device_is_full = on_device && code == STATUS_NOMEM && status_is_of_device();
    if (on_device && code == STATUS_NOMEM && !t->device_is_full)
        code = status_context(code, "train: the host's memory, beside a device");
    if (on_device)
        for_sounds(t, true);
    return code;
}

/* Where the device runs out of memory nevertheless, the CPU goes on with the last state: that is said there. Of the
 * host's it would want more. */
static int fit_somewhere(struct training *t)
{
    int code = begin_work(t, false);
    if (code)
        return code;
    code = fit_in_turn(t);
    if (!t->device_is_full)
        return code;
    log_warn("the cpu goes on: %s", status_message());
    for_sounds(t, false);
    networks_end_work(t->job->networks, &t->part);
    code = begin_work(t, true);
    return code ? code : fit_in_turn(t);
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

static const char *end_of(enum vae_end end)
{
    return end == VAE_END_PATIENCE ? "no longer better" : end == VAE_END_PAUSE ? "paused" : "all steps";
}

static int write_previews(struct training *t)
{
    struct vae_examples *e = NULL;
    int code = vae_examples_open(&t->result.config, &t->o.change, t->o.seed, t->sounds, t->count, t->ex, &e);
    code = code ? code : previews_end(&t->previews, t->trainer, e, &t->result.config);
    vae_examples_close(&e);
    return code;
}

static int write_model(struct training *t)
{
    char *config = NULL;
    char *const training = vae_training_text(t->preset, &t->o, &t->result);
    int code = vae_config_text(&t->result.config, &config);
    code = code ? code : write_text(t, TRAIN_CONFIG, config);
    code = code ? code : write_text(t, TRAIN_HOW, training);
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
    const int code = write_text(t, TRAIN_METRICS, metrics);
    free(metrics);
    return code;
}

static int report(struct training *t)
{
    const struct vae_fit_result *const r = &t->result;
    char on_device[32] = "";
    if (t->part.place.on_device)
        snprintf(on_device, sizeof on_device, "vae/%s", precision_name(t->o.recipe.precision));
    const struct kind_train_result out = {.seconds = NAN,
                                          .decode_s = NAN,
                                          .copy_in_s = NAN,
                                          .device_s = NAN,
                                          .copy_out_s = NAN,
                                          .backend = wire_str(backend_name(r->backend)),
                                          .on_device = on_device[0] ? wire_str(on_device) : (struct wire_slice){0},
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
                                          .seed = t->o.seed,
                                          .moves = (uint64_t)r->moves,
                                          .place = wire_str(r->place)};
    return job_write_result(t->job, &kind_train_result_schema, &out);
}

int job_train(struct job *j)
{
    struct training *const t = calloc(1, sizeof *t);
    if (!t)
        return fail(STATUS_NOMEM, "train: out of memory");
    t->job = j;
    t->alive = (struct demucs_alive){beat, t};
    t->states = training_states_of(j);
    int code = j->fds[TASK_FD_ARRAY] < 0 ? fail(STATUS_INTERNAL, "train: a descriptor is missing") : read_options(t);
    code = code ? code : open_sounds(t);
    if (!code) {
        t->ex = networks_exec(j->networks);
        code = fit_somewhere(t);
        code = code ? code : write_metrics(t);
        code = code || t->o.pause_step > 0 ? code : write_model(t);
        code = code ? code : report(t);
        vae_trainer_destroy(&t->trainer);
        if (t->part.exec)
            networks_end_turn(j->networks);
        networks_end_work(j->networks, &t->part);
    }
    training_states_close(&t->states);
    pack_close(&t->pack);
    free(t->sounds);
    free(t);
    return code;
}
