/* Runs in flight. Three streams of a device work beside each other: mixtures in, the network, stems out. What one
 * has to wait for in another is an event; the room's activations are the next run's as soon as the last one's
 * operations have ended, since both are in the exec's own stream. */
#include "htdemucs_net.h"

#include "arena.h"
#include "device.h"
#include "exec.h"

#include <string.h>

static size_t mix_bytes(const struct htdemucs *net)
{
    return (size_t)(net->c.segment * AUDIO_CHANNELS) * sizeof(float);
}

static size_t stems_bytes(const struct htdemucs *net)
{
    return mix_bytes(net) * (size_t)net->c.stems;
}

/* ---- memory ---- */

static int open_streams(const struct exec_memory *m, struct htdemucs_room *room)
{
    int code = room->in ? STATUS_OK : m->api->stream_create(m->device, &room->in);
    if (!code && !room->out)
        code = m->api->stream_create(m->device, &room->out);
    for (int i = 0; i < HTDEMUCS_RUNS_MOST; i++) {
        struct flight *const f = &room->flight[i];
        struct device_event **const events[] = {&f->here, &f->computed, &f->out};
        for (size_t k = 0; k < sizeof events / sizeof *events && !code; k++)
            if (!*events[k])
                code = m->api->event_create(m->device, events[k]);
    }
    return code;
}

int htdemucs_flights_open(const struct htdemucs *net, struct htdemucs_room *room)
{
    const struct exec_memory *const m = &room->block;
    const size_t mix = arena_round(mix_bytes(net) * (size_t)room->segments);
    const size_t stems = arena_round(stems_bytes(net) * (size_t)room->segments);
    const size_t bytes = HTDEMUCS_RUNS_MOST * (mix + stems);
    int code = open_streams(m, room);
    if (!code && room->pinned_bytes < bytes) {
        if (room->pinned)
            m->api->release_pinned(m->device, room->pinned);
        room->pinned = NULL;
        room->pinned_bytes = 0;
        code = m->api->allocate_pinned(m->device, bytes, &room->pinned);
        room->pinned_bytes = code ? 0 : bytes;
    }
    for (int i = 0; i < HTDEMUCS_RUNS_MOST && !code; i++) {
        char *const at = (char *)room->pinned + (size_t)i * (mix + stems);
        room->flight[i].mix_host = (float *)(void *)at;
        room->flight[i].stems_host = (float *)(void *)(at + mix);
    }
    return code;
}

void htdemucs_flights_close(struct htdemucs_room *room)
{
    const struct device_api *const api = room->block.api;
    for (int i = 0; i < HTDEMUCS_RUNS_MOST; i++) {
        struct flight *const f = &room->flight[i];
        const int ignored = atomic_load(&f->count) && room->block.device ? api->event_wait(f->out) : STATUS_OK;
        (void)ignored;
        struct device_event **const events[] = {&f->here, &f->computed, &f->out};
        for (size_t k = 0; k < sizeof events / sizeof *events; k++)
            if (*events[k])
                api->event_destroy(events[k]);
    }
    if (room->in)
        api->stream_destroy(&room->in);
    if (room->out)
        api->stream_destroy(&room->out);
    if (room->pinned)
        api->release_pinned(room->block.device, room->pinned);
    room->pinned = NULL;
}

/* ---- the graph ---- */

static int record(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int count,
                  struct device_graph **out)
{
    const struct device_api *const api = exec_device_api(ex);
    int code = api->graph_begin(exec_stream(ex));
    if (code)
        return code;
    code = htdemucs_forward(net, ex, room, count);
    const int ended = api->graph_end(exec_stream(ex), out);
    if (code && !ended)
        api->graph_destroy(out);
    return code ? code : ended;
}

/* So that a run is one launch in place of hundreds, from the second on. */
static int record_once(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, struct flight *f,
                       int count)
{
    if (!room->ran[count] || f->graph[count] || room->plain)
        return STATUS_OK;
    const int code = record(net, ex, room, count, &f->graph[count]);
    room->plain = code != STATUS_OK; /* it could not be recorded: as before, then */
    return code == STATUS_DEVICE ? code : STATUS_OK;
}

/* ---- a run ---- */

static int copy_in(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, struct flight *f,
                   const struct htdemucs_segment *segments, int count)
{
    const struct device_api *const api = exec_device_api(ex);
    const size_t bytes = mix_bytes(net);
    for (int n = 0; n < count; n++)
        memcpy((char *)f->mix_host + (size_t)n * bytes, segments[n].mix, bytes);
    int code = api->copy_in(room->in, f->mix, f->mix_host, (size_t)count * bytes);
    code = code ? code : api->event_record(f->here, room->in);
    return code ? code : api->stream_wait_event(exec_stream(ex), f->here);
}

static int copy_out(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, struct flight *f,
                    int count)
{
    const struct device_api *const api = exec_device_api(ex);
    int code = api->event_record(f->computed, exec_stream(ex));
    code = code ? code : api->stream_wait_event(room->out, f->computed);
    code = code ? code : api->copy_out(room->out, f->stems_host, f->stems, (size_t)count * stems_bytes(net));
    return code ? code : api->event_record(f->out, room->out);
}

static int begin_on_device(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, struct flight *f,
                           const struct htdemucs_segment *segments, int count)
{
    const struct device_api *const api = exec_device_api(ex);
    int code = record_once(net, ex, room, f, count);
    code = code ? code : copy_in(net, ex, room, f, segments, count);
    if (!code)
        code = f->graph[count] ? api->graph_launch(f->graph[count], exec_stream(ex))
                               : htdemucs_forward(net, ex, room, count);
    room->ran[count] = room->ran[count] || !code;
    code = code ? code : copy_out(net, ex, room, f, count);
    if (code) { /* what is queued still reads the mixtures */
        const int ignored = api->stream_wait(room->in) || api->stream_wait(exec_stream(ex));
        (void)ignored;
    }
    return code;
}

static int begin_here(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, struct flight *f,
                      const struct htdemucs_segment *segments, int count)
{
    for (int n = 0; n < count; n++)
        memcpy((char *)f->mix + (size_t)n * mix_bytes(net), segments[n].mix, mix_bytes(net));
    const int code = htdemucs_forward(net, ex, room, count);
    for (int n = 0; n < count && !code; n++)
        memcpy(segments[n].stems, (char *)f->stems + (size_t)n * stems_bytes(net), stems_bytes(net));
    return code;
}

int htdemucs_begin(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                   const struct htdemucs_segment *segments, int count)
{
    if (count < 1 || !htdemucs_room_suits(room, net, count))
        return fail(STATUS_ARGUMENT, "htdemucs: %d segments in a room for %d", count, room->segments);
    if (which < 0 || which >= HTDEMUCS_RUNS_MOST || atomic_load(&room->flight[which].count))
        return fail(STATUS_ARGUMENT, "htdemucs: run %d of a room cannot begin", which);
    struct flight *const f = &room->flight[which];
    room->mix = f->mix;
    room->stems = f->stems;
    const int code = room->block.device ? begin_on_device(net, ex, room, f, segments, count)
                                        : begin_here(net, ex, room, f, segments, count);
    if (code)
        return code;
    f->stems_bytes = stems_bytes(net);
    for (int n = 0; n < count; n++)
        f->to[n] = segments[n].stems;
    atomic_store(&f->count, count);
    return STATUS_OK;
}

int htdemucs_finish(struct htdemucs_room *room, int which)
{
    if (which < 0 || which >= HTDEMUCS_RUNS_MOST || !atomic_load(&room->flight[which].count))
        return fail(STATUS_ARGUMENT, "htdemucs: run %d of a room was not begun", which);
    struct flight *const f = &room->flight[which];
    const int code = room->block.device ? room->block.api->event_wait(f->out) : STATUS_OK;
    for (int n = 0; n < atomic_load(&f->count) && room->block.device && !code; n++)
        memcpy(f->to[n], (char *)f->stems_host + (size_t)n * f->stems_bytes, f->stems_bytes);
    atomic_store(&f->count, 0);
    return code;
}

int htdemucs_run(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room,
                 const struct htdemucs_segment *segments, int count)
{
    const int code = htdemucs_begin(net, ex, room, 0, segments, count);
    return code ? code : htdemucs_finish(room, 0);
}
