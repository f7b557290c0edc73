/* mel - mel spectrogram of a ragged batch of mono signals, straight from the samples; optionally in decibels.
 *
 *   equation     e[t,m] = sum_f W[m,f] * |X[t,f]|^power, X = stft(x); y = e, or when log: 10*log10(max(1e-10, e)).
 *                W[m,f] = max(0, min((f_hz - l) / (c - l), (u - f_hz) / (u - c))) with l < c < u three neighbours of
 *                M + 2 frequencies spaced evenly in mel from fmin to fmax; times 2 / (u - l) when slaney_norm
 *   shapes       x ragged [B][N_b] f32 in; y ragged [B][T_b][M] f32 out (channels M, offsets count frames),
 *                T_b = frame_count(&p->stft.frame, piece of b, N_b); W [M][F]
 *   pieces       as stft.h. There is no clip relative to the loudest value (librosa's top_db, 80 by default): a piece
 *                cannot know it; that is the caller's second pass over the finished dB values
 *   units        x linear, full scale 1.0; y in units of |X|^power, or dB relative to 1.0; frequencies in Hz
 *   limits       those of stft; 1 <= mels <= 4096; 0 <= fmin < fmax <= rate/2 (fmax 0: rate/2); 0 < rate <= 1e9;
 *                0 < power <= 8. A band so narrow that no bin falls into it is allowed (librosa warns): its values are
 *                0, or -100 dB. Bands whose corners are equal in double are refused
 *   not finite   a frame with a NaN or an infinity among its n_fft samples is NaN in every band; no other frame changes
 *   ownership    borrows all; scratch of stft_work_bytes() from exec's arena, given back; the plan stays in exec
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (y untouched); STATUS_DEVICE (y undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch
 *   accuracy     relative L2 of a frame <= 1e-6 (linear and dB) against oracle_mel in double; asserted in test_mel.c
 *   source       librosa 0.11 feature.melspectrogram, filters.mel (weights rounded to float32 as there),
 *                power_to_db(ref=1, amin=1e-10, top_db=None). librosa's defaults: 128 mels, power 2, Slaney scale
 *                and norm, fmin 0, fmax rate/2 */
#ifndef MEL_H
#define MEL_H
#include "stft.h"
#ifdef __cplusplus
extern "C" {
#endif

struct mel_params {
    struct stft_params stft;
    int32_t mels;     /* M */
    double rate_hz;   /* of x */
    double fmin_hz;   /* lower edge of band 0 */
    double fmax_hz;   /* upper edge of the last band; 0: rate/2 */
    bool htk;         /* HTK's mel scale; else Slaney's */
    bool slaney_norm; /* each band divided by half its width in Hz */
    bool log;         /* decibels */
    double power;     /* 2: power spectrum, 1: magnitudes */
};

/* What a plan depends on; no padding, so that bytes compare. */
struct mel_key {
    struct stft_key stft;
    int64_t mels;
    double rate_hz, fmin_hz, fmax_hz; /* fmax_hz > 0 */
    int64_t htk, slaney_norm;
};

/* The plan of the CPU twin: that of stft, then the bands' weights. For struct plan_kind. */
size_t mel_plan_bytes(const void *key);
int mel_plan_init(void *plan, const void *key);

/* Front: validates, then calls the twin of ex's backend. */
int mel(struct exec *ex, const struct mel_params *p, const struct ragged *x, struct ragged *y) MUST_USE;

int mel_cpu(struct exec *ex, const struct mel_params *p, const void *plan, const struct ragged *x, struct ragged *y);

#ifdef __cplusplus
}
#endif
#endif
