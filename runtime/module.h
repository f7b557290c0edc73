/* module - loads the half of Wavemill that knows CUDA, or the emulator in its place.
 *
 * libwavemill_cuda.so and libwavemill_emulated.so export one symbol, wavemill_module. They are looked for in the folder
 * that WAVEMILL_MODULES names, beside the program, and in ../lib from there; the first that exists is taken.
 *
 *   ownership    a module stays loaded until the process ends; what module_load returns lives as long
 *   errors       STATUS_NOT_FOUND: no such file in any of the places, which the message lists; STATUS_VERSION: made by
 *                another build (ABI or version differ, both named); STATUS_UNSUPPORTED: it cannot be loaded here (a
 *                library that it needs is missing, named); STATUS_ARGUMENT: the CPU has no module
 *   threads      any */
#ifndef MODULE_H
#define MODULE_H
#include "device.h"
#include "exec.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { MODULE_ABI = 5 }; /* one more with every change to struct module, device_api, host_api or ops */

/* Rows of struct ops, all as large as a pointer: this room may not include kernels, which hold themselves to the
 * number. */
enum { MODULE_OPS_ROWS = 63 };

struct module {
    uint32_t abi;
    uint32_t bytes;      /* sizeof(struct module) + sizeof(struct device_api) + sizeof(struct ops) there */
    const char *version; /* WAVEMILL_VERSION of the build */
    const char *targets; /* what it has code for: "sm_90a compute_90", or "emulated" */
    const struct device_api *device;
    const struct ops *ops;
};

/* The exported symbol. NULL when the module cannot serve a host of that ABI. */
typedef const struct module *module_function(uint32_t abi, const struct host_api *host);
#define MODULE_SYMBOL "wavemill_module"

int module_load(enum exec_backend backend, const struct module **out) MUST_USE;

/* The name of the file: "libwavemill_cuda.so"; NULL for the CPU. */
const char *module_file(enum exec_backend backend);

/* Where the loaded module came from; "" before. */
const char *module_path(enum exec_backend backend);

#ifdef __cplusplus
}
#endif
#endif
