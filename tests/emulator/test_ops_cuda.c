/* ops_cuda.cu on the emulator: what operations refuse there, and what they are asked far behind the first sample. */
#include "compare.h"
#include "device_row.h"
#include "test.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

/* And nothing is written. */
TEST(tensor_cores_that_are_missing_are_said)
{
    struct exec *ex = emulated_exec(0, NULL);
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
    emulated_settings()->capability = 75;
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
    emulated_settings()->capability = 80;
    CHECK_OK(conv(ex, &p, packed, &x, NULL, NULL, &to));
    CHECK_OK(api->copy_out(exec_stream(ex), y, to.data, positions));
    CHECK_OK(api->stream_wait(exec_stream(ex)));
    CHECK(y[0] == 0 && y[15] == 0);
    api->release(exec_device(ex), memory);
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
    const struct exec_options o = {.backend = BACKEND_EMULATED,
                                   .threads = 1,
                                   .module = emulated_module(),
                                   .device_arena_bytes = 1 << 20,
                                   .ops = &none};
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
    CHECK(emulated_module()->ops->spectral_outputs == SPECTRAL_ALL);
    exec_destroy(&ex);
}

TEST(misaligned_batches_are_refused)
{
    struct exec *ex = emulated_exec(0, NULL);
    struct device_row b = device_row_open(ex, 640);
    device_row_settle(&b);
    b.in.data = (char *)b.x + 2;
    CHECK_CODE(rms(ex, &device_row_frames, &b.in, &b.out), STATUS_ARGUMENT);
    CHECK(strstr(status_message(), "not aligned"));
    b.in.dtype = DTYPE_I16; /* for which it is */
    CHECK_OK(rms(ex, &device_row_frames, &b.in, &b.out));
    b.in.data = (char *)b.x + 1;
    b.in.dtype = DTYPE_I24;
    CHECK_OK(rms(ex, &device_row_frames, &b.in, &b.out));
    b.in = (struct ragged){
        .data = b.x, .channels = 1, .offset = b.offset_x, .offset_device = b.memory, .rows = 1, .total = b.offset_x[1]};
    b.out.data = (char *)b.y + 1;
    CHECK_CODE(rms(ex, &device_row_frames, &b.in, &b.out), STATUS_ARGUMENT);
    CHECK_OK(exec_device_api(ex)->stream_wait(exec_stream(ex)));
    device_row_close(&b);
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
    CHECK_OK(exec_create(&(struct exec_options){.backend = BACKEND_EMULATED, .threads = 1, .module = emulated_module()},
                         &ex));
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
