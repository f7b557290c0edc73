/* oracle - slow references in double, written from the equations of the headers and from nothing else: no piece
 * arithmetic, no fast transform, no plans. `x` is always a whole signal of n samples. */
#ifndef ORACLE_H
#define ORACLE_H
#include "ops.h"

/* Bins first, first + step, .. of the transform of in [n]: count complex values, real and imaginary. */
void oracle_dft(const double *in, int64_t n, int64_t first, int64_t step, int64_t count, double *out);

/* Frames of a whole signal, counted one by one. */
int64_t oracle_frames(const struct frame_params *p, int64_t n);

/* The windowed samples [n_fft] of frame t. */
void oracle_frame(const struct stft_params *p, const float *x, int64_t n, int64_t t, double *frame);

/* Bins of frame t, as oracle_dft. */
void oracle_stft(const struct stft_params *p, const float *x, int64_t n, int64_t t, int64_t first, int64_t step,
                 int64_t count, double *out);

void oracle_mel(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out); /* [mels] */
void oracle_spectrogram(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out); /* [F] */
double oracle_bandwidth(const struct stft_params *p, double rate_hz, const float *x, int64_t n, int64_t t);
double oracle_flatness(const struct stft_params *p, const float *x, int64_t n, int64_t t);
void oracle_contrast(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out); /* edges */
double oracle_flux(const struct stft_params *p, const float *x, int64_t n, int64_t t, double *norm);
void oracle_poly(const struct spectral_params *p, const float *x, int64_t n, int64_t t, double *out, double *scale);

/* The least and the greatest bin that is right when sums err by 2e-6. */
void oracle_rolloff(const struct stft_params *p, double part, const float *x, int64_t n, int64_t t, int64_t bin[2]);

double oracle_centroid(const struct stft_params *p, double rate_hz, const float *x, int64_t n, int64_t t);
double oracle_rms(const struct frame_params *p, const float *x, int64_t n, int64_t t);
double oracle_peak(const struct frame_params *p, const float *x, int64_t n, int64_t t);
double oracle_zero_crossing(const struct frame_params *p, const float *x, int64_t n, int64_t t);

#endif
