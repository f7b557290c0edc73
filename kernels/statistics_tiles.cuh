/* statistics_tiles.cuh - what the kernels of statistics_long.cu work on: a group of long rows, how a lane reads its
 * frames of a tile, sums over the lanes and warps of a tile. */
#ifndef STATISTICS_TILES_CUH
#define STATISTICS_TILES_CUH
#include "statistics.cuh"

enum {
    LANES = 32,
    WARPS = 16,
    THREADS = LANES * WARPS,
    TILE = STATISTICS_TILE,
    RUN = TILE / WARPS, /* frames of a warp */
    STEPS = 8,          /* loads of a thread on their way at once */
    BINS = 256,
    PASSES = 4,               /* of 8 bits of the keys each */
    BINS_EACH = BINS / WARPS, /* of a warp that looks for the middle */
    SIDES = 2,                /* values, differences */
    ROWS_MOST = 64,           /* of a group */
    SCRATCH = 8 << 20,        /* bytes to stay below, one row aside */
    DIFFERENCES = 1 << 16,    /* a difference's count, in the upper half of the word */
    VALUES = DIFFERENCES - 1, /* the lower half: a tile has fewer */
};
static_assert((int)STATISTICS_TILE < (int)DIFFERENCES, "counts of a tile fit half a word");

/* What is known of each column and side of a row. */
enum state {
    LEAST,
    MOST,
    LO,     /* the middle key lies from here */
    SPAN,   /* to so many further on */
    SHIFT,  /* the next pass has bins of 2^SHIFT; -1: LO is the middle key */
    BELOW,  /* keys below LO */
    BEFORE, /* the largest of them */
    STATES
};

struct statistics_row {
    int64_t begin, row; /* first frame in the batch */
    int frames, first_tile;
};

struct statistics_group {
    const float *x;
    float *y;
    int64_t columns, block;
    double *sum;       /* [tiles][SIDES][columns]; later of squares */
    double *mean;      /* [rows][SIDES][columns] */
    int *least, *most; /* [tiles][SIDES][columns] */
    int *state;        /* [STATES][rows][SIDES][columns] */
    int *count;        /* [rows][SIDES][BINS][columns] */
    int rows, tiles;
    struct statistics_row row[ROWS_MOST];
};

static __device__ inline int64_t of_tile(const struct statistics_group *k, int tile, int side, int64_t column)
{
    return ((int64_t)tile * SIDES + side) * k->columns + column;
}

static __device__ inline int *state_of(const struct statistics_group *k, int state, int64_t unit, int64_t column)
{
    return k->state + ((int64_t)state * k->rows * SIDES + unit) * k->columns + column;
}

/* Values, or differences, of a row. */
static __device__ inline int values_of(const struct statistics_group *k, int row, int side)
{
    const int frames = k->row[row].frames;
    if (side == 0)
        return frames;
    return k->block > 0 && k->block < frames ? frames - (int)((frames + k->block - 1) / k->block) : frames - 1;
}

/* A lane's frames of a tile. */
struct part {
    const float *next;
    int64_t ahead; /* floats from one step to the next */
    float carry;   /* the frame before the step */
    int steps;     /* of the warp */
    int left;      /* frames until the end of the run; from 0 on none */
    int phase;     /* the frame's number within its block: the first of one has no difference */
    int block, phase_step;
};

/* Which row, frames and columns a block has, and which of them a lane. */
struct place {
    int row, tile; /* tile: of all */
    int width;     /* lanes side by side, 2^n */
    int64_t column;
    bool there; /* the lane's column is */
};

static __device__ inline struct place place_of(const struct statistics_group *k)
{
    const int lane = (int)threadIdx.x % LANES;
    const int64_t first = (int64_t)blockIdx.y * LANES, left = k->columns - first;
    const int columns = left < LANES ? (int)left : (int)LANES;
    struct place p;
    p.tile = (int)blockIdx.x;
    p.width = 1;
    while (p.width < columns)
        p.width *= 2;
    p.there = lane % p.width < columns;
    p.column = first + (p.there ? lane % p.width : 0);
    int lo = 0, hi = k->rows;
    while (hi - lo > 1) {
        const int mid = (lo + hi) / 2;
        if (k->row[mid].first_tile <= p.tile)
            lo = mid;
        else
            hi = mid;
    }
    p.row = lo;
    return p;
}

static __device__ inline struct part part_of(const struct statistics_group *k, const struct place *p)
{
    const int lane = (int)threadIdx.x % LANES, warp = (int)threadIdx.x / LANES;
    const int side_by_side = LANES / p->width, frames = k->row[p->row].frames;
    const int first = (p->tile - k->row[p->row].first_tile) * TILE + warp * RUN;
    const int end = first + RUN < frames ? first + RUN : frames, mine = first + lane / p->width;
    const float *const run = k->x + (k->row[p->row].begin + first) * k->columns + p->column;
    struct part r;
    r.steps = end > first ? (end - first + side_by_side - 1) / side_by_side : 0;
    r.left = p->there ? end - mine : 0;
    r.next = run + lane / p->width * k->columns;
    r.ahead = side_by_side * k->columns;
    r.block = k->block > 0 && k->block < frames ? (int)k->block : INT32_MAX; /* one that holds the row cuts nothing */
    r.phase = mine % r.block;
    r.phase_step = side_by_side % r.block;
    r.carry = first > 0 && r.steps > 0 && lane < p->width ? run[-k->columns] : 0;
    return r;
}

static __device__ inline void part_load(struct part *r, int step_frames, float v[STEPS])
{
#pragma unroll
    for (int i = 0; i < STEPS; i++)
        v[i] = i * step_frames < r->left ? r->next[i * r->ahead] : 0;
    r->next += STEPS * r->ahead;
}

/* What a step has for the lane. */
struct found {
    float value[SIDES];
    bool there[SIDES];
};

static __device__ inline struct found part_step(struct part *r, int width, float v)
{
    const int lane = (int)threadIdx.x % LANES;
    const float neighbour =
        __shfl_sync(0xffffffffu, v, (lane - width) & (LANES - 1)); /* the first lanes': the last's */
    struct found f;
    f.value[0] = v;
    f.value[1] = v - (lane < width ? r->carry : neighbour);
    f.there[0] = r->left > 0;
    f.there[1] = r->left > 0 && r->phase > 0;
    r->carry = neighbour;
    r->left -= LANES / width;
    r->phase += r->phase_step;
    r->phase -= r->phase >= r->block ? r->block : 0;
    return f;
}

/* Sums over the lanes that share a column, then over the warps, of side 0 in warp 0 and of side 1 in warp 1; part
 * [SIDES * THREADS] is shared memory. */
static __device__ inline double tile_sum(const double v[SIDES], int width, double *part)
{
    double sum = 0;
#pragma unroll
    for (int side = 0; side < SIDES; side++) {
        double all = v[side];
        for (int d = LANES / 2; d >= width; d /= 2)
            all += __shfl_xor_sync(0xffffffffu, all, d);
        part[side * THREADS + threadIdx.x] = all;
    }
    __syncthreads();
    for (int w = 0; w < WARPS && threadIdx.x < SIDES * LANES; w++)
        sum += part[(int)threadIdx.x / LANES * THREADS + w * LANES + (int)threadIdx.x % LANES];
    __syncthreads();
    return sum;
}

/* The same of the largest. */
static __device__ inline int tile_max(const int v[SIDES], int width, int *part)
{
    int most = INT32_MIN;
#pragma unroll
    for (int side = 0; side < SIDES; side++) {
        int all = v[side];
        for (int d = LANES / 2; d >= width; d /= 2)
            all = max(all, __shfl_xor_sync(0xffffffffu, all, d));
        part[side * THREADS + threadIdx.x] = all;
    }
    __syncthreads();
    for (int w = 0; w < WARPS && threadIdx.x < SIDES * LANES; w++)
        most = max(most, part[(int)threadIdx.x / LANES * THREADS + w * LANES + (int)threadIdx.x % LANES]);
    __syncthreads();
    return most;
}

#endif
