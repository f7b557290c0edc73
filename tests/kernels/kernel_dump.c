/* kernel_dump - runs operations over raw f32 from standard input, writes their raw results to standard output.
 *
 *     kernel_dump            each request is a line, then so many floats:
 *         COUNT OP n_fft hop centred win_length window pad mels rate fmin fmax htk norm log power
 *         COUNT mixdown CHANNELS
 *         COUNT resample RATE_IN RATE_OUT
 *                            and is answered by a number of floats, as a u64, and the floats: frames, or a signal
 *     kernel_dump time OP n_fft hop ... as above, SECONDS of noise at the given rate; prints seconds taken
 *
 * OP is an output of spectral.h (stft, spectrogram, mel, ..), rms, peak or zero_crossing; what is not an argument is
 * librosa's default. WAVEMILL_TEST_ISA names the instruction set (the widest without it).
 *
 * For the parity test, which asks librosa for the same. */
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ARGUMENTS = 14, OPS = SPECTRAL_OUTPUTS + 3 };

static const char *const names[OPS] = {"stft",    "spectrogram", "mel",          "centroid", "bandwidth",
                                       "rolloff", "flatness",    "contrast",     "flux",     "poly",
                                       "rms",     "peak",        "zero_crossing"};

struct job {
    int op; /* enum spectral_output, or behind them: rms, peak, zero crossings */
    struct spectral_params p;
};

static int job_parse(char **argv, struct job *j)
{
    double v[ARGUMENTS] = {0};
    for (int i = 0; i < ARGUMENTS; i++)
        v[i] = strtod(argv[1 + i], NULL);
    j->p = spectral_defaults(v[7]);
    j->p.stft = (struct stft_params){
        {(int64_t)v[0], (int64_t)v[1], v[2] != 0}, (int64_t)v[3], (enum window_kind)v[4], (enum pad_mode)v[5]};
    j->p.mel = (struct mel_bands){.mels = (int32_t)v[6],
                                  .fmin_hz = v[8],
                                  .fmax_hz = v[9],
                                  .htk = v[10] != 0,
                                  .slaney_norm = v[11] != 0,
                                  .log = v[12] != 0,
                                  .power = v[13]};
    for (j->op = 0; j->op < OPS && strcmp(names[j->op], argv[0]) != 0;)
        j->op++;
    return j->op < OPS ? STATUS_OK : fail(STATUS_ARGUMENT, "no operation '%s'", argv[0]);
}

static int write_floats(const float *y, size_t count)
{
    const uint64_t n = count;
    const bool whole = fwrite(&n, sizeof n, 1, stdout) == 1 && fwrite(y, sizeof *y, count, stdout) == count;
    return whole && fflush(stdout) == 0 ? STATUS_OK : fail(STATUS_IO, "cannot write");
}

static int run(struct exec *ex, const struct job *j, const struct ragged *x, struct ragged *y)
{
    struct ragged *out[SPECTRAL_OUTPUTS] = {0};
    switch (j->op - SPECTRAL_OUTPUTS) {
    case 0:
        return rms(ex, &j->p.stft.frame, x, y);
    case 1:
        return peak(ex, &j->p.stft.frame, x, y);
    case 2:
        return zero_crossing(ex, &j->p.stft.frame, x, y);
    default:
        out[j->op] = y;
        return spectral(ex, &j->p, x, out);
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): goes into the ragged batch, whose data are not const */
static int framed(struct exec *ex, const struct job *j, float *in, int64_t samples, bool write)
{
    const bool is_stft = j->op == SPECTRAL_STFT;
    const int64_t xo[2] = {0, samples};
    const int64_t yo[2] = {0, frame_count(&j->p.stft.frame, (struct piece){0, true, true}, samples)};
    const struct ragged x = {.data = in, .channels = 1, .offset = xo, .rows = 1, .total = samples};
    struct ragged y = {.dtype = is_stft ? DTYPE_C64 : DTYPE_F32, .offset = yo, .rows = 1, .total = yo[1]};
    y.channels = j->op < SPECTRAL_OUTPUTS ? (int32_t)spectral_channels(&j->p, (enum spectral_output)j->op) : 1;
    const size_t floats = (size_t)(yo[1] * y.channels * (is_stft ? 2 : 1));
    y.data = malloc((floats + 1) * sizeof(float));
    int code = y.data ? run(ex, j, &x, &y) : STATUS_NOMEM;
    if (!code && write)
        code = write_floats(y.data, floats);
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
    if (!code)
        code = write_floats(y.data, (size_t)offset[1]);
    free(y.data);
    return code;
}

static int resampled(struct exec *ex, float *in, int64_t samples, const struct resample_params *p)
{
    const int64_t from[2] = {0, samples};
    const struct ragged x = {.data = in, .channels = 1, .offset = from, .rows = 1, .total = samples};
    const int64_t to[2] = {0, resample_count(p, (struct piece){0, true, true}, samples)};
    struct ragged y = {.channels = 1, .offset = to, .rows = 1, .total = to[1]};
    y.data = malloc((size_t)(to[1] + 1) * sizeof(float));
    int code = y.data ? resample(ex, p, &x, &y) : STATUS_NOMEM;
    if (!code)
        code = write_floats(y.data, (size_t)to[1]);
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

/* One request: its words, and the floats that follow. */
static int answer(struct exec *ex, char **words, int count)
{
    struct job j;
    const size_t samples = strtoull(words[0], NULL, 10);
    float *const in = malloc((samples + 1) * sizeof *in);
    int code = in ? STATUS_OK : fail(STATUS_NOMEM, "%zu samples", samples);
    if (!code && fread(in, sizeof *in, samples, stdin) != samples)
        code = fail(STATUS_IO, "the input ends before its %zu samples", samples);
    if (!code && count == 3 && strcmp(words[1], "mixdown") == 0)
        code = mixed(ex, in, (int64_t)samples, (int32_t)strtol(words[2], NULL, 10));
    else if (!code && count == 4 && strcmp(words[1], "resample") == 0)
        code = resampled(ex, in, (int64_t)samples,
                         &(struct resample_params){strtoll(words[2], NULL, 10), strtoll(words[3], NULL, 10)});
    else if (!code && count == 2 + ARGUMENTS)
        code = (code = job_parse(words + 1, &j)) ? code : framed(ex, &j, in, (int64_t)samples, true);
    else if (!code)
        code = fail(STATUS_ARGUMENT, "a request of %d words", count);
    free(in);
    return code;
}

static int serve(struct exec *ex)
{
    char line[512], *words[2 + ARGUMENTS + 1], *rest;
    int code = STATUS_OK;
    while (!code && fgets(line, sizeof line, stdin)) {
        int count = 0;
        for (char *w = strtok_r(line, " \n", &rest); w && count <= 2 + ARGUMENTS; w = strtok_r(NULL, " \n", &rest))
            words[count++] = w;
        code = count ? answer(ex, words, count) : fail(STATUS_ARGUMENT, "an empty line");
    }
    return code;
}

int main(int argc, char **argv)
{
    const char *const isa_wanted = getenv("WAVEMILL_TEST_ISA");
    enum exec_isa isa = isa_best();
    struct exec *ex = NULL;
    struct job j;
    int code = isa_wanted ? isa_parse(isa_wanted, &isa) : STATUS_OK;
    if (!code)
        code = exec_create(&(struct exec_options){.threads = 1, .isa = isa, .ops = ops_cpu(isa)}, &ex);
    if (!code && argc == 3 + ARGUMENTS + 1 && strcmp(argv[1], "time") == 0) {
        code = job_parse(argv + 2, &j);
        code = code ? code : timed(ex, &j, strtod(argv[3 + ARGUMENTS], NULL));
    } else if (!code) {
        code = argc == 1 ? serve(ex) : fail(STATUS_ARGUMENT, "usage: see the head of kernel_dump.c");
    }
    if (code)
        fprintf(stderr, "kernel_dump: %s\n", status_message());
    exec_destroy(&ex);
    return code ? 1 : 0;
}
