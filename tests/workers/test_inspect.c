/* job_inspect: levels, clipping, samples that are no numbers, and pictures. */
#include "job.h"
#include "kinds.h"
#include "ops.h"
#include "picture.h"
#include "sound.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const double PI = 3.14159265358979323846;

struct answer {
    uint8_t bytes[LIMIT_RESULT];
    struct kind_inspect_result r; /* points into bytes */
};

static int inspect(const char *path, const struct kind_inspect_params *p, struct answer *out)
{
    struct exec *by_isa[ISA_AVX512 + 1] = {NULL};
    struct wire_buffer b = {0};
    int pair[2];
    CHECK_OK(wire_encode(&kind_inspect_params_schema, p, &b));
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())},
                         &by_isa[isa_best()]));
    struct task_request request = {.magic = TASK_MAGIC, .kind = TASK_INSPECT, .params_bytes = (uint32_t)b.bytes};
    struct task_reply reply = {.magic = TASK_MAGIC};
    struct job j = {.request = &request,
                    .params = b.data,
                    .socket = pair[0],
                    .exec = by_isa[isa_best()],
                    .by_isa = by_isa,
                    .reply = &reply};
    for (int i = 0; i < TASK_FDS_MOST; i++)
        j.fds[i] = -1;
    j.fds[TASK_FD_INPUT] = open(path, O_RDONLY | O_CLOEXEC);
    j.fds[TASK_FD_RESULT] = memfd_create("result", MFD_CLOEXEC);
    REQUIRE(j.fds[TASK_FD_INPUT] >= 0 && j.fds[TASK_FD_RESULT] >= 0);
    const int code = job_inspect(&j);
    if (!code) {
        REQUIRE(pread(j.fds[TASK_FD_RESULT], out->bytes, reply.result_bytes, 0) == (ssize_t)reply.result_bytes);
        CHECK_OK(wire_decode(&kind_inspect_result_schema, out->bytes, reply.result_bytes, &out->r));
    }
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(j.fds[i]);
    }
    exec_destroy(&by_isa[isa_best()]);
    wire_free(&b);
    return code;
}

static const struct kind_inspect_params no_picture;

/* ---- clipping ---- */

#define MOST (32767.0F / 32768)

static const struct {
    const char *reason;
    float samples[12];
    int channels;
    uint64_t clipped;
} clips[] = {
    {"silence", {0}, 1, 0},
    {"one peak", {0, 1, 0, 0}, 1, 0},
    {"two at full scale", {0, 1, 1, 0, -1, -1, 0}, 1, 0},
    {"three", {0, 1, 1, 1, 0}, 1, 3},
    {"what 16 bits have at most", {0, MOST, MOST, MOST, MOST}, 1, 4},
    {"a little less", {0, 0.9999F, 0.9999F, 0.9999F, 0.9999F}, 1, 0},
    {"beyond full scale", {0, 3, -3, 3, 0.5F}, 1, 3},
    {"two runs", {1, 1, 1, 0, 1, 1, 1, 1}, 1, 7},
    {"up to the end", {0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1}, 1, 3},
    {"one channel of two", {0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0}, 2, 4},
    {"taking turns between channels", {1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1}, 2, 0},
};

TEST(samples_at_full_scale_in_a_row_are_clipped)
{
    static struct answer a;
    for (size_t c = 0; c < sizeof clips / sizeof *clips; c++) {
        REQUIRE(sound_write("x.wav", clips[c].samples, 12 / clips[c].channels, clips[c].channels, 8000));
        CHECK_OK(inspect("x.wav", &no_picture, &a));
        printf("    %s: %llu\n", clips[c].reason, (unsigned long long)a.r.clipped_samples);
        CHECK(a.r.clipped_samples == clips[c].clipped);
    }
}

TEST(a_run_goes_on_in_the_next_block)
{
    enum { FRAMES = 600000 };
    static struct answer a;
    float *const x = calloc(FRAMES, sizeof *x);
    REQUIRE(x);
    for (int64_t i = 131072 - 2; i < 131072 + 2; i++) /* blocks have that many */
        x[i] = -1;
    for (int64_t i = 393216 - 1; i < 393216 + 1; i++)
        x[i] = 1;
    REQUIRE(sound_write("long.wav", x, FRAMES, 1, 44100));
    CHECK_OK(inspect("long.wav", &no_picture, &a));
    CHECK(a.r.clipped_samples == 4 && a.r.frames_decoded == FRAMES);
    free(x);
}

/* ---- levels ---- */

TEST(levels_are_of_all_channels)
{
    enum { FRAMES = 8000 };
    static struct answer a;
    static float x[2 * FRAMES];
    double squares = 0;
    for (int i = 0; i < FRAMES; i++) {
        x[2 * i] = 0.5F * (float)sin(0.1 * i);
        x[2 * i + 1] = -x[2 * i]; /* the mean of both is silence */
        squares += 2 * (double)x[2 * i] * (double)x[2 * i];
    }
    x[1234 * 2 + 1] = -0.75F;
    squares += 0.75 * 0.75 - (double)x[1234 * 2] * (double)x[1234 * 2];
    REQUIRE(sound_write("x.wav", x, FRAMES, 2, 16000));
    CHECK_OK(inspect("x.wav", &no_picture, &a));
    CHECK(a.r.peak == 0.75 && a.r.duration_s == 0.5 && a.r.channels == 2 && a.r.rate_hz == 16000);
    CHECK_AT_MOST(fabs(a.r.rms / sqrt(squares / (2 * FRAMES)) - 1), 1e-12);
    CHECK(a.r.picture.bytes == 0 && a.r.columns == 0 && a.r.bands == 0);
}

TEST(samples_that_are_no_numbers_are_counted)
{
    static struct answer a;
    static const struct kind_inspect_params with_picture = {.columns = 16, .bands = 8};
    float x[4000] = {0};
    x[2 * 700] = NAN;
    x[2 * 700 + 1] = INFINITY;
    x[2 * 1500 + 1] = -INFINITY;
    REQUIRE(sound_write("x.wav", x, 2000, 2, 8000));
    const struct kind_inspect_params *const cases[] = {&no_picture, &with_picture};
    for (int i = 0; i < 2; i++) {
        CHECK_CODE(inspect("x.wav", cases[i], &a), STATUS_FORMAT);
        CHECK(strcmp(status_message(), "3 samples are no finite numbers, the first is sample 700") == 0);
    }
}

TEST(what_no_picture_has)
{
    static struct answer a;
    const struct kind_inspect_params cases[] = {
        {.columns = 16}, {.bands = 16}, {.columns = 512, .bands = 128}, {.columns = 257, .bands = 128}};
    REQUIRE(sound_noise("x.wav", 100, 1, 8000, 1));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_CODE(inspect("x.wav", &cases[i], &a), STATUS_ARGUMENT);
    CHECK_OK(inspect("x.wav", &(struct kind_inspect_params){.columns = 256, .bands = 128}, &a));
    CHECK(a.r.picture.bytes == 32768);
}

/* ---- pictures ---- */

TEST(a_picture_shows_what_is_heard)
{
    enum { RATE = 16000, SECONDS = 4, COLUMNS = 40, BANDS = 32 };
    static const struct kind_inspect_params p = {.columns = COLUMNS, .bands = BANDS};
    static struct answer a;
    static float x[RATE * SECONDS];
    for (int i = 0; i < RATE * SECONDS; i++) /* low, then high */
        x[i] = 0.5F * (float)sin(2 * PI * (i < RATE * SECONDS / 2 ? 200.0 : 6000.0) * i / RATE);
    REQUIRE(sound_write("x.wav", x, RATE * SECONDS, 1, RATE));
    CHECK_OK(inspect("x.wav", &p, &a));
    REQUIRE(a.r.picture.bytes == COLUMNS * BANDS && a.r.columns == COLUMNS && a.r.bands == BANDS);
    int most = 0;
    for (int c = 0; c < COLUMNS; c++) {
        int loudest = 0;
        for (int b = 0; b < BANDS; b++) {
            const int v = a.r.picture.data[b * COLUMNS + c];
            loudest = v > a.r.picture.data[loudest * COLUMNS + c] ? b : loudest;
            most = v > most ? v : most;
        }
        if (c < COLUMNS / 2 - 1)
            CHECK(loudest <= 2);
        if (c > COLUMNS / 2)
            CHECK(loudest >= 27);
    }
    CHECK(most == 255);
}

TEST(pictures_of_any_length)
{
    static const struct kind_inspect_params p = {.columns = 8, .bands = 4};
    static const int lengths[] = {1, 2, 511, 2048, 5000, 100000};
    static struct answer a;
    static const float silence[3000];
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        REQUIRE(sound_noise("x.wav", lengths[i], 2, 44100, i + 1));
        CHECK_OK(inspect("x.wav", &p, &a));
        for (int c = 0; c < 8; c++) { /* noise is everywhere */
            int least = 255;
            for (int b = 0; b < 4; b++)
                least = a.r.picture.data[b * 8 + c] < least ? a.r.picture.data[b * 8 + c] : least;
            CHECK(least > 60);
        }
    }
    REQUIRE(sound_write("x.wav", silence, 3000, 1, 44100));
    CHECK_OK(inspect("x.wav", &p, &a));
    for (int i = 0; i < 32; i++)
        CHECK(a.r.picture.data[i] == 0);
}

/* Columns that were joined again and again are means over the frames they stand for. */
TEST(columns_are_means_over_their_frames)
{
    enum { COLUMNS = 4 };
    static const struct {
        int frames, each;
        double power[COLUMNS]; /* of frames numbered from 1, wherever the cut was */
    } cases[] = {
        {1, 1, {1, 1, 1, 1}}, /* repeated */
        {4, 1, {1, 2, 3, 4}},
        {7, 3, {1, 2.5, 4.5, 6.5}},       /* 1 | 2 3 | 4 5 | 6 7 */
        {16, 16, {2.5, 6.5, 10.5, 14.5}}, /* joined once */
        {64, 5, {8.5, 24.5, 40.5, 56.5}},
        {65, 65, {8.5, 24.5, 40.5, 57}}, /* 16 frames a column in the end; the last one has one more */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct picture p;
        uint8_t out[COLUMNS];
        CHECK_OK(picture_open(&p, COLUMNS, 1));
        for (int t = 0; t < cases[i].frames;) {
            float power[65];
            int n = 0;
            for (; n < cases[i].each && t < cases[i].frames; n++)
                power[n] = (float)++t;
            picture_add(&p, power, n);
        }
        picture_finish(&p, out);
        double most = 0;
        for (int c = 0; c < COLUMNS; c++)
            most = fmax(most, cases[i].power[c]);
        for (int c = 0; c < COLUMNS; c++) {
            const double want = 255 * (1 + 10 * log10(cases[i].power[c] / most) / PICTURE_RANGE_DB);
            printf("    %d frames, column %d: %d, wanted %.2f\n", cases[i].frames, c, out[c], want);
            CHECK_AT_MOST(fabs(out[c] - want), 0.51);
        }
        picture_close(&p);
    }
}
