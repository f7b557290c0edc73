#include "flatness.h"

#include "spectral_frame.h"

#include <math.h>

void flatness_frame(const struct spectral_frame *f, float *out)
{
    double logs = 0, sum = 0;
    for (int64_t i = 0; i < f->bins; i++) {
        const double e = spectral_power(f->spectrum[i], 2), power = e < 1e-10 ? 1e-10 : e;
        logs += log(power);
        sum += power;
    }
    *out = (float)(exp(logs / (double)f->bins) / (sum / (double)f->bins));
}
