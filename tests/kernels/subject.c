#include "subject.h"

enum exec_isa subject_isa(void)
{
    enum exec_isa isa = ISA_SCALAR;
    const char *const name = getenv("WAVEMILL_TEST_ISA");
    REQUIRE(!name || isa_parse(name, &isa) == STATUS_OK);
    return isa;
}

struct exec *subject_exec(void)
{
    struct exec *ex = NULL;
    const enum exec_isa isa = subject_isa();
    const struct exec_options options = {.threads = 1, .isa = isa, .ops = ops_cpu(isa)};
    REQUIRE(exec_create(&options, &ex) == STATUS_OK);
    return ex;
}

const char *subject_name(int op)
{
    static const char *const names[] = {"stft",    "spectrogram", "mel",          "centroid", "bandwidth",
                                        "rolloff", "flatness",    "contrast",     "flux",     "poly",
                                        "rms",     "peak",        "zero_crossing"};
    return names[op];
}

int64_t subject_channels(const struct subject *s)
{
    return s->op < SPECTRAL_OUTPUTS ? spectral_channels(&s->p, (enum spectral_output)s->op) : 1;
}

int64_t subject_floats(const struct subject *s)
{
    return subject_channels(s) * (s->op == SPECTRAL_STFT ? 2 : 1);
}

int64_t subject_frames(const struct subject *s, struct piece piece, int64_t samples)
{
    return frame_count(&s->p.stft.frame, piece, samples);
}

struct ragged subject_result(const struct subject *s, const struct ragged *x, int64_t *offset)
{
    offset[0] = 0;
    for (int64_t b = 0; b < x->rows; b++)
        offset[b + 1] = offset[b] + subject_frames(s, piece_of(x->piece, b), ragged_length(x, b));
    return (struct ragged){.dtype = s->op == SPECTRAL_STFT ? DTYPE_C64 : DTYPE_F32,
                           .channels = (int32_t)subject_channels(s),
                           .offset = offset,
                           .rows = x->rows,
                           .total = offset[x->rows]};
}

int subject_run(struct exec *ex, const struct subject *s, const struct ragged *x, struct ragged *y)
{
    const struct frame_params *const frame = &s->p.stft.frame;
    struct ragged *out[SPECTRAL_OUTPUTS] = {0};
    switch (s->op) {
    case SUBJECT_RMS:
        return rms(ex, frame, x, y);
    case SUBJECT_PEAK:
        return peak(ex, frame, x, y);
    case SUBJECT_CROSSING:
        return zero_crossing(ex, frame, x, y);
    default:
        out[s->op] = y;
        return spectral(ex, &s->p, x, out);
    }
}

struct guarded subject_row(struct exec *ex, const struct subject *s, const float *x, int64_t samples,
                           struct piece piece)
{
    const int64_t xo[2] = {0, samples};
    int64_t yo[2];
    const struct ragged in = {
        .data = (void *)(uintptr_t)x, .channels = 1, .offset = xo, .piece = &piece, .rows = 1, .total = samples};
    struct ragged out = subject_result(s, &in, yo);
    struct guarded g = guarded_open(out.total * subject_floats(s));
    out.data = g.data;
    const int code = subject_run(ex, s, &in, &out);
    if (code)
        printf("    %s: %s\n", subject_name(s->op), status_message());
    REQUIRE(code == STATUS_OK);
    REQUIRE(guarded_intact(&g));
    return g;
}

void subject_noise(uint64_t *seed, float *x, int64_t samples)
{
    for (int64_t i = 0; i < samples; i++)
        x[i] = 0.5f * test_noise(seed);
}
