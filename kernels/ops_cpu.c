#include "ops.h"

#include "module.h"
#include "tables.h"

_Static_assert(sizeof(struct ops) == MODULE_OPS_ROWS * sizeof(void *),
               "a row came or went: change MODULE_OPS_ROWS and MODULE_ABI in runtime/module.h");

const struct plan_kind mel_plan_kind = {"mel", sizeof(struct mel_key), mel_plan_bytes, mel_plan_init, false, NULL};
const struct plan_kind contrast_plan_kind = {
    "contrast", sizeof(struct contrast_key), contrast_plan_bytes, contrast_plan_init, false, NULL};
const struct plan_kind poly_plan_kind = {"poly", sizeof(struct poly_key), poly_plan_bytes, poly_plan_init, false, NULL};
const struct plan_kind mfcc_plan_kind = {"mfcc", sizeof(struct mfcc_key), mfcc_plan_bytes, mfcc_plan_init, false, NULL};
static const struct plan_kind resample_plan_kind = {
    "resample", sizeof(struct resample_key), resample_plan_bytes, resample_plan_init, false, NULL};
static const struct plan_kind stft_plan_kind = {"stft", sizeof(struct stft_key), stft_plan_bytes, stft_plan_init, false,
                                                NULL};

const struct ops ops_scalar = {
    .stft_plan = &stft_plan_kind,
    .mel_plan = &mel_plan_kind,
    .contrast_plan = &contrast_plan_kind,
    .poly_plan = &poly_plan_kind,
    .spectral_outputs = SPECTRAL_ALL,
    .spectral_work_bytes = spectral_scalar_work_bytes,
    .spectral = spectral_cpu,
    .istft_work_bytes = istft_scalar_work_bytes,
    .istft = istft_cpu,
    .rms = rms_cpu,
    .peak = peak_cpu,
    .zero_crossing = zero_crossing_cpu,
    .waveform = waveform_cpu,
    .level = level_cpu,
    .mixdown = mixdown_cpu,
    .decibel_peak = decibel_peak_cpu,
    .decibel_clip = decibel_clip_cpu,
    .mfcc_plan = &mfcc_plan_kind,
    .mfcc = mfcc_cpu,
    .statistics = statistics_cpu,
    .resample_plan = &resample_plan_kind,
    .resample = resample_cpu,
    .hpss = hpss_cpu,
    .search = search_cpu,
    .conv_pack_bytes = conv_pack_bytes_cpu,
    .conv_pack = conv_pack_cpu,
    .conv = conv_cpu,
    .conv_transpose_pack_bytes = conv_transpose_pack_bytes_cpu,
    .conv_transpose_pack = conv_transpose_pack_cpu,
    .conv_transpose = conv_transpose_cpu,
    .dconv_pack_bytes = dconv_pack_bytes_cpu,
    .dconv_pack = dconv_pack_cpu,
    .dconv_work_bytes = dconv_work_bytes_cpu,
    .dconv = dconv_cpu,
    .layer_norm = layer_norm_cpu,
    .group_norm = group_norm_cpu,
    .moments = moments_cpu,
    .attention_work_bytes = attention_work_bytes_cpu,
    .attention = attention_cpu,
    .maps_from_complex = maps_from_complex_cpu,
    .complex_from_maps = complex_from_maps_cpu,
    .clear_margins = clear_margins_cpu,
    .mirror = mirror_cpu,
    .standardize = standardize_cpu,
    .unstandardize = unstandardize_cpu,
    .add_maps = add_maps_cpu,
    .add_planar = add_planar_cpu,
    .conv2d_pack_bytes = conv2d_pack_bytes_cpu,
    .conv2d_pack = conv2d_pack_cpu,
    .conv2d = conv2d_cpu,
    .conv2d_data = conv2d_data_cpu,
    .conv2d_work_bytes = conv2d_work_bytes_cpu,
    .conv2d_weight = conv2d_weight_cpu,
    .column_sums = column_sums_cpu,
    .activate = activate_cpu,
    .activate_gradient = activate_gradient_cpu,
    .latent = latent_cpu,
    .latent_gradient = latent_gradient_cpu,
    .reconstruction = reconstruction_cpu,
    .gradient_norm = gradient_norm_cpu,
    .adamw = adamw_cpu,
    .time_stretch = time_stretch_cpu,
    .phase_step = phase_step_cpu,
};

int ops_missing(const struct exec *ex, const char *row)
{
    return fail(STATUS_UNSUPPORTED, "%s: not on %s", row, backend_name(exec_backend(ex)));
}

const struct ops *ops_cpu(enum exec_isa isa)
{
#ifdef WAVEMILL_SIMD
    if (isa == ISA_AVX512)
        return &ops_avx512;
    if (isa == ISA_AVX2)
        return &ops_avx2;
#endif
    return isa == ISA_SCALAR ? &ops_scalar : NULL;
}
