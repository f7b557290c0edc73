#include "module.h"

#include "log.h"
#include "paths.h"
#include "status_origin.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKENDS = 3 };

static struct {
    const struct module *module;
    char path[PATHS_MAX];
} loaded[BACKENDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void host_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void host_log(int level, const char *format, ...)
{
    char text[900];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_write((enum log_level)level, "%s", text);
}

static const struct host_api host = {.fail = status_fail_on_device,
                                     .log = host_log,
                                     .stream = exec_stream,
                                     .arena = exec_device_arena,
                                     .plan = exec_plan};

const char *module_file(enum exec_backend backend)
{
    return backend == BACKEND_CUDA       ? "libwavemill_cuda.so"
           : backend == BACKEND_EMULATED ? "libwavemill_emulated.so"
                                         : NULL;
}

/* The first file of that name in the places where modules lie. */
static int find(const char *file, char *out, size_t capacity)
{
    char program[PATHS_MAX] = "", beside[PATHS_MAX + 8], places[3 * PATHS_MAX] = "";
    const char *wanted = getenv("WAVEMILL_MODULES");
    const int code = paths_program_folder(program, sizeof program);
    if (code)
        return code;
    snprintf(beside, sizeof beside, "%s/../lib", program);
    const char *const folders[] = {wanted && *wanted ? wanted : NULL, program, beside};
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        if (!folders[i])
            continue;
        if ((size_t)snprintf(out, capacity, "%s/%s", folders[i], file) < capacity && access(out, F_OK) == 0)
            return STATUS_OK;
        n += (size_t)snprintf(places + n, sizeof places - n, "%s%s", n ? ", " : "", folders[i]);
    }
    return fail(STATUS_NOT_FOUND, "there is no %s in %s", file, places);
}

/* Is it of this build? */
static int check(const struct module *m, const char *path)
{
    const size_t bytes = sizeof(struct module) + sizeof(struct device_api) + MODULE_OPS_ROWS * sizeof(void *);
    if (!m)
        return fail(STATUS_VERSION, "%s does not serve ABI %d, which this program has", path, MODULE_ABI);
    if (m->abi != MODULE_ABI)
        return fail(STATUS_VERSION, "%s has ABI %u, this program %d", path, m->abi, MODULE_ABI);
    if (m->bytes != bytes)
        return fail(STATUS_VERSION, "%s has tables of %u bytes, this program of %zu", path, m->bytes, bytes);
    if (!m->version || strcmp(m->version, WAVEMILL_VERSION) != 0)
        return fail(STATUS_VERSION, "%s is of version %.32s, this program of " WAVEMILL_VERSION, path,
                    m->version ? m->version : "unknown");
    if (!m->targets || !m->device || !m->ops)
        return fail(STATUS_VERSION, "%s lacks a part of its tables", path);
    return STATUS_OK;
}

static int load(const char *path, const struct module **out)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror(); /* may begin with the path, which is in our message */
        const size_t n = strlen(path);
        if (why && strncmp(why, path, n) == 0 && strncmp(why + n, ": ", 2) == 0)
            why += n + 2;
        return fail(STATUS_UNSUPPORTED, "%s cannot be loaded: %s", path, why ? why : "no reason given");
    }
    module_function *function = NULL;
    void *symbol = dlsym(library, MODULE_SYMBOL);
    memcpy(&function, &symbol, sizeof function); /* ISO C has no cast from data to code */
    const struct module *m = function ? function(MODULE_ABI, &host) : NULL;
    const int code =
        function ? check(m, path) : fail(STATUS_VERSION, "%s has no " MODULE_SYMBOL ": it is no module", path);
    if (code)
        dlclose(library);
    else
        *out = m;
    return code;
}

int module_load(enum exec_backend backend, const struct module **out)
{
    const char *file = module_file(backend);
    char path[PATHS_MAX];
    if (!file)
        return fail(STATUS_ARGUMENT, "the %s has no module", backend_name(backend));
    pthread_mutex_lock(&lock);
    int code = STATUS_OK;
    if (!loaded[backend].module) {
        code = find(file, path, sizeof path);
        if (!code)
            code = load(path, &loaded[backend].module);
        if (!code)
            snprintf(loaded[backend].path, sizeof loaded[backend].path, "%s", path);
    }
    if (!code)
        *out = loaded[backend].module;
    pthread_mutex_unlock(&lock);
    return code;
}

const char *module_path(enum exec_backend backend)
{
    pthread_mutex_lock(&lock);
    const char *path = (unsigned)backend < BACKENDS && loaded[backend].module ? loaded[backend].path : "";
    pthread_mutex_unlock(&lock);
    return path;
}
