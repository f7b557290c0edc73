#include "sweep_plan.h"

#include "vae_fit.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 64, GRID_MOST = 10000000 };

static const struct parameter {
    const char *name;
    double least, most;
    size_t place;  /* in a train_item */
    bool is_whole; /* a uint64_t, 0 being the preset's */
} parameters[SWEEP_PARAMETERS] = {
    [SWEEP_LATENT] = {"latent", 1, VAE_LATENT_MOST, offsetof(struct kind_train_item, latent), true},
    [SWEEP_DROPOUT] = {"dropout", 0, 0.95, offsetof(struct kind_train_item, dropout), false},
    [SWEEP_WEIGHT_DECAY] = {"weight decay", 0, 1, offsetof(struct kind_train_item, weight_decay), false},
    [SWEEP_BETA] = {"beta", 0, 1e6, offsetof(struct kind_train_item, beta), false},
    [SWEEP_RATE] = {"rate", 1e-9, 1, offsetof(struct kind_train_item, rate), false},
};

/* ---- lists ---- */

/* The next word of a list; false: an empty one, or one too long. *text is behind it, or NULL at the end. */
static bool next_word(const char **text, char out[WORD])
{
    const size_t n = strcspn(*text, ",");
    if (n == 0 || n >= WORD)
        return false;
    memcpy(out, *text, n);
    out[n] = '\0';
    *text = (*text)[n] ? *text + n + 1 : NULL;
    return true;
}

static int bad_list(const char *text, int most)
{
    return fail(STATUS_ARGUMENT, "'%.80s' is not a list a,b,c of 1 to %d", text, most);
}

int sweep_plan_presets(struct sweep_plan *p, const char *text)
{
    struct vae_fit_options o;
    char word[WORD];
    p->presets = 0;
    for (const char *rest = text; rest; p->presets++) {
        if (p->presets == SWEEP_PRESETS_MOST || !next_word(&rest, word))
            return bad_list(text, SWEEP_PRESETS_MOST);
        const int code = vae_fit_preset(word, &o);
        if (code)
            return code;
        snprintf(p->preset[p->presets], sizeof p->preset[0], "%.*s", LIMIT_FEATURE_NAME, word);
    }
    return STATUS_OK;
}

int sweep_plan_seeds(struct sweep_plan *p, const char *text)
{
    char word[WORD], *end;
    p->seeds = 0;
    for (const char *rest = text; rest; p->seeds++) {
        if (p->seeds == SWEEP_VALUES_MOST || !next_word(&rest, word))
            return bad_list(text, SWEEP_VALUES_MOST);
        errno = 0;
        p->seed[p->seeds] = strtoull(word, &end, 10);
        if (word[0] < '0' || word[0] > '9' || *end || errno)
            return fail(STATUS_ARGUMENT, "'%s' is no whole number", word);
    }
    return STATUS_OK;
}

static int read_value(const struct parameter *q, const char *text, double *out)
{
    char *end;
    errno = 0;
    *out = strtod(text, &end);
    if (!*text || *end || errno || !(*out >= q->least && *out <= q->most))
        return fail(STATUS_ARGUMENT, "'%.80s' is not a number from %.10g to %.10g", text, q->least, q->most);
    return q->is_whole && *out != floor(*out) ? fail(STATUS_ARGUMENT, "'%.80s' is no whole number", text) : STATUS_OK;
}

static int read_range(const struct parameter *q, const char *text, struct sweep_axis *a)
{
    char low[WORD] = "";
    const char *const dots = strstr(text, "..");
    if (dots - text < WORD)
        memcpy(low, text, (size_t)(dots - text));
    int code = read_value(q, low, &a->value[0]);
    code = code ? code : read_value(q, dots + 2, &a->value[1]);
    if (!code && a->value[0] >= a->value[1])
        code = fail(STATUS_ARGUMENT, "'%.80s' ends before it begins", text);
    a->is_range = true;
    a->count = 2;
    return code;
}

int sweep_plan_axis(struct sweep_plan *p, enum sweep_parameter parameter, const char *text)
{
    const struct parameter *const q = &parameters[parameter];
    struct sweep_axis *const a = &p->axis[parameter];
    char word[WORD];
    *a = (struct sweep_axis){.count = 0};
    if (strstr(text, ".."))
        return read_range(q, text, a);
    for (const char *rest = text; rest; a->count++) {
        if (a->count == SWEEP_VALUES_MOST || !next_word(&rest, word))
            return bad_list(text, SWEEP_VALUES_MOST);
        const int code = read_value(q, word, &a->value[a->count]);
        if (code)
            return code;
    }
    return STATUS_OK;
}

/* ---- trials ---- */

static void set_value(struct kind_train_item *item, enum sweep_parameter parameter, double value)
{
    void *const at = (char *)item + parameters[parameter].place;
    if (parameters[parameter].is_whole)
        *(uint64_t *)at = (uint64_t)value;
    else
        *(double *)at = value;
}

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double draw_real(uint64_t *state) /* [0, 1) */
{
    return (double)(draw(state) >> 11) * 0x1p-53;
}

static double between(const struct parameter *q, const struct sweep_axis *a, uint64_t *state)
{
    const double u = draw_real(state), low = a->value[0], high = a->value[1];
    const double x = low > 0 ? low * pow(high / low, u) : low + (high - low) * u;
    return q->is_whole ? round(x) : x;
}

static size_t choices_of(const struct sweep_plan *p, int axis)
{
    return p->axis[axis].count && !p->axis[axis].is_range ? (size_t)p->axis[axis].count : 1;
}

static size_t grid_size(const struct sweep_plan *p)
{
    size_t n = (size_t)p->presets * (size_t)p->seeds;
    for (int i = 0; i < SWEEP_PARAMETERS; i++)
        n *= choices_of(p, i);
    return n;
}

/* The place in the grid as digits, the seed's being the lowest. */
static void trial_at(const struct sweep_plan *p, size_t place, uint64_t *state, struct sweep_trial *out)
{
    out->item = p->common;
    memcpy(out->precision, p->precision, sizeof out->precision);
    out->item.seed = p->seed[place % (size_t)p->seeds];
    place /= (size_t)p->seeds;
    for (int i = SWEEP_PARAMETERS - 1; i >= 0; i--) {
        const struct sweep_axis *const a = &p->axis[i];
        const size_t choices = choices_of(p, i);
        if (a->is_range)
            set_value(&out->item, (enum sweep_parameter)i, between(&parameters[i], a, state));
        else if (a->count)
            set_value(&out->item, (enum sweep_parameter)i, a->value[place % choices]);
        place /= choices;
    }
    memcpy(out->preset, p->preset[place], sizeof out->preset);
}

static bool has_range(const struct sweep_plan *p)
{
    for (int i = 0; i < SWEEP_PARAMETERS; i++)
        if (p->axis[i].is_range)
            return true;
    return false;
}

/* Algorithm S: each place is taken with the chance that is left for it. */
static void fill(struct sweep_plan *p, size_t grid, size_t wanted)
{
    uint64_t state = p->seed[0];
    const bool free_draw = has_range(p);
    size_t n = 0;
    for (size_t place = 0; n < wanted; place++) {
        if (free_draw)
            trial_at(p, (size_t)(draw(&state) % grid), &state, &p->trials[n++]);
        else if (wanted == grid || draw_real(&state) * (double)(grid - place) < (double)(wanted - n))
            trial_at(p, place, &state, &p->trials[n++]);
    }
}

static int set_defaults(struct sweep_plan *p, const char *preset)
{
    static const double rates[] = {0.3, 1, 3}, betas[] = {0.3, 1};
    struct vae_fit_options o;
    bool given = p->seeds > 0;
    for (int i = 0; i < SWEEP_PARAMETERS; i++)
        given = given || p->axis[i].count;
    const int code = p->presets ? STATUS_OK : sweep_plan_presets(p, preset);
    if (code || vae_fit_preset(p->preset[0], &o))
        return code ? code : STATUS_ARGUMENT;
    if (!given) {
        for (int i = 0; i < 3; i++)
            p->axis[SWEEP_RATE].value[p->axis[SWEEP_RATE].count++] = o.recipe.rate * rates[i];
        for (int i = 0; i < 2; i++)
            p->axis[SWEEP_BETA].value[p->axis[SWEEP_BETA].count++] = o.recipe.beta * betas[i];
    }
    for (const int most = p->seeds ? 0 : given ? 1 : 2; p->seeds < most; p->seeds++)
        p->seed[p->seeds] = (uint64_t)p->seeds + 1;
    return STATUS_OK;
}

static double beta_of(const struct sweep_trial *t)
{
    struct vae_fit_options o;
    if (!isnan(t->item.beta))
        return t->item.beta;
    return vae_fit_preset(t->preset, &o) ? (double)NAN : o.recipe.beta;
}

/* Losses of different weights of the divergence are no common measure. */
static void set_judge(struct sweep_plan *p)
{
    struct vae_fit_options o;
    bool same = true;
    for (int64_t i = 1; i < p->h.trials; i++)
        same = same && beta_of(&p->trials[i]) == beta_of(&p->trials[0]);
    if (isnan(p->judge) && !same && vae_fit_preset(p->preset[0], &o) == STATUS_OK)
        p->judge = o.recipe.beta;
}

int sweep_plan_make(struct sweep_plan *p, const char *preset)
{
    int code = set_defaults(p, preset);
    if (code)
        return code;
    const size_t grid = grid_size(p);
    const size_t wanted = p->draws && (p->draws < grid || has_range(p)) ? (size_t)p->draws : grid;
    if (grid > GRID_MOST)
        return fail(STATUS_ARGUMENT, "the lists have %zu combinations, %d is most", grid, GRID_MOST);
    if (has_range(p) && !p->draws)
        return fail(STATUS_ARGUMENT, "a range has no end of values: --trials says how many are drawn");
    if (wanted > HALVING_TRIALS_MOST)
        return fail(STATUS_ARGUMENT, "%zu trainings, %d is most: --trials draws some of them", wanted,
                    HALVING_TRIALS_MOST);
    code = halving_plan((int64_t)wanted, (int64_t)p->eta, &p->h);
    if (!code && p->keep > wanted)
        code = fail(STATUS_ARGUMENT, "%llu of %zu trainings cannot be kept", (unsigned long long)p->keep, wanted);
    if (!code && p->keep > (uint64_t)halving_members_most(&p->h, p->h.rounds - 1))
        code = fail(STATUS_ARGUMENT, "%llu cannot be kept, %lld come to the end: another --halving",
                    (unsigned long long)p->keep, (long long)halving_members_most(&p->h, p->h.rounds - 1));
    p->trials = code ? NULL : calloc(wanted, sizeof *p->trials);
    if (!code && !p->trials)
        code = fail(STATUS_NOMEM, "out of memory");
    if (code)
        return code;
    fill(p, grid, wanted);
    set_judge(p);
    return STATUS_OK;
}

void sweep_plan_free(struct sweep_plan *p)
{
    free(p->trials);
    p->trials = NULL;
}

int64_t sweep_plan_steps(const struct sweep_plan *p, size_t trial, int64_t round)
{
    const struct sweep_trial *const t = &p->trials[trial];
    struct vae_fit_options o;
    if (vae_fit_preset(t->preset, &o))
        return 0; /* presets were looked at */
    return halving_steps(&p->h, round, t->item.steps ? (int64_t)t->item.steps : o.recipe.steps,
                         t->item.validate_steps ? (int64_t)t->item.validate_steps : o.validate_steps);
}

void sweep_trial_text(const struct sweep_trial *t, char *out, size_t capacity)
{
    size_t n = (size_t)snprintf(out, capacity, "%s", t->preset);
    for (int i = 0; i < SWEEP_PARAMETERS && n < capacity; i++) {
        const void *const at = (const char *)&t->item + parameters[i].place;
        const double x = parameters[i].is_whole ? (double)*(const uint64_t *)at : *(const double *)at;
        if (!isnan(x) && !(parameters[i].is_whole && x == 0))
            n += (size_t)snprintf(out + n, capacity - n, ", %s %.4g", parameters[i].name, x);
    }
    if (n < capacity)
        snprintf(out + n, capacity - n, ", seed %llu", (unsigned long long)t->item.seed);
}
