/* product_rows - what the kernels of products share: where a block's rows lie, how they are copied to shared memory,
 * and what follows the sums. Room-internal. */
#ifndef PRODUCT_ROWS_CUH
#define PRODUCT_ROWS_CUH
#include "gates.cuh"
#include "product.cuh"

enum { PRODUCT_ROWS = 128 }; /* of a block */

/* Where the rows of a block lie, in floats. */
struct product_places {
    int64_t *x;  /* -1: no such row */
    int64_t *at; /* of a position within its row of y, below 0 or above the limit at the ends */
    int64_t *y, *add, *norm;
    int64_t *high; /* the row of x that is its own */
};

enum { PRODUCT_SPOTS = 6 * PRODUCT_ROWS };

static __device__ __forceinline__ struct product_places product_places_in(int64_t *spots)
{
    const struct product_places places = {spots,
                                          spots + PRODUCT_ROWS,
                                          spots + 2 * PRODUCT_ROWS,
                                          spots + 3 * PRODUCT_ROWS,
                                          spots + 4 * PRODUCT_ROWS,
                                          spots + 5 * PRODUCT_ROWS};
    return places;
}

static __device__ void place_row(const struct device_product *p, int64_t first, int i, const struct product_places *to)
{
    const int64_t r = first + i, line = r / p->width, w = r - line * p->width;
    const int64_t b = line / p->height, h = line - b * p->height;
    to->x[i] = b < p->items ? b * p->x_item + h * p->x_row + w * p->x_step + blockIdx.y * p->x_part : -1;
    to->high[i] = h * p->h_step;
    to->at[i] = w * p->y_step + p->y_shift;
    to->y[i] = b * p->y_item + h * p->y_row + blockIdx.y * p->y_part;
    to->add[i] = b * p->add_item + h * p->add_row;
    to->norm[i] = b * p->norm_item + h * p->norm_row + w * p->norm_step;
}

/* Step t of the block's rows, on its way to shared memory; zeros where there is nothing. */
template <int COPY, int THREADS, int ROW>
static __device__ __forceinline__ void copy_rows(const struct device_product *p, const struct product_places *place,
                                                 int s, int k, float *to)
{
    enum { PARTS = PRODUCT_STEP / COPY };
    const int part = (int)threadIdx.x % PARTS * COPY;
    const int64_t dh = p->segment[s].dh, offset = p->segment[s].offset + k + part;
    for (int i = (int)threadIdx.x / PARTS; i < PRODUCT_ROWS; i += THREADS / PARTS) {
        const int64_t row = place->x[i], high = place->high[i] + dh;
        float *const here = to + i * ROW + part;
        if (row >= 0 && high >= 0 && high < p->x_height && k + part < p->length)
            copy_async(here, p->x + row + offset, COPY * 4);
        else if (COPY == 4)
            store4(here, make_float4(0, 0, 0, 0));
        else
#pragma unroll
            for (int c = 0; c < COPY; c++)
                here[c] = 0;
    }
}

template <int THREADS, int ROW>
static __device__ __forceinline__ void copy_rows_of(const struct device_product *p, const struct product_places *place,
                                                    int s, int k, float *to)
{
    if (p->copy == 4)
        copy_rows<4, THREADS, ROW>(p, place, s, k, to);
    else if (p->copy == 2)
        copy_rows<2, THREADS, ROW>(p, place, s, k, to);
    else
        copy_rows<1, THREADS, ROW>(p, place, s, k, to);
}

/* Scale, add, store: columns n and n + 1 of row i. */
static __device__ __forceinline__ void put(const struct device_product *p, const struct product_places *place, int i,
                                           int64_t n, int64_t columns, float first, float second)
{
    const int64_t at = place->at[i] + n;
    float *const y = p->y + place->y[i] + at;
    const float *const add = p->add ? p->add + place->add[i] + at : NULL;
    if (p->pair && n + 1 < columns && at >= 0 && at + 2 <= p->y_limit) {
        float2 v = {first, second};
        if (p->scale) {
            v.x *= p->scale[n];
            v.y *= p->scale[n + 1];
        }
        if (add) {
            const float2 more = load2(add);
            v.x += more.x;
            v.y += more.y;
        }
        store2(y, v);
        return;
    }
#pragma unroll
    for (int c = 0; c < 2; c++)
        if (n + c < columns && at + c >= 0 && at + c < p->y_limit)
            y[c] = (c ? second : first) * (p->scale ? p->scale[n + c] : 1) + (add ? add[c] : 0);
}

static __device__ __forceinline__ float normed(float u, const float *norm, float gain, float shift)
{
    return (u - norm[0]) * (norm[1] * gain) + shift;
}

/* Columns tx and tx + 1 of the tile's first half, and of its second. */
template <int TILE>
static __device__ __forceinline__ void finish_row(const struct device_product *p, const struct product_places *place,
                                                  int i, int64_t tile, int tx, float u[4])
{
    if (p->finish == PRODUCT_NORM_GLU) {
        const float *const gain = p->gain + tile * TILE + tx, *const shift = p->shift + tile * TILE + tx;
#pragma unroll
        for (int c = 0; c < 4; c++) {
            const int at = c % 2 + c / 2 * (TILE / 2);
            u[c] = normed(u[c], p->norm + place->norm[i], gain[at], shift[at]);
        }
    }
    if (p->finish == PRODUCT_GLU || p->finish == PRODUCT_NORM_GLU) {
        put(p, place, i, tile * (TILE / 2) + tx, p->out / 2, u[0] * gate_sigmoid(u[2]), u[1] * gate_sigmoid(u[3]));
        return;
    }
    if (p->finish == PRODUCT_GELU)
#pragma unroll
        for (int c = 0; c < 4; c++)
            u[c] = gate_gelu(u[c]);
    put(p, place, i, tile * TILE + tx, p->out, u[0], u[1]);
    put(p, place, i, tile * TILE + TILE / 2 + tx, p->out, u[2], u[3]);
}

#endif
