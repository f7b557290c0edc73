#include "complex_maps.h"

#include "exec.h"

struct moved {
    const struct complex_maps_params *p;
    const struct maps *y;
    float *x; /* only read by maps_from_complex */
};

/* One row of y. */
static int one_row(void *context, int64_t i)
{
    const struct moved *const m = context;
    const struct maps *const y = m->y;
    const int64_t b = i / y->height, t = i % y->height, channels = y->channels / 2;
    float *const to = maps_row(y, b, t);
    for (int64_t c = 0; c < channels; c++) {
        const float *const from = m->x + ((b * channels + c) * y->height + t) * m->p->bins * 2;
        for (int64_t f = 0; f < y->width; f++) {
            to[f * y->channels + 2 * c] = from[2 * f] * m->p->scale + m->p->shift;
            to[f * y->channels + 2 * c + 1] = from[2 * f + 1] * m->p->scale + m->p->shift;
        }
    }
    return STATUS_OK;
}

int maps_from_complex_cpu(struct exec *ex, const struct complex_maps_params *p, const float *x, const struct maps *y)
{
    struct moved m = {p, y, (float *)x};
    return exec_parallel(ex, y->items * y->height, one_row, &m);
}

/* One frame of x of all channels: they share the lines of y that are read. */
static int one_frame(void *context, int64_t i)
{
    const struct moved *const m = context;
    const struct maps *const y = m->y;
    const int64_t frames = m->p->before + y->height + m->p->after, b = i / frames, t = i % frames - m->p->before;
    const int64_t channels = y->channels / 2, width = t >= 0 && t < y->height ? y->width : 0;
    const float *const from = width ? maps_row(y, b, t) : NULL;
    for (int64_t c = 0; c < channels; c++) {
        float *const to = m->x + ((b * channels + c) * frames + i % frames) * m->p->bins * 2;
        for (int64_t f = 0; f < width; f++) {
            to[2 * f] = from[f * y->channels + 2 * c] * m->p->scale + m->p->shift;
            to[2 * f + 1] = from[f * y->channels + 2 * c + 1] * m->p->scale + m->p->shift;
        }
        for (int64_t f = 2 * width; f < 2 * m->p->bins; f++)
            to[f] = 0;
    }
    return STATUS_OK;
}

int complex_from_maps_cpu(struct exec *ex, const struct complex_maps_params *p, const struct maps *y, float *x)
{
    struct moved m = {p, y, NULL};
    m.x = x;
    return exec_parallel(ex, y->items * (p->before + y->height + p->after), one_frame, &m);
}
