/* Networks on a device whose memory is short, on the emulator: which of the two computes hangs on what fits there
 * alone, a model is on one of them as a whole, and its stems are those of that one alone. The device says no where this
 * test says so: the calls that take its memory are wrapped. */
#include "full_device.h"
#include "kinds.h"
#include "separators.h"
#include "test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRAMES = 2000, VALUES = FRAMES * STEMS * 2, THREADS = 8 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct song {
    struct networks *networks;
    struct plan plan;
    int weights[2];
    enum precision precision;
    struct networks_place place;
    float stems[VALUES];
    int64_t frames;
    int code;
};

static int collect(void *context, const float *stems, int64_t frames)
{
    struct song *const s = context;
    REQUIRE(s->frames + frames <= FRAMES);
    memcpy(s->stems + s->frames * STEMS * 2, stems, (size_t)(frames * STEMS * 2) * sizeof *stems);
    s->frames += frames;
    return STATUS_OK;
}

static void alive(void *context)
{
    (void)context;
}

static void *separate(void *arg)
{
    struct song *const s = arg;
    static const struct kind_separate_params params = {.overlap = NAN, .segment_s = NAN};
    static const struct mixture mixture = {.rate_hz = 44100, .frames = FRAMES, .std = 1, .peak = 1};
    static float x[FRAMES * 2];
    struct separation *separation = NULL;
    pthread_mutex_lock(&lock);
    uint64_t state = 5;
    for (int i = 0; i < FRAMES * 2 && x[0] == 0; i++)
        x[FRAMES * 2 - 1 - i] = test_noise(&state);
    pthread_mutex_unlock(&lock);
    s->code = separator_open(&(struct separator_request){.plan = &s->plan,
                                                         .params = &params,
                                                         .mixture = &mixture,
                                                         .precision = s->precision,
                                                         .weights = s->weights,
                                                         .networks = s->networks,
                                                         .emit = collect,
                                                         .alive = alive,
                                                         .place = &s->place,
                                                         .context = s},
                             &separation);
    s->code = s->code ? s->code : separation_push(separation, x, FRAMES);
    s->code = s->code ? s->code : separation_finish(separation);
    separation_destroy(&separation);
    return NULL;
}

static struct song *song(struct networks *n, int networks, int a, int b)
{
    struct song *const s = calloc(1, sizeof *s);
    REQUIRE(s);
    s->networks = n;
    s->weights[0] = a;
    s->weights[1] = b;
    full_plan(&s->plan, networks);
    return s;
}

static struct song *separated(struct networks *n, int networks, int a, int b)
{
    struct song *const s = song(n, networks, a, b);
    separate(s);
    CHECK_OK(s->code);
    CHECK(s->frames == FRAMES);
    return s;
}

static bool same(const struct song *a, const struct song *b)
{
    return a->frames == FRAMES && b->frames == FRAMES &&
           memcmp((const void *)a->stems, (const void *)b->stems, sizeof a->stems) == 0;
}

/* ---- the tests ---- */

/* A bag of which only a part fits is on the CPU as a whole, with its bytes; also when the part is there already. */
TEST(a_bag_is_in_one_place)
{
    const int a = full_network("a", false), b = full_network("b", true);
    struct networks *const plain = full_make(false), *const n = full_make(true);
    struct song *const cpu = separated(plain, 2, a, b), *const whole = separated(n, 2, a, b);
    CHECK(!cpu->place.on_device && whole->place.on_device && !same(cpu, whole));
    struct networks *small = full_make(true);
    full_most_networks = full_networks + 1;
    struct song *const alone = separated(small, 1, a, b);
    CHECK(alone->place.on_device); /* it stays loaded */
    struct song *const part = separated(small, 2, a, b);
    CHECK(!part->place.on_device && same(cpu, part) && full_refused > 0);
    struct song *const again = separated(small, 1, b, a);
    CHECK(again->place.on_device);
    struct networks *all[3] = {plain, n, small};
    struct song *songs[5] = {cpu, whole, alone, part, again};
    for (int i = 0; i < 3; i++)
        networks_destroy(&all[i]);
    for (int i = 0; i < 5; i++)
        free(songs[i]);
    close(a);
    close(b);
}

/* Two models at the same time, on a device that holds both and on one that holds one of them: each has the stems that
 * it has alone, and those of the device. */
TEST(two_models_share_a_device)
{
    const int a = full_network("a", false), b = full_network("b", true);
    struct networks *n = full_make(true);
    struct song *const alone[2] = {separated(n, 1, a, b), separated(n, 1, b, a)};
    CHECK(!same(alone[0], alone[1]));
    networks_destroy(&n);
    for (int holds = 1; holds <= 2; holds++) {
        pthread_t ids[2];
        struct song *together[2];
        n = full_make(true);
        full_most_networks = holds;
        full_refused = 0;
        for (int i = 0; i < 2; i++) {
            together[i] = song(n, 1, i ? b : a, -1);
            REQUIRE(pthread_create(&ids[i], NULL, separate, together[i]) == 0);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(ids[i], NULL);
            CHECK_OK(together[i]->code);
            CHECK(together[i]->place.on_device && same(alone[i], together[i]));
            free(together[i]);
        }
        CHECK((full_refused > 0) == (holds == 1));
        networks_destroy(&n);
    }
    free(alone[0]);
    free(alone[1]);
    close(a);
    close(b);
}

struct many {
    struct networks *networks;
    const struct song *alone;
    int network, rounds;
};

static void many_at_once(void *context)
{
    struct many *const m = context;
    for (m->rounds = 0; m->rounds < 100 && !full_refused; m->rounds++) {
        pthread_t ids[THREADS];
        struct song *s[THREADS];
        for (int i = 0; i < THREADS; i++) {
            s[i] = song(m->networks, 1, m->network, -1);
            REQUIRE(pthread_create(&ids[i], NULL, separate, s[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(ids[i], NULL);
            CHECK_OK(s[i]->code);
            CHECK(same(m->alone, s[i]));
            free(s[i]);
        }
    }
}

/* Without memory for several segments they run one by one, which is said, and later turns have fewer. */
TEST(fewer_segments_where_memory_is_short)
{
    const int a = full_network("a", false);
    struct many m = {.networks = full_make(false), .network = a};
    struct song *const alone = separated(m.networks, 1, a, -1);
    m.alone = alone;
    full_most_segments = 1;
    const int said = full_times_said("segments at once from now on", many_at_once, &m);
    printf("    %d rounds, full_refused %d times\n", m.rounds, full_refused);
    CHECK(full_refused >= 1 && full_refused <= 3 && said == full_refused); /* 8, 4 and 2 at most */
    networks_destroy(&m.networks);
    free(alone);
    close(a);
}

/* A GPU without tensor cores multiplies floats, whatever was asked for, and says so; and so does the CPU. */
static void check_precision(enum precision wanted, enum precision made)
{
    const int a = full_network("a", false);
    struct networks *n = full_make(true), *plain = full_make(false);
    struct networks_place place;
    const struct htdemucs *net;
    const struct networks_wanted w = {.fds = &a, .count = 1, .name = "a", .precision = wanted};
    CHECK_OK(networks_take(n, &w, &net, &place));
    CHECK(place.on_device && place.precision == made);
    networks_release(n, net);
    CHECK_OK(networks_take(plain, &w, &net, &place));
    CHECK(!place.on_device && place.precision == PRECISION_F32);
    networks_release(plain, net);
    networks_destroy(&n);
    networks_destroy(&plain);
    close(a);
}

TEST(precision_is_what_the_device_computes)
{
    check_precision(PRECISION_TF32, PRECISION_TF32);
    check_precision(PRECISION_BF16, PRECISION_BF16);
}

TEST(precision_without_tensor_cores_is_fp32)
{
    full_compute_major = 7;
    check_precision(PRECISION_TF32, PRECISION_F32);
    check_precision(PRECISION_BF16, PRECISION_F32);
}
