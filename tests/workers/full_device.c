#include "full_device.h"

#include "device.h"
#include "module.h"
#include "sound.h"
#include "test.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

int full_most_networks = 100, full_most_segments = 100, full_runs = 1000000;
int full_refused, full_networks, full_compute_major;

int WRAP(htdemucs_load)(const struct safetensors *file, const char *name, enum precision precision, struct exec *ex,
                        struct htdemucs **out);
int REAL(htdemucs_load)(const struct safetensors *file, const char *name, enum precision precision, struct exec *ex,
                        struct htdemucs **out);
int WRAP(htdemucs_room_create)(const struct htdemucs *net, struct exec *ex, int segments, struct htdemucs_room **out);
int REAL(htdemucs_room_create)(const struct htdemucs *net, struct exec *ex, int segments, struct htdemucs_room **out);
int WRAP(htdemucs_begin)(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                         const struct htdemucs_segment *segments, int count);
int REAL(htdemucs_begin)(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                         const struct htdemucs_segment *segments, int count);
void WRAP(htdemucs_unload)(struct htdemucs **net);
void REAL(htdemucs_unload)(struct htdemucs **net);

/* Those that are on the device. */
static const struct htdemucs *there[16];

static int full(void)
{
    full_refused++;
    return fail(STATUS_NOMEM, "planted: the device is full");
}

int WRAP(htdemucs_load)(const struct safetensors *file, const char *name, enum precision precision, struct exec *ex,
                        struct htdemucs **out)
{
    if (exec_device(ex) && full_networks >= full_most_networks)
        return full();
    const int code = REAL(htdemucs_load)(file, name, precision, ex, out);
    if (!code && exec_device(ex))
        there[full_networks++] = *out;
    return code;
}

void WRAP(htdemucs_unload)(struct htdemucs **net)
{
    for (int i = 0; i < full_networks && *net; i++)
        if (there[i] == *net)
            there[i] = there[--full_networks];
    REAL(htdemucs_unload)(net);
}

int WRAP(htdemucs_room_create)(const struct htdemucs *net, struct exec *ex, int segments, struct htdemucs_room **out)
{
    return segments > full_most_segments ? full() : REAL(htdemucs_room_create)(net, ex, segments, out);
}

int WRAP(htdemucs_begin)(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                         const struct htdemucs_segment *segments, int count)
{
    if (exec_device(ex) && (full_runs -= count) < 0)
        return full();
    return REAL(htdemucs_begin)(net, ex, room, which, segments, count);
}

/* Other weights: every second number's sign. */
int full_network(const char *name, bool other)
{
    static uint8_t data[1 << 16];
    const int from = open(test_data("htdemucs_tiny/model.safetensors"), O_RDONLY | O_CLOEXEC);
    REQUIRE(from >= 0);
    const ssize_t bytes = read(from, data, sizeof data);
    close(from);
    REQUIRE(bytes > 8 && bytes < (ssize_t)sizeof data);
    uint64_t header;
    memcpy(&header, data, sizeof header);
    for (ssize_t i = (ssize_t)header + 8 + 3; other && i < bytes; i += 4)
        data[i] ^= 0x80;
    REQUIRE(sound_bytes(name, data, (size_t)bytes));
    const int fd = open(name, O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

static int (*describe)(int index, struct device_info *out);

static int describe_as_told(int index, struct device_info *out)
{
    const int code = describe(index, out);
    out->major = full_compute_major ? full_compute_major : out->major;
    return code;
}

struct exec_options full_device_options(void)
{
    static struct device_api api;
    static struct module other;
    const struct module *m = NULL;
    CHECK_OK(module_load(BACKEND_EMULATED, &m));
    REQUIRE(m);
    other = *m;
    api = *m->device;
    describe = api.describe;
    api.describe = describe_as_told;
    other.device = &api;
    return (struct exec_options){.backend = BACKEND_EMULATED, .threads = 1, .module = &other};
}

struct networks *full_make(bool on_device)
{
    struct networks *n = NULL;
    const struct exec_options device = on_device ? full_device_options() : (struct exec_options){.threads = 1};
    CHECK_OK(networks_create(2, SIZE_MAX, on_device ? &device : NULL, &n));
    REQUIRE(n);
    return n;
}

void full_plan(struct plan *plan, int networks)
{
    static const char *const stems[STEMS] = {"drums", "bass", "other", "vocals"};
    *plan =
        (struct plan){.method = "htdemucs", .model = "tiny", .stems = STEMS, .networks = networks, .outputs = STEMS};
    for (int s = 0; s < STEMS; s++) {
        snprintf(plan->stem[s], sizeof plan->stem[s], "%s", stems[s]);
        snprintf(plan->output[s].name, sizeof plan->output[s].name, "%s", stems[s]);
        plan->output[s].stems = 1U << s;
        for (int i = 0; i < networks; i++)
            plan->weight[i][s] = 1;
    }
}

int full_times_said(const char *what, void (*f)(void *context), void *context)
{
    static char text[1 << 16];
    fflush(stderr);
    const int kept = dup(STDERR_FILENO), log = open("log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(kept >= 0 && log >= 0 && dup2(log, STDERR_FILENO) >= 0);
    f(context);
    REQUIRE(dup2(kept, STDERR_FILENO) >= 0);
    const ssize_t bytes = pread(log, text, sizeof text - 1, 0);
    close(kept);
    close(log);
    REQUIRE(bytes >= 0);
    text[bytes] = '\0';
    int times = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        times++;
    return times;
}
