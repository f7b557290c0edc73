/* mel_inverse and griffin_lim by themselves; beside librosa: test_audio_back.py. */
#include "griffin_lim.h"
#include "istft.h"
#include "mel.h"
#include "mel_inverse.h"
#include "split.h"
#include "subject.h"

enum { RATE = 44100 };

static struct exec *any_exec(int threads)
{
    return subject_backend() == BACKEND_CPU ? split_exec(threads) : subject_exec();
}

struct spectra {
    int64_t samples, frames, bins;
    struct spectral_params p;
    float *x, *magnitude, *mel;
};

/* Magnitudes and bands of noise with tones and clicks. */
static struct spectra spectra_of(int64_t n, int64_t n_fft, int32_t mels, double power, bool log)
{
    struct spectra s = {.samples = n, .p = spectral_defaults(RATE)};
    float *const stereo = split_signal(n);
    s.x = split_take(stereo, n, 2, 0);
    free(stereo);
    s.p.stft.frame = (struct frame_params){n_fft, n_fft / 4, true};
    s.p.spectrogram = (struct spectrogram_params){1, false};
    s.p.mel.mels = mels, s.p.mel.power = power, s.p.mel.log = log;
    s.frames = frame_count(&s.p.stft.frame, piece_of(NULL, 0), n);
    s.bins = stft_bins(&s.p.stft);
    s.magnitude = malloc((size_t)(s.frames * s.bins) * sizeof(float));
    s.mel = malloc((size_t)(s.frames * mels) * sizeof(float));
    REQUIRE(s.magnitude && s.mel);
    const int64_t xo[2] = {0, n}, yo[2] = {0, s.frames};
    struct exec *ex = split_exec(1);
    const struct ragged x = {.data = s.x, .channels = 1, .offset = xo, .rows = 1, .total = n};
    struct ragged y = {.data = s.magnitude, .channels = (int32_t)s.bins, .offset = yo, .rows = 1, .total = s.frames};
    struct ragged bands = y;
    bands.data = s.mel, bands.channels = mels;
    struct ragged *const out[SPECTRAL_OUTPUTS] = {[SPECTRAL_SPECTROGRAM] = &y, [SPECTRAL_MEL] = &bands};
    CHECK_OK(spectral(ex, &s.p, &x, out));
    exec_destroy(&ex);
    return s;
}

static void spectra_free(struct spectra *s)
{
    free(s->x), free(s->magnitude), free(s->mel);
}

/* |W m^power - e| / |e| over all frames, in double. */
static double residual(const struct spectra *s, const float *magnitude)
{
    const struct mel_key key = mel_key(&s->p);
    void *const memory = aligned_alloc(64, (mel_plan_bytes(&key) + 63) / 64 * 64);
    REQUIRE(memory);
    CHECK_OK(mel_plan_init(memory, &key));
    const struct mel_plan *const plan = memory;
    double error = 0, norm = 0;
    for (int64_t t = 0; t < s->frames; t++)
        for (int64_t m = 0; m < s->p.mel.mels; m++) {
            const double y = s->mel[t * s->p.mel.mels + m], e = s->p.mel.log ? pow(10, y / 10) : y;
            double sum = 0;
            for (int64_t k = 0; k < plan->band[m].count; k++)
                sum += plan->weight[plan->band[m].weight + k] *
                       pow(magnitude[t * s->bins + plan->band[m].first + k], s->p.mel.power);
            error += (sum - e) * (sum - e);
            norm += e * e;
        }
    free(memory);
    return sqrt(error / norm);
}

TEST(bands_come_back)
{
    static const struct {
        int64_t n_fft;
        int32_t mels;
        double power, least; /* least: after 1,000 steps */
        bool log;
        const char *reason;
    } cases[] = {{2048, 128, 2, 1e-4, true, "librosa's defaults"},
                 {2048, 128, 1, 1e-4, false, "magnitudes"},
                 {1024, 80, 1.5, 1e-4, true, "any power"},
                 {512, 128, 2, 1e-3, true, "bands without bins, and bands of the same bin"},
                 {2048, 1, 2, 1e-5, true, "one band"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct spectra s = spectra_of(30000, cases[c].n_fft, cases[c].mels, cases[c].power, cases[c].log);
        double error[3];
        static const int steps[] = {0, MEL_INVERSE_STEPS, 1000};
        struct exec *ex = any_exec(2);
        for (int k = 0; k < 3; k++) {
            struct guarded g = guarded_open(s.frames * s.bins);
            CHECK_OK(mel_inverse(ex, &s.p, steps[k], s.mel, s.frames, g.data));
            CHECK(guarded_intact(&g));
            for (int64_t i = 0; i < g.n; i++)
                CHECK(g.data[i] >= 0 && isfinite(g.data[i]));
            error[k] = residual(&s, g.data);
            guarded_close(&g);
        }
        printf("    %s: %.1e, %.1e, %.1e\n", cases[c].reason, error[0], error[1], error[2]);
        CHECK_AT_MOST(error[0], 0.1);
        CHECK_AT_MOST(error[1], 0.5 * error[0] + cases[c].least);
        CHECK_AT_MOST(error[2], cases[c].least);
        exec_destroy(&ex);
        spectra_free(&s);
    }
}

TEST(frames_stand_alone)
{
    struct spectra s = spectra_of(20000, 1024, 64, 2, true);
    struct exec *one = any_exec(1), *three = any_exec(3);
    struct guarded all = guarded_open(s.frames * s.bins), alone = guarded_open(s.bins);
    CHECK_OK(mel_inverse(three, &s.p, 8, s.mel, s.frames, all.data));
    for (int64_t t = 0; t < s.frames; t += 17) {
        CHECK_OK(mel_inverse(one, &s.p, 8, s.mel + t * 64, 1, alone.data));
        CHECK(compare_bits(alone.data, all.data + t * s.bins, (size_t)s.bins * sizeof(float)));
    }
    guarded_close(&all), guarded_close(&alone);
    exec_destroy(&one), exec_destroy(&three);
    spectra_free(&s);
}

/* |S - |stft(y)|| / |S| in dB. */
static double convergence(const struct spectra *s, const float *y)
{
    struct exec *ex = split_exec(1);
    float *const got = malloc((size_t)(s->frames * s->bins) * sizeof *got);
    REQUIRE(got);
    const int64_t xo[2] = {0, s->samples}, yo[2] = {0, s->frames};
    const struct ragged x = {.data = (void *)(uintptr_t)y, .channels = 1, .offset = xo, .rows = 1, .total = s->samples};
    struct ragged m = {.data = got, .channels = (int32_t)s->bins, .offset = yo, .rows = 1, .total = s->frames};
    struct ragged *const out[SPECTRAL_OUTPUTS] = {[SPECTRAL_SPECTROGRAM] = &m};
    CHECK_OK(spectral(ex, &s->p, &x, out));
    double error = 0, norm = 0;
    for (int64_t i = 0; i < s->frames * s->bins; i++) {
        error += pow((double)s->magnitude[i] - got[i], 2);
        norm += pow(s->magnitude[i], 2);
    }
    free(got);
    exec_destroy(&ex);
    return 10 * log10(error / norm);
}

TEST(iterations_converge_faster_with_momentum)
{
    const int64_t n = subject_backend() == BACKEND_CPU ? 40000 : 8000; /* the emulator takes its time */
    struct spectra s = spectra_of(n, 1024, 64, 2, true);
    struct griffin_lim_params p = griffin_lim_defaults(4);
    p.stft = s.p.stft;
    double db[3];
    for (int k = 0; k < 3; k++) {
        struct exec *ex = any_exec(1);
        struct guarded g = guarded_open(n);
        p.iterations = k ? 32 : 0;
        p.momentum = k == 2 ? 0.99 : 0;
        CHECK_OK(griffin_lim(ex, &p, s.magnitude, s.frames, n, g.data));
        CHECK(guarded_intact(&g));
        db[k] = convergence(&s, g.data);
        guarded_close(&g);
        exec_destroy(&ex);
    }
    printf("    %.1f dB at first, %.1f dB without momentum, %.1f dB with\n", db[0], db[1], db[2]);
    CHECK_AT_MOST(db[1], db[0] - 5);
    CHECK_AT_MOST(db[2], db[1] - 0.5);
    spectra_free(&s);
}

TEST(seeds_decide_and_threads_do_not)
{
    enum { N = 6000 };
    struct spectra s = spectra_of(N, 512, 32, 2, true);
    struct griffin_lim_params p = griffin_lim_defaults(1);
    p.stft = s.p.stft, p.iterations = 3;
    struct guarded g[3] = {guarded_open(N), guarded_open(N), guarded_open(N)};
    for (int k = 0; k < 3; k++) {
        struct exec *ex = any_exec(k == 1 ? 3 : 1);
        p.seed = k == 2 ? UINT64_C(1) << 40 | 1 : 1;
        CHECK_OK(griffin_lim(ex, &p, s.magnitude, s.frames, N, g[k].data));
        exec_destroy(&ex);
    }
    CHECK(compare_bits(g[0].data, g[1].data, N * sizeof(float)));
    CHECK(!compare_bits(g[0].data, g[2].data, N * sizeof(float)) && isfinite(g[0].data[0]));
    for (int k = 0; k < 3; k++)
        guarded_close(&g[k]);
    spectra_free(&s);
}

TEST(refused)
{
    struct spectra s = spectra_of(4000, 512, 32, 2, true);
    struct exec *ex = any_exec(1);
    struct guarded g = guarded_open(s.frames * s.bins);
    static const float wrong[] = {NAN, INFINITY, -INFINITY, 301};
    const float kept = s.mel[40];
    for (int i = 0; i < 4; i++) {
        s.mel[40] = wrong[i];
        CHECK_CODE(mel_inverse(ex, &s.p, 4, s.mel, s.frames, g.data), STATUS_ARGUMENT);
    }
    s.mel[40] = kept;
    struct spectral_params bad = s.p;
    bad.mel.log = false, s.mel[3] = -1;
    CHECK_CODE(mel_inverse(ex, &bad, 4, s.mel, s.frames, g.data), STATUS_ARGUMENT);
    bad = s.p, bad.mel.mels = 0;
    CHECK_CODE(mel_inverse(ex, &bad, 4, s.mel, s.frames, g.data), STATUS_ARGUMENT);
    bad = s.p, bad.stft.frame.window_samples = 0;
    CHECK_CODE(mel_inverse(ex, &bad, 4, s.mel, s.frames, g.data), STATUS_ARGUMENT);
    CHECK_CODE(mel_inverse(ex, &s.p, -1, s.mel, s.frames, g.data), STATUS_ARGUMENT);
    CHECK_CODE(mel_inverse(ex, &s.p, 4, NULL, s.frames, g.data), STATUS_ARGUMENT);
    CHECK_OK(mel_inverse(ex, &s.p, 4, NULL, 0, NULL));
    struct griffin_lim_params p = griffin_lim_defaults(1), q = p;
    p.stft = s.p.stft, p.iterations = 1;
    for (int i = 0; i < 3; i++) {
        const float was = s.magnitude[7];
        s.magnitude[7] = i == 2 ? -1e-3f : wrong[i];
        CHECK_CODE(griffin_lim(ex, &p, s.magnitude, s.frames, s.samples, g.data), STATUS_ARGUMENT);
        s.magnitude[7] = was;
    }
    CHECK_CODE(griffin_lim(ex, &p, s.magnitude, s.frames, s.samples + 512, g.data), STATUS_SHAPE);
    CHECK_CODE(griffin_lim(ex, &p, s.magnitude, 1, 0, g.data), STATUS_SHAPE);
    CHECK_CODE(griffin_lim(ex, &p, s.magnitude, INT64_C(1) << 60, s.samples, g.data), STATUS_SHAPE);
    CHECK_CODE(griffin_lim(ex, &p, NULL, s.frames, s.samples, g.data), STATUS_ARGUMENT);
    q = p, q.momentum = NAN;
    CHECK_CODE(griffin_lim(ex, &q, s.magnitude, s.frames, s.samples, g.data), STATUS_ARGUMENT);
    q = p, q.iterations = -1;
    CHECK_CODE(griffin_lim(ex, &q, s.magnitude, s.frames, s.samples, g.data), STATUS_ARGUMENT);
    q = p, q.stft.frame.centred = false;
    CHECK_CODE(griffin_lim(ex, &q, s.magnitude, s.frames, s.samples, g.data), STATUS_ARGUMENT);
    CHECK(guarded_untouched(&g));
    CHECK_OK(griffin_lim(ex, &p, s.magnitude, s.frames, istft_samples(&p.stft, s.frames), g.data));
    guarded_close(&g);
    exec_destroy(&ex);
    spectra_free(&s);
}
