#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { REFLECT_EXTRA = 2 };

int stream_open(struct stream *s, struct source *source, int channel, const struct frame_params *frame,
                size_t frame_bytes)
{
    *s = (struct stream){.source = source, .channel = channel, .frame = *frame, .extra = REFLECT_EXTRA};
    s->level.first_not_finite = -1;
    s->most_frames = STREAM_OUT_BYTES / (int64_t)(frame_bytes ? frame_bytes : 1);
    if (s->most_frames < 1)
        s->most_frames = 1;
    s->capacity = 3 * frame->window_samples + REFLECT_EXTRA + 2 * source->block_frames;
    if (frame->hop_samples < s->capacity)
        s->capacity += frame->hop_samples; /* for stream_keep_previous */
    s->mono = malloc((size_t)s->capacity * sizeof *s->mono);
    return s->mono ? STATUS_OK : fail(STATUS_NOMEM, "stream: out of memory");
}

void stream_close(struct stream *s)
{
    rate_close(&s->rate);
    free(s->mono);
    free(s->mixed);
    s->mono = s->mixed = NULL;
}

int stream_set_rate(struct stream *s, int64_t rate_hz, enum rate_method method)
{
    const int64_t from = audio_info(s->source->audio)->rate_hz, block = s->source->block_frames;
    if (rate_hz == from)
        return STATUS_OK;
    const int code = rate_open(&s->rate, s->source->exec, from, rate_hz, method, block);
    if (code)
        return code;
    s->capacity += 2 * rate_room(&s->rate, block);
    float *const mono = realloc(s->mono, (size_t)s->capacity * sizeof *mono);
    s->mono = mono ? mono : s->mono;
    s->mixed = malloc((size_t)block * sizeof *s->mixed);
    return mono && s->mixed ? STATUS_OK : fail(STATUS_NOMEM, "stream: out of memory");
}

void stream_keep_previous(struct stream *s)
{
    s->extra = REFLECT_EXTRA + s->frame.hop_samples;
}

int stream_take(struct stream *s)
{
    const struct source *const source = s->source;
    int64_t n = source->got;
    float *const end = s->mono + s->samples;
    const int64_t room = s->mixed ? rate_room(&s->rate, source->block_frames) : source->block_frames;
    if (s->samples + room > s->capacity)
        return fail(STATUS_INTERNAL, "stream: no frame in %" PRId64 " samples", s->samples);
    struct level l;
    int code = source_copy(source, s->channel, s->mixed ? s->mixed : end, &l);
    if (!code && s->mixed) {
        code = rate_feed(&s->rate, s->mixed, source->got, source->ended, end, &n);
        const int64_t offset[2] = {0, n};
        const struct ragged x = {.data = end, .channels = 1, .offset = offset, .rows = 1, .total = n};
        code = code ? code : level(source->exec, &x, &l);
    }
    if (code)
        return code;
    level_join(&s->level, &l);
    s->samples += n;
    s->total += n;
    s->ended = source->ended;
    return STATUS_OK;
}

/* Forgets what no later frame reaches. */
static void drop(struct stream *s)
{
    int64_t keep = s->next * s->frame.hop_samples - frame_pad(&s->frame) - s->extra;
    const int64_t end = s->start + s->samples;
    keep = keep < s->start ? s->start : keep > end ? end : keep;
    if (keep == s->start)
        return;
    memmove(s->mono, s->mono + (keep - s->start), (size_t)(end - keep) * sizeof *s->mono);
    s->samples = end - keep;
    s->start = keep;
}

/* Can the samples at hand give a frame that is still to come? Fills *out. */
static bool cut(const struct stream *s, struct stream_piece *out)
{
    const struct frame_params *f = &s->frame;
    int64_t samples = s->samples;
    out->piece = (struct piece){s->start, s->start == 0, s->ended};
    if (!s->ended && samples < 2 * f->window_samples)
        return false;
    const int64_t first = frame_first(f, out->piece);
    int64_t frames = first + frame_count(f, out->piece, samples) - s->next;
    if (frames <= 0)
        return false;
    if (frames > s->most_frames) {
        /* End the piece with the window of the last frame that is wanted, if that lies inside; a first piece keeps
         * enough for its reflection. */
        int64_t end = (s->next + s->most_frames - 1) * f->hop_samples - frame_pad(f) + f->window_samples;
        if (end < s->start + f->window_samples)
            end = s->start + f->window_samples;
        if (end < s->start + samples) {
            samples = end - s->start;
            out->piece.last = false;
            frames = first + frame_count(f, out->piece, samples) - s->next;
        }
    }
    out->skip = s->next - first;
    out->frames = frames;
    out->offset[0] = 0;
    out->offset[1] = samples;
    return true;
}

bool stream_try(struct stream *s, struct stream_piece *out)
{
    *out = (struct stream_piece){0};
    drop(s);
    if (!cut(s, out)) {
        out->frames = 0;
        return false;
    }
    out->x = (struct ragged){.data = s->mono,
                             .channels = 1,
                             .offset = out->offset,
                             .piece = &out->piece,
                             .rows = 1,
                             .total = out->offset[1]};
    s->next += out->frames;
    return true;
}

int stream_next(struct stream *s, struct stream_piece *out)
{
    int code = STATUS_OK;
    while (!code && !stream_try(s, out) && !s->ended) {
        code = source_read(s->source);
        code = code ? code : stream_take(s);
    }
    return code;
}
