/* A case made ready in the memory of an exec, run and timed. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { TOP_DB = 80 };

static const struct device_api *device_of(const struct work *w)
{
    return exec_device_api(w->ex);
}

/* Memory on huge pages, touched before anything is timed. */
static void *touched(size_t bytes)
{
    const size_t page = (size_t)2 << 20, whole = (bytes / page + 1) * page;
    void *const p = aligned_alloc(page, whole);
    if (p) {
        madvise(p, whole, MADV_HUGEPAGE);
        memset(p, 0, whole);
    }
    return p;
}

/* The batch in the exec's memory: with the data of `shape`, or cleared where it has none. */
static int place(const struct work *w, const struct ragged *shape, struct ragged *out)
{
    if (device_of(w))
        return batch_to_device(w->ex, shape, out);
    *out = *shape;
    out->data = touched(batch_bytes(shape));
    return out->data ? STATUS_OK : fail(STATUS_NOMEM, "out of memory: %zu bytes", batch_bytes(shape));
}

static void release(const struct work *w, struct ragged *r)
{
    if (device_of(w))
        batch_release(w->ex, r);
    else
        free(r->data);
    r->data = NULL;
}

/* The signal cut into vectors, and behind them the queries: half of it at most. */
static void size_search(struct search_params *p, int64_t samples)
{
    const int64_t whole = samples / p->dimensions;
    p->queries = p->queries < whole / 2 ? p->queries : whole / 2;
    p->vectors = whole - p->queries < p->vectors ? whole - p->queries : p->vectors;
}

/* What the case starts from, made of the samples where that takes an operation. */
static int make_input(struct work *w, const struct case_ *c, const struct signal *s)
{
    struct gpu_case made = {.name = "input", .p = spectral_defaults(s->rate_hz)};
    const int channels = c->source == SOURCE_STEREO ? 2 : 1;
    made.op = c->source == SOURCE_SPECTRA ? SPECTRAL_STFT : SPECTRAL_MEL;
    made.p.mel.log = true;
    int64_t offset[2] = {0, s->count / channels};
    const struct ragged host = {
        .data = s->samples, .channels = channels, .offset = offset, .rows = 1, .total = offset[1]};
    struct ragged samples = host;
    int code = device_of(w) ? place(w, &host, &samples) : STATUS_OK;
    if (code)
        return code;
    if (c->source == SOURCE_SAMPLES || c->source == SOURCE_STEREO) {
        memcpy(w->offsets[0], offset, sizeof offset);
        w->x = samples;
        w->x.offset = w->offsets[0];
        w->borrowed = !device_of(w);
        return STATUS_OK;
    }
    const struct ragged shape = gpu_result(&made, &samples, w->offsets[0]);
    code = place(w, &shape, &w->x);
    code = code ? code : gpu_run(w->ex, &made, &samples, &w->x);
    if (device_of(w)) {
        const int waited = device_of(w)->stream_wait(exec_stream(w->ex));
        code = code ? code : waited;
        release(w, &samples);
    }
    return code;
}

static int make_output(struct work *w)
{
    struct ragged shape = gpu_result(&w->c, &w->x, w->offsets[1]);
    int code = place(w, &shape, &w->y);
    if (!code && w->passes == PASS_MFCC) {
        const struct gpu_case of = {"mfcc", GPU_MFCC, .channels = w->y.channels, .mfcc = w->c.mfcc};
        shape = gpu_result(&of, &w->y, w->offsets[2]);
        code = place(w, &shape, &w->cepstra);
    }
    w->offsets[3][1] = 1;
    shape = (struct ragged){.channels = 1, .offset = w->offsets[3], .rows = 1, .total = 1};
    return code ? code : place(w, &shape, &w->floor);
}

int work_open(struct work *w, struct exec *ex, const struct case_ *c, const struct signal *s)
{
    *w = (struct work){.ex = ex, .c = c->c, .passes = c->passes};
    if (w->c.op == GPU_SEARCH)
        size_search(&w->c.search, s->count);
    const bool is_network = c->source == SOURCE_NETWORK;
    int code = is_network ? network_open(&w->network, ex, c->c.name, s->count) : make_input(w, c, s);
    code = code || is_network ? code : make_output(w);
    if (!code && device_of(w)) {
        code = device_of(w)->event_create(exec_device(ex), &w->from);
        code = code ? code : device_of(w)->event_create(exec_device(ex), &w->to);
    }
    if (code)
        work_close(w);
    return code;
}

void work_close(struct work *w)
{
    network_close(&w->network);
    if (w->borrowed)
        w->x.data = NULL;
    release(w, &w->x);
    release(w, &w->y);
    release(w, &w->cepstra);
    release(w, &w->floor);
    if (device_of(w)) {
        device_of(w)->event_destroy(&w->from);
        device_of(w)->event_destroy(&w->to);
    }
}

/* librosa's top_db: the maximum of all bands is known when all are there. On a device the host asks for it. */
static int clip(struct work *w)
{
    const struct device_api *const api = device_of(w);
    float *const floor_db = w->floor.data;
    int code = decibel_peak(w->ex, &w->y, floor_db);
    if (!code && api) {
        code = batch_read(w->ex, &w->floor, 0, sizeof w->peak, &w->peak);
        w->peak -= TOP_DB;
        code = code ? code : api->copy_in(exec_stream(w->ex), floor_db, &w->peak, sizeof w->peak);
    } else if (!code) {
        *floor_db -= TOP_DB;
    }
    return code ? code : decibel_clip(w->ex, &w->y, floor_db);
}

static int run(struct work *w)
{
    if (w->network)
        return network_run(w->network);
    if (w->c.op == GPU_DECIBEL_CLIP) /* alone and in place: gpu_run would copy a band first */
        return decibel_clip(w->ex, &w->x, w->floor.data);
    int code = gpu_run(w->ex, &w->c, &w->x, &w->y);
    if (!code && w->passes != PASS_ALONE)
        code = clip(w);
    return !code && w->passes == PASS_MFCC ? mfcc(w->ex, &w->c.mfcc, &w->y, NULL, &w->cepstra) : code;
}

int work_time(struct work *w, int calls, double *seconds)
{
    const struct device_api *const api = device_of(w);
    const double began = bench_now();
    int code = api ? api->event_record(w->from, exec_stream(w->ex)) : STATUS_OK;
    for (int i = 0; i < calls && !code; i++)
        code = run(w);
    *seconds = bench_now() - began;
    if (api) {
        code = code ? code : api->event_record(w->to, exec_stream(w->ex));
        code = code ? code : api->event_wait(w->to);
        code = code ? code : api->event_elapsed(w->from, w->to, seconds);
    }
    *seconds /= calls;
    return code;
}

double work_flops(const struct work *w)
{
    if (w->network)
        return network_flops(w->network);
    const double bands = (double)w->y.total * w->y.channels;
    const struct gpu_case of = {"mfcc", GPU_MFCC, .mfcc = w->c.mfcc};
    double flops = gpu_flops(&w->c, &w->x, &w->y);
    flops += w->passes == PASS_ALONE ? 0 : 2 * bands; /* compared for the maximum, and with it */
    return flops + (w->passes == PASS_MFCC ? gpu_flops(&of, &w->y, &w->cepstra) : 0);
}

double work_bytes(const struct work *w)
{
    if (w->network)
        return network_bytes(w->network);
    return gpu_bytes(&w->c, &w->x, w->passes == PASS_MFCC ? &w->cepstra : &w->y);
}
