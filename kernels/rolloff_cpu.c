#include "rolloff.h"

#include "spectral_frame.h"

int rolloff_check(const struct spectral_params *p)
{
    if (!(p->rolloff > 0 && p->rolloff < 1))
        return fail(STATUS_ARGUMENT, "rolloff: part %g of the magnitude, allowed above 0 and below 1", p->rolloff);
    return STATUS_OK;
}

void rolloff_frame(const struct spectral_frame *f, float *out)
{
    double total = 0, below = f->magnitude[0];
    int64_t bin = 0;
    for (int64_t i = 0; i < f->bins; i++)
        total += f->magnitude[i];
    while (bin < f->bins - 1 && below < f->p->rolloff * total)
        below += f->magnitude[++bin];
    *out = (float)((double)bin * spectral_bin_hz(f->p));
}
