#include "oracle.h"
#include "subject.h"

static const struct {
    struct stft_params p;
    double rate_hz;
    int64_t samples;
    float scale;
    const char *reason;
} cases[] = {
    {{{2048, 512, true}, 0, WINDOW_HANN, PAD_ZERO}, 22050, 6000, 1, "librosa's defaults"},
    {{{255, 64, true}, 200, WINDOW_HAMMING, PAD_REFLECT}, 8000, 3000, 1, "odd: the last bin is below rate/2"},
    {{{1153, 2000, false}, 0, WINDOW_RECTANGULAR, PAD_ZERO}, 44100, 9000, 1, "prime, gaps"},
    {{{16, 8, true}, 0, WINDOW_HANN, PAD_ZERO}, 1e9, 100, 1e-15f, "very soft, largest rate"},
    {{{512, 128, true}, 0, WINDOW_HANN, PAD_ZERO}, 48000, 3000, 1e9f, "very loud"},
};

TEST(frames_match_oracle)
{
    struct exec *ex = subject_exec();
    double worst = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const struct subject s = {SUBJECT_CENTROID, {.stft = cases[c].p, .rate_hz = cases[c].rate_hz}};
        uint64_t seed = 51 + c;
        float *const x = malloc((size_t)cases[c].samples * sizeof *x);
        subject_noise(&seed, x, cases[c].samples);
        for (int64_t i = 0; i < cases[c].samples; i++)
            x[i] *= cases[c].scale;
        struct guarded g = subject_row(ex, &s, x, cases[c].samples, (struct piece){0, true, true});
        CHECK(g.n == oracle_frames(&cases[c].p.frame, cases[c].samples));
        double error = 0;
        for (int64_t t = 0; t < g.n; t++) {
            const double want = oracle_centroid(&cases[c].p, cases[c].rate_hz, x, cases[c].samples, t);
            error = compare_worst(error, compare_relative(g.data[t], want));
        }
        if (!(error <= 1e-6))
            printf("    case %zu (%s): %.1e\n", c, cases[c].reason, error);
        worst = compare_worst(worst, error);
        guarded_close(&g);
        free(x);
    }
    printf("    worst %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-6);
    exec_destroy(&ex);
}
