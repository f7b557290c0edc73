/* maps_from_complex and complex_from_maps on CUDA: a block per tile of one frame's bins by channels, through shared
 * memory, so that both sides move whole sectors: bins lie side by side in spectra, channels in maps. A tile has 1,024
 * complex values: of two channels 512 bins each. Bound by memory: 8 bytes read and 8 written for each. */
#include "complex_maps.h"

#include "maps.cuh"

enum { THREADS = 256, VALUES = 1024, CHANNELS_MOST = 16 };

/* Tiles of `bins` by `channels`; both are powers of two. In shared memory a channel's bins are a row, rows lie `row`
 * apart: half a warp that goes through the channels of a bin first then meets no bank twice. */
struct tiling {
    struct maps y;
    float *x;                     /* only read by maps_from_complex */
    int64_t bins_there, channels; /* of x; complex channels of y */
    int64_t frames, before;       /* of x, and those of them before the first of y */
    int64_t bins, tiles_bins, tiles_channels, units;
    int tile_channels, row;
    bool x_pairs, y_pairs; /* a complex value is one access */
    float scale, shift;
};

struct tile_at {
    int64_t b, t, bin, channel; /* the first of each */
    int channels;               /* there are, from `channel` on */
};

static __device__ inline struct tile_at tile_of_unit(const struct tiling *k, int64_t unit)
{
    struct tile_at a;
    int64_t n = divided(unit, k->tiles_bins, &a.bin);
    n = divided(n, k->tiles_channels, &a.channel);
    a.b = divided(n, k->frames, &a.t);
    a.bin *= k->bins;
    a.channel *= k->tile_channels;
    a.channels = (int)(k->channels - a.channel < k->tile_channels ? k->channels - a.channel : k->tile_channels);
    return a;
}

static __device__ inline float2 load_pair(const float *p, bool pair)
{
    return pair ? load2(p) : make_float2(p[0], p[1]);
}

static __device__ inline void store_pair(float *p, float2 v, bool pair)
{
    if (pair) {
        store2(p, v);
        return;
    }
    p[0] = v.x;
    p[1] = v.y;
}

static __device__ inline float2 moved(const struct tiling *k, float2 v)
{
    return make_float2(v.x * k->scale + k->shift, v.y * k->scale + k->shift);
}

/* Where a channel's bin lies in x. */
static __device__ inline float *spectrum_at(const struct tiling *k, const struct tile_at *a, int channel, int64_t bin)
{
    return k->x + (((a->b * k->channels + a->channel + channel) * k->frames + a->t) * k->bins_there + bin) * 2;
}

/* And in y. */
static __device__ inline float *position_at(const struct tiling *k, const struct tile_at *a, int channel, int64_t bin)
{
    return k->y.data + a->b * k->y.item_stride + (a->t - k->before) * k->y.row_stride + bin * k->y.channels +
           2 * (a->channel + channel);
}

/* occupancy: 5 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 5)) maps_from_complex_kernel(struct tiling k)
{
    SHARED(float, tile, 2 * (VALUES + CHANNELS_MOST));
    for (int64_t unit = blockIdx.x; unit < k.units; unit += gridDim.x) {
        const struct tile_at a = tile_of_unit(&k, unit);
        const int bins = (int)(k.y.width - a.bin < k.bins ? k.y.width - a.bin : k.bins);
        for (int i = (int)threadIdx.x; i < a.channels * (int)k.bins; i += THREADS) {
            const int bin = i % (int)k.bins, channel = i / (int)k.bins;
            if (bin < bins)
                store2(&tile[2 * (channel * k.row + bin)],
                       load_pair(spectrum_at(&k, &a, channel, a.bin + bin), k.x_pairs));
        }
        __syncthreads();
        for (int i = (int)threadIdx.x; i < a.channels * bins; i += THREADS) {
            const int channel = i % a.channels, bin = i / a.channels;
            store_pair(position_at(&k, &a, channel, a.bin + bin), moved(&k, load2(&tile[2 * (channel * k.row + bin)])),
                       k.y_pairs);
        }
        __syncthreads();
    }
}

/* Frames and bins that y has not are zeros. occupancy: 5 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 5)) complex_from_maps_kernel(struct tiling k)
{
    SHARED(float, tile, 2 * (VALUES + CHANNELS_MOST));
    for (int64_t unit = blockIdx.x; unit < k.units; unit += gridDim.x) {
        const struct tile_at a = tile_of_unit(&k, unit);
        const int64_t left = a.t >= k.before && a.t < k.before + k.y.height ? k.y.width - a.bin : 0;
        const int bins = (int)(left < 0 ? 0 : left < k.bins ? left : k.bins); /* that y has */
        for (int i = (int)threadIdx.x; i < a.channels * bins; i += THREADS) {
            const int channel = i % a.channels, bin = i / a.channels;
            store2(&tile[2 * (channel * k.row + bin)],
                   moved(&k, load_pair(position_at(&k, &a, channel, a.bin + bin), k.y_pairs)));
        }
        __syncthreads();
        for (int i = (int)threadIdx.x; i < a.channels * (int)k.bins; i += THREADS) {
            const int bin = i % (int)k.bins, channel = i / (int)k.bins;
            if (a.bin + bin < k.bins_there)
                store_pair(spectrum_at(&k, &a, channel, a.bin + bin),
                           bin < bins ? load2(&tile[2 * (channel * k.row + bin)]) : make_float2(0, 0), k.x_pairs);
        }
        __syncthreads();
    }
}

/* bins: how many of a frame have to be gone through. */
static struct tiling tiling_of(const struct complex_maps_params *p, const float *x, const struct maps *y, int64_t bins)
{
    struct tiling k;
    k.y = *y;
    k.x = (float *)(uintptr_t)x;
    k.bins_there = p->bins;
    k.channels = y->channels / 2;
    k.frames = p->before + y->height + p->after;
    k.before = p->before;
    k.tile_channels = 1;
    while (k.tile_channels < k.channels && k.tile_channels < CHANNELS_MOST)
        k.tile_channels *= 2;
    k.bins = VALUES / k.tile_channels;
    k.row = (VALUES + CHANNELS_MOST) / k.tile_channels;
    k.tiles_bins = (bins + k.bins - 1) / k.bins;
    k.tiles_channels = (k.channels + k.tile_channels - 1) / k.tile_channels;
    k.units = y->items * k.frames * k.tiles_channels * k.tiles_bins;
    k.x_pairs = floats_on(x, 0, 0, 8);
    k.y_pairs = floats_on(y->data, y->item_stride, y->row_stride, 8);
    k.scale = p->scale;
    k.shift = p->shift;
    return k;
}

extern "C" int maps_from_complex_cuda(struct exec *ex, const struct complex_maps_params *p, const float *x,
                                      const struct maps *y)
{
    const struct tiling k = tiling_of(p, x, y, y->width);
    LAUNCH(maps_from_complex_kernel, device_grid(k.units), THREADS, 0, device_launch_stream(ex), k);
    return device_launched("maps_from_complex");
}

extern "C" int complex_from_maps_cuda(struct exec *ex, const struct complex_maps_params *p, const struct maps *y,
                                      float *x)
{
    const struct tiling k = tiling_of(p, x, y, p->bins);
    LAUNCH(complex_from_maps_kernel, device_grid(k.units), THREADS, 0, device_launch_stream(ex), k);
    return device_launched("complex_from_maps");
}
