/* exec - where operations run: backend, device, threads, scratch arenas and the cache of plans.
 *
 *   ownership    exec owns its arenas, threads, stream and plans; what exec_plan returns lives until exec_destroy.
 *                Execs that share a device (exec_options.shared) may be destroyed in any order: the last closes it
 *   errors       on a device those of device.h; after STATUS_DEVICE only exec_destroy is of use any more
 *   threads      an exec serves one calling thread at a time; exec_parallel spreads a loop over its pool
 *   determinism  "same device" = same backend, ISA and thread count */
#ifndef EXEC_H
#define EXEC_H
#include "arena.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

struct exec;
struct ops;    /* kernels/ops.h */
struct module; /* module.h */
struct device; /* device.h, these three */
struct device_api;
struct device_stream;

enum exec_backend { BACKEND_CPU = 0, BACKEND_CUDA = 1, BACKEND_EMULATED = 2 };
enum exec_isa { ISA_SCALAR = 0, ISA_AVX2 = 1, ISA_AVX512 = 2 };

struct exec_options {
    enum exec_backend backend;
    enum exec_isa isa;
    int threads;           /* 1 to 1024; 1 starts no thread */
    size_t arena_bytes;    /* scratch for operations; 0: EXEC_ARENA_BYTES for each thread */
    const struct ops *ops; /* the backend's table; borrowed. NULL: the module's */

    /* Only where the backend is not the CPU. */
    const struct module *module; /* from module_load */
    int device;                  /* which one, from 0 */
    uint64_t memory_limit;       /* most bytes of device memory, plans and scratch included; 0: what there is */
    size_t device_arena_bytes;   /* scratch in device memory; 0: EXEC_ARENA_BYTES */
    struct exec *shared;         /* takes its device, opened with its limit, instead of opening one; NULL: opens */
};

enum { EXEC_ARENA_BYTES = 64 << 20 }; /* per thread; untouched pages cost nothing */

int exec_create(const struct exec_options *options, struct exec **out) MUST_USE;
void exec_destroy(struct exec **ex);

const struct ops *exec_ops(const struct exec *ex);
enum exec_backend exec_backend(const struct exec *ex);
enum exec_isa exec_isa(const struct exec *ex);
int exec_threads(const struct exec *ex);
struct arena *exec_arena(struct exec *ex);

/* What an exec on a device has; all NULL on the CPU. Addresses in the device arena are for the device alone. */
struct device *exec_device(const struct exec *ex);
const struct device_api *exec_device_api(const struct exec *ex);
struct device_stream *exec_stream(const struct exec *ex);
struct arena *exec_device_arena(struct exec *ex);

const char *backend_name(enum exec_backend backend);          /* "cpu", "cuda", "emulated" */
const char *isa_name(enum exec_isa isa);                      /* "scalar", "avx2", "avx512" */
int isa_parse(const char *name, enum exec_isa *out) MUST_USE; /* STATUS_ARGUMENT lists the names */

/* Whether this processor runs it, and the widest that it does. */
bool isa_supported(enum exec_isa isa);
enum exec_isa isa_best(void);

/* Calls body(context, i) for every i in [0, count), each once, in any order and on any of the pool's threads; returns
 * when all are done. The first code other than 0 in index order is returned with its message. */
int exec_parallel(struct exec *ex, int64_t count, int (*body)(void *context, int64_t i), void *context) MUST_USE;

/* How a plan is made: `bytes` gives its size for the parameters, `init` fills 64-byte aligned memory of that size.
 * A plan that is on_device begins with `const void *device`: exec_plan copies the whole to device memory and sets this
 * member, in both, to where the copy is. Else the plan knows no address: the same bytes serve in both places. */
struct plan_kind {
    const char *name;
    size_t params_bytes; /* parameters are compared byte by byte: clear the padding of the struct */
    size_t (*bytes)(const void *params);
    int (*init)(void *plan, const void *params);
    bool on_device;
    void (*close)(void *plan); /* before its memory is freed; NULL: nothing to do */
};

/* The plan for these parameters, from the cache or made now; in host memory. Making one that is on_device waits for the
 * stream: not while a graph is recorded. */
int exec_plan(struct exec *ex, const struct plan_kind *kind, const void *params, const void **out) MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
