#include "subject.h"

#include "device.h"
#include "module.h"

enum exec_isa subject_isa(void)
{
    enum exec_isa isa = ISA_SCALAR;
    const char *const name = getenv("WAVEMILL_TEST_ISA");
    REQUIRE(!name || isa_parse(name, &isa) == STATUS_OK);
    return isa;
}

enum exec_backend subject_backend(void)
{
    const char *const name = getenv("WAVEMILL_TEST_BACKEND");
    for (enum exec_backend b = BACKEND_CPU; b <= BACKEND_EMULATED; b++)
        if (strcmp(name ? name : "cpu", backend_name(b)) == 0)
            return b;
    REQUIRE(!"WAVEMILL_TEST_BACKEND names a backend");
    return BACKEND_CPU;
}

struct exec *subject_exec(void)
{
    struct exec *ex = NULL;
    struct exec_options options = {.threads = 1, .isa = subject_isa(), .backend = subject_backend()};
    if (options.backend == BACKEND_CPU) {
        options.ops = ops_cpu(options.isa);
    } else {
        CHECK_OK(module_load(options.backend, &options.module));
        REQUIRE(options.module);
    }
    CHECK_OK(exec_create(&options, &ex));
    REQUIRE(ex);
    return ex;
}

bool subject_has(struct exec *ex, int op)
{
    const struct ops *const ops = exec_ops(ex);
    const char *const wanted = getenv("WAVEMILL_TEST_OP");
    if (wanted && !strstr(wanted, subject_name(op)))
        return false;
    return op == SUBJECT_RMS        ? ops->rms != NULL
           : op == SUBJECT_PEAK     ? ops->peak != NULL
           : op == SUBJECT_CROSSING ? ops->zero_crossing != NULL
                                    : ops->spectral_outputs >> op & 1;
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

static int call(struct exec *ex, const struct subject *s, const struct ragged *x, struct ragged *y)
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

/* A copy of host memory on the device; NULL of nothing. */
static void *to_device(struct exec *ex, const void *host, size_t bytes)
{
    const struct device_api *const api = exec_device_api(ex);
    void *memory = NULL;
    if (!host || !bytes)
        return NULL;
    REQUIRE(api->allocate(exec_device(ex), bytes, &memory) == STATUS_OK);
    REQUIRE(api->copy_in(exec_stream(ex), memory, host, bytes) == STATUS_OK);
    return memory;
}

static size_t element_bytes(const struct ragged *r)
{
    static const size_t bytes[] = {[DTYPE_F32] = 4, [DTYPE_I16] = 2, [DTYPE_I24] = 3, [DTYPE_C64] = 8};
    return bytes[r->dtype] * (size_t)r->channels;
}

static bool whole(const struct ragged *r)
{
    return r->data && r->rows >= 0 && r->total >= 0 && r->total < INT64_C(1) << 32 && r->offset[r->rows] == r->total;
}

/* Whether the batch can be copied: it is what it should be. What a front has to refuse goes to it as it is. */
static bool sound(const struct subject *s, const struct ragged *x, const struct ragged *y)
{
    const struct frame_params *const f = &s->p.stft.frame;
    const bool shaped = whole(x) && whole(y) && x->rows == y->rows && x->channels == 1 && x->dtype <= DTYPE_I24 &&
                        y->channels == subject_channels(s) &&
                        y->dtype == (s->op == SPECTRAL_STFT ? DTYPE_C64 : DTYPE_F32);
    bool ok = shaped && f->window_samples > 0 && f->hop_samples > 0;
    for (int64_t b = 0; ok && b < x->rows; b++)
        ok = ragged_length(y, b) == subject_frames(s, piece_of(x->piece, b), ragged_length(x, b));
    return ok;
}

static int run_on_device(struct exec *ex, const struct subject *s, const struct ragged *x, struct ragged *y)
{
    enum { GUARD = GUARD_FLOATS * sizeof(float) };
    const struct device_api *const api = exec_device_api(ex);
    const size_t rows = (size_t)x->rows, offsets = (rows + 1) * sizeof(int64_t);
    const size_t y_bytes = (size_t)y->total * element_bytes(y) + 2 * GUARD;
    void *const memory[] = {to_device(ex, x->data, (size_t)x->total * element_bytes(x)),
                            to_device(ex, x->offset, offsets), to_device(ex, x->piece, rows * sizeof *x->piece),
                            to_device(ex, (char *)y->data - GUARD, y_bytes), to_device(ex, y->offset, offsets)};
    struct ragged in = *x, out = *y;
    in.data = memory[0] ? memory[0] : memory[1]; /* an empty batch has no data, and the front wants some */
    in.offset_device = memory[1];
    in.piece_device = memory[2];
    out.data = (char *)memory[3] + GUARD;
    out.offset_device = memory[4];
    int code = call(ex, s, &in, &out);
    REQUIRE(api->copy_out(exec_stream(ex), (char *)y->data - GUARD, memory[3], y_bytes) == STATUS_OK);
    const int waited = api->stream_wait(exec_stream(ex));
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i])
            api->release(exec_device(ex), memory[i]);
    return code ? code : waited;
}

int subject_run(struct exec *ex, const struct subject *s, const struct ragged *x, struct ragged *y)
{
    if (exec_backend(ex) == BACKEND_CPU || !sound(s, x, y))
        return call(ex, s, x, y);
    return run_on_device(ex, s, x, y);
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
