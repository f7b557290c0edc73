/* device.cu on the emulator: what is asked of a device works, and what goes wrong has its code. */
#include "compare.h"
#include "device_row.h"
#include "test.h"

#include <math.h>
#include <string.h>

TEST(what_there_is_is_described)
{
    const struct device_api *const api = emulated_module()->device;
    struct device_info info;
    int n = 0;
    CHECK_OK(api->count(&n));
    CHECK(n == 1);
    CHECK_OK(api->describe(0, &info));
    CHECK(strcmp(info.name, "emulator") == 0 && info.major == 9 && info.supported && info.memory_bytes == 1 << 30);
    CHECK_CODE(api->describe(1, &info), STATUS_UNSUPPORTED);
    CHECK_CODE(api->describe(-1, &info), STATUS_UNSUPPORTED);
}

TEST(what_is_missing_is_said)
{
    static const struct {
        int devices, driver, capability;
        const char *says, *reason;
    } cases[] = {
        {0, 13000, 90, "shows no GPU", "a driver and no GPU"},
        {1, 0, 90, "no NVIDIA driver", "no driver"},
        {1, 11080, 90, "older than this build's CUDA", "a driver that is too old"},
        {1, 13000, 70, "compute capability 7.0; this build has code for", "a GPU without code"},
        {1, 13000, 120, NULL, "a later GPU: the newest code runs on it"},
    };
    const struct device_api *const api = emulated_module()->device;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct device *device = NULL;
        int n = 0;
        emulated_settings()->devices = cases[c].devices;
        emulated_settings()->driver_version = cases[c].driver;
        emulated_settings()->capability = cases[c].capability;
        int code = api->count(&n);
        code = code ? code : api->open(0, 0, &device);
        CHECK(code == (cases[c].says ? STATUS_UNSUPPORTED : STATUS_OK));
        const bool said = !cases[c].says || strstr(status_message(), cases[c].says);
        if (!said)
            printf("    %s: %s\n", cases[c].reason, status_message());
        CHECK(said);
        api->close(&device);
        CHECK(!device);
    }
}

TEST(memory_ends_cleanly)
{
    enum { LIMIT = 10000 };
    const struct device_api *const api = emulated_module()->device;
    struct device *device = NULL;
    struct device_counters counters;
    void *a = NULL, *b = NULL, *c = NULL;
    CHECK_OK(api->open(0, LIMIT, &device));
    CHECK_OK(api->allocate(device, 6000, &a));
    CHECK_CODE(api->allocate(device, 4001, &b), STATUS_NOMEM);
    CHECK(!b && strstr(status_message(), "10000"));
    CHECK_OK(api->allocate(device, 4000, &b));
    CHECK((uintptr_t)a % 256 == 0 && (uintptr_t)b % 256 == 0);
    api->counters(device, &counters);
    CHECK(counters.bytes_used == LIMIT && counters.bytes_most == LIMIT);
    api->release(device, a);
    CHECK_OK(api->allocate(device, 6000, &a));
    CHECK_OK(api->allocate_pinned(device, 100000, &c)); /* the host's memory is not limited */
    api->close(&device);                                /* frees all three */

    emulated_settings()->memory_bytes = 5000; /* the device's own end */
    CHECK_OK(api->open(0, 0, &device));
    CHECK_CODE(api->allocate(device, 5001, &a), STATUS_NOMEM);
    CHECK_OK(api->allocate(device, 5000, &a));
    api->close(&device);
}

TEST(copies_are_there_when_waited_for)
{
    struct exec *ex = emulated_exec(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    float in[100], out[100] = {0};
    void *memory = NULL;
    struct device_counters counters;
    for (int i = 0; i < 100; i++)
        in[i] = (float)i;
    CHECK_OK(api->allocate(exec_device(ex), sizeof in, &memory));
    CHECK_OK(api->copy_in(exec_stream(ex), memory, in, sizeof in));
    CHECK_OK(api->copy_out(exec_stream(ex), out, memory, sizeof out));
    CHECK(out[99] == 0); /* nobody has waited */
    CHECK_OK(api->stream_wait(exec_stream(ex)));
    CHECK(compare_bits(in, out, sizeof in));
    CHECK_OK(api->clear(exec_stream(ex), memory, 200));
    CHECK_OK(api->copy_out(exec_stream(ex), out, memory, sizeof out));
    CHECK_OK(api->stream_wait(exec_stream(ex)));
    CHECK(out[49] == 0 && out[50] == 50);
    api->counters(exec_device(ex), &counters);
    CHECK(counters.bytes_in == sizeof in && counters.bytes_out == 2 * sizeof out);
    api->release(exec_device(ex), memory);
    exec_destroy(&ex);
}

TEST(graphs_run_again_on_what_is_there_then)
{
    struct exec *ex = emulated_exec(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    struct device_row b = device_row_open(ex, 640);
    struct device_graph *graph = NULL;
    struct device_counters counters;
    device_row_settle(&b);
    device_row_fill(&b, 0.5f);
    CHECK_OK(api->graph_begin(exec_stream(ex)));
    CHECK_OK(rms(ex, &device_row_frames, &b.in, &b.out));
    CHECK_OK(api->graph_end(exec_stream(ex), &graph));
    CHECK(isnan(device_row_first(&b))); /* nothing has run */
    for (int i = 1; i < 4; i++) {
        device_row_fill(&b, (float)i);
        CHECK_OK(api->graph_launch(graph, exec_stream(ex)));
        CHECK(device_row_first(&b) == (float)i);
    }
    api->counters(exec_device(ex), &counters);
    CHECK(counters.graph_launches == 3 && counters.launches == 0);
    api->graph_destroy(&graph);
    device_row_close(&b);
    exec_destroy(&ex);
}

/* What a network does around its layers: the host touches nothing from the input to the sum, three times the input. */
TEST(a_graph_holds_moments_and_what_is_made_of_them)
{
    enum { POSITIONS = 40, FLOATS = 2 * POSITIONS };
    struct exec *ex = emulated_exec(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    struct device_graph *graph = NULL;
    float in[FLOATS], out[FLOATS];
    void *block = NULL;
    CHECK_OK(api->allocate(exec_device(ex), 4 * FLOATS * sizeof(float), &block));
    float *const memory = block, *const planar = memory + FLOATS, *const two = memory + 2 * FLOATS;
    const struct maps x = maps_tokens(memory, 1, POSITIONS, 2);
    const struct maps y = maps_of(memory + 2 * FLOATS + 2, 1, 1, POSITIONS, 2, true);
    CHECK_OK(api->graph_begin(exec_stream(ex)));
    CHECK_OK(clear_margins(ex, &y));
    CHECK_OK(moments(ex, &x, two));
    CHECK_OK(standardize(ex, two, 0, &x, &y));
    CHECK_OK(unstandardize(ex, two, &y, &y));
    CHECK_OK(add_maps(ex, &x, &y, &y));
    CHECK_OK(mirror(ex, 0, &x, POSITIONS, planar));
    CHECK_OK(add_planar(ex, planar, POSITIONS, &y, &y));
    CHECK_OK(api->graph_end(exec_stream(ex), &graph));
    for (int run = 1; run < 4; run++) {
        for (int i = 0; i < FLOATS; i++)
            in[i] = (float)(i * run % 23 - 5 * run);
        CHECK_OK(api->copy_in(exec_stream(ex), memory, in, sizeof in));
        CHECK_OK(api->graph_launch(graph, exec_stream(ex)));
        CHECK_OK(api->copy_out(exec_stream(ex), out, y.data, sizeof out));
        CHECK_OK(api->stream_wait(exec_stream(ex)));
        for (int i = 0; i < FLOATS; i++)
            CHECK_AT_MOST(fabsf(out[i] - 3 * in[i]), 1e-4);
    }
    api->graph_destroy(&graph);
    api->release(exec_device(ex), block);
    exec_destroy(&ex);
}

TEST(streams_wait_for_each_other)
{
    struct exec *a = emulated_exec(0, NULL), *b = emulated_exec(0, a);
    const struct device_api *const api = exec_device_api(a);
    struct device_event *done = NULL, *began = NULL;
    float in = 7, out = 0;
    double seconds = -1;
    void *memory = NULL;
    CHECK(exec_device(a) == exec_device(b) && exec_stream(a) != exec_stream(b));
    CHECK_OK(api->allocate(exec_device(a), 4, &memory));
    CHECK_OK(api->event_create(exec_device(a), &done));
    CHECK_OK(api->event_create(exec_device(a), &began));
    CHECK_OK(api->event_record(began, exec_stream(a)));
    CHECK_OK(api->copy_in(exec_stream(a), memory, &in, 4));
    CHECK_OK(api->event_record(done, exec_stream(a)));
    CHECK_OK(api->stream_wait_event(exec_stream(b), done));
    CHECK_OK(api->copy_out(exec_stream(b), &out, memory, 4));
    CHECK_OK(api->stream_wait(exec_stream(b)));
    CHECK(out == 7);
    CHECK_OK(api->event_wait(done));
    CHECK_OK(api->event_elapsed(began, done, &seconds));
    CHECK(seconds >= 0 && seconds < 60);
    api->event_destroy(&done);
    api->event_destroy(&began);
    api->release(exec_device(a), memory);
    exec_destroy(&a); /* b keeps the device */
    CHECK_OK(api->stream_wait(exec_stream(b)));
    exec_destroy(&b);
}

TEST(two_execs_share_a_gpu)
{
    struct exec *a = emulated_exec(0, NULL), *b = emulated_exec(0, NULL);
    struct device_row of_a = device_row_open(a, 640), of_b = device_row_open(b, 640);
    device_row_settle(&of_a);
    device_row_settle(&of_b);
    device_row_fill(&of_a, 2);
    device_row_fill(&of_b, 3);
    CHECK_OK(rms(a, &device_row_frames, &of_a.in, &of_a.out));
    CHECK_OK(peak(b, &device_row_frames, &of_b.in, &of_b.out));
    CHECK(device_row_first(&of_a) == 2 && device_row_first(&of_b) == 3);
    device_row_close(&of_a);
    device_row_close(&of_b);
    exec_destroy(&a);
    exec_destroy(&b);
}

TEST(a_lost_device_stays_lost)
{
    struct exec *ex = emulated_exec(0, NULL);
    const struct device_api *const api = exec_device_api(ex);
    struct device_row b = device_row_open(ex, 640);
    void *memory;
    device_row_settle(&b);
    device_row_fill(&b, 1);
    emulated_settings()->lose_after = 2;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(rms(ex, &device_row_frames, &b.in, &b.out));
        CHECK(device_row_first(&b) == 1);
    }
    CHECK_OK(rms(ex, &device_row_frames, &b.in, &b.out)); /* a launch does not wait */
    CHECK_CODE(api->stream_wait(exec_stream(ex)), STATUS_DEVICE);
    CHECK_CODE(rms(ex, &device_row_frames, &b.in, &b.out), STATUS_DEVICE);
    CHECK_CODE(api->copy_in(exec_stream(ex), b.x, &b, 4), STATUS_DEVICE);
    CHECK_CODE(api->allocate(exec_device(ex), 4, &memory), STATUS_DEVICE);
    CHECK(status_class(STATUS_DEVICE) == FAILURE_DEVICE);
    device_row_close(&b);
    exec_destroy(&ex);
}
