/* device.cu and ops_cuda.cu on the emulator: what is asked of a device works, and what goes wrong has its code. */
#include "compare.h"
#include "device.h"
#include "emulator.h"
#include "module.h"
#include "ops.h"
#include "test.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

static const struct module *emulated(void)
{
    const struct module *m = NULL;
    CHECK_OK(module_load(BACKEND_EMULATED, &m));
    REQUIRE(m);
    return m;
}

static struct emulator_settings *settings(void)
{
    void *const module = dlopen(module_path(BACKEND_EMULATED), RTLD_NOW | RTLD_NOLOAD);
    REQUIRE(module);
    struct emulator_settings *(*current)(void);
    *(void **)&current = dlsym(module, "emulator_current");
    REQUIRE(current);
    return current();
}

static struct exec *exec_on(uint64_t limit, struct exec *shared)
{
    struct exec *ex = NULL;
    const struct exec_options o = {.backend = BACKEND_EMULATED,
                                   .threads = 1,
                                   .module = emulated(),
                                   .memory_limit = limit,
                                   .device_arena_bytes = 1 << 20,
                                   .shared = shared};
    CHECK_OK(exec_create(&o, &ex));
    REQUIRE(ex);
    return ex;
}

TEST(what_there_is_is_described)
{
    const struct device_api *const api = emulated()->device;
    struct device_info info;
    int n = 0;
    CHECK_OK(api->count(&n));
    CHECK(n == 1);
    CHECK_OK(api->describe(0, &info));
    CHECK(strcmp(info.name, "emulator") == 0 && info.major == 9 && info.supported && info.memory_bytes == 1 << 30);
    CHECK_CODE(api->describe(1, &info), STATUS_UNSUPPORTED);
    CHECK_CODE(api->describe(-1, &info), STATUS_UNSUPPORTED);
}

/* And nothing is written. */
TEST(tensor_cores_that_are_missing_are_said)
{
    struct exec *ex = exec_on(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    struct conv_params p = conv_linear(16, 16, ACTIVATION_NONE);
    p.precision = PRECISION_TF32;
    const size_t positions = 16 * sizeof(float), bytes = 2 * positions + conv_pack_bytes(ex, &p);
    void *memory = NULL;
    float y[16];
    CHECK_OK(api->allocate(exec_device(ex), bytes, &memory));
    CHECK_OK(api->clear(exec_stream(ex), memory, bytes));
    const float *const packed = (const float *)memory + 32;
    const struct maps x = maps_tokens(memory, 1, 1, 16), to = maps_tokens((float *)memory + 16, 1, 1, 16);
    const uint64_t before = api->stream_launches(exec_stream(ex));
    settings()->capability = 75;
    CHECK_CODE(conv(ex, &p, packed, &x, NULL, NULL, &to), STATUS_UNSUPPORTED);
    CHECK(strstr(status_message(), "multiplies in f32 alone") && api->stream_launches(exec_stream(ex)) == before);
    struct conv2d_params two = conv2d_linear(2, 8);
    two.precision = PRECISION_BF16;
    const struct maps in = maps_tokens(memory, 1, 1, 2), out = maps_tokens((float *)memory + 16, 1, 1, 8);
    CHECK_CODE(conv2d_pack(ex, &two, CONV2D_FORWARD, memory, NULL, (float *)memory + 32), STATUS_UNSUPPORTED);
    CHECK_CODE(conv2d(ex, &two, packed, &in, &out), STATUS_UNSUPPORTED);
    CHECK_CODE(conv2d_data(ex, &two, packed, &out, &in), STATUS_UNSUPPORTED);
    CHECK_CODE(conv2d_weight(ex, &two, &in, &out, (float *)memory + 16), STATUS_UNSUPPORTED);
    CHECK(strstr(status_message(), "multiplies in f32 alone") && api->stream_launches(exec_stream(ex)) == before);
    settings()->capability = 80;
    CHECK_OK(conv(ex, &p, packed, &x, NULL, NULL, &to));
    CHECK_OK(api->copy_out(exec_stream(ex), y, to.data, positions));
    CHECK_OK(api->stream_wait(exec_stream(ex)));
    CHECK(y[0] == 0 && y[15] == 0);
    api->release(exec_device(ex), memory);
    exec_destroy(&ex);
}

TEST(what_is_missing_is_said)
{
    static const struct {
        int devices, driver, capability;
        const char *says, *reason;
    } cases[] = {
        {0, 13000, 90, "shows no GPU", "a driver and no GPU"},
        {1, 0, 90, "no NVIDIA driver", "no driver"},
        {1, 11080, 90, "older than this build's CUDA", "a driver that is too old"},
        {1, 13000, 70, "compute capability 7.0; this build has code for", "a GPU without code"},
        {1, 13000, 120, NULL, "a later GPU: the newest code runs on it"},
    };
    const struct device_api *const api = emulated()->device;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct device *device = NULL;
        int n = 0;
        settings()->devices = cases[c].devices;
        settings()->driver_version = cases[c].driver;
        settings()->capability = cases[c].capability;
        int code = api->count(&n);
        code = code ? code : api->open(0, 0, &device);
        CHECK(code == (cases[c].says ? STATUS_UNSUPPORTED : STATUS_OK));
        const bool said = !cases[c].says || strstr(status_message(), cases[c].says);
        if (!said)
            printf("    %s: %s\n", cases[c].reason, status_message());
        CHECK(said);
        api->close(&device);
        CHECK(!device);
    }
}

TEST(memory_ends_cleanly)
{
    enum { LIMIT = 10000 };
    const struct device_api *const api = emulated()->device;
    struct device *device = NULL;
    struct device_counters counters;
    void *a = NULL, *b = NULL, *c = NULL;
    CHECK_OK(api->open(0, LIMIT, &device));
    CHECK_OK(api->allocate(device, 6000, &a));
    CHECK_CODE(api->allocate(device, 4001, &b), STATUS_NOMEM);
    CHECK(!b && strstr(status_message(), "10000"));
    CHECK_OK(api->allocate(device, 4000, &b));
    CHECK((uintptr_t)a % 256 == 0 && (uintptr_t)b % 256 == 0);
    api->counters(device, &counters);
    CHECK(counters.bytes_used == LIMIT && counters.bytes_most == LIMIT);
    api->release(device, a);
    CHECK_OK(api->allocate(device, 6000, &a));
    CHECK_OK(api->allocate_pinned(device, 100000, &c)); /* the host's memory is not limited */
    api->close(&device);                                /* frees all three */

    settings()->memory_bytes = 5000; /* the device's own end */
    CHECK_OK(api->open(0, 0, &device));
    CHECK_CODE(api->allocate(device, 5001, &a), STATUS_NOMEM);
    CHECK_OK(api->allocate(device, 5000, &a));
    api->close(&device);
}

TEST(copies_are_there_when_waited_for)
{
    struct exec *ex = exec_on(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    float in[100], out[100] = {0};
    void *memory = NULL;
    struct device_counters counters;
    for (int i = 0; i < 100; i++)
        in[i] = (float)i;
    CHECK_OK(api->allocate(exec_device(ex), sizeof in, &memory));
    CHECK_OK(api->copy_in(exec_stream(ex), memory, in, sizeof in));
    CHECK_OK(api->copy_out(exec_stream(ex), out, memory, sizeof out));
    CHECK(out[99] == 0); /* nobody has waited */
    CHECK_OK(api->stream_wait(exec_stream(ex)));
    CHECK(compare_bits(in, out, sizeof in));
    CHECK_OK(api->clear(exec_stream(ex), memory, 200));
    CHECK_OK(api->copy_out(exec_stream(ex), out, memory, sizeof out));
    CHECK_OK(api->stream_wait(exec_stream(ex)));
    CHECK(out[49] == 0 && out[50] == 50);
    api->counters(exec_device(ex), &counters);
    CHECK(counters.bytes_in == sizeof in && counters.bytes_out == 2 * sizeof out);
    api->release(exec_device(ex), memory);
    exec_destroy(&ex);
}

/* A batch of one row on the device: samples, offsets, results. */
struct batch {
    struct exec *ex;
    void *memory;
    float *x, *y;
    int64_t offset_x[2], offset_y[2];
    struct ragged in, out;
};

static struct frame_params frames = {64, 64, false};

static struct batch batch_open(struct exec *ex, int64_t samples)
{
    struct batch b = {.ex = ex, .offset_x = {0, samples}};
    b.offset_y[1] = frame_count(&frames, (struct piece){0, true, true}, samples);
    const size_t x_bytes = (size_t)samples * sizeof(float), y_bytes = (size_t)b.offset_y[1] * sizeof(float);
    CHECK_OK(exec_device_api(ex)->allocate(exec_device(ex), 32 + x_bytes + y_bytes, &b.memory));
    b.x = (float *)((char *)b.memory + 32);
    b.y = b.x + samples;
    return b;
}

/* Pointers into b, which must not move any more. */
static void batch_settle(struct batch *b)
{
    const struct device_api *const api = exec_device_api(b->ex);
    CHECK_OK(api->copy_in(exec_stream(b->ex), b->memory, b->offset_x, 32));
    b->in = (struct ragged){.data = b->x,
                            .channels = 1,
                            .offset = b->offset_x,
                            .offset_device = b->memory,
                            .rows = 1,
                            .total = b->offset_x[1]};
    b->out = b->in;
    b->out.data = b->y;
    b->out.offset = b->offset_y;
    b->out.offset_device = (const int64_t *)b->memory + 2;
    b->out.total = b->offset_y[1];
}

static void batch_close(struct batch *b)
{
    exec_device_api(b->ex)->release(exec_device(b->ex), b->memory);
}

static void fill(struct batch *b, float value)
{
    float x[640];
    for (int i = 0; i < 640; i++)
        x[i] = value;
    CHECK_OK(exec_device_api(b->ex)->copy_in(exec_stream(b->ex), b->x, x, sizeof x));
    CHECK_OK(exec_device_api(b->ex)->stream_wait(exec_stream(b->ex)));
}

static float first_of(struct batch *b)
{
    float y[10] = {0};
    CHECK_OK(exec_device_api(b->ex)->copy_out(exec_stream(b->ex), y, b->y, sizeof y));
    CHECK_OK(exec_device_api(b->ex)->stream_wait(exec_stream(b->ex)));
    return y[0];
}

TEST(graphs_run_again_on_what_is_there_then)
{
    struct exec *ex = exec_on(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    struct batch b = batch_open(ex, 640);
    struct device_graph *graph = NULL;
    struct device_counters counters;
    batch_settle(&b);
    fill(&b, 0.5f);
    CHECK_OK(api->graph_begin(exec_stream(ex)));
    CHECK_OK(rms(ex, &frames, &b.in, &b.out));
    CHECK_OK(api->graph_end(exec_stream(ex), &graph));
    CHECK(isnan(first_of(&b))); /* nothing has run */
    for (int i = 1; i < 4; i++) {
        fill(&b, (float)i);
        CHECK_OK(api->graph_launch(graph, exec_stream(ex)));
        CHECK(first_of(&b) == (float)i);
    }
    api->counters(exec_device(ex), &counters);
    CHECK(counters.graph_launches == 3 && counters.launches == 0);
    api->graph_destroy(&graph);
    batch_close(&b);
    exec_destroy(&ex);
}

/* What a network does around its layers: the host touches nothing from the input to the sum, three times the input. */
TEST(a_graph_holds_moments_and_what_is_made_of_them)
{
    enum { POSITIONS = 40, FLOATS = 2 * POSITIONS };
    struct exec *ex = exec_on(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    struct device_graph *graph = NULL;
    float in[FLOATS], out[FLOATS];
    void *block = NULL;
    CHECK_OK(api->allocate(exec_device(ex), 4 * FLOATS * sizeof(float), &block));
    float *const memory = block, *const planar = memory + FLOATS, *const two = memory + 2 * FLOATS;
    const struct maps x = maps_tokens(memory, 1, POSITIONS, 2);
    const struct maps y = maps_of(memory + 2 * FLOATS + 2, 1, 1, POSITIONS, 2, true);
    CHECK_OK(api->graph_begin(exec_stream(ex)));
    CHECK_OK(clear_margins(ex, &y));
    CHECK_OK(moments(ex, &x, two));
    CHECK_OK(standardize(ex, two, 0, &x, &y));
    CHECK_OK(unstandardize(ex, two, &y, &y));
    CHECK_OK(add_maps(ex, &x, &y, &y));
    CHECK_OK(mirror(ex, 0, &x, POSITIONS, planar));
    CHECK_OK(add_planar(ex, planar, POSITIONS, &y, &y));
    CHECK_OK(api->graph_end(exec_stream(ex), &graph));
    for (int run = 1; run < 4; run++) {
        for (int i = 0; i < FLOATS; i++)
            in[i] = (float)(i * run % 23 - 5 * run);
        CHECK_OK(api->copy_in(exec_stream(ex), memory, in, sizeof in));
        CHECK_OK(api->graph_launch(graph, exec_stream(ex)));
        CHECK_OK(api->copy_out(exec_stream(ex), out, y.data, sizeof out));
        CHECK_OK(api->stream_wait(exec_stream(ex)));
        for (int i = 0; i < FLOATS; i++)
            CHECK_AT_MOST(fabsf(out[i] - 3 * in[i]), 1e-4);
    }
    api->graph_destroy(&graph);
    api->release(exec_device(ex), block);
    exec_destroy(&ex);
}

TEST(streams_wait_for_each_other)
{
    struct exec *a = exec_on(0, NULL), *b = exec_on(0, a);
    const struct device_api *const api = exec_device_api(a);
    struct device_event *done = NULL, *began = NULL;
    float in = 7, out = 0;
    double seconds = -1;
    void *memory = NULL;
    CHECK(exec_device(a) == exec_device(b) && exec_stream(a) != exec_stream(b));
    CHECK_OK(api->allocate(exec_device(a), 4, &memory));
    CHECK_OK(api->event_create(exec_device(a), &done));
    CHECK_OK(api->event_create(exec_device(a), &began));
    CHECK_OK(api->event_record(began, exec_stream(a)));
    CHECK_OK(api->copy_in(exec_stream(a), memory, &in, 4));
    CHECK_OK(api->event_record(done, exec_stream(a)));
    CHECK_OK(api->stream_wait_event(exec_stream(b), done));
    CHECK_OK(api->copy_out(exec_stream(b), &out, memory, 4));
    CHECK_OK(api->stream_wait(exec_stream(b)));
    CHECK(out == 7);
    CHECK_OK(api->event_wait(done));
    CHECK_OK(api->event_elapsed(began, done, &seconds));
    CHECK(seconds >= 0 && seconds < 60);
    api->event_destroy(&done);
    api->event_destroy(&began);
    api->release(exec_device(a), memory);
    exec_destroy(&a); /* b keeps the device */
    CHECK_OK(api->stream_wait(exec_stream(b)));
    exec_destroy(&b);
}

TEST(two_execs_share_a_gpu)
{
    struct exec *a = exec_on(0, NULL), *b = exec_on(0, NULL);
    struct batch of_a = batch_open(a, 640), of_b = batch_open(b, 640);
    batch_settle(&of_a);
    batch_settle(&of_b);
    fill(&of_a, 2);
    fill(&of_b, 3);
    CHECK_OK(rms(a, &frames, &of_a.in, &of_a.out));
    CHECK_OK(peak(b, &frames, &of_b.in, &of_b.out));
    CHECK(first_of(&of_a) == 2 && first_of(&of_b) == 3);
    batch_close(&of_a);
    batch_close(&of_b);
    exec_destroy(&a);
    exec_destroy(&b);
}

TEST(a_lost_device_stays_lost)
{
    struct exec *ex = exec_on(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    struct batch b = batch_open(ex, 640);
    void *memory;
    batch_settle(&b);
    fill(&b, 1);
    settings()->lose_after = 2;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(rms(ex, &frames, &b.in, &b.out));
        CHECK(first_of(&b) == 1);
    }
    CHECK_OK(rms(ex, &frames, &b.in, &b.out)); /* a launch does not wait */
    CHECK_CODE(api->stream_wait(exec_stream(ex)), STATUS_DEVICE);
    CHECK_CODE(rms(ex, &frames, &b.in, &b.out), STATUS_DEVICE);
    CHECK_CODE(api->copy_in(exec_stream(ex), b.x, &b, 4), STATUS_DEVICE);
    CHECK_CODE(api->allocate(exec_device(ex), 4, &memory), STATUS_DEVICE);
    CHECK(status_class(STATUS_DEVICE) == FAILURE_DEVICE);
    batch_close(&b);
    exec_destroy(&ex);
}

/* One front: its name, what it answers, and what it says. */
#define CALL(i, name, ...) \
    do { \
        names[i] = #name; \
        codes[i] = name(__VA_ARGS__); \
        snprintf(said[i], sizeof said[i], "%s", status_message()); \
    } while (0)

/* The fronts of networks, with what they would take: each validates, and then has no twin to call. */
static void call_networks(struct exec *ex, const char *names[24], int codes[24], char said[24][80])
{
    static _Alignas(64) float packed[4096];
    static float memory[256], spectra[256], y[8];
    const struct conv_params one = conv_linear(2, 2, ACTIVATION_NONE);
    const struct conv_transpose_params back = {2, 2, 1, ACTIVATION_NONE, PRECISION_F32};
    const struct dconv_params branch = {2, 1, 1, ALONG_HEIGHT};
    const struct dconv_weights w = {memory, memory, memory, memory, memory, memory, memory, memory, memory};
    const struct attention_params heads = {1, 2};
    const struct conv2d_params two = conv2d_linear(2, 2);
    const struct complex_maps_params of = {4, 0, 0, 1, 0};
    const struct maps x = maps_of(memory, 1, 2, 4, 2, true), signal = maps_tokens(memory, 1, 4, 2),
                      to = maps_of(memory + 128, 1, 2, 4, 2, false);
    static const int64_t one_row[2] = {0, 3};
    const double as_it_is = 1;
    const struct ragged spectrum = {
        .data = spectra, .dtype = DTYPE_C64, .channels = 4, .offset = one_row, .rows = 1, .total = 3};
    struct ragged stretched = spectrum;
    stretched.data = memory;
    const struct tokens q = {memory, 1, 4, 8, 2}, k = {memory + 64, 1, 4, 8, 2}, into = {memory + 128, 1, 4, 8, 2};
    CALL(0, conv_pack, ex, &one, memory, NULL, packed);
    CALL(1, conv, ex, &one, packed, &x, NULL, NULL, &to);
    CALL(2, conv_transpose_pack, ex, &back, memory, NULL, packed);
    CALL(3, conv_transpose, ex, &back, packed, &x, NULL, &to);
    CALL(4, dconv_pack, ex, &branch, &w, packed);
    CALL(5, dconv, ex, &branch, packed, &x);
    CALL(6, layer_norm, ex, memory, memory, NULL, &x, &to);
    CALL(7, group_norm, ex, memory, memory, &x, NULL, &to);
    CALL(8, moments, ex, &x, y);
    CALL(9, attention, ex, &heads, &q, &k, &k, &into);
    CALL(10, maps_from_complex, ex, &of, spectra, &to);
    CALL(11, complex_from_maps, ex, &of, &to, spectra);
    CALL(12, clear_margins, ex, &x);
    CALL(13, mirror, ex, 1, &signal, 4, y);
    CALL(14, standardize, ex, memory, 0, &to, &to);
    CALL(15, unstandardize, ex, memory, &to, &to);
    CALL(16, add_maps, ex, &to, &to, &to);
    CALL(17, add_planar, ex, spectra, 4, &signal, &signal);
    CALL(18, time_stretch, ex, &as_it_is, &spectrum, &stretched);
    CALL(19, phase_step, ex, 0.5, 4, memory, spectra, NULL, y);
    CALL(20, conv2d_pack, ex, &two, CONV2D_DATA, memory, NULL, packed);
    CALL(21, conv2d, ex, &two, packed, &x, &to);
    CALL(22, conv2d_data, ex, &two, packed, &x, &to);
    CALL(23, conv2d_weight, ex, &two, &x, &to, spectra);
}

static void call_training(struct exec *ex, const char *names[8], int codes[8], char said[8][80])
{
    static float memory[256], y[8];
    static struct step_state state;
    const struct maps x = maps_of(memory, 1, 2, 4, 2, true), to = maps_of(memory + 128, 1, 2, 4, 2, false);
    const struct activate_params plain = {.kind = ACTIVATE_SILU};
    const struct latent_params point = {1, 2, 0, false};
    const struct reconstruction_params squares = {0};
    const struct adamw_blocks blocks = {memory, memory, memory, memory, memory, 8, NULL, 0};
    CALL(0, column_sums, ex, &x, y);
    CALL(1, activate, ex, &plain, NULL, NULL, &x, &to);
    CALL(2, activate_gradient, ex, &plain, NULL, NULL, &x, &to, &to, NULL, NULL);
    CALL(3, latent, ex, &point, &state, memory, memory + 8, y);
    CALL(4, latent_gradient, ex, &point, &state, memory, y, memory + 8, memory + 16);
    CALL(5, reconstruction, ex, &squares, &state, &x, &to, NULL);
    CALL(6, gradient_norm, ex, &state, memory, 8);
    CALL(7, adamw, ex, &state, &blocks);
}

/* On a backend whose table has none of them. */
TEST(rows_that_are_missing_say_so)
{
    static const struct ops none = {0};
    const struct exec_options o = {
        .backend = BACKEND_EMULATED, .threads = 1, .module = emulated(), .device_arena_bytes = 1 << 20, .ops = &none};
    struct exec *ex = NULL;
    CHECK_OK(exec_create(&o, &ex));
    REQUIRE(ex);
    const char *names[32];
    char said[32][80], want[80];
    int codes[32];
    call_networks(ex, names, codes, said);
    call_training(ex, names + 24, codes + 24, said + 24);
    for (int i = 0; i < 32; i++) {
        snprintf(want, sizeof want, "%s: not on emulated", names[i]);
        CHECK(codes[i] == STATUS_UNSUPPORTED && strcmp(said[i], want) == 0);
    }
    CHECK(conv_pack_bytes(ex, &(struct conv_params){0}) == 0 && conv2d_work_bytes(ex, NULL, NULL) == 0);
    CHECK(conv2d_pack_bytes(ex, NULL, CONV2D_DATA) == 0 && exec_ops(ex)->attention_work_bytes == NULL);
    CHECK(emulated()->ops->spectral_outputs == SPECTRAL_ALL);
    exec_destroy(&ex);
}

TEST(misaligned_batches_are_refused)
{
    struct exec *ex = exec_on(0, NULL);
    struct batch b = batch_open(ex, 640);
    batch_settle(&b);
    b.in.data = (char *)b.x + 2;
    CHECK_CODE(rms(ex, &frames, &b.in, &b.out), STATUS_ARGUMENT);
    CHECK(strstr(status_message(), "not aligned"));
    b.in.dtype = DTYPE_I16; /* for which it is */
    CHECK_OK(rms(ex, &frames, &b.in, &b.out));
    b.in.data = (char *)b.x + 1;
    b.in.dtype = DTYPE_I24;
    CHECK_OK(rms(ex, &frames, &b.in, &b.out));
    b.in = (struct ragged){
        .data = b.x, .channels = 1, .offset = b.offset_x, .offset_device = b.memory, .rows = 1, .total = b.offset_x[1]};
    b.out.data = (char *)b.y + 1;
    CHECK_CODE(rms(ex, &frames, &b.in, &b.out), STATUS_ARGUMENT);
    CHECK_OK(exec_device_api(ex)->stream_wait(exec_stream(ex)));
    batch_close(&b);
    exec_destroy(&ex);
}

enum { FAR_WINDOW = 2048, FAR_FRAMES = 4, FAR_MELS = 20 };

/* Two rows of 16-bit samples, the first longer than 2^31; and its four frames as four rows. y: what four outputs give.
 */
static void measure_frames(struct exec *ex, const struct ragged *x, int64_t n_fft, float y[4][FAR_FRAMES * FAR_MELS])
{
    const struct device_api *const api = exec_device_api(ex);
    struct spectral_params p = spectral_defaults(44100);
    p.stft.frame = (struct frame_params){n_fft, INT64_C(1) << 30, false};
    p.mel.mels = FAR_MELS;
    int64_t offset[FAR_FRAMES + 1] = {0};
    void *device_offset = NULL, *device_y[4] = {0};
    const int32_t channels[4] = {1, 1, FAR_MELS, 1};
    struct ragged out[4];
    for (int64_t b = 0; b < x->rows; b++)
        offset[b + 1] = offset[b] + frame_count(&p.stft.frame, piece_of(NULL, b), ragged_length(x, b));
    REQUIRE(offset[x->rows] == FAR_FRAMES);
    CHECK_OK(api->allocate(exec_device(ex), sizeof offset, &device_offset));
    CHECK_OK(api->copy_in(exec_stream(ex), device_offset, offset, sizeof offset));
    for (int i = 0; i < 4; i++) {
        CHECK_OK(api->allocate(exec_device(ex), FAR_FRAMES * (size_t)channels[i] * sizeof(float), &device_y[i]));
        out[i] = (struct ragged){.data = device_y[i],
                                 .channels = channels[i],
                                 .offset = offset,
                                 .offset_device = device_offset,
                                 .rows = x->rows,
                                 .total = FAR_FRAMES};
    }
    struct ragged *const spectra[SPECTRAL_OUTPUTS] = {[SPECTRAL_MEL] = &out[2], [SPECTRAL_CENTROID] = &out[3]};
    CHECK_OK(rms(ex, &p.stft.frame, x, &out[0]));
    CHECK_OK(zero_crossing(ex, &p.stft.frame, x, &out[1]));
    CHECK_OK(spectral(ex, &p, x, spectra));
    for (int i = 0; i < 4; i++) {
        CHECK_OK(api->copy_out(exec_stream(ex), y[i], device_y[i], FAR_FRAMES * (size_t)channels[i] * sizeof(float)));
    }
    CHECK_OK(api->stream_wait(exec_stream(ex)));
    for (int i = 0; i < 4; i++)
        api->release(exec_device(ex), device_y[i]);
    api->release(exec_device(ex), device_offset);
}

TEST(samples_beyond_2_to_the_31)
{
    const int64_t hop = INT64_C(1) << 30, first = 2 * hop + 5000, total = first + FAR_WINDOW;
    const int64_t at[FAR_FRAMES] = {0, hop, 2 * hop, first};
    const int64_t far_offset[3] = {0, first, total};
    int64_t near_offset[FAR_FRAMES + 1];
    static int16_t near[FAR_FRAMES * FAR_WINDOW];
    /* Untouched pages cost nothing; the emulator takes any memory for the device's. */
    int16_t *const far = mmap(NULL, (size_t)total * sizeof *far, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(far != MAP_FAILED);
    for (int f = 0; f < FAR_FRAMES; f++) {
        near_offset[f] = f * FAR_WINDOW;
        for (int i = 0; i < FAR_WINDOW; i++)
            near[f * FAR_WINDOW + i] = far[at[f] + i] = (int16_t)(3000 * sin(0.01 * (f + 2) * i) + 7 * f);
    }
    near_offset[FAR_FRAMES] = FAR_FRAMES * FAR_WINDOW;
    struct exec *ex = NULL;
    CHECK_OK(exec_create(&(struct exec_options){.backend = BACKEND_EMULATED, .threads = 1, .module = emulated()}, &ex));
    REQUIRE(ex);
    const struct ragged long_rows = {.data = far,
                                     .dtype = DTYPE_I16,
                                     .channels = 1,
                                     .offset = far_offset,
                                     .offset_device = far_offset,
                                     .rows = 2,
                                     .total = total};
    const struct ragged short_rows = {.data = near,
                                      .dtype = DTYPE_I16,
                                      .channels = 1,
                                      .offset = near_offset,
                                      .offset_device = near_offset,
                                      .rows = FAR_FRAMES,
                                      .total = near_offset[FAR_FRAMES]};
    static const int64_t sizes[] = {FAR_WINDOW, 1000}; /* our transform, cuFFT's */
    for (size_t s = 0; s < 2; s++) {
        static float long_y[4][FAR_FRAMES * FAR_MELS], short_y[4][FAR_FRAMES * FAR_MELS];
        measure_frames(ex, &long_rows, sizes[s], long_y);
        measure_frames(ex, &short_rows, sizes[s], short_y);
        for (int i = 0; i < 4; i++) {
            CHECK(long_y[i][0] > 0 &&
                  compare_bits(long_y[i], short_y[i], FAR_FRAMES * (i == 2 ? FAR_MELS : 1) * sizeof(float)));
        }
    }
    exec_destroy(&ex);
    munmap(far, (size_t)total * sizeof *far);
}
