#include "picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int picture_open(struct picture *p, int64_t columns, int64_t bands)
{
    *p = (struct picture){.columns = columns, .bands = bands, .every = 1};
    p->sums = calloc((size_t)(2 * columns * bands), sizeof *p->sums);
    return p->sums ? STATUS_OK : fail(STATUS_NOMEM, "picture: out of memory");
}

void picture_close(struct picture *p)
{
    free(p->sums);
    p->sums = NULL;
}

static void halve(struct picture *p)
{
    const int64_t n = p->bands;
    for (int64_t c = 0; c < p->columns; c++)
        for (int64_t b = 0; b < n; b++)
            p->sums[c * n + b] = p->sums[2 * c * n + b] + p->sums[(2 * c + 1) * n + b];
    memset(p->sums + p->columns * n, 0, (size_t)(p->columns * n) * sizeof *p->sums);
    p->full = p->columns;
    p->every *= 2;
}

void picture_add(struct picture *p, const float *power, int64_t frames)
{
    for (int64_t t = 0; t < frames; t++) {
        double *const sums = p->sums + p->full * p->bands;
        for (int64_t b = 0; b < p->bands; b++)
            sums[b] += (double)power[t * p->bands + b];
        if (++p->partial < p->every)
            continue;
        p->partial = 0;
        if (++p->full == 2 * p->columns)
            halve(p);
    }
}

/* The mean power of a band over the gathered columns that column c of the picture stands for. */
static double mean_of(const struct picture *p, int64_t c, int64_t band)
{
    const int64_t gathered = p->full + (p->partial > 0);
    const int64_t from = c * gathered / p->columns, to = (c + 1) * gathered / p->columns;
    double sum = 0;
    int64_t frames = 0;
    for (int64_t i = from; i < (to > from ? to : from + 1) && i < gathered; i++) {
        sum += p->sums[i * p->bands + band];
        frames += i < p->full ? p->every : p->partial;
    }
    return frames ? sum / (double)frames : 0;
}

void picture_finish(const struct picture *p, uint8_t *out)
{
    double most = 0;
    for (int64_t b = 0; b < p->bands; b++)
        for (int64_t c = 0; c < p->columns; c++)
            most = fmax(most, mean_of(p, c, b));
    for (int64_t b = 0; b < p->bands; b++)
        for (int64_t c = 0; c < p->columns; c++) {
            const double power = mean_of(p, c, b);
            const double db = power > 0 ? 10 * log10(power / most) : -INFINITY;
            const double part = 1 + db / PICTURE_RANGE_DB;
            out[b * p->columns + c] = (uint8_t)(part > 0 ? lrint(255 * part) : 0);
        }
}
