/* What follows from a configuration: sizes of every layer, codes of every position. */
#include "htdemucs_net.h"

#include <math.h>

int htdemucs_shape(const char *name, struct htdemucs *net)
{
    const struct htdemucs_config *const c = &net->c;
    const int64_t hop = c->n_fft / 4;
    net->frames = (c->segment + hop - 1) / hop;
    net->bins[0] = c->n_fft / 2;
    net->samples[0] = c->segment;
    for (int64_t i = 0; i < c->depth; i++) {
        if (net->bins[i] <= KERNEL || net->bins[i] % STRIDE || channels_of(c, i) / c->compress < 1)
            return fail(STATUS_UNSUPPORTED, "%s: layer %lld has %lld bins and %lld channels: not implemented", name,
                        (long long)i, (long long)net->bins[i], (long long)channels_of(c, i));
        net->bins[i + 1] = net->bins[i] / STRIDE;
        net->samples[i + 1] = (net->samples[i] + STRIDE - 1) / STRIDE;
    }
    net->width = c->bottom ? c->bottom : channels_of(c, c->depth - 1);
    return STATUS_OK;
}

/* Frequency: half of the channels for the frame, half for the bin, sine and cosine side by side. Time: cosines, then
 * sines, the exponent over one less than their number. Rates and angles are rounded to float as PyTorch's are: angles
 * go up to thousands of radians, and what is lost there is part of what the networks were trained with. */
void htdemucs_positions(const struct htdemucs *net, float *frequency, float *time)
{
    const int64_t width = net->width, half = width / 2, bins = net->bins[net->c.depth];
    const float fall = (float)(-(log(net->c.max_period) / (double)half));
    for (int64_t t = 0; t < net->frames; t++)
        for (int64_t f = 0; f < bins; f++)
            for (int64_t k = 0; k < half / 2; k++) {
                const float rate = (float)exp((double)((float)(2 * k) * fall));
                const float frame = (float)t * rate, bin = (float)f * rate;
                float *const to = frequency + (t * bins + f) * width + 2 * k;
                to[0] = (float)sin((double)frame);
                to[1] = (float)cos((double)frame);
                to[half] = (float)sin((double)bin);
                to[half + 1] = (float)cos((double)bin);
            }
    for (int64_t n = 0; n < net->samples[net->c.depth]; n++)
        for (int64_t k = 0; k < half; k++) {
            const float exponent = (float)k / (float)(half > 1 ? half - 1 : 1);
            const float angle = (float)n / (float)pow(net->c.max_period, (double)exponent);
            time[n * width + k] = (float)cos((double)angle);
            time[n * width + half + k] = (float)sin((double)angle);
        }
}
