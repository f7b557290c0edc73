/* bench_switch - nanoseconds per switch between two fibers, median of nine runs. For the figure in
 * tests/emulator/README.md; no test looks at it. */
#include "fiber.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

enum { SWITCHES = 2000000, RUNS = 9 };

static fiber scheduler, thread;

static void thread_main(void *)
{
    fiber_arrived(&thread, &scheduler);
    for (;;)
        fiber_switch(&thread, &scheduler, false);
}

int main()
{
    double ns[RUNS];
    fiber_stack(&thread);
    fiber_begin(&thread, thread_main, nullptr);
    for (double &run : ns) {
        const auto began = std::chrono::steady_clock::now();
        for (int i = 0; i < SWITCHES / 2; i++)
            fiber_switch(&scheduler, &thread, false);
        run = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - began).count() /
              (double)SWITCHES;
    }
    std::sort(ns, ns + RUNS);
    std::printf("%.1f ns per switch (median of %d runs of %d)\n", ns[RUNS / 2], RUNS, SWITCHES);
    return 0;
}
