/* kernel_dump - runs one operation over raw f32 from standard input, writes its raw result to standard output.
 *
 *     kernel_dump OP n_fft hop centred win_length window pad mels rate fmin fmax htk norm log power < mono > frames
 *     kernel_dump mixdown CHANNELS < interleaved > mono
 *     kernel_dump time OP n_fft hop ... as above, SECONDS of noise at the given rate; prints seconds taken
 *
 * For the parity test, which asks librosa for the same. */
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ARGUMENTS = 14 };

struct job {
    char op[32];
    struct mel_params p;
};

static int job_parse(char **argv, struct job *j)
{
    double v[ARGUMENTS] = {0};
    for (int i = 0; i < ARGUMENTS; i++)
        v[i] = strtod(argv[1 + i], NULL);
    snprintf(j->op, sizeof j->op, "%s", argv[0]);
    j->p = (struct mel_params){
        .stft = {{(int64_t)v[0], (int64_t)v[1], v[2] != 0}, (int64_t)v[3], (enum window_kind)v[4], (enum pad_mode)v[5]},
        .mels = (int32_t)v[6],
        .rate_hz = v[7],
        .fmin_hz = v[8],
        .fmax_hz = v[9],
        .htk = v[10] != 0,
        .slaney_norm = v[11] != 0,
        .log = v[12] != 0,
        .power = v[13]};
    return STATUS_OK;
}

static float *read_all(int64_t *count)
{
    size_t used = 0, room = 1 << 20;
    float *x = malloc(room * sizeof *x);
    for (size_t got; x && (got = fread(x + used, sizeof *x, room - used, stdin)) > 0;) {
        used += got;
        if (used == room)
            x = realloc(x, (room *= 2) * sizeof *x);
    }
    *count = (int64_t)used;
    return x;
}

static int run(struct exec *ex, const struct job *j, const struct ragged *x, struct ragged *y)
{
    const struct centroid_params c = {j->p.stft, j->p.rate_hz};
    if (strcmp(j->op, "stft") == 0)
        return stft(ex, &j->p.stft, x, y);
    if (strcmp(j->op, "mel") == 0)
        return mel(ex, &j->p, x, y);
    if (strcmp(j->op, "centroid") == 0)
        return centroid(ex, &c, x, y);
    if (strcmp(j->op, "rms") == 0)
        return rms(ex, &j->p.stft.frame, x, y);
    if (strcmp(j->op, "peak") == 0)
        return peak(ex, &j->p.stft.frame, x, y);
    return zero_crossing(ex, &j->p.stft.frame, x, y);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): goes into the ragged batch, whose data are not const */
static int framed(struct exec *ex, const struct job *j, float *in, int64_t samples, bool write)
{
    const bool is_stft = strcmp(j->op, "stft") == 0;
    const int64_t xo[2] = {0, samples};
    const int64_t yo[2] = {0, frame_count(&j->p.stft.frame, (struct piece){0, true, true}, samples)};
    const struct ragged x = {.data = in, .channels = 1, .offset = xo, .rows = 1, .total = samples};
    struct ragged y = {.dtype = is_stft ? DTYPE_C64 : DTYPE_F32, .offset = yo, .rows = 1, .total = yo[1]};
    y.channels = (int32_t)(is_stft ? stft_bins(&j->p.stft) : strcmp(j->op, "mel") == 0 ? j->p.mels : 1);
    const size_t floats = (size_t)(yo[1] * y.channels * (is_stft ? 2 : 1));
    y.data = malloc((floats + 1) * sizeof(float));
    int code = y.data ? run(ex, j, &x, &y) : STATUS_NOMEM;
    if (!code && write && fwrite(y.data, sizeof(float), floats, stdout) != floats)
        code = STATUS_IO;
    free(y.data);
    return code;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): goes into the ragged batch, whose data are not const */
static int mixed(struct exec *ex, float *in, int64_t count, int32_t channels)
{
    const int64_t offset[2] = {0, count / channels};
    const struct ragged x = {.data = in, .channels = channels, .offset = offset, .rows = 1, .total = offset[1]};
    struct ragged y = {.channels = 1, .offset = offset, .rows = 1, .total = offset[1]};
    y.data = malloc((size_t)(offset[1] + 1) * sizeof(float));
    int code = y.data ? mixdown(ex, &x, &y) : STATUS_NOMEM;
    if (!code && fwrite(y.data, sizeof(float), (size_t)offset[1], stdout) != (size_t)offset[1])
        code = STATUS_IO;
    free(y.data);
    return code;
}

static int timed(struct exec *ex, const struct job *j, double seconds)
{
    const int64_t samples = (int64_t)(seconds * j->p.rate_hz);
    float *const in = malloc((size_t)(samples + 1) * sizeof *in);
    uint32_t state = 1;
    for (int64_t i = 0; in && i < samples; i++)
        in[i] = (float)((state = state * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    const int code = in ? framed(ex, j, in, samples, false) : STATUS_NOMEM;
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.3f\n", (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9);
    free(in);
    return code;
}

int main(int argc, char **argv)
{
    const struct exec_options options = {.threads = 1, .ops = &ops_cpu};
    struct exec *ex = NULL;
    struct job j;
    int64_t count = 0;
    int code = exec_create(&options, &ex);
    if (!code && argc == 3 + ARGUMENTS + 1 && strcmp(argv[1], "time") == 0) {
        job_parse(argv + 2, &j);
        code = timed(ex, &j, strtod(argv[3 + ARGUMENTS], NULL));
    } else if (!code && (argc == 2 + ARGUMENTS || (argc == 3 && strcmp(argv[1], "mixdown") == 0))) {
        float *const in = read_all(&count);
        if (argc == 3)
            code = mixed(ex, in, count, (int32_t)strtol(argv[2], NULL, 10));
        else if (!job_parse(argv + 1, &j))
            code = framed(ex, &j, in, count, true);
        free(in);
    } else if (!code) {
        fprintf(stderr, "usage: see the head of kernel_dump.c\n");
        code = STATUS_ARGUMENT;
    }
    if (code)
        fprintf(stderr, "kernel_dump: %s\n", status_message());
    exec_destroy(&ex);
    return code ? 1 : 0;
}
