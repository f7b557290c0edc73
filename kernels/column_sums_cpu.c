#include "column_sums.h"

#include "exec.h"

struct sums {
    const struct maps *x;
    float *y;
};

static int column_sum(void *context, int64_t c)
{
    const struct sums *const s = context;
    double sum = 0;
    for (int64_t b = 0; b < s->x->items; b++)
        for (int64_t i = 0; i < s->x->height; i++)
            for (int64_t j = 0; j < s->x->width; j++)
                sum += maps_row(s->x, b, i)[j * s->x->channels + c];
    s->y[c] = (float)sum;
    return STATUS_OK;
}

int column_sums_cpu(struct exec *ex, const struct maps *x,
                    float *y) /* NOLINT(readability-non-const-parameter): the sums go there */
{
    struct sums s = {x, y};
    return exec_parallel(ex, x->channels, column_sum, &s);
}
