/* A block makes 128 rows of one tile of columns, 8 rows by 4 columns in the registers of a thread. Steps of 16 of k are
 * copied to shared memory while those before them are multiplied; a row's run is copied from where it lies, so overlap
 * costs a read from the second cache and no memory.
 *
 *   limits   of 64 columns: 262,144 multiply-adds for each 12 KB copied: 67 TFLOP/s want 3.1 TB/s, which the second
 *            cache gives; below 300 of k and columns together device memory is what there is to wait for
 *   banks    a row of x lies 20 floats from the next, so that no two rows that a warp reads at once share banks. 16
 *            bytes of two rows that are copied at once may: an eighth of the passes more */
#include "product_rows.cuh"

enum {
    ROWS = PRODUCT_ROWS,
    DOWN = 16, /* threads along them */
    EACH = ROWS / DOWN,
    STEP = PRODUCT_STEP,
    ROW = STEP + 4,
    WIDE = 4,          /* columns of a thread: two pairs, half a tile apart */
    CHAIN = 128 / STEP /* steps whose sum is one chain */
};

template <int TILE>
static __device__ __forceinline__ void copy_step(const struct device_product *p, const struct product_places *place,
                                                 int s, int k, const float *panel, float *x, float *w)
{
    enum { THREADS = DOWN * TILE / WIDE };
    copy_rows_of<THREADS, ROW>(p, place, s, k, x);
    for (int i = (int)threadIdx.x * 4; i < STEP * TILE; i += THREADS * 4)
        copy_async(w + i, panel + i, 16);
}

template <int TILE>
static __device__ __forceinline__ void multiply(const float *x, const float *w, float sum[EACH][WIDE])
{
    const int tx = (int)threadIdx.x % (TILE / WIDE) * 2, ty = (int)threadIdx.x / (TILE / WIDE);
#pragma unroll
    for (int k = 0; k < STEP; k += 4) {
        float4 a[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++)
            a[i] = load4(x + (ty + DOWN * i) * ROW + k);
#pragma unroll
        for (int q = 0; q < 4; q++) {
            const float2 b = load2(w + (k + q) * TILE + tx), c = load2(w + (k + q) * TILE + TILE / 2 + tx);
#pragma unroll
            for (int i = 0; i < EACH; i++) {
                const float v = q == 0 ? a[i].x : q == 1 ? a[i].y : q == 2 ? a[i].z : a[i].w;
                sum[i][0] += v * b.x;
                sum[i][1] += v * b.y;
                sum[i][2] += v * c.x;
                sum[i][3] += v * c.y;
            }
        }
    }
}

template <int TILE>
static __device__ __forceinline__ void sum_rows(const struct device_product *p, const struct product_places *place,
                                                const float *panel, float *x, float *w, float total[EACH][WIDE])
{
    const int steps = p->segments * ((p->length + STEP - 1) / STEP);
    float sum[EACH][WIDE] = {{0}};
    int s = 0, k = 0;
    copy_step<TILE>(p, place, 0, 0, panel, x, w);
    copy_async_commit();
    for (int t = 0; t < steps; t++) {
        const int half = t % 2, other = half ^ 1;
        k += STEP;
        if (k >= p->length) {
            k = 0;
            s++;
        }
        if (t + 1 < steps)
            copy_step<TILE>(p, place, s, k, panel + (t + 1) * STEP * TILE, x + other * ROWS * ROW,
                            w + other * STEP * TILE);
        copy_async_commit(); /* an empty group where nothing is left, so that one may always be on its way */
        copy_async_wait(1);
        __syncthreads();
        multiply<TILE>(x + half * ROWS * ROW, w + half * STEP * TILE, sum);
        __syncthreads();
        if ((t + 1) % CHAIN != 0 && t + 1 < steps)
            continue;
#pragma unroll
        for (int i = 0; i < EACH * WIDE; i++) {
            total[i / WIDE][i % WIDE] += sum[i / WIDE][i % WIDE];
            sum[i / WIDE][i % WIDE] = 0;
        }
    }
}

template <int TILE> static __device__ __forceinline__ void product_block(const struct device_product *p, int64_t tiles)
{
    SHARED(float4, x4, 2 * ROWS * ROW / 4);
    SHARED(float4, w4, 2 * STEP * TILE / 4);
    SHARED(int64_t, spots, PRODUCT_SPOTS);
    enum { THREADS = DOWN * TILE / WIDE };
    const struct product_places place = product_places_in(spots);
    const int64_t tile = blockIdx.x % tiles, first = blockIdx.x / tiles * ROWS;
    const int64_t steps = p->segments * ((p->length + STEP - 1) / STEP);
    const float *const panel = p->panels + blockIdx.y * p->panels_part + tile * (steps * STEP + 1) * TILE;
    const int tx = (int)threadIdx.x % (TILE / WIDE) * 2, ty = (int)threadIdx.x / (TILE / WIDE);
    for (int i = (int)threadIdx.x; i < ROWS; i += THREADS)
        place_row(p, first, i, &place);
    const float2 bias = load2(panel + tx), other = load2(panel + TILE / 2 + tx);
    float total[EACH][WIDE];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        total[i][0] = bias.x;
        total[i][1] = bias.y;
        total[i][2] = other.x;
        total[i][3] = other.y;
    }
    __syncthreads();
    sum_rows<TILE>(p, &place, panel + TILE, (float *)x4, (float *)w4, total);
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (place.x[ty + DOWN * i] >= 0)
            finish_row<TILE>(p, &place, ty + DOWN * i, tile, tx, total[i]);
}

/* occupancy: 2 blocks of 256 threads */
static __global__ void __launch_bounds__(256, DEVICE_BLOCKS(256, 2))
    product64_kernel(struct device_product p, int64_t tiles)
{
    product_block<64>(&p, tiles);
}

/* occupancy: 2 blocks of 192 threads */
static __global__ void __launch_bounds__(192, DEVICE_BLOCKS(192, 2))
    product48_kernel(struct device_product p, int64_t tiles)
{
    product_block<48>(&p, tiles);
}

/* occupancy: 6 blocks of 64 threads */
static __global__ void __launch_bounds__(64, DEVICE_BLOCKS(64, 6))
    product16_kernel(struct device_product p, int64_t tiles)
{
    product_block<16>(&p, tiles);
}

/* ---- launch ---- */

static int64_t bits_of(const struct device_product *p, const void *data, int64_t item, int64_t row, int64_t step)
{
    return (int64_t)((uintptr_t)data / sizeof(float)) | (p->items > 1 ? item : 0) | (p->height > 1 ? row : 0) |
           (p->width > 1 ? step : 0);
}

/* Floats that lie together on as many, and pairs. */
static void find_widths(struct device_product *p)
{
    int64_t x = bits_of(p, p->x, p->x_item, p->x_row, p->x_step) | p->length | p->x_part;
    for (int s = 0; s < p->segments; s++)
        x |= p->segment[s].offset;
    p->copy = x % 2 ? 1 : x % 4 ? 2 : 4;
    const int64_t y = bits_of(p, p->y, p->y_item, p->y_row, p->y_step) | p->y_shift | p->y_part;
    p->pair = (y | (p->add ? bits_of(p, p->add, p->add_item, p->add_row, p->y_step) : 0)) % 2 == 0;
}

int product_launch(struct exec *ex, const char *op, const struct device_product *product)
{
    struct device_product p = *product;
    const int64_t tiles = product_tiles(p.out, product_gated(p.finish)), rows = p.items * p.height * p.width;
    const double blocks = (double)tiles * (double)((rows + ROWS - 1) / ROWS);
    if (blocks > INT32_MAX)
        return fail(STATUS_SHAPE, "%s: %lld positions are more than one launch gives", op, (long long)rows);
    p.parts = p.parts > 0 ? p.parts : 1;
    find_widths(&p);
    const dim3 grid((unsigned)blocks, (unsigned)p.parts);
    if (p.precision != PRECISION_F32)
        return product_mma_launch(ex, op, grid, &p, tiles);
    if (product_tile(p.out) == 64)
        LAUNCH(product64_kernel, grid, 256, 0, device_launch_stream(ex), p, tiles);
    else if (product_tile(p.out) == 48)
        LAUNCH(product48_kernel, grid, 192, 0, device_launch_stream(ex), p, tiles);
    else
        LAUNCH(product16_kernel, grid, 64, 0, device_launch_stream(ex), p, tiles);
    return device_launched(op);
}
