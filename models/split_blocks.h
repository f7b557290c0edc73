/* split_blocks - a stereo signal's way through its spectra and back, in blocks of frames: what hpss_split and
 * center_split share. Room-internal.
 *
 *   what         the stems of `step` frames of a signal at a time, from the spectra around them: all that their samples
 *                hang on, which is the frames that reach them and `context` more on both sides. So they are those of
 *                the whole signal at once, bit for bit, wherever blocks of input are cut
 *   stft         centred, zeros outside the signal; even n_fft from 64 to 16384, hop from 1 to n_fft/4: less overlap
 *                would leave the last samples to the edge of one window
 *   not finite   a sample that is NaN, infinite or beyond SPLIT_BLOCKS_LARGEST is taken for 0, and is NaN in its stems
 *   memory       some (step + 2 context) * bins * (2 + parts) complex values, whatever the signal's length
 *   ownership    split_blocks_open gives, split_blocks_close frees; exec, method and context are borrowed
 *   errors       open: STATUS_ARGUMENT, STATUS_NOMEM, STATUS_UNSUPPORTED (the exec is not the CPU's); push and finish:
 *                STATUS_ARGUMENT after the end; those of the operations, of parts_of, and what emit returns */
#ifndef SPLIT_BLOCKS_H
#define SPLIT_BLOCKS_H
#include "ragged.h"
#include "separation.h"
#include "stft.h"

enum { SPLIT_BLOCKS_PARTS_MOST = 4, SPLIT_BLOCKS_ROWS = 2 };

#define SPLIT_BLOCKS_LARGEST 1e9f

struct exec;

struct split_blocks_method {
    int parts; /* signals that go back from spectra, 1 to SPLIT_BLOCKS_PARTS_MOST */
    int stems;
    /* x [n][2] as it came into the two signals that are transformed, [n] each and finite. */
    void (*rows)(const float *x, int64_t n, float *a, float *b);
    /* Spectra of both signals, rows alike, into `parts` rows like them. */
    int (*parts_of)(void *context, const struct ragged *spectra, struct ragged *parts);
    /* x [n][2] as it came and part[p] [n], into stems [n][stems][2]. */
    void (*stems_of)(const float *x, const float *const *part, int64_t n, float *stems);
};

struct split_blocks {
    const struct split_blocks_method *method;
    void *context;
    struct exec *ex;
    struct stft_params stft;
    int64_t context_frames, step; /* frames around a block, and of one */
    int64_t most_frames, capacity;
    int64_t start, held; /* frame of the signal that x begins with, and how many it holds */
    int64_t next;        /* first that is still to come out */
    bool ended;
    float *x;       /* [capacity][2] */
    float *rows;    /* [2][samples] */
    float *spectra; /* [2][frames][bins] complex */
    float *parts;   /* [parts][frames][bins] complex */
    float *signals; /* [parts][samples] */
    float *stems;   /* [step * hop][stems][2] */
};

int split_blocks_open(struct split_blocks *b, const struct split_blocks_method *method, void *context, struct exec *ex,
                      const struct stft_params *stft, int64_t context_frames) MUST_USE;
void split_blocks_close(struct split_blocks *b);

int split_blocks_push(struct split_blocks *b, const struct separation *s, const float *x, int64_t frames) MUST_USE;
int split_blocks_finish(struct split_blocks *b, const struct separation *s) MUST_USE;

/* Whether a sample counts. */
static inline bool split_blocks_good(float x)
{
    return x >= -SPLIT_BLOCKS_LARGEST && x <= SPLIT_BLOCKS_LARGEST;
}

#endif
