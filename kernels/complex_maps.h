/* complex_maps - spectra as maps and back: the complex values of each channel become two real channels, bins the width.
 *
 *   equation     y[b,t,f,2*c] = Re x[b,c][t,f]*scale + shift, y[b,t,f,2*c + 1] = Im x[b,c][t,f]*scale + shift; inverse:
 *                x[b,c][t + before, f] = (y[..2*c]*scale + shift) + i*(y[..2*c + 1]*scale + shift), and 0 for frames
 *                before and behind those of y and for bins behind the last of y
 *   shapes       x [B][C][frames][bins] complex64, bins >= W; y maps [B][T][W][2*C]; inverse: frames =
 *                before + T + after. Without `inverse`, frames = T and before = after = 0
 *   ownership    borrows all; no scratch
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE (nothing written); STATUS_DEVICE (output undefined)
 *   determinism  bitwise
 *   accuracy     one rounding each for product and sum
 *   source       demucs 4.1.0 HTDemucs ("complex as channels") */
#ifndef COMPLEX_MAPS_H
#define COMPLEX_MAPS_H
#include "maps.h"
#include "status.h"
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

struct complex_maps_params {
    int64_t bins;          /* of a frame of x */
    int64_t before, after; /* frames of zeros; inverse only */
    float scale, shift;
};

/* Fronts: validate, then call the twin of ex's backend. */
int maps_from_complex(struct exec *ex, const struct complex_maps_params *p, const float *x,
                      const struct maps *y) MUST_USE;
int complex_from_maps(struct exec *ex, const struct complex_maps_params *p, const struct maps *y, float *x) MUST_USE;

int maps_from_complex_cpu(struct exec *ex, const struct complex_maps_params *p, const float *x, const struct maps *y);
int complex_from_maps_cpu(struct exec *ex, const struct complex_maps_params *p, const struct maps *y, float *x);

#ifdef __cplusplus
}
#endif
#endif
