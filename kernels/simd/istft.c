#include "../istft.h"

#include "../overlap.h"
#include "rows.h"
#include "transform.h"

/* Scratch of one worker. */
struct bench {
    struct overlap o;
    float *frames; /* [LANES][n] */
    void *work;    /* of the transform */
};

size_t SIMD(istft_work_bytes)(const struct stft_params *p)
{
    const size_t n = (size_t)p->frame.window_samples;
    return 2 * arena_round(n * sizeof(double)) + 2 * arena_round(n * sizeof(float)) +
           arena_round(LANES * n * sizeof(float)) + arena_round(SIMD(transform_work_bytes)((int64_t)n)) +
           arena_round(sizeof(struct bench));
}

struct batch {
    const struct stft_params *p;
    const struct transform_plan *plan;
    const struct ragged *x, *y;
    const float *window; /* [n] over n */
    struct bench *bench;
    int64_t workers;
};

static void run_row(const struct batch *c, struct bench *s, int64_t b)
{
    const int64_t n = c->p->frame.window_samples, bins = stft_bins(c->p), count = ragged_length(c->x, b);
    overlap_begin(&s->o, &c->p->frame, (float *)c->y->data + c->y->offset[b], ragged_length(c->y, b));
    for (int64_t t = 0; t < count; t += LANES) {
        const float *row[LANES];
        for (int l = 0; l < LANES; l++) /* lanes behind the last frame repeat it */
            row[l] = (const float *)c->x->data + (c->x->offset[b] + (t + l < count ? t + l : count - 1)) * bins * 2;
        SIMD(transform_inverse)(c->plan, row, s->frames, s->work);
        for (int l = 0; l < LANES && t + l < count; l++) {
            float *const frame = s->frames + l * n;
            for (int64_t i = 0; i < n; i++)
                frame[i] *= c->window[i];
            overlap_add(&s->o, frame);
        }
    }
    overlap_end(&s->o);
}

/* Rows are long and their samples hang together: worker i has rows i, i + workers, .. */
static int run_rows(void *context, int64_t i)
{
    const struct batch *const c = context;
    for (int64_t b = i; b < c->x->rows; b += c->workers)
        run_row(c, &c->bench[i], b);
    return STATUS_OK;
}

static int bench_open(struct arena *a, int64_t n, const float *squares, struct bench *b)
{
    b->o = (struct overlap){.squares = squares};
    int code = arena_alloc(a, (size_t)n * sizeof *b->o.sum, &b->o.sum);
    code = code ? code : arena_alloc(a, (size_t)n * sizeof *b->o.norm, &b->o.norm);
    code = code ? code : arena_alloc(a, LANES * (size_t)n * sizeof *b->frames, &b->frames);
    return code ? code : arena_alloc(a, SIMD(transform_work_bytes)(n), &b->work);
}

int SIMD(istft)(struct exec *ex, const struct stft_params *p, const void *memory, const struct ragged *x,
                struct ragged *y)
{
    const struct transform_plan *const plan = memory;
    const int64_t n = p->frame.window_samples, threads = exec_threads(ex);
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    struct batch c = {.p = p, .plan = plan, .x = x, .y = y, .workers = x->rows < threads ? x->rows : threads};
    float *squares, *window;
    int code = arena_alloc(arena, (size_t)n * sizeof *squares, &squares);
    code = code ? code : arena_alloc(arena, (size_t)n * sizeof *window, &window);
    code = code ? code : arena_alloc(arena, (size_t)threads * sizeof *c.bench, &c.bench);
    for (int64_t i = 0; i < n && !code; i++) {
        squares[i] = plan->window[i] * plan->window[i];
        window[i] = plan->window[i] / (float)plan->half;
    }
    c.window = code ? NULL : window;
    for (int64_t i = 0; i < c.workers && !code; i++)
        code = bench_open(arena, n, squares, &c.bench[i]);
    code = code ? code : exec_parallel(ex, c.workers, run_rows, &c);
    arena_reset(arena, mark);
    return code;
}
