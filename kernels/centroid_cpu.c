#include "centroid.h"

#include "ops.h"
#include "spectrum.h"

#include <float.h>
#include <math.h>

static void emit_centroid(const void *context, struct fft_complex *spectrum, int64_t bins, float *out)
{
    const struct centroid_params *const p = context;
    double weight = 0, moment = 0;
    for (int64_t f = 0; f < bins; f++) {
        const float magnitude = (float)sqrt(spectrum[f].re * spectrum[f].re + spectrum[f].im * spectrum[f].im);
        weight += magnitude;
        moment += (double)f * magnitude;
    }
    const double bin_hz = p->rate_hz / (double)p->stft.frame.window_samples;
    *out = (float)(moment * bin_hz / (weight < FLT_MIN ? 1 : weight));
}

int centroid_cpu(struct exec *ex, const struct centroid_params *p, const void *plan, const struct ragged *x,
                 struct ragged *y)
{
    return spectrum_each(ex, &p->stft, plan, x, y, emit_centroid, p);
}

int centroid(struct exec *ex, const struct centroid_params *p, const struct ragged *x, struct ragged *y)
{
    const void *plan;
    if (!(p->rate_hz > 0 && p->rate_hz <= 1e9))
        return fail(STATUS_ARGUMENT, "centroid: rate of %g Hz, allowed above 0 to 1e9", p->rate_hz);
    int code = spectrum_check("centroid", &p->stft, x, y, DTYPE_F32, 1);
    if (code)
        return code;
    const struct stft_key key = spectrum_key(&p->stft);
    code = exec_plan(ex, exec_ops(ex)->stft_plan, &key, &plan);
    return code ? code : exec_ops(ex)->centroid(ex, p, plan, x, y);
}
