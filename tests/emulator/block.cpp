#include "block.h"
#include "mma.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

thread_local block_run *emulator_block;
thread_local emulator_place emulator_here;

enum { ARENA_BYTES = 512 << 10, POISON = 0xff, CANARY = 0xa5 };
static const std::size_t SHARED_MOST = 227 << 10;

void emulator_report(const site *s, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    std::vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const block_run *const b = emulator_block;
    char where[160] = "";
    if (b && b->running >= 0)
        std::snprintf(where, sizeof where, ", thread (%u,%u,%u) of block (%u,%u,%u)", threadIdx.x, threadIdx.y,
                      threadIdx.z, blockIdx.x, blockIdx.y, blockIdx.z);
    else if (b)
        std::snprintf(where, sizeof where, ", block (%u,%u,%u)", blockIdx.x, blockIdx.y, blockIdx.z);
    std::fprintf(stderr, "emulator: %s; kernel %s%s", text, b ? b->kernel : "none", where);
    if (s)
        std::fprintf(stderr, ", %s:%d", s->file, s->line);
    std::fprintf(stderr, "\n");
    std::abort();
}

/* ---- the order of threads ---- */

static std::uint64_t next_random(std::uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static std::size_t choose(block_run *b)
{
    const emulator_order order = emulator_current()->order;
    std::size_t best = 0;
    if (order == EMULATOR_RANDOM)
        return next_random(&b->random) % b->ready.size();
    for (std::size_t i = 1; i < b->ready.size(); i++)
        if ((b->ready[i] < b->ready[best]) == (order == EMULATOR_FORWARD))
            best = i;
    return best;
}

static void make_ready(block_run *b, int t)
{
    b->lanes[t].state = LANE_READY;
    b->ready.push_back(t);
}

/* The running thread waits; comes back when it has been made ready and chosen. */
static void wait_for_others(void)
{
    block_run *const b = emulator_block;
    lane *const self = &b->lanes[b->running];
    fiber_switch(&self->context, &b->scheduler, false);
}

/* ---- shared memory ---- */

static unsigned char *take_shared(block_run *b, std::size_t bytes, const char *name, const char *file, int line)
{
    const std::size_t room = (bytes + RED_ZONE - 1) / RED_ZONE * RED_ZONE + RED_ZONE;
    std::size_t wanted = bytes;
    for (const shared_array &a : b->shared)
        wanted += a.bytes;
    const site s = {file, line, name};
    if (wanted > SHARED_MOST || b->arena_used + room > ARENA_BYTES)
        emulator_report(&s, "%zu bytes of shared memory, a block has %zu at most", wanted, SHARED_MOST);
    unsigned char *const data = b->arena + b->arena_used;
    b->arena_used += room;
    ASAN_UNPOISON_MEMORY_REGION(data, bytes);
    std::memset(data, POISON, bytes); /* as floats: NaN */
    b->shared.push_back(shared_array{name, file, line, data, bytes});
    access_shared_new(b, &b->shared.back());
    return data;
}

void *emulator_shared(std::size_t bytes, const char *name, const char *file, int line)
{
    block_run *const b = emulator_block;
    for (const shared_array &a : b->shared)
        if (a.line == line && std::strcmp(a.file, file) == 0 && std::strcmp(a.name, name) == 0)
            return a.data;
    return take_shared(b, bytes, name, file, line);
}

void *emulator_shared_dynamic(void)
{
    return emulator_block->dynamic;
}

/* What a thread of the host runs blocks with: shared memory, and fibers with their stacks. */
struct room {
    unsigned char *arena;
    lane *lanes;
};

static std::mutex rooms_lock;
static std::vector<room> idle_rooms;

static room room_new(void)
{
    room r = {(unsigned char *)std::aligned_alloc(256, ARENA_BYTES), new lane[THREADS_MOST]()};
    std::memset(r.arena, CANARY, ARENA_BYTES);
    for (int t = 0; t < THREADS_MOST; t++)
        fiber_stack(&r.lanes[t].context);
    return r;
}

/* A thread's, from its first block to its end; then the next thread's. */
struct room_of_thread {
    room mine;
    room_of_thread()
    {
        const std::lock_guard<std::mutex> hold(rooms_lock);
        if (idle_rooms.empty()) {
            mine = room_new();
            return;
        }
        mine = idle_rooms.back();
        idle_rooms.pop_back();
    }
    ~room_of_thread()
    {
        const std::lock_guard<std::mutex> hold(rooms_lock);
        idle_rooms.push_back(mine);
    }
};

static const room &room_here(void)
{
    static thread_local const room_of_thread here;
    return here.mine;
}

static void open_shared(block_run *b)
{
    b->arena = room_here().arena;
    ASAN_POISON_MEMORY_REGION(b->arena, ARENA_BYTES);
    b->arena_used = RED_ZONE;
    if (b->dynamic_bytes)
        b->dynamic = take_shared(b, b->dynamic_bytes, "dynamic", "launch", 0);
}

static void close_shared(block_run *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b->arena, ARENA_BYTES);
    for (const shared_array &a : b->shared) {
        const site s = {a.file, a.line, a.name};
        for (const unsigned char *p = a.data + a.bytes; p < a.data + a.bytes + RED_ZONE; p++)
            if (*p != CANARY)
                emulator_report(&s, "written %td bytes past the end of shared '%s'",
                                p - a.data - (std::ptrdiff_t)a.bytes, a.name);
        for (const unsigned char *p = a.data - 1; p >= a.data - 4; p--)
            if (&a == &b->shared[0] && *p != CANARY)
                emulator_report(&s, "written before the beginning of shared '%s'", a.name);
    }
    std::memset(b->arena, CANARY, b->arena_used);
}

/* ---- asynchronous copies ---- */

void emulator_copy_async(void *shared, const void *global, std::size_t bytes, const char *file, int line)
{
    lane *const self = &emulator_block->lanes[emulator_block->running];
    const site s = {file, line, "copy_async"};
    if ((bytes != 4 && bytes != 8 && bytes != 16) || (std::uintptr_t)shared % bytes || (std::uintptr_t)global % bytes)
        emulator_report(&s, "an asynchronous copy of %zu bytes from %p to %p: 4, 8 or 16, aligned to as many", bytes,
                        global, shared);
    std::memset(shared, POISON, bytes);
    access_copy_begins(shared, bytes);
    self->copies.push_back(pending_copy{shared, global, bytes, self->group});
}

void emulator_copy_commit(void)
{
    emulator_block->lanes[emulator_block->running].group++;
}

void emulator_copy_wait(int groups_left)
{
    lane *const self = &emulator_block->lanes[emulator_block->running];
    std::vector<pending_copy> later;
    for (const pending_copy &c : self->copies) {
        if (c.group >= self->group - groups_left) {
            later.push_back(c);
            continue;
        }
        std::memcpy(c.shared, c.global, c.bytes);
        access_copy_arrives(c.shared, c.bytes);
    }
    self->copies.swap(later);
}

/* ---- barriers and collectives ---- */

static void pass_barrier(block_run *b)
{
    const lane *const first = &b->lanes[0];
    for (int t = 0; t < b->count; t++) {
        const lane *const l = &b->lanes[t];
        if (l->at.line != first->at.line || std::strcmp(l->at.file, first->at.file) != 0)
            emulator_report(&l->at, "threads of a block meet at different barriers: thread 0 at %s:%d, thread %d here",
                            first->at.file, first->at.line, t);
    }
    b->at_barrier = 0;
    b->barriers++;
    for (int t = 0; t < b->count; t++)
        make_ready(b, t);
}

void emulator_barrier(site s)
{
    block_run *const b = emulator_block;
    lane *const self = &b->lanes[b->running];
    self->state = LANE_AT_BARRIER;
    self->at = s;
    if (b->ended)
        emulator_report(&s, "a barrier that %d threads have exited before", b->ended);
    if (++b->at_barrier == b->count)
        pass_barrier(b);
    wait_for_others();
}

static bool same_place(const lane *a, const lane *b)
{
    return a->at.line == b->at.line && a->kind == b->kind && a->mask == b->mask &&
           std::strcmp(a->at.file, b->at.file) == 0;
}

/* The lane whose value lane l of the warp takes; itself where there is none. */
static int source_lane(const lane *self, int l)
{
    const int width = self->width, base = l / width * width;
    int from = l;
    switch (self->kind) {
    case WARP_SHUFFLE:
        return base + (int)((unsigned)self->argument % (unsigned)width);
    case WARP_UP:
        from = l - self->argument;
        return from < base ? l : from;
    case WARP_DOWN:
        from = l + self->argument;
        return from >= base + width ? l : from;
    case WARP_XOR:
        from = l ^ self->argument;
        return from >= base + width ? l : from;
    default:
        return l;
    }
}

static void multiply_warp(block_run *b, int warp)
{
    emulator_fragment *fragment[32];
    for (int l = 0; l < 32; l++)
        fragment[l] = (emulator_fragment *)(std::uintptr_t)b->lanes[warp * 32 + l].value;
    emulator_mma_warp(fragment);
}

static void pass_collective(block_run *b, int warp, unsigned mask)
{
    std::uint64_t ballot = 0;
    if (b->lanes[b->running].kind == WARP_MMA)
        multiply_warp(b, warp);
    for (int l = 0; l < 32; l++)
        if (mask >> l & 1 && b->lanes[warp * 32 + l].value)
            ballot |= 1ULL << l;
    for (int l = 0; l < 32; l++) {
        if (!(mask >> l & 1))
            continue;
        lane *const self = &b->lanes[warp * 32 + l];
        const int from = source_lane(self, l);
        if (!(mask >> from & 1))
            emulator_report(&self->at, "%s takes a value from inactive lane %d: lane %d, mask %08x", self->at.what,
                            from, l, mask);
        self->result = self->kind == WARP_BALLOT ? ballot : b->lanes[warp * 32 + from].value;
    }
    for (int l = 0; l < 32; l++)
        if (mask >> l & 1) {
            b->lanes[warp * 32 + l].warp_steps++;
            make_ready(b, warp * 32 + l);
        }
}

std::uint64_t emulator_warp(site s, emulator_collective kind, unsigned mask, std::uint64_t value, int argument,
                            int width)
{
    block_run *const b = emulator_block;
    lane *const self = &b->lanes[b->running];
    const int warp = b->running / 32, in_warp = b->count - warp * 32;
    const unsigned there = in_warp >= 32 ? 0xffffffffu : (1u << in_warp) - 1;
    self->at = s;
    if (!(mask >> (b->running % 32) & 1))
        emulator_report(&s, "%s with mask %08x, which does not name the calling lane %d", s.what, mask,
                        b->running % 32);
    if (mask & ~there)
        emulator_report(&s, "%s with mask %08x in a warp of %d threads", s.what, mask, in_warp);
    if (width < 1 || width > 32 || (width & (width - 1)))
        emulator_report(&s, "%s with width %d", s.what, width);
    self->state = LANE_IN_WARP;
    self->kind = kind;
    self->mask = mask;
    self->value = value;
    self->argument = argument;
    self->width = width;
    bool all = true;
    for (int l = 0; l < 32 && all; l++)
        if (mask >> l & 1) {
            const lane *const other = &b->lanes[warp * 32 + l];
            all = other->state == LANE_IN_WARP && same_place(other, self);
        }
    if (all)
        pass_collective(b, warp, mask);
    wait_for_others();
    return self->result;
}

/* No thread can go on: says which rule that breaks. */
[[noreturn]] static void explain_standstill(block_run *b)
{
    for (int t = 0; t < b->count; t++) {
        const lane *const self = &b->lanes[t];
        if (self->state != LANE_IN_WARP)
            continue;
        for (int l = 0; l < 32; l++) {
            if (!(self->mask >> l & 1))
                continue;
            const lane *const other = &b->lanes[t / 32 * 32 + l];
            if (other->state == LANE_ENDED)
                emulator_report(&self->at, "%s with mask %08x waits for lane %d, which has exited", self->at.what,
                                self->mask, l);
            if (other->state == LANE_AT_BARRIER)
                emulator_report(&self->at, "divergent: %s waits for lane %d, which is at the barrier of %s:%d",
                                self->at.what, l, other->at.file, other->at.line);
            if (other->state == LANE_IN_WARP && !same_place(self, other))
                emulator_report(&self->at,
                                "divergent: %s with mask %08x waits for lane %d, which is in %s with mask "
                                "%08x at %s:%d",
                                self->at.what, self->mask, l, other->at.what, other->mask, other->at.file,
                                other->at.line);
        }
    }
    for (int t = 0; t < b->count; t++)
        if (b->lanes[t].state == LANE_AT_BARRIER)
            emulator_report(&b->lanes[t].at, "a barrier that %d of %d threads reach; %d have exited", b->at_barrier,
                            b->count, b->ended);
    emulator_report(nullptr, "no thread can go on");
}

/* ---- a block ---- */

static void thread_main(void *)
{
    block_run *const b = emulator_block;
    lane *const self = &b->lanes[b->running];
    fiber_arrived(&self->context, &b->scheduler);
    (*b->body)();
    if (!self->copies.empty()) {
        const site s = {"kernel", 0, "copy_async"};
        emulator_report(&s, "a thread exits with %zu asynchronous copies that it has not waited for",
                        self->copies.size());
    }
    self->state = LANE_ENDED;
    b->ended++;
    if (b->at_barrier)
        for (int t = 0; t < b->count; t++)
            if (b->lanes[t].state == LANE_AT_BARRIER)
                emulator_report(&b->lanes[t].at, "a barrier that a thread exits without: divergent");
    fiber_switch(&self->context, &b->scheduler, true);
}

static void begin_threads(block_run *b, dim3 block)
{
    int t = 0;
    for (unsigned z = 0; z < block.z; z++)
        for (unsigned y = 0; y < block.y; y++)
            for (unsigned x = 0; x < block.x; x++, t++) {
                lane *const l = &b->lanes[t];
                l->thread = uint3{x, y, z};
                l->warp_steps = 0;
                l->group = 0;
                l->copies.clear();
                fiber_begin(&l->context, thread_main, nullptr);
                make_ready(b, t);
            }
}

void block_execute(const char *kernel, dim3 grid, dim3 block, uint3 index, std::size_t dynamic_bytes,
                   const std::function<void()> &body)
{
    block_run b = {};
    b.kernel = kernel;
    b.body = &body;
    b.count = (int)(block.x * block.y * block.z);
    b.running = -1;
    b.lanes = room_here().lanes;
    b.dynamic_bytes = dynamic_bytes;
    b.random =
        emulator_current()->seed * 0x9e3779b97f4a7c15ULL + index.x * 0xbf58476d1ce4e5b9ULL + 88172645463325252ULL;
    b.shared.reserve(64);
    emulator_block = &b;
    emulator_here = emulator_place{uint3{0, 0, 0}, index, block, grid};
    access_block_begins(&b);
    open_shared(&b);
    begin_threads(&b, block);
    while (b.ended < b.count) {
        if (b.ready.empty()) {
            b.running = -1;
            explain_standstill(&b);
        }
        const std::size_t i = choose(&b);
        b.running = b.ready[i];
        b.ready[i] = b.ready.back();
        b.ready.pop_back();
        emulator_here.thread = b.lanes[b.running].thread;
        fiber_switch(&b.scheduler, &b.lanes[b.running].context, false);
    }
    b.running = -1;
    access_block_ends(&b);
    close_shared(&b);
    emulator_block = nullptr;
}
