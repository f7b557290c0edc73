/* layer_norm on CUDA: a warp per position, its values in registers up to 512 channels, where each is read once and
 * written once: 8 bytes, bound by memory. More channels are read three times, from the cache. In-place works, since a
 * lane writes what it alone has read. */
#include "layer_norm.h"

#include "maps.cuh"

enum { THREADS = 256, WARPS = THREADS / 32 };

struct layer {
    struct maps x, y;
    const float *gain, *shift, *add; /* add: NULL for none */
    int64_t positions;               /* of all items */
    bool wide, channels_wide;        /* channels: gain, shift and add */
};

static __device__ inline float4 four_of(const struct layer *l, const float *x, int64_t at)
{
    return load_part4(x + at, l->x.channels - at, l->wide);
}

/* Sum of the differences of four, of which `count` are there, and of their squares. */
static __device__ inline void spread4(float4 v, int64_t count, float mean, float *sum, float *squares)
{
    const float d[4] = {v.x - mean, count > 1 ? v.y - mean : 0, count > 2 ? v.z - mean : 0, count > 3 ? v.w - mean : 0};
    *sum += (d[0] + d[1]) + (d[2] + d[3]);
    *squares += (d[0] * d[0] + d[1] * d[1]) + (d[2] * d[2] + d[3] * d[3]);
}

static __device__ inline void normalise4(const struct layer *l, float4 v, int64_t at, struct split mean, float rstd,
                                         const float *add, float *y)
{
    const int64_t count = l->x.channels - at;
    const float4 gain = load_part4(l->gain + at, count, l->channels_wide);
    const float4 shift = load_part4(l->shift + at, count, l->channels_wide);
    const float4 more = add ? load_part4(add + at, count, l->channels_wide) : make_float4(0, 0, 0, 0);
    v.x = (v.x - mean.high - mean.low) * rstd * gain.x + shift.x + more.x;
    v.y = (v.y - mean.high - mean.low) * rstd * gain.y + shift.y + more.y;
    v.z = (v.z - mean.high - mean.low) * rstd * gain.z + shift.z + more.z;
    v.w = (v.w - mean.high - mean.low) * rstd * gain.w + shift.w + more.w;
    store_part4(y + at, v, count, l->wide);
}

/* One position. FOURS of a lane are in registers; 0: as many as there are, in memory. Differences are taken from the
 * mean rounded to f32; what that leaves is taken off. */
template <int FOURS>
static __device__ inline void layer_position(const struct layer *l, const float *x, const float *add, float *y)
{
    const int64_t channels = l->x.channels;
    const int lane = (int)threadIdx.x % 32, n = FOURS ? FOURS : (int)((channels + 127) / 128);
    float4 v[FOURS ? FOURS : 1];
    float sum = 0, rest = 0, squares = 0;
#pragma unroll
    for (int i = 0; i < n; i++) {
        const float4 here = four_of(l, x, 4 * (lane + 32 * i));
        sum += (here.x + here.y) + (here.z + here.w);
        v[FOURS ? i : 0] = here;
    }
    struct split mean;
    mean.high = warp_sum(sum) / (float)channels;
#pragma unroll
    for (int i = 0; i < n; i++) {
        const int64_t at = 4 * (lane + 32 * i);
        if (at < channels)
            spread4(FOURS ? v[FOURS ? i : 0] : four_of(l, x, at), channels - at, mean.high, &rest, &squares);
    }
    mean.low = warp_sum(rest) / (float)channels;
    const float variance = warp_sum(squares) / (float)channels - mean.low * mean.low;
    const float rstd = 1 / sqrtf((variance < 0 ? 0 : variance) + 1e-5f);
#pragma unroll
    for (int i = 0; i < n; i++) {
        const int64_t at = 4 * (lane + 32 * i);
        if (at < channels)
            normalise4(l, FOURS ? v[FOURS ? i : 0] : four_of(l, x, at), at, mean, rstd, add, y);
    }
}

/* occupancy: 4 blocks of 256 threads */
template <int FOURS>
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 4)) layer_norm_kernel(struct layer l)
{
    const int64_t step = (int64_t)gridDim.x * WARPS, per_item = l.x.height * l.x.width;
    for (int64_t p = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; p < l.positions; p += step) {
        int64_t n, j;
        const int64_t b = divided(p, per_item, &n), i = divided(n, l.x.width, &j), c = j * l.x.channels;
        layer_position<FOURS>(&l, l.x.data + b * l.x.item_stride + i * l.x.row_stride + c,
                              l.add ? l.add + n * l.x.channels : NULL,
                              l.y.data + b * l.y.item_stride + i * l.y.row_stride + c);
    }
}

extern "C" int layer_norm_cuda(struct exec *ex, const float *gain, const float *shift, const float *add,
                               const struct maps *x, const struct maps *y)
{
    const int64_t channels = x->channels;
    struct layer l = {*x, *y, gain, shift, add, x->items * x->height * x->width, false, false};
    const unsigned blocks = device_grid((l.positions + WARPS - 1) / WARPS);
    const cudaStream_t stream = device_launch_stream(ex);
    l.wide = channels % 4 == 0 && maps_wide(x) && maps_wide(y);
    l.channels_wide = channels % 4 == 0 && floats_on(gain, 0, 0, 16) && floats_on(shift, 0, 0, 16) &&
                      (!add || floats_on(add, 0, 0, 16));
    if (channels <= 128)
        LAUNCH(layer_norm_kernel<1>, blocks, THREADS, 0, stream, l);
    else if (channels <= 512)
        LAUNCH(layer_norm_kernel<4>, blocks, THREADS, 0, stream, l);
    else
        LAUNCH(layer_norm_kernel<0>, blocks, THREADS, 0, stream, l);
    return device_launched("layer_norm");
}
