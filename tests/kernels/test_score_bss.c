/* BSS Eval beside mir_eval and museval on mir_eval's recordings, and beside an oracle that shares nothing with it:
 * delayed references made orthogonal one by one in long double. */
#include "compare.h"
#include "score.h"
#include "score_expected.h"
#include "test.h"

enum { SOURCES = 4 };

static void *room(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
    REQUIRE(p != NULL);
    return p;
}

static double gap(double got, double want)
{
    return got == want || (isnan(got) && isnan(want)) ? 0 : compare_worst(0, fabs(got - want));
}

/* Scores with scratch of exactly the size asked for, filled with what must not matter; the code. */
static int score(const struct score_bss_params *p, const struct score_signal *s, const struct score_signal *e,
                 struct score_bss *y)
{
    const size_t bytes = score_bss_work_bytes(p, s->channels);
    REQUIRE(bytes > 0);
    unsigned char *const work = room(bytes + 64);
    memset(work, 0xff, bytes + 64); /* NaN, whatever it is read as */
    const int code = score_bss(p, s, e, work, y);
    for (size_t i = bytes; i < bytes + 64; i++)
        CHECK(work[i] == 0xff);
    free(work);
    return code;
}

/* ---- beside mir_eval and museval ---- */

static float *load(const struct expected *x, struct score_signal *s, struct score_signal *e)
{
    char name[64];
    (void)snprintf(name, sizeof name, "separation/%s.s16", x->set);
    const size_t each = (size_t)x->samples * (size_t)x->channels, count = 2 * (size_t)x->p.sources * each;
    int16_t *const raw = room(count * sizeof *raw);
    float *const data = room(count * sizeof *data);
    FILE *const f = fopen(test_data(name), "rbe");
    REQUIRE(f != NULL);
    REQUIRE(fread(raw, sizeof *raw, count, f) == count && fgetc(f) == EOF);
    REQUIRE(fclose(f) == 0);
    for (size_t i = 0; i < count; i++)
        data[i] = (float)raw[i] / 32768;
    for (int32_t j = 0; j < x->p.sources; j++) {
        s[j] = (struct score_signal){data + (size_t)j * each, x->samples, x->channels};
        e[j] = (struct score_signal){data + (size_t)(x->p.sources + j) * each, x->samples, x->channels};
    }
    free(raw);
    return data;
}

/* Worst difference of what the peer gives. */
static double beside_peer(const struct expected *x)
{
    struct score_signal s[SOURCES], e[SOURCES];
    float *const data = load(x, s, e);
    const int64_t frames = score_bss_frames(&x->p, x->samples);
    REQUIRE(frames * x->p.sources == x->rows);
    struct score_bss *const y = room((size_t)x->rows * sizeof *y);
    CHECK_OK(score(&x->p, s, e, y));
    double worst = 0;
    for (int i = 0; i < x->rows; i++) {
        const struct expected_row *const want = &x->row[i];
        const struct score_bss *const got = &y[want->frame * x->p.sources + want->reference];
        CHECK(got->estimate == want->y.estimate);
        worst = compare_worst(worst, gap(got->sdr, want->y.sdr));
        worst = compare_worst(worst, gap(got->isr, want->y.isr));
        worst = compare_worst(worst, gap(got->sir, want->y.sir));
        worst = compare_worst(worst, gap(got->sar, want->y.sar));
        if (!isnan(want->y.sdr_filt))
            worst = compare_worst(worst, gap(got->sdr_filt, want->y.sdr_filt));
    }
    free(data), free(y);
    return worst;
}

/* Filters of the whole are no least squares in a frame: errors of the filters that cancel over the whole show there,
 * ours and museval's. The references of 02 and 03 are speech with next to nothing above 3.5 kHz. */
TEST(as_mir_eval_and_museval)
{
    for (size_t c = 0; c < sizeof expected / sizeof *expected; c++) {
        const double worst = beside_peer(&expected[c]);
        printf("    %s %s, %d rows: %.1e dB\n", expected[c].peer, expected[c].set, expected[c].rows, worst);
        CHECK_AT_MOST(worst, expected[c].p.filters_of_whole ? 2e-5 : 1e-6);
    }
}

/* ---- beside the oracle ---- */

/* Adds channel c of s, delayed, to a basis of orthonormal vectors [count][length], unless it says nothing new. */
static int grow(long double *basis, int count, int64_t length, const struct score_signal *s, int32_t c, int delay)
{
    long double *const v = basis + count * length, before = 0, after = 0;
    for (int64_t t = 0; t < length; t++)
        v[t] = t < delay || t >= s->samples + delay ? 0 : s->data[(t - delay) * s->channels + c];
    for (int64_t t = 0; t < length; t++)
        before += v[t] * v[t];
    for (int twice = 0; twice < 2; twice++)
        for (int b = 0; b < count; b++) {
            const long double *const u = basis + b * length;
            long double dot = 0;
            for (int64_t t = 0; t < length; t++)
                dot += u[t] * v[t];
            for (int64_t t = 0; t < length; t++)
                v[t] -= dot * u[t];
        }
    for (int64_t t = 0; t < length; t++)
        after += v[t] * v[t];
    if (!(after > 1e-13L * before))
        return count;
    for (int64_t t = 0; t < length; t++)
        v[t] /= sqrtl(after);
    return count + 1;
}

/* out [channels][length]: e projected on references first .. last - 1. */
static void project(const struct score_bss_params *p, const struct score_signal *s, int32_t first, int32_t last,
                    const struct score_signal *e, long double *out)
{
    const int64_t length = e->samples + p->taps - 1;
    long double *const basis = room((size_t)(p->sources * e->channels * p->taps + 1) * (size_t)length * sizeof *basis);
    int count = 0;
    for (int32_t j = first; j < last; j++)
        for (int32_t c = 0; c < e->channels; c++)
            for (int delay = 0; delay < p->taps; delay++)
                count = grow(basis, count, length, &s[j], c, delay);
    for (int64_t i = 0; i < length * e->channels; i++)
        out[i] = 0;
    for (int32_t c = 0; c < e->channels; c++)
        for (int b = 0; b < count; b++) {
            long double dot = 0;
            for (int64_t t = 0; t < e->samples; t++)
                dot += basis[b * length + t] * e->data[t * e->channels + c];
            for (int64_t t = 0; t < length; t++)
                out[c * length + t] += dot * basis[b * length + t];
        }
    free(basis);
}

static double decibel(long double over, long double under)
{
    return (double)(10 * log10l(over / under));
}

static struct score_bss oracle(const struct score_bss_params *p, const struct score_signal *s,
                               const struct score_signal *e, int32_t j)
{
    const int64_t length = e->samples + p->taps - 1;
    long double *const all = room((size_t)(length * e->channels) * sizeof *all);
    long double *const own = room((size_t)(length * e->channels) * sizeof *own);
    project(p, s, 0, p->sources, e, all);
    project(p, s, j, j + 1, e, own);
    long double truth = 0, error = 0, filtered = 0, spatial = 0, rest = 0, interf = 0, whole = 0, artifact = 0;
    for (int32_t c = 0; c < e->channels; c++)
        for (int64_t t = 0; t < length; t++) {
            const long double a = all[c * length + t], o = own[c * length + t];
            const long double x = t < e->samples ? e->data[t * e->channels + c] : 0;
            const long double r = t < e->samples ? s[j].data[t * e->channels + c] : 0;
            truth += r * r;
            error += (x - r) * (x - r);
            filtered += o * o;
            spatial += (o - r) * (o - r);
            rest += (x - o) * (x - o);
            interf += (a - o) * (a - o);
            whole += a * a;
            artifact += (x - a) * (x - a);
        }
    free(all), free(own);
    return (struct score_bss){decibel(truth, error),    decibel(truth, spatial), decibel(filtered, interf),
                              decibel(whole, artifact), decibel(filtered, rest), j};
}

enum made { PLAIN, MONO, SILENT_RIGHT, DELAYED, QUIET, CLOSE, MADE };

/* References of coloured noise, and estimates that mix and delay them. */
static float *make(enum made made, int32_t sources, int64_t samples, int32_t channels, struct score_signal *s,
                   struct score_signal *e)
{
    const size_t each = (size_t)samples * (size_t)channels;
    float *const data = room(2 * (size_t)sources * each * sizeof *data);
    uint64_t seed = 7;
    for (size_t i = 0; i < (size_t)sources * each; i++)
        data[i] = (i >= (size_t)channels ? 0.6F * data[i - (size_t)channels] : 0) + 0.3F * test_noise(&seed);
    for (size_t i = 0; i < (size_t)sources * each; i++) {
        if (made == MONO && i % (size_t)channels)
            data[i] = data[i - 1];
        if (made == SILENT_RIGHT && i < each && i % (size_t)channels)
            data[i] = 0;
        if (made == DELAYED && i >= each && i < 2 * each) /* the second: the first two samples later */
            data[i] = i - each < 2 * (size_t)channels ? 0 : data[i - each - 2 * (size_t)channels];
        if (made == QUIET && i < each)
            data[i] *= 1e-7F; /* 140 dB below the others */
    }
    if (made == DELAYED)
        for (size_t i = each - 2 * (size_t)channels; i < each; i++)
            data[i] = 0; /* so that the delay loses nothing */
    float *const found = data + (size_t)sources * each;
    for (size_t i = 0; i < (size_t)sources * each; i++) {
        const size_t next = (i + each) % ((size_t)sources * each), late = i % each < 3 ? i : i - 3;
        found[i] = made == CLOSE ? 0.9F * data[i] + 1e-3F * data[next] + 1e-4F * test_noise(&seed)
                                 : 0.7F * data[i] + 0.2F * data[late] + 0.1F * data[next] + 0.05F * test_noise(&seed);
    }
    for (int32_t j = 0; j < sources; j++) {
        s[j] = (struct score_signal){data + (size_t)j * each, samples, channels};
        e[j] = (struct score_signal){found + (size_t)j * each, samples, channels};
    }
    return data;
}

static const struct {
    const char *reason;
    enum made made;
    int32_t sources, channels, taps;
    int64_t samples;
} cases[] = {
    {"one tap is a gain", PLAIN, 2, 1, 1, 300},
    {"one source: no interference", PLAIN, 1, 1, 8, 300},
    {"one sample", PLAIN, 1, 1, 4, 1},
    {"shorter than the filter", PLAIN, 2, 1, 16, 9},
    {"stereo", PLAIN, 2, 2, 8, 400},
    {"five channels", PLAIN, 2, 5, 3, 200},
    {"63 unknowns, one short of a block", PLAIN, 3, 1, 21, 500},
    {"64 unknowns, a whole block", PLAIN, 2, 2, 16, 500},
    {"65 unknowns", PLAIN, 1, 5, 13, 500},
    {"two blocks and a piece", PLAIN, 3, 1, 50, 700},
    {"several transforms", PLAIN, 2, 1, 8, 5000},
    {"ends with a transform of one sample", PLAIN, 1, 1, 8, 1010 * 2 + 1},
    {"both channels alike: half of the rows are new", MONO, 2, 2, 20, 500},
    {"a silent channel", SILENT_RIGHT, 2, 2, 8, 400},
    {"one reference is another's delay", DELAYED, 3, 1, 8, 400},
    {"one stem far below the others", QUIET, 3, 1, 8, 400},
    {"close: 60 dB", CLOSE, 2, 2, 8, 600},
};

TEST(as_the_oracle)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct score_signal s[SOURCES], e[SOURCES];
        float *const data = make(cases[c].made, cases[c].sources, cases[c].samples, cases[c].channels, s, e);
        const struct score_bss_params p = {.sources = cases[c].sources, .taps = cases[c].taps};
        struct score_bss y[SOURCES];
        CHECK_OK(score(&p, s, e, y));
        double worst = 0;
        for (int32_t j = 0; j < p.sources; j++) {
            const struct score_bss want = oracle(&p, s, &e[j], j);
            worst = compare_worst(worst, gap(y[j].sdr, want.sdr));
            worst = compare_worst(worst, gap(y[j].isr, want.isr));
            if (p.sources == 1)
                CHECK(y[j].sir == INFINITY); /* exactly: both projections are the same sums */
            else
                worst = compare_worst(worst, gap(y[j].sir, want.sir));
            if (want.sar < 200) /* else nothing is left but rounding */
                worst = compare_worst(worst, gap(y[j].sar, want.sar));
            else
                CHECK(y[j].sar > 200);
            if (want.sdr_filt < 200)
                worst = compare_worst(worst, gap(y[j].sdr_filt, want.sdr_filt));
            CHECK(y[j].estimate == j);
        }
        printf("    %s: %.1e dB, SIR %.2f, SAR %.2f\n", cases[c].reason, worst, y[0].sir, y[0].sar);
        CHECK_AT_MOST(worst, 1e-8);
        free(data);
    }
}

/* ---- frames, order, silence ---- */

TEST(frames_are_those_of_the_peers)
{
    static const struct {
        const char *reason;
        int64_t samples, window, hop, want, want_whole;
    } frames[] = {
        {"the whole", 1000, 0, 0, 1, 1},
        {"window longer than the signal", 999, 1000, 10, 1, 1},
        {"window as long as it", 1000, 1000, 10, 1, 1},
        {"one window and a rest", 1009, 1000, 10, 1, 1},
        {"two", 1010, 1000, 10, 2, 2},
        {"hop longer than the window", 1000, 100, 300, 4, 4},
        {"seconds", 10 * 44100 + 7, 44100, 44100, 10, 10},
    };
    for (size_t c = 0; c < sizeof frames / sizeof *frames; c++) {
        struct score_bss_params p = {1, 512, frames[c].window, frames[c].hop, false, false};
        CHECK(score_bss_frames(&p, frames[c].samples) == frames[c].want);
        p.filters_of_whole = true;
        CHECK(score_bss_frames(&p, frames[c].samples) == frames[c].want_whole);
    }
}

/* A frame with filters of its own is what its samples give alone; one window and a rest is the whole with filters of
 * each frame and the window alone with filters of the whole. */
TEST(frames_stand_alone)
{
    struct score_signal s[2], e[2], cut_s[2], cut_e[2];
    float *const data = make(PLAIN, 2, 1000, 2, s, e);
    const struct score_bss_params p = {2, 8, 400, 300, false, false}, alone = {.sources = 2, .taps = 8};
    struct score_bss y[3 * 2], want[2];
    CHECK_OK(score(&p, s, e, y));
    for (int t = 0; t < 3; t++) {
        for (int j = 0; j < 2; j++) {
            cut_s[j] = (struct score_signal){s[j].data + 2 * 300 * (int64_t)t, 400, 2};
            cut_e[j] = (struct score_signal){e[j].data + 2 * 300 * (int64_t)t, 400, 2};
        }
        CHECK_OK(score(&alone, cut_s, cut_e, want));
        CHECK(compare_bits(&want[0].sdr, &y[2 * t].sdr, 5 * sizeof(double)));
        CHECK(compare_bits(&want[1].sdr, &y[2 * t + 1].sdr, 5 * sizeof(double)));
    }
    struct score_bss_params rest = {2, 8, 800, 300, false, false};
    CHECK_OK(score(&alone, s, e, want));
    CHECK_OK(score(&rest, s, e, y));
    CHECK(compare_bits(&want[0].sdr, &y[0].sdr, 5 * sizeof(double)));
    rest.filters_of_whole = true;
    CHECK_OK(score(&rest, s, e, y));
    CHECK(y[0].sdr != want[0].sdr);
    free(data);
}

TEST(a_silent_frame_has_no_figures)
{
    struct score_signal s[2], e[2];
    float *const data = make(PLAIN, 2, 1000, 1, s, e);
    for (int64_t i = 300; i < 700; i++)
        data[1000 + i] = 0; /* of reference 1 */
    for (int whole = 0; whole < 2; whole++)
        for (int permute = 0; permute < 2; permute++) {
            const struct score_bss_params p = {2, 8, 400, 300, whole, permute};
            struct score_bss y[3 * 2];
            CHECK_OK(score(&p, s, e, y));
            for (int i = 0; i < 6; i++) {
                const bool silent = i / 2 == 1;
                CHECK(silent ? isnan(y[i].sdr) && isnan(y[i].isr) && isnan(y[i].sir) && isnan(y[i].sar) &&
                                   isnan(y[i].sdr_filt)
                             : isfinite(y[i].sdr) && isfinite(y[i].sir));
                CHECK(y[i].estimate == i % 2);
            }
        }
    for (int64_t i = 0; i < 1000; i++)
        data[2000 + i] = 0; /* estimate 0, all of it */
    for (int whole = 0; whole < 2; whole++) {
        const struct score_bss_params p = {2, 8, 400, 300, whole, true};
        struct score_bss y[3 * 2];
        CHECK_OK(score(&p, s, e, y));
        for (int i = 0; i < 6; i++)
            CHECK(isnan(y[i].sdr) && y[i].estimate == i % 2);
    }
    free(data);
}

/* Every order of four is found again, and changes no figure. */
TEST(order_is_found)
{
    static const int32_t orders[][SOURCES] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2, 3, 0}, {2, 0, 3, 1}, {0, 2, 1, 3}};
    struct score_signal s[SOURCES], e[SOURCES], shuffled[SOURCES];
    float *const data = make(PLAIN, SOURCES, 900, 1, s, e);
    const struct score_bss_params plain = {.sources = SOURCES, .taps = 8};
    struct score_bss want[SOURCES], y[2 * SOURCES];
    CHECK_OK(score(&plain, s, e, want));
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        for (int32_t j = 0; j < SOURCES; j++)
            shuffled[orders[o][j]] = e[j];
        struct score_bss_params p = plain;
        p.permute = true;
        CHECK_OK(score(&p, s, shuffled, y));
        for (int32_t j = 0; j < SOURCES; j++) {
            CHECK(y[j].estimate == orders[o][j]);
            CHECK_AT_MOST(gap(y[j].sir, want[j].sir), 1e-9);
            CHECK_AT_MOST(gap(y[j].sdr, want[j].sdr), 1e-9);
        }
        p.filters_of_whole = true;
        p.window_samples = p.hop_samples = 450;
        CHECK_OK(score(&p, s, shuffled, y));
        for (int32_t i = 0; i < 2 * SOURCES; i++)
            CHECK(y[i].estimate == orders[o][i % SOURCES]);
    }
    free(data);
}

TEST(a_perfect_estimate_is_far_up)
{
    struct score_signal s[2], e[2];
    float *const data = make(PLAIN, 2, 600, 2, s, e);
    const struct score_bss_params p = {.sources = 2, .taps = 8};
    struct score_bss y[2];
    CHECK_OK(score(&p, s, s, y));
    for (int j = 0; j < 2; j++) {
        CHECK(y[j].sdr == INFINITY);
        CHECK(y[j].isr > 200 && y[j].sir > 200 && y[j].sar > 200 && y[j].sdr_filt > 200);
    }
    free(data);
}

TEST(same_input_same_bits)
{
    struct score_signal s[SOURCES], e[SOURCES];
    float *const data = make(MONO, 3, 700, 2, s, e);
    const struct score_bss_params p = {3, 16, 300, 200, true, true};
    struct score_bss a[3 * 3], b[3 * 3];
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    CHECK_OK(score(&p, s, e, a));
    CHECK_OK(score(&p, s, e, b));
    for (int i = 0; i < 9; i++)
        CHECK(compare_bits(&a[i].sdr, &b[i].sdr, 5 * sizeof(double)) && a[i].estimate == b[i].estimate);
    free(data);
}

/* ---- limits ---- */

TEST(parameters_outside_their_limits)
{
    static const struct {
        const char *reason;
        struct score_bss_params p;
        int32_t channels;
        bool good;
    } limits[] = {
        {"ordinary", {4, 512, 0, 0, false, false}, 2, true},
        {"no source", {0, 512, 0, 0, false, false}, 1, false},
        {"no tap", {1, 0, 0, 0, false, false}, 1, false},
        {"longest filter", {1, 4096, 0, 0, false, false}, 1, true},
        {"longer", {1, 4097, 0, 0, false, false}, 1, false},
        {"no channel", {1, 512, 0, 0, false, false}, 0, false},
        {"too many channels", {1, 1, 0, 0, false, false}, 65, false},
        {"most unknowns", {16, 512, 0, 0, false, false}, 2, true},
        {"one more", {17, 512, 0, 0, false, false}, 2, false},
        {"a number of unknowns that overflows", {INT32_MAX, 4096, 0, 0, false, false}, 64, false},
        {"order of eight", {8, 16, 0, 0, false, true}, 1, true},
        {"order of nine", {9, 16, 0, 0, false, true}, 1, false},
        {"window without hop", {1, 512, 100, 0, false, false}, 1, false},
        {"negative window", {1, 512, -1, 1, false, false}, 1, false},
    };
    const float nothing[65] = {0};
    for (size_t c = 0; c < sizeof limits / sizeof *limits; c++) {
        const size_t bytes = score_bss_work_bytes(&limits[c].p, limits[c].channels);
        printf("    %s: %zu bytes\n", limits[c].reason, bytes);
        CHECK((bytes > 0) == limits[c].good);
        struct score_bss y = {.sdr = 12345};
        const struct score_signal s = {nothing, 1, limits[c].channels};
        if (!limits[c].good)
            CHECK_CODE(score_bss(&limits[c].p, &s, &s, NULL, &y), STATUS_ARGUMENT);
        CHECK(y.sdr == 12345);
    }
    CHECK_AT_MOST((double)score_bss_work_bytes(&limits[0].p, 2), 80e6); /* what the header says */
    CHECK_AT_MOST((double)score_bss_work_bytes(&limits[0].p, 1), 21e6);
    CHECK_AT_MOST((double)score_bss_work_bytes(&limits[7].p, 2), 1.3e9);
}

TEST(signals_that_do_not_fit)
{
    const float good[8] = {1, 2, 3, 4, 5, 6, 7, 8}, bad[8] = {1, 2, 3, NAN, 5, 6, 7, 8};
    const struct score_signal s[2] = {{good, 8, 1}, {good, 8, 1}};
    const struct {
        const char *reason;
        struct score_signal s, e;
        int code;
    } wrong[] = {
        {"a shorter estimate", {good, 8, 1}, {good, 7, 1}, STATUS_SHAPE},
        {"a shorter reference", {good, 7, 1}, {good, 8, 1}, STATUS_SHAPE},
        {"a stereo estimate", {good, 8, 1}, {good, 4, 2}, STATUS_SHAPE},
        {"a NaN in a reference", {bad, 8, 1}, {good, 8, 1}, STATUS_ARGUMENT},
        {"a NaN in an estimate", {good, 8, 1}, {bad, 8, 1}, STATUS_ARGUMENT},
    };
    const struct score_bss_params p = {.sources = 2, .taps = 4};
    for (size_t c = 0; c < sizeof wrong / sizeof *wrong; c++) {
        const struct score_signal references[2] = {s[0], wrong[c].s}, estimates[2] = {s[1], wrong[c].e};
        struct score_bss y[2] = {{.sdr = 12345}, {.sdr = 12345}};
        CHECK_CODE(score(&p, references, estimates, y), wrong[c].code);
        printf("    %s: %s\n", wrong[c].reason, status_message());
        CHECK(y[0].sdr == 12345 && y[1].sdr == 12345);
    }
}
