#include "bandwidth.h"

#include "spectral_frame.h"

#include <float.h>
#include <math.h>

void bandwidth_frame(const struct spectral_frame *f, float *out)
{
    double weight = 0, moment = 0, spread = 0;
    for (int64_t i = 0; i < f->bins; i++) {
        weight += f->magnitude[i];
        moment += (double)i * f->magnitude[i];
    }
    const double norm = weight < FLT_MIN ? 1 : weight, centre = moment / norm;
    for (int64_t i = 0; i < f->bins; i++)
        spread += ((double)i - centre) * ((double)i - centre) * f->magnitude[i];
    *out = (float)(sqrt(spread / norm) * spectral_bin_hz(f->p));
}
