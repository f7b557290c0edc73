/* statistics on CUDA: a block per row of up to STATISTICS_TILE frames (statistics_long.cu has the longer ones), group
 * of 32 columns and side (values, differences). A lane is a column, a warp a run of frames, so that each warp reads 128
 * neighbouring bytes.
 *
 *   method   keys are integers in the order of the floats. The gap that holds the middle key is cut into 16 bins per
 *            pass, counted in shared memory, a histogram per warp and lane: nobody waits for anybody, and counting
 *            meets no bank twice, nor does anything else. Eight passes at most, from the cache where the columns fit in
 *            one
 *   sectors  whole ones, where there are eight columns or more; a feature of one value per frame has a lane per warp
 *            at work, and 4 bytes of a sector at a time: the rest of it comes from the cache */
#include "statistics.cuh"

enum { COLUMNS = 32, WARPS = 16, THREADS = COLUMNS * WARPS, BINS = 16 };
static_assert((int)WARPS == (int)BINS, "a warp adds up one bin");

struct statistics_batch {
    const float *x;
    float *y;
    const int64_t *offset;
    int64_t columns, block;
    int groups;
};

/* A thread's run of a column: what is left of it, and the frame before. */
struct run {
    const float *next;
    int64_t columns;
    int left, block, phase; /* phase: the next frame's number within its block */
    float last;
    bool differences;
};

/* What a block works on. */
struct side {
    const float *x; /* the first frame of the lane's column */
    int64_t columns;
    int frames, block, n; /* n: values, or differences */
    bool differences, there;
};

static __device__ inline struct run run_of(const struct side *s)
{
    const int warp = (int)threadIdx.x / COLUMNS, per_warp = (s->frames + WARPS - 1) / WARPS;
    const int from = warp * per_warp < s->frames ? warp * per_warp : s->frames;
    struct run r;
    r.left = s->there ? (s->frames - from < per_warp ? s->frames - from : per_warp) : 0;
    r.next = s->x + from * s->columns;
    r.columns = s->columns;
    r.block = s->block;
    r.phase = s->block ? from % s->block : from;
    r.differences = s->differences;
    r.last = r.differences && r.left && from ? r.next[-s->columns] : 0;
    return r;
}

/* The next value, or difference; false at the end. */
static __device__ inline bool run_next(struct run *r, float *v)
{
    bool found = false;
    while (!found && r->left > 0) {
        const float now = *r->next;
        *v = r->differences ? now - r->last : now;
        found = !r->differences || r->phase > 0;
        r->last = now;
        r->next += r->columns;
        r->left--;
        r->phase = r->phase + 1 == r->block ? 0 : r->phase + 1;
    }
    return found;
}

/* Sum, least or largest over the warps of each lane's column, for all; part [THREADS] is shared memory. */
static __device__ inline double column_sum(double v, double *part)
{
    __syncthreads();
    part[threadIdx.x] = v;
    __syncthreads();
    double sum = 0;
    for (int w = 0; w < WARPS; w++)
        sum += part[w * COLUMNS + threadIdx.x % COLUMNS];
    return sum;
}

static __device__ inline int column_max(int v, int *part)
{
    __syncthreads();
    part[threadIdx.x] = v;
    __syncthreads();
    for (int w = 0; w < WARPS; w++)
        v = max(v, part[w * COLUMNS + threadIdx.x % COLUMNS]);
    return v;
}

/* Whether v holds in any thread of the block. */
static __device__ inline bool block_any(bool v, int *part)
{
    const bool here = __any_sync(0xffffffffu, v);
    __syncthreads();
    if (threadIdx.x % COLUMNS == 0)
        part[threadIdx.x / COLUMNS] = here;
    __syncthreads();
    bool any = false;
    for (int w = 0; w < WARPS; w++)
        any |= part[w] != 0;
    return any;
}

/* Counts the keys of the lane's column that lie in bins of 2^shift from lo on; count [BINS][COLUMNS] of all warps. */
static __device__ inline void count_bins(const struct side *s, unsigned lo, unsigned span, int shift, int *histogram)
{
    const int lane = (int)threadIdx.x % COLUMNS, warp = (int)threadIdx.x / COLUMNS;
    int *const own = histogram + warp * BINS * COLUMNS + lane;
    struct run r = run_of(s);
    float v;
    int sum = 0;
    __syncthreads();
    for (int i = 0; i < BINS; i++)
        own[i * COLUMNS] = 0;
    while (run_next(&r, &v)) {
        const unsigned away = (unsigned)key_of(v) - lo;
        if (away <= span)
            own[(int)(away >> shift) * COLUMNS]++;
    }
    __syncthreads();
    for (int w = 0; w < WARPS; w++)
        sum += histogram[(w * BINS + warp) * COLUMNS + lane];
    __syncthreads();
    histogram[warp * COLUMNS + lane] = sum;
    __syncthreads();
}

/* The middle value of the lane's column, the mean of the middle two of an even number. */
static __device__ inline float median(const struct side *s, int least, int most, int *histogram)
{
    const int lane = (int)threadIdx.x % COLUMNS, rank = s->n / 2;
    unsigned lo = (unsigned)least, span = (unsigned)most - lo; /* the key lies from lo to lo + span */
    int below = 0;                                             /* keys below lo */
    while (block_any(s->there && span > 0, histogram)) {
        int shift = 0, bin = 0;
        while (span >> shift >= BINS)
            shift++;
        count_bins(s, lo, span, shift, histogram);
        for (int count; bin < BINS - 1 && below + (count = histogram[bin * COLUMNS + lane]) <= rank; bin++)
            below += count;
        const unsigned start = (unsigned)bin << shift, width = (1u << shift) - 1;
        lo += start;
        span = span - start < width ? span - start : width;
    }
    const float upper = value_of((int)lo);
    int before = least; /* the largest key below, which the lower of the two may be */
    float v;
    struct run r = run_of(s);
    while (run_next(&r, &v)) {
        const int key = key_of(v);
        before = key < (int)lo ? max(before, key) : before;
    }
    before = column_max(before, histogram);
    return s->n % 2 ? upper : ((below < rank ? upper : value_of(before)) + upper) / 2;
}

static __device__ inline struct side side_of(const struct statistics_batch *k)
{
    const int64_t unit = blockIdx.x / 2, row = unit / k->groups;
    const int64_t column = (unit % k->groups) * COLUMNS + threadIdx.x % COLUMNS;
    struct side s;
    s.frames = (int)(k->offset[row + 1] - k->offset[row]);
    s.columns = k->columns;
    s.there = column < k->columns;
    s.x = k->x + k->offset[row] * k->columns + (s.there ? column : 0);
    s.block = k->block < s.frames ? (int)k->block : 0; /* a block that holds the row cuts nothing */
    s.differences = blockIdx.x % 2;
    s.n = s.frames;
    if (s.differences)
        s.n -= s.block ? (s.frames + s.block - 1) / s.block : s.frames > 0;
    return s;
}

/* occupancy: 3 blocks of 512 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 3))
    statistics_kernel(struct statistics_batch k)
{
    SHARED(int, histogram, WARPS *BINS *COLUMNS);
    SHARED(double, part, THREADS);
    const struct side s = side_of(&k);
    const int64_t unit = blockIdx.x / 2, row = unit / k.groups;
    if (s.frames > STATISTICS_TILE)
        return;
    const int64_t column = (unit % k.groups) * COLUMNS + threadIdx.x % COLUMNS;
    float *const y = k.y + (row * STATISTICS + (s.differences ? STATISTIC_KINDS : 0)) * k.columns + column;
    double sum = 0, squares = 0;
    int least = INT32_MAX, most = INT32_MIN;
    float v;
    struct run r = run_of(&s);
    while (run_next(&r, &v)) {
        sum += v;
        least = min(least, key_of(v));
        most = max(most, key_of(v));
    }
    const double mean = column_sum(sum, part) / (double)s.n;
    least = ~column_max(~least, histogram);
    most = column_max(most, histogram);
    r = run_of(&s);
    while (run_next(&r, &v))
        squares += (v - mean) * (v - mean);
    squares = column_sum(squares, part);
    if (s.n == 0) /* the same for the whole block */
        least = most = 0;
    const float middle = median(&s, least, most, histogram);
    if (threadIdx.x >= COLUMNS || !s.there)
        return;
    const bool number = s.n > 0 && mean == mean;
    y[STATISTIC_MEAN * k.columns] = number ? (float)mean : NAN;
    y[STATISTIC_VAR * k.columns] = number ? (float)(squares / (double)s.n) : NAN;
    y[STATISTIC_MEDIAN * k.columns] = number ? middle : NAN;
    y[STATISTIC_MIN * k.columns] = number ? value_of(least) : NAN;
    y[STATISTIC_MAX * k.columns] = number ? value_of(most) : NAN;
}

extern "C" int statistics_cuda(struct exec *ex, const struct ragged *x, int64_t block, float *y)
{
    const int groups = (x->channels + COLUMNS - 1) / COLUMNS;
    const struct statistics_batch k = {(const float *)x->data, y, x->offset_device, x->channels, block, groups};
    bool some = false;
    for (int64_t b = 0; b < x->rows; b++)
        some |= ragged_length(x, b) <= STATISTICS_TILE;
    const int code = statistics_long(ex, x, block, y);
    if (code)
        return code;
    if (some)
        LAUNCH(statistics_kernel, (unsigned)(2 * x->rows * groups), THREADS, 0, device_launch_stream(ex), k);
    return device_launched("statistics");
}
