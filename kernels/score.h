/* score - how far separated stems lie from the true ones: the SDR of the MDX challenge, SI-SDR, and BSS Eval.
 *
 * Measured offline, in double and on the CPU alone: there is no row in ops.h and no twin. A score is a ratio of
 * energies that may lie 100 dB apart and is looked at to two digits behind the point; f32 on a device would be another
 * measure.
 *
 *   equation     s reference, e estimate, ||.||^2 the sum of squares over all samples and channels:
 *                score_sdr_mdx  10*log10((||s||^2 + 1e-7) / (||s - e||^2 + 1e-7)), of one stem of one song. What is
 *                               published is the mean over the stems of a song, then over songs
 *                score_si_sdr   10*log10(||a*s||^2 / ||a*s - e||^2), a = <e,s> / ||s||^2; zero_mean takes the mean
 *                               of each channel away from s and e first. All channels share one a; per_channel
 *                               gives each its own, and the result is the mean of the channels' dB
 *                score_bss      P_j e is the least-squares projection of e, channel by channel, on all channels of
 *                               reference j delayed by 0 .. taps-1 samples; P e the one on all references:
 *                                 sdr       ||s_j||^2   / ||e - s_j||^2        (images)
 *                                 isr       ||s_j||^2   / ||P_j e - s_j||^2
 *                                 sir       ||P_j e||^2 / ||P e - P_j e||^2
 *                                 sar       ||P e||^2   / ||e - P e||^2
 *                                 sdr_filt  ||P_j e||^2 / ||e - P_j e||^2      (sources)
 *                               as 10*log10, signals being taps-1 samples longer after a projection
 *   shapes       signals [N][C] f32, equal in N and C throughout; y [score_bss_frames()][sources] out
 *   frames       window 0: one frame, the whole signal. Else windows of `window` samples every `hop`, whole ones only.
 *                Filters of each frame (BSS Eval 3; mir_eval's *_framewise): fewer than two windows give the whole
 *                signal as one frame. Filters of the whole (BSS Eval 4; museval, whose published figure is the median
 *                over frames of 1 s): window >= N gives one frame
 *   permute      reference j meets the estimate that y.estimate names: the order of the largest mean SIR, the first
 *                of equal ones; with filters of the whole one order for all frames. Else estimate j
 *   units        y in dB
 *   limits       1 <= N <= 2^40; 1 <= C <= 64; 1 <= taps <= 4096; sources >= 1; sources * C * taps <= 16384; permute:
 *                sources <= 8; window and hop >= 1, or window 0
 *   silence      samples that are all 0. score_sdr_mdx: defined (s: <= 0 dB; both: 0 dB). score_si_sdr: NaN.
 *                score_bss: where any reference or estimate is silent in a frame, all values of that frame are NaN;
 *                its estimates are in order with filters of each frame. mir_eval does so for frames and raises for
 *                the whole. (It also calls a source silent whose channels cancel; this does not.) One silent channel
 *                of a stem is no silence
 *   infinities   a denominator that is 0 gives +infinity: a perfect estimate, SIR of a single source; a numerator
 *                that is 0 gives -infinity
 *   rank         references that are copies or delays of each other (both channels of a mono stem) have many best
 *                filters and one projection: what lies within n * 2^-52 of the others, n = sources * C * taps, adds
 *                nothing
 *   memory       score_bss_work_bytes(): 4 * n^2 bytes for the normal equations and little else, whatever N; n = 2048
 *                (4 mono stems) 21 MB, 4096 (4 stereo stems) 78 MB, 16384 1.3 GB at most
 *   time         n^3/3 operations, in each frame where filters are its own, and 40 transforms per 7,000 samples: 4
 *                stereo stems of 30 s take 5 s on one core, every further second 0.05 s
 *   pieces       the whole signal as one frame, not permuted, also without having it in memory: two passes over pieces
 *                of any size, all signals side by side; score_bss's bits. score_plain: score_sdr_mdx and score_si_sdr
 *                (neither zero_mean nor per_channel) of one stem in the same two passes, to 1e-9 dB
 *   ownership    borrows all; the caller owns work, 64-byte aligned; after the call nothing in it is needed
 *   errors       STATUS_ARGUMENT: a parameter; a NaN or an infinity among the samples. STATUS_SHAPE: N or C differ, or
 *                are out of range. y is untouched
 *   determinism  bitwise
 *   accuracy     score_sdr_mdx, score_si_sdr: 1e-9 dB up to 100 dB. score_bss: within 1e-8 dB of projections in long
 *                double, up to 60 dB; within 1e-6 dB of mir_eval 0.8.2 and 2e-5 dB of museval 0.4.1 on mir_eval's own
 *                test data, where those solve nearly singular equations; asserted in test_score.c, test_score_bss.c
 *   source       score_sdr_mdx: Mitsufuji et al., Music Demixing Challenge 2021, equation 2, and its starter kit.
 *                score_si_sdr: Le Roux et al., SDR - half-baked or well done?, ICASSP 2019, equation 4 (no mean is
 *                taken away); torchmetrics adds an epsilon to every sum, has zero_mean too, and leaves the mean over
 *                channels to its caller. score_bss: Vincent, Gribonval, Fevotte 2006; mir_eval.separation; museval */
#ifndef SCORE_H
#define SCORE_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum {
    SCORE_TAPS = 512, /* what everybody uses */
    SCORE_TAPS_MOST = 4096,
    SCORE_CHANNELS_MOST = 64,
    SCORE_UNKNOWNS_MOST = 16384,
    SCORE_PERMUTED_MOST = 8
};

struct score_signal {
    const float *data; /* [samples][channels] */
    int64_t samples;
    int32_t channels;
};

struct score_si_sdr_params {
    bool zero_mean;
    bool per_channel;
};

struct score_bss_params {
    int32_t sources;
    int32_t taps;
    int64_t window_samples, hop_samples; /* window 0: the whole signal */
    bool filters_of_whole;
    bool permute;
};

struct score_bss {
    double sdr, isr, sir, sar, sdr_filt;
    int32_t estimate; /* that was held against this reference */
};

int score_sdr_mdx(const struct score_signal *reference, const struct score_signal *estimate, double *db) MUST_USE;
int score_si_sdr(const struct score_si_sdr_params *p, const struct score_signal *reference,
                 const struct score_signal *estimate, double *db) MUST_USE;

/* Frames that signals of `samples` samples give; parameters and samples within the limits. */
int64_t score_bss_frames(const struct score_bss_params *p, int64_t samples);

/* Scratch for signals of `channels` channels; 0 where the parameters are outside the limits. */
size_t score_bss_work_bytes(const struct score_bss_params *p, int32_t channels);

/* reference and estimate: [sources]. */
int score_bss(const struct score_bss_params *p, const struct score_signal *reference,
              const struct score_signal *estimate, void *work, struct score_bss *y) MUST_USE;

/* ---- in pieces ---- */

/* Scratch of score_pieces; 0 where the parameters are outside the limits, have a window, or permute. */
size_t score_pieces_bytes(const struct score_bss_params *p, int32_t channels);

/* Lies in work, which is 64-byte aligned. */
struct score_pieces;
int score_pieces_begin(const struct score_bss_params *p, int32_t channels, void *work,
                       struct score_pieces **out) MUST_USE;

/* From now on alive(context) is called now and then also while the filters are computed, every second or so. */
void score_pieces_keep_alive(struct score_pieces *s, void (*alive)(void *context), void *context);

/* reference, estimate: [sources], samples `first` and following of each. `first` is at most score_pieces_keep(), and
 * what lies before that is not needed any more. ended: this is the end of the signal, and of the pass: the filters are
 * computed at the end of the first; the second begins with sample 0 again. STATUS_SHAPE also: the second has another
 * length, or begins behind what is to be kept. */
int score_pieces_take(struct score_pieces *s, const struct score_signal *reference, const struct score_signal *estimate,
                      int64_t first, bool ended) MUST_USE;
int64_t score_pieces_keep(const struct score_pieces *s);

/* After both passes. */
void score_pieces_end(const struct score_pieces *s, struct score_bss *y);

struct score_plain {
    double truth, error, cross; /* of the first pass */
    double target, rest;        /* of the second */
};
int score_plain_first(struct score_plain *s, const struct score_signal *reference,
                      const struct score_signal *estimate) MUST_USE;
int score_plain_second(struct score_plain *s, const struct score_signal *reference,
                       const struct score_signal *estimate) MUST_USE;
double score_plain_sdr_mdx(const struct score_plain *s);
double score_plain_si_sdr(const struct score_plain *s);

#ifdef __cplusplus
}
#endif
#endif
