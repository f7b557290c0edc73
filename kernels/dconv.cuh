/* dconv.cuh - what lies between the two products of dconv on the device. Room-internal. */
#ifndef DCONV_CUH
#define DCONV_CUH
#include "dconv.h"
#include "device.cuh"

enum { DCONV_PART = 512 }; /* samples of a signal that a block sums */

/* The narrow tensor a, dense [B][H][W][h], as signals: `signals` side by side in each of `groups` stretches of memory
 * (ALONG_HEIGHT: positions of the width), `samples` long, in `parts`. */
struct device_narrow {
    float *a;
    const float *gain1, *shift1;
    const double *moments; /* of the packed weights */
    int64_t groups, samples, signals, parts;
    int hidden;
    int64_t wide;  /* channels that the second norm is over */
    double *sums;  /* [groups*signals][parts][2] sum, of squares */
    double *grams; /* [groups*signals][parts][h + 1][h]: Gram matrix, sums */
    float *norm;   /* [groups*signals][2] mean, rstd */
};

/* From the product that a holds to the activated one, and to the norm of what conv2 makes of that. */
int dconv_statistics(struct exec *ex, const struct device_narrow *n) MUST_USE;

#endif
