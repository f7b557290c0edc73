/* mfcc on CUDA: a block makes 32 coefficients of 32 frames from tiles of 32 bands in shared memory; a lane holds one
 * coefficient of four frames. Each tile is summed by itself before it joins the rest, which keeps f32 exact enough for
 * 4096 bands. With up to 32 coefficients, which is usual, the bands are read once: bound by memory. Tiles are read in
 * whole sectors, but for where a frame's bands begin within one, and meet no bank twice. */
#include "mfcc.h"

#include "device.cuh"

enum { TILE = 32, PER_WARP = 4, THREADS = 32 * TILE / PER_WARP };

struct mfcc_batch {
    const float *x, *cosine;
    const float *floor_db; /* NULL: no clip */
    float *y;
    const int64_t *offset;
    int64_t rows, frames;
    int mels, coefficients, row;
};

/* Bands from `band` on of the block's frames, clipped, and their cosines; 0 outside. */
static __device__ inline void load_tile(const struct mfcc_batch *k, int64_t frame, int first, int band,
                                        const float *least, float *x, float *cosine)
{
    const int lane = (int)threadIdx.x % TILE, warp = (int)threadIdx.x / TILE;
    for (int i = warp; i < TILE; i += THREADS / TILE) {
        const bool there = frame + i < k->frames && band + lane < k->mels;
        const float v = there ? k->x[(frame + i) * k->mels + band + lane] : 0;
        x[i * TILE + lane] = there && v < least[i] ? least[i] : v;
        cosine[i * TILE + lane] =
            band + i < k->mels && first + lane < k->row ? k->cosine[(int64_t)(band + i) * k->row + first + lane] : 0;
    }
}

/* occupancy: 5 blocks of 256 threads */
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 5)) mfcc_kernel(struct mfcc_batch k)
{
    SHARED(float, x, TILE *TILE);
    SHARED(float, cosine, TILE *TILE);
    SHARED(float, least, TILE);
    const int lane = (int)threadIdx.x % TILE, warp = (int)threadIdx.x / TILE;
    const int64_t frame = (int64_t)blockIdx.x * TILE;
    const int first = (int)blockIdx.y * TILE;
    float sum[PER_WARP] = {0};
    if (threadIdx.x < TILE)
        least[lane] =
            k.floor_db && frame + lane < k.frames ? k.floor_db[row_of(k.offset, k.rows, frame + lane)] : -INFINITY;
    for (int band = 0; band < k.mels; band += TILE) {
        float part[PER_WARP] = {0};
        __syncthreads();
        load_tile(&k, frame, first, band, least, x, cosine);
        __syncthreads();
#pragma unroll 8
        for (int i = 0; i < TILE; i++)
#pragma unroll
            for (int f = 0; f < PER_WARP; f++)
                part[f] += x[(PER_WARP * warp + f) * TILE + i] * cosine[i * TILE + lane];
#pragma unroll
        for (int f = 0; f < PER_WARP; f++)
            sum[f] += part[f];
    }
#pragma unroll
    for (int f = 0; f < PER_WARP; f++) {
        const int64_t t = frame + PER_WARP * warp + f;
        if (t < k.frames && first + lane < k.coefficients)
            k.y[t * k.coefficients + first + lane] = sum[f];
    }
}

extern "C" int mfcc_cuda(struct exec *ex, const struct mfcc_plan *plan, const struct ragged *x, const float *floor_db,
                         struct ragged *y)
{
    const int64_t cosine_at = (const char *)plan->cosine - (const char *)plan;
    const struct mfcc_batch k = {(const float *)x->data,
                                 (const float *)((const char *)plan->device + cosine_at),
                                 floor_db,
                                 (float *)y->data,
                                 x->offset_device,
                                 x->rows,
                                 x->total,
                                 (int)plan->mels,
                                 (int)plan->coefficients,
                                 (int)plan->row};
    const dim3 grid((unsigned)((x->total + TILE - 1) / TILE), (unsigned)((plan->coefficients + TILE - 1) / TILE));
    if (x->total == 0)
        return STATUS_OK;
    LAUNCH(mfcc_kernel, grid, THREADS, 0, device_launch_stream(ex), k);
    return device_launched("mfcc");
}

extern "C" {
extern const struct plan_kind mfcc_device_plan_kind; /* a constant is a file's own without it */
const struct plan_kind mfcc_device_plan_kind = {.name = "mfcc",
                                                .params_bytes = sizeof(struct mfcc_key),
                                                .bytes = mfcc_plan_bytes,
                                                .init = mfcc_plan_init,
                                                .on_device = true};
}
