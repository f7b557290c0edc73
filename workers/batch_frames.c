/* Rows of samples, measured frame by frame. The parts that come out are in the order of offload_frames. */
#include "batch.h"

static bool same_bits(const struct offload_frames *a, const struct offload_frames *b)
{
    bool same = !a->rms == !b->rms && !a->peak == !b->peak && !a->zero_crossing == !b->zero_crossing &&
                !a->loudest == !b->loudest;
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++)
        same &= !a->spectral[i] == !b->spectral[i];
    return same;
}

static bool joins(const struct work *a, const struct work *b)
{
    const struct offload_frames *const f = a->wish, *const g = b->wish;
    return same_bits(f, g) && spectral_params_equal(f->p, g->p);
}

/* A result of all rows, on the device. */
static struct ragged result(const struct batch *b, const struct ragged *one, int part)
{
    struct ragged y = batch_rows(b, batch_out(b, part), one->channels, true);
    y.dtype = one->dtype;
    return y;
}

static int compute(struct batch *b)
{
    const struct offload_frames *const f = b->works->wish;
    const struct frame_params *const frame = &f->p->stft.frame;
    const struct ragged x = batch_rows(b, batch_in(b, 0), 1, false);
    struct ragged y, spectra[SPECTRAL_OUTPUTS], *spectral_y[SPECTRAL_OUTPUTS] = {0};
    int part = 0, code = STATUS_OK;
    bool any = false;
    if (f->rms) {
        y = result(b, f->rms, part++);
        code = rms(b->ex, frame, &x, &y);
    }
    if (!code && f->peak) {
        y = result(b, f->peak, part++);
        code = peak(b->ex, frame, &x, &y);
    }
    if (!code && f->zero_crossing) {
        y = result(b, f->zero_crossing, part++);
        code = zero_crossing(b->ex, frame, &x, &y);
    }
    for (int i = 0; i < SPECTRAL_OUTPUTS; i++)
        if (f->spectral[i]) {
            spectra[i] = result(b, f->spectral[i], part++);
            spectral_y[i] = &spectra[i];
            any = true;
        }
    code = code || !any ? code : spectral(b->ex, f->p, &x, spectral_y);
    return code || !f->loudest ? code : decibel_peak(b->ex, &spectra[SPECTRAL_MEL], batch_out(b, part));
}

const struct work_kind frames_kind = {joins, compute};
