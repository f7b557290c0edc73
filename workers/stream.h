/* stream - a file's audio, or one channel of it, as mono pieces for framed operations, in bounded memory.
 *
 * Takes blocks of a source, changes their rate where that is asked for, and hands out pieces (ragged.h) such that
 * every frame of the whole signal comes exactly once and in order: a piece's operations give `skip` frames that came
 * before, then `frames` new ones. Results do not depend on the block size: any cut gives bit-equal frames (frames.h).
 *
 *   memory       a mono buffer of a window and a few blocks, independent of the file's length
 *   errors       those of source.h and rate.h; STATUS_NOMEM when a single piece would give more than STREAM_OUT_BYTES
 *                of output */
#ifndef STREAM_H
#define STREAM_H
#include "rate.h"
#include "source.h"

enum { STREAM_OUT_BYTES = 8 << 20, STREAM_OUT_MAX = 1 << 28 };

struct stream {
    struct source *source; /* borrowed */
    int channel;           /* or SOURCE_MIX */
    struct frame_params frame;
    struct rate rate;    /* in use when `mixed` is there */
    float *mixed;        /* one block before its rate is changed */
    int64_t most_frames; /* per piece, from the bytes of a frame's output */
    int64_t capacity;
    int64_t extra; /* samples kept before the next window, for reflection */
    float *mono;
    int64_t start, samples; /* what mono holds: sample number of its first, and how many */
    int64_t next;           /* first frame still to come */
    bool ended;
    struct level level; /* of the signal as it is handed out, complete at the end */
    int64_t total;      /* its samples so far */
};

/* What one step gives. */
struct stream_piece {
    struct ragged x;
    int64_t offset[2];
    struct piece piece;
    int64_t skip, frames; /* the piece gives skip + frames frames */
};

int stream_open(struct stream *s, struct source *source, int channel, const struct frame_params *frame,
                size_t frame_bytes) MUST_USE;
void stream_close(struct stream *s);

/* From now on the signal has another rate. Before the first piece; the source was opened for it. */
int stream_set_rate(struct stream *s, int64_t rate_hz, enum rate_method method) MUST_USE;

/* From now on pieces begin a hop earlier, so that each new frame has the one before it (flux.h). Before the first
 * piece. */
void stream_keep_previous(struct stream *s);

/* Takes over the source's block, or its end. */
int stream_take(struct stream *s) MUST_USE;

/* The next piece of what was taken; false when it takes another block, or is over. x points into the stream, until the
 * next call. */
bool stream_try(struct stream *s, struct stream_piece *out);

/* For a source with one stream: reads, takes and gives the next piece; out->frames = 0 at the end. */
int stream_next(struct stream *s, struct stream_piece *out) MUST_USE;

#endif
