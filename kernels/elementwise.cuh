/* elementwise.cuh - values of maps that follow from those in the same place: a thread takes four neighbours of a row,
 * which is one access where all views allow it. */
#ifndef ELEMENTWISE_CUH
#define ELEMENTWISE_CUH
#include "maps.cuh"

enum { ELEMENTWISE_THREADS = 256 };

/* Of all views of a kernel, which have one shape. */
struct elementwise {
    int64_t floats, per_row, height, all; /* floats of a row; fours of a row, rows of an item, fours of all items */
    bool wide;
};

struct element {
    int64_t item, row, at; /* at: the first float */
    int64_t count;         /* that are there, from it on */
};

static inline struct elementwise elementwise_of(const struct maps *x, const struct maps *y)
{
    struct elementwise e;
    e.floats = x->width * x->channels;
    e.per_row = (e.floats + 3) / 4;
    e.height = x->height;
    e.all = x->items * x->height * e.per_row;
    e.wide = maps_wide(x) && maps_wide(y);
    return e;
}

static inline unsigned elementwise_grid(const struct elementwise *e)
{
    return device_grid((e->all + ELEMENTWISE_THREADS - 1) / ELEMENTWISE_THREADS);
}

/* The thread's first four of all; it goes on in steps of elementwise_step(). */
static __device__ inline int64_t elementwise_first(void)
{
    return (int64_t)blockIdx.x * ELEMENTWISE_THREADS + threadIdx.x;
}

static __device__ inline int64_t elementwise_step(void)
{
    return (int64_t)gridDim.x * ELEMENTWISE_THREADS;
}

static __device__ inline struct element element_of(const struct elementwise *e, int64_t n)
{
    struct element p;
    const int64_t row = divided(n, e->per_row, &p.at);
    p.at *= 4;
    p.count = e->floats - p.at;
    p.item = divided(row, e->height, &p.row);
    return p;
}

static __device__ inline float *floats_at(const struct maps *m, const struct element *p)
{
    return m->data + p->item * m->item_stride + p->row * m->row_stride + p->at;
}

#endif
