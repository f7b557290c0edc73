/* istft - signals from their short-time Fourier transforms: overlap-add, divided by the sum of squared windows.
 *
 *   equation     v[t,i] = w[i] * (1/n) * sum_{f<n} X[t,f] * exp(2*pi*j*f*i/n), X[t,n-f] = conj(X[t,f]), w as in
 *                stft.h; y[s] = sum_t v[t,i] / sum_t w[i]^2 with i = s + pad - t*hop, 0 <= i < n, t rising. Where the
 *                sum below is not above 2^-126 there is no division; samples that no frame reaches are 0
 *   shapes       x ragged [B][T_b][F] complex64 in; y ragged [B][N_b] f32 out: the caller says how many samples; all
 *                that the frames hold are istft_samples()
 *   pieces       whole signals only
 *   units        those of the signal that stft was given
 *   limits       those of stft; N_b <= 2^40
 *   not finite   a frame with a NaN or an infinity makes the samples that it reaches NaN
 *   ownership    borrows all; scratch of istft_work_bytes() from exec's arena, given back; the plan is that of stft
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch, or how many threads
 *   accuracy     relative L2 <= 1e-6 against oracle_istft; istft(stft(x)) differs from x by <= -120 dB where windows
 *                overlap enough; asserted in test_istft.c
 *   source       librosa 0.11 istft and filters.window_sumsquare; Griffin and Lim 1984 */
#ifndef ISTFT_H
#define ISTFT_H
#include "stft.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Samples that T frames hold, as librosa counts them: hop*(T - 1), and n_fft more when not centred; 0 for T = 0. */
static inline int64_t istft_samples(const struct stft_params *p, int64_t frames)
{
    const int64_t whole = (frames - 1) * p->frame.hop_samples + p->frame.window_samples;
    return frames == 0 ? 0 : p->frame.centred ? whole - p->frame.window_samples / 2 * 2 : whole;
}

/* Scratch that the twin of ex's backend takes from exec's arena, per thread at most. */
size_t istft_work_bytes(const struct exec *ex, const struct stft_params *p);

/* Front: validates, then calls the twin of ex's backend. */
int istft(struct exec *ex, const struct stft_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

int istft_cpu(struct exec *ex, const struct stft_params *p, const void *plan, const struct ragged *x, struct ragged *y);
size_t istft_scalar_work_bytes(const struct stft_params *p);

#ifdef __cplusplus
}
#endif
#endif
