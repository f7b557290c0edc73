#include "subject.h"

struct exec *subject_exec(void)
{
    struct exec *ex = NULL;
    const struct exec_options options = {.threads = 1, .ops = &ops_cpu};
    REQUIRE(exec_create(&options, &ex) == STATUS_OK);
    return ex;
}

const char *subject_name(enum subject_op op)
{
    static const char *const names[] = {"stft", "mel", "centroid", "rms", "peak", "zero_crossing"};
    return names[op];
}

int64_t subject_channels(const struct subject *s)
{
    return s->op == SUBJECT_STFT ? stft_bins(&s->mel.stft) : s->op == SUBJECT_MEL ? s->mel.mels : 1;
}

int64_t subject_floats(const struct subject *s)
{
    return subject_channels(s) * (s->op == SUBJECT_STFT ? 2 : 1);
}

int64_t subject_frames(const struct subject *s, struct piece piece, int64_t samples)
{
    return frame_count(&s->mel.stft.frame, piece, samples);
}

struct ragged subject_result(const struct subject *s, const struct ragged *x, int64_t *offset)
{
    offset[0] = 0;
    for (int64_t b = 0; b < x->rows; b++)
        offset[b + 1] = offset[b] + subject_frames(s, piece_of(x->piece, b), ragged_length(x, b));
    return (struct ragged){.dtype = s->op == SUBJECT_STFT ? DTYPE_C64 : DTYPE_F32,
                           .channels = (int32_t)subject_channels(s),
                           .offset = offset,
                           .rows = x->rows,
                           .total = offset[x->rows]};
}

int subject_run(struct exec *ex, const struct subject *s, const struct ragged *x, struct ragged *y)
{
    const struct frame_params *const frame = &s->mel.stft.frame;
    const struct centroid_params c = {s->mel.stft, s->mel.rate_hz};
    switch (s->op) {
    case SUBJECT_STFT:
        return stft(ex, &s->mel.stft, x, y);
    case SUBJECT_MEL:
        return mel(ex, &s->mel, x, y);
    case SUBJECT_CENTROID:
        return centroid(ex, &c, x, y);
    case SUBJECT_RMS:
        return rms(ex, frame, x, y);
    case SUBJECT_PEAK:
        return peak(ex, frame, x, y);
    default:
        return zero_crossing(ex, frame, x, y);
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
