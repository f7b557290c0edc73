#include "rows.h"

#include "../tables.h"

static const struct plan_kind stft_plan_kind = {
    "stft", sizeof(struct stft_key), SIMD(transform_plan_bytes), SIMD(transform_plan_init), false, NULL};
static const struct plan_kind resample_plan_kind = {
    "resample", sizeof(struct resample_key), SIMD(resample_plan_bytes), SIMD(resample_plan_init), false, NULL};

const struct ops SIMD(ops) = {
    .stft_plan = &stft_plan_kind,
    .mel_plan = &mel_plan_kind,
    .contrast_plan = &contrast_plan_kind,
    .poly_plan = &poly_plan_kind,
    .spectral_outputs = SPECTRAL_ALL,
    .spectral_work_bytes = SIMD(spectral_work_bytes),
    .spectral = SIMD(spectral),
    .istft_work_bytes = SIMD(istft_work_bytes),
    .istft = SIMD(istft),
    .rms = SIMD(rms),
    .peak = SIMD(peak),
    .zero_crossing = SIMD(zero_crossing),
    .waveform = SIMD(waveform),
    .level = SIMD(level),
    .mixdown = mixdown_cpu, /* bit-equal to NumPy's order of sums; the compiler's vectors are enough */
    .decibel_peak = SIMD(decibel_peak),
    .decibel_clip = SIMD(decibel_clip),
    .mfcc_plan = &mfcc_plan_kind,
    .mfcc = SIMD(mfcc),
    .statistics = SIMD(statistics),
    .resample_plan = &resample_plan_kind,
    .resample = SIMD(resample),
    .hpss = SIMD(hpss),
    .search = SIMD(search),
    .conv_pack_bytes = SIMD(conv_pack_bytes),
    .conv_pack = SIMD(conv_pack),
    .conv = SIMD(conv),
    .conv_transpose_pack_bytes = SIMD(conv_transpose_pack_bytes),
    .conv_transpose_pack = SIMD(conv_transpose_pack),
    .conv_transpose = SIMD(conv_transpose),
    .dconv_pack_bytes = SIMD(dconv_pack_bytes),
    .dconv_pack = SIMD(dconv_pack),
    .dconv_work_bytes = SIMD(dconv_work_bytes),
    .dconv = SIMD(dconv),
    .layer_norm = SIMD(layer_norm),
    .group_norm = SIMD(group_norm),
    .moments = SIMD(moments),
    .attention_work_bytes = SIMD(attention_work_bytes),
    .attention = SIMD(attention),
    .maps_from_complex = maps_from_complex_cpu, /* moves memory: vectors have nothing to add */
    .complex_from_maps = complex_from_maps_cpu,
    .clear_margins = clear_margins_cpu,
    .mirror = mirror_cpu,
    .standardize = standardize_cpu,
    .unstandardize = unstandardize_cpu,
    .add_maps = add_maps_cpu,
    .add_planar = add_planar_cpu,
    .conv2d_pack_bytes = SIMD(conv2d_pack_bytes),
    .conv2d_pack = SIMD(conv2d_pack),
    .conv2d = SIMD(conv2d),
    .conv2d_data = SIMD(conv2d_data),
    .conv2d_work_bytes = SIMD(conv2d_work_bytes),
    .conv2d_weight = SIMD(conv2d_weight),
    .column_sums = SIMD(column_sums),
    .activate = SIMD(activate),
    .activate_gradient = SIMD(activate_gradient),
    .latent = latent_cpu, /* in double, of few values */
    .latent_gradient = latent_gradient_cpu,
    .reconstruction = reconstruction_cpu, /* in double, as is the norm: the compiler's vectors are enough */
    .gradient_norm = gradient_norm_cpu,
    .adamw = SIMD(adamw),
    .time_stretch = SIMD(time_stretch),
    .phase_step = SIMD(phase_step),
};
