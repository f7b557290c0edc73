/* Products on tensor cores: a block makes 128 rows of one tile of columns, a warp 32 of them and all columns. Rows are
 * copied as in product.cu and rounded when they leave shared memory; weights are packed rounded.
 *
 *   fragments  a thread has 16 bytes of a row, four of k side by side, where the instructions name others: both sides
 *              of a product are taken in the same order, so that order is free. No bank is met twice
 *   sums       one chain in f32 for all of k: what rounding the inputs costs is a hundred times that
 *   limits     131,072 multiply-adds for each 12 KB copied (TF32, 64 columns), 90 bytes a clock of a multiprocessor at
 *              its peak: the second cache gives a third to a half of that */
#include "product_rows.cuh"

enum {
    ROWS = PRODUCT_ROWS,
    STEP = PRODUCT_STEP,
    WARP_ROWS = 32,
    THREADS = ROWS / WARP_ROWS * 32,
    HIGH = WARP_ROWS / 16 /* fragments of a warp, one above the other */
};

/* Floats that a step of a tile's weights takes. */
template <int TILE, bool BF16> static __device__ __forceinline__ constexpr int step_floats(void)
{
    return TILE * STEP / (BF16 ? 2 : 1);
}

template <int TILE, bool BF16>
static __device__ __forceinline__ void copy_step(const struct device_product *p, const struct product_places *place,
                                                 int s, int k, const float *panel, float *x, float *w)
{
    copy_rows_of<THREADS, STEP>(p, place, s, k, x);
    for (int i = (int)threadIdx.x * 4; i < step_floats<TILE, BF16>(); i += THREADS * 4)
        copy_async(w + i, panel + i, 16);
}

/* Four of k of rows `group` and group + 8 of a fragment, for two products of TF32 or one of bfloat16. */
template <bool BF16> static __device__ __forceinline__ void load_rows(const float *x, unsigned a[2][4])
{
    const float4 upper = load4(x), lower = load4(x + 8 * STEP);
    if (BF16) {
        a[0][0] = bf16_pair(upper.x, upper.y);
        a[0][1] = bf16_pair(lower.x, lower.y);
        a[0][2] = bf16_pair(upper.z, upper.w);
        a[0][3] = bf16_pair(lower.z, lower.w);
        return;
    }
    a[0][0] = tf32_of(upper.x);
    a[0][1] = tf32_of(lower.x);
    a[0][2] = tf32_of(upper.y);
    a[0][3] = tf32_of(lower.y);
    a[1][0] = tf32_of(upper.z);
    a[1][1] = tf32_of(lower.z);
    a[1][2] = tf32_of(upper.w);
    a[1][3] = tf32_of(lower.w);
}

template <bool BF16>
static __device__ __forceinline__ void multiply_column(const unsigned a[HIGH][2][4], const float *w, float sum[HIGH][4])
{
    if (BF16) {
        const float2 v = load2(w);
        const unsigned b[2] = {(unsigned)__float_as_int(v.x), (unsigned)__float_as_int(v.y)};
#pragma unroll
        for (int m = 0; m < HIGH; m++)
            mma_bf16(sum[m], a[m][0], b);
        return;
    }
    const float4 v = load4(w);
    const unsigned first[2] = {(unsigned)__float_as_int(v.x), (unsigned)__float_as_int(v.y)};
    const unsigned second[2] = {(unsigned)__float_as_int(v.z), (unsigned)__float_as_int(v.w)};
#pragma unroll
    for (int m = 0; m < HIGH; m++) {
        mma_tf32(sum[m], a[m][0], first);
        mma_tf32(sum[m], a[m][1], second);
    }
}

template <int TILE, bool BF16>
static __device__ __forceinline__ void multiply(const float *x, const float *w, float sum[TILE / 8][HIGH][4])
{
    enum { EACH = BF16 ? 2 : 4 }; /* floats of the weights that a thread has of a column */
    const int lane = (int)threadIdx.x % 32, group = lane / 4, in = lane % 4;
    const int row = (int)threadIdx.x / 32 * WARP_ROWS + group;
    unsigned a[HIGH][2][4];
#pragma unroll
    for (int m = 0; m < HIGH; m++)
        load_rows<BF16>(x + (row + 16 * m) * STEP + 4 * in, a[m]);
#pragma unroll
    for (int n = 0; n < TILE / 8; n++)
        multiply_column<BF16>(a, w + ((n * 8 + group) * 4 + in) * EACH, sum[n]);
}

template <int TILE, bool BF16>
static __device__ __forceinline__ void sum_rows(const struct device_product *p, const struct product_places *place,
                                                const float *panel, float *x, float *w, float sum[TILE / 8][HIGH][4])
{
    const int steps = p->segments * ((p->length + STEP - 1) / STEP);
    int s = 0, k = 0;
    copy_step<TILE, BF16>(p, place, 0, 0, panel, x, w);
    copy_async_commit();
    for (int t = 0; t < steps; t++) {
        const int half = t % 2, other = half ^ 1;
        k += STEP;
        if (k >= p->length) {
            k = 0;
            s++;
        }
        if (t + 1 < steps)
            copy_step<TILE, BF16>(p, place, s, k, panel + (int64_t)(t + 1) * step_floats<TILE, BF16>(),
                                  x + other * ROWS * STEP, w + other * step_floats<TILE, BF16>());
        copy_async_commit(); /* an empty group where nothing is left, so that one may always be on its way */
        copy_async_wait(1);
        __syncthreads();
        multiply<TILE, BF16>(x + half * ROWS * STEP, w + half * step_floats<TILE, BF16>(), sum);
        __syncthreads();
    }
}

/* occupancy: 3 blocks of 128 threads */
template <int TILE, bool BF16>
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 3))
    product_mma_kernel(struct device_product p, int64_t tiles)
{
    SHARED(float4, x4, 2 * ROWS * STEP / 4);
    SHARED(float4, w4, 2 * TILE * STEP / 4);
    SHARED(int64_t, spots, PRODUCT_SPOTS);
    const struct product_places place = product_places_in(spots);
    const int64_t tile = blockIdx.x % tiles, first = blockIdx.x / tiles * ROWS;
    const int64_t steps = p.segments * ((p.length + STEP - 1) / STEP);
    const float *const panel =
        p.panels + blockIdx.y * p.panels_part + tile * (steps * step_floats<TILE, BF16>() + TILE);
    const int lane = (int)threadIdx.x % 32, row = (int)threadIdx.x / 32 * WARP_ROWS + lane / 4, tx = lane % 4 * 2;
    for (int i = (int)threadIdx.x; i < ROWS; i += THREADS)
        place_row(&p, first, i, &place);
    float sum[TILE / 8][HIGH][4];
#pragma unroll
    for (int n = 0; n < TILE / 8; n++) {
        const float2 bias = load2(panel + n * 8 + tx);
#pragma unroll
        for (int m = 0; m < HIGH; m++) {
            sum[n][m][0] = sum[n][m][2] = bias.x;
            sum[n][m][1] = sum[n][m][3] = bias.y;
        }
    }
    __syncthreads();
    sum_rows<TILE, BF16>(&p, &place, panel + TILE, (float *)x4, (float *)w4, sum);
#pragma unroll
    for (int i = 0; i < HIGH * 2; i++) {
        const int r = row + i / 2 * 16 + i % 2 * 8;
        if (place.x[r] < 0)
            continue;
#pragma unroll
        for (int n = 0; n < TILE / 16; n++) {
            float u[4];
#pragma unroll
            for (int c = 0; c < 4; c++)
                u[c] = sum[n + c / 2 * (TILE / 16)][i / 2][i % 2 * 2 + c % 2];
            finish_row<TILE>(&p, &place, r, tile, n * 8 + tx, u);
        }
    }
}

template <bool BF16> static void launch(struct exec *ex, dim3 grid, const struct device_product *p, int64_t tiles)
{
    if (product_tile(p->out) == 64)
        LAUNCH((product_mma_kernel<64, BF16>), grid, THREADS, 0, device_launch_stream(ex), *p, tiles);
    else if (product_tile(p->out) == 48)
        LAUNCH((product_mma_kernel<48, BF16>), grid, THREADS, 0, device_launch_stream(ex), *p, tiles);
    else
        LAUNCH((product_mma_kernel<16, BF16>), grid, THREADS, 0, device_launch_stream(ex), *p, tiles);
}

int product_mma_launch(struct exec *ex, const char *op, dim3 grid, const struct device_product *p, int64_t tiles)
{
    const int code = device_has_mma(op);
    if (code)
        return code;
    if (p->precision == PRECISION_BF16)
        launch<true>(ex, grid, p, tiles);
    else
        launch<false>(ex, grid, p, tiles);
    return device_launched(op);
}
