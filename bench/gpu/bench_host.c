/* Between host and device: copies from pinned and from other memory, and what a launch costs. */
#include "bench.h"
#include "bench_device.h"

#include <stdlib.h>
#include <string.h>

enum { QUEUED = 500, GRAPH = 100 };

struct copy {
    struct bench_device *d;
    void *host, *device;
    size_t bytes;
    bool out;
};

static int copy_once(void *context)
{
    const struct copy *const c = context;
    struct device_stream *const stream = exec_stream(c->d->ex);
    return c->out ? c->d->api->copy_out(stream, c->host, c->device, c->bytes)
                  : c->d->api->copy_in(stream, c->device, c->host, c->bytes);
}

static void time_copy(const char *row, struct copy *c)
{
    double seconds[ROUNDS_MOST] = {0};
    int code = STATUS_OK;
    for (int r = -1; r < c->d->rounds && !code; r++) /* the first one warms up */
        code = bench_clock(c->d, copy_once, c, &seconds[r < 0 ? 0 : r]);
    if (code) {
        bench_not_run(row, status_message());
        return;
    }
    const double median = bench_median(seconds, c->d->rounds);
    printf("{\"row\":\"%s\",\"seconds\":%.9g,\"bytes\":%zu,\"bytes_per_s\":%.4g}\n", row, median, c->bytes,
           (double)c->bytes / median);
    fflush(stdout);
}

void bench_copies(struct bench_device *d)
{
    struct device *const device = exec_device(d->ex);
    struct copy c = {.d = d, .bytes = d->small ? 1 << 16 : (size_t)256 << 20};
    void *pinned = NULL;
    int code = d->api->allocate(device, c.bytes, &c.device);
    code = code ? code : d->api->allocate_pinned(device, c.bytes, &pinned);
    void *const pageable = malloc(c.bytes);
    if (code || !pageable) {
        const char *const why = code ? status_message() : "out of memory";
        bench_not_run("copy_pinned_in", why);
        bench_not_run("copy_pinned_out", why);
        bench_not_run("copy_pageable_in", why);
    } else {
        memset(pinned, 1, c.bytes);
        memset(pageable, 2, c.bytes);
        c.host = pinned;
        time_copy("copy_pinned_in", &c);
        c.out = true;
        time_copy("copy_pinned_out", &c);
        c.out = false;
        c.host = pageable;
        time_copy("copy_pageable_in", &c);
    }
    free(pageable);
    if (pinned)
        d->api->release_pinned(device, pinned);
    if (c.device)
        d->api->release(device, c.device);
}

/* ---- launches: rms of one frame, so that nearly all of the time is not the kernel's ---- */

struct launch {
    struct bench_device *d;
    struct gpu_case c;
    struct ragged x, y;
    struct device_graph *graph;
};

static int launch_and_wait(struct launch *l)
{
    const int code = gpu_run(l->d->ex, &l->c, &l->x, &l->y);
    return code ? code : l->d->api->stream_wait(exec_stream(l->d->ex));
}

static int launch_queued(struct launch *l)
{
    int code = STATUS_OK;
    for (int i = 0; i < QUEUED && !code; i++)
        code = gpu_run(l->d->ex, &l->c, &l->x, &l->y);
    return code ? code : l->d->api->stream_wait(exec_stream(l->d->ex));
}

static int launch_graph(struct launch *l)
{
    const int code = l->d->api->graph_launch(l->graph, exec_stream(l->d->ex));
    return code ? code : l->d->api->stream_wait(exec_stream(l->d->ex));
}

static int record(struct launch *l)
{
    struct device_stream *const stream = exec_stream(l->d->ex);
    const int code = l->d->api->graph_begin(stream);
    if (code)
        return code;
    int failed = STATUS_OK;
    for (int i = 0; i < GRAPH && !failed; i++)
        failed = gpu_run(l->d->ex, &l->c, &l->x, &l->y);
    const int ended = l->d->api->graph_end(stream, &l->graph);
    return failed ? failed : ended;
}

/* By the host's clock: the host's share is what is asked for. */
static void time_launch(const char *row, struct launch *l, int (*body)(struct launch *), int launches)
{
    double seconds[ROUNDS_MOST] = {0};
    int code = STATUS_OK;
    for (int r = -2; r < l->d->rounds && !code; r++) {
        const double began = bench_now();
        code = body(l);
        seconds[r < 0 ? 0 : r] = (bench_now() - began) / launches;
    }
    if (code) {
        bench_not_run(row, status_message());
        return;
    }
    printf("{\"row\":\"%s\",\"seconds\":%.9g,\"launches\":%d}\n", row, bench_median(seconds, l->d->rounds), launches);
    fflush(stdout);
}

void bench_launches(struct bench_device *d)
{
    static const char *const rows[] = {"launch_and_wait", "launch_queued", "launch_graph"};
    const int64_t xo[2] = {0, 64};
    int64_t yo[2];
    float samples[64];
    struct launch l = {.d = d, .c = {"launch", GPU_RMS, .p = {.stft = {.frame = {64, 64, false}}}}};
    const struct ragged x = {.data = samples, .channels = 1, .offset = xo, .rows = 1, .total = 64};
    const struct ragged y = gpu_result(&l.c, &x, yo);
    gpu_noise(3, DTYPE_F32, 64, samples);
    int code = batch_to_device(d->ex, &x, &l.x);
    code = code ? code : batch_to_device(d->ex, &y, &l.y);
    if (code) {
        for (int i = 0; i < 3; i++)
            bench_not_run(rows[i], status_message());
    } else {
        time_launch(rows[0], &l, launch_and_wait, 1);
        time_launch(rows[1], &l, launch_queued, QUEUED);
        if (record(&l))
            bench_not_run(rows[2], status_message());
        else
            time_launch(rows[2], &l, launch_graph, GRAPH);
    }
    d->api->graph_destroy(&l.graph);
    batch_release(d->ex, &l.y);
    batch_release(d->ex, &l.x);
}
