#include "tiny.h"

#include "module.h"
#include "ops.h"
#include "seeded_network.h"
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct exec *tiny_exec(void)
{
    const char *const name = getenv("WAVEMILL_TEST_BACKEND");
    struct exec *ex = NULL;
    struct exec_options o = {.threads = 1, .isa = isa_best()};
    if (name && strcmp(name, "emulated") == 0) {
        o.backend = BACKEND_EMULATED;
        CHECK_OK(module_load(o.backend, &o.module));
        REQUIRE(o.module);
    } else {
        o.ops = ops_cpu(o.isa);
    }
    CHECK_OK(exec_create(&o, &ex));
    REQUIRE(ex);
    return ex;
}

static struct seeded *make_tensors(struct exec *ex)
{
    struct htdemucs_config c = seeded_config(SEEDED_SMALL, TINY_STEMS);
    struct seeded *s = NULL;
    c.segment = c.rate_hz / 9;
    CHECK_OK(seeded_create(&c, 1, ex, &s));
    REQUIRE(s);
    return s;
}

int tiny_file(void)
{
    struct exec *ex = NULL;
    const enum exec_isa isa = isa_best();
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa, .ops = ops_cpu(isa)}, &ex));
    struct seeded *s = make_tensors(ex);
    CHECK_OK(seeded_write(s, "tiny.safetensors"));
    seeded_destroy(&s);
    exec_destroy(&ex);
    const int fd = open("tiny.safetensors", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

struct htdemucs *tiny_network(struct exec *ex)
{
    struct htdemucs *net = NULL;
    struct seeded *s = make_tensors(ex);
    CHECK_OK(seeded_load(s, PRECISION_F32, ex, &net));
    REQUIRE(net);
    seeded_destroy(&s);
    return net;
}

float *tiny_noise(uint32_t seed, int64_t frames)
{
    float *const x = malloc((size_t)(2 * frames + 1) * sizeof *x);
    uint32_t state = seed * 2654435761U + 1;
    REQUIRE(x);
    for (int64_t i = 0; i < 2 * frames; i++) {
        state = state * 1664525U + 1013904223U;
        x[i] = ((float)(state >> 8) / 8388608.0F - 1) * (float)(seed % 3 + 1);
    }
    return x;
}
