/* What devices have beyond the CPU: samples as integers, and batches of very many rows. */
#include "subject.h"

enum { SAMPLES = 3000 };

/* Integer samples give what the same values as f32 give, bit for bit: the conversion is exact. */
TEST(integers_are_their_values)
{
    static const struct {
        int op;
        int64_t n, hop;
    } cases[] = {{SUBJECT_RMS, 100, 33},   {SUBJECT_PEAK, 64, 64},   {SUBJECT_CROSSING, 64, 30},
                 {SPECTRAL_STFT, 256, 64}, {SPECTRAL_STFT, 100, 33}, {SPECTRAL_MEL, 256, 65},
                 {SPECTRAL_MEL, 300, 100}, {SPECTRAL_FLUX, 256, 64}, {SPECTRAL_FLUX, 100, 33},
                 {SPECTRAL_POLY, 256, 64}, {SPECTRAL_POLY, 100, 33}};
    static float as_float[SAMPLES];
    static int16_t as_16[SAMPLES];
    static unsigned char as_24[3 * SAMPLES];
    struct exec *ex = subject_exec();
    uint64_t seed = 91;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int bits = 16; bits <= 24; bits += 8) {
            struct subject s = {cases[c].op, spectral_defaults(8000)};
            s.p.stft = (struct stft_params){.frame = {cases[c].n, cases[c].hop, true}, .pad = PAD_REFLECT};
            s.p.mel.mels = 20;
            const int32_t most = 1 << (bits - 1);
            for (int i = 0; i < SAMPLES; i++) {
                int32_t v = (int32_t)(test_random(&seed) % (2 * (uint64_t)most)) - most;
                v = i == 0 ? -most : i == 1 ? most - 1 : i == 2 ? -1 : v;
                as_float[i] = (float)v / (float)most;
                as_16[i] = (int16_t)v;
                for (int k = 0; k < 3; k++)
                    as_24[3 * i + k] = (unsigned char)((uint32_t)v >> (8 * k));
            }
            const struct piece whole = {0, true, true};
            struct guarded want = subject_row(ex, &s, as_float, SAMPLES, whole);
            const int64_t xo[2] = {0, SAMPLES};
            int64_t yo[2];
            const struct ragged x = {.data = bits == 16 ? (void *)as_16 : (void *)as_24,
                                     .dtype = bits == 16 ? DTYPE_I16 : DTYPE_I24,
                                     .channels = 1,
                                     .offset = xo,
                                     .rows = 1,
                                     .total = SAMPLES};
            struct ragged y = subject_result(&s, &x, yo);
            struct guarded got = guarded_open(y.total * subject_floats(&s));
            y.data = got.data;
            CHECK_OK(subject_run(ex, &s, &x, &y));
            CHECK(guarded_intact(&got));
            CHECK(got.n == want.n && compare_bits(got.data, want.data, (size_t)got.n * sizeof(float)));
            guarded_close(&got);
            guarded_close(&want);
        }
    exec_destroy(&ex);
}

/* A hundred thousand rows of 0 to 99 samples: each gives what it gives alone. */
TEST(very_many_rows)
{
    enum { ROWS = 100000, LONGEST = 100 };
    static int64_t xo[ROWS + 1], yo[ROWS + 1];
    struct exec *ex = subject_exec();
    uint64_t seed = 92;
    for (int b = 0; b < ROWS; b++)
        xo[b + 1] = xo[b] + (int64_t)(test_random(&seed) % LONGEST);
    float *const in = malloc((size_t)xo[ROWS] * sizeof *in);
    subject_noise(&seed, in, xo[ROWS]);
    static const int ops[] = {SUBJECT_RMS, SPECTRAL_MEL, SPECTRAL_FLUX, SPECTRAL_POLY};
    for (int o = 0; o < 4; o++) {
        struct subject s = {ops[o], spectral_defaults(8000)};
        s.p.stft.frame = (struct frame_params){64, 64, false};
        s.p.mel.mels = 4;
        const struct ragged x = {.data = in, .channels = 1, .offset = xo, .rows = ROWS, .total = xo[ROWS]};
        struct ragged y = subject_result(&s, &x, yo);
        struct guarded all = guarded_open(y.total * subject_floats(&s));
        y.data = all.data;
        CHECK_OK(subject_run(ex, &s, &x, &y));
        CHECK(guarded_intact(&all));
        bool same = true;
        for (int b = 0; b < ROWS; b += 997) {
            struct guarded alone = subject_row(ex, &s, in + xo[b], xo[b + 1] - xo[b], (struct piece){0, true, true});
            same &= compare_bits(alone.data, all.data + yo[b] * subject_floats(&s), (size_t)alone.n * sizeof(float));
            guarded_close(&alone);
        }
        for (int64_t i = 0; i < all.n; i++)
            same &= isfinite(all.data[i]);
        CHECK(same);
        guarded_close(&all);
    }
    free(in);
    exec_destroy(&ex);
}
