#include "griffin_lim.h"

#include "exec_memory.h"
#include "istft.h"
#include "phase_step.h"
#include "philox.h"

#include <math.h>

enum { CHUNK = 4096 }; /* values whose phases are drawn at once */

struct iteration {
    struct exec *ex;
    const struct griffin_lim_params *p;
    struct exec_memory memory;
    int64_t frames, samples, values;
    int64_t offset[2][2]; /* of frames, of samples */
    const int64_t *offset_there[2];
    float *magnitude, *spectrum[2], *signal;
};

static int check(const struct griffin_lim_params *p, const float *magnitude, int64_t frames, int64_t samples,
                 const float *y)
{
    const int64_t bins = stft_bins(&p->stft);
    if (p->iterations < 0 || p->iterations > 10000 || !(p->momentum >= 0 && p->momentum <= 1))
        return fail(STATUS_ARGUMENT, "griffin_lim: %d iterations at momentum %g, allowed 0 to 10000 at 0 to 1",
                    p->iterations, p->momentum);
    if (!p->stft.frame.centred || p->stft.pad != PAD_ZERO || p->stft.frame.hop_samples < 1 || bins < 2)
        return fail(STATUS_ARGUMENT, "griffin_lim: wants centred frames, and zeros outside the signal");
    if (frames < 1 || samples < 1 || frames > GRIFFIN_LIM_VALUES / bins ||
        frame_count(&p->stft.frame, piece_of(NULL, 0), samples) != frames)
        return fail(STATUS_SHAPE, "griffin_lim: %lld frames of %lld bins for %lld samples", (long long)frames,
                    (long long)bins, (long long)samples);
    if (!magnitude || !y)
        return fail(STATUS_ARGUMENT, "griffin_lim: no magnitudes, or no buffer for the signal");
    for (int64_t i = 0; i < frames * bins; i++)
        if (!(magnitude[i] >= 0 && magnitude[i] <= 1e15f))
            return fail(STATUS_ARGUMENT, "griffin_lim: magnitude %g of bin %lld in frame %lld", (double)magnitude[i],
                        (long long)(i % bins), (long long)(i / bins));
    return STATUS_OK;
}

static void *cut(const struct iteration *g, size_t bytes, size_t *used)
{
    void *const at = (char *)g->memory.data + *used;
    *used += arena_round(bytes);
    return at;
}

static int lay_out(struct iteration *g)
{
    const size_t floats = (size_t)g->values * sizeof(float), signal = (size_t)g->samples * sizeof(float);
    const size_t bytes = 3 * ARENA_ALIGN + arena_round(floats) + 2 * arena_round(2 * floats) + arena_round(signal);
    size_t used = 0;
    int code = exec_memory_allocate(g->ex, bytes, &g->memory);
    if (code)
        return code;
    void *const table = cut(g, sizeof g->offset, &used);
    g->magnitude = cut(g, floats, &used);
    for (int k = 0; k < 2; k++)
        g->spectrum[k] = cut(g, 2 * floats, &used);
    g->signal = cut(g, signal, &used);
    g->offset[0][1] = g->frames;
    g->offset[1][1] = g->samples;
    if (exec_device(g->ex))
        for (int k = 0; k < 2; k++)
            g->offset_there[k] = (const int64_t *)table + 2 * (ptrdiff_t)k;
    return exec_memory_put(g->ex, table, g->offset, sizeof g->offset);
}

/* Magnitudes, and under them the first phases. */
static int begin(const struct iteration *g, const float *magnitude)
{
    int code = exec_memory_put(g->ex, g->magnitude, magnitude, (size_t)g->values * sizeof(float));
    for (int64_t first = 0; first < g->values && !code; first += CHUNK) {
        float some[2 * CHUNK];
        const int64_t left = g->values - first, count = left < CHUNK ? left : CHUNK;
        struct philox random = {{0}};
        for (int64_t i = 0; i < count; i++) {
            if (i % 4 == 0)
                random = philox_counted(g->p->seed, (uint64_t)(first + i) / 4, 0);
            const double turn = 2 * M_PI * (random.word[i % 4] * 0x1p-32);
            some[2 * i] = magnitude[first + i] * (float)cos(turn);
            some[2 * i + 1] = magnitude[first + i] * (float)sin(turn);
        }
        code = exec_memory_put(g->ex, g->spectrum[0] + 2 * first, some, (size_t)count * 2 * sizeof *some);
    }
    return code;
}

static struct ragged frames_of(const struct iteration *g, float *data)
{
    return (struct ragged){.data = data,
                           .dtype = DTYPE_C64,
                           .channels = (int32_t)stft_bins(&g->p->stft),
                           .offset = g->offset[0],
                           .offset_device = g->offset_there[0],
                           .rows = 1,
                           .total = g->frames};
}

static int iterate(struct iteration *g)
{
    const double ahead = g->p->momentum / (1 + g->p->momentum);
    struct ragged signal = {.data = g->signal,
                            .channels = 1,
                            .offset = g->offset[1],
                            .offset_device = g->offset_there[1],
                            .rows = 1,
                            .total = g->samples};
    float *now = g->spectrum[0], *before = g->spectrum[1];
    int code = STATUS_OK;
    for (int i = 0; i < g->p->iterations && !code; i++) {
        struct ragged spectrum = frames_of(g, now);
        code = istft(g->ex, &g->p->stft, &spectrum, &signal);
        code = code ? code : stft(g->ex, &g->p->stft, &signal, &spectrum);
        code = code ? code : phase_step(g->ex, ahead, g->values, g->magnitude, now, i ? before : NULL, before);
        float *const next = before; /* what came back stays, to be gone on from */
        before = now;
        now = next;
    }
    const struct ragged last = frames_of(g, now);
    return code ? code : istft(g->ex, &g->p->stft, &last, &signal);
}

int griffin_lim(struct exec *ex, const struct griffin_lim_params *p, const float *magnitude, int64_t frames,
                int64_t samples, float *y)
{
    int code = check(p, magnitude, frames, samples, y);
    if (code)
        return code;
    struct iteration g = {.ex = ex, .p = p, .frames = frames, .samples = samples};
    g.values = frames * stft_bins(&p->stft);
    code = lay_out(&g);
    code = code ? code : begin(&g, magnitude);
    code = code ? code : iterate(&g);
    code = code ? code : exec_memory_get(ex, y, g.signal, (size_t)samples * sizeof *y);
    exec_memory_release(&g.memory);
    return code;
}
