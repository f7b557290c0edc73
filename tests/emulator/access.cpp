/* Every access of a kernel, in builds whose kernels are compiled with -fsanitize=thread and linked to this file instead
 * of that sanitizer: what is read must have been written, what is touched must be memory that was asked for, threads
 * that share without a barrier between them race, and each place is counted for coalescing and bank conflicts. */
#include "block.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <unistd.h>
#include <unordered_map>

#ifndef EMULATOR_COUNTS

void access_block_begins(block_run *)
{
}
void access_block_ends(block_run *)
{
}
void access_shared_new(block_run *, const shared_array *)
{
}
void access_copy_begins(const void *, std::size_t)
{
}
void access_copy_arrives(const void *, std::size_t)
{
}
void access_allocated(const void *, std::size_t, const char *, int)
{
}
void access_freed(const void *)
{
}
size_t emulator_sites(const struct emulator_site **out)
{
    *out = nullptr;
    return 0;
}
void emulator_sites_clear(void)
{
}

#else

/* What is known of one byte of shared memory. */
struct shadow {
    std::uint32_t write_barriers, write_steps, read_barriers, read_steps;
    std::int16_t writer, reader; /* threads; -1: none, -2: several readers */
    bool written, pending;
};

struct device_block {
    const unsigned char *data;
    std::size_t bytes;
    const char *file;
    int line;
};

static const std::size_t ARENA_BYTES = 512 << 10;
static std::vector<shadow> shadows(ARENA_BYTES);
static std::map<const unsigned char *, device_block> blocks;
static bool busy; /* these functions use containers, whose code is not traced, and must not come back here */

/* ---- counting ---- */

struct touch {
    std::uintptr_t address;
    std::uint8_t lane, bytes;
};

/* The n-th time that a warp's lanes come to a place since they last waited for each other: lanes that go round a loop
 * less often meet the others again behind the next barrier or collective. */
struct request_key {
    const void *site;
    std::uint32_t warp, epoch, turn;
    bool operator==(const request_key &o) const
    {
        return site == o.site && warp == o.warp && epoch == o.epoch && turn == o.turn;
    }
};

struct lane_turn {
    std::uint32_t epoch, next;
};

struct request_hash {
    std::size_t operator()(const request_key &k) const
    {
        return (std::size_t)k.site * 31 + k.warp * 1000003 + k.turn * 7919 + k.epoch * 104729;
    }
};

static std::unordered_map<request_key, std::vector<touch>, request_hash> requests;
static std::unordered_map<std::uint64_t, lane_turn> turns; /* of a thread at a place */
static std::map<const void *, emulator_site> sites;
static std::vector<emulator_site> listed;

static void count_global(emulator_site *s, const std::vector<touch> &touches)
{
    std::vector<std::uintptr_t> sectors, bytes;
    for (const touch &t : touches)
        for (std::uintptr_t a = t.address; a < t.address + t.bytes; a++) {
            bytes.push_back(a);
            sectors.push_back(a / 32);
        }
    for (std::vector<std::uintptr_t> *v : {&sectors, &bytes}) {
        std::sort(v->begin(), v->end());
        v->erase(std::unique(v->begin(), v->end()), v->end());
    }
    s->moved += sectors.size();
    s->least += (bytes.size() + 31) / 32;
}

/* Lanes whose words fill 32 banks go together: 32 lanes of 4 bytes, 16 of 8, 8 of 16. Equal words are one access. */
static void count_shared(emulator_site *s, const std::vector<touch> &touches)
{
    const int width = s->bytes < 4 ? 4 : s->bytes, together = 32 * 4 / width;
    for (int first = 0; first < 32; first += together) {
        std::array<std::vector<std::uintptr_t>, 32> bank;
        bool any = false;
        for (const touch &t : touches)
            if (t.lane >= first && t.lane < first + together)
                for (std::uintptr_t w = t.address / 4; w <= (t.address + t.bytes - 1) / 4; w++) {
                    any = true;
                    if (std::find(bank[w % 32].begin(), bank[w % 32].end(), w) == bank[w % 32].end())
                        bank[w % 32].push_back(w);
                }
        std::size_t most = 0;
        for (const std::vector<std::uintptr_t> &b : bank)
            most = std::max(most, b.size());
        s->moved += most;
        s->least += any;
    }
}

static void count(const void *site, bool shared, bool write, const void *address, int bytes)
{
    block_run *const b = emulator_block;
    const int t = b->running;
    const std::uint32_t epoch = b->barriers + b->lanes[t].warp_steps;
    lane_turn *const turn = &turns[(std::uint64_t)(std::uintptr_t)site * 2048 + (std::uint64_t)t];
    if (turn->epoch != epoch)
        *turn = lane_turn{epoch, 0};
    emulator_site &s = sites[site];
    s.kernel = b->kernel;
    s.address = site;
    s.shared = shared;
    s.write = write;
    s.bytes = bytes;
    requests[request_key{site, (std::uint32_t)t / 32, epoch, turn->next++}].push_back(
        touch{(std::uintptr_t)address, (std::uint8_t)(t % 32), (std::uint8_t)bytes});
}

static void settle_requests()
{
    for (const auto &r : requests) {
        emulator_site *const s = &sites[r.first.site];
        s->requests++;
        if (s->shared)
            count_shared(s, r.second);
        else
            count_global(s, r.second);
    }
    requests.clear();
    turns.clear();
}

size_t emulator_sites(const struct emulator_site **out)
{
    listed.clear();
    for (const auto &s : sites)
        listed.push_back(s.second);
    *out = listed.data();
    return listed.size();
}

void emulator_sites_clear(void)
{
    sites.clear();
}

/* ---- rules ---- */

/* Where in the source an instruction comes from, for a message that ends the process anyway. */
[[noreturn]] static void report(const void *site, const std::string &text)
{
    char place[512];
    emulator_place_of(site, place, sizeof place);
    emulator_report(nullptr, "%s at %s", text.c_str(), place);
}

static std::string of_array(const block_run *b, const unsigned char *address)
{
    for (const shared_array &a : b->shared)
        if (address >= a.data && address < a.data + a.bytes)
            return "shared '" + std::string(a.name) + "' byte " + std::to_string(address - a.data);
    return "shared memory";
}

static bool ordered(const block_run *b, int other, std::uint32_t barriers, std::uint32_t steps)
{
    const lane *const self = &b->lanes[b->running];
    if (other == b->running || barriers < b->barriers)
        return true;
    return other / 32 == b->running / 32 && steps < self->warp_steps;
}

static void touch_shared(const void *site, const unsigned char *address, int bytes, bool write)
{
    block_run *const b = emulator_block;
    const lane *const self = &b->lanes[b->running];
    bool inside = false;
    for (const shared_array &a : b->shared)
        inside |= address >= a.data && address + bytes <= a.data + a.bytes;
    if (!inside)
        report(site, std::string(write ? "write" : "read") + " outside of any shared array");
    for (int i = 0; i < bytes; i++) {
        shadow *const s = &shadows[(std::size_t)(address + i - b->arena)];
        if (s->pending)
            report(site, (write ? "write over " : "read of ") + of_array(b, address) +
                             " that an asynchronous copy has not been waited for");
        if (!write && !s->written)
            report(site, "read of unwritten " + of_array(b, address));
        if (s->writer >= 0 && !ordered(b, s->writer, s->write_barriers, s->write_steps))
            report(site, "race: " + std::string(write ? "write" : "read") + " of " + of_array(b, address) +
                             " that thread " + std::to_string(s->writer) + " wrote, with no barrier between");
        if (write) {
            if (s->reader == -2 && s->read_barriers == b->barriers)
                report(site, "race: write of " + of_array(b, address) +
                                 " that several threads read, with no barrier "
                                 "between");
            if (s->reader >= 0 && !ordered(b, s->reader, s->read_barriers, s->read_steps))
                report(site, "race: write of " + of_array(b, address) + " that thread " + std::to_string(s->reader) +
                                 " read, with no barrier between");
            s->writer = (std::int16_t)b->running;
            s->write_barriers = b->barriers;
            s->write_steps = self->warp_steps;
            s->reader = -1;
            s->written = true;
        } else {
            const bool fresh = s->reader == -1 || s->read_barriers < b->barriers || s->reader == b->running;
            const bool same_warp = s->reader >= 0 && s->reader / 32 == b->running / 32;
            s->reader = fresh || same_warp ? (std::int16_t)b->running : (std::int16_t)-2;
            s->read_barriers = b->barriers;
            s->read_steps = self->warp_steps;
        }
    }
}

static void touch_global(const void *site, const unsigned char *address, int bytes, bool write)
{
    auto at = blocks.upper_bound(address);
    if (at == blocks.begin())
        return;
    const device_block d = (--at)->second;
    if (address >= d.data + d.bytes + 256) /* the host's memory: parameters, tables */
        return;
    if (address + bytes > d.data + d.bytes)
        report(site, std::string(write ? "write " : "read ") + std::to_string(address - d.data) +
                         " bytes into device "
                         "memory of " +
                         std::to_string(d.bytes) + " bytes from " + d.file + ":" + std::to_string(d.line));
    count(site, false, write, address, bytes);
}

static void touch_any(const void *site, const void *address, int bytes, bool write)
{
    block_run *const b = emulator_block;
    if (!b || b->running < 0 || busy)
        return;
    const unsigned char *const p = (const unsigned char *)address;
    const lane *const self = &b->lanes[b->running];
    if (p >= (unsigned char *)self->context.bottom && p < (unsigned char *)self->context.bottom + self->context.bytes)
        return;
    busy = true;
    if ((std::uintptr_t)p % (unsigned)bytes && bytes <= 16)
        report(site, std::to_string(bytes) + " bytes at a misaligned address");
    if (p >= b->arena && p < b->arena + ARENA_BYTES) {
        touch_shared(site, p, bytes, write);
        count(site, true, write, p, bytes);
    } else {
        touch_global(site, p, bytes, write);
    }
    busy = false;
}

void access_block_begins(block_run *)
{
}

void access_block_ends(block_run *)
{
    settle_requests();
}

void access_shared_new(block_run *b, const shared_array *a)
{
    for (std::size_t i = 0; i < a->bytes; i++)
        shadows[(std::size_t)(a->data - b->arena) + i] = shadow{0, 0, 0, 0, -1, -1, false, false};
}

void access_copy_begins(const void *shared, std::size_t bytes)
{
    block_run *const b = emulator_block;
    touch_any(__builtin_return_address(0), shared, (int)bytes, true);
    for (std::size_t i = 0; i < bytes; i++)
        shadows[(std::size_t)((const unsigned char *)shared - b->arena) + i].pending = true;
}

void access_copy_arrives(const void *shared, std::size_t bytes)
{
    block_run *const b = emulator_block;
    for (std::size_t i = 0; i < bytes; i++)
        shadows[(std::size_t)((const unsigned char *)shared - b->arena) + i].pending = false;
}

void access_allocated(const void *memory, std::size_t bytes, const char *file, int line)
{
    blocks[(const unsigned char *)memory] = device_block{(const unsigned char *)memory, bytes, file, line};
}

void access_freed(const void *memory)
{
    blocks.erase((const unsigned char *)memory);
}

/* ---- what the compiler calls ---- */

#define CALLBACK(name, bytes, write) \
    extern "C" void name(void *address) \
    { \
        touch_any(__builtin_return_address(0), address, bytes, write); \
    }
CALLBACK(__tsan_read1, 1, false)
CALLBACK(__tsan_read2, 2, false)
CALLBACK(__tsan_read4, 4, false)
CALLBACK(__tsan_read8, 8, false)
CALLBACK(__tsan_read16, 16, false)
CALLBACK(__tsan_write1, 1, true)
CALLBACK(__tsan_write2, 2, true)
CALLBACK(__tsan_write4, 4, true)
CALLBACK(__tsan_write8, 8, true)
CALLBACK(__tsan_write16, 16, true)
CALLBACK(__tsan_unaligned_read2, 2, false)
CALLBACK(__tsan_unaligned_read4, 4, false)
CALLBACK(__tsan_unaligned_read8, 8, false)
CALLBACK(__tsan_unaligned_read16, 16, false)
CALLBACK(__tsan_unaligned_write2, 2, true)
CALLBACK(__tsan_unaligned_write4, 4, true)
CALLBACK(__tsan_unaligned_write8, 8, true)
CALLBACK(__tsan_unaligned_write16, 16, true)

/* Atomics become calls too, those of host code among them. */
#define ATOMIC(bits, type) \
    extern "C" type __tsan_atomic##bits##_load(const volatile type *at, int) \
    { \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST); \
    } \
    extern "C" void __tsan_atomic##bits##_store(volatile type *at, type value, int) \
    { \
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST); \
    } \
    extern "C" type __tsan_atomic##bits##_exchange(volatile type *at, type value, int) \
    { \
        return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST); \
    } \
    extern "C" type __tsan_atomic##bits##_fetch_add(volatile type *at, type value, int) \
    { \
        return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST); \
    }
ATOMIC(8, std::uint8_t)
ATOMIC(32, std::uint32_t)
ATOMIC(64, std::uint64_t)

extern "C" void __tsan_init(void)
{
}
extern "C" void __tsan_func_entry(void *)
{
}
extern "C" void __tsan_func_exit(void)
{
}
extern "C" void __tsan_vptr_update(void **, void *)
{
}
extern "C" void __tsan_vptr_read(void **)
{
}
extern "C" void __tsan_read_range(void *address, std::size_t bytes)
{
    for (std::size_t i = 0; i < bytes; i++)
        touch_any(__builtin_return_address(0), (char *)address + i, 1, false);
}
extern "C" void __tsan_write_range(void *address, std::size_t bytes)
{
    for (std::size_t i = 0; i < bytes; i++)
        touch_any(__builtin_return_address(0), (char *)address + i, 1, true);
}

#endif
