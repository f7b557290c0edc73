/* The polyphase filter on vectors. Four outputs that follow each other look at nearly the same samples: their taps are
 * kept shifted to a common beginning, so that one load of samples serves four. Outputs a whole period apart have the
 * same taps, so that one load of taps serves all of them: ROUNDS at once. */
#include "rows.h"

enum {
    OUTPUTS = 4,        /* of one group */
    ROUNDS = LANES / 4, /* periods at once: as many sums as there are registers for */
    BLOCK = 8 * LANES   /* sums run over blocks of taps, then over blocks: less noise in the stopband */
};

struct group {
    int64_t from;  /* samples that the group's beginning lies before or behind that of the period */
    int64_t phase; /* number of its first output in the period */
};

struct plan {
    int64_t up, down;     /* of a period: a multiple of the lowest terms with at least OUTPUTS outputs */
    int64_t groups, taps; /* taps: of a row, shifts included */
    int64_t half;         /* K/2 - 1: taps before an output's place */
    const struct group *group;
    const float *rows; /* [groups][OUTPUTS][taps] */
};

static struct resample_key period(const struct resample_key *k)
{
    const int64_t times = k->up < OUTPUTS ? (OUTPUTS + k->up - 1) / k->up : 1;
    return (struct resample_key){k->up * times, k->down * times};
}

static int64_t row_taps(const struct resample_key *k)
{
    const int64_t shift = (OUTPUTS - 1) * k->down / k->up + 1;
    return (resample_taps(k) + shift + LANES - 1) / LANES * LANES;
}

static int64_t groups_of(const struct resample_key *period)
{
    return (period->up + OUTPUTS - 1) / OUTPUTS;
}

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t SIMD(resample_plan_bytes)(const void *key)
{
    const struct resample_key *const k = key, p = period(k);
    return round_up(sizeof(struct plan)) + round_up((size_t)groups_of(&p) * sizeof(struct group)) +
           (size_t)(groups_of(&p) * OUTPUTS * row_taps(k)) * sizeof(float);
}

int SIMD(resample_plan_init)(void *memory, const void *key)
{
    const struct resample_key *const k = key, p = period(k);
    struct group *const group = (struct group *)((char *)memory + round_up(sizeof(struct plan)));
    float *const rows = (float *)((char *)group + round_up((size_t)groups_of(&p) * sizeof *group));
    const int64_t taps = row_taps(k), groups = groups_of(&p);
    *(struct plan *)memory = (struct plan){p.up, p.down, groups, taps, resample_taps(k) / 2 - 1, group, rows};
    memset(rows, 0, (size_t)(groups * OUTPUTS * taps) * sizeof *rows);
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = g * OUTPUTS, base = first * p.down / p.up;
        group[g] = (struct group){base, first};
        for (int64_t i = 0; i < OUTPUTS && first + i < p.up; i++) {
            const int64_t at = (first + i) * p.down; /* in units of 1/up of a sample */
            const struct resample_key lowest = *k;
            resample_phase(&lowest, at % p.up * k->up / p.up, rows + (g * OUTPUTS + i) * taps + at / p.up - base);
        }
    }
    return STATUS_OK;
}

/* OUTPUTS x rounds dot products: out[round][output]. The order of a sum does not depend on what else is asked for. */
INLINE void tile(const int rounds, const float *rows, int64_t taps, const float *const x[ROUNDS],
                 float out[ROUNDS][OUTPUTS])
{
    vf sum[ROUNDS][OUTPUTS] = {{{0}}};
    for (int64_t first = 0; first < taps; first += BLOCK) {
        const int64_t end = first + BLOCK < taps ? first + BLOCK : taps;
        vf part[ROUNDS][OUTPUTS] = {{{0}}};
        for (int64_t k = first; k < end; k += LANES) {
            vf h[OUTPUTS];
#pragma GCC unroll 4
            for (int i = 0; i < OUTPUTS; i++)
                h[i] = vf_load(rows + i * taps + k);
#pragma GCC unroll 4
            for (int r = 0; r < rounds; r++) {
                const vf v = vf_load(x[r] + k);
#pragma GCC unroll 4
                for (int i = 0; i < OUTPUTS; i++)
                    part[r][i] += h[i] * v;
            }
        }
#pragma GCC unroll 4
        for (int r = 0; r < rounds; r++)
#pragma GCC unroll 4
            for (int i = 0; i < OUTPUTS; i++)
                sum[r][i] += part[r][i];
    }
#pragma GCC unroll 4
    for (int r = 0; r < rounds; r++)
        vf_totals(sum[r][0], sum[r][1], sum[r][2], sum[r][3], out[r]);
}

struct row {
    const struct plan *plan;
    const float *x;
    int64_t samples, start, first, count;
    float *out;
    float *edge; /* [taps]: a window that reaches outside, filled up with zeros */
};

static void write(const struct row *r, int64_t n, const float *v, int64_t outputs)
{
    for (int64_t i = 0; i < outputs; i++)
        if (n + i >= r->first && n + i < r->first + r->count)
            r->out[n + i - r->first] = v[i];
}

/* One group of periods q .. q + rounds - 1. */
static void run_group(const struct row *r, const struct group *g, int64_t q, int64_t rounds)
{
    const struct plan *const p = r->plan;
    const float *const rows = p->rows + g->phase * p->taps;
    const int64_t outputs = p->up - g->phase < OUTPUTS ? p->up - g->phase : OUTPUTS;
    const int64_t from = q * p->down + g->from - p->half - r->start;
    float out[ROUNDS][OUTPUTS];
    const float *x[ROUNDS];
    if (rounds == ROUNDS && from >= 0 && from + (ROUNDS - 1) * p->down + p->taps <= r->samples) {
        for (int i = 0; i < ROUNDS; i++)
            x[i] = r->x + from + i * p->down;
        tile(ROUNDS, rows, p->taps, x, out);
        for (int i = 0; i < ROUNDS; i++)
            write(r, (q + i) * p->up + g->phase, out[i], outputs);
        return;
    }
    for (int64_t i = 0; i < rounds; i++) {
        const int64_t at = from + i * p->down;
        x[0] = r->x + at;
        if (at < 0 || at + p->taps > r->samples) {
            for (int64_t k = 0; k < p->taps; k++)
                r->edge[k] = at + k >= 0 && at + k < r->samples ? r->x[at + k] : 0;
            x[0] = r->edge;
        }
        tile(1, rows, p->taps, x, out);
        write(r, (q + i) * p->up + g->phase, out[0], outputs);
    }
}

static void run_row(const struct row *r)
{
    const struct plan *const p = r->plan;
    const int64_t end = r->count ? (r->first + r->count - 1) / p->up + 1 : 0;
    for (int64_t q = r->count ? r->first / p->up : 0; q < end; q += ROUNDS)
        for (int64_t g = 0; g < p->groups; g++)
            run_group(r, &p->group[g], q, end - q < ROUNDS ? end - q : ROUNDS);
}

int SIMD(resample)(struct exec *ex, const void *memory, const struct ragged *x, struct ragged *y)
{
    const struct plan *const plan = memory;
    const struct resample_params p = {plan->down, plan->up};
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    float *edge;
    const int code = arena_alloc(arena, (size_t)plan->taps * sizeof *edge, &edge);
    for (int64_t b = 0; b < x->rows && !code; b++) {
        const struct piece piece = piece_of(x->piece, b);
        run_row(&(struct row){.plan = plan,
                              .x = (const float *)x->data + x->offset[b],
                              .samples = ragged_length(x, b),
                              .start = piece.start,
                              .first = resample_first(&p, piece),
                              .count = ragged_length(y, b),
                              .out = (float *)y->data + y->offset[b],
                              .edge = edge});
    }
    arena_reset(arena, mark);
    return code;
}
