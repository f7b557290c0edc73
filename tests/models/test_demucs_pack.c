/* Short signals side by side in a segment: where they lie, what comes back, and that one alone is what demucs_split
 * gives. */
#include "demucs_pack.h"
#include "demucs_split.h"
#include "exec.h"
#include "ops.h"
#include "seeded_network.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEMS = 4, VALUES = 2 * STEMS, MOST = 12 };

/* What the network got, and a stand-in for it: stem s is (s + 1) times the mixture. */
struct seen {
    float *mix;
    int runs;
};

static int factor_of(int value)
{
    return value / 2 + 1;
}

static int multiply(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
                    const struct demucs_alive *alive)
{
    struct seen *const seen = context;
    const struct htdemucs_segment s = segments[0];
    const int64_t segment = htdemucs_config(net)->segment;
    (void)alive;
    REQUIRE(count == 1);
    seen->runs++;
    memcpy(seen->mix, s.mix, (size_t)segment * 2 * sizeof(float));
    for (int64_t i = 0; i < segment; i++)
        for (int v = 0; v < VALUES; v++)
            s.stems[i * VALUES + v] = s.mix[2 * i + v % 2] * (float)factor_of(v);
    return STATUS_OK;
}

struct real {
    struct exec *ex;
    struct htdemucs_room *room;
};

static int run_network(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
                       const struct demucs_alive *alive)
{
    const struct real *const r = context;
    (void)alive;
    return htdemucs_run(net, r->ex, r->room, segments, count);
}

static struct exec *make_exec(void)
{
    struct exec *ex = NULL;
    const enum exec_isa isa = isa_best();
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa, .ops = ops_cpu(isa)}, &ex));
    REQUIRE(ex);
    return ex;
}

static struct htdemucs *small_network(struct exec *ex)
{
    struct htdemucs *net = NULL;
    CHECK_OK(seeded_network(SEEDED_SMALL, ex, &net));
    REQUIRE(net);
    return net;
}

static struct demucs_bag bag_of(const struct htdemucs *net,
                                int (*run)(void *, const struct htdemucs *, const struct htdemucs_segment *, int,
                                           const struct demucs_alive *),
                                void *context)
{
    struct demucs_bag b = {.networks = 1, .network = {net}, .runner = {.run = run, .context = context}};
    for (int s = 0; s < STEMS; s++) {
        b.wanted[s] = true;
        b.weight[0][s] = 1;
    }
    return b;
}

/* A clip of noise with its own level and offset, and its moments. */
static struct demucs_clip make_clip(int64_t frames, uint32_t seed)
{
    float *const x = calloc((size_t)frames * 2 + 1, sizeof *x);
    struct demucs_clip c = {.x = x, .frames = frames, .stems = calloc((size_t)frames * VALUES + 1, sizeof(float))};
    double sum = 0, squares = 0;
    REQUIRE(x && c.stems);
    for (int64_t i = 0; i < 2 * frames; i++) {
        seed = seed * 1664525U + 1013904223U;
        x[i] = ((float)(seed >> 8) / 8388608.0F - 1) * 0.25F * (float)(seed % 3 + 1) + 0.125F;
    }
    for (int64_t i = 0; i < frames; i++)
        sum += 0.5 * ((double)x[2 * i] + (double)x[2 * i + 1]);
    c.mean = frames ? (float)(sum / (double)frames) : 0;
    for (int64_t i = 0; i < frames; i++) {
        const double d = 0.5 * ((double)x[2 * i] + (double)x[2 * i + 1]) - (double)c.mean;
        squares += d * d;
    }
    c.deviation = frames > 1 ? (float)sqrt(squares / (double)(frames - 1)) : 0;
    return c;
}

static void free_clip(struct demucs_clip *c)
{
    free((float *)c->x);
    free(c->stems);
}

/* The largest difference of stem s from (s + 1)*(x - mean) + mean. */
static double off_by(const struct demucs_clip *c)
{
    double most = 0;
    for (int64_t i = 0; i < c->frames; i++)
        for (int v = 0; v < VALUES; v++) {
            const double want = ((double)c->x[2 * i + v % 2] - (double)c->mean) * factor_of(v) + (double)c->mean;
            const double off = fabs((double)c->stems[i * VALUES + v] - want);
            most = off <= most ? most : off; /* a NaN stays */
        }
    return most;
}

/* Frames of zeros before, between and behind the clips, as the header says. */
static bool lies_right(const struct seen *seen, int64_t segment, const struct demucs_clip *clips, int count)
{
    int64_t left = segment;
    for (int k = 0; k < count; k++)
        left -= clips[k].frames;
    int64_t at = left / count / 2;
    bool right = true;
    for (int64_t i = 0, k = 0; i < segment; i++) {
        while (k < count && i >= at + clips[k].frames) {
            at += clips[k].frames + left / count;
            k++;
        }
        const bool inside = k < count && i >= at;
        const float want = inside ? (clips[k].x[2 * (i - at)] - clips[k].mean) / (clips[k].deviation + 1e-8F) : 0;
        right = right && fabsf(seen->mix[2 * i] - want) <= 1e-5F;
    }
    return right;
}

TEST(clips_lie_where_the_header_says_and_come_back)
{
    struct exec *ex = make_exec();
    struct htdemucs *net = small_network(ex);
    const int64_t segment = htdemucs_config(net)->segment;
    static const struct {
        int count, fit;
        double part[MOST]; /* of a segment */
    } cases[] = {
        {1, 1, {0.5}},
        {1, 1, {0}},          /* nothing at all */
        {1, 0, {0.501}},      /* more than half */
        {2, 2, {0.01, 0.02}}, /* two, far apart */
        {2, 1, {0.5, 0.49}},  /* no silence between them */
        {2, 1, {0.1, 0.6}},
        {2, 0, {0.6, 0.1}},
        {4, 3, {0.3, 0.3, 0.3, 0.01}}, /* 3 gaps of 1/30 */
        {12, 12, {.05, .05, .05, .05, .05, .05, .05, .05, .05, .05, .05, .05}},
    };
    struct seen seen = {calloc((size_t)segment * 2, sizeof(float)), 0};
    const struct demucs_bag b = bag_of(net, multiply, &seen);
    REQUIRE(seen.mix);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct demucs_clip clips[MOST];
        for (int k = 0; k < cases[i].count; k++)
            clips[k] = make_clip((int64_t)(cases[i].part[k] * (double)segment), (uint32_t)(k + 1));
        const int fit = demucs_pack_fit(&b, clips, cases[i].count);
        test_report(fit == cases[i].fit, __FILE__, __LINE__, "case %zu: %d fit", i, fit);
        if (fit < cases[i].count)
            CHECK_CODE(demucs_pack_run(&b, clips, cases[i].count), STATUS_ARGUMENT);
        if (fit > 0) {
            CHECK_OK(demucs_pack_run(&b, clips, fit));
            test_report(lies_right(&seen, segment, clips, fit), __FILE__, __LINE__, "case %zu: lies elsewhere", i);
            for (int k = 0; k < fit; k++)
                CHECK_AT_MOST(off_by(&clips[k]), 1e-5);
        }
        for (int k = 0; k < cases[i].count; k++)
            free_clip(&clips[k]);
    }
    CHECK(seen.runs == 7); /* of nine, two have none that fits */
    free(seen.mix);
    htdemucs_unload(&net);
    exec_destroy(&ex);
}

TEST(bad_clips_are_refused)
{
    struct exec *ex = make_exec();
    struct htdemucs *net = small_network(ex);
    struct seen seen = {NULL, 0};
    const struct demucs_bag b = bag_of(net, multiply, &seen);
    static const struct {
        float mean, deviation;
        int count;
    } cases[] = {{NAN, 1, 1}, {INFINITY, 1, 1}, {0, -1, 1}, {0, NAN, 1}, {0, INFINITY, 1}, {0, 1, 0}};
    struct demucs_clip c = make_clip(1000, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        c.mean = cases[i].mean;
        c.deviation = cases[i].deviation;
        CHECK_CODE(demucs_pack_run(&b, &c, cases[i].count), STATUS_ARGUMENT);
    }
    CHECK(seen.runs == 0);
    free_clip(&c);
    htdemucs_unload(&net);
    exec_destroy(&ex);
}

struct taken {
    float *stems;
    int64_t frames;
};

static int take(void *context, const float *stems, int64_t frames)
{
    struct taken *const t = context;
    memcpy(t->stems + t->frames * VALUES, stems, (size_t)frames * VALUES * sizeof *stems);
    t->frames += frames;
    return STATUS_OK;
}

/* What the whole-file procedure makes of it. */
static void split(const struct demucs_bag *b, const struct demucs_clip *c, struct taken *t)
{
    struct separation *s = NULL;
    const struct demucs_split_params p = {.bag = *b, .overlap = 0.25, .mean = c->mean, .deviation = c->deviation};
    CHECK_OK(demucs_split_create(&p, take, t, &s));
    REQUIRE(s);
    CHECK_OK(separation_push(s, c->x, c->frames));
    CHECK_OK(separation_finish(s));
    separation_destroy(&s);
    CHECK(t->frames == c->frames);
}

static double snr_db(const float *want, const float *got, int64_t n)
{
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)want[i];
        signal += (double)want[i] * (double)want[i];
        noise += d * d;
    }
    return 10 * log10(signal / noise);
}

TEST(one_alone_is_what_the_whole_file_gives)
{
    struct real real = {.ex = make_exec()};
    struct htdemucs *net = small_network(real.ex);
    CHECK_OK(htdemucs_room_create(net, real.ex, 1, &real.room));
    struct demucs_bag b = bag_of(net, run_network, &real);
    b.wanted[2] = false;
    static const double parts[] = {0.1, 0.301, 0.5};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct demucs_clip c = make_clip((int64_t)(parts[i] * (double)htdemucs_config(net)->segment), 7);
        float *const want = calloc((size_t)c.frames * VALUES, sizeof *want);
        REQUIRE(want);
        split(&b, &c, &(struct taken){want, 0});
        CHECK_OK(demucs_pack_run(&b, &c, 1));
        const double db = snr_db(want, c.stems, c.frames * VALUES);
        printf("one of %g segments: %.1f dB\n", parts[i], db);
        CHECK(db >= 110);
        CHECK(want[4] == 0 && c.stems[4] == 0 && want[0] != 0);
        free(want);
        free_clip(&c);
    }
    /* Two in one segment hear each other: near, and not the same. */
    struct demucs_clip two[2] = {make_clip(3000, 1), make_clip(3000, 2)};
    float *const want = calloc((size_t)two[0].frames * VALUES, sizeof *want);
    REQUIRE(want && demucs_pack_fit(&b, two, 2) == 2);
    split(&b, &two[0], &(struct taken){want, 0});
    CHECK_OK(demucs_pack_run(&b, two, 2));
    const double db = snr_db(want, two[0].stems, two[0].frames * VALUES);
    printf("beside another: %.1f dB\n", db);
    CHECK(db > -10 && db < 110);
    free(want);
    free_clip(&two[0]);
    free_clip(&two[1]);
    htdemucs_room_destroy(&real.room);
    htdemucs_unload(&net);
    exec_destroy(&real.ex);
}
