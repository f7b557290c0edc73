/* latent on CUDA: a block takes 32 dimensions of eight items at a time; one more adds the divergences of dimensions.
 * All in double, of few values. */
#include "latent.h"

#include "columns.cuh"
#include "moments.cuh"
#include "philox.h"

enum { LATENT_THREADS = COLUMNS_THREADS, LATENT_ACROSS = 32, LATENT_DOWN = LATENT_THREADS / LATENT_ACROSS };

static __device__ inline double latent_noise(const struct latent_params *p, const struct step_state *state, int64_t n)
{
    return p->noise ? philox_normal(state->seed, p->stream, state->step, n) : 0;
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(LATENT_THREADS, DEVICE_BLOCKS(LATENT_THREADS, 4))
    latent_kernel(struct latent_params p, const struct step_state *state, const float *h, float *z, float *kl)
{
    SHARED(double, room, COLUMNS_THREADS);
    const int row = (int)threadIdx.x / LATENT_ACROSS;
    const int64_t d = (int64_t)blockIdx.x * LATENT_ACROSS + threadIdx.x % LATENT_ACROSS;
    double sum = 0;
    for (int64_t b = row; b < p.items && d < p.dims; b += LATENT_DOWN) {
        const double mean = h[2 * b * p.dims + d], lv = latent_clamped(h[(2 * b + 1) * p.dims + d]);
        z[b * p.dims + d] = (float)(mean + exp(lv / 2) * latent_noise(&p, state, b * p.dims + d));
        sum += latent_divergence(mean, lv);
    }
    sum = column_join(sum, room, LATENT_ACROSS, LATENT_DOWN);
    if (row == 0 && d < p.dims)
        kl[d] = (float)(sum / (double)p.items);
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(MOMENTS_THREADS, DEVICE_BLOCKS(MOMENTS_THREADS, 4))
    latent_total_kernel(int64_t dims, const float *kl, struct step_state *state)
{
    SHARED(double, room, MOMENTS_WARPS);
    const double least = state->kl_floor;
    double sum = 0;
    for (int64_t d = threadIdx.x; d < dims; d += MOMENTS_THREADS)
        sum += (double)kl[d] < least ? least : (double)kl[d];
    sum = block_sum(sum, room);
    if (threadIdx.x == 0)
        state->kl = sum;
}

extern "C" int latent_cuda(struct exec *ex, const struct latent_params *p, struct step_state *state, const float *h,
                           float *z, float *kl)
{
    LAUNCH(latent_kernel, (unsigned)((p->dims + LATENT_ACROSS - 1) / LATENT_ACROSS), LATENT_THREADS, 0,
           device_launch_stream(ex), *p, (const struct step_state *)state, h, z, kl);
    LAUNCH(latent_total_kernel, 1, MOMENTS_THREADS, 0, device_launch_stream(ex), p->dims, (const float *)kl, state);
    return device_launched("latent");
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(LATENT_THREADS, DEVICE_BLOCKS(LATENT_THREADS, 4))
    latent_gradient_kernel(struct latent_params p, const struct step_state *state, const float *h, const float *kl,
                           const float *dz, float *dh)
{
    const int64_t all = p.items * p.dims;
    for (int64_t n = (int64_t)blockIdx.x * LATENT_THREADS + threadIdx.x; n < all;
         n += (int64_t)gridDim.x * LATENT_THREADS) {
        int64_t d;
        const int64_t b = divided(n, p.dims, &d);
        const double mean = h[2 * b * p.dims + d], logvar = h[(2 * b + 1) * p.dims + d], g = dz[n];
        const double lv = latent_clamped(logvar);
        const double w = (double)kl[d] <= state->kl_floor ? 0 : state->beta / (double)p.items;
        const double whole = g * latent_noise(&p, state, n) * exp(lv / 2) / 2 + w * expm1(lv) / 2;
        dh[2 * b * p.dims + d] = (float)(g + w * mean);
        dh[(2 * b + 1) * p.dims + d] = logvar < LATENT_LEAST || logvar > LATENT_MOST ? 0 : (float)whole;
    }
}

extern "C" int latent_gradient_cuda(struct exec *ex, const struct latent_params *p, const struct step_state *state,
                                    const float *h, const float *kl, const float *dz, float *dh)
{
    LAUNCH(latent_gradient_kernel, device_grid((p->items * p->dims + LATENT_THREADS - 1) / LATENT_THREADS),
           LATENT_THREADS, 0, device_launch_stream(ex), *p, state, h, kl, dz, dh);
    return device_launched("latent_gradient");
}
