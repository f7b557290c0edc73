#include "compare.h"
#include "fft.h"
#include "oracle.h"
#include "test.h"

#include <stdio.h>

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    REQUIRE(p != NULL);
    return p;
}

/* The error of size n against the direct sum at `count` bins, in double. */
static double error_of(int64_t n, int64_t most, uint64_t *seed)
{
    void *const plan = room(fft_plan_bytes(n)), *const work = room(fft_work_bytes(n));
    const int64_t bins = n / 2 + 1, step = bins > most ? bins / most : 1, count = (bins - 1) / step + 1;
    double *const in = room((size_t)n * sizeof *in), *const want = room((size_t)count * 2 * sizeof *want);
    struct fft_complex *const out = room((size_t)bins * sizeof *out);
    for (int64_t i = 0; i < n; i++)
        in[i] = 2 * test_uniform(seed) - 1;
    REQUIRE(fft_plan_init(plan, n) == STATUS_OK);
    fft_real_forward(plan, in, out, work);
    oracle_dft(in, n, 0, step, count, want);
    double error = 0, norm = 0;
    for (int64_t k = 0; k < count; k++) {
        error += pow(out[k * step].re - want[2 * k], 2) + pow(out[k * step].im - want[2 * k + 1], 2);
        norm += pow(want[2 * k], 2) + pow(want[2 * k + 1], 2);
    }
    free(plan), free(work), free(in), free(want), free(out);
    return sqrt(error / norm);
}

TEST(small_sizes_match_direct_sum)
{
    uint64_t seed = 1;
    double worst = 0;
    for (int64_t n = 2; n <= 300; n++)
        worst = compare_worst(worst, error_of(n, 200, &seed));
    printf("    worst of 2 to 300: %.1e\n", worst);
    CHECK_AT_MOST(worst, 1e-13);
}

TEST(large_sizes_match_direct_sum)
{
    static const struct {
        int64_t n;
        const char *reason;
    } cases[] = {
        {1153, "prime"},
        {2048, "power of two"},
        {2187, "3^7"},
        {3125, "5^5"},
        {4097, "17 * 241"},
        {8190, "half is 4095 = 9*5*7*13"},
        {30030, "many primes"},
        {44100, "half is smooth with 7^2"},
        {65521, "largest prime"},
        {65535, "odd, 3*5*17*257"},
        {65536, "largest"},
        {65534, "twice a prime"},
    };
    uint64_t seed = 2;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const double error = error_of(cases[c].n, 24, &seed);
        printf("    %lld (%s): %.1e\n", (long long)cases[c].n, cases[c].reason, error);
        CHECK_AT_MOST(error, 1e-13);
    }
}

/* Three impulses have a transform that is cheap to write down, so many sizes can be tried. */
static double impulses_error(int64_t n, uint64_t *seed)
{
    void *const plan = room(fft_plan_bytes(n)), *const work = room(fft_work_bytes(n));
    double *const in = room((size_t)n * sizeof *in);
    struct fft_complex *const out = room((size_t)(n / 2 + 1) * sizeof *out);
    int64_t at[3];
    memset(in, 0, (size_t)n * sizeof *in);
    for (int k = 0; k < 3; k++) {
        at[k] = (int64_t)(test_random(seed) % (uint64_t)n);
        in[at[k]] += k + 1;
    }
    REQUIRE(fft_plan_init(plan, n) == STATUS_OK);
    fft_real_forward(plan, in, out, work);
    double error = 0, norm = 0;
    for (int64_t f = 0; f <= n / 2; f += 1 + n / 512) {
        double re = 0, im = 0;
        for (int k = 0; k < 3; k++) {
            const double angle = 2 * M_PI * (double)(f * at[k] % n) / (double)n;
            re += (k + 1) * cos(angle);
            im -= (k + 1) * sin(angle);
        }
        error += pow(out[f].re - re, 2) + pow(out[f].im - im, 2);
        norm += re * re + im * im;
    }
    free(plan), free(work), free(in), free(out);
    return sqrt(error / norm);
}

/* Every 211th size; WAVEMILL_EVERY_SIZE=1 tries all 65521 (about four minutes). */
TEST(sizes_through_the_range)
{
    uint64_t seed = 3;
    double worst = 0;
    for (int64_t n = 16; n <= FFT_MOST; n += getenv("WAVEMILL_EVERY_SIZE") ? 1 : 211)
        worst = compare_worst(worst, impulses_error(n, &seed));
    printf("    worst of 16 to %d: %.1e\n", FFT_MOST, worst);
    CHECK_AT_MOST(worst, 1e-13);
}

TEST(sizes_outside_are_refused)
{
    double plan[64];
    CHECK_CODE(fft_plan_init(plan, 1), STATUS_ARGUMENT);
    CHECK_CODE(fft_plan_init(plan, FFT_MOST + 1), STATUS_ARGUMENT);
}
