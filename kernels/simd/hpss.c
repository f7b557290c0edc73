/* Medians on vectors: a window of values is kept in order, lane by lane; each step takes the oldest out and puts the
 * next in. Along time the lanes are neighbouring bins, along frequency they are neighbouring frames. */
#include "../hpss.h"

#include "rows.h"

#include <float.h>
#include <math.h>

enum { CHUNK_FRAMES = 256 };

struct work {
    float *magnitude;  /* [CHUNK_FRAMES + kernel][columns], from half a kernel before the chunk on */
    float *harmonic;   /* [CHUNK_FRAMES][columns] medians along time */
    float *percussive; /* [CHUNK_FRAMES][columns] medians along frequency */
    vf *turned;        /* [bins + kernel] of LANES frames */
    vf *medians;       /* [bins] of the same */
};

/* Takes one lane-wise equal of `old` out of row [n], which is in order, and puts `next` in. */
INLINE void replace(vf *row, int64_t n, vf old, vf next)
{
    vf carry = next, here = row[0];
    for (int64_t i = 0; i < n - 1; i++) {
        const vf above = row[i + 1];
        const vf left = vf_select(vf_less(here, old), here, above); /* row without old */
        row[i] = vf_min(left, carry);
        carry = vf_max(left, carry);
        here = above;
    }
    row[n - 1] = carry;
}

/* Fills row [n] with what `at` points to, in order. */
INLINE void fill(vf *row, int64_t n, const float *at, int64_t stride)
{
    for (int64_t k = 0; k < n; k++) {
        vf carry = vf_load(at + k * stride);
        for (int64_t i = 0; i < k; i++) {
            const vf here = row[i];
            row[i] = vf_min(here, carry);
            carry = vf_max(here, carry);
        }
        row[k] = carry;
    }
}

/* Medians of n windows of `kernel` vectors that begin at in, in + stride, ..; out is spaced by out_stride. */
INLINE void slide_over(const int64_t kernel, const float *in, int64_t stride, int64_t n, float *out, int64_t out_stride)
{
    vf row[HPSS_KERNEL_MOST];
    fill(row, kernel, in, stride);
    for (int64_t i = 0;; i++) {
        vf_store(out + i * out_stride, row[kernel / 2]);
        if (i == n - 1)
            return;
        replace(row, kernel, vf_load(in + i * stride), vf_load(in + (i + kernel) * stride));
    }
}

static void slide(int64_t kernel, const float *in, int64_t stride, int64_t n, float *out, int64_t out_stride)
{
    if (kernel == 31) /* the default, with its loops unrolled */
        slide_over(31, in, stride, n, out, out_stride);
    else
        slide_over(kernel, in, stride, n, out, out_stride);
}

static void magnitudes(const float *x, int64_t bins, float *out)
{
    for (int64_t f = 0; f < bins; f++)
        out[f] = sqrtf(x[2 * f] * x[2 * f] + x[2 * f + 1] * x[2 * f + 1]);
}

/* LANES frames of the chunk, or fewer, from t on. */
static void along_frequency(const struct work *w, int64_t bins, int64_t columns, int64_t kernel, int64_t half_time,
                            int64_t t, int64_t frames)
{
    const int64_t half = kernel / 2;
    for (int64_t f = 0; f < bins; f += LANES) {
        vf block[LANES];
        for (int l = 0; l < LANES; l++) /* rows are filled up to whole vectors */
            block[l] = vf_load(w->magnitude + (half_time + t + (l < frames ? l : 0)) * columns + f);
        vf_transpose(block);
        for (int64_t i = 0; i < LANES && f + i < bins; i++)
            w->turned[half + f + i] = block[i];
    }
    for (int64_t i = 0; i < half; i++) {
        w->turned[half - 1 - i] = w->turned[half + hpss_mirror(-1 - i, bins)];
        w->turned[half + bins + i] = w->turned[half + hpss_mirror(bins + i, bins)];
    }
    slide(kernel, (const float *)w->turned, LANES, bins, (float *)w->medians, LANES);
    for (int64_t f = 0; f < bins; f += LANES) {
        vf block[LANES];
        for (int64_t i = 0; i < LANES; i++)
            block[i] = w->medians[f + i < bins ? f + i : bins - 1];
        vf_transpose(block);
        for (int64_t l = 0; l < frames; l++)
            vf_store(w->percussive + (t + l) * columns + f, block[l]);
    }
}

/* u^p / (u^p + v^p), lane by lane. */
INLINE vf mask(vf u, vf v, double power, vf none)
{
    const vf larger = vf_max(u, v), one = vf_set(1);
    const vmask is_none = vf_less(larger, vf_set(FLT_MIN));
    const vf norm = vf_select(is_none, one, larger);
    vf a = u / norm, b = v / norm;
    if (isinf(power))
        return vf_select(is_none, none, vf_select(vf_less(v, u), one, vf_set(0)));
    if (power == 2) {
        a *= a;
        b *= b;
    } else if (power != 1) {
        for (int l = 0; l < LANES; l++) {
            a[l] = (float)pow(a[l], power);
            b[l] = (float)pow(b[l], power);
        }
    }
    return vf_select(is_none, none, a / (a + b));
}

/* One frame of one output: x times the mask of u against v times margin. */
static void write_part(const struct hpss_params *p, const float *x, const float *u, const float *v, double margin,
                       int64_t bins, float *out)
{
    const vf none = vf_set(p->margin_harmonic == 1 && p->margin_percussive == 1 ? 0.5f : 0);
    for (int64_t f = 0; f < bins; f += LANES) {
        const vf m = mask(vf_load(u + f), vf_load(v + f) * (float)margin, p->power, none);
        const int64_t n = bins - f < LANES ? bins - f : LANES;
        for (int64_t i = 0; i < n; i++) {
            out[2 * (f + i)] = x[2 * (f + i)] * m[i];
            out[2 * (f + i) + 1] = x[2 * (f + i) + 1] * m[i];
        }
    }
}

struct batch {
    const struct hpss_params *p;
    const struct work *w;
    int64_t bins, columns;
    const float *x; /* the row's */
    int64_t frames;
    float *harmonic, *percussive; /* the row's, or NULL */
};

static void run_chunk(const struct batch *c, int64_t first, int64_t n)
{
    const struct work *const w = c->w;
    const int64_t half = c->p->kernel_time / 2, floats = 2 * c->bins;
    for (int64_t i = 0; i < n + 2 * half; i++) {
        const int64_t t = hpss_mirror(first - half + i, c->frames);
        magnitudes(c->x + t * floats, c->bins, w->magnitude + i * c->columns);
        for (int64_t f = c->bins; f < c->columns; f++)
            w->magnitude[i * c->columns + f] = 0;
    }
    for (int64_t f = 0; f < c->bins; f += LANES)
        slide(c->p->kernel_time, w->magnitude + f, c->columns, n, w->harmonic + f, c->columns);
    for (int64_t t = 0; t < n; t += LANES)
        along_frequency(w, c->bins, c->columns, c->p->kernel_frequency, half, t, n - t < LANES ? n - t : LANES);
    for (int64_t t = 0; t < n; t++) {
        const float *const h = w->harmonic + t * c->columns, *const q = w->percussive + t * c->columns;
        const float *const x = c->x + (first + t) * floats;
        if (c->harmonic)
            write_part(c->p, x, h, q, c->p->margin_harmonic, c->bins, c->harmonic + (first + t) * floats);
        if (c->percussive)
            write_part(c->p, x, q, h, c->p->margin_percussive, c->bins, c->percussive + (first + t) * floats);
    }
}

static bool is_finite(const float *x, int64_t n)
{
    vf probe = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        probe += vf_load(x + i) * 0.0f;
    float rest = vf_total(probe);
    for (; i < n; i++)
        rest += x[i] * 0.0f;
    return rest == 0;
}

static void run_row(const struct batch *c, int64_t first, int64_t end)
{
    for (int64_t t = first; t < end; t += CHUNK_FRAMES)
        run_chunk(c, t, end - t < CHUNK_FRAMES ? end - t : CHUNK_FRAMES);
}

/* A batch on the pool: worker i has the frames from total*i/workers on, whatever rows they are of. */
struct spread {
    const struct hpss_params *p;
    const struct ragged *x, *harmonic, *percussive;
    const struct work *work; /* per worker */
    int64_t columns, workers;
    bool *damaged; /* per worker: whether a value of its part is not finite */
};

static int look(void *context, int64_t i)
{
    const struct spread *const s = context;
    const int64_t floats = s->x->channels * 2, first = s->x->total * i / s->workers;
    const int64_t end = s->x->total * (i + 1) / s->workers;
    s->damaged[i] = !is_finite((const float *)s->x->data + first * floats, (end - first) * floats);
    return STATUS_OK;
}

/* Frames [first, end) of row b. */
static void run_part(const struct spread *s, const struct work *w, int64_t b, int64_t first, int64_t end, bool damage)
{
    const int64_t bins = s->x->channels, floats = bins * 2, at = s->x->offset[b] * floats;
    const struct batch c = {.p = s->p,
                            .w = w,
                            .bins = bins,
                            .columns = s->columns,
                            .x = (const float *)s->x->data + at,
                            .frames = ragged_length(s->x, b),
                            .harmonic = s->harmonic ? (float *)s->harmonic->data + at : NULL,
                            .percussive = s->percussive ? (float *)s->percussive->data + at : NULL};
    if (!damage || is_finite(c.x, c.frames * floats)) {
        run_row(&c, first, end);
        return;
    }
    for (int64_t i = first * floats; i < end * floats; i++) {
        if (c.harmonic)
            c.harmonic[i] = NAN;
        if (c.percussive)
            c.percussive[i] = NAN;
    }
}

static int run(void *context, int64_t i)
{
    const struct spread *const s = context;
    const int64_t begin = s->x->total * i / s->workers, stop = s->x->total * (i + 1) / s->workers;
    bool damage = false; /* somewhere in the batch: then each row is looked through */
    for (int64_t k = 0; k < s->workers; k++)
        damage |= s->damaged[k];
    for (int64_t b = 0; b < s->x->rows; b++) {
        const int64_t lo = s->x->offset[b] > begin ? s->x->offset[b] : begin;
        const int64_t hi = s->x->offset[b + 1] < stop ? s->x->offset[b + 1] : stop;
        if (lo < hi)
            run_part(s, s->work + i, b, lo - s->x->offset[b], hi - s->x->offset[b], damage);
    }
    return STATUS_OK;
}

static int work_open(struct arena *a, const struct hpss_params *p, int64_t bins, int64_t columns, struct work *w)
{
    int code = arena_alloc(a, (size_t)((CHUNK_FRAMES + p->kernel_time) * columns) * sizeof(float), &w->magnitude);
    code = code ? code : arena_alloc(a, (size_t)(CHUNK_FRAMES * columns) * sizeof(float), &w->harmonic);
    code = code ? code : arena_alloc(a, (size_t)(CHUNK_FRAMES * columns) * sizeof(float), &w->percussive);
    code = code ? code : arena_alloc(a, (size_t)(bins + p->kernel_frequency) * sizeof(vf), &w->turned);
    return code ? code : arena_alloc(a, (size_t)bins * sizeof(vf), &w->medians);
}

int SIMD(hpss)(struct exec *ex, const struct hpss_params *p, const struct ragged *x, struct ragged *harmonic,
               struct ragged *percussive)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t bins = x->channels, columns = (bins + LANES - 1) / LANES * LANES, workers = exec_threads(ex);
    struct work *work;
    bool *damaged;
    int code = arena_alloc(arena, (size_t)workers * sizeof *work, &work);
    code = code ? code : arena_alloc(arena, (size_t)workers * sizeof *damaged, &damaged);
    for (int64_t i = 0; i < workers && !code; i++)
        code = work_open(arena, p, bins, columns, &work[i]);
    struct spread s = {.p = p, .x = x, .harmonic = harmonic, .percussive = percussive, .columns = columns};
    s.workers = workers;
    s.work = code ? NULL : work;
    s.damaged = code ? NULL : damaged;
    code = code ? code : exec_parallel(ex, workers, look, &s);
    code = code ? code : exec_parallel(ex, workers, run, &s);
    arena_reset(arena, mark);
    return code;
}
