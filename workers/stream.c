#include "stream.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_SAMPLES = 262144, BLOCK_FRAMES_MAX = 131072, BLOCK_FRAMES_MIN = 1024, REFLECT_EXTRA = 2 };

int stream_open(struct stream *s, struct exec *ex, struct audio *audio, const struct frame_params *frame,
                size_t frame_bytes)
{
    const int channels = audio_info(audio)->channels;
    *s = (struct stream){.audio = audio, .exec = ex, .frame = *frame, .extra = REFLECT_EXTRA};
    s->level.first_not_finite = -1;
    s->most_frames = STREAM_OUT_BYTES / (int64_t)(frame_bytes ? frame_bytes : 1);
    if (s->most_frames < 1)
        s->most_frames = 1;
    s->block_frames = BLOCK_SAMPLES / channels;
    if (s->block_frames > BLOCK_FRAMES_MAX)
        s->block_frames = BLOCK_FRAMES_MAX;
    if (s->block_frames < BLOCK_FRAMES_MIN)
        s->block_frames = BLOCK_FRAMES_MIN;
    s->capacity = 3 * frame->window_samples + REFLECT_EXTRA + 2 * s->block_frames;
    if (frame->hop_samples < s->capacity)
        s->capacity += frame->hop_samples; /* for stream_keep_previous */
    s->block = malloc((size_t)s->block_frames * (size_t)channels * sizeof *s->block);
    s->mono = malloc((size_t)s->capacity * sizeof *s->mono);
    if (s->block && s->mono)
        return STATUS_OK;
    stream_close(s);
    return fail(STATUS_NOMEM, "stream: out of memory");
}

void stream_close(struct stream *s)
{
    free(s->block);
    free(s->mono);
    s->block = s->mono = NULL;
}

void stream_keep_previous(struct stream *s)
{
    s->extra = REFLECT_EXTRA + s->frame.hop_samples;
}

/* Appends one block of mono samples, or sets ended. */
static int read_block(struct stream *s)
{
    int64_t got = 0;
    int code = audio_read(s->audio, s->block, s->block_frames, &got);
    if (code || got == 0) {
        s->ended = true;
        return code;
    }
    const int64_t offset[2] = {0, got};
    const struct piece piece = {s->start + s->samples, s->start + s->samples == 0, false};
    const struct ragged in = {.data = s->block,
                              .channels = audio_info(s->audio)->channels,
                              .offset = offset,
                              .piece = &piece,
                              .rows = 1,
                              .total = got};
    struct ragged mono = {
        .data = s->mono + s->samples, .channels = 1, .offset = offset, .piece = &piece, .rows = 1, .total = got};
    struct level level_of_block;
    if ((code = mixdown(s->exec, &in, &mono)) || (code = level(s->exec, &mono, &level_of_block)))
        return code;
    if (level_of_block.first_not_finite >= 0) /* as a mean is when, and where, a channel is */
        return fail(STATUS_FORMAT, "sample %" PRId64 " is not a finite number", level_of_block.first_not_finite);
    level_join(&s->level, &level_of_block);
    s->samples += got;
    s->total += got;
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

int stream_next(struct stream *s, struct stream_piece *out)
{
    *out = (struct stream_piece){0};
    drop(s);
    while (!cut(s, out)) {
        if (s->ended) {
            out->frames = 0;
            return STATUS_OK;
        }
        if (s->samples + s->block_frames > s->capacity)
            return fail(STATUS_INTERNAL, "stream: no frame in %" PRId64 " samples", s->samples);
        const int code = read_block(s);
        if (code)
            return code;
        drop(s);
    }
    out->x = (struct ragged){.data = s->mono,
                             .channels = 1,
                             .offset = out->offset,
                             .piece = &out->piece,
                             .rows = 1,
                             .total = out->offset[1]};
    s->next += out->frames;
    return STATUS_OK;
}
