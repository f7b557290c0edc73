/* The device_api over the CUDA runtime. */
#include "device.h"

#include "device_cuda.h"

#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct device {
    int index;
    uint64_t limit;
    struct device_counters counters;
    struct block *blocks; /* what is allocated, for its size and for close */
};

struct block {
    struct block *next;
    void *memory;
    size_t bytes;
    bool pinned;
};

struct device_stream {
    struct device *device;
    cudaStream_t stream;
    bool capturing;
    uint64_t launches;
};

struct device_event {
    cudaEvent_t event;
};

struct device_graph {
    cudaGraphExec_t graph;
    uint64_t launches;
};

/* ---- errors ---- */

int device_failed(cudaError_t e, const char *what)
{
    switch (e) {
    case cudaSuccess:
        return STATUS_OK;
    case cudaErrorMemoryAllocation:
        return fail(STATUS_NOMEM, "%s: the GPU's memory is exhausted", what);
    case cudaErrorInsufficientDriver:
        return fail(STATUS_UNSUPPORTED, "%s: no NVIDIA driver, or one older than this build's CUDA", what);
    case cudaErrorNoDevice:
        return fail(STATUS_UNSUPPORTED, "%s: the driver shows no GPU", what);
    case cudaErrorInvalidDevice:
        return fail(STATUS_UNSUPPORTED, "%s: there is no such GPU", what);
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
        return fail(STATUS_UNSUPPORTED, "%s: this build has no code for this GPU", what);
    case cudaErrorInitializationError:
        return fail(STATUS_UNSUPPORTED, "%s: the driver cannot be used here: %s", what, cudaGetErrorString(e));
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorNotReady:
    case cudaErrorStreamCaptureInvalidated:
        return fail(STATUS_INTERNAL, "%s: %s", what, cudaGetErrorString(e));
    default:
        return fail(STATUS_DEVICE, "%s: the GPU is lost: %s", what, cudaGetErrorString(e));
    }
}

/* The calling thread talks to this device from now on. */
static int use(const struct device *d)
{
    static __thread int current = -1;
    if (current == d->index)
        return STATUS_OK;
    const int code = device_failed(cudaSetDevice(d->index), "GPU");
    current = code ? -1 : d->index;
    return code;
}

/* ---- what there is ---- */

static int count(int *out)
{
    return device_failed(cudaGetDeviceCount(out), "GPU");
}

/* Datasheet rates in GB/s, by name; what is not listed is unknown. */
static double copy_gbps(const char *name)
{
    static const struct {
        const char *name;
        double gbps;
    } known[] = {{"H200", 4800}, {"H100", 3350}, {"A100", 2039}, {"L40", 864}, {"T4", 320}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(name, known[i].name))
            return known[i].gbps;
    return 0;
}

static int describe(int index, struct device_info *out)
{
    struct cudaDeviceProp p;
    const int code = device_failed(cudaGetDeviceProperties(&p, index), "GPU");
    if (code)
        return code;
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%.127s", p.name);
    out->major = p.major;
    out->minor = p.minor;
    out->multiprocessors = p.multiProcessorCount;
    out->memory_bytes = p.totalGlobalMem;
    out->shared_bytes = p.sharedMemPerBlockOptin;
    out->copy_gbps = copy_gbps(p.name);
    cudaDriverGetVersion(&out->driver_version);
    cudaRuntimeGetVersion(&out->runtime_version);
    out->supported = device_supported(10 * p.major + p.minor);
    return STATUS_OK;
}

/* ---- a device ---- */

static int open_device(int index, uint64_t limit, struct device **out)
{
    struct device_info info;
    int code = describe(index, &info);
    if (!code && !info.supported)
        code = fail(STATUS_UNSUPPORTED, "GPU %d, %s: compute capability %d.%d; this build has code for %s", index,
                    info.name, info.major, info.minor, device_targets());
    struct device *const d = code ? NULL : (struct device *)calloc(1, sizeof *d);
    if (!code && !d)
        code = fail(STATUS_NOMEM, "GPU: out of memory");
    if (code)
        return code;
    d->index = index;
    d->limit = limit ? limit : info.memory_bytes;
    code = use(d);
    code = code ? code : device_failed(cudaFree(NULL), "GPU"); /* makes the context now, not in the first operation */
    if (code)
        free(d);
    else
        *out = d;
    return code;
}

static void release_block(struct block *b)
{
    if (b->pinned)
        cudaFreeHost(b->memory);
    else
        cudaFree(b->memory);
    free(b);
}

static void close_device(struct device **device)
{
    struct device *const d = *device;
    if (!d)
        return;
    while (d->blocks) {
        struct block *const b = d->blocks;
        d->blocks = b->next;
        release_block(b);
    }
    free(d);
    *device = NULL;
}

static void counters(const struct device *d, struct device_counters *out)
{
    *out = d->counters;
}

/* ---- memory ---- */

/* Blocks are few and large: a list under one lock is enough. */
static volatile int blocks_held;

static void hold(void)
{
    while (__atomic_exchange_n(&blocks_held, 1, __ATOMIC_ACQUIRE))
        ;
}

static void let_go(void)
{
    __atomic_store_n(&blocks_held, 0, __ATOMIC_RELEASE);
}

static int book(struct device *d, void *memory, size_t bytes, bool pinned)
{
    struct block *const b = (struct block *)calloc(1, sizeof *b);
    if (!b)
        return fail(STATUS_NOMEM, "GPU: out of memory");
    b->memory = memory;
    b->bytes = bytes;
    b->pinned = pinned;
    hold();
    b->next = d->blocks;
    d->blocks = b;
    if (!pinned)
        d->counters.bytes_used += bytes;
    if (d->counters.bytes_used > d->counters.bytes_most)
        d->counters.bytes_most = d->counters.bytes_used;
    let_go();
    return STATUS_OK;
}

static int allocate(struct device *d, size_t bytes, void **out)
{
    void *memory = NULL;
    int code = use(d);
    if (!code && d->counters.bytes_used + bytes > d->limit)
        return fail(STATUS_NOMEM, "GPU: %zu bytes beside %llu in use, the limit is %llu", bytes,
                    (unsigned long long)d->counters.bytes_used, (unsigned long long)d->limit);
    code = code ? code : device_failed(cudaMalloc(&memory, bytes), "GPU memory");
    if (code) {
        cudaGetLastError(); /* a failed allocation harms nothing that follows */
        return code;
    }
    code = book(d, memory, bytes, false);
    if (code)
        cudaFree(memory);
    else
        *out = memory;
    return code;
}

static int allocate_pinned(struct device *d, size_t bytes, void **out)
{
    void *memory = NULL;
    int code = use(d);
    code = code ? code : device_failed(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "pinned memory");
    if (code)
        return code;
    code = book(d, memory, bytes, true);
    if (code)
        cudaFreeHost(memory);
    else
        *out = memory;
    return code;
}

static void release(struct device *d, void *memory)
{
    hold();
    struct block **at = &d->blocks;
    while (*at && (*at)->memory != memory)
        at = &(*at)->next;
    struct block *const b = *at;
    if (b) {
        *at = b->next;
        if (!b->pinned)
            d->counters.bytes_used -= b->bytes;
    }
    let_go();
    if (b && use(d) == STATUS_OK)
        release_block(b);
}

/* ---- streams ---- */

static int stream_create(struct device *d, struct device_stream **out)
{
    struct device_stream *const s = (struct device_stream *)calloc(1, sizeof *s);
    int code = s ? use(d) : fail(STATUS_NOMEM, "GPU stream: out of memory");
    if (!code) {
        s->device = d;
        code = device_failed(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking), "GPU stream");
    }
    if (code)
        free(s);
    else
        *out = s;
    return code;
}

static void stream_destroy(struct device_stream **stream)
{
    if (*stream) {
        cudaStreamDestroy((*stream)->stream);
        free(*stream);
    }
    *stream = NULL;
}

static int stream_wait(struct device_stream *s)
{
    return device_failed(cudaStreamSynchronize(s->stream), "GPU");
}

static uint64_t stream_launches(const struct device_stream *s)
{
    return s->launches;
}

static int copy_in(struct device_stream *s, void *to, const void *from, size_t bytes)
{
    int code = use(s->device);
    code = code ? code
                : device_failed(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, s->stream), "copy to the GPU");
    if (!code)
        __atomic_add_fetch(&s->device->counters.bytes_in, bytes, __ATOMIC_RELAXED);
    return code;
}

static int copy_out(struct device_stream *s, void *to, const void *from, size_t bytes)
{
    int code = use(s->device);
    code =
        code ? code
             : device_failed(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, s->stream), "copy from the GPU");
    if (!code)
        __atomic_add_fetch(&s->device->counters.bytes_out, bytes, __ATOMIC_RELAXED);
    return code;
}

static int clear(struct device_stream *s, void *memory, size_t bytes)
{
    const int code = use(s->device);
    return code ? code : device_failed(cudaMemsetAsync(memory, 0, bytes, s->stream), "GPU memory");
}

/* ---- events ---- */

static int event_create(struct device *d, struct device_event **out)
{
    struct device_event *const e = (struct device_event *)calloc(1, sizeof *e);
    int code = e ? use(d) : fail(STATUS_NOMEM, "GPU event: out of memory");
    code = code ? code : device_failed(cudaEventCreateWithFlags(&e->event, cudaEventDefault), "GPU event");
    if (code)
        free(e);
    else
        *out = e;
    return code;
}

static void event_destroy(struct device_event **event)
{
    if (*event) {
        cudaEventDestroy((*event)->event);
        free(*event);
    }
    *event = NULL;
}

static int event_record(struct device_event *e, struct device_stream *s)
{
    return device_failed(cudaEventRecord(e->event, s->stream), "GPU event");
}

static int event_wait(struct device_event *e)
{
    return device_failed(cudaEventSynchronize(e->event), "GPU event");
}

static int stream_wait_event(struct device_stream *s, struct device_event *e)
{
    return device_failed(cudaStreamWaitEvent(s->stream, e->event, 0), "GPU event");
}

static int event_elapsed(struct device_event *from, struct device_event *to, double *seconds)
{
    float ms = 0;
    const int code = device_failed(cudaEventElapsedTime(&ms, from->event, to->event), "GPU event");
    if (!code)
        *seconds = 1e-3 * ms;
    return code;
}

/* ---- graphs ---- */

static int graph_begin(struct device_stream *s)
{
    int code = use(s->device);
    code =
        code ? code : device_failed(cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), "GPU graph");
    s->capturing = !code;
    return code;
}

static int graph_end(struct device_stream *s, struct device_graph **out)
{
    cudaGraph_t graph = NULL;
    struct device_graph *const g = (struct device_graph *)calloc(1, sizeof *g);
    int code = g ? STATUS_OK : fail(STATUS_NOMEM, "GPU graph: out of memory");
    s->capturing = false;
    const int ended = device_failed(cudaStreamEndCapture(s->stream, &graph), "GPU graph");
    code = code ? code : ended;
    code = code ? code : device_failed(cudaGraphInstantiate(&g->graph, graph, 0), "GPU graph");
    if (graph)
        cudaGraphDestroy(graph);
    if (code)
        free(g);
    else
        *out = g;
    return code;
}

static int graph_launch(struct device_graph *g, struct device_stream *s)
{
    const int code = device_failed(cudaGraphLaunch(g->graph, s->stream), "GPU graph");
    if (!code)
        __atomic_add_fetch(&s->device->counters.graph_launches, 1, __ATOMIC_RELAXED);
    return code;
}

static void graph_destroy(struct device_graph **graph)
{
    if (*graph) {
        cudaGraphExecDestroy((*graph)->graph);
        free(*graph);
    }
    *graph = NULL;
}

/* ---- what kernels need ---- */

cudaStream_t device_launch_stream(const struct exec *ex)
{
    struct device_stream *const s = device_host->stream(ex);
    use(s->device); /* a device that cannot be used fails the launch, and that is noticed */
    if (!s->capturing) {
        s->launches++;
        __atomic_add_fetch(&s->device->counters.launches, 1, __ATOMIC_RELAXED);
    }
    return s->stream;
}

int device_launched(const char *op)
{
    return device_failed(cudaGetLastError(), op);
}

int device_shared_allowed(const char *op, cudaError_t e)
{
    if (e == cudaErrorInvalidValue) {
        cudaGetLastError();
        return fail(STATUS_UNSUPPORTED, "%s: a block needs more shared memory than this GPU has", op);
    }
    return device_failed(e, op);
}

extern "C" const struct device_api device_api_cuda = {
    .count = count,
    .describe = describe,
    .open = open_device,
    .close = close_device,
    .counters = counters,
    .allocate = allocate,
    .release = release,
    .allocate_pinned = allocate_pinned,
    .release_pinned = release,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_wait = stream_wait,
    .stream_launches = stream_launches,
    .copy_in = copy_in,
    .copy_out = copy_out,
    .clear = clear,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .event_wait = event_wait,
    .stream_wait_event = stream_wait_event,
    .event_elapsed = event_elapsed,
    .graph_begin = graph_begin,
    .graph_end = graph_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
};
