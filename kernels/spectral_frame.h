/* spectral_frame - what the scalar twins of all spectral outputs get to see of one frame. Room-internal. */
#ifndef SPECTRAL_FRAME_H
#define SPECTRAL_FRAME_H
#include "fft.h"
#include "spectral.h"

struct spectral_frame {
    const struct spectral_params *p;
    const struct spectral_plans *plans;
    int64_t bins;                       /* F */
    const struct fft_complex *spectrum; /* [F] */
    const float *magnitude;             /* [F], rounded as librosa's are */
    const float *previous;              /* of the frame before; NULL when the row does not hold it */
    bool first;                         /* the signal's first frame */
    float *scratch;                     /* [F] */
};

typedef void spectral_emit(const struct spectral_frame *f, float *out);

/* Hz from one bin to the next. */
static inline double spectral_bin_hz(const struct spectral_params *p)
{
    return p->rate_hz / (double)p->stft.frame.window_samples;
}

/* |z|^power. */
double spectral_power(struct fft_complex z, double power);

/* Frames [first, first + count) of row b, one of the parts that a batch is cut into for threads. */
struct spectral_span {
    int64_t row, first, count;
    int worker; /* which of the scratch blocks is free for it */
};

/* Calls body for spans that together are all frames of y; those of one worker one after the other, workers side by
 * side. */
int spectral_spread(struct exec *ex, const struct ragged *x, const struct frame_params *frame,
                    int (*body)(void *context, const struct spectral_span *span), void *context) MUST_USE;

#endif
