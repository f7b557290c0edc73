#include "batch.h"

#include "module.h"

#include <string.h>

enum { STRETCH_ROWS = 256 };

int batch_open(const char *backend, struct exec **out)
{
    struct exec_options options = {.threads = 1};
    for (options.backend = BACKEND_CUDA; options.backend <= BACKEND_EMULATED; options.backend++)
        if (strcmp(backend, backend_name(options.backend)) == 0)
            break;
    if (options.backend > BACKEND_EMULATED)
        return fail(STATUS_ARGUMENT, "no device '%s': there are cuda and emulated", backend);
    const int code = module_load(options.backend, &options.module);
    return code ? code : exec_create(&options, out);
}

size_t batch_bytes(const struct ragged *r)
{
    static const size_t bytes[] = {[DTYPE_F32] = 4, [DTYPE_I16] = 2, [DTYPE_I24] = 3, [DTYPE_C64] = 8};
    return (size_t)r->total * bytes[r->dtype] * (size_t)r->channels;
}

static int place(struct exec *ex, const void *host, size_t bytes, void **out)
{
    const struct device_api *const api = exec_device_api(ex);
    const int code = api->allocate(exec_device(ex), bytes ? bytes : 1, out);
    if (code || !bytes)
        return code;
    return host ? api->copy_in(exec_stream(ex), *out, host, bytes) : api->clear(exec_stream(ex), *out, bytes);
}

int batch_to_device(struct exec *ex, const struct ragged *host, struct ragged *out)
{
    const size_t rows = (size_t)host->rows;
    void *data = NULL, *offset = NULL, *piece = NULL;
    int code = place(ex, host->data, batch_bytes(host), &data);
    code = code ? code : place(ex, host->offset, (rows + 1) * sizeof *host->offset, &offset);
    if (!code && host->piece)
        code = place(ex, host->piece, rows * sizeof *host->piece, &piece);
    *out = *host;
    out->data = data;
    out->offset_device = offset;
    out->piece_device = piece;
    code = code ? code : exec_device_api(ex)->stream_wait(exec_stream(ex));
    if (code)
        batch_release(ex, out);
    return code;
}

static void give_back(struct exec *ex, const void *memory)
{
    if (memory)
        exec_device_api(ex)->release(exec_device(ex), (void *)(uintptr_t)memory);
}

void batch_release(struct exec *ex, struct ragged *device)
{
    give_back(ex, device->data);
    give_back(ex, device->offset_device);
    give_back(ex, device->piece_device);
    device->data = NULL;
    device->offset_device = NULL;
    device->piece_device = NULL;
}

int batch_read(struct exec *ex, const struct ragged *device, size_t from, size_t bytes, void *out)
{
    const struct device_api *const api = exec_device_api(ex);
    int code = bytes ? api->copy_out(exec_stream(ex), out, (const char *)device->data + from, bytes) : STATUS_OK;
    const int waited = api->stream_wait(exec_stream(ex));
    code = code ? code : waited;
    return code;
}

/* Elements of the result of a row of `length`. */
static int64_t length_of(const struct gpu_case *c, struct piece piece, int64_t length)
{
    switch (c->op) {
    case GPU_WAVEFORM:
        return waveform_count(c->block, piece, length);
    case GPU_LEVEL:
    case GPU_DECIBEL_PEAK:
    case GPU_STATISTICS:
        return 1;
    case GPU_MIXDOWN:
    case GPU_DECIBEL_CLIP:
    case GPU_MFCC:
    case GPU_HPSS:
        return length;
    case GPU_ISTFT:
        return istft_samples(&c->p.stft, length);
    case GPU_STRETCH:
        return time_stretch_frames(c->rate, length);
    case GPU_RESAMPLE:
        return resample_count(&c->rates, piece, length);
    default:
        return frame_count(&c->p.stft.frame, piece, length);
    }
}

static int32_t channels_of(const struct gpu_case *c)
{
    switch (c->op) {
    case GPU_WAVEFORM:
        return 3;
    case GPU_LEVEL:
        return sizeof(struct level) / sizeof(float);
    case GPU_MFCC:
        return c->mfcc.coefficients;
    case GPU_STATISTICS:
        return STATISTICS * (c->channels ? c->channels : 1);
    case GPU_HPSS:
        return 2 * c->channels;
    case GPU_STRETCH:
    case GPU_PHASES:
        return c->channels;
    case GPU_SEARCH:
        return c->search.k * (int32_t)((sizeof(int64_t) + sizeof(float)) / sizeof(float));
    default:
        return c->op < SPECTRAL_OUTPUTS ? (int32_t)spectral_channels(&c->p, (enum spectral_output)c->op) : 1;
    }
}

struct ragged gpu_result(const struct gpu_case *c, const struct ragged *x, int64_t *offset)
{
    const bool searched = c->op == GPU_SEARCH, phases = c->op == GPU_PHASES;
    const int64_t rows = searched || phases ? 1 : x->rows;
    offset[0] = 0;
    for (int64_t b = 0; b < rows; b++)
        offset[b + 1] = offset[b] + (searched ? c->search.queries
                                     : phases ? x->total / 3
                                              : length_of(c, piece_of(x->piece, b), x->offset[b + 1] - x->offset[b]));
    const bool complex_out = c->op == SPECTRAL_STFT || c->op == GPU_HPSS || c->op == GPU_STRETCH || phases;
    return (struct ragged){.dtype = complex_out ? DTYPE_C64 : DTYPE_F32,
                           .channels = channels_of(c),
                           .offset = offset,
                           .rows = rows,
                           .total = offset[rows]};
}

static int run_spectral(struct exec *ex, const struct gpu_case *c, const struct ragged *x, struct ragged *y)
{
    struct ragged *out[SPECTRAL_OUTPUTS] = {0};
    out[c->op] = y;
    return spectral(ex, &c->p, x, out);
}

static int run_hpss(struct exec *ex, const struct gpu_case *c, const struct ragged *x, const struct ragged *y)
{
    struct ragged part[2] = {*y, *y};
    part[0].channels = part[1].channels = x->channels;
    part[1].data = (char *)y->data + batch_bytes(x);
    return hpss(ex, &c->hpss, x, &part[0], &part[1]);
}

static int run_search(struct exec *ex, const struct gpu_case *c, const float *x, void *y)
{
    int64_t *const index = y;
    return search(ex, &c->search, x, x + c->search.vectors * c->search.dimensions, index,
                  (float *)(index + c->search.queries * c->search.k));
}

static int run_stretch(struct exec *ex, double rate, const struct ragged *x, struct ragged *y)
{
    double rates[STRETCH_ROWS];
    if (x->rows > STRETCH_ROWS)
        return fail(STATUS_SHAPE, "time_stretch: %lld rows are more than are measured", (long long)x->rows);
    for (int64_t b = 0; b < x->rows; b++)
        rates[b] = rate;
    return time_stretch(ex, rates, x, y);
}

static int run_phases(struct exec *ex, const float *x, const struct ragged *y)
{
    const int64_t n = y->total * y->channels;
    return phase_step(ex, 0.5, n, x + 4 * n, x, x + 2 * n, y->data);
}

static int run_clip(struct exec *ex, const struct ragged *x, struct ragged *y)
{
    const int code = mixdown(ex, x, y);
    return code ? code : decibel_clip(ex, y, x->data);
}

int gpu_run(struct exec *ex, const struct gpu_case *c, const struct ragged *x, struct ragged *y)
{
    const struct frame_params *const frame = &c->p.stft.frame;
    switch (c->op) {
    case GPU_RMS:
        return rms(ex, frame, x, y);
    case GPU_PEAK:
        return peak(ex, frame, x, y);
    case GPU_CROSSING:
        return zero_crossing(ex, frame, x, y);
    case GPU_WAVEFORM:
        return waveform(ex, c->block, x, y);
    case GPU_LEVEL:
        return level(ex, x, y->data);
    case GPU_MIXDOWN:
        return mixdown(ex, x, y);
    case GPU_DECIBEL_PEAK:
        return decibel_peak(ex, x, y->data);
    case GPU_DECIBEL_CLIP:
        return run_clip(ex, x, y);
    case GPU_MFCC:
        return mfcc(ex, &c->mfcc, x, NULL, y);
    case GPU_STATISTICS:
        return statistics(ex, x, c->block, y->data);
    case GPU_ISTFT:
        return istft(ex, &c->p.stft, x, y);
    case GPU_HPSS:
        return run_hpss(ex, c, x, y);
    case GPU_STRETCH:
        return run_stretch(ex, c->rate, x, y);
    case GPU_PHASES:
        return run_phases(ex, x->data, y);
    case GPU_RESAMPLE:
        return resample(ex, &c->rates, x, y);
    case GPU_SEARCH:
        return run_search(ex, c, x->data, y->data);
    default:
        return run_spectral(ex, c, x, y);
    }
}

void gpu_noise(uint32_t seed, enum dtype dtype, int64_t samples, void *out)
{
    uint32_t state = seed;
    for (int64_t i = 0; i < samples; i++) {
        state = state * 1664525u + 1013904223u;
        if (dtype == DTYPE_I16)
            ((int16_t *)out)[i] = (int16_t)((int32_t)(state >> 17) - 16384);
        else
            ((float *)out)[i] = (float)(state >> 8) / 16777216.0f - 0.5f;
    }
}
