/* methods - what can take a mixture apart, by name: the methods without weights, and the networks of the library.
 *
 *   names        "hpss", "center"; else a model of the library, or a path of a .safetensors file (library.h)
 *   errors       STATUS_NOT_FOUND: no such model, the message lists those there are; STATUS_ARGUMENT: no such stem,
 *                the message lists them, or an option that the method does not have; STATUS_UNSUPPORTED: a network
 *                of a kind that cannot be run here; those of library_resolve */
#ifndef METHODS_H
#define METHODS_H
#include "library.h"

enum { METHOD_OUTPUT_NAME = LIBRARY_TEXT_MOST + 3 }; /* "no_" and a stem */

/* A way to take a mixture apart. */
struct method {
    const char *name; /* its own, or the kind of the networks that it runs */
    bool is_network;
    int64_t rate_hz; /* the only one it works at; 0: any */
    int stems;       /* 0: the network says which */
    const char *stem[3];
};

/* NULL: there is none. */
const struct method *method_find(const char *name);

struct method_model {
    const struct method *method;
    char name[LIBRARY_FILE_MOST + 1]; /* without folder and ending: also that of the folder for its stems */
    int stems;
    char stem[BAG_STEMS_MOST][LIBRARY_TEXT_MOST + 1];
    struct library_model library; /* a network's files and their weights */
};

int method_resolve(const char *home, const char *text, struct method_model *out) MUST_USE;

/* What is asked of a network; NaN and 0: its default. */
struct method_options {
    double overlap, segment_s;
    uint64_t shifts, seed;
    const char *precision; /* by name (precision.h); NULL: fp32 */
};

/* Does the method have what is asked for? */
int method_check(const struct method_model *m, const struct method_options *o) MUST_USE;

/* A signal that is written: the sum of the stems whose bits are set. */
struct method_output {
    char name[METHOD_OUTPUT_NAME + 1];
    uint32_t stems;
};

/* All stems, those named in `wanted` (in the model's order), or, where `two_stems` is not NULL, that one and no_NAME.
 */
int method_outputs(const struct method_model *m, const char *const *wanted, int count, const char *two_stems,
                   struct method_output out[BAG_STEMS_MOST], int *outputs) MUST_USE;

/* Device memory for these signals: weights of the networks that count for them, and one segment. Without networks 0. */
int method_device_bytes(const struct method_model *m, const struct method_output *output, int outputs,
                        uint64_t *out) MUST_USE;

#endif
