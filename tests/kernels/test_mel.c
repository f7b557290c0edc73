/* mel and centroid against their oracles. */
#include "oracle.h"
#include "subject.h"

#define STFT(n, hop) \
    { \
        {n, hop, true}, 0, WINDOW_HANN, PAD_ZERO \
    }

static const struct {
    struct stft_params stft;
    double rate_hz;
    struct mel_bands mel; /* mels, fmin, fmax, htk, slaney_norm, log, power */
    int64_t samples;
    const char *reason;
} cases[] = {
    {STFT(2048, 512), 22050, {128, 0, 0, false, true, false, 2}, 6000, "librosa's defaults"},
    {STFT(2048, 512), 22050, {128, 0, 0, false, true, true, 2}, 6000, "decibels"},
    {STFT(400, 160), 16000, {80, 0, 8000, true, false, true, 2}, 4000, "HTK, no norm, fmax = rate/2 given"},
    {STFT(1024, 256), 44100, {40, 300, 8000, false, true, true, 1}, 4000, "edges inside, magnitudes"},
    {STFT(1024, 256), 44100, {40, 300, 8000, true, true, false, 1.5}, 4000, "any power"},
    {STFT(1153, 300), 22050.5, {64, 20, 11000, false, false, false, 2}, 4000, "prime n_fft, odd rate"},
    {STFT(16, 8), 8000, {1, 0, 0, false, true, false, 2}, 100, "one band"},
    {STFT(64, 32), 22050, {128, 0, 0, false, true, true, 2}, 500, "bands without a bin: -100 dB"},
    {STFT(64, 32), 48000, {4096, 0, 0, true, false, false, 2}, 300, "most bands"},
    {STFT(512, 128), 16000, {20, 1000, 1000.5, false, true, false, 2}, 1000, "range narrower than a bin"},
};

TEST(bands_match_oracle)
{
    struct exec *ex = subject_exec();
    double worst[2] = {0, 0};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct subject s = {SPECTRAL_MEL,
                                  {.stft = cases[c].stft, .rate_hz = cases[c].rate_hz, .mel = cases[c].mel}};
        uint64_t seed = 41 + c;
        float *const x = malloc((size_t)cases[c].samples * sizeof *x);
        double *const want = malloc((size_t)s.p.mel.mels * sizeof *want), error = 0;
        subject_noise(&seed, x, cases[c].samples);
        struct guarded g = subject_row(ex, &s, x, cases[c].samples, (struct piece){0, true, true});
        for (int64_t t = 0; t < g.n / s.p.mel.mels; t++) {
            oracle_mel(&s.p, x, cases[c].samples, t, want);
            error = compare_worst(error, compare_l2(g.data + t * s.p.mel.mels, want, s.p.mel.mels));
        }
        if (!(error <= 1e-6))
            printf("    case %zu (%s): %.1e\n", c, cases[c].reason, error);
        worst[s.p.mel.log] = compare_worst(worst[s.p.mel.log], error);
        guarded_close(&g);
        free(x), free(want);
    }
    printf("    mel: worst %.1e\n    log-mel: worst %.1e\n", worst[0], worst[1]);
    CHECK_AT_MOST(worst[0], 1e-6);
    CHECK_AT_MOST(worst[1], 1e-6);
    exec_destroy(&ex);
}

TEST(silence_has_known_values)
{
    struct exec *ex = subject_exec();
    float x[1000] = {0};
    struct subject s = {SPECTRAL_MEL, spectral_defaults(8000)};
    s.p.stft = (struct stft_params)STFT(64, 32);
    s.p.mel = (struct mel_bands){10, 0, 0, false, true, true, 2};
    struct guarded g = subject_row(ex, &s, x, 1000, (struct piece){0, true, true});
    for (int64_t i = 0; i < g.n; i++)
        CHECK(g.data[i] == -100);
    guarded_close(&g);
    s.op = SPECTRAL_CENTROID;
    if (subject_has(ex, s.op)) {
        g = subject_row(ex, &s, x, 1000, (struct piece){0, true, true});
        for (int64_t i = 0; i < g.n; i++)
            CHECK(g.data[i] == 0);
        guarded_close(&g);
    }
    exec_destroy(&ex);
}

TEST(keys_have_no_padding)
{
    CHECK(sizeof(struct stft_key) == 3 * 8); /* no padding: keys compare byte by byte */
    CHECK(sizeof(struct mel_key) == 2 * 8 + 3 * 8 + 2 * 8);
    CHECK(sizeof(struct contrast_key) == 5 * 8 && sizeof(struct poly_key) == 3 * 8);
}
