/* training_dump - runs operations of training over raw f32 from standard input, writes their raw f32 results to
 * standard output, one behind the other.
 *
 *     training_dump activate ITEMS HEIGHT WIDTH CHANNELS GROUPS KIND SLOPE DROPOUT SEED STREAM STEP
 *         gain, shift, x, dy            -> y, dx, dgain, dshift (these two without groups as gain and shift came)
 *     training_dump latent ITEMS DIMS NOISE BETA FLOOR SEED STREAM STEP
 *         h, dz                         -> z, kl, dh, the divergence
 *     training_dump reconstruction ITEMS HEIGHT WIDTH CHANNELS WEIGHT_L1
 *         y, x                          -> dy, the loss
 *     training_dump adamw COUNT STEPS RATE DECAY BETA1 BETA2 EPSILON CLIP EMA_DECAY
 *         parameters, gradients of each step -> parameters, their average. The first half decays
 *
 * WAVEMILL_TEST_ISA names the instruction set (the widest without it). For the test that asks PyTorch for the same. */
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS = 11 };
typedef int run_function(struct exec *ex, const double *a);

static float *floats_read(int64_t n)
{
    float *const x = calloc((size_t)n + 1, sizeof *x);
    if (!x || fread(x, sizeof *x, (size_t)n, stdin) != (size_t)n) {
        fprintf(stderr, "training_dump: no %lld floats\n", (long long)n);
        exit(1);
    }
    return x;
}

static void floats_write(float *x, int64_t n)
{
    if (n > 0 && fwrite(x, sizeof *x, (size_t)n, stdout) != (size_t)n) {
        fprintf(stderr, "training_dump: cannot write\n");
        exit(1);
    }
    free(x);
}

static int run_activate(struct exec *ex, const double *a)
{
    const int64_t items = (int64_t)a[0], height = (int64_t)a[1], width = (int64_t)a[2], channels = (int64_t)a[3];
    const struct activate_params p = {(int64_t)a[4], (enum activate_kind)a[5], (float)a[6], 1e-5F, (float)a[7],
                                      (uint32_t)a[9]};
    const struct step_state state = {.seed = (uint64_t)a[8], .step = (uint64_t)a[10]};
    const int64_t n = items * height * width * channels;
    float *const gain = floats_read(channels), *const shift = floats_read(channels), *const x = floats_read(n);
    float *const dy = floats_read(n), *const y = calloc((size_t)n, sizeof *y);
    float *const statistics = calloc((size_t)(items * channels * 2), sizeof *statistics);
    const struct activate_norm norm = {gain, shift, statistics};
    const struct maps mx = maps_of(x, items, height, width, channels, false);
    const struct maps my = maps_of(y, items, height, width, channels, false);
    const struct maps mdy = maps_of(dy, items, height, width, channels, false);
    int code = y && statistics ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    code = code ? code : activate(ex, &p, &state, &norm, &mx, &my);
    code = code ? code : activate_gradient(ex, &p, &state, &norm, &mx, &mdy, &mdy, gain, shift);
    floats_write(y, code ? 0 : n);
    floats_write(dy, code ? 0 : n);
    floats_write(gain, code ? 0 : channels);
    floats_write(shift, code ? 0 : channels);
    free(statistics);
    free(x);
    return code;
}

static int run_latent(struct exec *ex, const double *a)
{
    const struct latent_params p = {(int64_t)a[0], (int64_t)a[1], (uint32_t)a[6], a[2] != 0};
    struct step_state state = {.beta = a[3], .kl_floor = a[4], .seed = (uint64_t)a[5], .step = (uint64_t)a[7]};
    const int64_t n = p.items * p.dims;
    float *const h = floats_read(2 * n), *const dz = floats_read(n), *const z = calloc((size_t)n, sizeof *z);
    float *const kl = calloc((size_t)p.dims, sizeof *kl), *const dh = calloc((size_t)(2 * n) + 1, sizeof *dh);
    int code = z && kl && dh ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    code = code ? code : latent(ex, &p, &state, h, z, kl);
    code = code ? code : latent_gradient(ex, &p, &state, h, kl, dz, dh);
    if (dh)
        dh[2 * n] = (float)state.kl;
    floats_write(z, code ? 0 : n);
    floats_write(kl, code ? 0 : p.dims);
    floats_write(dh, code ? 0 : 2 * n + 1);
    free(h);
    free(dz);
    return code;
}

static int run_reconstruction(struct exec *ex, const double *a)
{
    const int64_t items = (int64_t)a[0], height = (int64_t)a[1], width = (int64_t)a[2], channels = (int64_t)a[3];
    const struct reconstruction_params p = {(float)a[4]};
    const int64_t n = items * height * width * channels;
    float *const y = floats_read(n), *const x = floats_read(n);
    struct step_state state = {0};
    const struct maps my = maps_of(y, items, height, width, channels, false);
    const struct maps mx = maps_of(x, items, height, width, channels, false);
    const int code = reconstruction(ex, &p, &state, &my, &mx, &my);
    x[0] = (float)state.reconstruction;
    floats_write(y, code ? 0 : n);
    floats_write(x, code ? 0 : 1);
    return code;
}

static int run_adamw(struct exec *ex, const double *a)
{
    const int64_t n = (int64_t)a[0], steps = (int64_t)a[1];
    struct step_state state = {.rate = a[2],
                               .weight_decay = a[3],
                               .beta1 = a[4],
                               .beta2 = a[5],
                               .epsilon = a[6],
                               .clip = a[7],
                               .ema_decay = a[8]};
    const struct adamw_span half = {0, n / 2, 1};
    float *const param = floats_read(n), *const ema = calloc((size_t)n, sizeof *ema);
    float *const moments = calloc((size_t)(2 * n), sizeof *moments);
    int code = ema && moments ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    if (!code)
        memcpy(ema, param, (size_t)n * sizeof *ema);
    for (int64_t i = 0; i < steps && !code; i++) {
        float *const grad = floats_read(n);
        const struct adamw_blocks blocks = {param, grad, moments, moments + n, ema, n, &half, 1};
        state.step++;
        code = gradient_norm(ex, &state, grad, n);
        code = code ? code : adamw(ex, &state, &blocks);
        free(grad);
    }
    floats_write(param, code ? 0 : n);
    floats_write(ema, code ? 0 : n);
    free(moments);
    return code;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        run_function *run;
    } ops[] = {{"activate", 11, run_activate},
               {"latent", 8, run_latent},
               {"reconstruction", 5, run_reconstruction},
               {"adamw", 9, run_adamw}};
    const char *const wanted = getenv("WAVEMILL_TEST_ISA");
    enum exec_isa isa = isa_best();
    struct exec *ex = NULL;
    double a[ARGUMENTS] = {0};
    for (int i = 2; i < argc && i < 2 + ARGUMENTS; i++)
        a[i - 2] = strtod(argv[i], NULL);
    int code = wanted ? isa_parse(wanted, &isa) : STATUS_OK;
    code = code ? code : exec_create(&(struct exec_options){.threads = 2, .isa = isa, .ops = ops_cpu(isa)}, &ex);
    run_function *run = NULL;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (argc > 1 && argc == 2 + ops[i].arguments && strcmp(argv[1], ops[i].name) == 0)
            run = ops[i].run;
    if (!code)
        code = run ? run(ex, a) : fail(STATUS_ARGUMENT, "usage: see the head of training_dump.c");
    if (code)
        fprintf(stderr, "training_dump: %s\n", status_message());
    exec_destroy(&ex);
    return code ? 1 : 0;
}
