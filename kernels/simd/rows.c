#include "rows.h"

#include "../tables.h"

static const struct plan_kind stft_plan_kind = {"stft", sizeof(struct stft_key), SIMD(transform_plan_bytes),
                                                SIMD(transform_plan_init)};

const struct ops SIMD(ops) = {
    .stft_plan = &stft_plan_kind,
    .mel_plan = &mel_plan_kind,
    .contrast_plan = &contrast_plan_kind,
    .poly_plan = &poly_plan_kind,
    .spectral_work_bytes = SIMD(spectral_work_bytes),
    .spectral = SIMD(spectral),
    .rms = rms_cpu,
    .peak = peak_cpu,
    .zero_crossing = zero_crossing_cpu,
    .level = level_cpu,
    .mixdown = mixdown_cpu,
};
