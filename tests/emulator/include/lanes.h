/* lanes - what a kernel's thread sees: its place, shared memory, barriers, warp collectives, asynchronous copies. Every
 * collective carries its place in the source, so that threads that meet at different places are told apart. */
#ifndef EMULATOR_LANES_H
#define EMULATOR_LANES_H
#include <cstddef>
#include <cstdint>
#include <cstring>

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

struct emulator_place {
    uint3 thread, block;
    dim3 block_dim, grid_dim;
};

extern thread_local emulator_place emulator_here; /* of the thread that runs */
#define threadIdx (emulator_here.thread)
#define blockIdx (emulator_here.block)
#define blockDim (emulator_here.block_dim)
#define gridDim (emulator_here.grid_dim)
enum { warpSize = 32 };

struct site {
    const char *file;
    int line;
    const char *what;
};
#define SITE(what) \
    site \
    { \
        __FILE__, __LINE__, what \
    }

void *emulator_shared(std::size_t bytes, const char *name, const char *file, int line);
void *emulator_shared_dynamic(void);
void emulator_barrier(site s);

enum emulator_collective { WARP_SYNC, WARP_SHUFFLE, WARP_UP, WARP_DOWN, WARP_XOR, WARP_BALLOT, WARP_MMA };

/* Waits for the lanes of the mask; the result is that lane's value, or the ballot. */
std::uint64_t emulator_warp(site s, emulator_collective kind, unsigned mask, std::uint64_t value, int argument,
                            int width);

template <typename T>
T emulator_exchange(site s, emulator_collective kind, unsigned mask, T value, int argument, int width = 32)
{
    static_assert(sizeof(T) <= 8, "a lane passes 8 bytes at most");
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = emulator_warp(s, kind, mask, bits, argument, width);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

#define __syncthreads() emulator_barrier(SITE("__syncthreads"))
#define __syncwarp(...) emulator_warp(SITE("__syncwarp"), WARP_SYNC, emulator_mask(__VA_ARGS__), 0, 0, 32)
#define __shfl_sync(mask, value, ...) emulator_exchange(SITE("__shfl_sync"), WARP_SHUFFLE, mask, value, __VA_ARGS__)
#define __shfl_up_sync(mask, value, ...) emulator_exchange(SITE("__shfl_up_sync"), WARP_UP, mask, value, __VA_ARGS__)
#define __shfl_down_sync(mask, value, ...) \
    emulator_exchange(SITE("__shfl_down_sync"), WARP_DOWN, mask, value, __VA_ARGS__)
#define __shfl_xor_sync(mask, value, ...) emulator_exchange(SITE("__shfl_xor_sync"), WARP_XOR, mask, value, __VA_ARGS__)
#define __ballot_sync(mask, is) ((unsigned)emulator_warp(SITE("__ballot_sync"), WARP_BALLOT, mask, !!(is), 0, 32))
#define __any_sync(mask, is) (emulator_warp(SITE("__any_sync"), WARP_BALLOT, mask, !!(is), 0, 32) != 0)
#define __all_sync(mask, is) (emulator_warp(SITE("__all_sync"), WARP_BALLOT, mask, !(is), 0, 32) == 0)

inline unsigned emulator_mask(unsigned mask = 0xffffffffu)
{
    return mask;
}

/* cp.async: the bytes arrive when the thread waits for their group, not before. */
void emulator_copy_async(void *shared, const void *global, std::size_t bytes, const char *file, int line);
void emulator_copy_commit(void);
void emulator_copy_wait(int groups_left);

#define copy_async(shared, global, bytes) emulator_copy_async(shared, global, bytes, __FILE__, __LINE__)
#define copy_async_commit() emulator_copy_commit()
#define copy_async_wait(groups_left) emulator_copy_wait(groups_left)

#endif
