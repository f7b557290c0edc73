#include "precision.h"

#include <string.h>

static const char *const names[] = {"fp32", "tf32", "bf16"};

const char *precision_name(enum precision p)
{
    return names[p];
}

int precision_parse(const char *name, enum precision *out)
{
    for (int p = PRECISION_F32; p <= PRECISION_BF16; p++)
        if (strcmp(names[p], name) == 0) {
            *out = (enum precision)p;
            return STATUS_OK;
        }
    return fail(STATUS_ARGUMENT, "there is no precision '%.32s': there are fp32, tf32 and bf16", name);
}
