/* Where work goes that asks for a device by name, and what it books there. */
#include "cli.h"
#include "paths.h"
#include "start.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LOOK_MS = 20, TIMEOUT_MS = 10000, LEAVE_MS = 3000 };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void look_again(void)
{
    nanosleep(&(struct timespec){0, LOOK_MS * 1000000}, NULL);
}

/* Is one of them on the device? `others`: what they are on, if not. */
static bool one_fits(const struct common *c, struct wire_list workers, char *others, size_t capacity)
{
    struct message_worker w;
    size_t n = 0;
    *others = '\0';
    while (wire_next(&workers, &worker_schema, &w)) {
        char device[LIMIT_NAME + 1];
        wire_copy(w.device, device, sizeof device);
        if (device_choice_fits(&c->device, device))
            return true;
        if (!strstr(others, device) && n < capacity)
            n += (size_t)snprintf(others + n, capacity - n, "%s%s", n ? ", " : "", device);
    }
    return false;
}

/* Waits for the first worker, which may just be starting. *alone: no other client needs the scheduler as it is. */
static int check_workers(const struct common *c, struct client *client, bool *alone)
{
    const int64_t end = now_ms() + (c->timeout_ms ? c->timeout_ms : TIMEOUT_MS);
    char name[DEVICE_NAME], others[160];
    struct message_server m;
    device_choice_name(&c->device, name);
    for (;; look_again()) {
        const int code = client_stats(client, &m);
        if (code)
            return code;
        *alone = m.clients <= 1;
        if (one_fits(c, m.workers, others, sizeof others))
            return STATUS_OK;
        if (*others)
            return fail(STATUS_UNSUPPORTED,
                        "device %s: the scheduler that runs has workers on %s; stop it, or do without "
                        "--device",
                        name, others);
        if (cli_interrupted)
            return fail(STATUS_CANCELLED, "interrupted");
        if (now_ms() > end)
            return fail(STATUS_UNSUPPORTED, "device %s: the scheduler that runs has no worker", name);
    }
}

/* A scheduler that a command started, on another device, may only be waiting for its last second to pass. */
static bool leaves(void)
{
    struct paths paths;
    if (paths_find(NULL, &paths))
        return false;
    for (const int64_t end = now_ms() + LEAVE_MS; start_is_running(&paths); look_again())
        if (cli_interrupted || now_ms() > end)
            return false;
    return true;
}

static int start_on_device(const struct common *c, struct client **out)
{
    struct device_choice here = c->device;
    bool alone;
    int code = device_choice_resolve(&here);
    if (!code)
        code = cli_connect(c, true, out);
    return code ? code : check_workers(c, *out, &alone);
}

/* One that was killed is not waited for: another is started. */
static int connect_if_running(const struct common *c, struct client **out)
{
    struct paths paths;
    const int code = paths_find(NULL, &paths);
    if (code)
        return code;
    return start_is_running(&paths) ? cli_connect(c, false, out) : fail(STATUS_NOT_FOUND, "no scheduler runs");
}

int cli_connect_for_work(const struct common *c, struct client **out)
{
    if (!c->names_device)
        return cli_connect(c, true, out);
    bool alone = false;
    int code = connect_if_running(c, out);
    if (!code)
        code = check_workers(c, *out, &alone);
    if (code == STATUS_UNSUPPORTED && alone) {
        char why[512];
        snprintf(why, sizeof why, "%s", status_message());
        client_close(out);
        code = leaves() ? STATUS_NOT_FOUND : fail(STATUS_UNSUPPORTED, "%s", why);
    }
    if (code == STATUS_NOT_FOUND)
        code = start_on_device(c, out);
    if (code)
        client_close(out);
    return code;
}

int cli_booking(struct client *c, uint64_t wanted, uint64_t *out)
{
    struct message_server m;
    struct message_worker w;
    *out = 0;
    const int code = wanted ? client_stats(c, &m) : STATUS_OK;
    if (!wanted || code)
        return code;
    bool all = m.workers.count > 0;
    while (wire_next(&m.workers, &worker_schema, &w))
        all = all && w.device_bytes >= wanted && !(w.device.bytes == 3 && memcmp(w.device.data, "cpu", 3) == 0);
    *out = all ? wanted : 0;
    return STATUS_OK;
}
