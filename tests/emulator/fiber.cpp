#include "fiber.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SANITIZED 1
enum { STACK_BYTES = 512 << 10 }; /* every local is surrounded there */
#else
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
enum { STACK_BYTES = 64 << 10 };
#endif

enum { FIRST_FRAMES = 4096 }; /* bytes that the frames around a kernel take at most */

void fiber_stack(fiber *f)
{
    const std::size_t page = (std::size_t)sysconf(_SC_PAGESIZE);
    char *const block = (char *)mmap(nullptr, STACK_BYTES + page, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED || mprotect(block, page, PROT_NONE)) {
        std::fprintf(stderr, "emulator: no memory for a thread's stack\n");
        std::abort();
    }
    f->bottom = block + page;
    f->bytes = STACK_BYTES;
}

#if defined(EMULATOR_UCONTEXT)

static void (*begin_main)(void *);
static void *begin_argument;

static void enter(void)
{
    begin_main(begin_argument);
}

void fiber_begin(fiber *f, void (*main)(void *), void *argument)
{
    begin_main = main; /* one kernel at a time, and its threads tell themselves apart */
    begin_argument = argument;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->bottom;
    f->context.uc_stack.ss_size = f->bytes;
    makecontext(&f->context, enter, 0);
}

static void change(fiber *from, fiber *to)
{
    swapcontext(&from->context, &to->context);
}

#else

/* Puts what the calling convention keeps onto the stack, changes stacks, takes it from there. */
extern "C" void emulator_change_stacks(void **from, void *to);

#if defined(__x86_64__)
asm(".text\n.p2align 4\n.globl emulator_change_stacks\n.hidden emulator_change_stacks\n"
    ".type emulator_change_stacks,@function\nemulator_change_stacks:\n"
    "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, (%rdi)\n  mov %rsi, %rsp\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n  ret\n"
    ".size emulator_change_stacks,.-emulator_change_stacks\n"
    /* main and its argument lie in r12 and r13 when a fiber begins */
    ".p2align 4\n.globl emulator_first_steps\n.hidden emulator_first_steps\nemulator_first_steps:\n"
    "  mov %r13, %rdi\n  call *%r12\n  ud2\n");
enum { SAVED = 6, SAVED_MAIN = 3, SAVED_ARGUMENT = 2 };
#else
asm(".text\n.p2align 4\n.globl emulator_change_stacks\n.hidden emulator_change_stacks\nemulator_change_stacks:\n"
    "  sub sp, sp, #160\n"
    "  stp x19, x20, [sp]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n  stp x25, x26, [sp, #48]\n"
    "  stp x27, x28, [sp, #64]\n  stp d8, d9, [sp, #80]\n  stp d10, d11, [sp, #96]\n  stp d12, d13, [sp, #112]\n"
    "  stp d14, d15, [sp, #128]\n  stp x29, x30, [sp, #144]\n"
    "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
    "  ldp x19, x20, [sp]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n  ldp x25, x26, [sp, #48]\n"
    "  ldp x27, x28, [sp, #64]\n  ldp d8, d9, [sp, #80]\n  ldp d10, d11, [sp, #96]\n  ldp d12, d13, [sp, #112]\n"
    "  ldp d14, d15, [sp, #128]\n  ldp x29, x30, [sp, #144]\n  add sp, sp, #160\n  ret\n"
    ".p2align 4\n.globl emulator_first_steps\n.hidden emulator_first_steps\nemulator_first_steps:\n"
    "  mov x0, x20\n  blr x19\n  brk #1\n");
enum { SAVED = 19, SAVED_MAIN = 0, SAVED_ARGUMENT = 1 };
#endif
extern "C" void emulator_first_steps(void);

void fiber_begin(fiber *f, void (*main)(void *), void *argument)
{
    std::uintptr_t top = ((std::uintptr_t)f->bottom + f->bytes) & ~(std::uintptr_t)15;
    ASAN_UNPOISON_MEMORY_REGION((void *)(top - FIRST_FRAMES), FIRST_FRAMES); /* the last fiber's never returned */
    void **const at = (void **)(top - 24) - SAVED; /* so that the stack is aligned as at a function's beginning */
    for (int i = 0; i < SAVED + 1; i++)
        at[i] = nullptr;
    at[SAVED_MAIN] = (void *)main;
    at[SAVED_ARGUMENT] = argument;
    at[SAVED] = (void *)emulator_first_steps; /* the return address on x86, x30 on arm64 */
    f->stack = at;
    f->fake = nullptr;
}

static void change(fiber *from, fiber *to)
{
    emulator_change_stacks(&from->stack, to->stack);
}

#endif

void fiber_arrived(fiber *self, fiber *from)
{
#ifdef SANITIZED
    const void *bottom;
    std::size_t bytes;
    __sanitizer_finish_switch_fiber(self->fake, &bottom, &bytes);
    if (!from->bottom) { /* a thread of the system, whose stack is learned when it is left for the first time */
        from->bottom = (void *)bottom;
        from->bytes = bytes;
    }
#else
    (void)self;
    (void)from;
#endif
}

void fiber_switch(fiber *from, fiber *to, bool ends)
{
#ifdef SANITIZED
    __sanitizer_start_switch_fiber(ends ? nullptr : &from->fake, to->bottom, to->bytes);
#else
    (void)ends;
#endif
    change(from, to);
    fiber_arrived(from, to);
}
