/* attention on CUDA: a block per tile of one head's queries, which goes through the keys in tiles. Scores live in
 * registers and, as weights, in shared memory; what was summed with weights below a smaller maximum is scaled when a
 * larger one comes up (online softmax, Milakov and Gimelshein 2018; Dao et al. 2022).
 *
 *   method   16 lanes share a query row; a thread has ROWS rows by EACH keys of the scores, and as many rows by D/16
 *            channels of the result, so that a number from shared memory goes into 3 to 8 multiply-adds. The next keys
 *            are on their way while weights are multiplied by values, the next values while scores are made
 *   order    channels of a score in one chain, the keys of a tile in one chain, tiles one after the other: it depends
 *            on the head's width alone
 *   bound    by arithmetic: 4 N M d operations in f32 without tensor cores
 *
 * Heads are filled up with zeros to 32, 48, 64, 128 or 256 channels. Shared memory stays below what any target has. */
#include "attention.h"

#include "maps.cuh"

enum { LANES = 16, GROUPS = 8, THREADS = LANES * GROUPS };
#define LOG2_E 1.44269504f

struct attend {
    struct tokens q, k, v, y;
    int64_t width, heads, tiles, units; /* tiles of queries */
    float scale;                        /* of scores, to exponents of two */
    bool wide, y_wide;
};

/* Rows of queries and keys are four floats longer than D: lanes that read fours of neighbouring rows, or a row's own,
 * meet no bank twice. Nor do two groups that write their rows of weights. */
template <int D, int ROWS, int KEYS> struct layout {
    static const int queries = GROUPS * ROWS, row = D + 4, weights = KEYS % 32 ? KEYS : KEYS + 16;
    static const int k = queries * row, v = k + KEYS * row, p = v + KEYS * D, floats = p + queries * weights;
};

/* Tokens from `first` on, `rows` of them, on their way to shared memory; zeros where there is none, or no channel. */
template <int D>
static __device__ inline void rows_copy(const struct attend *a, const struct tokens *t, const float *from,
                                        int64_t first, int rows, int row, float *to)
{
    const int64_t left = t->count - first;
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < rows * (D / 4) && a->wide; i += THREADS) {
        const int r = i / (D / 4), c = 4 * (i % (D / 4));
        if (r < left && c < a->width)
            copy_async(&to[r * row + c], from + (first + r) * t->stride + c, 16);
        else
            store4(&to[r * row + c], make_float4(0, 0, 0, 0));
    }
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < rows * D && !a->wide; i += THREADS) {
        const int r = i / D, c = i % D;
        if (r < left && c < a->width)
            copy_async(&to[r * row + c], from + (first + r) * t->stride + c, 4);
        else
            to[r * row + c] = 0;
    }
}

static __device__ inline float dot4(float4 a, float4 b, float sum)
{
    sum += a.x * b.x;
    sum += a.y * b.y;
    sum += a.z * b.z;
    sum += a.w * b.w;
    return sum;
}

/* s[i][j]: of the group's row i and key lane + 16j. */
template <int D, int ROWS, int EACH>
static __device__ inline void scores(const float *q, const float *k, float s[ROWS][EACH])
{
    const int lane = (int)threadIdx.x % LANES, group = (int)threadIdx.x / LANES;
#pragma unroll
    for (int i = 0; i < ROWS * EACH; i++)
        s[i / EACH][i % EACH] = 0;
#pragma unroll 2
    for (int d = 0; d < D; d += 4) {
        float4 key[EACH];
#pragma unroll
        for (int j = 0; j < EACH; j++)
            key[j] = load4(&k[(lane + LANES * j) * (D + 4) + d]);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const float4 query = load4(&q[(group + GROUPS * i) * (D + 4) + d]);
#pragma unroll
            for (int j = 0; j < EACH; j++)
                s[i][j] = dot4(query, key[j], s[i][j]);
        }
    }
}

/* What a thread has of its rows: their largest score so far, its own part of the weights' sum, its channels. */
template <int ROWS, int COLUMNS> struct state {
    float most[ROWS], total[ROWS], y[ROWS][COLUMNS];
};

/* Scores become weights below the largest score, which all before are brought to. `left` keys are there. A NaN is
 * never the largest, and stays among the weights. */
template <int ROWS, int COLUMNS, int EACH>
static __device__ inline void weigh(const float s[ROWS][EACH], float scale, int64_t left, int row, float *p,
                                    struct state<ROWS, COLUMNS> *o)
{
    const int lane = (int)threadIdx.x % LANES, group = (int)threadIdx.x / LANES;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        float exponent[EACH], most = o->most[i];
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            exponent[j] = lane + LANES * j < left ? s[i][j] * scale : -INFINITY;
            most = exponent[j] > most ? exponent[j] : most;
        }
#pragma unroll
        for (int d = LANES / 2; d > 0; d /= 2) {
            const float other = __shfl_xor_sync(0xffffffffu, most, d);
            most = other > most ? other : most;
        }
        const float base = most == -INFINITY ? 0 : most, factor = exp2f(o->most[i] - base);
        o->most[i] = most;
        o->total[i] *= factor;
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const float weight = exp2f(exponent[j] - base);
            o->total[i] += weight;
            p[(group + GROUPS * i) * row + lane + LANES * j] = weight;
        }
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            o->y[i][c] *= factor;
    }
}

/* The channel of a thread's column c: fours of neighbours where 64 divides the width, else every sixteenth. */
template <int COLUMNS> static __device__ inline int channel_of(int c)
{
    const int lane = (int)threadIdx.x % LANES;
    return COLUMNS % 4 ? lane + LANES * c : 4 * (lane + LANES * (c / 4)) + c % 4;
}

template <int COLUMNS> static __device__ inline void values_of(const float *v, float value[COLUMNS])
{
#pragma unroll
    for (int c = 0; c < COLUMNS; c += COLUMNS % 4 ? 1 : 4) {
        if (COLUMNS % 4) {
            value[c] = v[channel_of<COLUMNS>(c)];
        } else {
            const float4 four = load4(&v[channel_of<COLUMNS>(c)]);
            value[c] = four.x;
            value[(c + 1) % COLUMNS] =
                four.y; /* the remainder is for compilers, which read this also where COLUMNS is 3 */
            value[(c + 2) % COLUMNS] = four.z;
            value[(c + 3) % COLUMNS] = four.w;
        }
    }
}

/* Weights by values of one tile, summed apart and then added: long chains would lose bits. */
template <int D, int ROWS, int COLUMNS, int KEYS>
static __device__ inline void add_values(const float *p, int row, const float *v, struct state<ROWS, COLUMNS> *o)
{
    const int group = (int)threadIdx.x / LANES;
    float sum[ROWS][COLUMNS] = {{0}};
#pragma unroll 1
    for (int j = 0; j < KEYS; j += 4) {
        float value[4][COLUMNS];
#pragma unroll
        for (int e = 0; e < 4; e++)
            values_of<COLUMNS>(v + (j + e) * D, value[e]);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const float4 weight = load4(&p[(group + GROUPS * i) * row + j]);
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) {
                sum[i][c] += weight.x * value[0][c];
                sum[i][c] += weight.y * value[1][c];
                sum[i][c] += weight.z * value[2][c];
                sum[i][c] += weight.w * value[3][c];
            }
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS * COLUMNS; i++)
        o->y[i / COLUMNS][i % COLUMNS] += sum[i / COLUMNS][i % COLUMNS];
}

template <int ROWS, int COLUMNS>
static __device__ inline void rows_store(const struct attend *a, const struct state<ROWS, COLUMNS> *o, int64_t first,
                                         float *y)
{
    const int group = (int)threadIdx.x / LANES;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int64_t row = first + group + GROUPS * i;
        float total = o->total[i];
#pragma unroll
        for (int d = LANES / 2; d > 0; d /= 2)
            total += __shfl_xor_sync(0xffffffffu, total, d);
        if (row >= a->y.count)
            continue;
#pragma unroll
        for (int c = 0; c < COLUMNS; c += COLUMNS % 4 ? 1 : 4) {
            const int channel = channel_of<COLUMNS>(c);
            if (COLUMNS % 4 && channel < a->width)
                y[row * a->y.stride + channel] = o->y[i][c] / total;
            if (COLUMNS % 4 == 0)
                store_part4(y + row * a->y.stride + channel,
                            make_float4(o->y[i][c] / total, o->y[i][(c + 1) % COLUMNS] / total,
                                        o->y[i][(c + 2) % COLUMNS] / total, o->y[i][(c + 3) % COLUMNS] / total),
                            a->width - channel, a->y_wide);
        }
    }
}

/* One head's queries from `first` on. */
template <int D, int ROWS, int KEYS>
static __device__ inline void attend_tile(const struct attend *a, int64_t item, int64_t head, int64_t first,
                                          float *room)
{
    typedef layout<D, ROWS, KEYS> at;
    enum { COLUMNS = D / LANES, EACH = KEYS / LANES };
    float *const k = room + at::k, *const v = room + at::v, *const p = room + at::p;
    const float *const keys = a->k.data + item * a->k.item_stride + head * a->width;
    const float *const values = a->v.data + item * a->v.item_stride + head * a->width;
    struct state<ROWS, COLUMNS> o = {
    };
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        o.most[i] = -INFINITY;
    rows_copy<D>(a, &a->q, a->q.data + item * a->q.item_stride + head * a->width, first, at::queries, at::row, room);
    rows_copy<D>(a, &a->k, keys, 0, KEYS, at::row, k);
    copy_async_commit();
    rows_copy<D>(a, &a->v, values, 0, KEYS, D, v);
    copy_async_commit();
    for (int64_t j = 0; j < a->k.count; j += KEYS) {
        float s[ROWS][EACH];
        copy_async_wait(1); /* for the keys */
        __syncthreads();
        scores<D, ROWS, EACH>(room, k, s);
        __syncthreads();
        if (j + KEYS < a->k.count)
            rows_copy<D>(a, &a->k, keys, j + KEYS, KEYS, at::row, k);
        copy_async_commit(); /* an empty group where nothing is left */
        weigh<ROWS, COLUMNS, EACH>(s, a->scale, a->k.count - j, at::weights, p, &o);
        copy_async_wait(1); /* for the values */
        __syncthreads();
        add_values<D, ROWS, COLUMNS, KEYS>(p, at::weights, v, &o);
        __syncthreads();
        if (j + KEYS < a->k.count)
            rows_copy<D>(a, &a->v, values, j + KEYS, KEYS, D, v);
        copy_async_commit();
    }
    rows_store<ROWS, COLUMNS>(a, &o, first, a->y.data + item * a->y.item_stride + head * a->width);
}

/* For heads of 64, 48 and 32, 128, 256 channels:
 * occupancy: 3 blocks of 128 threads, 55 KB of dynamic shared memory each */
template <int D, int ROWS, int KEYS>
static __global__ void __launch_bounds__(THREADS, DEVICE_BLOCKS(THREADS, 3)) attention_kernel(struct attend a)
{
    SHARED_DYNAMIC(float, room);
    for (int64_t unit = blockIdx.x; unit < a.units; unit += gridDim.x) {
        int64_t tile, head;
        const int64_t item = divided(divided(unit, a.tiles, &tile), a.heads, &head);
        attend_tile<D, ROWS, KEYS>(&a, item, head, tile * layout<D, ROWS, KEYS>::queries, room);
    }
}

template <int D, int ROWS, int KEYS> static int launch(struct exec *ex, struct attend a)
{
    typedef layout<D, ROWS, KEYS> at;
    const size_t bytes = at::floats * sizeof(float);
    a.tiles = (a.q.count + at::queries - 1) / at::queries;
    a.units = a.q.items * a.heads * a.tiles;
    const int code = device_allow_shared("attention", (attention_kernel<D, ROWS, KEYS>), bytes);
    if (code)
        return code;
    LAUNCH((attention_kernel<D, ROWS, KEYS>), device_grid(a.units), THREADS, bytes, device_launch_stream(ex), a);
    return device_launched("attention");
}

static bool tokens_wide(const struct attention_params *p, const struct tokens *t)
{
    return p->width % 4 == 0 && floats_on(t->data, t->item_stride, t->stride, 16);
}

extern "C" int attention_cuda(struct exec *ex, const struct attention_params *p, const struct tokens *q,
                              const struct tokens *k, const struct tokens *v, const struct tokens *y)
{
    const float scale = LOG2_E / sqrtf((float)p->width);
    struct attend a = {*q, *k, *v, *y, p->width, p->heads, 0, 0, scale, false, false};
    a.wide = tokens_wide(p, q) && tokens_wide(p, k) && tokens_wide(p, v);
    a.y_wide = tokens_wide(p, y);
    if (p->width <= 32)
        return launch<32, 8, 48>(ex, a);
    if (p->width <= 48)
        return launch<48, 8, 48>(ex, a);
    if (p->width <= 64)
        return launch<64, 8, 48>(ex, a);
    if (p->width <= 128)
        return launch<128, 4, 32>(ex, a);
    return launch<256, 2, 16>(ex, a);
}
