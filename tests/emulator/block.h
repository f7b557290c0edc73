/* block - the threads of one block while it runs: what the other parts of the emulator need to know of it. */
#ifndef EMULATOR_BLOCK_H
#define EMULATOR_BLOCK_H
#include "emulator.h"
#include "fiber.h"
#include "lanes.h"

#include <functional>
#include <vector>

enum lane_state { LANE_READY, LANE_AT_BARRIER, LANE_IN_WARP, LANE_ENDED };

struct pending_copy {
    void *shared;
    const void *global;
    std::size_t bytes;
    int group;
};

struct lane {
    fiber context;
    uint3 thread;
    lane_state state;
    site at; /* of the collective that it waits in */
    emulator_collective kind;
    unsigned mask;
    int argument, width;
    std::uint64_t value, result;
    std::uint32_t warp_steps; /* collectives passed, to order accesses within a warp */
    int group, group_waited;
    std::vector<pending_copy> copies;
};

struct shared_array {
    const char *name, *file;
    int line;
    unsigned char *data;
    std::size_t bytes;
};

enum { THREADS_MOST = 1024, RED_ZONE = 64 };

struct block_run {
    const char *kernel;
    const std::function<void()> *body;
    fiber scheduler;
    lane *lanes;        /* [count] */
    int count, running; /* running: the thread that has the processor */
    int at_barrier, ended;
    std::uint32_t barriers; /* passed */
    std::vector<int> ready;
    std::vector<shared_array> shared;
    unsigned char *arena; /* shared memory with red zones between the arrays */
    std::size_t arena_used, dynamic_bytes;
    unsigned char *dynamic;
    std::uint64_t random;
};

extern thread_local block_run *emulator_block; /* NULL outside kernels */

/* Runs one block to its end. */
void block_execute(const char *kernel, dim3 grid, dim3 block, uint3 index, std::size_t dynamic_bytes,
                   const std::function<void()> &body);

/* Ends the process: the rule that was broken, where, by which thread. */
[[noreturn]] void emulator_report(const site *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What counting builds do at each of these points; empty in others. */
void access_block_begins(block_run *b);
void access_block_ends(block_run *b);
void access_shared_new(block_run *b, const shared_array *a);
void access_copy_begins(const void *shared, std::size_t bytes); /* asynchronous: what is there now may not be read */
void access_copy_arrives(const void *shared, std::size_t bytes);
void access_allocated(const void *memory, std::size_t bytes, const char *file, int line);
void access_freed(const void *memory);

#endif
