/* fiber - one thread of control that is switched to and from by hand.
 *
 * x86-64 and arm64 switch in a few instructions, others through swapcontext. AddressSanitizer is told of each switch.
 */
#ifndef EMULATOR_FIBER_H
#define EMULATOR_FIBER_H
#include <cstddef>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#define EMULATOR_UCONTEXT 1
#endif

struct fiber {
    void *stack; /* of the switched-off fiber */
    void *bottom;
    std::size_t bytes;
    void *fake; /* AddressSanitizer's stack of the fiber */
#ifdef EMULATOR_UCONTEXT
    ucontext_t context;
#endif
};

/* Memory for a fiber's stack with a page that must not be touched below it; never given back. */
void fiber_stack(fiber *f);

/* The next switch to f calls main(argument), which must not return but switch away for good. */
void fiber_begin(fiber *f, void (*main)(void *), void *argument);

/* Runs `to` until it switches back. ends: `from` will not run again. */
void fiber_switch(fiber *from, fiber *to, bool ends);

/* A fiber's first act, and what follows each fiber_switch inside. */
void fiber_arrived(fiber *self, fiber *from);

#endif
