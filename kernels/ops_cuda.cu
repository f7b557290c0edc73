/* The CUDA backend's table, and the one symbol that the module exports. A row that is missing here says why. */
#include "module.h"
#include "ops.h"
#include "spectral.cuh"

#include <stdlib.h>
#include <string.h>

extern "C" {
int rms_cuda(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);
int peak_cuda(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);
int zero_crossing_cuda(struct exec *ex, const struct frame_params *p, const struct ragged *x, struct ragged *y);
int waveform_cuda(struct exec *ex, int64_t block, const struct ragged *x, struct ragged *y);
int level_cuda(struct exec *ex, const struct ragged *x, struct level *y);
int mixdown_cuda(struct exec *ex, const struct ragged *x, struct ragged *y);
int decibel_peak_cuda(struct exec *ex, const struct ragged *x, float *y);
int decibel_clip_cuda(struct exec *ex, struct ragged *x, const float *floor_db);
extern const struct plan_kind mfcc_device_plan_kind;
int mfcc_cuda(struct exec *ex, const struct mfcc_plan *plan, const struct ragged *x, const float *floor_db,
              struct ragged *y);
int statistics_cuda(struct exec *ex, const struct ragged *x, int64_t block, float *y);
int spectral_cuda(struct exec *ex, const struct spectral_params *p, const struct spectral_plans *plans,
                  const struct ragged *x, struct ragged *const out[SPECTRAL_OUTPUTS]);
size_t spectral_cuda_work_bytes(const struct spectral_params *p);
int resample_cuda(struct exec *ex, const void *plan, const struct ragged *x, struct ragged *y);
extern const struct plan_kind resample_device_plan_kind;
int search_cuda(struct exec *ex, const struct search_params *p, const float *vectors, const float *queries,
                int64_t *index, float *score);
int hpss_cuda(struct exec *ex, const struct hpss_params *p, const struct ragged *x, struct ragged *harmonic,
              struct ragged *percussive);
size_t conv_cuda_pack_bytes(const struct conv_params *p);
void conv_cuda_pack(const struct conv_params *p, const float *weight, const float *bias, float *packed);
int conv_cuda(struct exec *ex, const struct conv_params *p, const float *packed, const struct maps *x,
              const float *scale, const struct maps *add, const struct maps *y);
size_t conv_transpose_cuda_pack_bytes(const struct conv_transpose_params *p);
void conv_transpose_cuda_pack(const struct conv_transpose_params *p, const float *weight, const float *bias,
                              float *packed);
int conv_transpose_cuda(struct exec *ex, const struct conv_transpose_params *p, const float *packed,
                        const struct maps *x, const struct maps *add, const struct maps *y);
size_t dconv_cuda_pack_bytes(const struct dconv_params *p);
void dconv_cuda_pack(const struct dconv_params *p, const struct dconv_weights *w, float *packed);
size_t dconv_cuda_work_bytes(const struct dconv_params *p, const struct maps *x);
int dconv_cuda(struct exec *ex, const struct dconv_params *p, const float *packed, const struct maps *x);
int istft_cuda(struct exec *ex, const struct stft_params *p, const void *plan, const struct ragged *x,
               struct ragged *y);
size_t istft_cuda_work_bytes(const struct stft_params *p);
int layer_norm_cuda(struct exec *ex, const float *gain, const float *shift, const float *add, const struct maps *x,
                    const struct maps *y);
int group_norm_cuda(struct exec *ex, const float *gain, const float *shift, const struct maps *x,
                    const struct maps *add, const struct maps *y);
int moments_cuda(struct exec *ex, const struct maps *x, float *y);
int attention_cuda(struct exec *ex, const struct attention_params *p, const struct tokens *q, const struct tokens *k,
                   const struct tokens *v, const struct tokens *y);
int maps_from_complex_cuda(struct exec *ex, const struct complex_maps_params *p, const float *x, const struct maps *y);
int complex_from_maps_cuda(struct exec *ex, const struct complex_maps_params *p, const struct maps *y, float *x);
int clear_margins_cuda(struct exec *ex, const struct maps *m);
int mirror_cuda(struct exec *ex, int64_t before, const struct maps *x, int64_t samples, float *y);
int standardize_cuda(struct exec *ex, const float *moments, float epsilon, const struct maps *x, const struct maps *y);
int unstandardize_cuda(struct exec *ex, const float *moments, const struct maps *x, const struct maps *y);
int add_maps_cuda(struct exec *ex, const struct maps *a, const struct maps *b, const struct maps *y);
int add_planar_cuda(struct exec *ex, const float *planar, int64_t stride, const struct maps *x, const struct maps *y);
int time_stretch_cuda(struct exec *ex, const double *rate, const struct ragged *x, struct ragged *y);
int phase_step_cuda(struct exec *ex, double ahead, int64_t n, const float *magnitude, const float *now,
                    const float *before, float *y);
int column_sums_cuda(struct exec *ex, const struct maps *x, float *y);
int activate_cuda(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                  const struct activate_norm *norm, const struct maps *x, const struct maps *y);
int activate_gradient_cuda(struct exec *ex, const struct activate_params *p, const struct step_state *state,
                           const struct activate_norm *norm, const struct maps *x, const struct maps *dy,
                           const struct maps *dx, float *dgain, float *dshift);
int latent_cuda(struct exec *ex, const struct latent_params *p, struct step_state *state, const float *h, float *z,
                float *kl);
int latent_gradient_cuda(struct exec *ex, const struct latent_params *p, const struct step_state *state, const float *h,
                         const float *kl, const float *dz, float *dh);
int reconstruction_cuda(struct exec *ex, const struct reconstruction_params *p, struct step_state *state,
                        const struct maps *y, const struct maps *x, const struct maps *dy);
int gradient_norm_cuda(struct exec *ex, struct step_state *state, const float *g, int64_t n);
int adamw_cuda(struct exec *ex, const struct step_state *state, const struct adamw_blocks *blocks);
size_t conv2d_cuda_pack_bytes(const struct conv2d_params *p, enum conv2d_way way);
int conv2d_pack_cuda(struct exec *ex, const struct conv2d_params *p, enum conv2d_way way, const float *weight,
                     const float *bias, float *packed);
int conv2d_cuda(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *x,
                const struct maps *y);
int conv2d_data_cuda(struct exec *ex, const struct conv2d_params *p, const float *packed, const struct maps *y,
                     const struct maps *x);
size_t conv2d_cuda_work_bytes(const struct conv2d_params *p, const struct maps *y);
int conv2d_weight_cuda(struct exec *ex, const struct conv2d_params *p, const struct maps *x, const struct maps *y,
                       float *gradient);
}

static const struct ops ops = {
    .stft_plan = &stft_device_plan_kind,
    .mel_plan = &mel_device_plan_kind,
    .contrast_plan = &contrast_device_plan_kind,
    .poly_plan = &poly_device_plan_kind,
    .mfcc_plan = &mfcc_device_plan_kind,
    .resample_plan = &resample_device_plan_kind,
    .spectral_outputs = SPECTRAL_ALL,
    .spectral_work_bytes = spectral_cuda_work_bytes,
    .spectral = spectral_cuda,
    .istft_work_bytes = istft_cuda_work_bytes,
    .istft = istft_cuda,
    .rms = rms_cuda,
    .peak = peak_cuda,
    .zero_crossing = zero_crossing_cuda,
    .waveform = waveform_cuda,
    .level = level_cuda,
    .mixdown = mixdown_cuda,
    .decibel_peak = decibel_peak_cuda,
    .decibel_clip = decibel_clip_cuda,
    .mfcc = mfcc_cuda,
    .statistics = statistics_cuda,
    .hpss = hpss_cuda,
    .resample = resample_cuda,
    .search = search_cuda,
    .conv_pack_bytes = conv_cuda_pack_bytes,
    .conv_pack = conv_cuda_pack,
    .conv = conv_cuda,
    .conv_transpose_pack_bytes = conv_transpose_cuda_pack_bytes,
    .conv_transpose_pack = conv_transpose_cuda_pack,
    .conv_transpose = conv_transpose_cuda,
    .dconv_pack_bytes = dconv_cuda_pack_bytes,
    .dconv_pack = dconv_cuda_pack,
    .dconv_work_bytes = dconv_cuda_work_bytes,
    .dconv = dconv_cuda,
    .layer_norm = layer_norm_cuda,
    .group_norm = group_norm_cuda,
    .moments = moments_cuda,
    .attention = attention_cuda, /* without attention_work_bytes: it takes none */
    .maps_from_complex = maps_from_complex_cuda,
    .complex_from_maps = complex_from_maps_cuda,
    .clear_margins = clear_margins_cuda,
    .mirror = mirror_cuda,
    .standardize = standardize_cuda,
    .unstandardize = unstandardize_cuda,
    .add_maps = add_maps_cuda,
    .add_planar = add_planar_cuda,
    .conv2d_pack_bytes = conv2d_cuda_pack_bytes,
    .conv2d_pack = conv2d_pack_cuda,
    .conv2d = conv2d_cuda,
    .conv2d_data = conv2d_data_cuda,
    .conv2d_work_bytes = conv2d_cuda_work_bytes,
    .conv2d_weight = conv2d_weight_cuda,
    .column_sums = column_sums_cuda,
    .activate = activate_cuda,
    .activate_gradient = activate_gradient_cuda,
    .latent = latent_cuda,
    .latent_gradient = latent_gradient_cuda,
    .reconstruction = reconstruction_cuda,
    .gradient_norm = gradient_norm_cuda,
    .adamw = adamw_cuda,
    .time_stretch = time_stretch_cuda,
    .phase_step = phase_step_cuda,
};

#ifndef WAVEMILL_TARGETS
#error "the build says which targets it compiles for: WAVEMILL_TARGETS"
#endif

const char *device_targets(void)
{
    return WAVEMILL_TARGETS;
}

/* In "sm_80 sm_90a compute_90", a cubin runs on its own generation from its minor version on, one with an a on exactly
 * that, and PTX on everything from its own on. */
bool device_supported(int capability)
{
    for (const char *word = WAVEMILL_TARGETS; word;) {
        const bool ptx = *word == 'c';
        const char *const end_of_word = word + strcspn(word, " "), *p = strchr(word, '_');
        p = p && p < end_of_word ? p : NULL; /* a word without a number runs nothing */
        char *end = NULL;
        const int target = p ? (int)strtol(p + 1, &end, 10) : 0;
        if (p && ptx && capability >= target)
            return true;
        if (p && !ptx && (*end == 'a' ? capability == target : capability / 10 == target / 10 && capability >= target))
            return true;
        word = strchr(word, ' ');
        word = word ? word + 1 : NULL;
    }
    return false;
}

extern "C" __attribute__((visibility("default"))) const struct module *wavemill_module(uint32_t abi,
                                                                                       const struct host_api *host)
{
    static const struct module module = {.abi = MODULE_ABI,
                                         .bytes =
                                             sizeof(struct module) + sizeof(struct device_api) + sizeof(struct ops),
                                         .version = WAVEMILL_VERSION,
                                         .targets = WAVEMILL_TARGETS,
                                         .device = &device_api_cuda,
                                         .ops = &ops};
    if (abi != MODULE_ABI)
        return NULL;
    device_host = host;
    return &module;
}
