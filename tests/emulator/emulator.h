/* emulator - what tests set on the emulator, and what it reports. Everything is of the process.
 *
 * The environment sets the same before the first launch: WAVEMILL_EMULATOR=order=reverse,seed=3,memory=64M,
 * piece=1M,lose=12,devices=0,driver=11080 (see configure in runtime.cpp).
 *
 *   errors       a kernel that breaks a rule ends the process: one line on stderr with the rule, the kernel, thread and
 *                block, file and line; then abort() */
#ifndef EMULATOR_H
#define EMULATOR_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

#define EMULATOR_EXPORT __attribute__((visibility("default")))

enum emulator_order { EMULATOR_RANDOM = 0, EMULATOR_FORWARD = 1, EMULATOR_REVERSE = 2 };

struct emulator_settings {
    enum emulator_order order; /* in which the threads of a block run on */
    uint64_t seed;
    uint64_t memory_bytes; /* of the device */
    uint64_t piece_bytes;  /* that one allocation may have; 0: all of it */
    uint64_t lose_after;   /* launches until the device is lost; 0: never */
    int devices, driver_version;
    int capability; /* 10 * major + minor */
};

EMULATOR_EXPORT struct emulator_settings *emulator_current(void);

/* Accesses at one place of a kernel, over all launches so far; only in builds that count. */
struct emulator_site {
    const char *kernel;
    const void *address; /* of the instruction after it */
    int shared, write, bytes;
    uint64_t requests;     /* of a warp */
    uint64_t moved, least; /* global: sectors of 32 bytes, and the fewest that hold the bytes that are wanted;
                              shared: passes over the banks, and the fewest */
};

EMULATOR_EXPORT size_t emulator_sites(const struct emulator_site **out);
EMULATOR_EXPORT void emulator_sites_clear(void);

/* "FILE:LINE" of an instruction, the innermost line of a .cu or .cuh file; its address where nothing is known of it. */
EMULATOR_EXPORT void emulator_place_of(const void *address, char *out, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
