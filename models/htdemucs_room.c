/* Memory of a run: where every map that lives at the same time has its place. */
#include "htdemucs_net.h"

#include "arena.h"
#include "device.h"

#include <stdlib.h>

static size_t maps_size(const struct htdemucs *net, int branch, int64_t level, int64_t channels)
{
    return branch == FREQUENCY ? maps_bytes(1, net->frames, net->bins[level], channels, true)
                               : maps_bytes(1, 1, net->samples[level], channels, true);
}

static int64_t tokens_of(const struct htdemucs *net, int branch)
{
    const int64_t last = net->c.depth;
    return branch == FREQUENCY ? net->frames * net->bins[last] : net->samples[last];
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Of one segment. The transformer's intermediates live in a (norm, q/k/v, attention) and b (the wide layer). */
static size_t work_bytes(const struct htdemucs *net)
{
    const struct htdemucs_config *const c = &net->c;
    const int64_t stems = (int64_t)c->stems * AUDIO_CHANNELS;
    size_t most = larger(maps_size(net, FREQUENCY, 0, 2 * stems), maps_size(net, TIME, 0, stems));
    for (int64_t i = 0; i < c->depth; i++)
        most = larger(most, larger(maps_size(net, FREQUENCY, i + 1, channels_of(c, i)),
                                   maps_size(net, TIME, i + 1, channels_of(c, i))));
    const int64_t tokens =
        tokens_of(net, FREQUENCY) > tokens_of(net, TIME) ? tokens_of(net, FREQUENCY) : tokens_of(net, TIME);
    most = larger(most, (size_t)(tokens * net->width * 8) * sizeof(float));
    most = larger(most, (size_t)(tokens * c->hidden) * sizeof(float));
    return larger(most, (size_t)(stems * inverse_frames(net) * (c->n_fft / 2 + 1) * 2) * sizeof(float));
}

/* `bytes` for each segment. */
static float *cut(struct htdemucs_room *room, size_t bytes)
{
    float *const at = room->block.data ? (float *)(void *)((char *)room->block.data + room->bytes) : NULL;
    room->bytes += arena_round(bytes * (size_t)room->segments);
    return at;
}

/* The CPU, where a run has ended when begin has, has one set of mixtures and stems. */
static void lay_out_flights(const struct htdemucs_config *c, bool on_device, struct htdemucs_room *room)
{
    for (int i = 0; i < HTDEMUCS_RUNS_MOST; i++) {
        struct flight *const f = &room->flight[i];
        const bool own = i == 0 || on_device;
        f->mix = own ? cut(room, (size_t)(AUDIO_CHANNELS * c->segment) * sizeof(float)) : room->flight[0].mix;
        f->stems =
            own ? cut(room, (size_t)(c->stems * AUDIO_CHANNELS * c->segment) * sizeof(float)) : room->flight[0].stems;
    }
}

static void lay_out(const struct htdemucs *net, int segments, bool on_device, struct htdemucs_room *room)
{
    const struct htdemucs_config *const c = &net->c;
    room->segments = segments;
    room->bytes = 0;
    for (int branch = FREQUENCY; branch < BRANCHES; branch++) {
        for (int64_t i = 0; i < c->depth; i++)
            room->skip[branch][i] = cut(room, maps_size(net, branch, i + 1, channels_of(c, i)));
        room->token[branch] = cut(room, (size_t)(tokens_of(net, branch) * net->width) * sizeof(float));
    }
    room->a = cut(room, work_bytes(net));
    room->b = cut(room, work_bytes(net));
    room->padded = cut(room, (size_t)(AUDIO_CHANNELS * padded_samples(net)) * sizeof(float));
    room->input = cut(room, maps_size(net, TIME, 0, AUDIO_CHANNELS));
    room->spectra = cut(room, (size_t)(AUDIO_CHANNELS * net->frames * (c->n_fft / 2 + 1) * 2) * sizeof(float));
    room->waves = cut(room, (size_t)(c->stems * AUDIO_CHANNELS * wave_samples(net)) * sizeof(float));
    lay_out_flights(c, on_device, room);
    for (int branch = FREQUENCY; branch < BRANCHES; branch++)
        room->moments[branch] = cut(room, 2 * sizeof(float));
    for (int t = 0; t < TABLES; t++)
        room->begins_there[t] = (int64_t *)(void *)cut(room, sizeof room->begins[t]);
}

void htdemucs_room_forget(struct htdemucs_room *room)
{
    for (int n = 0; n <= HTDEMUCS_SEGMENTS_MOST; n++) {
        for (int i = 0; i < HTDEMUCS_RUNS_MOST; i++)
            if (room->flight[i].graph[n])
                room->block.api->graph_destroy(&room->flight[i].graph[n]);
        room->ran[n] = false;
    }
}

/* Rows of one table are as long as each other. */
static int fill_tables(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room)
{
    const int64_t each[TABLES] = {padded_samples(net), net->frames, inverse_frames(net), wave_samples(net)};
    int code = STATUS_OK;
    for (int t = 0; t < TABLES && !code; t++) {
        for (int64_t row = 0; row <= ROWS_MOST; row++)
            room->begins[t][row] = row * each[t];
        if (room->block.device)
            code = exec_memory_put(ex, room->begins_there[t], room->begins[t], sizeof room->begins[t]);
        else
            room->begins_there[t] = NULL;
    }
    return code;
}

size_t htdemucs_room_bytes(const struct htdemucs_config *c, int segments)
{
    struct htdemucs net = {.c = *c};
    struct htdemucs_room room = {0};
    if (htdemucs_shape("", &net))
        return 0;
    lay_out(&net, segments, true, &room);
    return room.bytes;
}

static int check_segments(int segments)
{
    if (segments >= 1 && segments <= HTDEMUCS_SEGMENTS_MOST)
        return STATUS_OK;
    return fail(STATUS_ARGUMENT, "htdemucs: %d segments at once, allowed 1 to %d", segments, HTDEMUCS_SEGMENTS_MOST);
}

/* The room's block becomes one for this network. */
static int settle_in(const struct htdemucs *net, struct exec *ex, int segments, struct htdemucs_room *room)
{
    lay_out(net, segments, room->block.device != NULL, room);
    room->net = 0;
    int code = fill_tables(net, ex, room);
    if (room->block.device)
        code = code ? code : htdemucs_flights_open(net, room);
    if (!code)
        room->net = net->id;
    return code;
}

int htdemucs_room_create(const struct htdemucs *net, struct exec *ex, int segments, struct htdemucs_room **out)
{
    int code = check_segments(segments);
    struct htdemucs_room *room = code ? NULL : calloc(1, sizeof *room);
    if (!room)
        return code ? code : fail(STATUS_NOMEM, "htdemucs: out of memory");
    lay_out(net, segments, exec_device(ex) != NULL, room);
    code = exec_memory_allocate(ex, room->bytes, &room->block);
    if (code) {
        code = status_context(code, "htdemucs: %d segments", segments);
        free(room);
        return code;
    }
    room->held = room->bytes;
    code = settle_in(net, ex, segments, room);
    if (code)
        htdemucs_room_destroy(&room);
    else
        *out = room;
    return code;
}

bool htdemucs_room_suits(const struct htdemucs_room *room, const struct htdemucs *net, int segments)
{
    return room->net == net->id && segments <= room->segments;
}

int htdemucs_room_use(const struct htdemucs *net, struct exec *ex, int segments, struct htdemucs_room *room)
{
    struct htdemucs_room wanted = {0};
    const int code = check_segments(segments);
    if (code || htdemucs_room_suits(room, net, segments))
        return code;
    lay_out(net, segments, room->block.device != NULL, &wanted);
    if (wanted.bytes > room->held)
        return fail(STATUS_NOMEM, "htdemucs: a room for less than %d segments of this network", segments);
    for (int i = 0; i < HTDEMUCS_RUNS_MOST; i++)
        if (atomic_load(&room->flight[i].count))
            return fail(STATUS_BUSY, "htdemucs: a run of another network is not finished");
    htdemucs_room_forget(room);
    return settle_in(net, ex, segments, room);
}

void htdemucs_room_destroy(struct htdemucs_room **room)
{
    if (*room) {
        htdemucs_flights_close(*room);
        htdemucs_room_forget(*room);
        exec_memory_release(&(*room)->block);
    }
    free(*room);
    *room = NULL;
}
