#include "flux.h"

#include "spectral_frame.h"

#include <math.h>

void flux_frame(const struct spectral_frame *f, float *out)
{
    double sum = 0;
    if (!f->previous) {
        *out = f->first ? 0 : NAN;
        return;
    }
    for (int64_t i = 0; i < f->bins; i++) {
        const double change = (double)f->magnitude[i] - f->previous[i];
        sum += change * change;
    }
    *out = (float)sqrt(sum);
}
