#include "batch.h"

#include "device.h"

#include <stdio.h>
#include <string.h>

enum { ALIGN = 256, TABLES = 3, LEAST_BYTES = 1 << 20 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

int batch_open(struct batch *b, struct exec *ex)
{
    int code = STATUS_OK;
    *b = (struct batch){.ex = ex, .api = exec_device_api(ex)};
    for (int i = 0; i < 4 && !code; i++)
        code = b->api->event_create(exec_device(ex), &b->event[i]);
    if (code)
        batch_close(b);
    return code;
}

size_t batch_shrink(struct batch *b)
{
    const size_t held = b->bytes;
    if (b->memory)
        b->api->release(exec_device(b->ex), b->memory);
    if (b->pinned)
        b->api->release_pinned(exec_device(b->ex), b->pinned);
    b->memory = b->pinned = NULL;
    b->bytes = 0;
    return held;
}

void batch_close(struct batch *b)
{
    if (!b->ex)
        return;
    batch_shrink(b);
    for (int i = 0; i < 4; i++)
        if (b->event[i])
            b->api->event_destroy(&b->event[i]);
    exec_destroy(&b->ex);
}

size_t batch_row_bytes(const struct work *w)
{
    size_t bytes = 2 * sizeof(int64_t) + sizeof(struct piece) + w->scratch_bytes;
    for (int k = 0; k < w->ins; k++)
        bytes += w->in[k].bytes;
    for (int k = 0; k < w->outs; k++)
        bytes += w->out[k].bytes;
    return bytes;
}

static int reserve(struct batch *b, size_t bytes)
{
    b->bytes = bytes;
    int code = b->api->allocate(exec_device(b->ex), bytes, (void **)&b->memory);
    code = code ? code : b->api->allocate_pinned(exec_device(b->ex), bytes, (void **)&b->pinned);
    if (code)
        batch_shrink(b);
    return code;
}

/* Some more than asked for, so that it is not asked for again soon; only that much where more is not there. */
static int grow(struct batch *b, size_t bytes)
{
    size_t more = LEAST_BYTES;
    if (bytes <= b->bytes)
        return STATUS_OK;
    while (more < bytes)
        more *= 2;
    batch_shrink(b);
    const int code = reserve(b, more);
    return code == STATUS_NOMEM ? reserve(b, bytes) : code;
}

/* Gives every part its place; returns the bytes of all. */
static size_t lay_out(struct batch *b, size_t table_at[TABLES])
{
    const struct work *const first = b->works;
    const size_t rows = (size_t)b->rows;
    size_t at = 0, scratch = 0;
    for (int k = 0; k < first->ins; k++) {
        b->in_at[k] = at;
        for (const struct work *w = first; w; w = w->next)
            at += w->in[k].bytes;
        at = aligned(at);
    }
    const size_t bytes[TABLES] = {(rows + 1) * sizeof(int64_t), (rows + 1) * sizeof(int64_t),
                                  rows * sizeof(struct piece)};
    for (int i = 0; i < TABLES; i++) {
        table_at[i] = at;
        at = aligned(at + bytes[i]);
    }
    b->in_bytes = b->out_begin = at;
    for (int k = 0; k < first->outs; k++) {
        b->out_at[k] = at;
        for (const struct work *w = first; w; w = w->next)
            at += w->out[k].bytes;
        at = aligned(at);
    }
    b->out_end = b->scratch_at = at;
    for (const struct work *w = first; w; w = w->next)
        scratch += w->scratch_bytes;
    return at + scratch;
}

static void pack(struct batch *b)
{
    int64_t row = 0;
    b->x_offset[0] = b->y_offset[0] = 0;
    for (const struct work *w = b->works; w; w = w->next, row++) {
        b->x_offset[row + 1] = b->x_offset[row] + w->x_length;
        b->y_offset[row + 1] = b->y_offset[row] + w->y_length;
        b->piece[row] = w->piece;
    }
    for (int k = 0; k < BATCH_INS; k++) { /* those that are not there have no bytes */
        unsigned char *to = b->pinned + b->in_at[k];
        for (const struct work *w = b->works; w; w = w->next) {
            if (w->in[k].bytes)
                memcpy(to, w->in[k].host, w->in[k].bytes);
            to += w->in[k].bytes;
        }
    }
}

static int enqueue(struct batch *b)
{
    struct device_stream *const s = exec_stream(b->ex);
    int code = b->api->event_record(b->event[0], s);
    code = code ? code : b->api->copy_in(s, b->memory, b->pinned, b->in_bytes);
    code = code ? code : b->api->event_record(b->event[1], s);
    const uint64_t before = b->api->stream_launches(s);
    code = code ? code : b->works->kind->compute(b);
    b->launches = b->api->stream_launches(s) - before;
    code = code ? code : b->api->event_record(b->event[2], s);
    const size_t out = b->out_end - b->out_begin;
    code = code || !out ? code : b->api->copy_out(s, b->pinned + b->out_begin, b->memory + b->out_begin, out);
    return code ? code : b->api->event_record(b->event[3], s);
}

int batch_begin(struct batch *b, struct work *works)
{
    size_t table_at[TABLES];
    if (!works)
        return fail(STATUS_INTERNAL, "batch: of nothing");
    b->works = works;
    b->rows = 0;
    for (const struct work *w = works; w; w = w->next)
        b->rows++;
    int code = grow(b, lay_out(b, table_at));
    if (code)
        return code;
    b->x_offset = (int64_t *)(b->pinned + table_at[0]);
    b->y_offset = (int64_t *)(b->pinned + table_at[1]);
    b->piece = (struct piece *)(b->pinned + table_at[2]);
    pack(b);
    code = enqueue(b);
    if (!code || status_class(code) == FAILURE_DEVICE)
        return code;
    char message[BATCH_MESSAGE];
    snprintf(message, sizeof message, "%s", status_message());
    const int waited = b->api->stream_wait(exec_stream(b->ex)); /* what was begun reads our buffers */
    if (code == STATUS_NOMEM)
        batch_shrink(b);
    return waited ? waited : fail(code, "%s", message);
}

/* Tells every row its part of the time and of the launches. */
static void share_out(const struct batch *b, const double seconds[3])
{
    const uint64_t rows = (uint64_t)b->rows, each = b->launches / rows;
    uint64_t row = 0;
    double all = 0;
    for (const struct work *w = b->works; w; w = w->next)
        all += (double)batch_row_bytes(w);
    for (struct work *w = b->works; w; w = w->next, row++) {
        const double part = (double)batch_row_bytes(w) / all;
        w->copy_in_s = part * seconds[0];
        w->compute_s = part * seconds[1];
        w->copy_out_s = part * seconds[2];
        w->launches = each + (row < b->launches % rows);
    }
}

int batch_end(struct batch *b)
{
    double seconds[3];
    int code = b->api->stream_wait(exec_stream(b->ex));
    for (int i = 0; i < 3 && !code; i++)
        code = b->api->event_elapsed(b->event[i], b->event[i + 1], &seconds[i]);
    if (code)
        return code;
    for (int k = 0; k < b->works->outs; k++) {
        const unsigned char *from = b->pinned + b->out_at[k];
        for (const struct work *w = b->works; w; w = w->next) {
            memcpy(w->out[k].host, from, w->out[k].bytes);
            from += w->out[k].bytes;
        }
    }
    share_out(b, seconds);
    return STATUS_OK;
}

void *batch_in(const struct batch *b, int part)
{
    return b->memory + b->in_at[part];
}

void *batch_out(const struct batch *b, int part)
{
    return b->memory + b->out_at[part];
}

void *batch_scratch(const struct batch *b)
{
    return b->memory + b->scratch_at;
}

struct ragged batch_rows(const struct batch *b, void *data, int32_t channels, bool behind)
{
    const int64_t *const offset = behind ? b->y_offset : b->x_offset;
    const unsigned char *const at = (const unsigned char *)offset, *const piece = (const unsigned char *)b->piece;
    return (struct ragged){.data = data,
                           .channels = channels,
                           .offset = offset,
                           .piece = b->piece,
                           .offset_device = (const int64_t *)(b->memory + (at - b->pinned)),
                           .piece_device = (const struct piece *)(b->memory + (piece - b->pinned)),
                           .rows = b->rows,
                           .total = offset[b->rows]};
}
