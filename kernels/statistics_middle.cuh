/* statistics_middle.cuh - kernels of statistics_long.cu that have a block per row, side and 32 columns, a lane per
 * column: the sums of the tiles, the bin that holds the middle, the results. What they read is small beside the values.
 */
#ifndef STATISTICS_MIDDLE_CUH
#define STATISTICS_MIDDLE_CUH
#include "statistics_tiles.cuh"

/* What a block has that works on 32 columns and one side of a row. */
struct unit {
    int row, side, from, to, n; /* tiles of the warp; n: values, or differences */
    int64_t unit, column;
    bool there;
};

static __device__ inline struct unit unit_of(const struct statistics_group *k)
{
    const int warp = (int)threadIdx.x / LANES;
    struct unit u;
    u.unit = blockIdx.x;
    u.row = (int)blockIdx.x / SIDES;
    u.side = (int)blockIdx.x % SIDES;
    u.column = (int64_t)blockIdx.y * LANES + threadIdx.x % LANES;
    u.there = u.column < k->columns;
    u.n = values_of(k, u.row, u.side);
    const int first = k->row[u.row].first_tile, tiles = (k->row[u.row].frames + TILE - 1) / TILE;
    const int each = (tiles + WARPS - 1) / WARPS;
    u.from = first + min(warp * each, tiles);
    u.to = u.there ? first + min((warp + 1) * each, tiles) : u.from;
    return u;
}

/* The sum of a row's tiles, in the order that their number alone decides, for all warps. */
static __device__ inline double unit_sum(const struct statistics_group *k, const struct unit *u, double *part)
{
    double sum = 0;
    for (int tile = u->from; tile < u->to; tile++)
        sum += k->sum[of_tile(k, tile, u->side, u->column)];
    part[threadIdx.x] = sum;
    __syncthreads();
    sum = 0;
    for (int w = 0; w < WARPS; w++)
        sum += part[w * LANES + threadIdx.x % LANES];
    return sum;
}

static __device__ inline int shift_of(unsigned span)
{
    const int bits = 32 - __clz((int)span);
    return bits > 8 ? bits - 8 : 0;
}

static __device__ inline int64_t bin_at(const struct statistics_group *k, const struct unit *u, int bin)
{
    return (u->unit * BINS + bin) * k->columns + u->column;
}

/* Adds up the tiles' sums and begins the search for the middle. occupancy: 2 blocks of 512 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 2)) statistics_begin(struct statistics_group k)
{
    SHARED(double, part, THREADS);
    SHARED(int, least, THREADS);
    SHARED(int, most, THREADS);
    const struct unit u = unit_of(&k);
    const int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
    int lo = INT32_MAX, hi = INT32_MIN;
    for (int tile = u.from; tile < u.to; tile++) {
        lo = min(lo, k.least[of_tile(&k, tile, u.side, u.column)]);
        hi = max(hi, k.most[of_tile(&k, tile, u.side, u.column)]);
    }
    least[threadIdx.x] = lo;
    most[threadIdx.x] = hi;
    const double mean = unit_sum(&k, &u, part) / (double)u.n; /* which waits for all */
    for (int bin = warp; bin < BINS && u.there; bin += WARPS)
        k.count[bin_at(&k, &u, bin)] = 0;
    if (warp > 0 || !u.there)
        return;
    for (int w = 1; w < WARPS; w++) {
        lo = min(lo, least[w * LANES + lane]);
        hi = max(hi, most[w * LANES + lane]);
    }
    const bool search = u.n > 0 && mean == mean && lo < hi;
    const unsigned span = search ? (unsigned)hi - (unsigned)lo : 0;
    k.mean[u.unit * k.columns + u.column] = mean;
    *state_of(&k, LEAST, u.unit, u.column) = lo;
    *state_of(&k, MOST, u.unit, u.column) = hi;
    *state_of(&k, LO, u.unit, u.column) = lo;
    *state_of(&k, SPAN, u.unit, u.column) = (int)span;
    *state_of(&k, SHIFT, u.unit, u.column) = search ? shift_of(span) : -1;
    *state_of(&k, BELOW, u.unit, u.column) = 0;
    *state_of(&k, BEFORE, u.unit, u.column) = lo;
}

/* Finds the bin that holds the middle, and clears the counts: 16 bins per warp. occupancy: 2 blocks of 512 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 2))
    statistics_narrow(struct statistics_group k)
{
    SHARED(int, sums, THREADS);
    SHARED(int, tops, THREADS);
    const struct unit u = unit_of(&k);
    const int warp = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES, rank = u.n / 2;
    const int shift = u.there ? *state_of(&k, SHIFT, u.unit, u.column) : -1;
    if (!__any_sync(0xffffffffu, shift >= 0)) /* the same columns in every warp */
        return;
    int count[BINS_EACH], sum = 0, top = -1;
#pragma unroll
    for (int i = 0; i < BINS_EACH; i++) {
        int *const at = k.count + bin_at(&k, &u, warp * BINS_EACH + i);
        count[i] = shift >= 0 ? *at : 0;
        if (shift >= 0)
            *at = 0;
        sum += count[i];
        top = count[i] ? warp * BINS_EACH + i : top;
    }
    int below = u.there ? *state_of(&k, BELOW, u.unit, u.column) : 0, nearest = -1, bin = -1;
    const unsigned lo = u.there ? (unsigned)*state_of(&k, LO, u.unit, u.column) : 0;
    const unsigned span = u.there ? (unsigned)*state_of(&k, SPAN, u.unit, u.column) : 0;
    sums[threadIdx.x] = sum;
    tops[threadIdx.x] = top;
    __syncthreads();
    for (int w = 0; w < warp; w++) {
        below += sums[w * LANES + lane];
        nearest = max(nearest, tops[w * LANES + lane]);
    }
    if (shift < 0 || below > rank || below + sum <= rank) /* in another warp's bins */
        return;
#pragma unroll
    for (int i = 0; i < BINS_EACH; i++) {
        const bool past = bin < 0 && below + count[i] <= rank;
        bin = bin < 0 && !past ? warp * BINS_EACH + i : bin;
        below += past ? count[i] : 0;
        nearest = past && count[i] ? warp * BINS_EACH + i : nearest;
    }
    const unsigned start = (unsigned)bin << shift, width = (1u << shift) - 1;
    const unsigned rest = span - start < width ? span - start : width;
    *state_of(&k, LO, u.unit, u.column) = (int)(lo + start);
    *state_of(&k, SPAN, u.unit, u.column) = (int)rest;
    *state_of(&k, SHIFT, u.unit, u.column) = shift > 0 ? shift_of(rest) : -1;
    *state_of(&k, BELOW, u.unit, u.column) = below;
    if (shift == 0 && nearest >= 0)
        *state_of(&k, BEFORE, u.unit, u.column) = (int)(lo + (unsigned)nearest);
}

/* occupancy: 4 blocks of 512 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 4)) statistics_write(struct statistics_group k)
{
    SHARED(double, part, THREADS);
    const struct unit u = unit_of(&k);
    const double squares = unit_sum(&k, &u, part);
    if ((int)threadIdx.x >= LANES || !u.there)
        return;
    const double mean = k.mean[u.unit * k.columns + u.column];
    const float upper = value_of(*state_of(&k, LO, u.unit, u.column));
    const float before = value_of(*state_of(&k, BEFORE, u.unit, u.column));
    const float lower = *state_of(&k, BELOW, u.unit, u.column) < u.n / 2 ? upper : before;
    const bool number = u.n > 0 && mean == mean;
    float *const y = k.y + (k.row[u.row].row * STATISTICS + (u.side ? STATISTIC_KINDS : 0)) * k.columns + u.column;
    y[STATISTIC_MEAN * k.columns] = number ? (float)mean : NAN;
    y[STATISTIC_VAR * k.columns] = number ? (float)(squares / (double)u.n) : NAN;
    y[STATISTIC_MEDIAN * k.columns] = !number ? NAN : u.n % 2 ? upper : (lower + upper) / 2;
    y[STATISTIC_MIN * k.columns] = number ? value_of(*state_of(&k, LEAST, u.unit, u.column)) : NAN;
    y[STATISTIC_MAX * k.columns] = number ? value_of(*state_of(&k, MOST, u.unit, u.column)) : NAN;
}

#endif
