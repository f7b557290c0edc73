#include "activate.h"

#include "exec.h"
#include "philox.h"

#include <math.h>

struct activated {
    const struct activate_params *p;
    const struct step_state *state;
    const struct activate_norm *norm;
    const struct maps *x, *y, *dy, *dx;
    double *sums; /* [items][channels][2]: of du, and of du*xhat */
};

static int64_t group_channels(const struct activated *a)
{
    return a->x->channels / a->p->groups;
}

static float *value(const struct maps *m, int64_t b, int64_t at, int64_t c)
{
    return maps_row(m, b, at / m->width) + at % m->width * m->channels + c;
}

static double kept(const struct activated *a, int64_t b, int64_t at, int64_t c)
{
    if (a->p->dropout == 0)
        return 1;
    const int64_t n = (b * a->x->height * a->x->width + at) * a->x->channels + c;
    const struct philox words = philox_at(a->state->seed, a->p->stream, a->state->step, n);
    return words.word[n % 4] < activate_threshold(a->p) ? 0 : (double)activate_scale(a->p);
}

static double normed(const struct activated *a, int64_t b, int64_t at, int64_t c)
{
    const double x = *value(a->x, b, at, c);
    const float *const s = a->norm->statistics + 2 * (b * a->p->groups + c / group_channels(a));
    return (x - (double)s[0]) * (double)s[1];
}

static double input(const struct activated *a, int64_t b, int64_t at, int64_t c)
{
    return a->p->groups ? normed(a, b, at, c) * a->norm->gain[c] + a->norm->shift[c] : *value(a->x, b, at, c);
}

static double activation(const struct activate_params *p, double u)
{
    return p->kind == ACTIVATE_NONE ? u : p->kind == ACTIVATE_SILU ? u / (1 + exp(-u)) : u > 0 ? u : p->slope * u;
}

static double slope(const struct activate_params *p, double u)
{
    const double gate = 1 / (1 + exp(-u));
    if (p->kind == ACTIVATE_SILU)
        return gate * (1 + u * (1 - gate));
    return p->kind == ACTIVATE_NONE || u > 0 ? 1 : p->slope;
}

static void measure(const struct activated *a, int64_t b, int64_t group)
{
    const int64_t positions = a->x->height * a->x->width, first = group * group_channels(a);
    const double n = (double)(positions * group_channels(a));
    double sum = 0, squares = 0;
    for (int64_t at = 0; at < positions; at++)
        for (int64_t c = first; c < first + group_channels(a); c++)
            sum += *value(a->x, b, at, c);
    for (int64_t at = 0; at < positions; at++)
        for (int64_t c = first; c < first + group_channels(a); c++) {
            const double gap = *value(a->x, b, at, c) - sum / n;
            squares += gap * gap;
        }
    float *const to = a->norm->statistics + 2 * (b * a->p->groups + group);
    to[0] = (float)(sum / n);
    to[1] = (float)(1 / sqrt(squares / n + (double)a->p->epsilon));
}

static int activate_item(void *context, int64_t b)
{
    const struct activated *const a = context;
    for (int64_t group = 0; group < a->p->groups; group++)
        measure(a, b, group);
    for (int64_t at = 0; at < a->x->height * a->x->width; at++)
        for (int64_t c = 0; c < a->x->channels; c++)
            *value(a->y, b, at, c) = (float)(kept(a, b, at, c) * activation(a->p, input(a, b, at, c)));
    return STATUS_OK;
}

int activate_cpu(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                 const struct activate_norm *norm, const struct maps *x, const struct maps *y)
{
    struct activated a = {.p = p, .state = state, .norm = norm, .x = x, .y = y};
    return exec_parallel(ex, x->items, activate_item, &a);
}

/* ---- and back: du takes the place of dx until its sums are known ---- */

static void gradient_of_group(const struct activated *a, int64_t b, int64_t group)
{
    const int64_t positions = a->x->height * a->x->width, first = group * group_channels(a);
    const double n = (double)(positions * group_channels(a));
    const double rstd = a->norm->statistics[2 * (b * a->p->groups + group) + 1];
    double sum = 0, along = 0;
    for (int64_t c = first; c < first + group_channels(a); c++) {
        sum += a->norm->gain[c] * a->sums[2 * (b * a->x->channels + c)];
        along += a->norm->gain[c] * a->sums[2 * (b * a->x->channels + c) + 1];
    }
    for (int64_t at = 0; at < positions; at++)
        for (int64_t c = first; c < first + group_channels(a); c++) {
            float *const dx = value(a->dx, b, at, c);
            *dx = (float)(rstd * ((double)*dx * a->norm->gain[c] - sum / n - normed(a, b, at, c) * along / n));
        }
}

static int gradient_item(void *context, int64_t b)
{
    const struct activated *const a = context;
    for (int64_t at = 0; at < a->x->height * a->x->width; at++)
        for (int64_t c = 0; c < a->x->channels; c++) {
            const double du = *value(a->dy, b, at, c) * kept(a, b, at, c) * slope(a->p, input(a, b, at, c));
            *value(a->dx, b, at, c) = (float)du;
            if (a->p->groups) {
                a->sums[2 * (b * a->x->channels + c)] += du;
                a->sums[2 * (b * a->x->channels + c) + 1] += du * normed(a, b, at, c);
            }
        }
    for (int64_t group = 0; group < a->p->groups; group++)
        gradient_of_group(a, b, group);
    return STATUS_OK;
}

int activate_gradient_cpu(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                          const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                          const struct maps *dx, float *dgain, float *dshift)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct activated a = {.p = p, .state = state, .norm = norm, .x = x, .dy = dy, .dx = dx};
    const int64_t of_items = 2 * x->items * x->channels;
    int code = p->groups ? arena_alloc(arena, (size_t)of_items * sizeof *a.sums, &a.sums) : STATUS_OK;
    for (int64_t i = 0; i < of_items && p->groups && !code; i++)
        a.sums[i] = 0;
    code = code ? code : exec_parallel(ex, x->items, gradient_item, &a);
    for (int64_t c = 0; c < x->channels && p->groups && !code; c++) {
        double shift = 0, gain = 0;
        for (int64_t b = 0; b < x->items; b++) {
            shift += a.sums[2 * (b * x->channels + c)];
            gain += a.sums[2 * (b * x->channels + c) + 1];
        }
        dshift[c] = (float)shift;
        dgain[c] = (float)gain;
    }
    arena_reset(arena, mark);
    return code;
}
