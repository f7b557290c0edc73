#include "fake_device.h"

#include <stdlib.h>
#include <string.h>

struct fake_device_state fake_device = {
    .count = 1, .info = {.name = "Fake", .major = 9, .multiprocessors = 1, .memory_bytes = 1 << 20, .supported = true}};

struct device {
    uint64_t limit, used, most;
};

struct device_stream {
    struct device *device;
};

struct device_event {
    bool recorded;
};

enum { HEAD = 256 }; /* before each block: its size; keeps the alignment */

static int step(void)
{
    const bool lost = fake_device.fail_code == STATUS_DEVICE && fake_device.fail_at;
    const long n = ++fake_device.calls;
    if (n == fake_device.fail_at || (lost && n > fake_device.fail_at))
        return fail((enum status)fake_device.fail_code, "fake device: call %ld fails on purpose", n);
    return STATUS_OK;
}

static int count(int *out)
{
    if (fake_device.count_code)
        return fail((enum status)fake_device.count_code, "fake device: no driver");
    *out = fake_device.count;
    return STATUS_OK;
}

static int describe(int index, struct device_info *out)
{
    if (index < 0 || index >= fake_device.count)
        return fail(STATUS_UNSUPPORTED, "fake device: there is no device %d", index);
    *out = fake_device.info;
    return STATUS_OK;
}

static int open_device(int index, uint64_t memory_limit, struct device **out)
{
    int code = index < fake_device.count ? step() : fail(STATUS_UNSUPPORTED, "fake device: no device %d", index);
    struct device *d = code ? NULL : calloc(1, sizeof *d);
    if (!code && !d)
        code = fail(STATUS_NOMEM, "fake device: out of memory");
    if (code)
        return code;
    fake_device.limit = memory_limit;
    d->limit = memory_limit ? memory_limit : fake_device.info.memory_bytes;
    fake_device.devices++;
    *out = d;
    return STATUS_OK;
}

static void close_device(struct device **d)
{
    free(*d);
    *d = NULL;
    fake_device.devices--;
}

static void counters(const struct device *d, struct device_counters *out)
{
    *out = (struct device_counters){.bytes_used = d->used, .bytes_most = d->most};
}

static int allocate(struct device *d, size_t bytes, void **out)
{
    int code = step();
    if (!code && (bytes > d->limit || d->used > d->limit - bytes))
        code = fail(STATUS_NOMEM, "fake device: %zu bytes wanted, %llu of %llu in use", bytes,
                    (unsigned long long)d->used, (unsigned long long)d->limit);
    char *block = code ? NULL : aligned_alloc(HEAD, (HEAD + bytes + HEAD - 1) / HEAD * HEAD);
    if (!code && !block)
        code = fail(STATUS_NOMEM, "fake device: out of memory");
    if (code)
        return code;
    memcpy(block, &bytes, sizeof bytes);
    d->used += bytes;
    d->most = d->used > d->most ? d->used : d->most;
    fake_device.blocks++;
    *out = block + HEAD;
    return STATUS_OK;
}

static void release(struct device *d, void *memory)
{
    size_t bytes;
    if (!memory)
        return;
    char *block = (char *)memory - HEAD;
    memcpy(&bytes, block, sizeof bytes);
    d->used -= bytes;
    fake_device.blocks--;
    free(block);
}

static int stream_create(struct device *d, struct device_stream **out)
{
    int code = step();
    struct device_stream *s = code ? NULL : malloc(sizeof *s);
    if (!code && !s)
        code = fail(STATUS_NOMEM, "fake device: out of memory");
    if (code)
        return code;
    s->device = d;
    fake_device.streams++;
    *out = s;
    return STATUS_OK;
}

static void stream_destroy(struct device_stream **s)
{
    free(*s);
    *s = NULL;
    fake_device.streams--;
}

static int stream_wait(struct device_stream *s)
{
    (void)s;
    fake_device.waits++;
    return step();
}

static int copy(struct device_stream *s, void *to, const void *from, size_t bytes)
{
    (void)s;
    const int code = step();
    if (!code) {
        memcpy(to, from, bytes);
        fake_device.copies++;
    }
    return code;
}

static int clear(struct device_stream *s, void *memory, size_t bytes)
{
    (void)s;
    const int code = step();
    if (!code)
        memset(memory, 0, bytes);
    return code;
}

static uint64_t stream_launches(const struct device_stream *s)
{
    (void)s;
    return 0;
}

static int event_create(struct device *d, struct device_event **out)
{
    (void)d;
    int code = step();
    struct device_event *e = code ? NULL : calloc(1, sizeof *e);
    if (!code && !e)
        code = fail(STATUS_NOMEM, "fake device: out of memory");
    if (code)
        return code;
    fake_device.events++;
    *out = e;
    return STATUS_OK;
}

static void event_destroy(struct device_event **e)
{
    free(*e);
    *e = NULL;
    fake_device.events--;
}

static int event_record(struct device_event *e, struct device_stream *s)
{
    (void)s;
    e->recorded = true;
    return step();
}

static int event_wait(struct device_event *e)
{
    return e->recorded ? step() : fail(STATUS_INTERNAL, "fake device: an event that was not recorded");
}

static int stream_wait_event(struct device_stream *s, struct device_event *e)
{
    (void)s;
    return event_wait(e);
}

static int event_elapsed(struct device_event *from, struct device_event *to, double *seconds)
{
    *seconds = 0;
    return from->recorded && to->recorded ? step()
                                          : fail(STATUS_INTERNAL, "fake device: an event that was not recorded");
}

const struct device_api fake_device_api = {.count = count,
                                           .describe = describe,
                                           .open = open_device,
                                           .close = close_device,
                                           .counters = counters,
                                           .allocate = allocate,
                                           .release = release,
                                           .allocate_pinned = allocate,
                                           .release_pinned = release,
                                           .stream_create = stream_create,
                                           .stream_destroy = stream_destroy,
                                           .stream_wait = stream_wait,
                                           .stream_launches = stream_launches,
                                           .copy_in = copy,
                                           .copy_out = copy,
                                           .clear = clear,
                                           .event_create = event_create,
                                           .event_destroy = event_destroy,
                                           .event_record = event_record,
                                           .event_wait = event_wait,
                                           .stream_wait_event = stream_wait_event,
                                           .event_elapsed = event_elapsed};
