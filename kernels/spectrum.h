/* spectrum - checks and plan that all twins of the spectral row share. Room-internal. */
#ifndef SPECTRUM_H
#define SPECTRUM_H
#include "exec.h"
#include "fft.h"
#include "stft.h"
#ifdef __cplusplus
extern "C" {
#endif

/* The plan of the scalar twin. */
struct spectrum_plan {
    const double *window; /* [n_fft], zeros around win_length */
    const struct fft_plan *fft;
};

/* Checks n_fft, win_length, window and padding. */
int spectrum_check_params(const char *op, const struct stft_params *p) MUST_USE;

/* Checks parameters and shapes of an operation that gives `channels` values of `dtype` per frame. */
int spectrum_check(const char *op, const struct stft_params *p, const struct ragged *x, const struct ragged *y,
                   enum dtype dtype, int64_t channels, bool integers) MUST_USE;

/* The window of a key as f32 [n_fft], zeros around win_length. */
void stft_window(const struct stft_key *key, float *out);

/* The key of checked parameters. */
struct stft_key spectrum_key(const struct stft_params *p);

#ifdef __cplusplus
}
#endif
#endif
