/* doctor, the GPU: the module, the driver and the devices, each with what is wrong with it. */
#include "device.h"
#include "doctor.h"
#include "module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { DEVICES_SHOWN = 8 };

/* What the installed driver serves, as CUDA counts versions (13010: 13.1); 0: no driver's library here. Asked without
 * the module, which may be missing for reasons of its own. */
static int driver_version(void)
{
    int (*ask)(int *version) = NULL;
    int version = 0;
    void *library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "cuDriverGetVersion") : NULL;
    memcpy(&ask, &symbol, sizeof ask);
    const bool told = ask && ask(&version) == 0;
    if (library)
        dlclose(library);
    return told ? version : 0;
}

/* The kernel's half says its number here: "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun ...". */
static bool kernel_driver(char *out, size_t capacity)
{
    FILE *f = fopen("/proc/driver/nvidia/version", "re");
    char line[256] = "";
    const bool there = f && fgets(line, sizeof line, f);
    if (f)
        fclose(f);
    const char *number = strpbrk(line, "0123456789");
    while (number && !(number[strspn(number, "0123456789")] == '.' && number > line && number[-1] == ' '))
        number = strpbrk(number + strspn(number, "0123456789."), "0123456789");
    snprintf(out, capacity, "%.*s", number ? (int)strcspn(number, " \n") : 0, number ? number : "");
    return there;
}

static const struct module *look_at_module(struct findings *f)
{
    struct finding *m = doctor_find(f, "cuda module");
    const struct module *module = NULL;
    const int code = module_load(BACKEND_CUDA, &module);
    if (!code) {
        snprintf(m->value, sizeof m->value, "%s, version %s, code for %s", module_path(BACKEND_CUDA), module->version,
                 module->targets);
        return module;
    }
    snprintf(m->value, sizeof m->value, "%s", status_message());
    if (code == STATUS_NOT_FOUND)
        m->mend = "for a GPU: tools/bootstrap --cuda, then cmake -S . -B build -G Ninja && cmake --build build";
    else if (code == STATUS_VERSION)
        m->mend = "build or install the programs and the module together: cmake --build build";
    else
        m->mend = "install the library that it names: tools/bootstrap --cuda";
    return NULL;
}

static int look_at_driver(struct findings *f)
{
    struct finding *d = doctor_find(f, "nvidia driver");
    char number[32];
    const bool kernel = kernel_driver(number, sizeof number);
    const int version = driver_version();
    if (version) {
        snprintf(d->value, sizeof d->value, "%s%sfor CUDA %d.%d", number, *number ? ", " : "", version / 1000,
                 version % 1000 / 10);
    } else if (kernel) {
        snprintf(d->value, sizeof d->value, "%s in the kernel, but there is no libcuda.so.1", number);
        d->mend = "apt-get install libcuda1; in a container: start it with --gpus all";
    } else {
        snprintf(d->value, sizeof d->value, "none");
        d->mend = "for a GPU: apt-get install nvidia-driver (of Debian's non-free section), then reboot";
    }
    return version;
}

static void look_at_device(struct findings *f, const struct module *module, int index)
{
    struct device_info info;
    char name[24];
    snprintf(name, sizeof name, "device cuda:%d", index);
    struct finding *d = doctor_find(f, name);
    if (module->device->describe(index, &info)) {
        snprintf(d->value, sizeof d->value, "%s", status_message());
        d->mend = "nvidia-smi says more; a device that was lost comes back with nvidia-smi --gpu-reset, or a reboot";
        return;
    }
    snprintf(d->value, sizeof d->value, "%s, %.1f GiB, compute capability %d.%d, %s", info.name,
             (double)info.memory_bytes / 1073741824, info.major, info.minor,
             info.supported ? "supported" : "not supported by this module");
    if (!info.supported)
        d->mend = "build the module with code for it: cmake -S . -B build -DWAVEMILL_CUDA_TARGETS=all && cmake --build "
                  "build; below 7.5 there is none";
}

void doctor_look_at_gpu(struct findings *f)
{
    const struct module *module = look_at_module(f);
    const int version = look_at_driver(f);
    int count = 0;
    if (!module)
        return;
    const int code = module->device->count(&count);
    if (code || count == 0) {
        struct finding *d = doctor_find(f, "device cuda");
        snprintf(d->value, sizeof d->value, "%s", code ? status_message() : "the driver shows no device");
        if (code == STATUS_DEVICE)
            d->mend =
                "nvidia-smi says more; a device that was lost comes back with nvidia-smi --gpu-reset, or a reboot";
        else if (code && !version)
            d->mend = "install the driver, as above";
        else if (code)
            d->mend = "a newer driver: apt-get install nvidia-driver; right after an update: reboot";
        else
            d->mend = "look for one with lspci -d 10de: and check CUDA_VISIBLE_DEVICES; in a container: --gpus all";
    }
    for (int i = 0; i < count && i < DEVICES_SHOWN; i++)
        look_at_device(f, module, i);
}
