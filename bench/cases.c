/* The operations that are measured: every row of ops.h, and every output of its spectral row. */
#include "bench.h"

enum { N_FFT = 2048, HOP = 512, MELS = 128, MFCC = 20, RATE = 44100 };
enum { DIMENSIONS = 128, NEAREST = 10, VECTORS = 100000, QUERIES = 1000 };

#define MEASURED \
    .p = {.stft = {.frame = {N_FFT, HOP, true}}, \
          .rate_hz = RATE, \
          .spectrogram = {2, false}, \
          .mel = {MELS, 0, 0, false, true, true, 2}, \
          .rolloff = 0.85, \
          .contrast = {6, 200, 0.02}, \
          .poly_order = 1}
#define SPECTROGRAM(power, db) .p = {.stft = {.frame = {N_FFT, HOP, true}}, .spectrogram = {(power), (db)}}
#define NEAREST_OF(many) .search = {VECTORS, (many), DIMENSIONS, NEAREST, SEARCH_DOT}

#define SIGNAL RATE, SOURCE_SAMPLES, PASS_ALONE
#define STEREO RATE, SOURCE_STEREO, PASS_ALONE
#define SPECTRA RATE, SOURCE_SPECTRA, PASS_ALONE
#define BANDS RATE, SOURCE_BANDS, PASS_ALONE
#define SEGMENT RATE, SOURCE_NETWORK, PASS_ALONE
#define TORCH \
    { \
        "torch" \
    }

const struct case_ bench_cases[] = {
    {"stft", "complex spectra", SIGNAL, {"stft", SPECTRAL_STFT, MEASURED}, {"librosa", "torch"}},
    {"istft", "signal from spectra", SPECTRA, {"istft", GPU_ISTFT, MEASURED}, {"librosa", "torch"}},
    {"spectrogram", "magnitudes", SIGNAL, {"magnitude", SPECTRAL_SPECTROGRAM, SPECTROGRAM(1, false)}, {"librosa"}},
    {"spectrogram", "powers", SIGNAL, {"power", SPECTRAL_SPECTROGRAM, SPECTROGRAM(2, false)}, {"librosa"}},
    {"spectrogram", "decibels", SIGNAL, {"db", SPECTRAL_SPECTROGRAM, SPECTROGRAM(2, true)}, {"librosa"}},
    {"mel",
     "128 mel bands in dB, 80 below the maximum",
     RATE,
     SOURCE_SAMPLES,
     PASS_TOP_DB,
     {"logmel", SPECTRAL_MEL, MEASURED},
     {"librosa", "torch"}},
    {"mfcc",
     "the same, then 20 cepstral coefficients",
     RATE,
     SOURCE_SAMPLES,
     PASS_MFCC,
     {"mfcc", SPECTRAL_MEL, MEASURED, .mfcc = {MFCC, 0}},
     {"librosa"}},
    {"centroid", "spectral centroid", SIGNAL, {"centroid", SPECTRAL_CENTROID, MEASURED}, {"librosa"}},
    {"bandwidth", "spectral bandwidth", SIGNAL, {"bandwidth", SPECTRAL_BANDWIDTH, MEASURED}, {"librosa"}},
    {"rolloff", "spectral rolloff", SIGNAL, {"rolloff", SPECTRAL_ROLLOFF, MEASURED}, {"librosa"}},
    {"flatness", "spectral flatness", SIGNAL, {"flatness", SPECTRAL_FLATNESS, MEASURED}, {"librosa"}},
    {"contrast", "spectral contrast", SIGNAL, {"contrast", SPECTRAL_CONTRAST, MEASURED}, {"librosa"}},
    {"flux", "spectral flux", SIGNAL, {"flux", SPECTRAL_FLUX, MEASURED}, {"librosa"}},
    {"poly", "line through magnitudes", SIGNAL, {"poly", SPECTRAL_POLY, MEASURED}, {"librosa"}},
    {"rms", "RMS per frame", SIGNAL, {"rms", GPU_RMS, MEASURED}, {"librosa"}},
    {"peak", "peak per frame", SIGNAL, {"peak", GPU_PEAK, MEASURED}, {"librosa"}},
    {"zero_crossing", "zero crossings per frame", SIGNAL, {"zcr", GPU_CROSSING, MEASURED}, {"librosa"}},
    {"waveform", "extremes and RMS of 256", SIGNAL, {"waveform", GPU_WAVEFORM, .block = 256}, {"numpy"}},
    {"level", "sums, peak, first bad sample", SIGNAL, {"level", .op = GPU_LEVEL}, {"numpy"}},
    {"mixdown", "two channels to one", STEREO, {"mixdown", GPU_MIXDOWN, .channels = 2}, {"librosa"}},
    {"decibel_peak", "maximum of 128 bands", BANDS, {"decibel_peak", GPU_DECIBEL_PEAK, .channels = MELS}, {"numpy"}},
    {"decibel_clip", "128 bands, in place", BANDS, {"decibel_clip", GPU_DECIBEL_CLIP, .channels = MELS}, {"numpy"}},
    {"statistics", "of 128 bands", BANDS, {"statistics", GPU_STATISTICS, .channels = MELS}, {"numpy"}},
    {"hpss",
     "harmonic and percussive spectra",
     SPECTRA,
     {"hpss", GPU_HPSS, .channels = N_FFT / 2 + 1, .hpss = {31, 31, 2, 1, 1}},
     {"librosa"}},
    {"time_stretch",
     "spectra at 5/4 of the speed",
     SPECTRA,
     {"stretch", GPU_STRETCH, .channels = N_FFT / 2 + 1, .rate = 1.25},
     {"librosa"}},
    {"phase_step", "of a third of the spectra", SPECTRA, {"phases", GPU_PHASES, .channels = N_FFT / 2 + 1}, {"numpy"}},
    {"resample",
     "48 to 44.1 kHz",
     48000,
     SOURCE_SAMPLES,
     PASS_ALONE,
     {"resample", GPU_RESAMPLE, .rates = {48000, RATE}},
     {"soxr", "libsamplerate"}},
    {"search",
     "10 nearest of 100,000 x 128, 1,000 queries",
     SIGNAL,
     {"search", GPU_SEARCH, NEAREST_OF(QUERIES)},
     {"numpy"}},
    {"search", "10 nearest of 100,000 x 128, one query", SIGNAL, {"search1", GPU_SEARCH, NEAREST_OF(1)}, {"numpy"}},
    {"conv", "48 channels to 96, 8 wide, stride 4, GELU", SEGMENT, {.name = "conv"}, TORCH},
    {"conv", "48 channels to 96, 3 x 3, GLU", SEGMENT, {.name = "conv3x3"}, TORCH},
    {"conv", "tokens of 512 to 2,048, GELU", SEGMENT, {.name = "linear"}, TORCH},
    {"conv_transpose", "96 channels to 48, stride 4, GELU", SEGMENT, {.name = "conv_transp"}, TORCH},
    {"dconv", "48 channels through 6, along the frames", SEGMENT, {.name = "dconv"}, TORCH},
    {"layer_norm", "tokens of 512", SEGMENT, {.name = "layer_norm"}, TORCH},
    {"group_norm", "tokens of 512", SEGMENT, {.name = "group_norm"}, TORCH},
    {"moments", "spectra of two channels", SEGMENT, {.name = "moments"}, TORCH},
    {"attention", "8 heads of 64", SEGMENT, {.name = "attention"}, TORCH},
    {"maps_from_complex", "spectra of two channels", SEGMENT, {.name = "to_maps"}, TORCH},
    {"complex_from_maps", "spectra of two channels", SEGMENT, {.name = "from_maps"}, TORCH},
    {"clear_margins", "frames of 512 x 48", SEGMENT, {.name = "margins"}, TORCH},
    {"mirror", "a stereo signal to two, 3 % more", SEGMENT, {.name = "mirror"}, TORCH},
    {"standardize", "spectra of two channels", SEGMENT, {.name = "standardize"}, TORCH},
    {"unstandardize", "signals of 8 channels", SEGMENT, {.name = "unstandard"}, TORCH},
    {"add_maps", "frames of 512 x 48", SEGMENT, {.name = "add_maps"}, TORCH},
    {"add_planar", "8 signals to 8 channels", SEGMENT, {.name = "add_planar"}, TORCH},
    {"column_sums", "frames of 512 x 48", SEGMENT, {.name = "column_sums"}, {NULL}},
    {"activate", "frames of 512 x 48, 8 groups, SiLU, dropout", SEGMENT, {.name = "activate"}, {NULL}},
    {"activate_gradient", "the same, back", SEGMENT, {.name = "act_grad"}, {NULL}},
    {"latent", "tokens of 128 dimensions", SEGMENT, {.name = "latent"}, {NULL}},
    {"latent_gradient", "the same, back", SEGMENT, {.name = "latent_grad"}, {NULL}},
    {"reconstruction", "spectra of one channel", SEGMENT, {.name = "reconstruct"}, {NULL}},
    {"gradient_norm", "512 x 48 for each frame", SEGMENT, {.name = "grad_norm"}, {NULL}},
    {"adamw", "2,048 for each token", SEGMENT, {.name = "adamw"}, {NULL}},
    {"conv2d_pack", "weights of 32 channels to 64, 4 x 4", SEGMENT, {.name = "conv2d_pack"}, {NULL}},
    {"conv2d", "32 channels to 64, 4 x 4, stride 2 x 2", SEGMENT, {.name = "conv2d"}, TORCH},
    {"conv2d_data", "64 channels to 32, the same back", SEGMENT, {.name = "conv2d_data"}, TORCH},
    {"conv2d_weight", "the gradient of those weights", SEGMENT, {.name = "conv2d_wgt"}, TORCH},
};
const int bench_case_count = sizeof bench_cases / sizeof *bench_cases;
