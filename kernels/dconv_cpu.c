#include "dconv.h"

#include "activations.h"
#include "arena.h"
#include "exec.h"
#include "maps_check.h"

#include <string.h>

/* Where the parts of the packed weights begin, in floats: as PyTorch has them, one behind another. */
struct parts {
    int64_t conv1, bias1, gain1, shift1, conv2, bias2, gain2, shift2, scale, end;
};

static struct parts parts_of(const struct dconv_params *p)
{
    const int64_t c = p->channels, h = p->hidden;
    struct parts at = {.bias1 = h * c * 3};
    at.gain1 = at.bias1 + h;
    at.shift1 = at.gain1 + h;
    at.conv2 = at.shift1 + h;
    at.bias2 = at.conv2 + 2 * c * h;
    at.gain2 = at.bias2 + 2 * c;
    at.shift2 = at.gain2 + 2 * c;
    at.scale = at.shift2 + 2 * c;
    at.end = at.scale + c;
    return at;
}

size_t dconv_pack_bytes_cpu(const struct dconv_params *p)
{
    return packed_bytes((size_t)parts_of(p).end);
}

void dconv_pack_cpu(const struct dconv_params *p, const struct dconv_weights *w, float *packed)
{
    const struct parts at = parts_of(p);
    const float *const from[] = {w->conv1, w->bias1, w->gain1,  w->shift1, w->conv2,
                                 w->bias2, w->gain2, w->shift2, w->scale};
    const int64_t begin[] = {at.conv1, at.bias1, at.gain1,  at.shift1, at.conv2,
                             at.bias2, at.gain2, at.shift2, at.scale,  at.end};
    for (int i = 0; i < 9; i++)
        memcpy(packed + begin[i], from[i], (size_t)(begin[i + 1] - begin[i]) * sizeof *packed);
}

static size_t round_up(size_t bytes)
{
    return (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

static int64_t length_of(const struct dconv_params *p, const struct maps *x)
{
    return p->along == ALONG_HEIGHT ? x->height : x->width;
}

size_t dconv_work_bytes_cpu(const struct dconv_params *p, const struct maps *x)
{
    return round_up((size_t)(length_of(p, x) * p->hidden) * sizeof(double)) +
           round_up((size_t)(2 * p->channels) * sizeof(double));
}

/* Mean and sum of squared differences of what has come so far. */
struct spread {
    double n, mean, squares;
};

static void spread_take(struct spread *s, double v)
{
    const double gap = v - s->mean;
    s->n += 1;
    s->mean += gap / s->n;
    s->squares += gap * (v - s->mean);
}

static double spread_norm(const struct spread *s, double v)
{
    return (v - s->mean) / sqrt(s->squares / s->n + 1e-5);
}

struct signal {
    float *data;
    int64_t length, stride; /* samples, floats from one to the next */
};

/* Fills a [length][hidden]. */
static void narrow(const struct dconv_params *p, const float *packed, const struct signal *s, double *a)
{
    const struct parts at = parts_of(p);
    struct spread spread = {0};
    for (int64_t n = 0; n < s->length; n++)
        for (int64_t h = 0; h < p->hidden; h++) {
            const float *const w = packed + at.conv1 + h * p->channels * 3;
            double sum = packed[at.bias1 + h];
            for (int64_t q = 0; q < 3; q++) {
                const int64_t i = n + (q - 1) * p->dilation;
                for (int64_t c = 0; i >= 0 && i < s->length && c < p->channels; c++)
                    sum += (double)w[c * 3 + q] * s->data[i * s->stride + c];
            }
            a[n * p->hidden + h] = sum;
            spread_take(&spread, sum);
        }
    for (int64_t n = 0; n < s->length; n++)
        for (int64_t h = 0; h < p->hidden; h++) {
            double *const v = a + n * p->hidden + h;
            *v = activation_gelu(spread_norm(&spread, *v) * packed[at.gain1 + h] + packed[at.shift1 + h]);
        }
}

/* w2 a + bias2 of one sample: g [2*channels]. */
static void widen(const struct dconv_params *p, const float *packed, const double *a, double *g)
{
    const struct parts at = parts_of(p);
    for (int64_t o = 0; o < 2 * p->channels; o++) {
        g[o] = packed[at.bias2 + o];
        for (int64_t h = 0; h < p->hidden; h++)
            g[o] += packed[at.conv2 + o * p->hidden + h] * a[h];
    }
}

static void add_branch(const struct dconv_params *p, const float *packed, const struct signal *s, double *a, double *g)
{
    const struct parts at = parts_of(p);
    const int64_t channels = p->channels;
    struct spread spread = {0};
    narrow(p, packed, s, a);
    for (int64_t n = 0; n < s->length; n++) {
        widen(p, packed, a + n * p->hidden, g);
        for (int64_t o = 0; o < 2 * channels; o++)
            spread_take(&spread, g[o]);
    }
    for (int64_t n = 0; n < s->length; n++) {
        widen(p, packed, a + n * p->hidden, g); /* twice: a signal's g would not fit into little scratch */
        for (int64_t o = 0; o < 2 * channels; o++)
            g[o] = spread_norm(&spread, g[o]) * packed[at.gain2 + o] + packed[at.shift2 + o];
        for (int64_t c = 0; c < channels; c++) {
            float *const x = s->data + n * s->stride + c;
            *x = (float)(*x + packed[at.scale + c] * activation_glu(g[c], g[channels + c]));
        }
    }
}

int dconv_cpu(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const bool down = p->along == ALONG_HEIGHT;
    const int64_t signals = down ? x->width : x->height;
    double *a, *g;
    int code = arena_alloc(arena, (size_t)(length_of(p, x) * p->hidden) * sizeof *a, &a);
    code = code ? code : arena_alloc(arena, (size_t)(2 * p->channels) * sizeof *g, &g);
    for (int64_t b = 0; b < x->items && !code; b++)
        for (int64_t i = 0; i < signals; i++) {
            float *const first = down ? maps_row(x, b, 0) + i * x->channels : maps_row(x, b, i);
            const struct signal s = {first, length_of(p, x), down ? x->row_stride : x->channels};
            add_branch(p, packed, &s, a, g);
        }
    arena_reset(arena, mark);
    return code;
}
