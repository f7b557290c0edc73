/* doctor - what was found, and what mends what is missing. */
#ifndef DOCTOR_H
#define DOCTOR_H
#include "paths.h"

#include <stdbool.h>

struct finding {
    char name[32];
    char value[PATHS_MAX + 64];
    const char *mend; /* NULL: all is well */
    bool needed;
};

enum { FINDINGS_MOST = 40 };

struct findings {
    struct finding list[FINDINGS_MOST];
    int count;
};

/* A new one, to be filled. */
struct finding *doctor_find(struct findings *f, const char *name);

/* The module for CUDA, the driver, the devices. */
void doctor_look_at_gpu(struct findings *f);

#endif
