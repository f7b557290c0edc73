/* device - what a GPU does for the host: memory, copies in order, events, graphs. The half that knows CUDA is a module
 * loaded at run time (module.h); this header is all that the rest of the program sees of it.
 *
 *   ownership    open/close, allocate/release, create/destroy are pairs; closing a device frees what it still holds
 *   order        work in one stream runs in the order of the calls; streams run beside each other. Host memory of a
 *                copy must stay until the stream has been waited for, and should be pinned: other memory is copied in
 *                step
 *   errors       STATUS_NOMEM: memory or the limit is exhausted, the device is well; STATUS_UNSUPPORTED: no driver,
 *                too old a driver, no such device or one that has no code here; STATUS_DEVICE: the device is lost,
 *                every later call fails alike and the process must end; STATUS_INTERNAL: our own mistake
 *   threads      a device may be used by several threads, each with streams of its own */
#ifndef DEVICE_H
#define DEVICE_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct device;
struct device_stream;
struct device_event;
struct device_graph;
struct exec;
struct arena;
struct plan_kind;

struct device_info {
    char name[128];
    int32_t major, minor; /* compute capability */
    int32_t multiprocessors;
    int32_t driver_version, runtime_version; /* 1000 * major + 10 * minor, as CUDA counts */
    uint64_t memory_bytes, shared_bytes;     /* in all; most that one block may have */
    double copy_gbps;                        /* datasheet rate of its memory; 0: unknown */
    bool supported;                          /* the module has code for it */
};

/* What a device has done since it was opened. */
struct device_counters {
    uint64_t launches, graph_launches;
    uint64_t bytes_in, bytes_out; /* copied to the device, and back */
    uint64_t bytes_used, bytes_most;
};

struct device_api {
    /* Devices that the driver shows; STATUS_UNSUPPORTED says why there is none to ask. */
    int (*count)(int *out);
    int (*describe)(int index, struct device_info *out);

    /* memory_limit: most bytes that allocate may give in all; 0: what the device has. */
    int (*open)(int index, uint64_t memory_limit, struct device **out);
    void (*close)(struct device **device);
    void (*counters)(const struct device *device, struct device_counters *out);

    /* Aligned to 256 bytes. bytes >= 1. */
    int (*allocate)(struct device *device, size_t bytes, void **out);
    void (*release)(struct device *device, void *memory);
    int (*allocate_pinned)(struct device *device, size_t bytes, void **out); /* host memory */
    void (*release_pinned)(struct device *device, void *memory);

    int (*stream_create)(struct device *device, struct device_stream **out);
    void (*stream_destroy)(struct device_stream **stream);
    int (*stream_wait)(struct device_stream *stream);                /* the host waits; also tells of failed launches */
    uint64_t (*stream_launches)(const struct device_stream *stream); /* kernels so far */
    int (*copy_in)(struct device_stream *stream, void *to_device, const void *from_host, size_t bytes);
    int (*copy_out)(struct device_stream *stream, void *to_host, const void *from_device, size_t bytes);
    int (*clear)(struct device_stream *stream, void *memory, size_t bytes); /* to zeros */

    int (*event_create)(struct device *device, struct device_event **out);
    void (*event_destroy)(struct device_event **event);
    int (*event_record)(struct device_event *event, struct device_stream *stream);
    int (*event_wait)(struct device_event *event);                                             /* the host waits */
    int (*stream_wait_event)(struct device_stream *stream, struct device_event *event);        /* the stream waits */
    int (*event_elapsed)(struct device_event *from, struct device_event *to, double *seconds); /* both waited for */

    /* Between begin and end, work in the stream is kept instead of run; graph_launch runs it all. */
    int (*graph_begin)(struct device_stream *stream);
    int (*graph_end)(struct device_stream *stream, struct device_graph **out);
    int (*graph_launch)(struct device_graph *graph, struct device_stream *stream);
    void (*graph_destroy)(struct device_graph **graph);
};

/* What the module asks of its host. */
struct host_api {
    int (*fail)(enum status code, const char *file, int line, const char *format, ...); /* status_fail_on_device */
    void (*log)(int level, const char *format, ...);                                    /* log_write */
    struct device_stream *(*stream)(const struct exec *ex); /* where the operations of ex run */
    struct arena *(*arena)(struct exec *ex);                /* device memory for their scratch */
    int (*plan)(struct exec *ex, const struct plan_kind *kind, const void *params, const void **out); /* exec_plan */
};

#ifdef __cplusplus
}
#endif
#endif
