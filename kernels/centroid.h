/* centroid - spectral centroid of each frame of a ragged batch of mono signals.
 *
 *   equation     y[t] = sum_f f_hz * |X[t,f]| / sum_f |X[t,f]|, X = stft(x), f_hz = f * rate / n_fft. When the sum
 *                below is less than 2^-126 (a silent frame) it is taken as 1, so that silence gives 0 Hz
 *   shapes       x ragged [B][N_b] f32 in; y ragged [B][T_b] f32 out,
 *                T_b = frame_count(&p->stft.frame, piece of b, N_b)
 *   pieces       as stft.h
 *   units        x linear, full scale 1.0; y in Hz, 0 to rate/2
 *   limits       those of stft; 0 < rate <= 1e9
 *   not finite   a frame with a NaN or an infinity among its n_fft samples is NaN; no other frame changes
 *   ownership    borrows all; scratch of stft_work_bytes() from exec's arena, given back; the plan, the one of stft,
 *                stays in exec
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     relative error <= 1e-6 against oracle_centroid in double; asserted in test_centroid.c
 *   source       librosa 0.11 feature.spectral_centroid, util.normalize(norm=1) with its threshold, magnitudes in
 *                float32 as there */
#ifndef CENTROID_H
#define CENTROID_H
#include "stft.h"
#ifdef __cplusplus
extern "C" {
#endif

struct centroid_params {
    struct stft_params stft;
    double rate_hz;
};

/* Front: validates, then calls the twin of ex's backend. */
int centroid(struct exec *ex, const struct centroid_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

int centroid_cpu(struct exec *ex, const struct centroid_params *p, const void *plan, const struct ragged *x,
                 struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
