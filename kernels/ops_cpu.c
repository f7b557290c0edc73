#include "ops.h"

static const struct plan_kind stft_plan = {"stft", sizeof(struct stft_key), stft_plan_bytes, stft_plan_init};
static const struct plan_kind mel_plan = {"mel", sizeof(struct mel_key), mel_plan_bytes, mel_plan_init};

const struct ops ops_cpu = {
    .stft_plan = &stft_plan,
    .mel_plan = &mel_plan,
    .stft = stft_cpu,
    .mel = mel_cpu,
    .centroid = centroid_cpu,
    .rms = rms_cpu,
    .peak = peak_cpu,
    .zero_crossing = zero_crossing_cpu,
    .level = level_cpu,
    .mixdown = mixdown_cpu,
};
