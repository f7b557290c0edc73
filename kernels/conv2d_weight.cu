/* The weight gradient of conv2d: a block keeps a tile of inputs by outputs in its registers while a part of the
 * positions goes by, and a second kernel adds the parts in their order.
 *
 *   launches  sums of parts, their addition; where there is one part its sums are the gradient
 *   parts     as many as fill an H200 with tiles, of 128 positions at least
 *   scratch   9 MB at most
 *   limits    131,072 multiply-adds for each 12 KB copied: twice what products ask of the second cache (product.cu).
 *             Sixteen of k are the first layer of a network: those 32 outputs are read once, and that is all */
#include "conv2d_weight.cuh"

enum {
    STEP = WEIGHT_STEP,
    WIDE = WEIGHT_WIDE,
    COLUMNS = 4, /* of a thread */
    BLOCKS = 2 * 132,
    LOW_BLOCKS = 8 * 132,
    LOW_MOST = 48, /* of k that tiles of 16 are for */
    JOIN_THREADS = 256,
    JOIN_EACH = 8,   /* parts that a thread adds at least, */
    JOIN_SLICES = 32 /* but for no more threads */
};

template <int HIGH, int EACH>
static __device__ __forceinline__ void multiply(const float *x, const float *y, float sum[EACH][COLUMNS])
{
    const int tx = (int)threadIdx.x % (WIDE / COLUMNS) * COLUMNS, ty = (int)threadIdx.x / (WIDE / COLUMNS) * 4;
#pragma unroll
    for (int i = 0; i < STEP; i++) {
        const float4 b = load4(y + i * WIDE + tx);
#pragma unroll
        for (int e = 0; e < EACH; e += 4) {
            const float4 a = load4(x + i * HIGH + ty + e / 4 * (HIGH / 2));
#pragma unroll
            for (int q = 0; q < 4; q++) {
                const float v = q == 0 ? a.x : q == 1 ? a.y : q == 2 ? a.z : a.w;
                sum[e + q][0] += v * b.x;
                sum[e + q][1] += v * b.y;
                sum[e + q][2] += v * b.z;
                sum[e + q][3] += v * b.w;
            }
        }
    }
}

template <int HIGH, int EACH>
static __device__ __forceinline__ void sum_part(const struct device_weight_sums *s, const struct device_weight_part *p,
                                                const struct device_weight_places *place, float *x, float *y,
                                                float total[EACH][COLUMNS])
{
    enum { THREADS = HIGH / EACH * WIDE / COLUMNS };
    const int steps = weight_steps(p);
    float sum[EACH][COLUMNS] = {{0}};
    weight_place<THREADS>(s, p, 0, place);
    __syncthreads();
    weight_copy_step<THREADS, HIGH, HIGH, WIDE>(s, p, place, 0, x, y);
    copy_async_commit();
    for (int t = 0; t < steps; t++) {
        const int half = t % 2, other = half ^ 1;
        if (t % WEIGHT_STEPS == 0) /* in the half that nobody reads until the next chunk begins */
            weight_place<THREADS>(s, p, t / WEIGHT_STEPS + 1, place);
        if (t + 1 < steps)
            weight_copy_step<THREADS, HIGH, HIGH, WIDE>(s, p, place, t + 1, x + other * STEP * HIGH,
                                                        y + other * STEP * WIDE);
        copy_async_commit(); /* an empty group where nothing is left, so that one may always be on its way */
        copy_async_wait(1);
        __syncthreads();
        multiply<HIGH, EACH>(x + half * STEP * HIGH, y + half * STEP * WIDE, sum);
        __syncthreads();
        if ((t + 1) % WEIGHT_STEPS != 0 && t + 1 < steps)
            continue;
#pragma unroll
        for (int i = 0; i < EACH * COLUMNS; i++) {
            total[i / COLUMNS][i % COLUMNS] += sum[i / COLUMNS][i % COLUMNS];
            sum[i / COLUMNS][i % COLUMNS] = 0;
        }
    }
}

template <int HIGH, int EACH> static __device__ __forceinline__ void weight_block(const struct device_weight_sums *s)
{
    SHARED(float4, x4, 2 * STEP * HIGH / 4);
    SHARED(float4, y4, 2 * STEP * WIDE / 4);
    SHARED(int64_t, spots, WEIGHT_SPOTS);
    const struct device_weight_places place = weight_places_in(spots);
    const struct device_weight_part p = weight_part_of<HIGH>(s);
    const int tx = (int)threadIdx.x % (WIDE / COLUMNS) * COLUMNS, ty = (int)threadIdx.x / (WIDE / COLUMNS) * 4;
    float total[EACH][COLUMNS] = {{0}};
    sum_part<HIGH, EACH>(s, &p, &place, (float *)x4, (float *)y4, total);
#pragma unroll
    for (int e = 0; e < EACH; e++) {
        const int64_t k = p.k + ty + e / 4 * (HIGH / 2) + e % 4, n = p.n + tx;
        if (k < s->k)
            store_part4(p.to + k * s->out + n, make_float4(total[e][0], total[e][1], total[e][2], total[e][3]),
                        s->out - n, s->out % 4 == 0);
    }
}

/* occupancy: 2 blocks of 256 threads */
static __global__ void __launch_bounds__(256, DEVICE_BLOCKS(256, 2))
    conv2d_weight_high_kernel(struct device_weight_sums s)
{
    weight_block<WEIGHT_HIGH, 8>(&s);
}

/* occupancy: 10 blocks of 64 threads */
static __global__ void __launch_bounds__(64, DEVICE_BLOCKS(64, 10))
    conv2d_weight_low_kernel(struct device_weight_sums s)
{
    weight_block<WEIGHT_LOW, 4>(&s);
}

/* Slices of the parts are added by threads of their own, and then by one. occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(JOIN_THREADS, DEVICE_BLOCKS(JOIN_THREADS, 8))
    conv2d_weight_join_kernel(const float *part, int64_t parts, int64_t all, int slices, float *to)
{
    SHARED(float, sums, JOIN_THREADS);
    const int beside = JOIN_THREADS / slices, slice = (int)threadIdx.x / beside;
    const int64_t at = (int64_t)blockIdx.x * beside + (int)threadIdx.x % beside;
    const int64_t each = (parts + slices - 1) / slices, first = slice * each;
    const int64_t end = first + each < parts ? first + each : parts;
    float sum = 0;
#pragma unroll 4
    for (int64_t i = first; i < end; i++)
        sum += at < all ? part[i * all + at] : 0;
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (slice > 0 || at >= all)
        return;
    for (int i = 1; i < slices; i++)
        sum += sums[i * beside + (int)threadIdx.x];
    to[at] = sum;
}

/* ---- launch ---- */

static bool is_low(const struct conv2d_params *p)
{
    return p->kernel_h * p->kernel_w * p->in <= LOW_MOST;
}

static int64_t ceil_of(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int64_t positions_of(const struct maps *y)
{
    return y->items * y->height * y->width;
}

static int64_t tiles_k_of(const struct conv2d_params *p)
{
    return ceil_of(p->kernel_h * p->kernel_w * p->in, is_low(p) ? WEIGHT_LOW : WEIGHT_HIGH);
}

/* Positions of a part. */
static int64_t each_of(const struct conv2d_params *p, const struct maps *y)
{
    const int64_t tiles = tiles_k_of(p) * ceil_of(p->out, WIDE), wanted = (is_low(p) ? LOW_BLOCKS : BLOCKS) / tiles;
    const int64_t each = ceil_of(positions_of(y), wanted < 1 ? 1 : wanted);
    return ceil_of(each < WEIGHT_CHUNK ? (int64_t)WEIGHT_CHUNK : each, STEP) * STEP;
}

static int64_t parts_of(const struct conv2d_params *p, const struct maps *y)
{
    const int64_t parts = ceil_of(positions_of(y), each_of(p, y));
    return parts < 1 ? 1 : parts;
}

static size_t parts_bytes(const struct conv2d_params *p, const struct maps *y)
{
    return (size_t)(parts_of(p, y) * conv2d_weights(p)) * sizeof(float);
}

size_t conv2d_weight_bytes(const struct conv2d_params *p, const struct maps *y)
{
    return parts_of(p, y) > 1 ? arena_round(parts_bytes(p, y)) : 0;
}

static int copy_of(int64_t bits)
{
    return bits % 2 ? 1 : bits % 4 ? 2 : 4;
}

static struct device_weight_sums sums_of(const struct conv2d_params *p, const struct maps *x, const struct maps *y)
{
    struct device_weight_sums s = {};
    s.x = y->items > 0 ? x->data - p->pad_h * x->row_stride - p->pad_w * p->in : NULL;
    s.y = y->data;
    s.positions = positions_of(y);
    s.height = y->height;
    s.width = y->width;
    s.x_item = x->item_stride;
    s.x_row = p->stride_h * x->row_stride;
    s.x_step = p->stride_w * p->in;
    s.y_item = y->item_stride;
    s.y_row = y->row_stride;
    s.y_step = p->out;
    s.x_height = x->height;
    s.h_step = p->stride_h;
    s.h_first = -p->pad_h;
    s.tap_row = x->row_stride;
    s.run = p->kernel_w * p->in;
    s.k = p->kernel_h * s.run;
    s.out = p->out;
    s.tiles_k = tiles_k_of(p);
    s.tiles_n = ceil_of(p->out, WIDE);
    s.each = each_of(p, y);
    s.copy_x = copy_of((int64_t)((uintptr_t)s.x / sizeof(float)) | (y->items > 1 ? s.x_item : 0) |
                       (y->height > 1 ? s.x_row : 0) | (y->width > 1 ? s.x_step : 0) |
                       (p->kernel_h > 1 ? s.tap_row : 0) | s.run);
    s.copy_y = copy_of((int64_t)((uintptr_t)s.y / sizeof(float)) | (y->items > 1 ? s.y_item : 0) |
                       (y->height > 1 ? s.y_row : 0) | s.out);
    return s;
}

/* Parts to `part`, and their sum to gradient. */
static int launch(struct exec *ex, const struct conv2d_params *p, int64_t parts, struct device_weight_sums *s,
                  float *gradient)
{
    const double blocks = (double)parts * (double)s->tiles_k * (double)s->tiles_n;
    if (blocks > INT32_MAX)
        return fail(STATUS_SHAPE, "conv2d_weight: %lld by %lld weights are more than one launch gives", (long long)s->k,
                    (long long)s->out);
    if (p->precision != PRECISION_F32) {
        const int code = conv2d_weight_mma_launch(ex, (unsigned)blocks, is_low(p), p->precision, s);
        if (code)
            return code;
    } else if (is_low(p)) {
        LAUNCH(conv2d_weight_low_kernel, (unsigned)blocks, 64, 0, device_launch_stream(ex), *s);
    } else {
        LAUNCH(conv2d_weight_high_kernel, (unsigned)blocks, 256, 0, device_launch_stream(ex), *s);
    }
    if (parts == 1)
        return device_launched("conv2d_weight");
    int slices = 1;
    while (slices < JOIN_SLICES && slices * JOIN_EACH < parts)
        slices *= 2;
    LAUNCH(conv2d_weight_join_kernel, (unsigned)ceil_of(s->k * s->out, JOIN_THREADS / slices), JOIN_THREADS, 0,
           device_launch_stream(ex), s->to, parts, s->k * s->out, slices, gradient);
    return device_launched("conv2d_weight");
}

extern "C" int conv2d_weight_cuda(struct exec *ex, const struct conv2d_params *p, const struct maps *x,
                                  const struct maps *y, float *gradient)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct device_weight_sums s = sums_of(p, x, y);
    const int64_t parts = parts_of(p, y);
    s.to = gradient;
    int code = parts > 1 ? arena_alloc(arena, parts_bytes(p, y), &s.to) : (int)STATUS_OK;
    code = code ? code : launch(ex, p, parts, &s, gradient);
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return code;
}
