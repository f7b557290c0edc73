/* Every documented error of the framed operations; the output stays untouched. */
#include "subject.h"

enum { N = 200 };

static struct subject usual(int op)
{
    struct subject s = {op, spectral_defaults(8000)};
    s.p.stft = (struct stft_params){{16, 4, true}, 16, WINDOW_HANN, PAD_ZERO};
    s.p.mel.mels = 4;
    s.p.contrast = (struct contrast_bands){1, 1000, 0.02};
    return s;
}

struct attempt { /* what a test may spoil */
    struct subject s;
    struct ragged x, y;
    struct piece piece;
    int64_t xo[2], yo[2];
    float in[N];
};

static void spoil(struct attempt *a, int way)
{
    struct frame_params *const f = &a->s.p.stft.frame;
    switch (way) {
    case 0:
        f->window_samples = 0;
        break;
    case 1:
        f->window_samples = 65537;
        break;
    case 2:
        f->hop_samples = 0;
        break;
    case 3:
        f->hop_samples = (INT64_C(1) << 40) + 1;
        break;
    case 4:
        a->x.channels = 2;
        break;
    case 5:
        a->x.dtype = DTYPE_C64;
        break;
    case 6:
        a->y.channels++;
        break;
    case 7:
        a->y.dtype = DTYPE_I24;
        break;
    case 8:
        a->x.data = NULL;
        break;
    case 9:
        a->y.data = NULL;
        break;
    case 10:
        a->yo[1]--, a->y.total--;
        break;
    case 11:
        a->x.total--;
        break;
    case 12:
        a->y.rows = 0;
        break;
    case 13:
        a->y.total = a->yo[1] = (INT64_C(1) << 34) + 1;
        break;
    case 14:
        a->piece.start = 1;
        break;
    case 15:
        a->piece = (struct piece){-4, false, true};
        break;
    case 16:
        a->piece = (struct piece){INT64_C(1) << 48, false, true};
        break;
    case 17:
        a->xo[1] = -1, a->x.total = -1;
        break;
    }
}

static const int wanted[] = {STATUS_ARGUMENT, STATUS_ARGUMENT, STATUS_ARGUMENT, STATUS_ARGUMENT, STATUS_ARGUMENT,
                             STATUS_ARGUMENT, STATUS_ARGUMENT, STATUS_ARGUMENT, STATUS_ARGUMENT, STATUS_ARGUMENT,
                             STATUS_SHAPE,    STATUS_SHAPE,    STATUS_SHAPE,    STATUS_SHAPE,    STATUS_SHAPE,
                             STATUS_SHAPE,    STATUS_SHAPE,    STATUS_SHAPE,    STATUS_OK};

static void prepare(struct attempt *a, const struct subject *s, struct guarded *g)
{
    *a = (struct attempt){.s = *s, .piece = {0, true, true}, .xo = {0, N}};
    a->x = (struct ragged){.data = a->in, .channels = 1, .offset = a->xo, .piece = &a->piece, .rows = 1, .total = N};
    a->y = subject_result(s, &a->x, a->yo);
    *g = guarded_open(a->y.total * subject_floats(s));
    a->y.data = g->data;
}

TEST(fronts_refuse_shapes_and_types)
{
    struct exec *ex = subject_exec();
    for (int op = 0; op < SUBJECTS; op++)
        for (int way = 0; subject_has(ex, op) && way < (int)(sizeof wanted / sizeof *wanted); way++) {
            const struct subject s = usual(op);
            struct attempt a;
            struct guarded g;
            prepare(&a, &s, &g);
            spoil(&a, way);
            const int code = subject_run(ex, &a.s, &a.x, &a.y);
            if (code != wanted[way])
                printf("    %s, way %d: %s\n", subject_name(op), way, status_name(code));
            CHECK(code == wanted[way]);
            CHECK(guarded_untouched(&g) == (code != STATUS_OK));
            guarded_close(&g);
        }
    exec_destroy(&ex);
}

#define EXPECT(code, change) \
    do { \
        struct subject s = usual(op); \
        struct attempt a; \
        struct guarded g; \
        prepare(&a, &s, &g); \
        change; \
        CHECK_CODE(subject_run(ex, &a.s, &a.x, &a.y), code); \
        CHECK(guarded_untouched(&g) == ((code) != STATUS_OK)); \
        guarded_close(&g); \
    } while (0)

TEST(spectral_fronts_refuse_parameters)
{
    struct exec *ex = subject_exec();
    for (int op = SPECTRAL_STFT; op < SPECTRAL_OUTPUTS; op++) {
        if (!subject_has(ex, op))
            continue;
        EXPECT(STATUS_ARGUMENT, a.s.p.stft.frame.window_samples = 15);
        EXPECT(STATUS_ARGUMENT, a.s.p.stft.win_length = 17);
        EXPECT(STATUS_ARGUMENT, a.s.p.stft.win_length = -1);
        EXPECT(STATUS_ARGUMENT, a.s.p.stft.window = (enum window_kind)5);
        EXPECT(STATUS_ARGUMENT, a.s.p.stft.pad = (enum pad_mode)2);
        EXPECT(STATUS_OK, a.s.p.stft.win_length = 0);
    }
    for (int op = SPECTRAL_MEL; op < SPECTRAL_OUTPUTS; op++) {
        if (op == SPECTRAL_FLATNESS || op == SPECTRAL_FLUX || !subject_has(ex, op))
            continue;
        EXPECT(STATUS_ARGUMENT, a.s.p.rate_hz = 0);
        EXPECT(STATUS_ARGUMENT, a.s.p.rate_hz = NAN);
        EXPECT(STATUS_ARGUMENT, a.s.p.rate_hz = 2e9);
    }
    exec_destroy(&ex);
}

TEST(mel_refuses_bands)
{
    struct exec *ex = subject_exec();
    const int op = SPECTRAL_MEL;
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.mels = 0);
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.mels = 4097);
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.fmin_hz = -1);
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.fmin_hz = NAN);
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.fmin_hz = 4000);
    EXPECT(STATUS_ARGUMENT, (a.s.p.mel.fmin_hz = 300, a.s.p.mel.fmax_hz = 300));
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.fmax_hz = 4000.5);
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.fmax_hz = NAN);
    EXPECT(STATUS_ARGUMENT,
           (a.s.p.mel.fmin_hz = 3000, a.s.p.mel.fmax_hz = nextafter(3000, 4000))); /* corners coincide */
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.power = 0);
    EXPECT(STATUS_ARGUMENT, a.s.p.mel.power = 9);
    EXPECT(STATUS_OK, a.s.p.mel.fmax_hz = 4000);
    EXPECT(STATUS_OK, a.s.p.mel.fmin_hz = -0.0);
    exec_destroy(&ex);
}

/* Reflection needs pad + 1 samples in a whole signal and in a first or last piece, if it gives a frame at all. */
TEST(reflection_refuses_short_rows)
{
    static const struct {
        struct piece piece;
        int64_t samples;
        int code;
        const char *reason;
    } cases[] = {
        {{0, true, true}, 0, STATUS_OK, "empty: no frame"},
        {{0, true, true}, 1, STATUS_SHAPE, "one sample"},
        {{0, true, true}, 8, STATUS_SHAPE, "one short"},
        {{0, true, true}, 9, STATUS_OK, "just enough"},
        {{0, true, false}, 7, STATUS_OK, "a first piece that gives no frame"},
        {{0, true, false}, 8, STATUS_SHAPE, "a first piece that gives one, and cannot reflect"},
        {{0, true, false}, 9, STATUS_OK, "a first piece that can"},
        {{12, false, true}, 8, STATUS_SHAPE, "a last piece that cannot"},
        {{12, false, true}, 9, STATUS_OK, "a last piece that can"},
        {{12, false, false}, 16, STATUS_OK, "a middle piece never reflects"},
    };
    struct exec *ex = subject_exec();
    for (int op = SPECTRAL_STFT; op < SPECTRAL_OUTPUTS; op++)
        for (size_t c = 0; subject_has(ex, op) && c < sizeof cases / sizeof *cases; c++) {
            struct subject s = usual(op);
            s.p.stft.pad = PAD_REFLECT;
            const float in[16] = {1};
            const int64_t xo[2] = {0, cases[c].samples};
            const struct ragged x = {.data = (void *)(uintptr_t)in,
                                     .channels = 1,
                                     .offset = xo,
                                     .piece = &cases[c].piece,
                                     .rows = 1,
                                     .total = xo[1]};
            int64_t yo[2];
            struct ragged y = subject_result(&s, &x, yo);
            struct guarded g = guarded_open(y.total * subject_floats(&s));
            y.data = g.data;
            const int code = subject_run(ex, &s, &x, &y);
            if (code != cases[c].code)
                printf("    %s, %s: %s\n", subject_name(op), cases[c].reason, status_name(code));
            CHECK(code == cases[c].code && guarded_intact(&g));
            guarded_close(&g);
        }
    exec_destroy(&ex);
}

/* Scratch that runs out, at each allocation in turn: a clean error, the output untouched, the arena given back. */
TEST(every_failed_allocation_is_reported)
{
    for (int op = SPECTRAL_STFT; op < SPECTRAL_OUTPUTS; op++) {
        struct exec *ex = subject_exec();
        struct arena *const arena = exec_device(ex) ? exec_device_arena(ex) : exec_arena(ex);
        int failures = exec_device(ex) ? 2 : 0, code = STATUS_NOMEM; /* there is less to allocate there */
        if (!subject_has(ex, op)) {
            exec_destroy(&ex);
            continue;
        }
        for (long at = 1; code == STATUS_NOMEM && at < 20; at++) {
            const struct subject s = usual(op);
            struct attempt a;
            struct guarded g;
            prepare(&a, &s, &g);
            arena->fail_at = arena->calls + at;
            code = subject_run(ex, &a.s, &a.x, &a.y);
            failures += code == STATUS_NOMEM;
            CHECK(arena->used == 0);
            CHECK(guarded_untouched(&g) == (code != STATUS_OK));
            guarded_close(&g);
        }
        CHECK(code == STATUS_OK && failures >= 4);
        exec_destroy(&ex);
    }
}
