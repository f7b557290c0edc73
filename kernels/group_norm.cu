/* group_norm on CUDA: the moments of chunks (moments.cuh), then a block per chunk again, which joins those of its item
 * and writes its values. One group over a whole item is spread over as many blocks as it has chunks. Values are read
 * twice and written once, the second time from the cache where the item fits: 8 to 12 bytes each, bound by memory. */
#include "group_norm.h"

#include "moments.cuh"

struct grouped {
    struct maps x, y, add; /* add: data NULL for none */
    const float *gain, *shift;
    struct fours f;
    double values;
    bool wide, add_wide, channels_wide; /* channels: gain and shift, by fours */
};

/* Four of gain or shift from channel c on; a four may go round to the next position. */
static __device__ inline float4 of_channels(const struct grouped *g, const float *of, int64_t c)
{
    float v[4];
    if (g->channels_wide)
        return load4(of + c);
    for (int k = 0; k < 4; k++) {
        v[k] = of[c];
        c = c + 1 < g->x.channels ? c + 1 : 0;
    }
    return make_float4(v[0], v[1], v[2], v[3]);
}

static __device__ inline float normed(float v, struct split mean, float rstd, float gain, float shift, float add)
{
    return (v - mean.high - mean.low) * rstd * gain + shift + add;
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(MOMENTS_THREADS, DEVICE_BLOCKS(MOMENTS_THREADS, 4))
    group_norm_kernel(struct grouped g, const double *mean, const double *squares)
{
    SHARED(double, room, MOMENTS_WARPS);
    for (int64_t unit = blockIdx.x; unit < g.x.items * g.f.chunks; unit += gridDim.x) {
        int64_t chunk, c;
        struct four begin;
        double m;
        const int64_t item = divided(unit, g.f.chunks, &chunk), n = chunk_end(&g.f, chunk) - chunk * g.f.each;
        const double spread =
            item_joined(&g.f, mean + item * g.f.chunks, squares + item * g.f.chunks, g.values, room, &m);
        const float rstd = (float)(1 / sqrt(spread / g.values + 1e-5));
        const struct split middle = split_of(m);
        begin.row = divided(chunk * g.f.each, g.f.per_row, &begin.at);
#pragma unroll 2
        for (int64_t i = threadIdx.x; i < n; i += MOMENTS_THREADS) {
            const struct four at = four_behind(&g.f, begin, i);
            const int64_t k = 4 * at.at, left = g.f.floats - k;
            const float4 v = load_part4(g.x.data + item * g.x.item_stride + at.row * g.x.row_stride + k, left, g.wide);
            float4 add = make_float4(0, 0, 0, 0), y;
            if (g.add.data)
                add =
                    load_part4(g.add.data + item * g.add.item_stride + at.row * g.add.row_stride + k, left, g.add_wide);
            divided(k, g.x.channels, &c);
            const float4 gain = of_channels(&g, g.gain, c), shift = of_channels(&g, g.shift, c);
            y.x = normed(v.x, middle, rstd, gain.x, shift.x, add.x);
            y.y = normed(v.y, middle, rstd, gain.y, shift.y, add.y);
            y.z = normed(v.z, middle, rstd, gain.z, shift.z, add.z);
            y.w = normed(v.w, middle, rstd, gain.w, shift.w, add.w);
            store_part4(g.y.data + item * g.y.item_stride + at.row * g.y.row_stride + k, y, left, g.wide);
        }
    }
}

extern "C" int group_norm_cuda(struct exec *ex, const float *gain, const float *shift, const struct maps *x,
                               const struct maps *add, const struct maps *y)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    struct grouped g = {*x,    *y,    {0},  gain, shift, fours_of(x), (double)(x->height * x->width * x->channels),
                        false, false, false};
    double *mean, *squares;
    g.wide = maps_wide(x) && maps_wide(y);
    if (add) {
        g.add = *add;
        g.add_wide = maps_wide(add);
    }
    g.channels_wide = x->channels % 4 == 0 && floats_on(gain, 0, 0, 16) && floats_on(shift, 0, 0, 16);
    int code = arena_alloc(arena, (size_t)(x->items * g.f.chunks) * sizeof *mean, &mean);
    code = code ? code : arena_alloc(arena, (size_t)(x->items * g.f.chunks) * sizeof *squares, &squares);
    if (!code) {
        moments_chunks_launch(ex, x, &g.f, mean, squares);
        LAUNCH(group_norm_kernel, device_grid(x->items * g.f.chunks), MOMENTS_THREADS, 0, device_launch_stream(ex), g,
               (const double *)mean, (const double *)squares);
        code = device_launched("group_norm");
    }
    arena_reset(arena, mark); /* the next operation follows on the same stream */
    return code;
}
