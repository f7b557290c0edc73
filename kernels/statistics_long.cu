/* statistics of long rows on CUDA: a row is cut into tiles of STATISTICS_TILE frames counted from its own beginning; a
 * block has a tile of up to 32 columns, values and differences at once, a warp a run of its frames. Columns that are
 * fewer share a warp: the next lanes have the next frame.
 *
 *   method   sums, least and largest of a tile go to scratch and are added up in the order of tiles. Medians: the gap
 *            that holds the middle key is cut into 256 bins per pass, counted in shared memory (both sides' counts in
 *            one word, a column per lane: no bank is met twice), then added to the row's counts in device memory.
 *            Those are integers, so it does not matter who comes first
 *   passes   five over the values at most: sums, least and largest; squares and the first counts; three more counts,
 *            which blocks leave at once whose columns are all decided. 20 bytes per value, and 4 per frame and column
 *            where a tile begins
 *   launches 11 per group of rows: sums, their addition, four times counts and bins, results. A group is up to 64
 *            rows whose scratch stays below 8 MB, or one row
 *   scratch  32 bytes per tile and column, 2,120 per row and column: 2.3 MB for two rows of 310,000 frames of 165 */
#include "statistics_middle.cuh"
#include "statistics_tiles.cuh"

/* occupancy: 2 blocks of 512 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 2)) statistics_sums(struct statistics_group k)
{
    SHARED(double, sums, SIDES *THREADS);
    SHARED(int, keys, SIDES *THREADS);
    const struct place p = place_of(&k);
    struct part r = part_of(&k, &p);
    double sum[SIDES] = {0, 0};
    int above[SIDES] = {INT32_MIN, INT32_MIN}, most[SIDES] = {INT32_MIN, INT32_MIN}; /* above: ~ the least */
    for (int step = 0; step < r.steps; step += STEPS) {
        float v[STEPS];
        part_load(&r, LANES / p.width, v);
#pragma unroll
        for (int i = 0; i < STEPS; i++) {
            const struct found f = part_step(&r, p.width, v[i]);
#pragma unroll
            for (int side = 0; side < SIDES; side++) {
                const int key = key_of(f.value[side]);
                sum[side] += f.there[side] ? f.value[side] : 0;
                above[side] = f.there[side] ? max(above[side], ~key) : above[side];
                most[side] = f.there[side] ? max(most[side], key) : most[side];
            }
            if (i % 4 == 3)
                DEVICE_KEEP_ORDER();
        }
    }
    const double all = tile_sum(sum, p.width, sums);
    const int least = ~tile_max(above, p.width, keys), largest = tile_max(most, p.width, keys);
    if (threadIdx.x < SIDES * LANES && (int)threadIdx.x % LANES < p.width && p.there) {
        const int64_t at = of_tile(&k, p.tile, (int)threadIdx.x / LANES, p.column);
        k.sum[at] = all;
        k.least[at] = least;
        k.most[at] = largest;
    }
}

/* Adds the tile's counts, of the lanes that share a column together, to the row's. Lanes of one column begin with
 * different ones of them, so that none meets another in a bank. */
static __device__ inline void tile_count(const struct statistics_group *k, const struct place *p, const int *histogram)
{
    const int lane = (int)threadIdx.x % LANES, sharing = LANES / p->width;
    for (int i = (int)threadIdx.x; i < BINS * p->width; i += THREADS) {
        const int bin = i / p->width;
        int sum = 0;
        for (int s = 0; s < sharing; s++)
            sum += histogram[bin * LANES + lane % p->width + (s + lane / p->width) % sharing * p->width];
        int *const to = k->count + ((int64_t)p->row * SIDES * BINS + bin) * k->columns + p->column;
        if (p->there && sum & VALUES)
            atomicAdd(to, sum & VALUES);
        if (p->there && sum >> 16)
            atomicAdd(to + BINS * k->columns, sum >> 16);
    }
}

/* One pass of the search; the first sums the squares, too. occupancy: 2 blocks of 512 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 2))
    statistics_count(struct statistics_group k, int first)
{
    SHARED(int, histogram, BINS *LANES);
    SHARED(double, part, SIDES *THREADS);
    const struct place p = place_of(&k);
    unsigned lo[SIDES], span[SIDES];
    int shift[SIDES], before[SIDES];
    double mean[SIDES], squares[SIDES] = {0, 0};
#pragma unroll
    for (int side = 0; side < SIDES; side++) {
        const int64_t unit = p.row * SIDES + side;
        mean[side] = k.mean[unit * k.columns + p.column];
        lo[side] = (unsigned)*state_of(&k, LO, unit, p.column);
        span[side] = (unsigned)*state_of(&k, SPAN, unit, p.column);
        shift[side] = *state_of(&k, SHIFT, unit, p.column);
        before[side] = INT32_MIN;
    }
    if (!__any_sync(0xffffffffu, first || shift[0] >= 0 || shift[1] >= 0)) /* the same columns in every warp */
        return;
    for (int i = (int)threadIdx.x; i < BINS * LANES; i += THREADS)
        histogram[i] = 0;
    __syncthreads();
    struct part r = part_of(&k, &p);
    for (int step = 0; step < r.steps; step += STEPS) {
        float v[STEPS];
        part_load(&r, LANES / p.width, v);
#pragma unroll
        for (int i = 0; i < STEPS; i++) {
            const struct found f = part_step(&r, p.width, v[i]);
#pragma unroll
            for (int side = 0; side < SIDES; side++) {
                const int key = key_of(f.value[side]);
                const unsigned away = (unsigned)key - lo[side];
                if (f.there[side] && shift[side] >= 0 && away <= span[side])
                    atomicAdd(&histogram[(int)(away >> shift[side]) * LANES + (int)threadIdx.x % LANES],
                              side ? (int)DIFFERENCES : 1);
                if (f.there[side] && key < (int)lo[side])
                    before[side] = max(before[side], key);
                if (first && f.there[side])
                    squares[side] += (f.value[side] - mean[side]) * (f.value[side] - mean[side]);
            }
            if (i % 4 == 3)
                DEVICE_KEEP_ORDER();
        }
    }
    const double sum = tile_sum(squares, p.width, part);
    tile_count(&k, &p, histogram);
    const int largest = tile_max(before, p.width, (int *)part);
    if (threadIdx.x >= SIDES * LANES || (int)threadIdx.x % LANES >= p.width || !p.there)
        return;
    const int side = (int)threadIdx.x / LANES;
    if (first)
        k.sum[of_tile(&k, p.tile, side, p.column)] = sum;
    if (largest > INT32_MIN)
        atomicMax(state_of(&k, BEFORE, p.row * SIDES + side, p.column), largest);
}

static size_t row_bytes(int64_t columns, int64_t frames)
{
    const size_t lanes = (size_t)columns * SIDES, tiles = (size_t)((frames + TILE - 1) / TILE);
    const size_t ints = (size_t)STATES + BINS;
    return lanes * (tiles * (sizeof(double) + 2 * sizeof(int)) + sizeof(double) + ints * sizeof(int));
}

/* The next long rows from `from` on that a group has room for; returns the row behind them. */
static int64_t group_of(const struct ragged *x, int64_t from, struct statistics_group *k, size_t *bytes)
{
    int64_t b = from;
    k->rows = k->tiles = 0;
    *bytes = 0;
    for (; b < x->rows && k->rows < ROWS_MOST; b++) {
        const int64_t frames = ragged_length(x, b);
        if (frames <= TILE)
            continue;
        const size_t more = row_bytes(x->channels, frames);
        if (k->rows > 0 && *bytes + more > SCRATCH)
            break;
        k->row[k->rows++] = (struct statistics_row){x->offset[b], b, (int)frames, k->tiles};
        k->tiles += (int)((frames + TILE - 1) / TILE);
        *bytes += more;
    }
    return b;
}

static void launch(struct statistics_group *k, double *scratch, cudaStream_t stream)
{
    const size_t lanes = (size_t)k->columns * SIDES, tiles = lanes * (size_t)k->tiles, units = lanes * (size_t)k->rows;
    const unsigned groups = (unsigned)((k->columns + LANES - 1) / LANES);
    const dim3 tile_grid((unsigned)k->tiles, groups), unit_grid((unsigned)k->rows * SIDES, groups);
    k->sum = scratch;
    k->mean = k->sum + tiles;
    k->least = (int *)(k->mean + units);
    k->most = k->least + tiles;
    k->state = k->most + tiles;
    k->count = k->state + STATES * units;
    LAUNCH(statistics_sums, tile_grid, THREADS, 0, stream, *k);
    LAUNCH(statistics_begin, unit_grid, THREADS, 0, stream, *k);
    for (int pass = 0; pass < PASSES; pass++) {
        LAUNCH(statistics_count, tile_grid, THREADS, 0, stream, *k, (int)(pass == 0));
        LAUNCH(statistics_narrow, unit_grid, THREADS, 0, stream, *k);
    }
    LAUNCH(statistics_write, unit_grid, THREADS, 0, stream, *k);
}

int statistics_long(struct exec *ex, const struct ragged *x, int64_t block, float *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct statistics_group k;
    size_t bytes, most = 0;
    double *scratch;
    k.x = (const float *)x->data;
    k.y = y;
    k.columns = x->channels;
    k.block = block;
    for (int64_t b = 0; b < x->rows;) {
        b = group_of(x, b, &k, &bytes);
        most = bytes > most ? bytes : most;
    }
    const int code = most ? arena_alloc(arena, most, &scratch) : STATUS_OK;
    for (int64_t b = 0; b < x->rows && most && !code;) {
        b = group_of(x, b, &k, &bytes);
        if (k.rows > 0)
            launch(&k, scratch, device_launch_stream(ex));
    }
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return code;
}
