/* conv2d_weight - what the kernels of conv2d's weight gradient share: how it is cut, where positions lie, how they are
 * copied to shared memory. Room-internal.
 *
 *   sum       to[k][n] = sum over positions of x[position's own + k] * y[position][n], k over taps and inputs: of each
 *             tap of the height a run of floats side by side
 *   tiles     16 or 128 of k by 64 outputs, a block's; positions go by in steps of 16, and parts of them, whose sums
 *             another kernel adds in their order, make up for tiles that are too few for a device. All that follows
 *             from the shapes alone, and so does the order of sums: chains of 128 positions in f32 */
#ifndef CONV2D_WEIGHT_CUH
#define CONV2D_WEIGHT_CUH
#include "conv2d.h"
#include "maps.cuh"

enum {
    WEIGHT_STEP = 16,   /* positions that are copied together */
    WEIGHT_CHUNK = 128, /* whose places are found together, and whose sum is one chain */
    WEIGHT_STEPS = WEIGHT_CHUNK / WEIGHT_STEP,
    WEIGHT_WIDE = 64, /* outputs of a tile */
    WEIGHT_HIGH = 128,
    WEIGHT_LOW = 16
};

struct device_weight_sums {
    const float *x, *y;                /* x: what tap (0, 0) of position (0, 0) takes */
    int64_t positions, height, width;  /* of y, those of all items */
    int64_t x_item, x_row, x_step;     /* floats from position to position of y */
    int64_t y_item, y_row, y_step;     /* floats */
    int64_t x_height, h_step, h_first; /* a position's row of x is h_step*h + h_first, before taps */
    int64_t tap_row, run;              /* floats from tap to tap of the height, and of each */
    int64_t k, out;
    int64_t tiles_k, tiles_n, each; /* positions of a part */
    int copy_x, copy_y;             /* floats that lie together on as many: 1, 2 or 4 */
    float *to;                      /* [parts][k][out] */
};

/* Where the positions of two chunks lie, in floats. */
struct device_weight_places {
    int64_t *x, *y; /* y -1: no such position */
    int64_t *high;  /* row of x */
};

enum { WEIGHT_SPOTS = 3 * 2 * WEIGHT_CHUNK };

/* A block's tile and positions, and what a thread copies of each. */
struct device_weight_part {
    int64_t k, n, first, end;
    int64_t x_tap, x_at, y_at; /* from a position's own; x_tap, y_at -1: nothing */
    float *to;
};

static __device__ __forceinline__ struct device_weight_places weight_places_in(int64_t *spots)
{
    const struct device_weight_places places = {spots, spots + 2 * WEIGHT_CHUNK, spots + 4 * WEIGHT_CHUNK};
    return places;
}

template <int HIGH>
static __device__ __forceinline__ struct device_weight_part weight_part_of(const struct device_weight_sums *s)
{
    struct device_weight_part p;
    int64_t n, k, at;
    const int64_t part = divided(divided(blockIdx.x, s->tiles_n, &n), s->tiles_k, &k);
    p.k = k * HIGH;
    p.n = n * WEIGHT_WIDE;
    p.first = part * s->each;
    p.end = p.first + s->each < s->positions ? p.first + s->each : s->positions;
    const int64_t own = p.k + (int)threadIdx.x % (HIGH / s->copy_x) * s->copy_x;
    const int64_t tap = divided(own, s->run, &at);
    p.x_tap = own < s->k ? tap : -1;
    p.x_at = tap * s->tap_row + at;
    p.y_at = p.n + (int)threadIdx.x % (WEIGHT_WIDE / s->copy_y) * s->copy_y;
    p.y_at = p.y_at < s->out ? p.y_at : -1;
    p.to = s->to + part * s->k * s->out;
    return p;
}

/* Finds chunk `chunk` of a part. */
template <int THREADS>
static __device__ void weight_place(const struct device_weight_sums *s, const struct device_weight_part *p, int chunk,
                                    const struct device_weight_places *to)
{
    for (int i = (int)threadIdx.x; i < WEIGHT_CHUNK; i += THREADS) {
        const int64_t position = p->first + (int64_t)chunk * WEIGHT_CHUNK + i;
        const int at = chunk % 2 * WEIGHT_CHUNK + i;
        int64_t h, w;
        const int64_t b = divided(divided(position, s->width, &w), s->height, &h);
        to->x[at] = b * s->x_item + h * s->x_row + w * s->x_step;
        to->y[at] = position < p->end ? b * s->y_item + h * s->y_row + w * s->y_step : -1;
        to->high[at] = h * s->h_step + s->h_first;
    }
}

/* COPY floats on their way to shared memory, or zeros. */
template <int COPY> static __device__ __forceinline__ void weight_copy(float *to, const float *from, bool there)
{
    if (there)
        copy_async(to, from, COPY * 4);
    else if (COPY == 4)
        store4(to, make_float4(0, 0, 0, 0));
    else
#pragma unroll
        for (int c = 0; c < COPY; c++)
            to[c] = 0;
}

template <int COPY, int THREADS, int HIGH, int ROW>
static __device__ __forceinline__ void weight_copy_x(const struct device_weight_sums *s,
                                                     const struct device_weight_part *p,
                                                     const struct device_weight_places *place, int first, float *to)
{
    enum { EACH = HIGH / COPY };
#pragma unroll
    for (int i = (int)threadIdx.x / EACH; i < WEIGHT_STEP; i += THREADS / EACH) {
        const int64_t high = place->high[first + i] + p->x_tap;
        const bool there = place->y[first + i] >= 0 && p->x_tap >= 0 && high >= 0 && high < s->x_height;
        weight_copy<COPY>(to + i * ROW + (int)threadIdx.x % EACH * COPY, s->x + place->x[first + i] + p->x_at, there);
    }
}

template <int COPY, int THREADS, int ROW>
static __device__ __forceinline__ void weight_copy_y(const struct device_weight_sums *s,
                                                     const struct device_weight_part *p,
                                                     const struct device_weight_places *place, int first, float *to)
{
    enum { EACH = WEIGHT_WIDE / COPY };
#pragma unroll
    for (int i = (int)threadIdx.x / EACH; i < WEIGHT_STEP; i += THREADS / EACH) {
        const bool there = place->y[first + i] >= 0 && p->y_at >= 0;
        weight_copy<COPY>(to + i * ROW + (int)threadIdx.x % EACH * COPY, s->y + place->y[first + i] + p->y_at, there);
    }
}

/* Step t of a part. */
template <int THREADS, int HIGH, int ROW_X, int ROW_Y>
static __device__ __forceinline__ void
weight_copy_step(const struct device_weight_sums *s, const struct device_weight_part *p,
                 const struct device_weight_places *place, int t, float *x, float *y)
{
    const int first = t % (2 * WEIGHT_STEPS) * WEIGHT_STEP;
    if (s->copy_x == 4)
        weight_copy_x<4, THREADS, HIGH, ROW_X>(s, p, place, first, x);
    else if (s->copy_x == 2)
        weight_copy_x<2, THREADS, HIGH, ROW_X>(s, p, place, first, x);
    else
        weight_copy_x<1, THREADS, HIGH, ROW_X>(s, p, place, first, x);
    if (s->copy_y == 4)
        weight_copy_y<4, THREADS, ROW_Y>(s, p, place, first, y);
    else if (s->copy_y == 2)
        weight_copy_y<2, THREADS, ROW_Y>(s, p, place, first, y);
    else
        weight_copy_y<1, THREADS, ROW_Y>(s, p, place, first, y);
}

static __device__ __forceinline__ int weight_steps(const struct device_weight_part *p)
{
    return p->end > p->first ? (int)((p->end - p->first + WEIGHT_STEP - 1) / WEIGHT_STEP) : 0;
}

/* Scratch of the weight gradient. */
size_t conv2d_weight_bytes(const struct conv2d_params *p, const struct maps *y);

/* Of a precision other than F32; STATUS_UNSUPPORTED where the device has none. */
int conv2d_weight_mma_launch(struct exec *ex, unsigned blocks, bool low, enum precision precision,
                             const struct device_weight_sums *s) MUST_USE;

#endif
