/* The weight gradient of conv2d on tensor cores: a warp makes 32 of k by 64 outputs of a block's tile, or 16 by 32
 * where k is short. Positions are copied as for f32 and both factors rounded when they leave shared memory.
 *
 *   fragments  rows of a factor are positions, eight floats longer than they need be: no bank is met twice. Which of
 *              the positions stand where in a fragment is free, as long as both factors agree
 *   sums       one chain in f32 for a part */
#include "conv2d_weight.cuh"

enum { STEP = WEIGHT_STEP, WIDE = WEIGHT_WIDE, MORE = 8, ROW_Y = WIDE + MORE };

/* A position of a fragment, of bfloat16 with the one four behind it, rounded. */
template <bool BF16> static __device__ __forceinline__ unsigned rounded(const float *from, int row)
{
    return BF16 ? bf16_pair(from[0], from[4 * row]) : tf32_of(from[0]);
}

/* DOWN fragments of 16 of k by ACROSS of 8 outputs. */
template <bool BF16, int ROW_X, int DOWN, int ACROSS>
static __device__ __forceinline__ void multiply(const float *x, const float *y, float sum[DOWN][ACROSS][4])
{
    const int each = BF16 ? 16 : 8, further = BF16 ? 8 : 4;
    const int lane = (int)threadIdx.x % 32;
    x += lane % 4 * ROW_X + lane / 4;
    y += lane % 4 * ROW_Y + lane / 4;
#pragma unroll
    for (int i = 0; i < STEP; i += each) {
        unsigned a[DOWN][4];
#pragma unroll
        for (int d = 0; d < DOWN; d++)
#pragma unroll
            for (int q = 0; q < 4; q++)
                a[d][q] = rounded<BF16>(x + (i + q / 2 * further) * ROW_X + 16 * d + q % 2 * 8, ROW_X);
#pragma unroll
        for (int n = 0; n < ACROSS; n++) {
            const float *const from = y + i * ROW_Y + 8 * n;
            const unsigned b[2] = {rounded<BF16>(from, ROW_Y), rounded<BF16>(from + further * ROW_Y, ROW_Y)};
#pragma unroll
            for (int d = 0; d < DOWN; d++)
                if (BF16)
                    mma_bf16(sum[d][n], a[d], b);
                else
                    mma_tf32(sum[d][n], a[d], b);
        }
    }
}

template <bool BF16, int HIGH, int DOWN, int ACROSS>
static __device__ __forceinline__ void sum_part(const struct device_weight_sums *s, const struct device_weight_part *p,
                                                const struct device_weight_places *place, int down, int across,
                                                float *x, float *y, float sum[DOWN][ACROSS][4])
{
    enum { THREADS = HIGH / (16 * DOWN) * (WIDE / (8 * ACROSS)) * 32, ROW_X = HIGH + MORE };
    const int steps = weight_steps(p);
    weight_place<THREADS>(s, p, 0, place);
    __syncthreads();
    weight_copy_step<THREADS, HIGH, ROW_X, ROW_Y>(s, p, place, 0, x, y);
    copy_async_commit();
    for (int t = 0; t < steps; t++) {
        const int half = t % 2, other = half ^ 1;
        if (t % WEIGHT_STEPS == 0) /* in the half that nobody reads until the next chunk begins */
            weight_place<THREADS>(s, p, t / WEIGHT_STEPS + 1, place);
        if (t + 1 < steps)
            weight_copy_step<THREADS, HIGH, ROW_X, ROW_Y>(s, p, place, t + 1, x + other * STEP * ROW_X,
                                                          y + other * STEP * ROW_Y);
        copy_async_commit(); /* an empty group where nothing is left, so that one may always be on its way */
        copy_async_wait(1);
        __syncthreads();
        multiply<BF16, ROW_X, DOWN, ACROSS>(x + half * STEP * ROW_X + down, y + half * STEP * ROW_Y + across, sum);
        __syncthreads();
    }
}

template <bool BF16, int HIGH, int DOWN, int ACROSS>
static __device__ __forceinline__ void weight_block(const struct device_weight_sums *s)
{
    enum { ROW_X = HIGH + MORE, WARPS_ACROSS = WIDE / (8 * ACROSS) };
    SHARED(float4, x4, 2 * STEP * ROW_X / 4);
    SHARED(float4, y4, 2 * STEP * ROW_Y / 4);
    SHARED(int64_t, spots, WEIGHT_SPOTS);
    const struct device_weight_places place = weight_places_in(spots);
    const struct device_weight_part p = weight_part_of<HIGH>(s);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int down = warp / WARPS_ACROSS * 16 * DOWN, across = warp % WARPS_ACROSS * 8 * ACROSS;
    float sum[DOWN][ACROSS][4] = {{{0}}};
    sum_part<BF16, HIGH, DOWN, ACROSS>(s, &p, &place, down, across, (float *)x4, (float *)y4, sum);
#pragma unroll
    for (int i = 0; i < DOWN * 2; i++) {
        const int64_t k = p.k + down + i * 8 + lane / 4;
        float *const to = p.to + k * s->out;
#pragma unroll
        for (int c = 0; c < ACROSS; c++) {
            const int64_t n = p.n + across + c * 8 + lane % 4 * 2;
            const float2 v = {sum[i / 2][c][i % 2 * 2], sum[i / 2][c][i % 2 * 2 + 1]};
            if (k < s->k && n + 1 < s->out && s->out % 2 == 0) {
                store2(to + n, v);
            } else if (k < s->k) {
                if (n < s->out)
                    to[n] = v.x;
                if (n + 1 < s->out)
                    to[n + 1] = v.y;
            }
        }
    }
}

/* occupancy: 3 blocks of 128 threads */
template <bool BF16>
static __global__ void __launch_bounds__(128, DEVICE_BLOCKS(128, 3))
    conv2d_weight_high_mma_kernel(struct device_weight_sums s)
{
    weight_block<BF16, WEIGHT_HIGH, 2, 8>(&s);
}

/* occupancy: 8 blocks of 64 threads */
template <bool BF16>
static __global__ void __launch_bounds__(64, DEVICE_BLOCKS(64, 8))
    conv2d_weight_low_mma_kernel(struct device_weight_sums s)
{
    weight_block<BF16, WEIGHT_LOW, 1, 4>(&s);
}

template <bool BF16> static void launch(struct exec *ex, unsigned blocks, bool low, const struct device_weight_sums *s)
{
    if (low)
        LAUNCH(conv2d_weight_low_mma_kernel<BF16>, blocks, 64, 0, device_launch_stream(ex), *s);
    else
        LAUNCH(conv2d_weight_high_mma_kernel<BF16>, blocks, 128, 0, device_launch_stream(ex), *s);
}

int conv2d_weight_mma_launch(struct exec *ex, unsigned blocks, bool low, enum precision precision,
                             const struct device_weight_sums *s)
{
    const int code = device_has_mma("conv2d_weight");
    if (code)
        return code;
    if (precision == PRECISION_BF16)
        launch<true>(ex, blocks, low, s);
    else
        launch<false>(ex, blocks, low, s);
    return device_launched("conv2d_weight");
}
