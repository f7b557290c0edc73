/* A module around the fake device. FAKE_FAULT says what is wrong with it; the environment what its device is like:
 * WAVEMILL_FAKE_DEVICE=none (no device), driver (none loaded), unsupported, lost (every call), full (no memory). */
#include "fake_device.h"
#include "module.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULT_NONE 0
#define FAULT_REFUSES 1 /* serves no ABI that it is asked for */
#define FAULT_ABI 2
#define FAULT_BYTES 3
#define FAULT_VERSION 4
#define FAULT_PARTS 5
#define FAULT_SYMBOL 6
#define FAULT_LIBRARY 7

#if FAKE_FAULT == FAULT_LIBRARY
int fake_library(void);
#endif

#if FAKE_FAULT == FAULT_SYMBOL
#define wavemill_module something_else
#endif

static const struct host_api *asked;

/* What the fake device calls: messages are the host's, of which this library has no copy. */
int status_fail(enum status code, const char *file, int line, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    /* clang-tidy loses sight of va_start in a file that it reads more than once, as it does this one */
    vsnprintf(text, sizeof text, format, args); /* NOLINT(clang-analyzer-valist.Uninitialized) */
    va_end(args);
    return (asked->fail)(code, file, line, "%s", text); /* no macro */
}

static const void *const no_rows[MODULE_OPS_ROWS];

static struct module module = {.abi = FAKE_FAULT == FAULT_ABI ? MODULE_ABI + 1 : MODULE_ABI,
                               .bytes = (uint32_t)(sizeof(struct module) + sizeof(struct device_api) + sizeof no_rows +
                                                   (FAKE_FAULT == FAULT_BYTES ? 8 : 0)),
                               .version = FAKE_FAULT == FAULT_VERSION ? "0.0.1" : WAVEMILL_VERSION,
                               .targets = "fake",
                               .device = FAKE_FAULT == FAULT_PARTS ? NULL : &fake_device_api};

__attribute__((visibility("default"))) const struct module *wavemill_module(uint32_t abi, const struct host_api *host);

const struct module *wavemill_module(uint32_t abi, const struct host_api *host)
{
    if (abi != MODULE_ABI || FAKE_FAULT == FAULT_REFUSES || !host->fail || !host->stream)
        return NULL;
    asked = host;
    const char *like = getenv("WAVEMILL_FAKE_DEVICE");
#if FAKE_FAULT == FAULT_LIBRARY
    fake_library();
#endif
    fake_device.info.memory_bytes = UINT64_C(16) << 30;
    fake_device.info.driver_version = 12020;
    if (like && strcmp(like, "none") == 0)
        fake_device.count = 0;
    else if (like && strcmp(like, "driver") == 0)
        fake_device.count_code = STATUS_UNSUPPORTED;
    else if (like && strcmp(like, "unsupported") == 0)
        fake_device.info.supported = false;
    else if (like && strcmp(like, "lost") == 0)
        fake_device.fail_at = 1, fake_device.fail_code = STATUS_DEVICE;
    else if (like && strcmp(like, "full") == 0)
        fake_device.fail_at = 1, fake_device.fail_code = STATUS_NOMEM;
    module.ops = (const struct ops *)no_rows;
    return &module;
}
