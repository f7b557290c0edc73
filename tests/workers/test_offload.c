/* offload.c on the emulator: rows of many threads share batches and get what they would get alone, whatever the memory.
 */
#include "offload.h"

#include "module.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 6, SAMPLES = 6000, FRAMES_MOST = 400, MELS = 40, CEPSTRA = 13, FLOOR = 10 };

/* One thread's row, and what came back. */
struct row {
    struct offload *offload;
    struct spectral_params p;
    float x[SAMPLES];
    int64_t offset[2], frames[2];
    struct piece piece;
    float rms[FRAMES_MOST], mel[FRAMES_MOST * MELS], centroid[FRAMES_MOST], loudest;
    float mel_statistics[STATISTICS * MELS], mfcc_statistics[STATISTICS * CEPSTRA], joined_statistics[STATISTICS];
    struct offload_stages stages;
    int left; /* wishes that were not taken */
    int code;
    bool described;
};

static struct offload *open_offload(uint64_t limit)
{
    const struct module *m = NULL;
    struct offload *o = NULL;
    CHECK_OK(module_load(BACKEND_EMULATED, &m));
    REQUIRE(m);
    CHECK_OK(offload_create(
        &(struct exec_options){.backend = BACKEND_EMULATED, .threads = 1, .module = m, .memory_limit = limit}, &o));
    REQUIRE(o);
    return o;
}

static void fill(struct row *r, struct offload *o, int i, int64_t n_fft)
{
    memset(r, 0, sizeof *r);
    r->offload = o;
    r->p = spectral_defaults(i % 3 == 2 ? 48000 : 44100); /* every third goes into other batches */
    r->p.stft.frame = (struct frame_params){n_fft, 256, true};
    r->p.mel.mels = MELS;
    r->p.mel.log = true;
    r->offset[1] = SAMPLES - 500 * i; /* rows of different length */
    for (int64_t k = 0; k < r->offset[1]; k++)
        r->x[k] = sinf((float)(k * (i + 1)) * 0.01f) + 0.1f * sinf((float)(k * k % 1013));
    r->piece = (struct piece){0, true, true};
    r->frames[1] = frame_count(&r->p.stft.frame, r->piece, r->offset[1]);
    REQUIRE(r->frames[1] <= FRAMES_MOST);
}

static struct ragged frames_of(struct row *r, float *data, int32_t channels)
{
    return (struct ragged){
        .data = data, .channels = channels, .offset = r->frames, .piece = &r->piece, .rows = 1, .total = r->frames[1]};
}

static void *ask(void *arg)
{
    struct row *const r = arg;
    const struct ragged x = {
        .data = r->x, .channels = 1, .offset = r->offset, .piece = &r->piece, .rows = 1, .total = r->offset[1]};
    struct ragged rms = frames_of(r, r->rms, 1), mel = frames_of(r, r->mel, MELS);
    struct ragged centroid = frames_of(r, r->centroid, 1);
    struct offload_frames f = {.p = &r->p, .x = &x, .rms = &rms, .loudest = &r->loudest};
    f.spectral[SPECTRAL_MEL] = &mel;
    f.spectral[SPECTRAL_CENTROID] = &centroid;
    r->code = offload_measure(r->offload, &f, &r->stages);
    r->left = !!f.rms + !!f.spectral[SPECTRAL_MEL] + !!f.spectral[SPECTRAL_CENTROID] + !!f.loudest;
    if (r->code || r->left)
        return NULL;
    const struct offload_series s = {.frames = r->frames[1],
                                     .logmel = r->mel,
                                     .mels = MELS,
                                     .floor_db = r->loudest - FLOOR,
                                     .coefficients = CEPSTRA,
                                     .joined = r->centroid,
                                     .width = 1,
                                     .logmel_statistics = r->mel_statistics,
                                     .mfcc_statistics = r->mfcc_statistics,
                                     .joined_statistics = r->joined_statistics};
    r->code = offload_describe(r->offload, &s, &r->described, &r->stages);
    return NULL;
}

static void all_together(struct row rows[THREADS])
{
    pthread_t ids[THREADS];
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&ids[i], NULL, ask, &rows[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
}

static bool same_bits(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

static bool same_results(const struct row *a, const struct row *b)
{
    return same_bits(a->rms, b->rms, sizeof a->rms) && same_bits(a->mel, b->mel, sizeof a->mel) &&
           same_bits(a->centroid, b->centroid, sizeof a->centroid) && a->loudest == b->loudest &&
           same_bits(a->mel_statistics, b->mel_statistics, sizeof a->mel_statistics) &&
           same_bits(a->mfcc_statistics, b->mfcc_statistics, sizeof a->mfcc_statistics) &&
           same_bits(a->joined_statistics, b->joined_statistics, sizeof a->joined_statistics);
}

/* Nothing of log-mel lies below the floor, and something lies at it. */
static bool is_clipped(const struct row *r)
{
    const float floor_db = r->loudest - FLOOR;
    bool none_below = true, one_at = false;
    for (int m = 0; m < MELS; m++) {
        const float least = r->mel_statistics[STATISTIC_MIN * MELS + m];
        none_below = none_below && least >= floor_db; /* a NaN is not */
        one_at = one_at || least == floor_db;
    }
    return none_below && one_at;
}

static struct row alone[THREADS], together[THREADS];

/* Rows alone, one after the other: what the others are compared with. */
static uint64_t run_alone(struct offload *o)
{
    uint64_t launches = 0;
    for (int i = 0; i < THREADS; i++) {
        fill(&alone[i], o, i, 512);
        ask(&alone[i]);
        CHECK_OK(alone[i].code);
        CHECK(alone[i].left == 0 && alone[i].described);
        launches += alone[i].stages.launches;
    }
    return launches;
}

TEST(rows_of_many_threads_share_batches_and_results_do_not_change)
{
    struct offload *o = open_offload(0);
    const uint64_t apart = run_alone(o);
    uint64_t shared = 0;
    for (int i = 0; i < THREADS; i++)
        fill(&together[i], o, i, 512);
    all_together(together);
    for (int i = 0; i < THREADS; i++) {
        CHECK_OK(together[i].code);
        CHECK(together[i].left == 0 && together[i].described);
        CHECK(same_results(&alone[i], &together[i]));
        CHECK(strcmp(together[i].stages.operations, "rms,mel,centroid,decibel,mfcc,statistics") == 0);
        CHECK(together[i].stages.compute_s > 0);
        CHECK(is_clipped(&together[i]));
        shared += together[i].stages.launches;
    }
    CHECK(shared <= apart); /* how many meet is the scheduler's luck: the next test decides it */
    offload_destroy(&o);
    CHECK(!o);
}

TEST(what_waits_goes_together_with_the_launches_of_one)
{
    static struct row plug;
    struct offload *o = open_offload(0);
    const uint64_t apart = run_alone(o);
    uint64_t shared = 0;
    pthread_t first;
    fill(&plug, o, 0, 256); /* others wait while it is computed */
    plug.p.stft.frame.hop_samples = 16;
    plug.frames[1] = frame_count(&plug.p.stft.frame, plug.piece, plug.offset[1]);
    REQUIRE(plug.frames[1] <= FRAMES_MOST);
    REQUIRE(pthread_create(&first, NULL, ask, &plug) == 0);
    usleep(50000);
    for (int i = 0; i < THREADS; i++)
        fill(&together[i], o, i, 512);
    all_together(together);
    pthread_join(first, NULL);
    for (int i = 0; i < THREADS; i++)
        shared += together[i].stages.launches;
    CHECK(shared < apart);
    offload_destroy(&o);
}

TEST(batches_are_halved_until_they_fit)
{
    enum { MOST = 128 << 10 }; /* one row takes 87 KiB, scratch all of it */
    REQUIRE(setenv("WAVEMILL_EMULATOR", "piece=128K", 1) == 0);
    struct offload *o = open_offload(8 * MOST);
    uint64_t launches[2] = {0};
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < THREADS; i++) {
            fill(&together[i], o, 0, 512);
            together[i].p.stft.frame.hop_samples = 16;
            together[i].frames[1] = frame_count(&together[i].p.stft.frame, together[i].piece, together[i].offset[1]);
            REQUIRE(together[i].frames[1] <= FRAMES_MOST);
            if (round == 0)
                ask(&together[i]);
        }
        if (round == 1)
            all_together(together);
        for (int i = 0; i < THREADS; i++) {
            CHECK_OK(together[i].code);
            CHECK(together[i].left == 0 && together[i].described);
            launches[round] += together[i].stages.launches;
        }
    }
    CHECK(launches[1] == launches[0]); /* every row went alone */
    CHECK(offload_works(o));
    offload_destroy(&o);
}

TEST(little_memory_makes_smaller_batches_and_then_none)
{
    static const struct {
        uint64_t limit;
        bool on_device;
        const char *reason;
    } cases[] = {
        {64 << 20, true, "room for all"},
        {3 << 20, true, "room for some rows, with both batches"},
        {1200 << 10, true, "room for one buffer only"},
        {64 << 10, false, "scratch fits, no row does"},
    };
    struct offload *reference = open_offload(0);
    run_alone(reference);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct offload *o = open_offload(cases[c].limit);
        for (int i = 0; i < THREADS; i++)
            fill(&together[i], o, i, 512);
        all_together(together);
        for (int i = 0; i < THREADS; i++) {
            CHECK_OK(together[i].code);
            if (cases[c].on_device ? !same_results(&alone[i], &together[i]) : together[i].left != 4)
                test_report(false, __FILE__, __LINE__, "case %zu, %s: row %d", c, cases[c].reason, i);
        }
        CHECK(offload_works(o) == cases[c].on_device);
        offload_destroy(&o);
    }
    offload_destroy(&reference);
}
