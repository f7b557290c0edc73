#include "hpss_split.h"

#include "split_blocks.h"

#include <math.h>
#include <stdlib.h>

enum { HARMONIC = 0, PERCUSSIVE = 1, RESIDUAL = 2, STEMS = 3 };

struct hpss_split {
    struct separation base;
    struct hpss_params p;
    struct exec *ex;
    struct split_blocks blocks;
};

static void rows(const float *x, int64_t n, float *left, float *right)
{
    for (int64_t i = 0; i < n; i++) {
        left[i] = split_blocks_good(x[2 * i]) ? x[2 * i] : 0;
        right[i] = split_blocks_good(x[2 * i + 1]) ? x[2 * i + 1] : 0;
    }
}

/* The harmonic parts of both channels, then their percussive ones. */
static int parts_of(void *context, const struct ragged *spectra, struct ragged *parts)
{
    const struct hpss_split *const s = context;
    struct ragged whole = *spectra, harmonic = *spectra, percussive = *spectra;
    whole.piece = NULL;
    harmonic.data = parts->data;
    percussive.data = (float *)parts->data + spectra->total * spectra->channels * 2;
    return hpss(s->ex, &s->p, &whole, &harmonic, &percussive);
}

static void stems_of(const float *x, const float *const *part, int64_t n, float *stems)
{
    for (int64_t i = 0; i < n; i++, x += SEPARATION_CHANNELS, stems += STEMS * SEPARATION_CHANNELS)
        for (int c = 0; c < SEPARATION_CHANNELS; c++) {
            const float h = part[c][i], p = part[SEPARATION_CHANNELS + c][i];
            const bool good = split_blocks_good(x[c]);
            stems[HARMONIC * SEPARATION_CHANNELS + c] = good ? h : NAN;
            stems[PERCUSSIVE * SEPARATION_CHANNELS + c] = good ? p : NAN;
            stems[RESIDUAL * SEPARATION_CHANNELS + c] = good ? x[c] - h - p : NAN;
        }
}

static int push(struct separation *base, const float *x, int64_t frames)
{
    return split_blocks_push(&((struct hpss_split *)base)->blocks, base, x, frames);
}

static int finish(struct separation *base)
{
    return split_blocks_finish(&((struct hpss_split *)base)->blocks, base);
}

static void destroy(struct separation *base)
{
    split_blocks_close(&((struct hpss_split *)base)->blocks);
    free(base);
}

/* What hpss has to say of its parameters, and whether the exec's scratch is enough: a call with nothing in it. */
static int try_hpss(const struct hpss_split *s, const struct stft_params *stft)
{
    const int64_t offset[1] = {0};
    const struct ragged nothing = {
        .dtype = DTYPE_C64, .channels = (int32_t)stft_bins(stft), .offset = offset, .rows = 0, .total = 0};
    return hpss(s->ex, &s->p, &nothing, NULL, NULL);
}

int hpss_split_create(const struct hpss_split_params *p, struct exec *ex, separation_emit emit, void *context,
                      struct separation **out)
{
    static const struct separation_methods methods = {.push = push, .finish = finish, .destroy = destroy};
    static const struct split_blocks_method method = {2 * SEPARATION_CHANNELS, STEMS, rows, parts_of, stems_of};
    const struct stft_params stft = {.frame = {p->n_fft, p->hop_samples, true}};
    struct hpss_split *const s = malloc(sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "hpss_split: out of memory");
    *s = (struct hpss_split){.base = {.methods = &methods,
                                      .stems = STEMS,
                                      .stem = {"harmonic", "percussive", "residual"},
                                      .emit = emit,
                                      .context = context},
                             .p = p->hpss,
                             .ex = ex};
    int code = split_blocks_open(&s->blocks, &method, s, ex, &stft, p->hpss.kernel_time / 2);
    code = code ? code : try_hpss(s, &stft);
    if (code) {
        destroy(&s->base);
        return status_context(code, "hpss_split");
    }
    *out = &s->base;
    return STATUS_OK;
}
