/* Training as a whole: it learns, any kill is without consequence, states that are not its own are refused, and a loss
 * that is not finite is survived. On two chirps' worth of sounds and a network of a few hundred parameters. */
#include "compare.h"
#include "exec.h"
#include "ops.h"
#include "test.h"
#include "vae_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOUNDS = 8, RATE = 8000, SAMPLES = 3000, STATES = 16 };

struct
try {
    struct exec *ex;
    struct vae_fit_options o;
    float x[SOUNDS][SAMPLES];
    struct vae_sound sound[SOUNDS];
    struct vae_fit_result result;
    struct vae_metric metric[VAE_METRICS_MOST];
    int64_t metrics;
    float *weights; /* the best */
    int64_t parameters;

    /* what hooks do */
    uint8_t *pause; /* what paused was handed */
    size_t pause_bytes;
    int pauses;
    void *state[STATES];
    size_t state_bytes[STATES];
    int states, stop_after; /* stop_after: saves, as a kill would */
    int said, turns, refused;
    bool looks;
    int looked, best_looked;
    void (*for_sounds)(void *context, bool begin);
    bool sounds; /* being worked on */
};

static int alive(void *context, const struct vae_losses *l, int64_t step, int64_t steps)
{
    const struct try *const t = context;
    CHECK((!l || isfinite(l->loss)) && step <= steps && !t->sounds);
    return STATUS_OK;
}

static int save(void *context, const void *state, size_t bytes, double progress)
{
    struct try *const t = context;
    CHECK(progress >= 0 && progress <= 1);
    if (t->states < STATES) {
        t->state[t->states] = malloc(bytes);
        REQUIRE(t->state[t->states]);
        memcpy(t->state[t->states], state, bytes);
        t->state_bytes[t->states] = bytes;
    }
    t->states++;
    return t->states == t->stop_after ? fail(STATUS_CANCELLED, "killed here") : STATUS_OK;
}

/* Makes of each preview a spectrogram, as a worker does. */
static int look(void *context, const struct vae_fit_view *v)
{
    struct try *const t = context;
    float map[8 * 16];
    const struct vae_metric *const last = &v->metrics[v->metric_count - 1];
    CHECK(v->metric_count >= 1 && last->step == v->step && v->step % 10 == 0 && v->steps == t->o.recipe.steps);
    CHECK(v->config->audio.deviation_db > 1 && v->metrics == t->metric);
    for (int kind = 0; kind < VAE_PREVIEWS; kind++) {
        CHECK_OK(vae_preview_map(v->trainer, v->examples, (enum vae_preview)kind, 0, t->o.seed, map));
        for (int i = 0; i < 8 * 16; i++)
            CHECK(isfinite(map[i]));
    }
    t->looked++;
    t->best_looked += v->best;
    return STATUS_OK;
}

static int paused(void *context, const void *state, size_t bytes)
{
    struct try *const t = context;
    REQUIRE(t->pauses++ == 0 && bytes > 0);
    t->pause = malloc(bytes);
    REQUIRE(t->pause);
    memcpy(t->pause, state, bytes);
    t->pause_bytes = bytes;
    return STATUS_OK;
}

static void says(void *context, const char *text)
{
    struct try *const t = context;
    CHECK(text[0]);
    t->said++;
}

static void refused(void *context)
{
    struct try *const t = context;
    t->refused++;
}

static struct try *try_open(int threads)
{
    struct try *const t = calloc(1, sizeof *t);
    REQUIRE(t);
    const enum exec_isa isa = isa_best();
    CHECK_OK(exec_create(&(struct exec_options){.threads = threads, .isa = isa, .ops = ops_cpu(isa)}, &t->ex));
    CHECK_OK(vae_fit_preset("tiny", &t->o));
    t->o.config = (struct vae_config){.frames = 8,
                                      .mels = 16,
                                      .depth = 2,
                                      .channels = {4, 8},
                                      .stride_frames = {2, 2},
                                      .stride_mels = {2, 2},
                                      .groups = 2,
                                      .latent = 3,
                                      .dropout = 0.1,
                                      .audio = {RATE, 256, 128, 30, 4000, -80, 0, 1}};
    t->o.recipe.batch = 4;
    t->o.recipe.steps = 60;
    t->o.recipe.warmup = 5;
    t->o.recipe.patience = 100;
    t->o.recipe.beta_steps = 20;
    t->o.validate_steps = 10;
    t->o.change.semitones = (struct augment_range){-1, 1};
    t->o.seed = 11;
    for (int s = 0; s < SOUNDS; s++) {
        for (int i = 0; i < SAMPLES; i++)
            t->x[s][i] = 0.5F * sinf(6.2831853F * (float)(300 + 250 * s) * (float)i / RATE) * expf(-(float)i / 1500);
        t->sound[s] = (struct vae_sound){t->x[s], SAMPLES - 200 * s, s == 3};
    }
    return t;
}

static void try_close(struct try *t)
{
    for (int i = 0; i < STATES; i++)
        free(t->state[i]);
    free(t->weights);
    free(t->pause);
    exec_destroy(&t->ex);
    free(t);
}

static int fit(struct try *t, const void *state, size_t bytes)
{
    const struct vae_fit_hooks hooks = {.context = t,
                                        .alive = alive,
                                        .save = save,
                                        .look = t->looks ? look : NULL,
                                        .says = says,
                                        .sounds = t->for_sounds,
                                        .paused = paused,
                                        .refused = refused};
    struct vae_trainer *trainer = NULL;
    const int code = vae_fit(&t->o, t->sound, SOUNDS, t->ex, t->ex, state, bytes, &hooks, &t->result, t->metric,
                             &t->metrics, &trainer);
    CHECK(code ? !trainer : trainer != NULL);
    if (code)
        return code;
    t->parameters = vae_trainer_parameters(trainer);
    t->weights = malloc((size_t)t->parameters * sizeof *t->weights);
    REQUIRE(t->weights);
    CHECK_OK(vae_trainer_get(trainer, VAE_AVERAGE, t->weights));
    vae_trainer_destroy(&trainer);
    return STATUS_OK;
}

TEST(learns)
{
    struct try *const t = try_open(1);
    t->o.recipe.steps = 200;
    t->o.recipe.ema_decay = 0.9;
    CHECK_OK(fit(t, NULL, 0));
    CHECK(t->metrics == 20 && t->result.steps == 200 && t->result.end == VAE_END_STEPS && t->result.bad_steps == 0);
    CHECK(t->metric[19].train_loss < 0.6 * t->metric[0].train_loss);
    CHECK(t->result.best_step > 0 && t->result.validation_loss <= t->metric[0].validation_loss);
    CHECK(t->result.config.audio.deviation_db > 1 && t->result.config.audio.mean_db < 0);
    CHECK(t->states == 21); /* before the first step too */
    try_close(t);
}

TEST(stops_when_it_gets_no_better)
{
    struct try *const t = try_open(1);
    t->o.recipe.rate = 1e-30; /* no weight moves */
    t->o.recipe.patience = 2;
    t->o.recipe.ema_decay = 0;
    CHECK_OK(fit(t, NULL, 0));
    CHECK(t->result.end == VAE_END_PATIENCE && t->result.steps < 60);
    try_close(t);
}

/* From each state, and from states of what was taken up: the weights of a run that nobody disturbed. */
TEST(goes_on_bit_by_bit)
{
    struct try *const whole = try_open(1);
    CHECK_OK(fit(whole, NULL, 0));
    CHECK(whole->states == 7);
    for (int i = 0; i < whole->states; i++) {
        struct try *const rest = try_open(2); /* threads change nothing */
        CHECK_OK(fit(rest, whole->state[i], whole->state_bytes[i]));
        CHECK(rest->parameters == whole->parameters &&
              compare_bits(rest->weights, whole->weights, (size_t)rest->parameters * sizeof(float)));
        CHECK(rest->metrics == whole->metrics && rest->metric[5].validation_loss == whole->metric[5].validation_loss);
        CHECK(rest->result.best_step == whole->result.best_step);
        try_close(rest);
    }
    struct try *const part = try_open(1);
    part->stop_after = 3;
    CHECK_CODE(fit(part, NULL, 0), STATUS_CANCELLED);
    struct try *const next = try_open(1);
    next->stop_after = 2;
    CHECK_CODE(fit(next, part->state[1], part->state_bytes[1]), STATUS_CANCELLED);
    struct try *const last = try_open(1);
    CHECK_OK(fit(last, next->state[1], next->state_bytes[1]));
    CHECK(compare_bits(last->weights, whole->weights, (size_t)last->parameters * sizeof(float)));
    try_close(last);
    try_close(next);
    try_close(part);
    try_close(whole);
}

/* Whoever looks changes nothing, and sees the curve from its beginning, also of what was taken up. */
TEST(looks_change_nothing)
{
    struct try *const plain = try_open(1), *const seen = try_open(1), *const rest = try_open(1);
    CHECK_OK(fit(plain, NULL, 0));
    seen->looks = rest->looks = true;
    CHECK_OK(fit(seen, NULL, 0));
    CHECK(seen->looked == 6 && seen->best_looked >= 1);
    CHECK(compare_bits(seen->weights, plain->weights, (size_t)plain->parameters * sizeof(float)));
    CHECK(seen->states == plain->states);
    CHECK_OK(fit(rest, seen->state[4], seen->state_bytes[4]));
    CHECK(rest->looked == 2 && rest->metrics == 6);
    CHECK(compare_bits(rest->weights, plain->weights, (size_t)plain->parameters * sizeof(float)));
    for (int i = 0; i < 6; i++) /* but for the seconds */
        CHECK(rest->metric[i].step == plain->metric[i].step && rest->metric[i].kl == plain->metric[i].kl &&
              rest->metric[i].train_loss == plain->metric[i].train_loss);
    try_close(rest);
    try_close(seen);
    try_close(plain);
}

/* It is what was saved last; and, taken up with nothing left to do, it is handed once more. */
static void check_pause(const struct try *t)
{
    const int last = t->states - 1;
    CHECK(t->pause_bytes == t->state_bytes[last] && compare_bits(t->pause, t->state[last], t->pause_bytes));
    struct try *const again = try_open(1);
    again->o.pause_step = t->o.pause_step;
    CHECK_OK(fit(again, t->pause, t->pause_bytes));
    CHECK(again->states == 0 && again->pauses == 1 && again->pause_bytes == t->pause_bytes);
    CHECK(compare_bits(again->pause, t->pause, t->pause_bytes));
    CHECK(again->result.validation_loss == t->result.validation_loss && again->result.steps == t->result.steps);
    try_close(again);
}

/* In rounds: each goes on from the last state of the one before, and the end is that of a run in one piece. */
TEST(pauses_and_goes_on_bit_by_bit)
{
    static const int64_t pauses[] = {10, 30, 60, 0}; /* 60: all steps, so nothing is left for the last */
    struct try *const whole = try_open(1);
    CHECK_OK(fit(whole, NULL, 0));
    struct try *round = NULL;
    for (size_t i = 0; i < sizeof pauses / sizeof *pauses; i++) {
        struct try *const next = try_open(1);
        next->o.pause_step = pauses[i];
        const int had = round ? round->states - 1 : 0;
        CHECK_OK(fit(next, round ? round->state[had] : NULL, round ? round->state_bytes[had] : 0));
        if (round)
            try_close(round);
        round = next;
        const int64_t end = pauses[i] ? pauses[i] : 60;
        CHECK(next->result.steps == end && next->metrics == end / 10);
        CHECK(next->result.end == (end < 60 ? VAE_END_PAUSE : VAE_END_STEPS));
        CHECK(next->result.best_step <= end && next->result.best_step > 0);
        CHECK(next->result.validation_loss == next->metric[next->result.best_step / 10 - 1].validation_loss);
        CHECK((next->states == 0) == (i == 3)); /* the last had nothing left to do */
        CHECK(next->pauses == (pauses[i] > 0));
        if (pauses[i])
            check_pause(next);
    }
    CHECK(round->result.best_step == whole->result.best_step);
    CHECK(compare_bits(round->weights, whole->weights, (size_t)whole->parameters * sizeof(float)));
    try_close(round);
    struct try *const bad = try_open(1);
    bad->o.pause_step = 15;
    CHECK_CODE(fit(bad, NULL, 0), STATUS_ARGUMENT);
    bad->o.pause_step = -10;
    CHECK_CODE(fit(bad, NULL, 0), STATUS_ARGUMENT);
    CHECK(bad->states == 0);
    try_close(bad);
    try_close(whole);
}

#define EXPECT(code, change) \
    do { \
        struct try *const t = try_open(1); \
        uint8_t *const state = malloc(whole->state_bytes[2]); \
        size_t bytes = whole->state_bytes[2]; \
        REQUIRE(state); \
        memcpy(state, whole->state[2], bytes); \
        change; \
        CHECK_CODE(fit(t, state, bytes), code); \
        CHECK(t->states == 0 && t->refused == 1); \
        free(state); \
        try_close(t); \
    } while (0)

TEST(refuses_states_that_are_not_its_own)
{
    struct try *const whole = try_open(1);
    CHECK_OK(fit(whole, NULL, 0));
    EXPECT(STATUS_FORMAT, bytes = 0);
    EXPECT(STATUS_FORMAT, bytes = 100);
    EXPECT(STATUS_FORMAT, bytes--);
    EXPECT(STATUS_FORMAT, state[0] ^= 1);
    EXPECT(STATUS_VERSION, state[8] ^= 1);
    EXPECT(STATUS_FORMAT, state[12] ^= 1);
    EXPECT(STATUS_FORMAT, state[bytes - 1] ^= 1);
    EXPECT(STATUS_FORMAT, state[bytes / 2] ^= 128);
    EXPECT(STATUS_ARGUMENT, t->o.seed++);
    EXPECT(STATUS_ARGUMENT, t->o.recipe.rate *= 2);
    EXPECT(STATUS_ARGUMENT, t->o.config.latent++);
    EXPECT(STATUS_ARGUMENT, t->o.sounds[31] = 1);
    EXPECT(STATUS_ARGUMENT, t->o.change.noise_db.most++);
    EXPECT(STATUS_NOT_FOUND, t->o.pause_step = 10); /* it is of step 20: what it was at 10 is not in it */
    try_close(whole);
}

/* It is gone on with, said once and counted from then on; here the other place computes the same bits. */
TEST(goes_on_elsewhere_and_says_so)
{
    struct try *const whole = try_open(1);
    CHECK_OK(fit(whole, NULL, 0));
    CHECK(whole->result.moves == 0 && whole->said == 0);
    struct try *const moved = try_open(1);
    snprintf(moved->o.device, sizeof moved->o.device, "another");
    CHECK_OK(fit(moved, whole->state[2], whole->state_bytes[2]));
    CHECK(moved->result.moves == 1 && moved->said == 1 && moved->result.from > 0);
    CHECK(compare_bits(moved->weights, whole->weights, (size_t)whole->parameters * sizeof(float)));
    struct try *const stays = try_open(1);
    snprintf(stays->o.device, sizeof stays->o.device, "another");
    CHECK_OK(fit(stays, moved->state[0], moved->state_bytes[0]));
    CHECK(stays->result.moves == 1 && stays->said == 0);
    struct try *const back = try_open(1);
    CHECK_OK(fit(back, moved->state[0], moved->state_bytes[0]));
    CHECK(back->result.moves == 2 && back->said == 1);
    try_close(back);
    try_close(stays);
    try_close(moved);
    try_close(whole);
}

/* Beside the exec; and around what the sounds need, never around a step. */
static void for_sounds(void *context, bool begin)
{
    struct try *const t = context;
    CHECK(t->sounds != begin);
    t->sounds = begin;
    t->turns += begin;
}

TEST(says_when_it_works_on_sounds)
{
    struct try *const t = try_open(1);
    t->o.recipe.steps = 20;
    t->for_sounds = for_sounds;
    CHECK_OK(fit(t, NULL, 0));
    /* The beginning, steps, two validations, what came of it: three places of each sound, four to a batch. */
    CHECK(!t->sounds && t->turns == 2 + 20 + 2 + (1 + 6));
    try_close(t);
}

TEST(survives_losses_that_are_not_finite)
{
    struct try *const t = try_open(1);
    t->o.recipe.beta = 1e300; /* times a divergence, as gradients in f32 */
    t->o.recipe.beta_steps = 40;
    const int code = fit(t, NULL, 0);
    CHECK(code == STATUS_ARGUMENT);
    CHECK(t->said >= VAE_BAD_MOST);
    CHECK(strstr(status_message(), "not finite"));
    /* Gone on with from behind the last of them: the same code, and the state is not to blame. */
    struct try *const again = try_open(1);
    const int last = t->states - 1;
    REQUIRE(last >= VAE_BAD_MOST && last < STATES);
    again->o = t->o;
    CHECK_CODE(fit(again, t->state[last], t->state_bytes[last]), STATUS_ARGUMENT);
    CHECK(strstr(status_message(), "not finite") && again->said == 0 && again->refused == 0);
    try_close(again);
    try_close(t);
}

/* What is validated of a long sound: its beginning, its end, and evenly between, after the beginnings of all. */
TEST(hears_long_sounds_to_their_end)
{
    enum { EXAMPLE = 7 * 128, VALUES = 8 * 16, LONG = 20 * EXAMPLE };
    static float longer[LONG], got[VALUES], wanted[VALUES];
    struct try *const t = try_open(1);
    struct vae_examples *e = NULL, *one = NULL;
    const struct vae_sound sounds[] = {
        {t->x[0], EXAMPLE, false}, {longer, LONG, false}, {t->x[1], EXAMPLE + 1, false}, {t->x[2], 10, true}};
    const struct {
        int64_t index, sound, from; /* from: where it begins */
    } cases[] = {{0, 0, 0},
                 {1, 1, 0},
                 {2, 2, 0},
                 {3, 1, 19 * EXAMPLE / 7},
                 {4, 2, 1},
                 {5, 1, 38 * EXAMPLE / 7},
                 {10, 1, 19 * EXAMPLE}};
    for (int i = EXAMPLE; i < LONG; i++) /* silence first, then ever higher */
        longer[i] = 0.5F * sinf(1e-4F * (float)i * (float)i);
    CHECK_OK(vae_examples_open(&t->o.config, &t->o.change, 1, sounds, 4, t->ex, &e));
    CHECK(vae_examples_training(e) == 3 && vae_examples_validation(e) == 1);
    CHECK(vae_examples_plains(e, false) == 1 + VAE_PARTS_MOST + 2 && vae_examples_plains(e, true) == 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct vae_sound part = {sounds[cases[i].sound].samples + cases[i].from, EXAMPLE, true};
        CHECK_OK(vae_examples_open(&t->o.config, &t->o.change, 1, &part, 1, t->ex, &one));
        CHECK_OK(vae_examples_plain(one, true, 0, 1, wanted));
        CHECK_OK(vae_examples_plain(e, false, cases[i].index, 1, got));
        CHECK(compare_bits(got, wanted, sizeof got));
        vae_examples_close(&one);
    }
    CHECK_CODE(vae_examples_plain(e, false, 11, 1, got), STATUS_ARGUMENT);
    vae_examples_close(&e);
    /* One that begins with silence: what follows is measured, not taken for none. */
    struct vae_audio audio = t->o.config.audio;
    CHECK_OK(vae_examples_open(&t->o.config, &t->o.change, 1, sounds + 1, 1, t->ex, &e));
    CHECK_OK(vae_examples_measure(e, &audio));
    CHECK(audio.deviation_db > 5 && audio.mean_db > -79);
    vae_examples_close(&e);
    longer[19 * EXAMPLE + 3] = INFINITY;
    CHECK_OK(vae_examples_open(&t->o.config, &t->o.change, 1, sounds + 1, 1, t->ex, &e));
    CHECK_CODE(vae_examples_plain(e, false, 7, 1, got), STATUS_ARGUMENT);
    CHECK(strstr(status_message(), "sample"));
    vae_examples_close(&e);
    try_close(t);
}

TEST(refuses_what_cannot_be_learnt)
{
    struct try *const t = try_open(1);
    for (int s = 0; s < SOUNDS; s++)
        t->sound[s].count = 0;
    CHECK_CODE(fit(t, NULL, 0), STATUS_ARGUMENT);
    t->sound[0].count = SAMPLES;
    t->x[0][5] = NAN;
    CHECK_CODE(fit(t, NULL, 0), STATUS_ARGUMENT);
    t->x[0][5] = 0;
    t->o.config.channels[1] = 7; /* two groups */
    CHECK_CODE(fit(t, NULL, 0), STATUS_ARGUMENT);
    try_close(t);
}
