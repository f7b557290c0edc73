/* vae_dump CONFIG.json BATCH STEPS FOLDER [THREADS]
 *
 * Trains a network on FOLDER/examples.raw, float32 [STEPS][BATCH][frames][mels], one batch a step, at a rate of 1e-3
 * and a beta of 0.01, from weights and noise of seed 7. Into FOLDER go weights.raw (of the beginning), noise.raw
 * [STEPS][BATCH][latent], gradients.raw (of step 1), trained.raw and average.raw (of the end), y.raw (the first batch
 * reconstructed by the average) and latent.raw. Says on stdout: "tensor NAME OFFSET SHAPE..." each, "losses STEP
 * RECONSTRUCTION KL NORM" each, "parameters N", "seconds" of the fastest step but the first, "launches" of the last,
 * "bytes" that it takes, that it says it needs here, and at most anywhere. Instruction set: WAVEMILL_TEST_ISA, else the
 * best. Backend: WAVEMILL_TEST_BACKEND, cpu if there is none. Precision: WAVEMILL_TEST_PRECISION, else fp32. */
#include "device.h"
#include "exec.h"
#include "module.h"
#include "ops.h"
#include "philox.h"
#include "vae.h"
#include "vae_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct dump {
    const char *folder;
    struct vae_config c;
    struct vae_recipe r;
    long steps;
    struct exec *ex;
    struct vae_trainer *t;
    float *examples, *block;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int make_exec(long threads, struct exec **out)
{
    const char *const isa = getenv("WAVEMILL_TEST_ISA"), *const backend = getenv("WAVEMILL_TEST_BACKEND");
    struct exec_options o = {.threads = (int)threads, .isa = isa_best()};
    int code = isa ? isa_parse(isa, &o.isa) : STATUS_OK;
    if (backend && strcmp(backend, "cpu") != 0) {
        o.backend = strcmp(backend, "cuda") == 0 ? BACKEND_CUDA : BACKEND_EMULATED;
        code = code ? code : module_load(o.backend, &o.module);
    } else {
        o.ops = ops_cpu(o.isa);
    }
    return code ? code : exec_create(&o, out);
}

static int file(const struct dump *d, const char *name, const char *mode, void *data, size_t floats)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", d->folder, name);
    FILE *const f = fopen(path, mode);
    if (!f)
        return fail(STATUS_IO, "cannot open %s", path);
    const size_t n = *mode == 'r' ? fread(data, sizeof(float), floats, f) : fwrite(data, sizeof(float), floats, f);
    const bool whole = n == floats;
    return fclose(f) == 0 && whole ? STATUS_OK : fail(STATUS_IO, "%s has not %zu floats", path, floats);
}

static int block(struct dump *d, enum vae_block which, const char *name)
{
    const int code = vae_trainer_get(d->t, which, d->block);
    return code ? code : file(d, name, "wb", d->block, (size_t)vae_trainer_parameters(d->t));
}

static int noise(struct dump *d)
{
    const int64_t each = d->r.batch * d->c.latent, n = each * d->steps;
    float *const e = malloc((size_t)n * sizeof *e);
    if (!e)
        return fail(STATUS_NOMEM, "noise");
    for (int64_t i = 0; i < n; i++)
        e[i] = (float)philox_normal(7, VAE_STREAM_LATENT, (uint64_t)(1 + i / each), i % each);
    const int code = file(d, "noise.raw", "wb", e, (size_t)n);
    free(e);
    return code;
}

static int train(struct dump *d)
{
    const struct device_api *const api = exec_device_api(d->ex);
    const int64_t each = d->r.batch * d->c.frames * d->c.mels;
    double fastest = 1e9;
    uint64_t launches = 0;
    int code = STATUS_OK;
    for (long step = 1; step <= d->steps && !code; step++) {
        struct vae_losses l;
        const uint64_t before = api ? api->stream_launches(exec_stream(d->ex)) : 0;
        const double start = now_s();
        code =
            vae_trainer_step(d->t, &(struct vae_step){(uint64_t)step, 1e-3, 0.01}, d->examples + (step - 1) * each, &l);
        const double took = now_s() - start;
        fastest = step > 1 && took < fastest ? took : fastest;
        launches = api ? api->stream_launches(exec_stream(d->ex)) - before : 0;
        if (!code)
            printf("losses %ld %.9g %.9g %.9g\n", step, l.reconstruction, l.kl, l.gradient_norm);
        if (!code && l.bad)
            code = fail(STATUS_INTERNAL, "step %ld is not finite", step);
        if (!code && step == 1)
            code = block(d, VAE_GRADIENTS, "gradients.raw");
    }
    printf("seconds %.5f\nlaunches %llu\n", fastest, (unsigned long long)launches);
    return code;
}

static int learnt(struct dump *d)
{
    const int64_t each = d->r.batch * d->c.frames * d->c.mels, latents = d->r.batch * d->c.latent;
    float *const y = malloc((size_t)each * sizeof *y), *const z = malloc((size_t)latents * sizeof *z);
    int code = y && z ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    code = code ? code : vae_trainer_reconstruct(d->t, d->examples, d->r.batch, z, y);
    code = code ? code : file(d, "y.raw", "wb", y, (size_t)each);
    code = code ? code : file(d, "latent.raw", "wb", z, (size_t)latents);
    free(y);
    free(z);
    return code;
}

static int run(struct dump *d, const char *config, long threads)
{
    char text[8192] = "";
    FILE *const f = fopen(config, "rb");
    if (!f)
        return fail(STATUS_IO, "cannot open %s", config);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    int code = vae_config_parse(text, config, &d->c);
    const size_t examples = (size_t)(d->steps * d->r.batch * d->c.frames * d->c.mels);
    d->examples = malloc(examples * sizeof *d->examples);
    code = code ? code : file(d, "examples.raw", "rb", d->examples, examples);
    code = code ? code : make_exec(threads, &d->ex);
    code = code ? code : vae_trainer_create(&d->c, &d->r, 7, d->ex, &d->t);
    if (code)
        return code;
    d->block = malloc((size_t)vae_trainer_parameters(d->t) * sizeof *d->block);
    int tensors;
    const struct vae_tensor *const t = vae_trainer_tensors(d->t, &tensors);
    for (int i = 0; i < tensors; i++) {
        printf("tensor %s %lld", t[i].name, (long long)t[i].offset);
        for (int k = 0; k < t[i].rank; k++)
            printf(" %lld", (long long)t[i].shape[k]);
        printf("\n");
    }
    size_t needs = 0, most = 0;
    code = vae_trainer_needs(&d->c, d->r.batch, d->ex, &needs);
    code = code ? code : vae_trainer_needs(&d->c, d->r.batch, NULL, &most);
    if (code)
        return code;
    printf("parameters %lld\nbytes %zu %zu %zu\n", (long long)vae_trainer_parameters(d->t), vae_trainer_bytes(d->t),
           needs, most);
    code = block(d, VAE_WEIGHTS, "weights.raw");
    code = code ? code : noise(d);
    code = code ? code : train(d);
    code = code ? code : block(d, VAE_WEIGHTS, "trained.raw");
    code = code ? code : block(d, VAE_AVERAGE, "average.raw");
    return code ? code : learnt(d);
}

int main(int argc, char **argv)
{
    struct dump d = {0};
    struct vae_config unused;
    if (argc < 5) {
        fprintf(stderr, "vae_dump CONFIG.json BATCH STEPS FOLDER [THREADS]\n");
        return 2;
    }
    int code = vae_preset("tiny", &unused, &d.r);
    d.r.batch = strtol(argv[2], NULL, 10);
    d.steps = strtol(argv[3], NULL, 10);
    d.folder = argv[4];
    const char *const precision = getenv("WAVEMILL_TEST_PRECISION");
    code = code || !precision ? code : precision_parse(precision, &d.r.precision);
    code = code ? code : run(&d, argv[1], argc > 5 ? strtol(argv[5], NULL, 10) : 1);
    if (code)
        fprintf(stderr, "vae_dump: %s\n", status_message());
    vae_trainer_destroy(&d.t);
    exec_destroy(&d.ex);
    free(d.examples);
    free(d.block);
    return code ? 1 : 0;
}
