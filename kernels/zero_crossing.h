/* zero_crossing - fraction of sign changes in each frame of a ragged batch of mono signals.
 *
 *   equation     y[t] = (1/W) * #{ 1 <= i < W : s(t*hop - pad + i - 1) != s(t*hop - pad + i) }, s(k) = x[k] < -1e-10f,
 *                pad = W/2 (rounded down) when centred, else 0. Samples outside the signal repeat its first or last
 *                one, so nothing crosses there. The first place of a frame never counts
 *   shapes       x ragged [B][N_b] f32 in, on devices also i16 and i24; y ragged [B][T_b] f32 out,
 *                T_b = frame_count(p, piece of b, N_b)
 *   pieces       as frames.h says: any cut into pieces that share W - 1 samples gives every frame, bit-equal
 *   units        x linear, full scale 1.0; y from 0 to (W - 1)/W; frame t is centred on sample t*hop when centred
 *   limits       1 <= W <= 65536; 1 <= hop_samples <= 2^40; y has at most 2^34 frames; x and y do not overlap
 *   not finite   a NaN counts as not negative; infinities count by their sign
 *   ownership    borrows all; no workspace
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_NOMEM, STATUS_DEVICE (y undefined)
 *   determinism  bitwise on every backend, whatever else is in the batch
 *   accuracy     exact count, one rounding of count/W to f32; asserted in test_frames.c
 *   source       librosa 0.11 feature.zero_crossing_rate with its defaults (threshold 1e-10, zero_pos, pad False):
 *                values from -1e-10 to 1e-10 are zero, zero is positive, edges padded with their value */
#ifndef ZERO_CROSSING_H
#define ZERO_CROSSING_H
#include "frames.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int zero_crossing(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

int zero_crossing_cpu(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
