#include "spectrogram.h"

#include "spectral_frame.h"

#include <math.h>

int spectrogram_check(const struct spectral_params *p)
{
    const double power = p->spectrogram.power;
    if (!(power > 0 && power <= 8))
        return fail(STATUS_ARGUMENT, "spectrogram: power %g, allowed above 0 to 8", power);
    if (p->spectrogram.db && power != 1 && power != 2)
        return fail(STATUS_ARGUMENT, "spectrogram: decibels of power %g, allowed 1 and 2", power);
    return STATUS_OK;
}

void spectrogram_frame(const struct spectral_frame *f, float *out)
{
    const struct spectrogram_params *const s = &f->p->spectrogram;
    for (int64_t i = 0; i < f->bins; i++) {
        const double e = spectral_power(f->spectrum[i], s->db ? 2 : s->power);
        out[i] = (float)(s->db ? 10 * log10(e < 1e-10 ? 1e-10 : e) : e);
    }
}
