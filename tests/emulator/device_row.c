#include "device_row.h"

#include "test.h"

#include <dlfcn.h>

const struct frame_params device_row_frames = {64, 64, false};

const struct module *emulated_module(void)
{
    const struct module *m = NULL;
    CHECK_OK(module_load(BACKEND_EMULATED, &m));
    REQUIRE(m);
    return m;
}

struct emulator_settings *emulated_settings(void)
{
    void *const module = dlopen(module_path(BACKEND_EMULATED), RTLD_NOW | RTLD_NOLOAD);
    REQUIRE(module);
    struct emulator_settings *(*current)(void);
    *(void **)&current = dlsym(module, "emulator_current");
    REQUIRE(current);
    return current();
}

struct exec *emulated_exec(uint64_t limit, struct exec *shared)
{
    struct exec *ex = NULL;
    const struct exec_options o = {.backend = BACKEND_EMULATED,
                                   .threads = 1,
                                   .module = emulated_module(),
                                   .memory_limit = limit,
                                   .device_arena_bytes = 1 << 20,
                                   .shared = shared};
    CHECK_OK(exec_create(&o, &ex));
    REQUIRE(ex);
    return ex;
}

struct device_row device_row_open(struct exec *ex, int64_t samples)
{
    struct device_row b = {.ex = ex, .offset_x = {0, samples}};
    b.offset_y[1] = frame_count(&device_row_frames, (struct piece){0, true, true}, samples);
    const size_t x_bytes = (size_t)samples * sizeof(float), y_bytes = (size_t)b.offset_y[1] * sizeof(float);
    CHECK_OK(exec_device_api(ex)->allocate(exec_device(ex), 32 + x_bytes + y_bytes, &b.memory));
    b.x = (float *)((char *)b.memory + 32);
    b.y = b.x + samples;
    return b;
}

/* Pointers into b, which must not move any more. */
void device_row_settle(struct device_row *b)
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

void device_row_close(struct device_row *b)
{
    exec_device_api(b->ex)->release(exec_device(b->ex), b->memory);
}

void device_row_fill(struct device_row *b, float value)
{
    float x[640];
    for (int i = 0; i < 640; i++)
        x[i] = value;
    CHECK_OK(exec_device_api(b->ex)->copy_in(exec_stream(b->ex), b->x, x, sizeof x));
    CHECK_OK(exec_device_api(b->ex)->stream_wait(exec_stream(b->ex)));
}

float device_row_first(struct device_row *b)
{
    float y[10] = {0};
    CHECK_OK(exec_device_api(b->ex)->copy_out(exec_stream(b->ex), y, b->y, sizeof y));
    CHECK_OK(exec_device_api(b->ex)->stream_wait(exec_stream(b->ex)));
    return y[0];
}
