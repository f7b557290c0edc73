#include "oracle_training.h"

#include "philox.h"

#include <math.h>
#include <stdlib.h>

void oracle_column_sums(const struct oracle_shape *s, const float *x, double *y, double *size)
{
    for (int64_t c = 0; c < s->channels; c++) {
        y[c] = size[c] = 0;
        for (int64_t i = c; i < s->items * s->height * s->width * s->channels; i += s->channels) {
            y[c] += x[i];
            size[c] += fabs((double)x[i]);
        }
    }
}

static double keep(const struct activate_params *p, const struct step_state *state, int64_t n)
{
    if (p->dropout == 0)
        return 1;
    const double share = floor((double)p->dropout * 4294967296.0) / 4294967296.0;
    return philox_uniform(state->seed, p->stream, state->step, n) < share ? 0 : 1 / (1 - (double)p->dropout);
}

static double act(const struct activate_params *p, double u, double *slope)
{
    const double gate = 1 / (1 + exp(-u)), below = (double)p->slope;
    *slope = p->kind == ACTIVATE_SILU         ? gate + u * gate * (1 - gate)
             : p->kind == ACTIVATE_LEAKY_RELU ? (u > 0 ? 1 : below)
                                              : 1;
    return p->kind == ACTIVATE_SILU ? u * gate : u * *slope;
}

/* Of a group of an item, whose values lie at first + position*channels + k, k < each. */
struct norm {
    int64_t first, each, positions, channels;
    double mean, rstd;
};

static int64_t at(const struct norm *g, int64_t i)
{
    return g->first + i / g->each * g->channels + i % g->each;
}

static void measure(struct norm *g, const float *x, double epsilon)
{
    const double n = (double)(g->positions * g->each);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < g->positions * g->each; i++)
        sum += x[at(g, i)];
    g->mean = sum / n;
    for (int64_t i = 0; i < g->positions * g->each; i++)
        squares += pow(x[at(g, i)] - g->mean, 2);
    g->rstd = 1 / sqrt(squares / n + epsilon);
}

static void centre(const struct norm *g, const float *gain, const float *x, double *dx)
{
    const double n = (double)(g->positions * g->each);
    double sum = 0, along = 0;
    for (int64_t i = 0; i < g->positions * g->each; i++) {
        const int64_t k = at(g, i);
        sum += dx[k] * gain[k % g->channels];
        along += dx[k] * gain[k % g->channels] * (x[k] - g->mean) * g->rstd;
    }
    for (int64_t i = 0; i < g->positions * g->each; i++) {
        const int64_t k = at(g, i);
        dx[k] = g->rstd * (dx[k] * gain[k % g->channels] - sum / n - (x[k] - g->mean) * g->rstd * along / n);
    }
}

void oracle_activate(const struct activate_params *p, const struct step_state *state, const struct oracle_shape *s,
                     const float *gain, const float *shift, const float *x, double *y, const float *dy, double *dx,
                     double *dgain, double *dshift)
{
    const int64_t groups = p->groups ? p->groups : 1, each = s->channels / groups, positions = s->height * s->width;
    for (int64_t c = 0; c < s->channels && dgain; c++)
        dgain[c] = dshift[c] = 0;
    for (int64_t unit = 0; unit < s->items * groups; unit++) {
        struct norm g = {
            unit / groups * positions * s->channels + unit % groups * each, each, positions, s->channels, 0, 1};
        if (p->groups)
            measure(&g, x, (double)p->epsilon);
        for (int64_t i = 0; i < positions * each; i++) {
            const int64_t k = at(&g, i), c = k % s->channels;
            const double xhat = (x[k] - g.mean) * g.rstd;
            double slope;
            const double a = act(p, p->groups ? xhat * gain[c] + shift[c] : x[k], &slope), kept = keep(p, state, k);
            y[k] = kept * a;
            if (!dy)
                continue;
            dx[k] = dy[k] * kept * slope;
            if (p->groups && dgain) {
                dgain[c] += dx[k] * xhat;
                dshift[c] += dx[k];
            }
        }
        if (dy && p->groups)
            centre(&g, gain, x, dx);
    }
}

static double clamped(double logvar)
{
    return fmin(20, fmax(-30, logvar));
}

static double noise(const struct latent_params *p, const struct step_state *state, int64_t n)
{
    return p->noise ? philox_normal(state->seed, p->stream, state->step, n) : 0;
}

double oracle_latent(const struct latent_params *p, const struct step_state *state, const float *h, double *z,
                     double *kl)
{
    double all = 0;
    for (int64_t d = 0; d < p->dims; d++) {
        kl[d] = 0;
        for (int64_t b = 0; b < p->items; b++) {
            const double mean = h[b * 2 * p->dims + d], lv = clamped(h[b * 2 * p->dims + p->dims + d]);
            z[b * p->dims + d] = mean + exp(lv / 2) * noise(p, state, b * p->dims + d);
            kl[d] += (mean * mean + exp(lv) - 1 - lv) / 2 / (double)p->items;
        }
        all += fmax(kl[d], state->kl_floor);
    }
    return all;
}

void oracle_latent_gradient(const struct latent_params *p, const struct step_state *state, const float *h,
                            const double *kl, const float *dz, double *dh)
{
    for (int64_t n = 0; n < p->items * p->dims; n++) {
        const int64_t d = n % p->dims, mean_at = n / p->dims * 2 * p->dims + d, lv_at = mean_at + p->dims;
        const double lv = clamped(h[lv_at]), w = kl[d] > state->kl_floor ? state->beta / (double)p->items : 0;
        dh[mean_at] = dz[n] + w * h[mean_at];
        dh[lv_at] = dz[n] * noise(p, state, n) * exp(lv / 2) / 2 + w * (exp(lv) - 1) / 2;
        if (h[lv_at] < -30 || h[lv_at] > 20)
            dh[lv_at] = 0;
    }
}

double oracle_reconstruction(double weight_l1, int64_t n, const float *y, const float *x, double *dy)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double gap = (double)y[i] - (double)x[i];
        sum += gap * gap + weight_l1 * fabs(gap);
        dy[i] = (2 * gap + (gap > 0 ? weight_l1 : gap < 0 ? -weight_l1 : 0)) / (double)n;
    }
    return sum / (double)n;
}

double oracle_norm(const float *g, int64_t n)
{
    long double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (long double)g[i] * g[i];
    return (double)sqrtl(sum);
}

void oracle_adamw(const struct step_state *state, const struct adamw_span *spans, int64_t count, int64_t n,
                  const float *grad, const struct oracle_adamw *b)
{
    const double t = (double)state->step;
    for (int64_t i = 0; i < n; i++) {
        double decay = 0;
        for (int64_t s = 0; s < count; s++)
            if (i >= spans[s].begin && i < spans[s].begin + spans[s].count)
                decay = spans[s].decay;
        const double g = grad[i] * state->clip_factor;
        b->param[i] *= 1 - state->rate * state->weight_decay * decay;
        b->m[i] += (1 - state->beta1) * (g - b->m[i]);
        b->v[i] = state->beta2 * b->v[i] + (1 - state->beta2) * g * g;
        const double m = b->m[i] / (1 - pow(state->beta1, t)), v = b->v[i] / (1 - pow(state->beta2, t));
        b->param[i] -= state->rate * m / (sqrt(v) + state->epsilon);
        b->ema[i] = state->ema_decay * b->ema[i] + (1 - state->ema_decay) * b->param[i];
    }
}
