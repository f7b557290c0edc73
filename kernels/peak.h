/* peak - largest magnitude in each frame of a ragged batch of mono signals.
 *
 *   equation     y[t] = max_{i<W} |x[t*hop - pad + i]|, samples outside the signal count as 0,
 *                pad = W/2 (rounded down) when centred, else 0
 *   shapes       x ragged [B][N_b] f32 in, on devices also i16 and i24; y ragged [B][T_b] f32 out,
 *                T_b = frame_count(p, piece of b, N_b)
 *   pieces       as frames.h says: any cut into pieces that share W - 1 samples gives every frame, bit-equal
 *   units        x linear, full scale 1.0; y the same. Sample peak, not true peak; frame t is centred on sample t*hop
 *                when centred
 *   limits       1 <= W <= 65536; 1 <= hop_samples <= 2^40; y has at most 2^34 frames; x and y do not overlap
 *   not finite   a frame with a NaN is NaN, one with an infinity and no NaN is infinite; no other frame changes
 *   ownership    borrows all; no workspace
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (y untouched); STATUS_NOMEM, STATUS_DEVICE (y undefined)
 *   determinism  bitwise on every backend, whatever else is in the batch
 *   accuracy     exact; asserted in test_frames.c
 *   source       none needed; framed as librosa 0.11 feature.rms */
#ifndef PEAK_H
#define PEAK_H
#include "frames.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

/* Front: validates, then calls the twin of ex's backend. */
int peak(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

int peak_cpu(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
