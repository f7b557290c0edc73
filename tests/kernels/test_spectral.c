/* What is measured on a spectrum, against its oracle; and many outputs at once against each alone. */
#include "oracle.h"
#include "subject.h"

static const struct {
    struct stft_params p;
    double rate_hz;
    int64_t samples;
    float scale;
    const char *reason;
} cases[] = {
    {{{2048, 512, true}, 0, WINDOW_HANN, PAD_ZERO}, 22050, 3000, 1, "librosa's defaults"},
    {{{255, 64, true}, 200, WINDOW_HAMMING, PAD_REFLECT}, 8000, 3000, 1, "odd: the last bin is below rate/2"},
    {{{1153, 2000, false}, 0, WINDOW_RECTANGULAR, PAD_ZERO}, 44100, 4000, 1, "prime, gaps"},
    {{{16, 8, true}, 0, WINDOW_HANN, PAD_ZERO}, 1e9, 100, 1e-15f, "very soft, largest rate"},
    {{{512, 128, true}, 0, WINDOW_HANN, PAD_ZERO}, 48000, 9000, 1e9f, "very loud, many frames"},
    {{{4096, 1000, true}, 0, WINDOW_BLACKMAN, PAD_REFLECT}, 96000, 3000, 0.01f, "large"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* Error of frame t of an output, in units of its tolerance. */
typedef double judge(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got);

static double judge_spectrogram(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    const int64_t bins = stft_bins(&s->p.stft);
    double *const want = malloc((size_t)bins * sizeof *want), most = -INFINITY;
    float *const have = malloc((size_t)bins * sizeof *have);
    oracle_spectrogram(&s->p, x, n, t, want);
    for (int64_t f = 0; f < bins; f++)
        most = fmax(most, want[f]);
    for (int64_t f = 0; f < bins; f++) {
        have[f] = s->p.spectrogram.db ? fmaxf(got[f], (float)(most - 80)) : got[f];
        want[f] = s->p.spectrogram.db ? fmax(want[f], most - 80) : want[f];
    }
    const double error = compare_l2(have, want, bins) / (s->p.spectrogram.db ? 1e-5 : 1e-6);
    free(want), free(have);
    return error;
}

/* F * delta / sum of magnitudes, as spectral.h defines delta. */
static double noise_of(const struct subject *s, const float *x, int64_t n, int64_t t)
{
    struct subject plain = *s;
    plain.p.spectrogram = (struct spectrogram_params){1, false};
    const int64_t bins = stft_bins(&s->p.stft);
    double *const m = malloc((size_t)bins * sizeof *m), sum = 0, squares = 0;
    oracle_spectrogram(&plain.p, x, n, t, m);
    for (int64_t f = 0; f < bins; f++) {
        sum += m[f];
        squares += m[f] * m[f];
    }
    free(m);
    return sum > 0 ? 5e-7 * sqrt((double)bins) * sqrt(squares) / sum : 0;
}

static double judge_centroid(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    const double want = oracle_centroid(&s->p.stft, s->p.rate_hz, x, n, t);
    return fabs(*got - want) / (1e-6 * want + s->p.rate_hz / 2 * noise_of(s, x, n, t));
}

static double judge_bandwidth(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    const double want = oracle_bandwidth(&s->p.stft, s->p.rate_hz, x, n, t);
    return fabs((double)*got * *got - want * want) /
           (2e-6 * want * want + pow(s->p.rate_hz / 2, 2) * noise_of(s, x, n, t));
}

static double judge_rolloff(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    int64_t bin[2];
    oracle_rolloff(&s->p.stft, s->p.rolloff, x, n, t, bin);
    const double at = *got / (s->p.rate_hz / (double)s->p.stft.frame.window_samples);
    return at > (double)bin[0] - 0.001 && at < (double)bin[1] + 0.001 ? 0 : INFINITY;
}

static double judge_flatness(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    return compare_relative(*got, oracle_flatness(&s->p.stft, x, n, t)) / 1e-5;
}

static double judge_contrast(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    double want[2 * (CONTRAST_BANDS_MOST + 1)], worst = 0, norm;
    oracle_contrast(&s->p, x, n, t, want);
    oracle_flux(&s->p.stft, x, n, t, &norm);
    for (int k = 0; k < 2 * (s->p.contrast.bands + 1); k++) {
        if (isnan(want[k]))
            worst = isnan(got[k]) ? worst : INFINITY;
        else
            worst = compare_worst(worst, fabs(pow(10, got[k] / 10) - pow(10, want[k] / 10)) /
                                             (5e-7 * norm + 2e-6 * pow(10, want[k] / 10)));
    }
    return worst;
}

static double judge_flux(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    double norm;
    const double want = oracle_flux(&s->p.stft, x, n, t, &norm);
    return fabs(*got - want) / (1e-6 * norm);
}

static double judge_poly(const struct subject *s, const float *x, int64_t n, int64_t t, const float *got)
{
    double want[POLY_ORDER_MOST + 1], scale[POLY_ORDER_MOST + 1], worst = 0;
    oracle_poly(&s->p, x, n, t, want, scale);
    for (int i = 0; i <= s->p.poly_order; i++)
        worst = compare_worst(worst, fabs(got[i] - want[i]) / (1e-5 * scale[i] + 0x1p-126));
    return worst;
}

static judge *const judges[SPECTRAL_OUTPUTS] = {
    [SPECTRAL_SPECTROGRAM] = judge_spectrogram,
    [SPECTRAL_CENTROID] = judge_centroid,
    [SPECTRAL_BANDWIDTH] = judge_bandwidth,
    [SPECTRAL_ROLLOFF] = judge_rolloff,
    [SPECTRAL_FLATNESS] = judge_flatness,
    [SPECTRAL_CONTRAST] = judge_contrast,
    [SPECTRAL_FLUX] = judge_flux,
    [SPECTRAL_POLY] = judge_poly,
};

static double worst_of(struct exec *ex, const struct subject *s, const float *x, int64_t samples)
{
    double worst = 0;
    const int64_t floats = subject_floats(s);
    struct guarded g = subject_row(ex, s, x, samples, (struct piece){0, true, true});
    CHECK(g.n == oracle_frames(&s->p.stft.frame, samples) * floats);
    for (int64_t t = 0; t < g.n / floats; t++)
        worst = compare_worst(worst, judges[s->op](s, x, samples, t, g.data + t * floats));
    guarded_close(&g);
    return worst;
}

/* Noise, and a tone in it, so that bands differ. */
static float *sound(size_t c)
{
    uint64_t seed = 51 + c;
    float *const x = malloc((size_t)cases[c].samples * sizeof *x);
    subject_noise(&seed, x, cases[c].samples);
    for (int64_t i = 0; i < cases[c].samples; i++)
        x[i] = (0.2f * x[i] + sinf(0.3f * (float)i)) * cases[c].scale;
    return x;
}

static void variant(struct subject *s, int way)
{
    s->p.spectrogram = (struct spectrogram_params){way == 1 ? 1 : way == 2 ? 1.5 : 2, way == 0};
    s->p.poly_order = way == 1 ? 0 : way == 2 ? 5 : 1;
    s->p.rolloff = way == 1 ? 0.01 : way == 2 ? 0.99 : 0.85;
    s->p.contrast = way == 0   ? (struct contrast_bands){6, 200, 0.02}
                    : way == 1 ? (struct contrast_bands){3, 700, 0.3}
                               : (struct contrast_bands){10, 50, 0.05};
}

TEST(frames_match_oracle)
{
    struct exec *ex = subject_exec();
    for (int op = SPECTRAL_SPECTROGRAM; op < SPECTRAL_OUTPUTS; op++) {
        double worst = 0;
        for (size_t c = 0; c < CASES && judges[op] && subject_has(ex, op); c++)
            for (int way = 0; way < 3; way++) {
                struct subject s = {op, spectral_defaults(cases[c].rate_hz)};
                float *const x = sound(c);
                s.p.stft = cases[c].p;
                variant(&s, way);
                const double error = worst_of(ex, &s, x, cases[c].samples);
                if (!(error <= 1))
                    printf("    %s, case %zu (%s), way %d: %.2g times the tolerance\n", subject_name(op), c,
                           cases[c].reason, way, error);
                worst = compare_worst(worst, error);
                free(x);
            }
        if (judges[op] && subject_has(ex, op))
            printf("    %s: %.2f of the tolerance\n", subject_name(op), worst);
        CHECK_AT_MOST(worst, 1);
    }
    exec_destroy(&ex);
}

/* One pass gives what each output alone gives, bit for bit; and so do several threads. */
TEST(together_as_alone)
{
    enum { N = 30000 };
    if (subject_backend() != BACKEND_CPU) /* threads are the CPU's; an analysis on a device asks for all at once */
        return;
    struct exec *ex = subject_exec(), *many = NULL;
    const enum exec_isa isa = subject_isa();
    REQUIRE(exec_create(&(struct exec_options){.threads = 3, .isa = isa, .ops = ops_cpu(isa)}, &many) == STATUS_OK);
    static float x[N];
    uint64_t seed = 5;
    subject_noise(&seed, x, N);
    struct subject s = {0, spectral_defaults(22050)};
    s.p.stft.frame = (struct frame_params){512, 128, true};
    const int64_t xo[2] = {0, N};
    int64_t yo[2];
    const struct ragged in = {.data = x, .channels = 1, .offset = xo, .rows = 1, .total = N};
    struct guarded all[SPECTRAL_OUTPUTS];
    struct ragged y[SPECTRAL_OUTPUTS], *out[SPECTRAL_OUTPUTS];
    for (s.op = 0; s.op < SPECTRAL_OUTPUTS; s.op++) {
        y[s.op] = subject_result(&s, &in, yo);
        all[s.op] = guarded_open(y[s.op].total * subject_floats(&s));
        y[s.op].data = all[s.op].data;
        out[s.op] = &y[s.op];
    }
    CHECK_OK(spectral(many, &s.p, &in, out));
    for (s.op = 0; s.op < SPECTRAL_OUTPUTS; s.op++) {
        struct guarded alone = subject_row(ex, &s, x, N, (struct piece){0, true, true});
        const bool same = memcmp(alone.data, all[s.op].data, (size_t)alone.n * sizeof(float)) == 0;
        if (!same)
            printf("    %s differs\n", subject_name(s.op));
        CHECK(same && guarded_intact(&all[s.op]));
        guarded_close(&alone), guarded_close(&all[s.op]);
    }
    exec_destroy(&ex), exec_destroy(&many);
}

TEST(silence_has_known_values)
{
    static const float want[SPECTRAL_OUTPUTS] = {[SPECTRAL_FLATNESS] = 1, [SPECTRAL_CONTRAST] = -100};
    struct exec *ex = subject_exec();
    const float x[1000] = {0};
    for (int op = SPECTRAL_CENTROID; op < SPECTRAL_OUTPUTS; op++) {
        struct subject s = {op, spectral_defaults(8000)};
        s.p.stft.frame = (struct frame_params){256, 64, true};
        s.p.contrast = (struct contrast_bands){2, 1000, 0.02};
        if (!subject_has(ex, op))
            continue;
        struct guarded g = subject_row(ex, &s, x, 1000, (struct piece){0, true, true});
        for (int64_t i = 0; i < g.n; i++)
            CHECK_AT_MOST(fabsf(g.data[i] - want[op]), op == SPECTRAL_FLATNESS ? 1e-6 : 0);
        guarded_close(&g);
    }
    exec_destroy(&ex);
}

/* A band from rate/2 on does not exist, and one without a bin neither. */
TEST(contrast_of_bands_that_are_not_there)
{
    struct exec *ex = subject_exec();
    struct subject s = {SPECTRAL_CONTRAST, spectral_defaults(8000)};
    float x[2048];
    uint64_t seed = 9;
    subject_noise(&seed, x, 2048);
    struct guarded g = subject_row(ex, &s, x, 2048, (struct piece){0, true, true});
    for (int k = 0; k < 7; k++) /* the lower edges: 0 200 400 800 1600 3200 6400 Hz */
        CHECK(!!isnan(g.data[k]) == (k == 6) && !!isnan(g.data[7 + k]) == (k == 6));
    guarded_close(&g);
    exec_destroy(&ex);
}
