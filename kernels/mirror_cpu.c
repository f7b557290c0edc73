#include "mirror.h"

#include "exec.h"

enum { SAMPLES = 8192 }; /* of a turn */

struct mirrored {
    int64_t before, samples, turns; /* turns: of an item */
    const struct maps *x;
    float *y;
};

/* y[i] for i in [from, to), whose samples in x lie `step` floats apart. */
static void run_of(float *y, const float *x, int64_t from, int64_t to, int64_t step)
{
    for (int64_t i = from; i < to; i++)
        y[i] = x[(i - from) * step];
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Up to three runs: back to the first sample, the samples themselves, back from the last but one. */
static int some_samples(void *context, int64_t turn)
{
    const struct mirrored *const m = context;
    const int64_t b = turn / m->turns, from = turn % m->turns * SAMPLES, to = least(from + SAMPLES, m->samples);
    const int64_t channels = m->x->channels, n = m->x->width, end = m->before + n;
    const int64_t first = from > m->before ? from : least(m->before, to), last = from > end ? from : least(end, to);
    for (int64_t c = 0; c < channels; c++) {
        const float *const x = maps_row(m->x, b, 0) + c;
        float *const y = m->y + (b * channels + c) * m->samples;
        if (from < first)
            run_of(y, x + (m->before - from) * channels, from, first, -channels);
        if (first < last)
            run_of(y, x + (first - m->before) * channels, first, last, channels);
        if (last < to)
            run_of(y, x + (2 * (n - 1) - (last - m->before)) * channels, last, to, -channels);
    }
    return STATUS_OK;
}

int mirror_cpu(struct exec *ex, int64_t before, const struct maps *x, int64_t samples, float *y)
{
    struct mirrored m = {before, samples, (samples + SAMPLES - 1) / SAMPLES, x, NULL};
    m.y = y;
    return exec_parallel(ex, x->items * m.turns, some_samples, &m);
}
