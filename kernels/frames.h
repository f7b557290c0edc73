/* frames - how a signal, or a piece of one, is cut into frames: the arithmetic that every framed operation shares.
 *
 *   equation     frame t covers samples t*hop - pad .. t*hop - pad + W - 1 of the signal; pad = W/2 (rounded down) when
 *                centred, else 0. A signal of N samples has (N + 2*pad - W) / hop + 1 frames, none when N = 0 or when
 *                N + 2*pad < W
 *   pieces       a row that is a piece gives the frames whose whole window it holds; windows reach outside only at the
 *                signal's own ends: before the first sample of a first piece, after the last sample of a last one.
 *                Frame numbers count from the signal's beginning. Consecutive pieces that share at least
 *                frame_overlap(p) = W - 1 samples give every frame, wherever the cuts fall and whatever the hop.
 *                (Cuts on multiples of the hop could share less; cuts anywhere could not.) A piece is first exactly
 *                when it starts at sample 0; pieces that give no frame (too short) are allowed, and give 0 frames
 *   reflection   frame_reflect maps a sample outside the row to the one mirrored at the row's end, the end itself not
 *                repeated (numpy's and torch's "reflect"). It holds for up to samples - 1 places outside: a first or
 *                last piece that gives any frame must hold at least pad + 1 samples. Shorter: STATUS_SHAPE from the
 *                fronts that reflect. Neighbours that share W - 1 samples and advance always hold that many, except a
 *                first piece of exactly W/2 samples, which no sensible cut makes
 *   limits       1 <= hop_samples <= 2^40; start + samples <= 2^48; a batch has at most 2^34 frames
 *   errors       the inline functions have none and want checked parameters; frames_check: STATUS_ARGUMENT,
 *                STATUS_SHAPE
 *   source       librosa 0.11 util.frame and its centring; librosa refuses a signal that is too short for one frame
 *                where we give 0 frames, and np.pad reflects several times where we refuse */
#ifndef FRAMES_H
#define FRAMES_H
#include "ragged.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct frame_params {
    int64_t window_samples; /* W; n_fft in the spectral operations */
    int64_t hop_samples;
    bool centred; /* frame t is centred on sample t*hop; else it begins there */
};

/* Samples that the window of frame 0 reaches before the signal. */
static inline HOST_DEVICE int64_t frame_pad(const struct frame_params *p)
{
    return p->centred ? p->window_samples / 2 : 0;
}

/* Index, in the whole signal, of the first frame that a piece gives. */
static inline HOST_DEVICE int64_t frame_first(const struct frame_params *p, struct piece piece)
{
    return piece.first ? 0 : (piece.start + frame_pad(p) + p->hop_samples - 1) / p->hop_samples;
}

/* Frames that a piece of `samples` samples gives; 0 when it is too short for one. */
static inline HOST_DEVICE int64_t frame_count(const struct frame_params *p, struct piece piece, int64_t samples)
{
    const int64_t end = piece.start + samples; /* of the signal, when this piece is the last */
    const int64_t room = end + (piece.last ? 2 : 1) * frame_pad(p) - p->window_samples;
    const int64_t frames = samples == 0 || room < 0 ? 0 : room / p->hop_samples + 1 - frame_first(p, piece);
    return frames < 0 ? 0 : frames;
}

/* Where the window of a piece's first frame begins, counted from the row's first sample; the next is hop_samples on. */
static inline HOST_DEVICE int64_t frame_from(const struct frame_params *p, struct piece piece)
{
    return frame_first(p, piece) * p->hop_samples - frame_pad(p) - piece.start;
}

/* Samples that consecutive pieces must share so that every frame of the signal comes out of at least one of them. */
static inline HOST_DEVICE int64_t frame_overlap(const struct frame_params *p)
{
    return p->window_samples - 1;
}

/* The sample of a row that stands for sample i outside or inside it; -samples < i < 2*samples - 1. */
static inline HOST_DEVICE int64_t frame_reflect(int64_t i, int64_t samples)
{
    const int64_t positive = i < 0 ? -i : i;
    return positive < samples ? positive : 2 * samples - 2 - positive;
}

/* What y must look like: `channels` values of `dtype` per frame. Room-internal: the fronts call it. */
struct frames_want {
    const char *op; /* for messages */
    int64_t window_least, window_most;
    enum dtype dtype;
    int64_t channels;
    bool reflect;  /* a first or last row that gives frames must hold pad + 1 samples */
    bool integers; /* x may also be int16 or int24, full scale 1: kernels of devices convert as they load */
};

/* Checks what all framed fronts check: parameters, mono f32 x, the shape of y, pieces, lengths. */
int frames_check(const struct frames_want *want, const struct frame_params *p, const struct ragged *x,
                 const struct ragged *y) MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
