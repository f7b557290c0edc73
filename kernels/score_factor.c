/* Cholesky's factor of the normal equations, in blocks of 64 columns: a panel is finished, then taken off everything
 * right of it in tiles of 4 by 4, which is where the time goes. Pivoted, the largest of the remaining diagonal comes
 * next, as in LAPACK's dpstrf: slower, and it finds out which rows say nothing new. */
#include "score_parts.h"

#include <math.h>
#include <string.h>

enum { TILE = 4, STRIPS = SCORE_BLOCK / TILE };

/* Columns first .. first+63 of four rows, times those of four others [64][4], off a tile of 4 by 4. */
static void take_off_tile(const double *const rows[TILE], const double *restrict strip, double *const out[TILE])
{
    double sum[TILE][TILE] = {{0}};
    for (int64_t m = 0; m < SCORE_BLOCK; m++)
        for (int r = 0; r < TILE; r++)
            for (int c = 0; c < TILE; c++)
                sum[r][c] += rows[r][m] * strip[m * TILE + c];
    for (int r = 0; r < TILE; r++)
        for (int c = 0; c < TILE; c++)
            out[r][c] -= sum[r][c];
}

/* Takes the panel at column `first` off the blocks to its right. */
static void take_off(const struct score_matrix *m, int64_t first)
{
    double strips[STRIPS][SCORE_BLOCK * TILE];
    for (int64_t j = first + SCORE_BLOCK; j < m->n; j += SCORE_BLOCK) {
        for (int64_t c = 0; c < SCORE_BLOCK; c++) {
            const double *const row = score_row(m, j + c) + first;
            for (int64_t k = 0; k < SCORE_BLOCK; k++)
                strips[c / TILE][k * TILE + c % TILE] = row[k];
        }
        for (int64_t i = j; i < m->n; i += TILE) {
            const double *rows[TILE];
            double *out[TILE];
            for (int64_t r = 0; r < TILE; r++) {
                rows[r] = score_row(m, i + r) + first;
                out[r] = score_row(m, i + r) + j;
            }
            for (int s = 0; s < STRIPS; s++) {
                take_off_tile(rows, strips[s], out);
                for (int r = 0; r < TILE; r++)
                    out[r] += TILE;
            }
        }
    }
}

/* Factors the diagonal block at `first` and finishes the rows below it; false at a pivot of `least` or less. */
static bool panel(const struct score_matrix *m, int64_t first, double least)
{
    double turned[SCORE_BLOCK][SCORE_BLOCK] = {{0}},
           inverse[SCORE_BLOCK] = {0}; /* turned[j][i] = factor[first + i][first + j] */
    const int64_t columns = m->n - first < SCORE_BLOCK ? m->n - first : SCORE_BLOCK;
    for (int64_t i = 0; first + i < m->n; i++) {
        double *const row = score_row(m, first + i) + first;
        const int64_t end = i < columns ? i : columns;
        for (int64_t j = 0; j < end; j++) {
            const double x = row[j] *= inverse[j];
            for (int64_t k = j + 1; k < end; k++)
                row[k] -= x * turned[j][k];
        }
        if (i >= columns)
            continue;
        for (int64_t j = 0; j < i; j++) {
            turned[j][i] = row[j];
            row[i] -= row[j] * row[j];
        }
        if (!(row[i] > least))
            return false;
        row[i] = sqrt(row[i]);
        inverse[i] = 1 / row[i];
    }
    return true;
}

static void swap(double *a, double *b)
{
    const double keep = *a;
    *a = *b;
    *b = keep;
}

/* Exchanges rows and columns a < b of the symmetric matrix, of which the lower triangle is kept. */
static void exchange(struct score_work *w, int64_t a, int64_t b)
{
    const struct score_matrix *const m = &w->matrix;
    double *const row_a = score_row(m, a), *const row_b = score_row(m, b);
    for (int64_t k = 0; k < a; k++)
        swap(row_a + k, row_b + k);
    swap(row_a + a, row_b + b);
    for (int64_t k = a + 1; k < b; k++)
        swap(score_row(m, k) + a, row_b + k);
    for (int64_t k = b + 1; k < m->n; k++)
        swap(score_row(m, k) + a, score_row(m, k) + b);
    swap(w->remains + a, w->remains + b);
    const int32_t keep = w->order[a];
    w->order[a] = w->order[b];
    w->order[b] = keep;
}

/* The same with the largest of what remains of the diagonal first. Columns finished: fewer than 64 at its end, or where
 * nothing larger than `least` remains. */
static int64_t pivoted_panel(struct score_work *w, int64_t first, double least)
{
    const struct score_matrix *const m = &w->matrix;
    for (int64_t j = first; j < m->n && j < first + SCORE_BLOCK; j++) {
        int64_t best = j;
        for (int64_t i = j + 1; i < m->n; i++)
            best = w->remains[i] > w->remains[best] ? i : best;
        if (!(w->remains[best] > least))
            return j - first;
        if (best != j)
            exchange(w, j, best);
        double *const pivot = score_row(m, j);
        pivot[j] = sqrt(w->remains[j]);
        for (int64_t i = j + 1; i < m->n; i++) {
            double *const row = score_row(m, i);
            double x = row[j];
            for (int64_t k = first; k < j; k++)
                x -= row[k] * pivot[k];
            row[j] = x / pivot[j];
            w->remains[i] -= row[j] * row[j];
        }
    }
    return m->n - first < SCORE_BLOCK ? m->n - first : SCORE_BLOCK;
}

int32_t score_factor(struct score_work *w, bool pivoted, double least)
{
    const int32_t n = w->matrix.n;
    for (int32_t i = 0; i < n; i++) {
        w->order[i] = i;
        w->remains[i] = score_row(&w->matrix, i)[i];
    }
    for (int32_t first = 0; first < n; first += SCORE_BLOCK) {
        const int32_t columns = n - first < SCORE_BLOCK ? n - first : SCORE_BLOCK;
        int32_t done = columns;
        if (pivoted)
            done = (int32_t)pivoted_panel(w, first, least);
        else if (!panel(&w->matrix, first, least))
            done = 0;
        if (done < columns)
            return first + done;
        take_off(&w->matrix, first);
        score_alive(w);
    }
    return n;
}

void score_substitute(const struct score_work *w, int32_t rank, int32_t columns, double *x, double *scratch)
{
    for (int64_t i = 0; i < rank; i++) { /* forwards */
        double *restrict const y = scratch + i * columns;
        const double *const row = score_row(&w->matrix, i);
        memcpy(y, x + (int64_t)w->order[i] * columns, (size_t)columns * sizeof *y);
        for (int64_t k = 0; k < i; k++)
            for (int64_t c = 0; c < columns; c++)
                y[c] -= row[k] * scratch[k * columns + c];
        for (int64_t c = 0; c < columns; c++)
            y[c] /= row[i];
        if (i % SCORE_BLOCK == 0)
            score_alive(w);
    }
    for (int64_t i = rank - 1; i >= 0; i--) { /* and back, along rows of the factor */
        double *restrict const y = scratch + i * columns;
        const double *const row = score_row(&w->matrix, i);
        for (int64_t c = 0; c < columns; c++)
            y[c] /= row[i];
        for (int64_t k = 0; k < i; k++)
            for (int64_t c = 0; c < columns; c++)
                scratch[k * columns + c] -= row[k] * y[c];
        if (i % SCORE_BLOCK == 0)
            score_alive(w);
    }
    memset(x, 0, (size_t)w->matrix.n * (size_t)columns * sizeof *x);
    for (int64_t i = 0; i < rank; i++)
        memcpy(x + (int64_t)w->order[i] * columns, scratch + i * columns, (size_t)columns * sizeof *x);
}
