/* Flux where blocks, rounds and batches of a device begin: each frame against the magnitudes of the two that it is the
 * change of, any cut, and what asking for it does to the other outputs: nothing. */
#include "device_batch.h"
#include "subject.h"

#include <math.h>

enum { SAMPLES = 60000 };

static const struct {
    int64_t n, hop, samples;
    const char *reason;
} cases[] = {
    {64, 64, 2200, "blocks of fifteen frames"},
    {128, 61, 2100, "the same"},
    {256, 100, 3300, "the same"},
    {512, 128, 4300, "the same"},
    {1024, 200, 6600, "two rounds"},
    {2048, 512, 17000, "four rounds"},
    {4096, 3000, 60000, "eight rounds"},
    {8192, 2048, 40000, "sixteen rounds of a frame"},
    {300, 100, 2500, "cuFFT's size"},
    {16, 8, 8240, "more frames than cuFFT's batch"},
};
enum { CASES = sizeof cases / sizeof *cases, BATCH_CASE = CASES - 1 };

static struct subject subject_of(size_t c)
{
    struct subject s = {SPECTRAL_FLUX, spectral_defaults(8000)};
    s.p.stft.frame = (struct frame_params){cases[c].n, cases[c].hop, true};
    s.p.spectrogram.power = 1;
    s.p.mel = (struct mel_bands){.mels = 6, .power = 1};
    s.p.contrast = (struct contrast_bands){1, 2000, 0.1};
    s.p.poly_order = 3;
    return s;
}

static float *sound(size_t c)
{
    static float x[SAMPLES];
    uint64_t seed = 81 + c;
    subject_noise(&seed, x, cases[c].samples);
    x[cases[c].samples / 2] = NAN;
    return x;
}

/* Error of frame t in units of its tolerance; m: its magnitudes, behind those of the frame before. */
static double judge(const float *m, int64_t bins, int64_t t, float got)
{
    double sum = 0, norm = 0;
    for (int64_t f = 0; f < bins && t > 0; f++) {
        sum += pow((double)m[f] - m[f - bins], 2);
        norm += pow(m[f], 2) + pow(m[f - bins], 2);
    }
    if (t == 0 || isnan(sum))
        return t == 0 ? fabsf(got) : isnan(got) ? 0 : INFINITY;
    return fabs(got - sqrt(sum)) / (1e-6 * sqrt(norm));
}

TEST(each_frame_is_the_change_of_the_magnitudes)
{
    struct exec *ex = subject_exec();
    const struct piece whole = {0, true, true};
    for (size_t c = 0; c < CASES; c++) {
        struct subject s = subject_of(c);
        const int64_t bins = stft_bins(&s.p.stft);
        double worst = 0;
        struct guarded flux = subject_row(ex, &s, sound(c), cases[c].samples, whole);
        s.op = SPECTRAL_SPECTROGRAM;
        struct guarded m = subject_row(ex, &s, sound(c), cases[c].samples, whole);
        CHECK(flux.n > 1 && m.n == flux.n * bins);
        for (int64_t t = 0; t < flux.n; t++)
            worst = compare_worst(worst, judge(m.data + t * bins, bins, t, flux.data[t]));
        if (!(worst <= 1))
            printf("    %lld/%lld (%s): %.2g of the tolerance\n", (long long)cases[c].n, (long long)cases[c].hop,
                   cases[c].reason, worst);
        CHECK_AT_MOST(worst, 1);
        guarded_close(&flux);
        guarded_close(&m);
    }
    exec_destroy(&ex);
}

/* From an odd place on, frames lie elsewhere in their blocks and rounds. */
TEST(a_cut_gives_equal_frames)
{
    struct exec *ex = subject_exec();
    for (size_t c = 0; c < CASES; c++) {
        const struct subject s = subject_of(c);
        const float *const x = sound(c);
        const int64_t start = 2 * cases[c].hop + 3;
        const struct piece piece = {start, false, true};
        struct guarded all = subject_row(ex, &s, x, cases[c].samples, (struct piece){0, true, true});
        struct guarded part = subject_row(ex, &s, x + start, cases[c].samples - start, piece);
        const int64_t first = frame_first(&s.p.stft.frame, piece);
        CHECK(first > 0 && part.n > 1 && first + part.n == all.n && isnan(part.data[0]));
        const bool same = compare_bits(part.data + 1, all.data + first + 1, (size_t)(part.n - 1) * sizeof(float));
        if (!same)
            printf("    %lld/%lld (%s)\n", (long long)cases[c].n, (long long)cases[c].hop, cases[c].reason);
        CHECK(same);
        guarded_close(&all);
        guarded_close(&part);
    }
    exec_destroy(&ex);
}

/* All outputs at once, into guarded results; two rows, the second of them a piece. */
static void run_all(struct exec *ex, const struct subject *like, const struct ragged *x,
                    struct guarded all[SPECTRAL_OUTPUTS], int64_t *offset)
{
    struct device_batch b = device_batch(ex);
    struct subject s = *like;
    struct ragged y[SPECTRAL_OUTPUTS], *out[SPECTRAL_OUTPUTS];
    const struct ragged in = device_ragged_in(&b, x);
    for (s.op = 0; s.op < SPECTRAL_OUTPUTS; s.op++) {
        struct ragged host = subject_result(&s, x, offset);
        all[s.op] = guarded_open(host.total * subject_floats(&s));
        host.data = all[s.op].data;
        y[s.op] = device_ragged_out(&b, &host);
        out[s.op] = &y[s.op];
    }
    CHECK_OK(device_done(&b, spectral(ex, &s.p, &in, out)));
}

TEST(outputs_asked_for_together_are_what_they_are_alone)
{
    struct exec *ex = subject_exec();
    for (size_t c = 0; c < BATCH_CASE; c++) { /* but that one, which takes long */
        struct subject s = subject_of(c);
        const int64_t n = cases[c].samples, half = n / 2 - 1, xo[3] = {0, half, n};
        const struct piece piece[2] = {{0, true, true}, {77, false, true}};
        float *const x = sound(c);
        int64_t yo[3];
        const struct ragged in = {.data = x, .channels = 1, .offset = xo, .piece = piece, .rows = 2, .total = n};
        struct guarded all[SPECTRAL_OUTPUTS];
        run_all(ex, &s, &in, all, yo);
        for (s.op = 0; s.op < SPECTRAL_OUTPUTS; s.op++) {
            const int64_t floats = subject_floats(&s);
            bool same = guarded_intact(&all[s.op]);
            for (int b = 0; b < 2; b++) {
                struct guarded alone = subject_row(ex, &s, x + xo[b], xo[b + 1] - xo[b], piece[b]);
                same = same && alone.n == (yo[b + 1] - yo[b]) * floats;
                for (int64_t i = 0; same && i < alone.n; i++) { /* a NaN may have any bits */
                    const float now = all[s.op].data[yo[b] * floats + i];
                    same = isnan(now) ? !!isnan(alone.data[i]) : now == alone.data[i];
                }
                guarded_close(&alone);
            }
            if (!same)
                printf("    %s, %lld/%lld (%s)\n", subject_name(s.op), (long long)cases[c].n, (long long)cases[c].hop,
                       cases[c].reason);
            CHECK(same);
            guarded_close(&all[s.op]);
        }
    }
    exec_destroy(&ex);
}
