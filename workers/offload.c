#include "offload.h"

#include "device.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESULTS_MOST = SPECTRAL_OUTPUTS + 2, ALIGN = 256, STAGES = 4 };

/* A result on its way. */
struct result {
    void *to;
    size_t at, bytes; /* in both buffers of results */
};

struct offload {
    struct exec *ex;
    const struct device_api *api;
    unsigned char *in, *in_pinned, *out, *out_pinned;
    size_t in_bytes, out_bytes; /* of the buffers */
    struct result result[RESULTS_MOST];
    int results;
    struct device_event *event[STAGES]; /* before and after copy in, after the kernels, after copy out */
    struct offload_stages stages;
    bool works;
};

int offload_create(struct exec *device_exec, struct offload **out)
{
    struct offload *o = calloc(1, sizeof *o);
    int code = o ? STATUS_OK : fail(STATUS_NOMEM, "offload: out of memory");
    if (code)
        return code;
    o->ex = device_exec;
    o->api = exec_device_api(device_exec);
    o->works = true;
    for (int i = 0; i < STAGES && !code; i++)
        code = o->api->event_create(exec_device(o->ex), &o->event[i]);
    if (code)
        offload_destroy(&o);
    else
        *out = o;
    return code;
}

static void free_buffers(struct offload *o)
{
    struct device *const d = exec_device(o->ex);
    if (o->in)
        o->api->release(d, o->in);
    if (o->out)
        o->api->release(d, o->out);
    if (o->in_pinned)
        o->api->release_pinned(d, o->in_pinned);
    if (o->out_pinned)
        o->api->release_pinned(d, o->out_pinned);
    o->in = o->out = o->in_pinned = o->out_pinned = NULL;
    o->in_bytes = o->out_bytes = 0;
}

void offload_destroy(struct offload **offload)
{
    struct offload *const o = *offload;
    if (!o)
        return;
    free_buffers(o);
    for (int i = 0; i < STAGES; i++)
        if (o->event[i])
            o->api->event_destroy(&o->event[i]);
    free(o);
    *offload = NULL;
}

bool offload_works(const struct offload *o)
{
    return o && o->works;
}

const char *offload_backend(const struct offload *o)
{
    return backend_name(exec_backend(o->ex));
}

struct offload_stages offload_take_stages(struct offload *o)
{
    const struct offload_stages taken = o->stages;
    o->stages = (struct offload_stages){0};
    return taken;
}

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* The parts of the input buffer: the samples, then what the kernels need to know of rows. */
struct layout {
    size_t samples, x_offset, y_offset, piece, bytes;
};

static struct layout layout_of(const struct ragged *x)
{
    struct layout l = {.samples = 0};
    l.x_offset = aligned((size_t)x->total * sizeof(float));
    l.y_offset = l.x_offset + aligned(2 * sizeof(int64_t));
    l.piece = l.y_offset + aligned(2 * sizeof(int64_t));
    l.bytes = l.piece + aligned(sizeof(struct piece));
    return l;
}

static int grow(struct offload *o, size_t in_bytes, size_t out_bytes)
{
    struct device *const d = exec_device(o->ex);
    if (in_bytes <= o->in_bytes && out_bytes <= o->out_bytes)
        return STATUS_OK;
    const size_t in = in_bytes > o->in_bytes ? in_bytes : o->in_bytes;
    const size_t out = out_bytes > o->out_bytes ? out_bytes : o->out_bytes;
    free_buffers(o);
    int code = o->api->allocate(d, in, (void **)&o->in);
    code = code ? code : o->api->allocate(d, out, (void **)&o->out);
    code = code ? code : o->api->allocate_pinned(d, in, (void **)&o->in_pinned);
    code = code ? code : o->api->allocate_pinned(d, out, (void **)&o->out_pinned);
    if (code) {
        free_buffers(o);
        return code;
    }
    o->in_bytes = in;
    o->out_bytes = out;
    return STATUS_OK;
}

static size_t result_bytes(const struct ragged *y)
{
    return (size_t)y->total * (size_t)y->channels * (y->dtype == DTYPE_C64 ? 8 : 4);
}

/* Books room for a result; its twin on the device has the same shape. */
static void book(struct offload *o, const struct ragged *y, size_t *at)
{
    o->result[o->results++] = (struct result){y->data, *at, result_bytes(y)};
    *at += aligned(result_bytes(y));
}

/* Notes that the device does this operation, once. */
static void note(struct offload *o, const char *name)
{
    char *const all = o->stages.operations;
    const size_t n = strlen(all), room = sizeof o->stages.operations - n;
    if (!strstr(all, name)) /* no name is part of another */
        snprintf(all + n, room, "%s%s", n ? "," : "", name);
}

/* Which wishes the device takes. */
static void choose(struct offload *o, const struct offload_wish *w, struct offload_wish *mine, size_t *bytes)
{
    const struct ops *const ops = exec_ops(o->ex);
    *mine = (struct offload_wish){.p = w->p, .x = w->x};
    o->results = 0;
    mine->rms = ops->rms ? w->rms : NULL;
    mine->peak = ops->peak ? w->peak : NULL;
    if (mine->rms) {
        book(o, mine->rms, bytes);
        note(o, "rms");
    }
    if (mine->peak) {
        book(o, mine->peak, bytes);
        note(o, "peak");
    }
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++) {
        mine->spectral[i] = ops->spectral_outputs >> i & 1 ? w->spectral[i] : NULL;
        if (mine->spectral[i]) {
            book(o, mine->spectral[i], bytes);
            note(o, spectral_name((enum spectral_output)i));
        }
    }
}

static int stage(struct offload *o, const struct ragged *x, const struct ragged *y, const struct layout *l)
{
    const struct piece piece = piece_of(x->piece, 0);
    memcpy(o->in_pinned, x->data, (size_t)x->total * sizeof(float));
    memcpy(o->in_pinned + l->x_offset, x->offset, 2 * sizeof(int64_t));
    memcpy(o->in_pinned + l->y_offset, y->offset, 2 * sizeof(int64_t));
    memcpy(o->in_pinned + l->piece, &piece, sizeof piece);
    return o->api->copy_in(exec_stream(o->ex), o->in, o->in_pinned, l->bytes);
}

/* The operations, on the device's side of everything. */
static int compute(struct offload *o, const struct offload_wish *mine, const struct layout *l)
{
    struct ragged x = *mine->x, y[RESULTS_MOST], *spectra[SPECTRAL_OUTPUTS] = {0};
    bool any = false;
    int next = 0, code = STATUS_OK;
    x.data = o->in;
    x.offset_device = (const int64_t *)(o->in + l->x_offset);
    x.piece_device = (const struct piece *)(o->in + l->piece);
#define DEVICE_SIDE(host) \
    (y[next] = *(host), y[next].data = o->out + o->result[next].at, \
     y[next].offset_device = (const int64_t *)(o->in + l->y_offset), &y[next++])
    if (mine->rms)
        code = rms(o->ex, &mine->p->stft.frame, &x, DEVICE_SIDE(mine->rms));
    if (!code && mine->peak)
        code = peak(o->ex, &mine->p->stft.frame, &x, DEVICE_SIDE(mine->peak));
    for (int i = 0; i < SPECTRAL_OUTPUTS && !code; i++)
        if (mine->spectral[i])
            spectra[i] = DEVICE_SIDE(mine->spectral[i]), any = true;
#undef DEVICE_SIDE
    return code || !any ? code : spectral(o->ex, mine->p, &x, spectra);
}

static const struct ragged *first_result(const struct offload_wish *w)
{
    const struct ragged *y = w->rms ? w->rms : w->peak;
    for (int i = 0; i < SPECTRAL_OUTPUTS && !y; i++)
        y = w->spectral[i];
    return y;
}

static int enqueue(struct offload *o, const struct offload_wish *mine, size_t out_bytes)
{
    const struct layout l = layout_of(mine->x);
    struct device_stream *const s = exec_stream(o->ex);
    int code = grow(o, l.bytes, out_bytes);
    code = code ? code : o->api->event_record(o->event[0], s);
    code = code ? code : stage(o, mine->x, first_result(mine), &l);
    code = code ? code : o->api->event_record(o->event[1], s);
    const uint64_t before = o->api->stream_launches(s);
    code = code ? code : compute(o, mine, &l);
    o->stages.launches += o->api->stream_launches(s) - before;
    code = code ? code : o->api->event_record(o->event[2], s);
    code = code ? code : o->api->copy_out(s, o->out_pinned, o->out, out_bytes);
    return code ? code : o->api->event_record(o->event[3], s);
}

int offload_begin(struct offload *o, struct offload_wish *w)
{
    struct offload_wish mine;
    size_t out_bytes = 0;
    if (!offload_works(o))
        return STATUS_OK;
    choose(o, w, &mine, &out_bytes);
    if (o->results == 0)
        return STATUS_OK;
    const int code = enqueue(o, &mine, out_bytes);
    if (code == STATUS_UNSUPPORTED) { /* a size that this device cannot take: all of this piece is the thread's */
        o->results = 0;
        return o->api->stream_wait(exec_stream(o->ex));
    }
    if (code == STATUS_NOMEM) {
        const int waited = o->api->stream_wait(exec_stream(o->ex)); /* what was begun reads our buffers */
        log_warn("this thread computes on the cpu from now on: %s", status_message());
        free_buffers(o);
        o->works = false;
        o->results = 0;
        o->stages.operations[0] = 0; /* of this file, the next pieces come from the CPU */
        return waited;
    }
    if (code)
        return code;
    w->rms = mine.rms ? NULL : w->rms;
    w->peak = mine.peak ? NULL : w->peak;
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++)
        w->spectral[i] = mine.spectral[i] ? NULL : w->spectral[i];
    return STATUS_OK;
}

int offload_end(struct offload *o)
{
    if (!offload_works(o) || o->results == 0)
        return STATUS_OK;
    double seconds[STAGES - 1] = {0};
    int code = o->api->stream_wait(exec_stream(o->ex));
    for (int i = 0; i < STAGES - 1 && !code; i++)
        code = o->api->event_elapsed(o->event[i], o->event[i + 1], &seconds[i]);
    for (int i = 0; i < o->results && !code; i++)
        memcpy(o->result[i].to, o->out_pinned + o->result[i].at, o->result[i].bytes);
    o->results = 0;
    o->stages.copy_in_s += seconds[0];
    o->stages.compute_s += seconds[1];
    o->stages.copy_out_s += seconds[2];
    return code;
}
