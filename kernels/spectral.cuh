/* spectral - what the CUDA twins of the spectral row share: the plans in device memory and the kernels' parameters. */
#ifndef SPECTRAL_CUH
#define SPECTRAL_CUH
#include "contrast.h"
#include "framed.cuh"
#include "mel.h"
#include "spectral.h"

/* Window, twiddles of fft.cuh, and exp(-2*pi*j*k/n) for k < n/2; the last two only where spectral_is_own_size(n). */
struct stft_device_plan {
    struct device_plan head;
    int64_t window_at, twiddle_at, split_at; /* bytes from the plan's beginning */
};

/* Bands in groups of 32, one per lane of a warp: each lane's weights from its band's first bin on, weight i of all
 * lanes side by side, zeros where a band is shorter than the group's longest. */
struct mel_group {
    int count;  /* weights of the longest */
    int weight; /* index of the group's first */
};

/* The same bands one after the other, for kernels that give a whole warp to each. */
struct mel_row {
    int first, count; /* bins */
    int weight;       /* index of the first weight */
};

struct mel_device_plan {
    struct device_plan head;
    int64_t first_at, group_at, weight_at; /* int [mels], struct mel_group [(mels + 31)/32], float */
    int64_t row_at, row_weight_at;         /* struct mel_row [mels], float */
};

struct poly_device_plan {
    struct device_plan head;
    int64_t basis_at, powers_at; /* float [order + 1][bins], double [order + 1][order + 1], as in struct poly_plan */
};

extern "C" const struct plan_kind stft_device_plan_kind, mel_device_plan_kind, contrast_device_plan_kind,
    poly_device_plan_kind;

struct spectra {
    struct framed f;
    bool reflect;
    const float *window, *twiddle, *split;
    int mels;
    bool log;
    float power;
    const int *first;
    const struct mel_group *group;
    const float *weight;
    const struct mel_row *row;
    const float *row_weight;
    struct contrast_plan contrast;
    int poly_terms; /* order + 1 */
    const float *poly_basis;
    const double *poly_powers;
    float bin_hz, rolloff, spectrogram_power;
    bool db;
    float *out[SPECTRAL_OUTPUTS]; /* NULL: not asked for */
};

typedef void spectral_kernel(struct spectra);

/* Every output but SPECTRAL_STFT, for a size that fft.cuh transforms. */
int spectral_launch_features(struct exec *ex, const struct spectra *s);

/* Whether fft.cuh transforms it. */
bool spectral_is_own_size(int64_t n);

/* Every other size, and the device scratch that it takes. */
int spectral_by_cufft(struct exec *ex, const struct spectra *s);
size_t spectral_cufft_work_bytes(int64_t n);

#endif
