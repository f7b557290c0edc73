/* The child's part of a separation, with a method of this test's own that can be saved: what another attempt goes on
 * from gives the same files as an attempt that nothing disturbed. */
#include "audio.h"
#include "job.h"
#include "kinds.h"
#include "mixture.h"
#include "ops.h"
#include "plan.h"
#include "separators.h"
#include "sound.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name

enum { FRAMES = 200000, RATE = 22050, DELAY = 5000, STEMS = 3, BATCH = 500 };

/* ---- a method with a memory: a low-pass, what it leaves, and nothing; DELAY frames behind ---- */

struct slow {
    struct separation base;
    int64_t frames, held;
    float low[2], pending[DELAY * 2];
    float ready[BATCH * STEMS * 2]; /* goes out when it is full, and before a push returns */
    int64_t ready_frames;
};

struct slow_state {
    int64_t frames, held;
    float low[2], pending[DELAY * 2];
};

static int64_t fails_at; /* frames that are pushed before it fails; 0: never */
static int restored;

static int flush(struct slow *s)
{
    const int64_t n = s->ready_frames;
    s->ready_frames = 0;
    return n ? s->base.emit(s->base.context, s->ready, n) : STATUS_OK;
}

static int give(struct slow *s, const float *x)
{
    float *const stems = s->ready + s->ready_frames++ * STEMS * 2;
    for (int c = 0; c < 2; c++) {
        s->low[c] += 0.125f * (x[c] - s->low[c]);
        stems[c] = s->low[c];
        stems[2 + c] = x[c] - s->low[c];
        stems[4 + c] = 0;
    }
    return s->ready_frames == BATCH ? flush(s) : STATUS_OK;
}

static int push(struct separation *base, const float *x, int64_t frames)
{
    struct slow *const s = (struct slow *)base;
    int code = STATUS_OK;
    for (int64_t i = 0; i < frames && !code; i++, s->frames++) {
        float *const place = s->pending + s->frames % DELAY * 2;
        if (s->held == DELAY)
            code = give(s, place);
        else
            s->held++;
        memcpy(place, x + 2 * i, 2 * sizeof *x);
        if (fails_at && s->frames == fails_at && !code)
            code = fail(STATUS_INTERNAL, "as the test wants it");
    }
    return code ? code : flush(s);
}

static int finish(struct separation *base)
{
    struct slow *const s = (struct slow *)base;
    int code = STATUS_OK;
    for (int64_t i = s->frames - s->held; i < s->frames && !code; i++)
        code = give(s, s->pending + i % DELAY * 2);
    return code ? code : flush(s);
}

static void destroy(struct separation *s)
{
    free(s);
}

static size_t state_bytes(const struct separation *s)
{
    return s ? sizeof(struct slow_state) : 0;
}

static void save(const struct separation *base, void *state)
{
    const struct slow *const s = (const struct slow *)base;
    struct slow_state v = {.frames = s->frames, .held = s->held};
    memcpy(v.low, s->low, sizeof v.low);
    memcpy(v.pending, s->pending, sizeof v.pending);
    memcpy(state, &v, sizeof v);
}

static int restore(struct separation *base, const void *state, size_t bytes)
{
    struct slow *const s = (struct slow *)base;
    struct slow_state v;
    if (bytes != sizeof v)
        return fail(STATUS_FORMAT, "not a state of this method");
    memcpy(&v, state, sizeof v);
    s->frames = v.frames;
    s->held = v.held;
    memcpy(s->low, v.low, sizeof v.low);
    memcpy(s->pending, v.pending, sizeof v.pending);
    restored++;
    return STATUS_OK;
}

int WRAP(separator_open)(const struct separator_request *r, struct separation **out);

int WRAP(separator_open)(const struct separator_request *r, struct separation **out)
{
    static const struct separation_methods methods = {.push = push,
                                                      .finish = finish,
                                                      .destroy = destroy,
                                                      .state_bytes = state_bytes,
                                                      .save = save,
                                                      .restore = restore};
    struct slow *const s = calloc(1, sizeof *s);
    if (!s)
        return STATUS_NOMEM;
    CHECK(r->mixture->frames == FRAMES && r->mixture->rate_hz == RATE && r->plan->networks == 0);
    CHECK(r->mixture->peak > 0 && r->mixture->std > 0 && fabs(r->mixture->mean) < r->mixture->std);
    s->base = (struct separation){.methods = &methods, .stems = STEMS, .emit = r->emit, .context = r->context};
    *out = &s->base;
    return STATUS_OK;
}

/* ---- an attempt ---- */

static struct {
    int pair[2], spool, output[STEMS];
    struct exec *by_isa[ISA_AVX512 + 1];
    struct networks *networks;
    uint8_t params[256];
    size_t params_bytes;
} world;

static int open_file(const char *name)
{
    const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    return fd;
}

static void open_world(void)
{
    struct wire_buffer b = {0};
    const struct kind_separate_params p = {
        .model = wire_str("hpss"), .format = wire_str("wav/float32"), .overlap = NAN, .segment_s = NAN};
    CHECK_OK(wire_encode(&kind_separate_params_schema, &p, &b));
    REQUIRE(b.bytes <= sizeof world.params);
    memcpy(world.params, b.data, b.bytes);
    world.params_bytes = b.bytes;
    wire_free(&b);
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, world.pair) == 0);
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())},
                         &world.by_isa[isa_best()]));
    CHECK_OK(networks_create(2, SIZE_MAX, NULL, &world.networks));
    world.spool = open_file("spool");
    for (int i = 0; i < STEMS; i++)
        world.output[i] = open_file(i == 0 ? "0.wav" : i == 1 ? "1.wav" : "2.wav");
    REQUIRE(sound_noise("song.wav", FRAMES, 2, RATE, 7) && sound_noise("other.wav", FRAMES, 2, RATE, 8));
}

/* The last checkpoint that was sent; -1: none. */
static int take_saved(void)
{
    struct task_reply r;
    int saved = -1;
    for (int fd; task_receive_reply(world.pair[0], &r, &fd) == STATUS_OK;)
        if (r.event == TASK_SAVED && fd >= 0) {
            CHECK(r.progress > 0 && r.progress < 1);
            if (saved >= 0)
                close(saved);
            saved = fd;
        }
    return saved;
}

static int attempt(const char *song, int checkpoint, struct kind_separate_result *result)
{
    static uint8_t space[sizeof world.params + sizeof(struct plan)], map[8192];
    struct separate_settings settings;
    static struct method_model model;
    struct plan plan;
    CHECK_OK(params_separate(world.params, world.params_bytes, &settings));
    CHECK_OK(plan_make(NULL, &settings, &plan, &model));
    memcpy(space, world.params, world.params_bytes);
    memcpy(space + world.params_bytes, &plan, sizeof plan);
    struct task_request request = {.magic = TASK_MAGIC,
                                   .kind = TASK_SEPARATE,
                                   .flags = checkpoint >= 0 ? (uint32_t)TASK_RESUME : 0,
                                   .params_bytes = (uint32_t)world.params_bytes,
                                   .item_params_bytes = sizeof plan,
                                   .extra = 1 + STEMS,
                                   .role = {TASK_ROLE_SPOOL, TASK_ROLE_OUTPUT, TASK_ROLE_OUTPUT, TASK_ROLE_OUTPUT}};
    struct task_reply reply = {0};
    struct job j = {.request = &request,
                    .params = space,
                    .item_params = space + world.params_bytes,
                    .socket = world.pair[1],
                    .exec = world.by_isa[isa_best()],
                    .by_isa = world.by_isa,
                    .networks = world.networks,
                    .reply = &reply};
    const int input = open(song, O_RDONLY | O_CLOEXEC), memory = memfd_create("result", MFD_CLOEXEC);
    REQUIRE(input >= 0 && memory >= 0);
    const int fds[TASK_FDS_MOST] = {input,           memory,         -1, checkpoint, world.spool, world.output[0],
                                    world.output[1], world.output[2]};
    memcpy(j.fds, fds, sizeof fds);
    restored = 0;
    const int code = job_separate(&j);
    if (!code) {
        REQUIRE(reply.result_bytes <= sizeof map && pread(memory, map, sizeof map, 0) == (ssize_t)reply.result_bytes);
        CHECK_OK(wire_decode(&kind_separate_result_schema, map, reply.result_bytes, result));
    }
    close(input);
    close(memory);
    return code;
}

static void keep(const char *song, const char *folder)
{
    char command[128];
    struct kind_separate_result r = {0};
    fails_at = 0;
    CHECK_OK(attempt(song, -1, &r));
    CHECK(r.frames == FRAMES && r.stems_rate_hz == RATE && r.stems.count == STEMS && isnan(r.resumed_from));
    CHECK(r.residual_rms >= 0 && r.residual_rms < 1e-7); /* a rounding of each difference */
    snprintf(command, sizeof command, "mkdir %s && cp 0.wav 1.wav 2.wav %s", folder, folder);
    REQUIRE(system(command) == 0); /* NOLINT(cert-env33-c): the command is ours */
    const int saved = take_saved();
    CHECK(saved >= 0);
    close(saved);
}

static bool same_as(const char *folder)
{
    char command[256];
    snprintf(command, sizeof command, "cmp -s 0.wav %s/0.wav && cmp -s 1.wav %s/1.wav && cmp -s 2.wav %s/2.wav", folder,
             folder, folder);
    return system(command) == 0; /* NOLINT(cert-env33-c): the command is ours */
}

TEST(another_attempt_goes_on)
{
    struct kind_separate_result r = {0};
    open_world();
    keep("song.wav", "song");
    keep("other.wav", "other");
    CHECK(!same_as("song") && same_as("other"));

    fails_at = 150000; /* long after what was saved: the spool has more than counts */
    CHECK_CODE(attempt("song.wav", -1, &r), STATUS_INTERNAL);
    const int saved = take_saved();
    REQUIRE(saved >= 0);
    fails_at = 0;
    CHECK_OK(attempt("song.wav", saved, &r));
    CHECK(restored == 1 && r.resumed_from > 0.1 && r.resumed_from < 0.8 && same_as("song"));
    CHECK(r.residual_rms >= 0 && r.residual_rms < 1e-7);
    close(saved);
}

TEST(what_cannot_be_gone_on_from_begins_anew)
{
    struct kind_separate_result r = {0};
    open_world();
    keep("song.wav", "song");
    keep("other.wav", "other");
    for (int way = 0; way < 5; way++) {
        fails_at = 150000;
        CHECK_CODE(attempt("song.wav", -1, &r), STATUS_INTERNAL);
        const int saved = take_saved();
        REQUIRE(saved >= 0);
        fails_at = 0;
        const char *song = "song.wav";
        if (way == 0) /* the spool is gone */
            CHECK(ftruncate(world.spool, 0) == 0);
        else if (way == 1) /* it ends too soon */
            CHECK(ftruncate(world.spool, FRAMES * 8) == 0);
        else if (way == 2) /* it is another attempt's */
            CHECK(pwrite(world.spool, "0123456789abcdef", 16, 0) == 16);
        else if (way == 3) /* of another song */
            song = "other.wav";
        else /* cut */
            CHECK(ftruncate(saved, 100) == 0);
        CHECK_OK(attempt(song, saved, &r));
        test_report(restored == 0 && isnan(r.resumed_from) && same_as(way == 3 ? "other" : "song"), __FILE__, __LINE__,
                    "way %d", way);
        close(saved);
        const int left = take_saved();
        if (left >= 0)
            close(left);
    }
}

/* As many descriptors as the plan speaks of, or none of it. */
TEST(a_plan_without_its_files)
{
    struct kind_separate_result r = {0};
    open_world();
    world.output[STEMS - 1] = -1;
    CHECK_CODE(attempt("song.wav", -1, &r), STATUS_INTERNAL);
}

/* ---- the first pass ---- */

enum { TONE_RATE = 22050, TONE_FRAMES = 40001 };

/* One tone per channel, at 500 Hz and 0.5, 1,000 Hz and 0.25, ...; the first has an offset. */
static double tone(int channel, double seconds)
{
    static const double two_pi = 6.283185307179586;
    return ldexp(sin(two_pi * 500 * (channel + 1) * seconds), -1 - channel) + (channel ? 0 : 0.125);
}

static int64_t make_mixture(int channels, int64_t rate_hz, struct mixture *m, float *pairs, int64_t most)
{
    static float samples[TONE_FRAMES * 3];
    struct spool spool;
    struct audio *a = NULL;
    struct job j = {.socket = world.pair[1], .exec = world.by_isa[isa_best()], .request = &(struct task_request){0}};
    for (int64_t i = 0; i < TONE_FRAMES; i++)
        for (int c = 0; c < channels; c++)
            samples[i * channels + c] = (float)tone(c, (double)i / TONE_RATE);
    REQUIRE(sound_write("tone.wav", samples, TONE_FRAMES, channels, TONE_RATE));
    const int fd = open("tone.wav", O_RDONLY | O_CLOEXEC);
    CHECK_OK(audio_open(fd, &a));
    CHECK_OK(spool_begin(&spool, world.spool, 1));
    CHECK_OK(mixture_make(&j, a, rate_hz, &spool, m));
    REQUIRE(m->frames <= most && spool.frames == m->frames);
    CHECK_OK(spool_get_mixture(&spool, 0, pairs, m->frames));
    audio_close(&a);
    close(fd);
    return m->frames;
}

TEST(a_mixture_has_two_channels_at_the_rate_that_is_asked_for)
{
    enum { MOST = 2 * TONE_FRAMES, EDGE = 2000 }; /* EDGE: where the filter sees beyond an end */
    static float pairs[MOST * 2];
    open_world();
    static const int64_t rates[] = {0, TONE_RATE, 44100, 16000};
    for (int channels = 1; channels <= 3; channels++)
        for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) {
            struct mixture m;
            const int64_t rate = rates[k] ? rates[k] : TONE_RATE, n = make_mixture(channels, rates[k], &m, pairs, MOST);
            CHECK(m.rate_hz == rate && n == (TONE_FRAMES * rate + TONE_RATE - 1) / TONE_RATE);
            double sum = 0, square = 0, worst = 0;
            for (int64_t i = 0; i < n; i++)
                sum += 0.5 * ((double)pairs[2 * i] + (double)pairs[2 * i + 1]);
            for (int64_t i = 0; i < n; i++) {
                const double off = 0.5 * ((double)pairs[2 * i] + (double)pairs[2 * i + 1]) - sum / (double)n;
                square += off * off;
                for (int c = 0; c < 2 && i >= EDGE && i < n - EDGE; c++)
                    worst = fmax(
                        worst, fabs((double)pairs[2 * i + c] - tone(channels == 1 ? 0 : c, (double)i / (double)rate)));
            }
            test_report(worst < 1e-4, __FILE__, __LINE__, "%d channels at %lld Hz: off by %g", channels,
                        (long long)rate, worst);
            CHECK(fabs(m.mean - sum / (double)n) < 1e-9 && fabs(m.std - sqrt(square / (double)(n - 1))) < 1e-9);
            CHECK((double)m.peak > 0.62 && (double)m.peak < 0.66);
        }
}
