/* BSS Eval and the plain measures of signals that come in pieces: score_bss's bits, however they are cut. */
#include "compare.h"
#include "score.h"
#include "test.h"

#include <string.h>

enum { SOURCES_MOST = 3, SAMPLES_MOST = 12000, CHANNELS_MOST = 2 };

struct sound {
    float *data; /* [2][sources][samples][channels]: references, then estimates of them with a bit of the others */
    int64_t samples;
    int32_t sources, channels;
};

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    REQUIRE(p != NULL);
    return p;
}

static struct sound make(int32_t sources, int64_t samples, int32_t channels)
{
    const int64_t each = samples * channels;
    struct sound s = {room((size_t)(2 * sources * each) * sizeof(float)), samples, sources, channels};
    uint32_t state = 12345;
    for (int64_t i = 0; i < sources * each; i++) {
        state = 1664525 * state + 1013904223;
        s.data[i] = (float)(state >> 8) / 8388608 - 1;
    }
    for (int32_t j = 0; j < sources; j++)
        for (int64_t i = 0; i < each; i++)
            s.data[(sources + j) * each + i] = s.data[j * each + i] + 0.1F * s.data[(j + 1) % sources * each + i] +
                                               (i ? 0.2F * s.data[j * each + i - 1] : 0) + 0.01F * (float)(i % 7);
    return s;
}

/* Samples from .. to - 1 of all signals. */
static void cut(const struct sound *s, int64_t from, int64_t to, struct score_signal *reference,
                struct score_signal *estimate)
{
    const int64_t each = s->samples * s->channels;
    for (int32_t j = 0; j < s->sources; j++) {
        const float *const data = s->data + j * each + from * s->channels;
        reference[j] = (struct score_signal){data, to - from, s->channels};
        estimate[j] = (struct score_signal){data + s->sources * each, to - from, s->channels};
    }
}

/* One pass, `step` samples more each time; `late`: its end is said with nothing new. */
static int pass(struct score_pieces *p, const struct sound *s, int64_t step, bool late)
{
    struct score_signal reference[SOURCES_MOST], estimate[SOURCES_MOST];
    int code = STATUS_OK;
    for (int64_t to = step; !code; to += step) {
        const int64_t end = to < s->samples ? to : s->samples, from = score_pieces_keep(p);
        const bool ended = to >= s->samples + (late ? step : 0);
        cut(s, from, end, reference, estimate);
        code = score_pieces_take(p, reference, estimate, from, ended);
        if (ended)
            break;
    }
    return code;
}

static int in_pieces(const struct score_bss_params *p, const struct sound *s, int64_t step, bool late,
                     struct score_bss *y)
{
    const size_t bytes = score_pieces_bytes(p, s->channels);
    REQUIRE(bytes > 0);
    unsigned char *const work = room(bytes + 64);
    struct score_pieces *pieces = NULL;
    memset(work, 0xff, bytes + 64);
    int code = score_pieces_begin(p, s->channels, work, &pieces);
    for (int k = 0; k < 2 && !code; k++)
        code = pass(pieces, s, step, late);
    if (!code)
        score_pieces_end(pieces, y);
    for (size_t i = bytes; i < bytes + 64; i++)
        CHECK(work[i] == 0xff);
    free(work);
    return code;
}

static void whole(const struct score_bss_params *p, const struct sound *s, struct score_bss *y)
{
    struct score_signal reference[SOURCES_MOST], estimate[SOURCES_MOST];
    void *const work = room(score_bss_work_bytes(p, s->channels));
    cut(s, 0, s->samples, reference, estimate);
    CHECK_OK(score_bss(p, reference, estimate, work, y));
    free(work);
}

static bool same_bits(double a, double b)
{
    return (isnan(a) && isnan(b)) || a == b;
}

static bool same(const struct score_bss *a, const struct score_bss *b, int32_t count)
{
    for (int32_t j = 0; j < count; j++)
        if (!same_bits(a[j].sdr, b[j].sdr) || !same_bits(a[j].isr, b[j].isr) || !same_bits(a[j].sir, b[j].sir) ||
            !same_bits(a[j].sar, b[j].sar) || !same_bits(a[j].sdr_filt, b[j].sdr_filt) ||
            a[j].estimate != b[j].estimate)
            return false;
    return true;
}

static const struct {
    const char *reason;
    int32_t sources, channels, taps;
    int64_t samples, step;
} cuts[] = {
    {"one piece", 2, 1, 32, 9000, 9000},
    {"the end within a block", 2, 1, 32, 9000, 1000},
    {"pieces shorter than a filter", 2, 1, 32, 3000, 7},
    {"a sample at a time", 1, 1, 3, 1500, 1},
    {"stereo, three sources", 3, 2, 16, 5000, 777},
    {"one tap: nothing is kept", 2, 2, 1, 4096, 1024},
    {"a signal shorter than a filter", 1, 1, 64, 20, 8},
    {"the usual filter", 2, 1, SCORE_TAPS, 12000, 5000},
    {"one sample", 1, 1, 4, 1, 1},
};

TEST(pieces_give_the_bits_of_the_whole)
{
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++)
        for (int late = 0; late < 2; late++) {
            const struct score_bss_params p = {.sources = cuts[c].sources, .taps = cuts[c].taps};
            const struct sound s = make(cuts[c].sources, cuts[c].samples, cuts[c].channels);
            struct score_bss y[SOURCES_MOST] = {{0}}, want[SOURCES_MOST];
            whole(&p, &s, want);
            CHECK_OK(in_pieces(&p, &s, cuts[c].step, late, y));
            printf("    %s%s: %.9f dB\n", cuts[c].reason, late ? ", the end apart" : "", y[0].sdr);
            CHECK(isfinite(y[0].sdr));
            CHECK(same(y, want, p.sources));
            free(s.data);
        }
}

static void count(void *context)
{
    ++*(int *)context;
}

/* As often as blocks of 64 of 512 unknowns are done with: at least when factored, and forth and back. */
TEST(signs_of_life_while_filters_are_computed)
{
    const struct score_bss_params p = {.sources = 1, .taps = SCORE_TAPS};
    const struct sound s = make(1, 3000, 1);
    struct score_signal r, e;
    struct score_pieces *pieces = NULL;
    int signs = 0;
    void *const work = room(score_pieces_bytes(&p, 1));
    CHECK_OK(score_pieces_begin(&p, 1, work, &pieces));
    score_pieces_keep_alive(pieces, count, &signs);
    cut(&s, 0, 3000, &r, &e);
    CHECK_OK(score_pieces_take(pieces, &r, &e, 0, false));
    CHECK(signs == 0);
    CHECK_OK(score_pieces_take(pieces, &r, &e, 0, true));
    CHECK(signs >= 3 * SCORE_TAPS / 64);
    free(work);
    free(s.data);
}

TEST(a_silent_signal_has_no_figures)
{
    for (int32_t silent = 0; silent < 4; silent++) { /* either reference, either estimate */
        const struct score_bss_params p = {.sources = 2, .taps = 8};
        const struct sound s = make(2, 3000, 2);
        const int64_t each = 3000L * 2;
        struct score_bss y[2] = {{0}}, want[2];
        memset(s.data + silent * each, 0, (size_t)each * sizeof(float));
        whole(&p, &s, want);
        CHECK_OK(in_pieces(&p, &s, 500, false, y));
        CHECK(isnan(y[0].sdr) && isnan(y[1].sdr) && same(y, want, 2));
        free(s.data);
    }
}

TEST(plain_sums_are_the_measures)
{
    const struct score_si_sdr_params params = {false, false};
    const struct sound s = make(1, 10000, 2);
    struct score_signal reference = {0}, estimate = {0};
    struct score_plain sums = {0};
    double mdx = NAN, si = NAN;
    for (int k = 0; k < 2; k++)
        for (int64_t from = 0; from < 10000; from += 3000) {
            cut(&s, from, from + 3000 < 10000 ? from + 3000 : 10000, &reference, &estimate);
            CHECK_OK((k ? score_plain_second : score_plain_first)(&sums, &reference, &estimate));
        }
    cut(&s, 0, 10000, &reference, &estimate);
    CHECK_OK(score_sdr_mdx(&reference, &estimate, &mdx));
    CHECK_OK(score_si_sdr(&params, &reference, &estimate, &si));
    CHECK_AT_MOST(compare_worst(0, fabs(score_plain_sdr_mdx(&sums) - mdx)), 1e-9);
    CHECK_AT_MOST(compare_worst(0, fabs(score_plain_si_sdr(&sums) - si)), 1e-9);
    free(s.data);
}

TEST(plain_sums_of_silence)
{
    const float nothing[2] = {0}, tone[2] = {1, -1};
    const struct score_signal silent = {nothing, 2, 1}, loud = {tone, 2, 1};
    for (int which = 0; which < 2; which++) {
        struct score_plain sums = {0};
        CHECK_OK(score_plain_first(&sums, which ? &loud : &silent, which ? &silent : &loud));
        CHECK_OK(score_plain_second(&sums, which ? &loud : &silent, which ? &silent : &loud));
        CHECK(isfinite(score_plain_sdr_mdx(&sums)) && isnan(score_plain_si_sdr(&sums)));
    }
}

TEST(what_is_no_piece_is_refused)
{
    const struct score_bss_params good = {.sources = 1, .taps = 4},
                                  bad[] = {{.sources = 1, .taps = 4, .window_samples = 8, .hop_samples = 8},
                                           {.sources = 2, .taps = 4, .permute = true},
                                           {.sources = 0, .taps = 4}};
    for (size_t c = 0; c < sizeof bad / sizeof *bad; c++)
        CHECK(score_pieces_bytes(&bad[c], 1) == 0);
    const struct sound s = make(1, 4000, 1);
    struct score_signal r, e;
    struct score_pieces *p = NULL;
    void *const work = room(score_pieces_bytes(&good, 1));
    CHECK_CODE(score_pieces_begin(&bad[0], 1, work, &p), STATUS_ARGUMENT);
    CHECK_OK(score_pieces_begin(&good, 1, work, &p));
    cut(&s, 1, 1000, &r, &e);
    CHECK_CODE(score_pieces_take(p, &r, &e, 1, false), STATUS_SHAPE); /* begins behind sample 0 */
    cut(&s, 0, 1000, &r, &e);
    e.samples = 999;
    CHECK_CODE(score_pieces_take(p, &r, &e, 0, false), STATUS_SHAPE); /* an estimate that is shorter */
    r.channels = 2;
    r.samples = 500;
    e = r;
    CHECK_CODE(score_pieces_take(p, &r, &e, 0, false), STATUS_SHAPE); /* stereo now */
    s.data[4100] = NAN;
    cut(&s, 0, 1000, &r, &e);
    CHECK_CODE(score_pieces_take(p, &r, &e, 0, false), STATUS_ARGUMENT);
    s.data[4100] = 0;
    CHECK_OK(score_pieces_take(p, &r, &e, 0, true)); /* what was refused has left no trace */
    CHECK_CODE(score_pieces_take(p, &r, &e, 0, false) || score_pieces_take(p, &r, &e, 0, false), STATUS_OK);
    cut(&s, 0, 1001, &r, &e);
    CHECK_CODE(score_pieces_take(p, &r, &e, 0, true), STATUS_SHAPE); /* longer than before */
    cut(&s, 0, 1000, &r, &e);
    CHECK_OK(score_pieces_take(p, &r, &e, 0, true));
    CHECK_CODE(score_pieces_take(p, &r, &e, 0, true), STATUS_SHAPE); /* a third pass */
    free(work);
    free(s.data);
}
