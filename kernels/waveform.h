/* waveform - minimum, maximum and RMS of each block of a ragged batch of mono signals: what a waveform is drawn from.
 *
 *   equation     block t holds samples t*block .. min(N, (t+1)*block) - 1; y[t] = (min, max, sqrt(mean of squares))
 *                of them
 *   shapes       x ragged [B][N_b] f32 in; y ragged [B][T_b][3] f32 out, T_b = waveform_count(): ceil(N/block) of a
 *                whole signal
 *   pieces       a piece gives the blocks that it holds whole, the last one also what is left at the end; pieces that
 *                share block - 1 samples give every block, wherever the cuts fall, bit-equal
 *   units        those of x
 *   limits       1 <= block <= 2^24; y has at most 2^34 blocks
 *   not finite   a block with a NaN is NaN throughout; with an infinity its RMS is infinite
 *   ownership    borrows all; no workspace
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     min and max exact; RMS: relative error <= 1e-6 against a sum in long double; asserted in
 *                test_waveform.c
 *   source       BBC audiowaveform's data, with the RMS added */
#ifndef WAVEFORM_H
#define WAVEFORM_H
#include "ragged.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Number, in the whole signal, of the first block that a piece gives, and how many it gives. */
static inline HOST_DEVICE int64_t waveform_first(int64_t block, struct piece piece)
{
    return piece.first ? 0 : (piece.start + block - 1) / block;
}

static inline HOST_DEVICE int64_t waveform_count(int64_t block, struct piece piece, int64_t samples)
{
    const int64_t end = piece.start + samples, all = piece.last ? (end + block - 1) / block : end / block;
    return samples && all > waveform_first(block, piece) ? all - waveform_first(block, piece) : 0;
}

/* Front: validates, then calls the twin of ex's backend. */
int waveform(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y) MUST_USE;

int waveform_cpu(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
