/* libFuzzer brings its own main and its own inputs; replay_NAME --seeds has written the target's seeds for it. */
#include "fuzz.h"

void fuzz_seed(const char *name, const void *data, size_t bytes)
{
    (void)name;
    (void)data;
    (void)bytes;
}
