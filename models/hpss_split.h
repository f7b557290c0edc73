/* hpss_split - what sustains, what strikes and what does neither, as three stems of each channel by itself.
 *
 *   equation     X = stft(x); (H, P) = hpss(X) as hpss.h says; harmonic = istft(H), percussive = istft(P),
 *                residual = (x - harmonic) - percussive
 *   stems        harmonic, percussive, residual. Their sum is x but for a rounding of each difference. With margins
 *                of 1 the first two share everything, and the residual holds what stft and back loses (-120 dB)
 *   margins      2 and 2 by default: a bin counts as harmonic where the median along time is well above twice that
 *                along frequency, percussive the other way round; noise, breath and applause are the residual. Two is
 *                what the source takes for both; librosa's default, 1, leaves no residual
 *   result       that of the three operations on the whole signal, bit for bit, wherever blocks are cut
 *   units        those of x; times scale with the sample rate: defaults are for 44.1 and 48 kHz
 *   limits       n_fft even, 64 to 16384; hop 1 to n_fft/4; those of hpss.h
 *   not finite   a sample that is NaN, infinite or beyond 1e9 counts as 0 in its channel, and is NaN in its three
 *                stems; all others are finite
 *   delay        stems come 256 hops at a time, half of kernel_time and a window behind
 *   memory       24 MB with the defaults, and the operations' scratch in exec
 *   errors       create: STATUS_ARGUMENT, STATUS_NOMEM, STATUS_UNSUPPORTED (the exec is not the CPU's); push and
 *                finish: STATUS_ARGUMENT after the end, STATUS_NOMEM, what emit returns
 *   source       librosa 0.11 effects.hpss (n_fft 2048, hop 512, kernels 31, power 2; padded with zeros); FitzGerald
 *                2010; Driedger, Mueller and Disch 2014 for the residual and separation factors of 2. Their masks are
 *                hard, and they go over the signal twice with two windows; ours are soft and go once, as librosa's */
#ifndef HPSS_SPLIT_H
#define HPSS_SPLIT_H
#include "hpss.h"
#include "separation.h"

struct exec;

struct hpss_split_params {
    int32_t n_fft, hop_samples;
    struct hpss_params hpss;
};

static inline struct hpss_split_params hpss_split_defaults(void)
{
    return (struct hpss_split_params){2048, 512, {31, 31, 2, 2, 2}};
}

/* exec and context are borrowed until separation_destroy. */
int hpss_split_create(const struct hpss_split_params *p, struct exec *ex, separation_emit emit, void *context,
                      struct separation **out) MUST_USE;

#endif
