/* The CUDA runtime's host side: device memory between red zones, streams as queues, events, graphs, errors. */
#include "cuda_runtime.h"

#include "block.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { ZONE = 256, CANARY = 0xa5, POISON = 0xff };

/* ---- settings ---- */

static std::uint64_t bytes_of(const char *text)
{
    char *end;
    const std::uint64_t n = std::strtoull(text, &end, 10);
    return *end == 'G' ? n << 30 : *end == 'M' ? n << 20 : *end == 'K' ? n << 10 : n;
}

static void configure(emulator_settings *s, const std::string &name, const char *value)
{
    if (name == "order")
        s->order = std::strcmp(value, "forward") == 0   ? EMULATOR_FORWARD
                   : std::strcmp(value, "reverse") == 0 ? EMULATOR_REVERSE
                                                        : EMULATOR_RANDOM;
    else if (name == "seed")
        s->seed = std::strtoull(value, nullptr, 10);
    else if (name == "memory")
        s->memory_bytes = bytes_of(value);
    else if (name == "piece")
        s->piece_bytes = bytes_of(value);
    else if (name == "lose")
        s->lose_after = std::strtoull(value, nullptr, 10);
    else if (name == "devices")
        s->devices = std::atoi(value);
    else if (name == "driver")
        s->driver_version = std::atoi(value);
    else if (name == "capability")
        s->capability = std::atoi(value);
    else {
        std::fprintf(stderr, "emulator: no setting '%s'\n", name.c_str());
        std::abort();
    }
}

static struct emulator_settings from_environment()
{
    emulator_settings s = {EMULATOR_RANDOM, 1, 1ULL << 30, 0, 0, 1, 13000, 90};
    const char *const text = std::getenv("WAVEMILL_EMULATOR");
    std::string rest = text ? text : "";
    while (!rest.empty()) {
        const std::size_t comma = rest.find(','), equals = rest.find('=');
        const std::string item = rest.substr(0, comma);
        if (equals == std::string::npos || equals > item.size())
            configure(&s, item, "");
        else
            configure(&s, item.substr(0, equals), item.substr(equals + 1).c_str());
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
    }
    return s;
}

emulator_settings *emulator_current(void)
{
    static struct emulator_settings settings = from_environment();
    return &settings;
}

/* ---- memory ---- */

struct allocation {
    std::size_t bytes;
    const char *file;
    int line;
};

static std::recursive_mutex lock; /* one call at a time; kernels run inside */
static std::map<unsigned char *, allocation> memory;
static std::uint64_t memory_used, launches;
static cudaError_t last_error;
static bool lost;

static cudaError_t failed(cudaError_t e)
{
    if (e != cudaSuccess)
        last_error = e;
    return e;
}

static void check_zones(unsigned char *data, const allocation &a)
{
    const site s = {a.file, a.line, "device memory"};
    ASAN_UNPOISON_MEMORY_REGION(data - ZONE, ZONE);
    ASAN_UNPOISON_MEMORY_REGION(data + a.bytes, ZONE);
    for (int i = 0; i < ZONE; i++) {
        if (data[a.bytes + i] != CANARY)
            emulator_report(&s, "written %d bytes past the end of device memory of %zu bytes", i, a.bytes);
        if (data[-1 - i] != CANARY)
            emulator_report(&s, "written %d bytes before device memory of %zu bytes", i + 1, a.bytes);
    }
    ASAN_POISON_MEMORY_REGION(data - ZONE, ZONE);
    ASAN_POISON_MEMORY_REGION(data + a.bytes, ZONE);
}

cudaError_t emulator_allocate(void **out, std::size_t bytes, const char *file, int line)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (lost)
        return failed(cudaErrorLaunchFailure);
    const std::uint64_t piece = emulator_current()->piece_bytes;
    if (memory_used + bytes > emulator_current()->memory_bytes || (piece && bytes > piece))
        return failed(cudaErrorMemoryAllocation);
    unsigned char *const block = (unsigned char *)std::aligned_alloc(ZONE, (bytes + 3 * ZONE - 1) / ZONE * ZONE);
    if (!block)
        return failed(cudaErrorMemoryAllocation);
    unsigned char *const data = block + ZONE;
    std::memset(block, CANARY, (bytes + 3 * ZONE - 1) / ZONE * ZONE);
    std::memset(data, POISON, bytes); /* as floats: NaN */
    ASAN_POISON_MEMORY_REGION(block, ZONE);
    ASAN_POISON_MEMORY_REGION(data + bytes, ZONE);
    memory[data] = allocation{bytes, file, line};
    memory_used += bytes;
    access_allocated(data, bytes, file, line);
    *out = data;
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **out, std::size_t bytes, unsigned)
{
    *out = std::aligned_alloc(ZONE, (bytes + ZONE - 1) / ZONE * ZONE);
    return *out ? cudaSuccess : failed(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *data)
{
    std::free(data);
    return cudaSuccess;
}

/* ---- streams and events ---- */

using work = std::function<void()>;

struct emulator_event {
    std::uint64_t recorded = 0, reached = 0; /* how often */
    emulator_stream *stream = nullptr;
    std::chrono::steady_clock::time_point when;
};

struct emulator_graph {
    std::shared_ptr<std::vector<work>> steps;
};

struct emulator_stream {
    std::vector<work> queue;
    bool capturing = false, running = false;
};

static std::vector<cudaStream_t> streams;

static void put(cudaStream_t stream, work w)
{
    stream->queue.push_back(std::move(w));
}

void emulator_enqueue(cudaStream_t stream, work w)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    put(stream, std::move(w));
}

static void drain(cudaStream_t stream)
{
    if (stream->running || stream->capturing)
        return;
    stream->running = true;
    for (std::size_t i = 0; i < stream->queue.size(); i++) {
        const work w = std::move(stream->queue[i]);
        w();
    }
    stream->queue.clear();
    stream->running = false;
}

cudaError_t cudaFree(void *data)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (!data)
        return cudaSuccess;
    for (std::size_t i = 0; i < streams.size(); i++)
        drain(streams[i]); /* as the real one, which waits for all work */
    const auto at = memory.find((unsigned char *)data);
    if (at == memory.end())
        return failed(cudaErrorInvalidValue);
    check_zones(at->first, at->second);
    memory_used -= at->second.bytes;
    access_freed(data);
    ASAN_UNPOISON_MEMORY_REGION(at->first - ZONE, ZONE);
    ASAN_UNPOISON_MEMORY_REGION(at->first + at->second.bytes, ZONE);
    std::free(at->first - ZONE);
    memory.erase(at);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    *out = new emulator_stream;
    streams.push_back(*out);
    return lost ? failed(cudaErrorLaunchFailure) : cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    drain(stream);
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (stream->capturing)
        return failed(cudaErrorStreamCaptureInvalidated);
    drain(stream);
    return lost ? failed(cudaErrorLaunchFailure) : cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, std::size_t bytes, cudaMemcpyKind, cudaStream_t stream)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (lost)
        return failed(cudaErrorLaunchFailure);
    put(stream, [=] { std::memcpy(to, from, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, std::size_t bytes, cudaStream_t stream)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (lost)
        return failed(cudaErrorLaunchFailure);
    put(stream, [=] { std::memset(to, value, bytes); });
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned)
{
    *out = new emulator_event;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    event->recorded++;
    event->stream = stream;
    put(stream, [=] {
        event->reached++;
        event->when = std::chrono::steady_clock::now();
    });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (event->reached < event->recorded)
        drain(event->stream);
    return lost ? failed(cudaErrorLaunchFailure) : cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    const std::uint64_t wanted = event->recorded;
    put(stream, [=] {
        if (event->reached < wanted)
            drain(event->stream);
    });
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    if (from->reached < from->recorded || to->reached < to->recorded)
        return failed(cudaErrorNotReady);
    *ms = std::chrono::duration<float, std::milli>(to->when - from->when).count();
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    drain(stream);
    stream->capturing = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (!stream->capturing)
        return failed(cudaErrorStreamCaptureInvalidated);
    stream->capturing = false;
    *out = new emulator_graph{std::make_shared<std::vector<work>>(std::move(stream->queue))};
    stream->queue.clear();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long)
{
    *out = new emulator_graph{graph->steps};
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (lost)
        return failed(cudaErrorLaunchFailure);
    const std::shared_ptr<std::vector<work>> steps = graph->steps;
    put(stream, [=] {
        for (const work &w : *steps)
            w();
    });
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    delete graph;
    return cudaSuccess;
}

/* ---- launches ---- */

static std::map<const void *, std::size_t> shared_allowed;
static const std::size_t SHARED_PLAIN = 48 << 10, SHARED_MOST = 227 << 10;

cudaError_t emulator_set_shared(const void *kernel, std::size_t bytes)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    if (bytes > SHARED_MOST)
        return failed(cudaErrorInvalidValue);
    shared_allowed[kernel] = bytes;
    return cudaSuccess;
}

static void run_grid(const char *name, dim3 grid, dim3 block, std::size_t shared_bytes, const work &thread)
{
    const std::uint64_t lose = emulator_current()->lose_after;
    lost = lost || (lose && ++launches > lose);
    if (lost)
        return;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++)
                block_execute(name, grid, block, uint3{x, y, z}, shared_bytes, thread);
    for (auto &a : memory)
        check_zones(a.first, a.second);
}

void emulator_launch(const char *name, const void *kernel, dim3 grid, dim3 block, std::size_t shared_bytes,
                     cudaStream_t stream, work thread)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    const std::uint64_t threads = (std::uint64_t)block.x * block.y * block.z;
    const auto allowed = shared_allowed.find(kernel);
    if (lost)
        failed(cudaErrorLaunchFailure);
    else if (threads == 0 || threads > THREADS_MOST || block.z > 64 || grid.x == 0 || grid.x > 0x7fffffffu ||
             grid.y == 0 || grid.y > 65535 || grid.z == 0 || grid.z > 65535)
        failed(cudaErrorInvalidConfiguration);
    else if (shared_bytes > (allowed == shared_allowed.end() ? SHARED_PLAIN : allowed->second))
        failed(cudaErrorInvalidValue);
    else
        put(stream, [=] { run_grid(name, grid, block, shared_bytes, thread); });
}

/* ---- the rest ---- */

cudaError_t cudaGetLastError(void)
{
    const std::lock_guard<std::recursive_mutex> hold(lock);
    const cudaError_t e = last_error;
    last_error = lost ? last_error : cudaSuccess;
    return e;
}

const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess:
        return "no error";
    case cudaErrorInvalidValue:
        return "invalid argument";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorInvalidConfiguration:
        return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
        return "invalid device ordinal";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    case cudaErrorNotReady:
        return "device not ready";
    default:
        return "error";
    }
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = emulator_current()->driver_version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    const struct emulator_settings *const s = emulator_current();
    if (s->driver_version < 12000) /* 0: none */
        return failed(cudaErrorInsufficientDriver);
    *count = s->devices;
    return s->devices ? cudaSuccess : failed(cudaErrorNoDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    const struct emulator_settings *const s = emulator_current();
    if (device < 0 || device >= s->devices)
        return failed(cudaErrorInvalidDevice);
    *p = cudaDeviceProp{"emulator", s->capability / 10, s->capability % 10, 2, s->memory_bytes, SHARED_MOST};
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return device >= 0 && device < emulator_current()->devices ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr, int)
{
    *value = emulator_current()->capability / 10;
    return cudaSuccess;
}
