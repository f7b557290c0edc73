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
    rate_close(&s->rate);
    free(s->block);
    free(s->mono);
    free(s->mixed);
    s->block = s->mono = s->mixed = NULL;
}

int stream_set_rate(struct stream *s, int64_t rate_hz, enum rate_method method)
{
    const int64_t from = audio_info(s->audio)->rate_hz;
    if (rate_hz == from)
        return STATUS_OK;
    if (rate_hz > from) /* blocks of the same size behind the change */
        s->block_frames =
            s->block_frames * from / rate_hz > BLOCK_FRAMES_MIN ? s->block_frames * from / rate_hz : BLOCK_FRAMES_MIN;
    const int code = rate_open(&s->rate, s->exec, from, rate_hz, method, s->block_frames);
    if (code)
        return code;
    s->capacity += 2 * rate_room(&s->rate, s->block_frames);
    float *const mono = realloc(s->mono, (size_t)s->capacity * sizeof *mono);
    s->mono = mono ? mono : s->mono;
    s->mixed = malloc((size_t)s->block_frames * sizeof *s->mixed);
    return mono && s->mixed ? STATUS_OK : fail(STATUS_NOMEM, "stream: out of memory");
}

void stream_keep_previous(struct stream *s)
{
    s->extra = REFLECT_EXTRA + s->frame.hop_samples;
}

/* The mono mean of a block of n samples into out. */
/* NOLINTNEXTLINE(readability-non-const-parameter): written through the ragged batch */
static int mix(struct stream *s, int64_t n, float *out)
{
    const int64_t offset[2] = {0, n};
    const struct ragged in = {
        .data = s->block, .channels = audio_info(s->audio)->channels, .offset = offset, .rows = 1, .total = n};
    struct ragged mono = {.data = out, .channels = 1, .offset = offset, .rows = 1, .total = n};
    return mixdown(s->exec, &in, &mono);
}

/* Sample numbers are those of the file: what is not finite there is so in the mean, and found before the rate changes.
 */
/* NOLINTNEXTLINE(readability-non-const-parameter): a ragged batch wants it writable */
static int check_finite(struct stream *s, float *mixed, int64_t n, struct level *l)
{
    const int64_t offset[2] = {0, n};
    const struct piece piece = {s->mixed_total, s->mixed_total == 0, false};
    const struct ragged x = {.data = mixed, .channels = 1, .offset = offset, .piece = &piece, .rows = 1, .total = n};
    const int code = level(s->exec, &x, l);
    if (!code && l->first_not_finite >= 0)
        return fail(STATUS_FORMAT, "sample %" PRId64 " is not a finite number", l->first_not_finite);
    s->mixed_total += n;
    return code;
}

/* Appends one block of mono samples, or sets ended. */
static int read_block(struct stream *s)
{
    int64_t got = 0, n = 0;
    struct level l;
    float *const end = s->mono + s->samples, *const mixed = s->mixed ? s->mixed : end;
    int code = audio_read(s->audio, s->block, s->block_frames, &got);
    s->ended = code || got == 0;
    code = code ? code : mix(s, got, mixed);
    code = code ? code : check_finite(s, mixed, got, &l);
    n = got;
    if (!code && s->mixed) {
        code = rate_feed(&s->rate, mixed, got, s->ended, end, &n);
        const int64_t offset[2] = {0, n};
        const struct ragged x = {.data = end, .channels = 1, .offset = offset, .rows = 1, .total = n};
        code = code ? code : level(s->exec, &x, &l);
    }
    if (code)
        return code;
    level_join(&s->level, &l);
    s->samples += n;
    s->total += n;
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
        if (s->samples + (s->mixed ? rate_room(&s->rate, s->block_frames) : s->block_frames) > s->capacity)
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
