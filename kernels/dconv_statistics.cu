/* The two norms of dconv on the device: sums of a signal's parts, norm and GELU in place, Gram matrices of its parts,
 * the second norm from those. Sums of 32 products at most are in f32, all others in double, in an order that follows
 * from the signal's length alone. */
#include "dconv.cuh"
#include "gates.cuh"

enum {
    SUMS = 256, /* threads */
    SIDE = 16,  /* of a tile of a Gram matrix, a thread for each of its products */
    SOME = 32   /* samples whose products are summed in f32 */
};

/* A part of a signal: its first sample, floats from sample to sample, how many. */
struct device_part {
    float *a;
    int64_t step, samples;
};

static __device__ struct device_part part_of(const struct device_narrow *n, int64_t signal, int64_t part)
{
    const int64_t group = signal / n->signals, beside = signal % n->signals, first = part * DCONV_PART;
    struct device_part p;
    p.step = n->signals * n->hidden;
    p.a = n->a + (group * n->samples + first) * p.step + beside * n->hidden;
    p.samples = n->samples - first < DCONV_PART ? n->samples - first : (int64_t)DCONV_PART;
    return p;
}

/* Sums of two doubles over the block, in a fixed order; thread 0 has them. */
static __device__ void sum_block(double *shared, double v[2])
{
    for (int c = 0; c < 2; c++)
        shared[c * SUMS + threadIdx.x] = v[c];
    __syncthreads();
    for (int d = SUMS / 2; d > 0; d /= 2) {
        if ((int)threadIdx.x < d)
            for (int c = 0; c < 2; c++)
                shared[c * SUMS + threadIdx.x] += shared[c * SUMS + threadIdx.x + d];
        __syncthreads();
    }
    for (int c = 0; c < 2; c++)
        v[c] = shared[c * SUMS];
    __syncthreads();
}

static __device__ void norm_from(double sum, double squares, double count, float norm[2])
{
    const double mean = sum / count, variance = squares / count - mean * mean;
    norm[0] = (float)mean;
    norm[1] = (float)(1 / sqrt((variance < 0 ? 0 : variance) + 1e-5));
}

/* A block per part. occupancy: 8 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS, DEVICE_BLOCKS(SUMS, 8)) dconv_sums(struct device_narrow n)
{
    SHARED(double, shared, 2 * SUMS);
    const int64_t signal = blockIdx.x / n.parts, part = blockIdx.x % n.parts;
    const struct device_part p = part_of(&n, signal, part);
    double v[2] = {0, 0};
    for (int i = (int)threadIdx.x; i < (int)p.samples * n.hidden; i += SUMS) {
        const float a = p.a[i / n.hidden * p.step + i % n.hidden];
        v[0] += a;
        v[1] += (double)a * a;
    }
    sum_block(shared, v);
    if (threadIdx.x == 0)
        for (int c = 0; c < 2; c++)
            n.sums[2 * (int64_t)blockIdx.x + c] = v[c];
}

/* Norm and GELU in place, a block per part: each adds up the parts of its signal.
 * occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS, DEVICE_BLOCKS(SUMS, 6)) dconv_activate(struct device_narrow n)
{
    SHARED(double, shared, 2 * SUMS);
    const int64_t signal = blockIdx.x / n.parts, part = blockIdx.x % n.parts;
    const struct device_part p = part_of(&n, signal, part);
    double v[2] = {0, 0};
    for (int64_t i = threadIdx.x; i < n.parts; i += SUMS)
        for (int c = 0; c < 2; c++)
            v[c] += n.sums[(signal * n.parts + i) * 2 + c];
    sum_block(shared, v);
    float norm[2];
    norm_from(v[0], v[1], (double)n.samples * n.hidden, norm);
    for (int i = (int)threadIdx.x; i < (int)p.samples * n.hidden; i += SUMS) {
        const int j = i % n.hidden;
        float *const a = p.a + i / n.hidden * p.step + j;
        *a = gate_gelu((*a - norm[0]) * (norm[1] * n.gain1[j]) + n.shift1[j]);
    }
}

/* SIDE columns from `first` on of SOME samples, zeros where there are none. */
static __device__ void load_columns(const struct device_part *p, int64_t sample, int first, int hidden, float *to)
{
    const int j = (int)threadIdx.x % SIDE;
    for (int s = (int)threadIdx.x / SIDE; s < SOME; s += SUMS / SIDE) {
        const bool there = sample + s < p->samples && first + j < hidden;
        to[s * SIDE + j] = there ? p->a[(sample + s) * p->step + first + j] : 0;
    }
}

/* A tile of the Gram matrix of a part: a product for each thread. The first column of tiles has the sums too.
 * occupancy: 6 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS, DEVICE_BLOCKS(SUMS, 6)) dconv_gram(struct device_narrow n, int side)
{
    SHARED(float, left, SOME *SIDE);
    SHARED(float, right, SOME *SIDE);
    const int64_t signal = blockIdx.x / n.parts, part = blockIdx.x % n.parts;
    const int i0 = (int)blockIdx.y / side * SIDE, j0 = (int)blockIdx.y % side * SIDE;
    const struct device_part p = part_of(&n, signal, part);
    const int i = (int)threadIdx.x / SIDE, j = (int)threadIdx.x % SIDE;
    double gram = 0, sum = 0;
    for (int64_t s = 0; s < p.samples; s += SOME) {
        __syncthreads();
        load_columns(&p, s, i0, n.hidden, left);
        load_columns(&p, s, j0, n.hidden, right);
        __syncthreads();
        float some = 0, alone = 0;
        for (int k = 0; k < SOME; k++) {
            some += left[k * SIDE + i] * right[k * SIDE + j];
            alone += right[k * SIDE + j];
        }
        gram += some;
        sum += alone;
    }
    double *const to = n.grams + (signal * n.parts + part) * (n.hidden + 1) * n.hidden;
    if (i0 + i < n.hidden && j0 + j < n.hidden)
        to[(i0 + i) * n.hidden + j0 + j] = gram;
    if (i0 + i == 0 && j0 + j < n.hidden)
        to[n.hidden * n.hidden + j0 + j] = sum;
}

/* The second norm, a block per signal. occupancy: 4 blocks of 256 threads */
static __global__ void __launch_bounds__(SUMS, DEVICE_BLOCKS(SUMS, 4)) dconv_norms(struct device_narrow n)
{
    SHARED(double, shared, 2 * SUMS);
    const int64_t signal = blockIdx.x;
    const int h = n.hidden, size = (h + 1) * h;
    const double *const total = n.moments, *const cross = total + h, *const outer = cross + h,
                        *const bias = outer + h * h, *const from = n.grams + signal * n.parts * size;
    double v[2] = {0, 0};
    for (int i = (int)threadIdx.x; i < size; i += SUMS) {
        double value = 0;
        for (int64_t part = 0; part < n.parts; part++)
            value += from[part * size + i];
        const int at = i - h * h;
        v[0] += at < 0 ? 0 : total[at] * value;
        v[1] += (at < 0 ? outer[i] : 2 * cross[at]) * value;
    }
    sum_block(shared, v);
    if (threadIdx.x == 0)
        norm_from(v[0] + (double)n.samples * bias[0], v[1] + (double)n.samples * bias[1],
                  (double)n.samples * (double)n.wide, n.norm + 2 * signal);
}

int dconv_statistics(struct exec *ex, const struct device_narrow *n)
{
    const int64_t signals = n->groups * n->signals, side = (n->hidden + SIDE - 1) / SIDE;
    if (signals * n->parts > INT32_MAX)
        return fail(STATUS_SHAPE, "dconv: %lld signals are more than one launch gives", (long long)signals);
    const unsigned blocks = (unsigned)(signals * n->parts);
    LAUNCH(dconv_sums, blocks, SUMS, 0, device_launch_stream(ex), *n);
    LAUNCH(dconv_activate, blocks, SUMS, 0, device_launch_stream(ex), *n);
    LAUNCH(dconv_gram, dim3(blocks, (unsigned)(side * side)), SUMS, 0, device_launch_stream(ex), *n, (int)side);
    LAUNCH(dconv_norms, (unsigned)signals, SUMS, 0, device_launch_stream(ex), *n);
    return device_launched("dconv");
}
