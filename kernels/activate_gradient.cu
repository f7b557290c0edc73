/* activate_gradient on CUDA: du into dx, a thread per four neighbours; sums of du and du*xhat over blocks of positions,
 * folded over blocks and then over items; and dx from du. 32 bytes are moved for each value, those of the second and
 * third pass from the cache where the maps fit; bound by memory. */
#include "activate.cuh"
#include "columns.cuh"

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(ELEMENTWISE_THREADS, DEVICE_BLOCKS(ELEMENTWISE_THREADS, 4))
    activate_slope_kernel(struct activate_view k)
{
    for (int64_t n = elementwise_first(); n < k.e.all; n += elementwise_step()) {
        const struct element at = element_of(&k.e, n);
        const float4 x = load_part4(floats_at(&k.x, &at), at.count, k.e.wide);
        const float4 dy = load_part4(floats_at(&k.from, &at), at.count, k.e.wide);
        const float4 kept = activate_kept(&k, activate_index(&k, &at));
        float u[4] = {x.x, x.y, x.z, x.w};
        if (k.p.groups) {
            const struct activate_four f = activate_four_of(&k, &at);
#pragma unroll
            for (int i = 0; i < 4; i++)
                u[i] = activate_normed(&k, f.group[i], u[i]) * k.gain[f.channel[i]] + k.shift[f.channel[i]];
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float gate = k.p.kind == ACTIVATE_SILU ? activate_gate(u[i]) : 1;
            u[i] = k.p.kind == ACTIVATE_SILU               ? gate * (1 + u[i] * (1 - gate))
                   : k.p.kind == ACTIVATE_NONE || u[i] > 0 ? 1
                                                           : k.p.slope;
        }
        const float4 du = make_float4(kept.x > 0 ? dy.x * kept.x * u[0] : 0, kept.y > 0 ? dy.y * kept.y * u[1] : 0,
                                      kept.z > 0 ? dy.z * kept.z * u[2] : 0, kept.w > 0 ? dy.w * kept.w * u[3] : 0);
        store_part4(floats_at(&k.to, &at), du, at.count, k.e.wide);
    }
}

/* sums [items][blocks][2][channels]: of du, and of du*xhat.
 * occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(COLUMNS_THREADS, DEVICE_BLOCKS(COLUMNS_THREADS, 4))
    activate_sums_kernel(struct column_walk w, struct maps du, int64_t groups, const float *statistics, double *sums)
{
    SHARED(double, room, COLUMNS_THREADS);
    const int row = (int)threadIdx.x / w.across, column = (int)threadIdx.x % w.across;
    const int64_t each = w.x.channels / groups;
    for (int64_t unit = blockIdx.x; unit < w.x.items * w.cut.blocks; unit += gridDim.x) {
        int64_t block, rest;
        const int64_t item = divided(unit, w.cut.blocks, &block), end = column_end(&w, block);
        for (int64_t c = column; c - column < w.x.channels; c += w.across) {
            double sum = 0, along = 0;
            const bool inside = c < w.x.channels && row < w.down;
            const int64_t group = item * groups + divided(inside ? c : 0, each, &rest);
            const float mean = statistics[2 * group], rstd = statistics[2 * group + 1];
#pragma unroll 2
            for (int64_t at = block * w.cut.each + row; at < end && inside; at += w.down) {
                const double d = column_at(&du, item, at)[c];
                const float xhat = (column_at(&w.x, item, at)[c] - mean) * rstd;
                sum += d;
                along += d * (double)xhat;
            }
            sum = column_join(sum, room, w.across, w.down);
            along = column_join(along, room, w.across, w.down);
            if (row > 0 || c >= w.x.channels)
                continue;
            sums[2 * unit * w.x.channels + c] = sum;
            sums[(2 * unit + 1) * w.x.channels + c] = along;
        }
    }
}

/* What is taken off each value of a group: means of du*gain, and of du*gain*xhat; of [items][2][channels].
 * occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(ELEMENTWISE_THREADS, DEVICE_BLOCKS(ELEMENTWISE_THREADS, 8))
    activate_means_kernel(struct activate_view k, const double *sums, float *means)
{
    const double values = (double)(k.x.height * k.x.width * k.each);
    for (int64_t n = elementwise_first(); n < k.x.items * k.p.groups; n += elementwise_step()) {
        int64_t group;
        const int64_t item = divided(n, k.p.groups, &group);
        double sum = 0, along = 0;
        for (int64_t c = group * k.each; c < (group + 1) * k.each; c++) {
            sum += (double)k.gain[c] * sums[2 * item * k.x.channels + c];
            along += (double)k.gain[c] * sums[(2 * item + 1) * k.x.channels + c];
        }
        means[2 * n] = (float)(sum / values);
        means[2 * n + 1] = (float)(along / values);
    }
}

/* occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(ELEMENTWISE_THREADS, DEVICE_BLOCKS(ELEMENTWISE_THREADS, 4))
    activate_centre_kernel(struct activate_view k, const float *means)
{
    for (int64_t n = elementwise_first(); n < k.e.all; n += elementwise_step()) {
        const struct element at = element_of(&k.e, n);
        const struct activate_four f = activate_four_of(&k, &at);
        const float4 x = load_part4(floats_at(&k.x, &at), at.count, k.e.wide);
        const float4 du = load_part4(floats_at(&k.to, &at), at.count, k.e.wide);
        const float xs[4] = {x.x, x.y, x.z, x.w}, dus[4] = {du.x, du.y, du.z, du.w};
        float dx[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int64_t group = f.group[i];
            dx[i] = k.statistics[2 * group + 1] * (dus[i] * k.gain[f.channel[i]] - means[2 * group] -
                                                   activate_normed(&k, group, xs[i]) * means[2 * group + 1]);
        }
        store_part4(floats_at(&k.to, &at), make_float4(dx[0], dx[1], dx[2], dx[3]), at.count, k.e.wide);
    }
}

struct activate_scratch {
    double *sums, *of_items;
    float *means;
};

static int scratch_of(struct arena *arena, const struct activate_params *p, const struct maps *x,
                      struct activate_scratch *s)
{
    int code = arena_alloc(arena, columns_bytes(x, 2), &s->sums);
    code = code ? code : arena_alloc(arena, (size_t)(2 * x->items * x->channels) * sizeof *s->of_items, &s->of_items);
    return code ? code : arena_alloc(arena, (size_t)(2 * x->items * p->groups) * sizeof *s->means, &s->means);
}

static void centre_launch(struct exec *ex, const struct activate_view *k, const struct activate_scratch *s,
                          float *dgain, float *dshift)
{
    const struct column_walk w = column_walk_of(&k->x);
    const int64_t channels = k->x.channels, items = k->x.items;
    const struct column_fold blocks = {s->sums, items, w.cut.blocks, 2 * channels, 0, s->of_items, NULL, NULL};
    const struct column_fold all = {s->of_items, 1, items, 2 * channels, channels, NULL, dshift, dgain};
    LAUNCH(activate_sums_kernel, device_grid(items * w.cut.blocks), COLUMNS_THREADS, 0, device_launch_stream(ex), w,
           k->to, k->p.groups, k->statistics, s->sums);
    column_fold_launch(ex, &blocks);
    column_fold_launch(ex, &all);
    LAUNCH(activate_means_kernel, device_grid((items * k->p.groups + ELEMENTWISE_THREADS - 1) / ELEMENTWISE_THREADS),
           ELEMENTWISE_THREADS, 0, device_launch_stream(ex), *k, (const double *)s->of_items, s->means);
    LAUNCH(activate_centre_kernel, elementwise_grid(&k->e), ELEMENTWISE_THREADS, 0, device_launch_stream(ex), *k,
           (const float *)s->means);
}

extern "C" int activate_gradient_cuda(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                                      const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                                      const struct maps *dx, float *dgain, float *dshift)
{
    struct arena *const arena = device_host->arena(ex);
    const size_t mark = arena_mark(arena);
    const struct activate_view k = activate_view_of(p, state, norm, x, dy, dx);
    struct activate_scratch s = {};
    int code = p->groups ? scratch_of(arena, p, x, &s) : (int)STATUS_OK;
    if (!code) {
        LAUNCH(activate_slope_kernel, elementwise_grid(&k.e), ELEMENTWISE_THREADS, 0, device_launch_stream(ex), k);
        if (p->groups)
            centre_launch(ex, &k, &s, dgain, dshift);
        code = device_launched("activate_gradient");
    }
    arena_reset(arena, mark);
    return code;
}
