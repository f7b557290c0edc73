/* columns.cuh - sums of each channel over positions on CUDA: a block of threads per block of positions (columns.h),
 * `across` channels side by side and `down` positions below each other, joined in shared memory; then the sums of
 * blocks are folded. All in double, in an order that follows from the shape alone. */
#ifndef COLUMNS_CUH
#define COLUMNS_CUH
#include "columns.h"
#include "maps.cuh"

enum { COLUMNS_THREADS = 256 };

struct column_walk {
    struct maps x;
    struct columns cut;
    int across, down;
};

static inline struct column_walk column_walk_of(const struct maps *x)
{
    struct column_walk w;
    w.x = *x;
    w.cut = columns_of(x);
    w.across = x->channels < COLUMNS_THREADS ? (int)x->channels : (int)COLUMNS_THREADS;
    w.down = COLUMNS_THREADS / w.across;
    return w;
}

/* A block's positions, counted in its item. */
static __device__ inline int64_t column_end(const struct column_walk *w, int64_t block)
{
    const int64_t end = (block + 1) * w->cut.each;
    return end < w->cut.positions ? end : w->cut.positions;
}

static __device__ inline const float *column_at(const struct maps *m, int64_t item, int64_t position)
{
    int64_t j;
    const int64_t i = divided(position, m->width, &j);
    return m->data + item * m->item_stride + i * m->row_stride + j * m->channels;
}

/* The sum over the rows of a block of threads, for those of the first row; room [COLUMNS_THREADS] is shared memory. */
static __device__ inline double column_join(double v, double *room, int across, int down)
{
    const int t = (int)threadIdx.x, row = t / across;
    __syncthreads();
    room[t] = v;
    for (int n = down; n > 1;) {
        const int half = (n + 1) / 2;
        __syncthreads();
        if (row + half < n)
            room[t] += room[t + half * across];
        n = half;
    }
    return room[t];
}

/* to [groups][columns] = sums over rows of from [groups][rows][columns]; or, where `to` is NULL, as floats: columns
 * before `split` to first, the others to second. */
struct column_fold {
    const double *from;
    int64_t groups, rows, columns, split;
    double *to;
    float *first, *second;
};

void column_fold_launch(struct exec *ex, const struct column_fold *f);

#endif
