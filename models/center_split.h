/* center_split - what both channels have in common, and the rest.
 *
 *   model        left = C + A, right = C + B: a common signal, and what is only in one channel. With M = (L+R)/2 and
 *                S = (L-R)/2 in the STFT domain, C is sought as a share of M: C = (1-r)*M, A = r*M + S, B = r*M - S.
 *                That A and B do not correlate, sum Re(A * conj(B)) = r^2 * sum |M|^2 - sum |S|^2 = 0, gives r
 *   equation     r[t,f] = min(1, sqrt(sum |S[k,f]|^2 / sum |M[k,f]|^2)) over k = t-1, t, t+1 inside the signal (0 where
 *                S is 0 throughout); c = (left + right)/2 - istft(r * M); center = (c, c),
 *                sides = (left - c, right - c)
 *   stems        center, sides. Their sum is x but for one rounding
 *   what goes    equal channels: all to center, sides exactly 0. One channel only, or opposite channels: all to sides,
 *     where      center below -100 dB. One source at two amplitudes: the smaller of both in the center, what the other
 *                has more in its side. The mask is soft and has no jump anywhere. Phase counts: what is delayed between
 *                the channels, as by stereo reverb or chorus, goes to the sides
 *   why three    sums over three frames estimate what "do not correlate" needs, and smooth the mask in time: 1.3 dB
 *     frames     better than single frames against wide noise, elsewhere within 0.4 dB (README.md)
 *   units        those of x; defaults are for 44.1 and 48 kHz
 *   limits       n_fft even, 64 to 16384; hop 1 to n_fft/4
 *   not finite   where a sample of either channel is NaN, infinite or beyond 1e9, both channels count as 0, and are
 *                NaN in both stems; all others are finite
 *   result       that of the whole signal at once, bit for bit, wherever blocks are cut
 *   delay        stems come 256 hops at a time, some two windows behind
 *   memory       25 MB with the defaults, and the operations' scratch in exec
 *   errors       create: STATUS_ARGUMENT, STATUS_NOMEM, STATUS_UNSUPPORTED (the exec is not the CPU's); push and
 *                finish: STATUS_ARGUMENT after the end, STATUS_NOMEM, what emit returns
 *   source       Avendano and Jot 2004 (centre and ambience from the channels' correlation in the STFT domain); Kraft
 *                and Zoelzer 2015 (stereo upmix by mid and side). The equation is what follows from the model */
#ifndef CENTER_SPLIT_H
#define CENTER_SPLIT_H
#include "separation.h"

struct exec;

struct center_split_params {
    int32_t n_fft, hop_samples;
};

static inline struct center_split_params center_split_defaults(void)
{
    return (struct center_split_params){4096, 1024};
}

/* exec and context are borrowed until separation_destroy. */
int center_split_create(const struct center_split_params *p, struct exec *ex, separation_emit emit, void *context,
                        struct separation **out) MUST_USE;

#endif
