#include "centroid.h"

#include "spectral_frame.h"

#include <float.h>

void centroid_frame(const struct spectral_frame *f, float *out)
{
    double weight = 0, moment = 0;
    for (int64_t i = 0; i < f->bins; i++) {
        weight += f->magnitude[i];
        moment += (double)i * f->magnitude[i];
    }
    *out = (float)(moment * spectral_bin_hz(f->p) / (weight < FLT_MIN ? 1 : weight));
}
