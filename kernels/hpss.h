/* hpss - harmonic and percussive parts of spectra, told apart by medians along time and along frequency.
 *
 *   equation     with m = |x|: H[t,f] = median of m[t-a..t+a, f], P[t,f] = median of m[t, f-b..f+b], a and b half the
 *                kernels, the spectrum continued by its mirror image (edge repeated, again and again);
 *                harmonic[t,f] = x * u^p / (u^p + v^p) with u = H, v = P*margin_harmonic, and percussive the same with
 *                u = P, v = H*margin_percussive. Where neither u nor v is above 2^-126 the factor is 1/2 when both
 *                margins are 1, else 0
 *   shapes       x ragged [B][T_b][F] complex64 in; harmonic, percussive ragged [B][T_b][F] complex64 out, or NULL
 *   pieces       whole signals only
 *   units        those of x
 *   limits       kernels odd, 1 to 255; margins >= 1; 0 < power <= 8, or infinite: all to the larger; F <= 32769
 *   not finite   a row that holds a NaN or an infinity is NaN throughout
 *   ownership    borrows all; scratch of hpss_work_bytes() from exec's arena, given back
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (outputs untouched); STATUS_DEVICE (undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch, or how many threads
 *   accuracy     relative L2 of a row <= 1e-5 against oracle_hpss; asserted in test_hpss.c
 *   source       librosa 0.11 decompose.hpss (kernels 31, power 2, margin 1), util.softmask; FitzGerald 2010, Driedger
 *                et al. 2014 for margins */
#ifndef HPSS_H
#define HPSS_H
#include "ragged.h"
#include "status.h"

#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;

enum { HPSS_KERNEL_MOST = 255 };

struct hpss_params {
    int32_t kernel_time, kernel_frequency; /* frames, bins */
    double power;
    double margin_harmonic, margin_percussive;
};

/* Value i of n that are continued by their mirror image, the edge repeated. */
static inline HOST_DEVICE int64_t hpss_mirror(int64_t i, int64_t n)
{
    const int64_t turn = ((i % (2 * n)) + 2 * n) % (2 * n);
    return turn < n ? turn : 2 * n - 1 - turn;
}

/* Scratch on the CPU for spectra of `bins` bins, per thread at most. */
size_t hpss_work_bytes(const struct hpss_params *p, int64_t bins);

/* Front: validates, then calls the twin of ex's backend. */
int hpss(struct exec *ex, const struct hpss_params *p, const struct ragged *x, struct ragged *harmonic,
         struct ragged *percussive) MUST_USE;

int hpss_cpu(struct exec *ex, const struct hpss_params *p, const struct ragged *x, struct ragged *harmonic,
             struct ragged *percussive);

#ifdef __cplusplus
}
#endif
#endif
