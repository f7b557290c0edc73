/* device_check [--backend cuda|emulated] [--samples N] [--own-sizes] - every operation that devices have, on a ragged
 * batch with pieces and an empty row: twice on one exec, with other work in between and into memory that held something
 * else, and once on another exec. All bits must be equal, and the results must be numbers that differ.
 *
 * It never forks, so compute-sanitizer sees all of it. --own-sizes leaves out the sizes that go through cuFFT, whose
 * last batch holds frames that nobody asked for and nobody has written: initcheck would report what is harmless.
 *
 * One line of JSON per case. Exit status: 0, 1 a case fails, 2 usage, 4 no device, 5 anything else. */
#include "batch.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6, PASSES = 3 };

#define STFT(n, hop, padding) .stft = {.frame = {(n), (hop), true}, .pad = (padding)}
#define BANDS(count) .rate_hz = 44100, .mel = {.mels = (count), .slaney_norm = true, .log = true, .power = 2}

static const struct gpu_case cases[] = {
    {"stft 2048/512", GPU_STFT, {STFT(2048, 512, PAD_ZERO)}, DTYPE_F32},
    {"log-mel 2048/512/128", GPU_MEL, {STFT(2048, 512, PAD_ZERO), BANDS(128)}, DTYPE_F32},
    {"log-mel 2048/512/128 of int16", GPU_MEL, {STFT(2048, 512, PAD_REFLECT), BANDS(128)}, DTYPE_I16},
    {"log-mel 1024/256/40", GPU_MEL, {STFT(1024, 256, PAD_REFLECT), BANDS(40)}, DTYPE_F32},
    {"stft 64/16", GPU_STFT, {STFT(64, 16, PAD_REFLECT)}, DTYPE_F32},
    {"stft 8192/2000", GPU_STFT, {STFT(8192, 2000, PAD_ZERO)}, DTYPE_F32},
    {"rms 2048/512", GPU_RMS, {STFT(2048, 512, PAD_ZERO)}, DTYPE_F32},
    {"peak 2048/512", GPU_PEAK, {STFT(2048, 512, PAD_ZERO)}, DTYPE_F32},
    {"log-mel 400/160/40", GPU_MEL, {STFT(400, 160, PAD_ZERO), BANDS(40)}, DTYPE_F32},
    {"stft 1153/300", GPU_STFT, {STFT(1153, 300, PAD_REFLECT)}, DTYPE_F32},
};

static bool is_own_size(const struct gpu_case *c)
{
    const int64_t n = c->p.stft.frame.window_samples;
    return c->op >= GPU_RMS || (n & (n - 1)) == 0;
}

/* One result on the host; old: what its memory on the device held before. */
static int once(struct exec *ex, const struct gpu_case *c, const struct ragged *host, const void *old, void *out)
{
    struct ragged x, y;
    int64_t offset[ROWS + 1];
    struct ragged shape = gpu_result(c, host, offset);
    shape.data = (void *)(uintptr_t)old;
    int code = batch_to_device(ex, host, &x);
    if (code)
        return code;
    code = batch_to_device(ex, &shape, &y);
    if (!code) {
        code = gpu_run(ex, c, &x, &y);
        const int read = batch_read(ex, &y, 0, batch_bytes(&y), out);
        code = code ? code : read;
        batch_release(ex, &y);
    }
    batch_release(ex, &x);
    return code;
}

/* Whether they are numbers, more than one. */
static bool plausible(const float *y, size_t floats)
{
    bool differ = false;
    for (size_t i = 0; i < floats; i++) {
        if (!isfinite(y[i]))
            return false;
        differ |= y[i] != y[0];
    }
    return differ;
}

static int check_case(struct exec *const ex[2], const struct gpu_case *c, int64_t samples, bool *failed)
{
    const int64_t part = samples / 5,
                  offset[ROWS + 1] = {0, part, part, 2 * part + 77, 3 * part, 4 * part + 1, samples};
    const struct piece piece[ROWS] = {{0, true, true},         {0, true, true}, {0, true, false},
                                      {1000003, false, false}, {0, true, true}, {99991, false, true}};
    struct ragged x = {.dtype = c->dtype, .channels = 1, .offset = offset, .piece = piece, .rows = ROWS};
    int64_t frames[ROWS + 1];
    x.total = samples;
    const struct ragged shape = gpu_result(c, &x, frames);
    const size_t bytes = batch_bytes(&shape);
    char *const y = malloc(PASSES * bytes + 1);
    int code = STATUS_OK;
    x.data = malloc((size_t)samples * sizeof(float));
    if (!y || !x.data)
        code = fail(STATUS_NOMEM, "out of memory");
    if (!code) {
        gpu_noise(7, c->dtype, samples, x.data);
        code = once(ex[0], c, &x, NULL, y);
        code = code ? code : once(ex[0], c, &x, y, y + bytes);
        gpu_noise(8, c->dtype, samples, x.data); /* other work, and what the third pass finds in its memory */
        code = code ? code : once(ex[1], c, &x, NULL, y + 2 * bytes);
        gpu_noise(7, c->dtype, samples, x.data);
        code = code ? code : once(ex[1], c, &x, y + 2 * bytes, y + 2 * bytes);
    }
    if (!code) {
        const bool equal = memcmp(y, y + bytes, bytes) == 0 && memcmp(y, y + 2 * bytes, bytes) == 0;
        const bool numbers = plausible((const float *)(const void *)y, bytes / sizeof(float));
        printf("{\"case\":\"%s\",\"frames\":%lld,\"bytes\":%zu,\"equal\":%s,\"numbers\":%s}\n", c->name,
               (long long)shape.total, bytes, equal ? "true" : "false", numbers ? "true" : "false");
        fflush(stdout);
        *failed |= !equal || !numbers;
    }
    free(x.data);
    free(y);
    return code;
}

static int run(const char *backend, int64_t samples, bool own_sizes, bool *failed)
{
    struct exec *ex[2] = {NULL, NULL};
    int code = batch_open(backend, &ex[0]);
    code = code ? code : batch_open(backend, &ex[1]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases && !code; i++)
        if (!own_sizes || is_own_size(&cases[i]))
            code = check_case(ex, &cases[i], samples, failed);
    exec_destroy(&ex[1]);
    exec_destroy(&ex[0]);
    return code;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"backend", required_argument, NULL, 'b'},
                                            {"samples", required_argument, NULL, 's'},
                                            {"own-sizes", no_argument, NULL, 'o'},
                                            {0}};
    const char *backend = "cuda";
    int64_t samples = 5000000;
    bool own_sizes = false, failed = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'b')
            backend = optarg;
        else if (o == 's')
            samples = strtoll(optarg, NULL, 10);
        else if (o == 'o')
            own_sizes = true;
        else
            return 2;
    }
    if (samples < 50000 || samples > 100000000) { /* first rows must hold half a window of 8192 */
        fprintf(stderr, "device_check: --samples of 50000 to 100000000\n");
        return 2;
    }
    const int code = run(backend, samples, own_sizes, &failed);
    if (code)
        fprintf(stderr, "device_check: %s\n", status_message());
    return code == STATUS_UNSUPPORTED ? 4 : code ? 5 : failed ? 1 : 0;
}
