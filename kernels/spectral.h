/* spectral - everything that is measured on the spectrum of a frame, in one pass over the frames of a ragged batch.
 *
 * The row behind stft, spectrogram, mel, centroid, bandwidth, rolloff, flatness, contrast, flux and poly: each of
 * their headers has the equation of one output and a front for it alone; this front gives any set of them from one
 * transform per frame, with no spectrum in memory unless one is asked for.
 *
 *   equation     X[t,f] as stft.h says; out[o] from X[t] (and X[t-1] for flux) as the header of output o says
 *   shapes       x ragged [B][N_b] f32 in; out[o] NULL or ragged [B][T_b][channels of o] out, complex64 for
 *                SPECTRAL_STFT, else f32, T_b = frame_count(&p->stft.frame, piece of b, N_b)
 *   pieces       as frames.h says; flux says more
 *   limits       those of stft and of each output that is asked for; parameters of others are not looked at.
 *                |x| <= 1e15: squares are taken in f32. Magnitudes below 1e-18 count as 0
 *   not finite   a frame with a NaN or an infinity among its n_fft samples is NaN in every output; no other frame
 *                changes (but flux of the next)
 *   accuracy     transforms are in f32 but for the scalar twin: a bin may err by delta = 5e-7 * |X[t]| / sqrt(F),
 *                |X[t]| the L2 norm of the frame, some 140 dB below it. What is measured on bins that soft (a pure
 *                tone's bandwidth, an empty band in dB) has that noise in it. Each header gives its bound in terms of
 *                delta
 *   ownership    borrows all; scratch of spectral_work_bytes() from exec's arena, given back; plans stay in exec
 *   errors       STATUS_ARGUMENT, STATUS_SHAPE, STATUS_NOMEM (outputs untouched); STATUS_DEVICE (undefined)
 *   determinism  bitwise on one backend and ISA, whatever else is in the batch, asked for, or how many threads */
#ifndef SPECTRAL_H
#define SPECTRAL_H
#include "stft.h"
#ifdef __cplusplus
extern "C" {
#endif

enum spectral_output {
    SPECTRAL_STFT = 0,
    SPECTRAL_SPECTROGRAM = 1,
    SPECTRAL_MEL = 2,
    SPECTRAL_CENTROID = 3,
    SPECTRAL_BANDWIDTH = 4,
    SPECTRAL_ROLLOFF = 5,
    SPECTRAL_FLATNESS = 6,
    SPECTRAL_CONTRAST = 7,
    SPECTRAL_FLUX = 8,
    SPECTRAL_POLY = 9,
    SPECTRAL_OUTPUTS = 10
};

enum { SPECTRAL_ALL = (1 << SPECTRAL_OUTPUTS) - 1 };

struct spectrogram_params {
    double power; /* of the magnitudes */
    bool db;
};

struct mel_bands {
    int32_t mels;     /* M */
    double fmin_hz;   /* lower edge of band 0 */
    double fmax_hz;   /* upper edge of the last band; 0: rate/2 */
    bool htk;         /* HTK's mel scale; else Slaney's */
    bool slaney_norm; /* each band divided by half its width in Hz */
    bool log;         /* decibels */
    double power;     /* 2: power spectrum, 1: magnitudes */
};

struct contrast_bands {
    int32_t bands; /* octaves above fmin; one more lies below */
    double fmin_hz;
    double quantile; /* part of a band that counts as its peak, and as its valley */
};

struct spectral_params {
    struct stft_params stft;
    double rate_hz; /* of x; not looked at for stft, spectrogram, flatness and flux */
    struct spectrogram_params spectrogram;
    struct mel_bands mel;
    double rolloff; /* part of the magnitude that lies below */
    struct contrast_bands contrast;
    int32_t poly_order;
};

/* librosa's defaults. */
static inline struct spectral_params spectral_defaults(double rate_hz)
{
    return (struct spectral_params){
        .stft = {.frame = {2048, 512, true}},
        .rate_hz = rate_hz,
        .spectrogram = {2, false},
        .mel = {.mels = 128, .slaney_norm = true, .power = 2},
        .rolloff = 0.85,
        .contrast = {6, 200, 0.02},
        .poly_order = 1,
    };
}

const char *spectral_name(enum spectral_output o); /* "stft", "mel" .. */

/* Every member alike: do two rows go into one batch? */
bool spectral_params_equal(const struct spectral_params *a, const struct spectral_params *b);

/* Values per frame of an output. */
static inline int64_t spectral_channels(const struct spectral_params *p, enum spectral_output o)
{
    switch (o) {
    case SPECTRAL_STFT:
    case SPECTRAL_SPECTROGRAM:
        return stft_bins(&p->stft);
    case SPECTRAL_MEL:
        return p->mel.mels;
    case SPECTRAL_CONTRAST:
        return 2 * (p->contrast.bands + 1);
    case SPECTRAL_POLY:
        return p->poly_order + 1;
    default:
        return 1;
    }
}

/* What the outputs need beside the spectrum, made by the front; NULL where no output wants it. */
struct spectral_plans {
    const void *stft;
    const struct mel_plan *mel;
    const struct contrast_plan *contrast;
    const struct poly_plan *poly;
};

/* Scratch that the twin of ex's backend takes from exec's arena, per thread at most. */
size_t spectral_work_bytes(const struct exec *ex, const struct spectral_params *p);
size_t spectral_scalar_work_bytes(const struct spectral_params *p);

/* Front: validates, then calls the twin of ex's backend. */
int spectral(struct exec *ex, const struct spectral_params *p, const struct ragged *x,
             struct ragged *const out[SPECTRAL_OUTPUTS]) MUST_USE;

int spectral_cpu(struct exec *ex, const struct spectral_params *p, const struct spectral_plans *plans,
                 const struct ragged *x, struct ragged *const out[SPECTRAL_OUTPUTS]);

#ifdef __cplusplus
}
#endif
#endif
