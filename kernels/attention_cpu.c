#include "attention.h"

#include "arena.h"
#include "exec.h"

#include <math.h>

size_t attention_work_bytes_cpu(const struct exec *ex, const struct attention_params *p, int64_t keys)
{
    (void)ex;
    (void)p;
    return ((size_t)keys * sizeof(double) + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
}

/* One query of one head: q, y [d]; k, v of the first key; w [keys] is scratch. */
static void attend(int64_t d, const float *q, const float *k, const float *v, int64_t keys, const int64_t strides[2],
                   double *w, float *y)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++) {
        w[j] = 0;
        for (int64_t c = 0; c < d; c++)
            w[j] += (double)q[c] * k[j * strides[0] + c];
        w[j] /= sqrt((double)d);
        most = w[j] > most ? w[j] : most; /* a NaN is never the largest, and stays among the weights */
    }
    for (int64_t j = 0; j < keys; j++) {
        w[j] = exp(w[j] - most);
        sum += w[j];
    }
    for (int64_t c = 0; c < d; c++) {
        double value = 0;
        for (int64_t j = 0; j < keys; j++)
            value += w[j] * v[j * strides[1] + c];
        y[c] = (float)(value / sum);
    }
}

int attention_cpu(struct exec *ex, const struct attention_params *p, const struct tokens *q, const struct tokens *k,
                  const struct tokens *v, const struct tokens *y)
{
    struct arena *const arena = exec_arena(ex);
    const size_t mark = arena_mark(arena);
    const int64_t strides[2] = {k->stride, v->stride};
    double *w;
    const int code = arena_alloc(arena, (size_t)k->count * sizeof *w, &w);
    for (int64_t b = 0; b < q->items && !code; b++)
        for (int64_t g = 0; g < p->heads; g++)
            for (int64_t i = 0; i < q->count; i++)
                attend(p->width, q->data + b * q->item_stride + i * q->stride + g * p->width,
                       k->data + b * k->item_stride + g * p->width, v->data + b * v->item_stride + g * p->width,
                       k->count, strides, w, y->data + b * y->item_stride + i * y->stride + g * p->width);
    arena_reset(arena, mark);
    return code;
}
