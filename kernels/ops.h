/* ops - the one front of this room: a row per operation, a table per backend.
 *
 * Letters, the same everywhere: B rows of a batch (signals, or pieces of signals), C channels, N samples of a row,
 * F frequency bins (n_fft/2 + 1), T frames of a row, M mel bands. Audio is row-major with the channels of one sample
 * side by side; values per frame are [T][F] or [T][M].
 *
 * NAME(...) is the front: it validates once, fetches the plan from exec's cache and calls exec_ops(ex)->NAME. The twins
 * (NAME_cpu, later NAME_cuda) assume what the front has checked, allocate nothing but scratch from exec's arena, print
 * nothing and have no state. Plans differ between backends, so each table says how its own are made. */
#ifndef OPS_H
#define OPS_H
#include "activate.h"
#include "adamw.h"
#include "add_maps.h"
#include "add_planar.h"
#include "attention.h"
#include "bandwidth.h"
#include "centroid.h"
#include "column_sums.h"
#include "complex_maps.h"
#include "contrast.h"
#include "conv.h"
#include "conv2d.h"
#include "conv_transpose.h"
#include "dconv.h"
#include "decibel.h"
#include "exec.h"
#include "flatness.h"
#include "flux.h"
#include "frames.h"
#include "gradient_norm.h"
#include "group_norm.h"
#include "hpss.h"
#include "istft.h"
#include "latent.h"
#include "layer_norm.h"
#include "level.h"
#include "margins.h"
#include "mel.h"
#include "mfcc.h"
#include "mirror.h"
#include "mixdown.h"
#include "moments.h"
#include "peak.h"
#include "phase_step.h"
#include "poly.h"
#include "ragged.h"
#include "reconstruction.h"
#include "resample.h"
#include "rms.h"
#include "rolloff.h"
#include "search.h"
#include "spectral.h"
#include "spectrogram.h"
#include "standardize.h"
#include "statistics.h"
#include "stft.h"
#include "time_stretch.h"
#include "waveform.h"
#include "zero_crossing.h"
#ifdef __cplusplus
extern "C" {
#endif

struct ops {
    const struct plan_kind *stft_plan;     /* of the spectral row; parameters: struct stft_key */
    const struct plan_kind *mel_plan;      /* struct mel_key */
    const struct plan_kind *contrast_plan; /* struct contrast_key */
    const struct plan_kind *poly_plan;     /* struct poly_key */
    const struct plan_kind *mfcc_plan;     /* struct mfcc_key */
    const struct plan_kind *resample_plan; /* struct resample_key */

    uint64_t spectral_outputs; /* bit o: this backend gives output o */
    size_t (*spectral_work_bytes)(const struct spectral_params *);
    int (*spectral)(struct exec *, const struct spectral_params *, const struct spectral_plans *,
                    const struct ragged *x, struct ragged *const y[SPECTRAL_OUTPUTS]);
    size_t (*istft_work_bytes)(const struct stft_params *);
    int (*istft)(struct exec *, const struct stft_params *, const void *plan, const struct ragged *x, struct ragged *y);
    int (*rms)(struct exec *, const struct frame_params *, const struct ragged *x, struct ragged *y);
    int (*peak)(struct exec *, const struct frame_params *, const struct ragged *x, struct ragged *y);
    int (*zero_crossing)(struct exec *, const struct frame_params *, const struct ragged *x, struct ragged *y);
    int (*waveform)(struct exec *, int64_t block, const struct ragged *x, struct ragged *y);
    int (*level)(struct exec *, const struct ragged *x, struct level *y);
    int (*mixdown)(struct exec *, const struct ragged *x, struct ragged *y);
    int (*decibel_peak)(struct exec *, const struct ragged *x, float *y);
    int (*decibel_clip)(struct exec *, struct ragged *x, const float *floor_db);
    int (*mfcc)(struct exec *, const struct mfcc_plan *, const struct ragged *x, const float *floor_db,
                struct ragged *y);
    int (*statistics)(struct exec *, const struct ragged *x, int64_t block, float *y);
    int (*hpss)(struct exec *, const struct hpss_params *, const struct ragged *x, struct ragged *harmonic,
                struct ragged *percussive);
    int (*resample)(struct exec *, const void *plan, const struct ragged *x, struct ragged *y);
    int (*search)(struct exec *, const struct search_params *, const float *vectors, const float *queries,
                  int64_t *index, float *score);

    /* Networks, on maps (maps.h). */
    size_t (*conv_pack_bytes)(const struct conv_params *);
    void (*conv_pack)(const struct conv_params *, const float *weight, const float *bias, float *packed);
    int (*conv)(struct exec *, const struct conv_params *, const float *packed, const struct maps *x,
                const float *scale, const struct maps *add, const struct maps *y);
    size_t (*conv_transpose_pack_bytes)(const struct conv_transpose_params *);
    void (*conv_transpose_pack)(const struct conv_transpose_params *, const float *weight, const float *bias,
                                float *packed);
    int (*conv_transpose)(struct exec *, const struct conv_transpose_params *, const float *packed,
                          const struct maps *x, const struct maps *add, const struct maps *y);
    size_t (*dconv_pack_bytes)(const struct dconv_params *);
    void (*dconv_pack)(const struct dconv_params *, const struct dconv_weights *, float *packed);
    size_t (*dconv_work_bytes)(const struct dconv_params *, const struct maps *x);
    int (*dconv)(struct exec *, const struct dconv_params *, const float *packed, const struct maps *x);
    int (*layer_norm)(struct exec *, const float *gain, const float *shift, const float *add, const struct maps *x,
                      const struct maps *y);
    int (*group_norm)(struct exec *, const float *gain, const float *shift, const struct maps *x,
                      const struct maps *add, const struct maps *y);
    int (*moments)(struct exec *, const struct maps *x, float *y);
    size_t (*attention_work_bytes)(const struct exec *, const struct attention_params *, int64_t keys);
    int (*attention)(struct exec *, const struct attention_params *, const struct tokens *q, const struct tokens *k,
                     const struct tokens *v, const struct tokens *y);
    int (*maps_from_complex)(struct exec *, const struct complex_maps_params *, const float *x, const struct maps *y);
    int (*complex_from_maps)(struct exec *, const struct complex_maps_params *, const struct maps *y, float *x);
    int (*clear_margins)(struct exec *, const struct maps *);
    int (*mirror)(struct exec *, int64_t before, const struct maps *x, int64_t samples, float *y);
    int (*standardize)(struct exec *, const float *moments, float epsilon, const struct maps *x, const struct maps *y);
    int (*unstandardize)(struct exec *, const float *moments, const struct maps *x, const struct maps *y);
    int (*add_maps)(struct exec *, const struct maps *a, const struct maps *b, const struct maps *y);
    int (*add_planar)(struct exec *, const float *planar, int64_t stride, const struct maps *x, const struct maps *y);

    /* Training, on maps. */
    size_t (*conv2d_pack_bytes)(const struct conv2d_params *, enum conv2d_way);
    int (*conv2d_pack)(struct exec *, const struct conv2d_params *, enum conv2d_way, const float *weight,
                       const float *bias, float *packed);
    int (*conv2d)(struct exec *, const struct conv2d_params *, const float *packed, const struct maps *x,
                  const struct maps *y);
    int (*conv2d_data)(struct exec *, const struct conv2d_params *, const float *packed, const struct maps *y,
                       const struct maps *x);
    size_t (*conv2d_work_bytes)(const struct conv2d_params *, const struct maps *y);
    int (*conv2d_weight)(struct exec *, const struct conv2d_params *, const struct maps *x, const struct maps *y,
                         float *gradient);
    int (*column_sums)(struct exec *, const struct maps *x, float *y);
    int (*activate)(struct exec *, const struct activate_params *, const struct step_state *,
                    const struct activate_norm *, const struct maps *x, const struct maps *y);
    int (*activate_gradient)(struct exec *, const struct activate_params *, const struct step_state *,
                             const struct activate_norm *, const struct maps *x, const struct maps *dy,
                             const struct maps *dx, float *dgain, float *dshift);
    int (*latent)(struct exec *, const struct latent_params *, struct step_state *, const float *h, float *z,
                  float *kl);
    int (*latent_gradient)(struct exec *, const struct latent_params *, const struct step_state *, const float *h,
                           const float *kl, const float *dz, float *dh);
    int (*reconstruction)(struct exec *, const struct reconstruction_params *, struct step_state *,
                          const struct maps *y, const struct maps *x, const struct maps *dy);
    int (*gradient_norm)(struct exec *, struct step_state *, const float *g, int64_t n);
    int (*adamw)(struct exec *, const struct step_state *, const struct adamw_blocks *);
    /* Phases of spectra. */
    int (*time_stretch)(struct exec *, const double *rate, const struct ragged *x, struct ragged *y);
    int (*phase_step)(struct exec *, double ahead, int64_t n, const float *magnitude, const float *now,
                      const float *before, float *y);
};

/* Calls a row of ex's backend; STATUS_UNSUPPORTED where the backend has none: the caller decides what takes its place.
 */
#define OPS_CALL(ex, row, ...) (exec_ops(ex)->row ? exec_ops(ex)->row(__VA_ARGS__) : ops_missing(ex, #row))
int ops_missing(const struct exec *ex, const char *row) MUST_USE;

/* The CPU's table for an instruction set; NULL where this build has none for it. */
const struct ops *ops_cpu(enum exec_isa isa);

#ifdef __cplusplus
}
#endif
#endif
