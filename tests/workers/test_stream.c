/* A stream's frames are those of the whole signal at once, bit by bit, however it is cut. */
#include "sound.h"
#include "stream.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum op { OP_RMS, OP_ZCR, OP_STFT_ZERO, OP_STFT_REFLECT };

struct situation {
    enum op op;
    int64_t samples;
    int channels;
    int64_t window, hop;
    bool centred;
    int64_t frames_per_piece; /* 0: as many as fit */
};

static int64_t values_of(const struct situation *s)
{
    return s->op >= OP_STFT_ZERO ? 2 * (s->window / 2 + 1) : 1;
}

/* NOLINTBEGIN(readability-non-const-parameter): samples and frames are written through the ragged batches */
static int compute(struct exec *ex, const struct situation *s, const struct ragged *x, const struct piece *piece,
                   int64_t frames, float *out)
{
    const struct frame_params f = {s->window, s->hop, s->centred};
    const struct stft_params p = {.frame = f, .pad = s->op == OP_STFT_REFLECT ? PAD_REFLECT : PAD_ZERO};
    const bool spectrum = s->op >= OP_STFT_ZERO;
    const int64_t offset[2] = {0, frames};
    struct ragged y = {.data = out,
                       .dtype = spectrum ? DTYPE_C64 : DTYPE_F32,
                       .channels = spectrum ? (int32_t)(s->window / 2 + 1) : 1,
                       .offset = offset,
                       .piece = piece,
                       .rows = 1,
                       .total = frames};
    return spectrum ? stft(ex, &p, x, &y) : s->op == OP_RMS ? rms(ex, &f, x, &y) : zero_crossing(ex, &f, x, &y);
}

/* All frames of the whole signal; *count of them. */
static float *at_once(struct exec *ex, const struct situation *s, float *samples, int64_t *count, int *code)
{
    const struct frame_params f = {s->window, s->hop, s->centred};
    const int64_t offset[2] = {0, s->samples};
    const struct ragged in = {
        .data = samples, .channels = s->channels, .offset = offset, .rows = 1, .total = s->samples};
    float *mono = malloc((size_t)s->samples * sizeof *mono);
    struct ragged x = {.data = mono, .channels = 1, .offset = offset, .rows = 1, .total = s->samples};
    *count = frame_count(&f, (struct piece){0, true, true}, s->samples);
    float *out = calloc((size_t)(*count * values_of(s)) + 1, sizeof *out);
    REQUIRE(mono && out);
    CHECK_OK(mixdown(ex, &in, &x));
    *code = compute(ex, s, &x, NULL, *count, out);
    free(mono);
    return out;
}
/* NOLINTEND(readability-non-const-parameter) */

/* The stream's frames into out, at most `count`. */
static int by_pieces(struct exec *ex, const struct situation *s, const char *path, float *out, int64_t count,
                     struct level *l, int *pieces)
{
    const struct frame_params f = {s->window, s->hop, s->centred};
    const int64_t values = values_of(s);
    const int fd = open(path, O_RDONLY);
    struct audio *a = NULL;
    struct source source = {0};
    struct stream stream = {0};
    struct stream_piece p;
    int64_t done = 0;
    int code = audio_open(fd, &a);
    if (!code)
        code = source_open(&source, ex, a, SOURCE_BLOCK_SAMPLES, 0);
    if (!code)
        code = stream_open(&stream, &source, SOURCE_MIX, &f,
                           s->frames_per_piece ? STREAM_OUT_BYTES / (size_t)s->frames_per_piece : 4);
    while (!code && !(code = stream_next(&stream, &p)) && p.frames > 0) {
        float *piece = malloc((size_t)((p.skip + p.frames) * values) * sizeof *piece);
        code = compute(ex, s, &p.x, &p.piece, p.skip + p.frames, piece);
        REQUIRE(done + p.frames <= count);
        if (!code)
            memcpy(out + done * values, piece + p.skip * values, (size_t)(p.frames * values) * sizeof *piece);
        done += p.frames;
        ++*pieces;
        free(piece);
    }
    if (!code)
        CHECK(done == count);
    *l = stream.level;
    stream_close(&stream);
    source_close(&source);
    audio_close(&a);
    close(fd);
    return code;
}

static void check(struct exec *ex, const struct situation *s)
{
    uint64_t seed = (uint64_t)(s->samples * 31 + s->window * 7 + s->hop);
    const size_t n = (size_t)(s->samples * s->channels);
    float *samples = malloc(n * sizeof *samples);
    float loudest = 0;
    for (size_t i = 0; i < n; i++)
        samples[i] = test_noise(&seed);
    if (s->channels == 1)
        for (size_t i = 0; i < n; i++)
            loudest = fabsf(samples[i]) > loudest ? fabsf(samples[i]) : loudest;
    REQUIRE(sound_write("stream.wav", samples, s->samples, s->channels, 8000));
    int64_t count;
    int code_whole, pieces = 0;
    struct level l;
    float *whole = at_once(ex, s, samples, &count, &code_whole);
    float *cut = calloc((size_t)(count * values_of(s)) + 1, sizeof *cut);
    const int code_cut = by_pieces(ex, s, "stream.wav", cut, count, &l, &pieces);
    const bool same =
        code_cut == code_whole && (code_cut || memcmp(whole, cut, (size_t)(count * values_of(s)) * sizeof *cut) == 0);
    test_report(same, __FILE__, __LINE__,
                "op %d, %lld samples x %d, window %lld, hop %lld, %s, %lld frames per piece: %d and %d, %d pieces",
                s->op, (long long)s->samples, s->channels, (long long)s->window, (long long)s->hop,
                s->centred ? "centred" : "not centred", (long long)s->frames_per_piece, code_whole, code_cut, pieces);
    if (!code_cut && s->channels == 1)
        CHECK(l.peak == loudest && l.first_not_finite == -1);
    free(whole);
    free(cut);
    free(samples);
}

static struct exec *make_exec(void)
{
    struct exec *ex = NULL;
    const int code =
        exec_create(&(struct exec_options){.threads = 1, .isa = isa_best(), .ops = ops_cpu(isa_best())}, &ex);
    REQUIRE(code == STATUS_OK);
    return ex;
}

TEST(short_signals)
{
    struct exec *ex = make_exec();
    static const int64_t lengths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100};
    static const int64_t hops[] = {1, 2, 5, 16, 17, 50, 1000};
    for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++)
        for (size_t h = 0; h < sizeof hops / sizeof *hops; h++)
            for (int op = OP_RMS; op <= OP_STFT_REFLECT; op++)
                for (int centred = 0; centred < 2; centred++) {
                    check(ex, &(struct situation){(enum op)op, lengths[n], 1, 16, hops[h], centred != 0, 0});
                    check(ex, &(struct situation){(enum op)op, lengths[n], 1, 17, hops[h], centred != 0, 2});
                }
    exec_destroy(&ex);
}

TEST(pieces_of_few_frames)
{
    struct exec *ex = make_exec();
    static const int64_t windows[] = {16, 17, 64, 255};
    static const int64_t hops[] = {1, 3, 16, 64, 65, 300};
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++)
        for (size_t h = 0; h < sizeof hops / sizeof *hops; h++)
            for (int op = OP_RMS; op <= OP_STFT_REFLECT; op++)
                for (int64_t each = 1; each <= 50; each += 24)
                    check(ex,
                          &(struct situation){(enum op)op, 1500, 1, windows[w], hops[h], (each + op) % 3 != 0, each});
    exec_destroy(&ex);
}

TEST(many_blocks_and_channels)
{
    struct exec *ex = make_exec();
    static const struct situation situations[] = {
        {OP_RMS, 3 * 65536 + 17, 1, 2048, 512, true, 0},
        {OP_RMS, 65536, 1, 2048, 512, true, 0},
        {OP_RMS, 65537, 1, 2048, 512, false, 0},
        {OP_RMS, 3 * 65536, 2, 1000, 999, true, 100},
        {OP_ZCR, 3 * 65536 + 1, 1, 64, 100000, true, 0},
        {OP_ZCR, 3 * 65536 + 1, 1, 64, 100000, false, 0},
        {OP_RMS, 2 * 65536 + 5, 1, 65536, 1000, true, 3},
        {OP_RMS, 5 * 65536 + 5, 1, 65536, 70000, true, 0},
        {OP_STFT_REFLECT, 2 * 65536 + 3, 1, 512, 200, true, 0},
        {OP_STFT_REFLECT, 65536 + 1, 1, 512, 65536, true, 0},
        {OP_STFT_REFLECT, 65536 + 511, 1, 512, 65536, true, 0},
        {OP_STFT_ZERO, 70000, 3, 256, 300, false, 0},
        {OP_RMS, 40000, 8, 2048, 512, true, 0},
        {OP_RMS, 100000, 8, 2048, 512, true, 11},
        {OP_ZCR, 66000, 5, 333, 77, true, 0},
        {OP_RMS, 5000, 200, 300, 100, true, 0},
        {OP_ZCR, 70001, 1, 16, 1, true, 0},
        {OP_ZCR, 70001, 1, 16, 1, false, 1000},
    };
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++)
        check(ex, &situations[i]);
    exec_destroy(&ex);
}

TEST(number_of_the_bad_sample)
{
    struct exec *ex = make_exec();
    const struct situation s = {OP_RMS, 150000, 2, 2048, 512, true, 0};
    static const int64_t places[] = {0, 1, 65535, 65536, 149999};
    float *samples = calloc((size_t)(s.samples * s.channels), sizeof *samples), out[400];
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct level l;
        char wanted[64];
        int pieces = 0;
        samples[2 * places[i] + 1] = i % 2 ? NAN : -INFINITY;
        REQUIRE(sound_write("bad.wav", samples, s.samples, s.channels, 8000));
        CHECK_CODE(by_pieces(ex, &s, "bad.wav", out, 400, &l, &pieces), STATUS_FORMAT);
        snprintf(wanted, sizeof wanted, "sample %lld is not", (long long)places[i]);
        CHECK(strstr(status_message(), wanted));
        samples[2 * places[i] + 1] = 0;
    }
    free(samples);
    exec_destroy(&ex);
}

TEST(no_samples)
{
    struct exec *ex = make_exec();
    const struct situation s = {OP_RMS, 0, 1, 2048, 512, true, 0};
    struct level l;
    float out[4];
    int pieces = 0;
    REQUIRE(sound_write("none.wav", NULL, 0, 1, 8000));
    CHECK_CODE(by_pieces(ex, &s, "none.wav", out, 4, &l, &pieces), STATUS_FORMAT);
    CHECK(pieces == 0);
    exec_destroy(&ex);
}
