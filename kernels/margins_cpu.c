#include "margins.h"

#include "exec.h"

#include <string.h>

enum { ROWS = 64 }; /* of a turn: a row's margins alone are less work than handing it out */

static int some_rows(void *context, int64_t i)
{
    const struct maps *const m = context;
    const int64_t rows = m->items * m->height, end = (i + 1) * ROWS < rows ? (i + 1) * ROWS : rows;
    for (int64_t n = i * ROWS; n < end; n++) {
        float *const row = maps_row(m, n / m->height, n % m->height);
        memset(row - MAPS_BEFORE * m->channels, 0, (size_t)(MAPS_BEFORE * m->channels) * sizeof *row);
        memset(row + m->width * m->channels, 0, (size_t)(MAPS_AFTER * m->channels) * sizeof *row);
    }
    return STATUS_OK;
}

int clear_margins_cpu(struct exec *ex, const struct maps *m)
{
    struct maps rows = *m;
    return exec_parallel(ex, (m->items * m->height + ROWS - 1) / ROWS, some_rows, &rows);
}
