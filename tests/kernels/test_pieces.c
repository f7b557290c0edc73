/* For every framed operation: a signal cut anywhere gives the same frames bit for bit, and so does a row whatever its
 * neighbours are. */
#include "subject.h"

enum { ROUNDS = 60, ROUNDS_ON_DEVICES = 2, SAMPLES = 3000, PIECES_MOST = 64 };

static struct subject draw(int op, uint64_t *seed)
{
    static const int64_t windows[] = {16, 17, 31, 64, 100, 255, 256};
    struct subject s = {op, spectral_defaults(8000)};
    s.p.mel = (struct mel_bands){.mels = 12, .slaney_norm = true, .log = true, .power = 2};
    struct stft_params *const p = &s.p.stft;
    p->frame.window_samples = windows[test_random(seed) % 7];
    const uint64_t wide =
        test_random(seed) & 1 ? 40 : 3 * (uint64_t)p->frame.window_samples; /* often above the window */
    p->frame.hop_samples = 1 + (int64_t)(test_random(seed) % wide);
    p->frame.centred = test_random(seed) & 1;
    p->win_length = 1 + (int64_t)(test_random(seed) % (uint64_t)p->frame.window_samples);
    p->window = (enum window_kind)(test_random(seed) % 5);
    p->pad = test_random(seed) & 1 ? PAD_REFLECT : PAD_ZERO;
    return s;
}

static void describe(const struct subject *s)
{
    const struct stft_params *const p = &s->p.stft;
    printf("    %s: W %lld hop %lld %s win %lld %s\n", subject_name(s->op), (long long)p->frame.window_samples,
           (long long)p->frame.hop_samples, p->frame.centred ? "centred" : "left", (long long)p->win_length,
           p->pad == PAD_REFLECT ? "reflect" : "zero");
}

/* What neighbouring pieces share: exactly what frame_overlap asks for, and for flux a hop more. */
static int64_t shared(const struct subject *s)
{
    const struct frame_params *const p = &s->p.stft.frame;
    return frame_overlap(p) + (s->op == SPECTRAL_FLUX ? p->hop_samples : 0);
}

/* Random cuts of [0, samples); returns how many. */
static int64_t cut(const struct subject *s, int64_t samples, uint64_t *seed, struct piece *piece, int64_t *end)
{
    const struct frame_params *const p = &s->p.stft.frame;
    int64_t n = 0, start = 0;
    while (true) {
        const int64_t least = n ? shared(s) + 1 : frame_pad(p) + 1; /* a first one that may reflect */
        int64_t to = start + least + (int64_t)(test_random(seed) % 400);
        if (to >= samples || n == PIECES_MOST - 1)
            to = samples;
        piece[n] = (struct piece){start, start == 0, to == samples};
        end[n++] = to;
        if (to == samples)
            return n;
        start = to - shared(s) < 0 ? 0 : to - shared(s);
    }
}

static bool pieces_agree(struct exec *ex, const struct subject *s, const float *x, uint64_t *seed)
{
    const struct frame_params *const p = &s->p.stft.frame;
    struct piece piece[PIECES_MOST];
    int64_t end[PIECES_MOST], next = 0;
    const int64_t pieces = cut(s, SAMPLES, seed, piece, end), floats = subject_floats(s);
    struct guarded whole = subject_row(ex, s, x, SAMPLES, (struct piece){0, true, true});
    bool ok = true;
    for (int64_t i = 0; i < pieces; i++) {
        struct guarded part = subject_row(ex, s, x + piece[i].start, end[i] - piece[i].start, piece[i]);
        const int64_t first = frame_first(p, piece[i]), frames = part.n / floats;
        ok &= frames == 0 || first <= next;
        ok &= first + frames <= whole.n / floats || frames == 0;
        const int64_t skip =
            s->op == SPECTRAL_FLUX && !piece[i].first && frames > 0 ? 1 : 0; /* it has no frame before */
        ok &= !skip || isnan(part.data[0]);
        ok = ok &&
             memcmp(part.data + skip, whole.data + first * floats + skip, (size_t)(part.n - skip) * sizeof(float)) == 0;
        ok &= !skip || first < next;
        next = frames && first + frames > next ? first + frames : next;
        guarded_close(&part);
    }
    ok &= next == whole.n / floats;
    guarded_close(&whole);
    return ok;
}

/* The emulator is slow, and runs this in four orders. */
static int rounds(const struct exec *ex)
{
    return exec_backend(ex) == BACKEND_CPU ? ROUNDS : ROUNDS_ON_DEVICES;
}

TEST(any_cut_gives_equal_frames)
{
    struct exec *ex = subject_exec();
    float x[SAMPLES];
    uint64_t seed = 71;
    subject_noise(&seed, x, SAMPLES);
    for (int op = 0; op < SUBJECTS; op++)
        for (int round = 0; subject_has(ex, op) && round < rounds(ex); round++) {
            const struct subject s = draw(op, &seed);
            const bool ok = pieces_agree(ex, &s, x, &seed);
            if (!ok)
                describe(&s);
            CHECK(ok);
        }
    exec_destroy(&ex);
}

/* Less than frame_overlap loses frames for some cut: the documented figure is not generous. */
TEST(the_documented_overlap_is_needed)
{
    for (int64_t w = 2; w < 20; w++)
        for (int64_t hop = 1; hop < 40; hop++) {
            const struct frame_params p = {w, hop, false};
            bool lost = false;
            for (int64_t end = w; end < 200; end++) {
                const struct piece a = {0, true, false}, b = {end - (w - 2), false, false};
                lost |= frame_first(&p, b) > frame_count(&p, a, end);
            }
            CHECK(lost);
        }
}

/* A whole signal, pieces, an empty row and one too short, in one batch: each row as when it is alone. */
TEST(rows_do_not_see_their_neighbours)
{
    enum { ROWS = 5 };
    struct exec *ex = subject_exec();
    uint64_t seed = 72;
    for (int op = 0; op < SUBJECTS; op++)
        for (int round = 0; subject_has(ex, op) && round < rounds(ex) / 2; round++) {
            const struct subject s = draw(op, &seed);
            const int64_t floats = subject_floats(&s), short_one = s.p.stft.frame.centred ? 0 : 5;
            const int64_t xo[ROWS + 1] = {0, 600, 600, 1300, 1300 + short_one, 2000 + short_one};
            const struct piece piece[ROWS] = {
                {0, true, true}, {0, true, true}, {5000, false, false}, {0, true, true}, {777, false, true}};
            float x[2100];
            int64_t yo[ROWS + 1];
            subject_noise(&seed, x, xo[ROWS]);
            const struct ragged in = {
                .data = x, .channels = 1, .offset = xo, .piece = piece, .rows = ROWS, .total = xo[ROWS]};
            struct ragged out = subject_result(&s, &in, yo);
            struct guarded all = guarded_open(out.total * floats);
            out.data = all.data;
            CHECK_OK(subject_run(ex, &s, &in, &out));
            CHECK(guarded_intact(&all));
            for (int b = 0; b < ROWS; b++) {
                struct guarded alone = subject_row(ex, &s, x + xo[b], xo[b + 1] - xo[b], piece[b]);
                const bool same = memcmp(alone.data, all.data + yo[b] * floats, (size_t)alone.n * sizeof(float)) == 0;
                if (!same)
                    describe(&s);
                CHECK(same);
                guarded_close(&alone);
            }
            guarded_close(&all);
        }
    exec_destroy(&ex);
}
