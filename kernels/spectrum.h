/* spectrum - the spectrum of one frame after the other: what the CPU twins of stft, mel and centroid share.
 *
 * Room-internal. The contract (frames, pieces, padding, windows, what is not finite) is that of stft.h; the spectrum is
 * in double, so each operation rounds once, when it writes. */
#ifndef SPECTRUM_H
#define SPECTRUM_H
#include "exec.h"
#include "fft.h"
#include "stft.h"

struct spectrum_plan {
    const double *window; /* [n_fft], zeros around win_length */
    const struct fft_plan *fft;
};

/* Writes the values of one frame; context is the operation's own, spectrum [bins] may be overwritten. */
typedef void spectrum_emit(const void *context, struct fft_complex *spectrum, int64_t bins, float *out);

/* Checks parameters and shapes of an operation that gives `channels` values of `dtype` per frame. */
int spectrum_check(const char *op, const struct stft_params *p, const struct ragged *x, const struct ragged *y,
                   enum dtype dtype, int64_t channels) MUST_USE;

/* The key of checked parameters. */
struct stft_key spectrum_key(const struct stft_params *p);

/* Calls emit for each frame of x, in order; a frame that is not finite is filled with NaN instead. */
int spectrum_each(struct exec *ex, const struct stft_params *p, const struct spectrum_plan *plan,
                  const struct ragged *x, struct ragged *y, spectrum_emit *emit, const void *context) MUST_USE;

#endif
