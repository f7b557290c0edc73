#include "batch.h"

#include "module.h"

#include <string.h>

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

struct ragged gpu_result(const struct gpu_case *c, const struct ragged *x, int64_t *offset)
{
    offset[0] = 0;
    for (int64_t b = 0; b < x->rows; b++)
        offset[b + 1] =
            offset[b] + frame_count(&c->p.stft.frame, piece_of(x->piece, b), x->offset[b + 1] - x->offset[b]);
    return (struct ragged){.dtype = c->op == GPU_STFT ? DTYPE_C64 : DTYPE_F32,
                           .channels = c->op == GPU_STFT  ? (int32_t)stft_bins(&c->p.stft)
                                       : c->op == GPU_MEL ? c->p.mel.mels
                                                          : 1,
                           .offset = offset,
                           .rows = x->rows,
                           .total = offset[x->rows]};
}

int gpu_run(struct exec *ex, const struct gpu_case *c, const struct ragged *x, struct ragged *y)
{
    switch (c->op) {
    case GPU_STFT:
        return stft(ex, &c->p.stft, x, y);
    case GPU_MEL:
        return mel(ex, &c->p, x, y);
    case GPU_RMS:
        return rms(ex, &c->p.stft.frame, x, y);
    default:
        return peak(ex, &c->p.stft.frame, x, y);
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
