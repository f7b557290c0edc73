/* The packing of conv2d's weights, which change with each step of a training and never leave the device: the bytes that
 * product_pack.cu makes of the same products. */
#include "conv2d.cuh"
#include "conv2d_phases.h"
#include "maps.cuh"

enum { PACK_THREADS = 256, SOME = 4, QUADS = PRODUCT_STEP / SOME };

struct device_conv2d_pack {
    struct conv2d_params p;
    bool data, wide; /* wide: outputs lie in fours on as many */
    int64_t phase, taps_w;
    const float *weight, *bias;
    int64_t biases; /* after which they repeat */
    float *panels;
    int64_t weight_part, panels_part; /* floats from part to part, of which the first alone has the bias */
    int64_t length, columns, tile;
    int64_t each, steps; /* of a run; of all runs */
    int64_t step_floats, all;
};

/* The weight of k `in` of run `run` and column n; NULL: of a tap that the kernel has not. */
static __device__ __forceinline__ const float *weight_at(const struct device_conv2d_pack *m, int64_t run, int64_t in,
                                                         int64_t n)
{
    const struct conv2d_params *const p = &m->p;
    const float *const weight = m->weight + blockIdx.y * m->weight_part;
    int64_t o, c;
    if (!m->data)
        return weight + (run * m->length + in) * p->out + n;
    const int64_t back = m->taps_w - 1 - divided(in, p->out, &o), beside = divided(n, p->in, &c);
    const int64_t r = m->phase + p->stride_h * run, q = beside + p->stride_w * back;
    return q < p->kernel_w ? weight + ((r * p->kernel_w + q) * p->in + c) * p->out + o : NULL;
}

/* Four of k; zeros where there are none. */
static __device__ __forceinline__ void load_weights(const struct device_conv2d_pack *m, int64_t run, int64_t in,
                                                    int64_t n, float v[SOME])
{
    const bool there = n < m->columns && in < m->length;
    if (m->wide) {
        const float *const from = there ? weight_at(m, run, in, n) : NULL;
        const float4 four = from ? load4(from) : make_float4(0, 0, 0, 0);
        v[0] = four.x;
        v[1] = four.y;
        v[2] = four.z;
        v[3] = four.w;
        return;
    }
#pragma unroll
    for (int c = 0; c < SOME; c++) {
        const float *const from = there && in + c < m->length ? weight_at(m, run, in + c, n) : NULL;
        v[c] = from ? *from : 0;
    }
}

static __device__ __forceinline__ void put_weights(const struct device_conv2d_pack *m, float *step, int64_t at,
                                                   int64_t quad, const float v[SOME])
{
    if (m->p.precision == PRECISION_TF32) {
        store4(step + at * PRODUCT_STEP + quad * SOME,
               make_float4(__int_as_float((int)tf32_of(v[0])), __int_as_float((int)tf32_of(v[1])),
                           __int_as_float((int)tf32_of(v[2])), __int_as_float((int)tf32_of(v[3]))));
    } else if (m->p.precision == PRECISION_BF16) {
        const float2 both = {__int_as_float((int)bf16_pair(v[0], v[1])), __int_as_float((int)bf16_pair(v[2], v[3]))};
        store2(step + (at * PRODUCT_STEP + quad * SOME) / 2, both);
    } else {
#pragma unroll
        for (int i = 0; i < SOME; i++)
            step[(quad * SOME + i) * m->tile + at] = v[i];
    }
}

/* A thread has four of k of a column, four threads a column's step: on either side of any layout a warp has whole
 * sectors. occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(PACK_THREADS, DEVICE_BLOCKS(PACK_THREADS, 4))
    conv2d_pack_kernel(struct device_conv2d_pack m)
{
    for (int64_t i = (int64_t)blockIdx.x * PACK_THREADS + threadIdx.x; i < m.all;
         i += (int64_t)gridDim.x * PACK_THREADS) {
        int64_t at, step, in;
        const int64_t quad = i % QUADS, t = divided(divided(i / QUADS, m.tile, &at), m.steps, &step);
        const int64_t n = t * m.tile + at, run = divided(step, m.each, &in);
        float *const panel = m.panels + blockIdx.y * m.panels_part + t * (m.tile + m.steps * m.step_floats);
        float v[SOME];
        load_weights(&m, run, in * PRODUCT_STEP + quad * SOME, n, v);
        put_weights(&m, panel + m.tile + step * m.step_floats, at, quad, v);
        if (step == 0 && quad == 0)
            panel[at] = n < m.columns && m.bias && blockIdx.y == 0 ? m.bias[n % m.biases] : 0;
    }
}

static void launch(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, int64_t phase,
                   const float *weight, const float *bias, float *panels)
{
    const struct product_shape s = conv2d_shape(p, way, phase);
    const int64_t parts = conv2d_parts(p, way);
    struct device_conv2d_pack m = {};
    m.p = *p;
    m.data = way == CONV2D_DATA;
    m.wide = m.data && p->out % SOME == 0 && (uintptr_t)weight % 16 == 0;
    m.phase = phase;
    m.taps_w = conv2d_taps_w(p);
    m.weight = weight;
    m.bias = bias;
    m.biases = m.data ? p->in : p->out;
    m.panels = panels;
    m.weight_part = s.length * (m.data ? 1 : p->out);
    m.panels_part = product_floats(&s);
    m.length = s.length;
    m.columns = s.out;
    m.tile = product_tile(s.out);
    m.each = (s.length + PRODUCT_STEP - 1) / PRODUCT_STEP;
    m.steps = s.segments * m.each;
    m.step_floats = m.tile * PRODUCT_STEP / (p->precision == PRECISION_BF16 ? 2 : 1);
    m.all = product_tiles(s.out, false) * m.steps * m.tile * QUADS;
    const dim3 grid(device_grid((m.all + PACK_THREADS - 1) / PACK_THREADS), (unsigned)parts);
    LAUNCH(conv2d_pack_kernel, grid, PACK_THREADS, 0, device_launch_stream(ex), m);
}

extern "C" int conv2d_pack_cuda(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way,
                                const float *weight, const float *bias, float *packed)
{
    const int64_t phases = conv2d_parts(p, way) > 1 ? 1 : conv2d_products(p, way);
    const int code = p->precision == PRECISION_F32 ? (int)STATUS_OK : device_has_mma("conv2d_pack");
    if (code)
        return code;
    for (int64_t a = 0; a < phases; a++)
        launch(ex, p, way, a, weight, bias, packed + conv2d_panels_before(p, way, a));
    return device_launched("conv2d_pack");
}
