#include "add_planar.h"

#include "exec.h"

enum { POSITIONS = 512 }; /* of a turn: of 16 channels 32 KB of x, which the signals go through one by one */

struct planar_sum {
    const float *planar;
    int64_t stride, turns; /* turns: of an item */
    const struct maps *x, *y;
};

static int some_positions(void *context, int64_t turn)
{
    const struct planar_sum *const k = context;
    const int64_t b = turn / k->turns, from = turn % k->turns * POSITIONS, rows = k->x->channels;
    const int64_t to = from + POSITIONS < k->x->width ? from + POSITIONS : k->x->width;
    const float *const x = maps_row(k->x, b, 0);
    float *const y = maps_row(k->y, b, 0);
    for (int64_t r = 0; r < rows; r++) {
        const float *const planar = k->planar + (b * rows + r) * k->stride;
        for (int64_t n = from; n < to; n++)
            y[n * rows + r] = x[n * rows + r] + planar[n];
    }
    return STATUS_OK;
}

int add_planar_cpu(struct exec *ex, const float *planar, int64_t stride, const struct maps *x, const struct maps *y)
{
    struct planar_sum k = {planar, stride, (x->width + POSITIONS - 1) / POSITIONS, x, y};
    return exec_parallel(ex, x->items * k.turns, some_positions, &k);
}
