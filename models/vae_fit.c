#include "vae_fit.h"

#include "exec.h"
#include "hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATE_VERSION = 3, STATE_BLOCKS = VAE_FIT_BLOCKS };

static const char STATE_MAGIC[8] = "WMVAEFIT";

/* What training has come to; before the blocks of a state. Without padding, so that its bytes are its values. */
struct progress {
    char magic[8];
    uint32_t version, crc; /* crc: of all that follows, blocks included */
    uint64_t bytes;        /* of the whole state */
    uint8_t options[32];   /* hash of what it was begun with */
    int64_t parameters, step, best_step, stale, bad_steps, metrics;
    double rate_factor, best, train_sum, train_count, seconds, mean_db, deviation_db;
    int64_t moves;
    char place[VAE_PLACE]; /* backend, ISA, precision, device */
};
_Static_assert(sizeof(struct progress) == 8 + 8 + 8 + 32 + 14 * 8 + VAE_PLACE, "no padding");

struct fit {
    const struct vae_fit_options *o;
    const struct vae_fit_hooks *hooks;
    struct vae_config config;
    struct vae_examples *examples;
    struct vae_trainer *trainer;
    struct progress p;
    struct vae_metric *metrics;
    uint8_t *state; /* of the last validation */
    size_t state_bytes;
    float *best; /* weights, in the state's last block */
    float *batch;
    double begun_s, before_s; /* before_s: seconds of earlier attempts */
    double from;
    int64_t moves;
    char place[VAE_PLACE]; /* here */
    enum exec_backend backend;
    enum exec_isa isa;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void for_sounds(const struct fit *f, bool begin)
{
    if (f->hooks->sounds)
        f->hooks->sounds(f->hooks->context, begin);
}

static void say(const struct fit *f, const char *text)
{
    if (f->hooks->says)
        f->hooks->says(f->hooks->context, text);
}

/* ---- state ---- */

static size_t block_bytes(const struct fit *f)
{
    return (size_t)vae_trainer_parameters(f->trainer) * sizeof(float);
}

static size_t state_bytes(const struct fit *f, int64_t metrics)
{
    return sizeof f->p + STATE_BLOCKS * block_bytes(f) + (size_t)metrics * sizeof(struct vae_metric);
}

static int hash_options(const struct fit *f, uint8_t out[32])
{
    char head[128], *text = NULL;
    struct vae_config c = f->o->config;
    c.audio.mean_db = 0; /* these are found, not chosen */
    c.audio.deviation_db = 1;
    const int code = vae_config_text(&c, &text);
    if (code)
        return code;
    const struct vae_recipe *const r = &f->o->recipe;
    const struct augment_params *const a = &f->o->change;
    char *all = NULL;
    snprintf(head, sizeof head, "%llu %lld %lld", (unsigned long long)f->o->seed, (long long)f->o->validate_steps,
             (long long)vae_examples_training(f->examples));
    const int n =
        asprintf(&all, "%s\n%s\n%lld %lld %a %lld %a %a %a %a %lld %a %a %lld\n%a %a %a %a %a %a %a %a %a %a %a", text,
                 head, (long long)r->batch, (long long)r->steps, r->rate, (long long)r->warmup, r->weight_decay,
                 r->clip, r->ema_decay, r->beta, (long long)r->beta_steps, r->free_nats, r->weight_l1,
                 (long long)r->patience, a->chance[0], a->chance[1], a->chance[2], a->chance[3], a->chance[4],
                 a->chance[5], a->chance[6], a->semitones.most, a->rate.most, a->gain_db.most, a->noise_db.most);
    free(text);
    if (n < 0)
        return fail(STATUS_NOMEM, "fit: out of memory");
    struct hash h[2];
    hash_bytes(all, (size_t)n, &h[0]);
    free(all);
    memcpy(h[1].bytes, f->o->sounds, sizeof h[1].bytes);
    hash_bytes(h, sizeof h, &h[0]);
    memcpy(out, h[0].bytes, sizeof h[0].bytes);
    return STATUS_OK;
}

static const enum vae_block kept[STATE_BLOCKS - 1] = {VAE_WEIGHTS, VAE_MOMENT1, VAE_MOMENT2, VAE_AVERAGE};

static uint32_t state_crc(const uint8_t *state, size_t bytes)
{
    const size_t from = offsetof(struct progress, bytes);
    return crc32c(0, state + from, bytes - from);
}

/* The state as it is now, into f->state; its last block, the best weights, is there already. */
static int snapshot(struct fit *f)
{
    int code = STATUS_OK;
    f->state_bytes = state_bytes(f, f->p.metrics);
    f->p.bytes = f->state_bytes;
    f->p.seconds = f->before_s + now_s() - f->begun_s;
    f->p.moves = f->moves;
    memcpy(f->p.place, f->place, sizeof f->p.place);
    for (int i = 0; i < STATE_BLOCKS - 1 && !code; i++)
        code = vae_trainer_get(f->trainer, kept[i],
                               (float *)(void *)(f->state + sizeof f->p + (size_t)i * block_bytes(f)));
    memcpy(f->state + state_bytes(f, 0), f->metrics, (size_t)f->p.metrics * sizeof *f->metrics);
    memcpy(f->state, &f->p, sizeof f->p);
    f->p.crc = state_crc(f->state, f->state_bytes);
    memcpy(f->state, &f->p, sizeof f->p);
    return code;
}

static int save(struct fit *f)
{
    const int code = snapshot(f);
    if (code || !f->hooks->save)
        return code;
    return f->hooks->save(f->hooks->context, f->state, f->state_bytes, (double)f->p.step / (double)f->o->recipe.steps);
}

/* Everything back to f->state. */
static int restore(struct fit *f)
{
    int code = STATUS_OK;
    memcpy(&f->p, f->state, sizeof f->p);
    memcpy(f->metrics, f->state + state_bytes(f, 0), (size_t)f->p.metrics * sizeof *f->metrics);
    for (int i = 0; i < STATE_BLOCKS - 1 && !code; i++)
        code = vae_trainer_put(f->trainer, kept[i],
                               (const float *)(const void *)(f->state + sizeof f->p + (size_t)i * block_bytes(f)));
    f->config.audio.mean_db = f->p.mean_db;
    f->config.audio.deviation_db = f->p.deviation_db;
    vae_examples_standardise(f->examples, &f->config.audio);
    return code;
}

static int check_state(const struct fit *f, const void *state, size_t bytes)
{
    struct progress p;
    if (bytes < sizeof p)
        return fail(STATUS_FORMAT, "a checkpoint of %zu bytes is none", bytes);
    memcpy(&p, state, sizeof p);
    if (memcmp(p.magic, STATE_MAGIC, sizeof p.magic) != 0)
        return fail(STATUS_FORMAT, "it is no checkpoint of a training");
    if (p.version != STATE_VERSION)
        return fail(STATUS_VERSION, "a checkpoint of version %u, this program has %d", p.version, STATE_VERSION);
    if (p.bytes != bytes || p.crc != state_crc(state, bytes))
        return fail(STATUS_FORMAT, "bytes of the checkpoint were altered or are missing");
    if (memcmp(p.options, f->p.options, sizeof p.options) != 0)
        return fail(STATUS_ARGUMENT, "the checkpoint is of other settings or other sounds");
    if (p.parameters != vae_trainer_parameters(f->trainer) || p.place[VAE_PLACE - 1] || p.metrics < 0 ||
        p.metrics > VAE_METRICS_MOST || state_bytes(f, p.metrics) != bytes)
        return fail(STATUS_FORMAT, "the checkpoint does not fit its network");
    if (f->o->pause_step > 0 && p.step > f->o->pause_step)
        return fail(STATUS_NOT_FOUND, "its state is of step %lld: from there is no way to what it was at step %lld",
                    (long long)p.step, (long long)f->o->pause_step);
    return STATUS_OK;
}

/* ---- validation ---- */

/* Losses of sounds as they are, by the averaged weights; kl: sum over all of each dimension's nats, or NULL. */
static int measure(struct fit *f, bool validation, struct vae_losses *out, double *kl)
{
    const int64_t all = vae_examples_plains(f->examples, validation);
    const int64_t batch = f->o->recipe.batch, latent = f->config.latent;
    float each[VAE_LATENT_MOST];
    int code = STATUS_OK;
    *out = (struct vae_losses){0};
    for (int64_t i = 0; i < all && !code; i += batch) {
        const int64_t n = all - i < batch ? all - i : batch;
        struct vae_losses l = {0};
        for_sounds(f, true);
        code = vae_examples_plain(f->examples, validation, i, n, f->batch);
        for_sounds(f, false);
        code = code ? code : vae_trainer_validate(f->trainer, f->o->recipe.beta, f->batch, n, &l, each);
        const double part = (double)n / (double)all;
        out->loss += part * l.loss;
        out->reconstruction += part * l.reconstruction;
        out->kl += part * l.kl;
        for (int64_t d = 0; !code && kl && d < latent; d++)
            kl[d] += part * (double)each[d];
        if (!code && f->hooks->alive)
            code = f->hooks->alive(f->hooks->context, NULL, f->p.step, f->o->recipe.steps);
    }
    return code;
}

static int look(struct fit *f, bool best)
{
    const struct vae_fit_view v = {.trainer = f->trainer,
                                   .examples = f->examples,
                                   .config = &f->config,
                                   .metrics = f->metrics,
                                   .metric_count = f->p.metrics,
                                   .best = best,
                                   .step = f->p.step,
                                   .steps = f->o->recipe.steps};
    return f->hooks->look ? f->hooks->look(f->hooks->context, &v) : STATUS_OK;
}

static int validate(struct fit *f)
{
    struct vae_losses l;
    int code = measure(f, true, &l, NULL);
    if (code)
        return code;
    const bool better = l.loss < f->p.best;
    const struct vae_metric m = {.step = f->p.step,
                                 .train_loss = f->p.train_count > 0 ? f->p.train_sum / f->p.train_count : l.loss,
                                 .validation_loss = l.loss,
                                 .reconstruction = l.reconstruction,
                                 .kl = l.kl,
                                 .seconds = f->before_s + now_s() - f->begun_s};
    if (f->p.metrics < VAE_METRICS_MOST)
        f->metrics[f->p.metrics++] = m;
    f->p.train_sum = f->p.train_count = 0;
    f->p.stale = better ? 0 : f->p.stale + 1;
    if (better) {
        f->p.best = l.loss;
        f->p.best_step = f->p.step;
        code = vae_trainer_get(f->trainer, VAE_AVERAGE, f->best);
    }
    if (!code && f->hooks->validated)
        code = f->hooks->validated(f->hooks->context, &m, better);
    code = code ? code : save(f);
    return code ? code : look(f, better);
}

/* ---- steps ---- */

static int step_back(struct fit *f)
{
    char text[160];
    const int64_t bad = f->p.bad_steps + 1, at = f->p.step + 1;
    if (bad > VAE_BAD_MOST)
        return fail(STATUS_ARGUMENT,
                    "step %lld: the loss is not finite, for the %dth time: the rate is too high, or the "
                    "sounds are",
                    (long long)at, VAE_BAD_MOST + 1);
    const int code = restore(f);
    f->p.bad_steps = bad;
    f->p.rate_factor /= 2;
    snprintf(text, sizeof text, "step %lld: the loss is not finite: back to step %lld, at %g times the rate",
             (long long)at, (long long)f->p.step, f->p.rate_factor);
    say(f, text);
    return code ? code : save(f);
}

static int step(struct fit *f)
{
    const uint64_t number = (uint64_t)f->p.step + 1;
    struct vae_step s = vae_recipe_step(&f->o->recipe, number);
    struct vae_losses l;
    s.rate *= f->p.rate_factor;
    for_sounds(f, true);
    int code = vae_examples_step(f->examples, number, f->o->recipe.batch, f->batch);
    for_sounds(f, false);
    code = code ? code : vae_trainer_step(f->trainer, &s, f->batch, &l);
    if (code)
        return code;
    if (l.bad)
        return step_back(f);
    f->p.step++;
    f->p.train_sum += l.loss;
    f->p.train_count++;
    return f->hooks->alive ? f->hooks->alive(f->hooks->context, &l, f->p.step, f->o->recipe.steps) : STATUS_OK;
}

static bool is_over(const struct fit *f)
{
    return f->p.step >= f->o->recipe.steps || f->p.stale >= f->o->recipe.patience;
}

static bool is_pausing(const struct fit *f)
{
    return f->o->pause_step > 0 && f->p.step >= f->o->pause_step;
}

static int run(struct fit *f)
{
    int code = STATUS_OK;
    while (!code && !is_over(f) && !is_pausing(f)) {
        const int64_t before = f->p.step;
        code = step(f);
        if (!code && f->p.step > before && (f->p.step % f->o->validate_steps == 0 || f->p.step == f->o->recipe.steps))
            code = validate(f);
    }
    return code;
}

/* ---- begin and end ---- */

static int prepare(struct fit *f, const struct vae_sound *sounds, int64_t count, struct exec *ex, struct exec *cpu)
{
    const struct vae_fit_options *const o = f->o;
    if (o->validate_steps < 1)
        return fail(STATUS_ARGUMENT, "a validation after every %lld steps", (long long)o->validate_steps);
    if (o->pause_step < 0 || (o->pause_step < o->recipe.steps && o->pause_step % o->validate_steps != 0))
        return fail(STATUS_ARGUMENT, "a pause behind step %lld, where no validation is", (long long)o->pause_step);
    for_sounds(f, true);
    int code = vae_examples_open(&f->config, &o->change, o->seed, sounds, count, cpu, &f->examples);
    for_sounds(f, false);
    code = code ? code : vae_trainer_create(&f->config, &o->recipe, o->seed, ex, &f->trainer);
    if (code)
        return code;
    f->state = calloc(1, state_bytes(f, VAE_METRICS_MOST));
    f->batch = malloc((size_t)(o->recipe.batch * f->config.frames * f->config.mels) * sizeof *f->batch);
    if (!f->state || !f->batch)
        return fail(STATUS_NOMEM, "fit: out of memory");
    f->best = (float *)(void *)(f->state + sizeof f->p + (STATE_BLOCKS - 1) * block_bytes(f));
    memcpy(f->p.magic, STATE_MAGIC, sizeof f->p.magic);
    f->p.version = STATE_VERSION;
    f->p.parameters = vae_trainer_parameters(f->trainer);
    f->p.rate_factor = 1;
    f->p.best = INFINITY;
    f->backend = exec_backend(ex);
    f->isa = exec_isa(cpu);
    snprintf(f->place, sizeof f->place, "%s %s %s%s%.63s", backend_name(exec_backend(ex)), isa_name(exec_isa(cpu)),
             precision_name(o->recipe.precision), o->device[0] ? " " : "", o->device);
    return hash_options(f, f->p.options);
}

static int begin(struct fit *f)
{
    for_sounds(f, true);
    const int code = vae_examples_measure(f->examples, &f->config.audio);
    for_sounds(f, false);
    f->p.mean_db = f->config.audio.mean_db;
    f->p.deviation_db = f->config.audio.deviation_db;
    if (!code && vae_examples_training(f->examples) < 5)
        say(f, "fewer than 5 sounds to learn from: it will learn them by heart");
    if (code)
        return code;
    const int got = vae_trainer_get(f->trainer, VAE_AVERAGE, f->best);
    return got ? got : save(f); /* before the first step */
}

static void say_moved(struct fit *f)
{
    char text[3 * VAE_PLACE];
    f->moves++;
    snprintf(text, sizeof text,
             "goes on at step %lld on %s what was computed on %s: the weights will be those of neither",
             (long long)f->p.step, f->place, f->p.place);
    say(f, text);
}

static int take_up(struct fit *f, const void *state, size_t bytes)
{
    int code = check_state(f, state, bytes);
    if (code && f->hooks->refused)
        f->hooks->refused(f->hooks->context);
    if (code)
        return code;
    memcpy(f->state, state, bytes);
    f->state_bytes = bytes;
    code = restore(f);
    f->before_s = f->p.seconds;
    f->from = (double)f->p.step / (double)f->o->recipe.steps;
    f->moves = f->p.moves;
    if (!code && strcmp(f->p.place, f->place) != 0)
        say_moved(f);
    return code;
}

/* The best weights, and what they are worth. */
static int conclude(struct fit *f, struct vae_fit_result *out)
{
    double kl[VAE_LATENT_MOST] = {0};
    struct vae_losses train, validation;
    int code = vae_trainer_put(f->trainer, VAE_AVERAGE, f->best);
    code = code ? code : measure(f, true, &validation, NULL);
    code = code ? code : measure(f, false, &train, kl);
    if (code)
        return code;
    *out = (struct vae_fit_result){.end = f->p.stale >= f->o->recipe.patience ? VAE_END_PATIENCE
                                          : is_over(f)                        ? VAE_END_STEPS
                                                                              : VAE_END_PAUSE,
                                   .steps = f->p.step,
                                   .best_step = f->p.best_step,
                                   .bad_steps = f->p.bad_steps,
                                   .train_loss = train.loss,
                                   .validation_loss = validation.loss,
                                   .reconstruction = validation.reconstruction,
                                   .kl = validation.kl,
                                   .seconds = f->before_s + now_s() - f->begun_s,
                                   .from = f->from,
                                   .backend = f->backend,
                                   .isa = f->isa,
                                   .moves = f->moves,
                                   .config = f->config};
    memcpy(out->place, f->place, sizeof out->place);
    for (int64_t d = 0; d < f->config.latent; d++)
        if (kl[d] > VAE_ACTIVE_NATS) {
            out->active++;
            out->kl_of_active += kl[d];
        }
    out->kl_of_active = out->active ? out->kl_of_active / (double)out->active : 0;
    return STATUS_OK;
}

int vae_fit(const struct vae_fit_options *o, const struct vae_sound *sounds, int64_t count, struct exec *ex,
            struct exec *cpu, const void *state, size_t state_bytes, const struct vae_fit_hooks *hooks,
            struct vae_fit_result *out, struct vae_metric *metrics, int64_t *metric_count, struct vae_trainer **trainer)
{
    struct fit f = {.o = o, .hooks = hooks, .config = o->config, .metrics = metrics, .begun_s = now_s()};
    *trainer = NULL;
    *metric_count = 0;
    int code = prepare(&f, sounds, count, ex, cpu);
    if (!code)
        code = state ? take_up(&f, state, state_bytes) : begin(&f);
    code = code ? code : run(&f);
    if (!code && o->pause_step > 0 && hooks->paused)
        code = hooks->paused(hooks->context, f.state, f.state_bytes); /* of the last validation: nothing came behind */
    code = code ? code : conclude(&f, out);
    *metric_count = f.p.metrics;
    vae_examples_close(&f.examples);
    free(f.state);
    free(f.batch);
    if (code)
        vae_trainer_destroy(&f.trainer);
    *trainer = f.trainer;
    return code;
}
