#include "stft.h"

#include "ops.h"
#include "spectrum.h"

static void emit_bins(const void *context, struct fft_complex *spectrum, int64_t bins, float *out)
{
    (void)context;
    for (int64_t f = 0; f < bins; f++) {
        out[2 * f] = (float)spectrum[f].re;
        out[2 * f + 1] = (float)spectrum[f].im;
    }
}

int stft_cpu(struct exec *ex, const struct stft_params *p, const void *plan, const struct ragged *x, struct ragged *y)
{
    return spectrum_each(ex, p, plan, x, y, emit_bins, NULL);
}

int stft(struct exec *ex, const struct stft_params *p, const struct ragged *x, struct ragged *y)
{
    const void *plan;
    int code = spectrum_check("stft", p, x, y, DTYPE_C64, stft_bins(p), false);
    if (code)
        return code;
    const struct stft_key key = spectrum_key(p);
    code = exec_plan(ex, exec_ops(ex)->stft_plan, &key, &plan);
    return code ? code : exec_ops(ex)->stft(ex, p, plan, x, y);
}
