/* stream - a file's audio as mono pieces for framed operations, in bounded memory.
 *
 * Reads blocks, mixes them down, changes their rate where that is asked for, and hands out pieces (ragged.h) such that
 * every frame of the whole signal comes exactly once and in order: a piece's operations give `skip` frames that came
 * before, then `frames` new ones. Results do not depend on the block size: any cut gives bit-equal frames (frames.h).
 *
 *   memory       one interleaved block, one mono buffer of a window and a block, both independent of the file's length
 *   errors       those of audio.h; STATUS_FORMAT for a sample that is NaN or infinite, with its number;
 *                STATUS_NOMEM when a single piece would give more than STREAM_OUT_BYTES of output */
#ifndef STREAM_H
#define STREAM_H
#include "audio.h"
#include "rate.h"

enum { STREAM_OUT_BYTES = 8 << 20, STREAM_OUT_MAX = 1 << 28 };

struct stream {
    struct audio *audio; /* borrowed */
    struct exec *exec;   /* borrowed */
    struct frame_params frame;
    struct rate rate;    /* in use when rate.p.rate_in is not 0 */
    float *mixed;        /* one block of the mono mean, before its rate is changed; else NULL */
    int64_t most_frames; /* per piece, from the bytes of a frame's output */
    int64_t block_frames, capacity;
    int64_t extra; /* samples kept before the next window, for reflection */
    float *block, *mono;
    int64_t start, samples; /* what mono holds: sample number of its first, and how many */
    int64_t next;           /* first frame still to come */
    bool ended;
    struct level level;  /* of the mono signal as it is handed out, complete at the end */
    int64_t total;       /* its samples so far */
    int64_t mixed_total; /* samples of the file so far */
};

/* What one step gives. */
struct stream_piece {
    struct ragged x;
    int64_t offset[2];
    struct piece piece;
    int64_t skip, frames; /* the piece gives skip + frames frames */
};

int stream_open(struct stream *s, struct exec *ex, struct audio *audio, const struct frame_params *frame,
                size_t frame_bytes) MUST_USE;
void stream_close(struct stream *s);

/* From now on the signal has another rate. Before the first piece. */
int stream_set_rate(struct stream *s, int64_t rate_hz, enum rate_method method) MUST_USE;

/* From now on pieces begin a hop earlier, so that each new frame has the one before it (flux.h). Before the first
 * piece. */
void stream_keep_previous(struct stream *s);

/* The next piece; out->frames = 0 at the end. x points into the stream, until the next call. */
int stream_next(struct stream *s, struct stream_piece *out) MUST_USE;

#endif
