/* audio_back_dump - audio from mel bands, over raw float32: standard input to standard output.
 *
 *     audio_back_dump mel RATE N_FFT MELS POWER LOG STEPS FRAMES       bands [T][M] into magnitudes [T][F]
 *     audio_back_dump phase N_FFT HOP ITERATIONS MOMENTUM SEED FRAMES SAMPLES   magnitudes [T][F] into samples
 *     audio_back_dump stretch RATE CHANNELS SAMPLES, and pitch SEMITONES CHANNELS SAMPLES   samples into samples
 *
 * Standard error says how many seconds it took. For the tests beside librosa; WAVEMILL_TEST_ISA names the instruction
 * set (the widest without it). */
#include "griffin_lim.h"
#include "mel_inverse.h"
#include "ops.h"
#include "stretch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct task {
    double v[8];
    int64_t in, out; /* floats */
    int (*run)(struct exec *ex, const struct task *t, const float *x, float *y);
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run_mel(struct exec *ex, const struct task *t, const float *x, float *y)
{
    struct spectral_params p = spectral_defaults(t->v[0]);
    p.stft.frame.window_samples = (int64_t)t->v[1];
    p.mel.mels = (int32_t)t->v[2], p.mel.power = t->v[3], p.mel.log = t->v[4] != 0;
    return mel_inverse(ex, &p, (int)t->v[5], x, (int64_t)t->v[6], y);
}

static int run_phase(struct exec *ex, const struct task *t, const float *x, float *y)
{
    struct griffin_lim_params p = griffin_lim_defaults((uint64_t)t->v[4]);
    p.stft.frame = (struct frame_params){(int64_t)t->v[0], (int64_t)t->v[1], true};
    p.iterations = (int)t->v[2], p.momentum = t->v[3];
    return griffin_lim(ex, &p, x, (int64_t)t->v[5], (int64_t)t->v[6], y);
}

static int run_stretch(struct exec *ex, const struct task *t, const float *x, float *y)
{
    return stretch_signal(ex, t->v[0], (int)t->v[1], (int64_t)t->v[2], x, y);
}

static int run_pitch(struct exec *ex, const struct task *t, const float *x, float *y)
{
    return stretch_pitch(ex, t->v[0], (int)t->v[1], (int64_t)t->v[2], x, y);
}

static int parse(int argc, char **argv, struct task *t)
{
    for (int i = 2; i < argc && i < 10; i++)
        t->v[i - 2] = strtod(argv[i], NULL);
    const double *const v = t->v;
    if (argc == 9 && strcmp(argv[1], "mel") == 0) {
        *t = (struct task){.in = (int64_t)(v[2] * v[6]), .out = (int64_t)((v[1] / 2 + 1) * v[6]), .run = run_mel};
    } else if (argc == 9 && strcmp(argv[1], "phase") == 0) {
        *t = (struct task){.in = (int64_t)((v[0] / 2 + 1) * v[5]), .out = (int64_t)v[6], .run = run_phase};
    } else if (argc == 5 && strcmp(argv[1], "stretch") == 0) {
        const int64_t n = (int64_t)v[2], m = stretch_samples(v[0], n);
        *t = (struct task){.in = n * (int64_t)v[1], .out = m * (int64_t)v[1], .run = run_stretch};
    } else if (argc == 5 && strcmp(argv[1], "pitch") == 0) {
        *t = (struct task){.in = (int64_t)(v[1] * v[2]), .out = (int64_t)(v[1] * v[2]), .run = run_pitch};
    } else {
        return fail(STATUS_ARGUMENT, "usage: see the head of audio_back_dump.c");
    }
    for (int i = 2; i < argc; i++)
        t->v[i - 2] = strtod(argv[i], NULL);
    return STATUS_OK;
}

static int run(struct exec *ex, const struct task *t)
{
    float *const x = malloc((size_t)(t->in + 1) * sizeof *x), *const y = malloc((size_t)(t->out + 1) * sizeof *y);
    int code = x && y ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    if (!code && fread(x, sizeof *x, (size_t)t->in, stdin) != (size_t)t->in)
        code = fail(STATUS_IO, "the input ends before its %lld floats", (long long)t->in);
    const double began = now_s();
    code = code ? code : t->run(ex, t, x, y);
    if (!code)
        fprintf(stderr, "%.6f\n", now_s() - began);
    if (!code && (fwrite(y, sizeof *y, (size_t)t->out, stdout) != (size_t)t->out || fflush(stdout) != 0))
        code = fail(STATUS_IO, "cannot write");
    free(x), free(y);
    return code;
}

int main(int argc, char **argv)
{
    const char *const wanted = getenv("WAVEMILL_TEST_ISA");
    enum exec_isa isa = isa_best();
    struct exec *ex = NULL;
    struct task t = {.in = 0};
    int code = wanted ? isa_parse(wanted, &isa) : STATUS_OK;
    code = code ? code : parse(argc, argv, &t);
    code = code ? code : exec_create(&(struct exec_options){.threads = 1, .isa = isa, .ops = ops_cpu(isa)}, &ex);
    code = code ? code : run(ex, &t);
    if (code)
        fprintf(stderr, "audio_back_dump: %s\n", status_message());
    exec_destroy(&ex);
    return code ? 1 : 0;
}
