/* rows - the rows of ops.h that have a twin on vectors. Room-internal; contracts are in the headers of the operations.
 */
#ifndef ROWS_H
#define ROWS_H
#include "../ops.h"
#include "simd.h"

size_t SIMD(transform_plan_bytes)(const void *stft_key);
int SIMD(transform_plan_init)(void *plan, const void *stft_key) MUST_USE;

int SIMD(spectral)(struct exec *ex, const struct spectral_params *p, const struct spectral_plans *plans,
                   const struct ragged *x, struct ragged *const out[SPECTRAL_OUTPUTS]);
size_t SIMD(spectral_work_bytes)(const struct spectral_params *p);

int SIMD(rms)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);
int SIMD(peak)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);
int SIMD(zero_crossing)(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);
int SIMD(waveform)(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y);
int SIMD(level)(struct exec *ex, const struct ragged *x, struct level *y);
int SIMD(decibel_peak)(struct exec *ex, const struct ragged *x, float *y);
int SIMD(decibel_clip)(struct exec *ex, struct ragged *x, const float *floor_db);
int SIMD(mfcc)(struct exec *ex, const struct mfcc_plan *plan, const struct ragged *x, const float *floor_db,
               struct ragged *y);
int SIMD(statistics)(struct exec *ex, const struct ragged *x, int64_t block, float *y);
size_t SIMD(resample_plan_bytes)(const void *key);
int SIMD(resample_plan_init)(void *plan, const void *key) MUST_USE;
int SIMD(resample)(struct exec *ex, const void *plan, const struct ragged *x, struct ragged *y);
size_t SIMD(istft_work_bytes)(const struct stft_params *p);
int SIMD(istft)(struct exec *ex, const struct stft_params *p, const void *plan, const struct ragged *x,
                struct ragged *y);
int SIMD(hpss)(struct exec *ex, const struct hpss_params *p, const struct ragged *x, struct ragged *harmonic,
               struct ragged *percussive);
int SIMD(search)(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries,
                 int64_t *index, float *score);

size_t SIMD(conv_pack_bytes)(const struct conv_params *p);
void SIMD(conv_pack)(const struct conv_params *p, const float *weight, const float *bias, float *packed);
int SIMD(conv)(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x,
               const float *scale, const struct maps *add, const struct maps *y);
size_t SIMD(conv_transpose_pack_bytes)(const struct conv_transpose_params *p);
void SIMD(conv_transpose_pack)(const struct conv_transpose_params *p, const float *weight, const float *bias,
                               float *packed);
int SIMD(conv_transpose)(struct exec *ex, const struct conv_transpose_params *p, const float *packed,
                         const struct maps *x, const struct maps *add, const struct maps *y);
size_t SIMD(dconv_pack_bytes)(const struct dconv_params *p);
void SIMD(dconv_pack)(const struct dconv_params *p, const struct dconv_weights *w, float *packed);
size_t SIMD(dconv_work_bytes)(const struct dconv_params *p, const struct maps *x);
int SIMD(dconv)(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x);
int SIMD(layer_norm)(struct exec *ex, const float *gain, const float *shift, const float *add, const struct maps *x,
                     const struct maps *y);
int SIMD(group_norm)(struct exec *ex, const float *gain, const float *shift, const struct maps *x,
                     const struct maps *add, const struct maps *y);
int SIMD(moments)(struct exec *ex, const struct maps *x, float *y);
size_t SIMD(attention_work_bytes)(const struct exec *ex, const struct attention_params *p, int64_t keys);
int SIMD(attention)(struct exec *ex, const struct attention_params *p, const struct tokens *q, const struct tokens *k,
                    const struct tokens *v, const struct tokens *y);
int SIMD(time_stretch)(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y);
int SIMD(phase_step)(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now,
                     const float *before, float *y);

size_t SIMD(conv2d_pack_bytes)(const struct conv2d_params *p, enum conv2d_way way);
int SIMD(conv2d_pack)(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                      const float *bias, float *packed);
int SIMD(conv2d)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
                 const struct maps *y);
int SIMD(conv2d_data)(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                      const struct maps *x);
size_t SIMD(conv2d_work_bytes)(const struct conv2d_params *p, const struct maps *y);
int SIMD(conv2d_weight)(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                        float *gradient);
int SIMD(column_sums)(struct exec *ex, const struct maps *x, float *y);
int SIMD(activate)(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                   const struct activate_norm *norm, const struct maps *x, const struct maps *y);
int SIMD(activate_gradient)(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                            const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                            const struct maps *dx, float *dgain, float *dshift);
int SIMD(adamw)(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks);

extern const struct ops SIMD(ops);

#endif
