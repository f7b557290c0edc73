#include "device_choice.h"

#include "log.h"
#include "module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_MOST = 1023 };

int device_choice_parse(const char *text, struct device_choice *out)
{
    *out = (struct device_choice){.automatic = strcmp(text, "auto") == 0, .index = -1};
    if (out->automatic || strcmp(text, "cpu") == 0)
        return STATUS_OK;
    if (strcmp(text, "emulated") == 0) {
        out->backend = BACKEND_EMULATED;
        out->index = 0;
        return STATUS_OK;
    }
    if (strncmp(text, "cuda", 4) == 0 && (!text[4] || text[4] == ':')) {
        char *end = NULL;
        const long n = text[4] && text[5] >= '0' && text[5] <= '9' ? strtol(text + 5, &end, 10) : -1;
        out->backend = BACKEND_CUDA;
        out->index = (int)n;
        if (!text[4] || (end && !*end && n <= INDEX_MOST))
            return STATUS_OK;
    }
    return fail(STATUS_ARGUMENT, "device '%.40s': there are auto, cpu, cuda, cuda:N and emulated", text);
}

/* The device of that number, or with -1 the first that the module supports. */
static int pick(const struct module *m, int *index)
{
    struct device_info info = {0};
    int count = 0;
    int code = m->device->count(&count);
    if (!code && count == 0)
        code = fail(STATUS_UNSUPPORTED, "the driver shows no device");
    if (!code && *index >= count)
        code = fail(STATUS_UNSUPPORTED, "there is no device %d: the driver shows %d", *index, count);
    if (code)
        return code;
    const int first = *index < 0 ? 0 : *index, last = *index < 0 ? count - 1 : *index;
    for (int i = first; i <= last && !(code = m->device->describe(i, &info)); i++)
        if (info.supported) {
            *index = i;
            log_info("device %d is %s: compute capability %d.%d, %llu MiB", i, info.name, info.major, info.minor,
                     (unsigned long long)(info.memory_bytes >> 20));
            return STATUS_OK;
        }
    return code ? code
                : fail(STATUS_UNSUPPORTED, "%s has compute capability %d.%d; this build has code for %s", info.name,
                       info.major, info.minor, m->targets);
}

static int look(struct device_choice *c, enum exec_backend backend)
{
    const struct module *m = NULL;
    int index = c->index;
    int code = module_load(backend, &m);
    if (!code)
        code = pick(m, &index);
    if (code)
        return code;
    *c = (struct device_choice){.backend = backend, .index = index, .module = m};
    return STATUS_OK;
}

int device_choice_resolve(struct device_choice *c)
{
    char name[DEVICE_NAME];
    device_choice_name(c, name);
    if (!c->automatic && c->backend == BACKEND_CPU)
        return STATUS_OK;
    const int code = look(c, c->automatic ? BACKEND_CUDA : c->backend);
    if (!code)
        return code;
    if (c->automatic) {
        log_info("device auto means cpu here: %s", status_message());
        *c = (struct device_choice){.backend = BACKEND_CPU, .index = -1};
        return STATUS_OK;
    }
    char why[400];
    snprintf(why, sizeof why, "%s", status_message());
    return fail(code == STATUS_DEVICE ? STATUS_DEVICE : STATUS_UNSUPPORTED, "device %s is not available: %s", name,
                why);
}

void device_choice_name(const struct device_choice *c, char out[DEVICE_NAME])
{
    if (c->automatic)
        snprintf(out, DEVICE_NAME, "auto");
    else if (c->backend == BACKEND_CUDA && c->index >= 0)
        snprintf(out, DEVICE_NAME, "cuda:%d", c->index);
    else
        snprintf(out, DEVICE_NAME, "%s", backend_name(c->backend));
}

bool device_choice_fits(const struct device_choice *c, const char *device)
{
    struct device_choice is;
    if (c->automatic)
        return true;
    return device_choice_parse(device, &is) == STATUS_OK && !is.automatic && is.backend == c->backend &&
           (c->index < 0 || c->index == is.index);
}
