#include "center_split.h"

#include "exec.h"
#include "split_blocks.h"

#include <math.h>
#include <stdlib.h>

enum { CENTER = 0, SIDES = 1, STEMS = 2, NEAR_FRAMES = 1, TASK_FRAMES = 16 };

struct center_split {
    struct separation base;
    struct exec *ex;
    struct split_blocks blocks;
};

static bool good(const float *x)
{
    return split_blocks_good(x[0]) && split_blocks_good(x[1]);
}

static float middle(const float *x)
{
    return 0.5f * x[0] + 0.5f * x[1];
}

static void rows(const float *x, int64_t n, float *mid, float *side)
{
    for (int64_t i = 0; i < n; i++, x += 2) {
        mid[i] = good(x) ? middle(x) : 0;
        side[i] = good(x) ? 0.5f * x[0] - 0.5f * x[1] : 0;
    }
}

struct task {
    const float *mid, *side; /* [frames][bins] complex */
    float *out;
    int64_t frames, bins;
};

static float energy(const float *x)
{
    return x[0] * x[0] + x[1] * x[1];
}

/* The share of the middle that is not common to both channels. */
static float share(float side, float mid)
{
    return side < mid ? sqrtf(side / mid) : side > 0 ? 1 : 0;
}

static int run_task(void *context, int64_t i)
{
    const struct task *const k = context;
    const int64_t row = k->bins * 2, end = (i + 1) * TASK_FRAMES < k->frames ? (i + 1) * TASK_FRAMES : k->frames;
    for (int64_t t = i * TASK_FRAMES; t < end; t++) {
        const int64_t lo = t < NEAR_FRAMES ? 0 : t - NEAR_FRAMES;
        const int64_t hi = t + NEAR_FRAMES < k->frames ? t + NEAR_FRAMES : k->frames - 1;
        for (int64_t f = 0; f < row; f += 2) {
            float mid = 0, side = 0;
            for (int64_t u = lo; u <= hi; u++) {
                mid += energy(k->mid + u * row + f);
                side += energy(k->side + u * row + f);
            }
            const float r = share(side, mid);
            k->out[t * row + f] = k->mid[t * row + f] * r;
            k->out[t * row + f + 1] = k->mid[t * row + f + 1] * r;
        }
    }
    return STATUS_OK;
}

static int parts_of(void *context, const struct ragged *spectra, struct ragged *parts)
{
    const struct center_split *const s = context;
    struct task k = {.mid = spectra->data,
                     .side = (const float *)spectra->data + spectra->offset[1] * spectra->channels * 2,
                     .out = parts->data,
                     .frames = ragged_length(spectra, 0),
                     .bins = spectra->channels};
    return exec_parallel(s->ex, (k.frames + TASK_FRAMES - 1) / TASK_FRAMES, run_task, &k);
}

static void stems_of(const float *x, const float *const *part, int64_t n, float *stems)
{
    for (int64_t i = 0; i < n; i++, x += SEPARATION_CHANNELS, stems += STEMS * SEPARATION_CHANNELS) {
        const float c = good(x) ? middle(x) - part[0][i] : NAN;
        for (int k = 0; k < SEPARATION_CHANNELS; k++) {
            stems[CENTER * SEPARATION_CHANNELS + k] = c;
            stems[SIDES * SEPARATION_CHANNELS + k] = x[k] - c;
        }
    }
}

static int push(struct separation *base, const float *x, int64_t frames)
{
    return split_blocks_push(&((struct center_split *)base)->blocks, base, x, frames);
}

static int finish(struct separation *base)
{
    return split_blocks_finish(&((struct center_split *)base)->blocks, base);
}

static void destroy(struct separation *base)
{
    split_blocks_close(&((struct center_split *)base)->blocks);
    free(base);
}

int center_split_create(const struct center_split_params *p, struct exec *ex, separation_emit emit, void *context,
                        struct separation **out)
{
    static const struct separation_methods methods = {.push = push, .finish = finish, .destroy = destroy};
    static const struct split_blocks_method method = {1, STEMS, rows, parts_of, stems_of};
    const struct stft_params stft = {.frame = {p->n_fft, p->hop_samples, true}};
    struct center_split *const s = malloc(sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "center_split: out of memory");
    *s = (struct center_split){
        .base = {.methods = &methods, .stems = STEMS, .stem = {"center", "sides"}, .emit = emit, .context = context},
        .ex = ex};
    const int code = split_blocks_open(&s->blocks, &method, s, ex, &stft, NEAR_FRAMES);
    if (code) {
        destroy(&s->base);
        return status_context(code, "center_split");
    }
    *out = &s->base;
    return STATUS_OK;
}
