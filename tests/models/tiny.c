#include "tiny.h"

#include "module.h"
#include "ops.h"
#include "safetensors.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* Its length is in the metadata alone. */
static void shorten(char *file, size_t bytes)
{
    static const char was[] = "numerator\\\": 3, \\\"denominator\\\": 5",
                      is[] = "numerator\\\": 1, \\\"denominator\\\": 9";
    char *const at = memmem(file, bytes, was, sizeof was - 1);
    REQUIRE(at && sizeof was == sizeof is);
    memcpy(at, is, sizeof is - 1);
}

int tiny_file(void)
{
    enum { MOST = 8 << 20 };
    FILE *const in = fopen(test_data("htdemucs_small/model.safetensors"), "rb");
    char *const data = malloc(MOST);
    REQUIRE(in && data);
    const size_t bytes = fread(data, 1, MOST, in);
    REQUIRE(bytes > 0 && bytes < MOST && fclose(in) == 0);
    shorten(data, bytes);
    const int fd = memfd_create("tiny", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    free(data);
    return fd;
}

struct htdemucs *tiny_network(struct exec *ex)
{
    struct safetensors *file = NULL;
    struct htdemucs *net = NULL;
    const int fd = tiny_file();
    CHECK_OK(safetensors_open(fd, "tiny", &file));
    REQUIRE(file);
    CHECK_OK(htdemucs_load(file, "tiny", PRECISION_F32, ex, &net));
    REQUIRE(net && htdemucs_config(net)->stems == TINY_STEMS && htdemucs_config(net)->segment == 44100 / 9);
    safetensors_close(&file);
    (void)close(fd);
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
