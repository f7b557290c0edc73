/* plan - what a supervisor has found out for its child about a separation: method, stems, networks, what is written.
 * It travels in place of the item's own parameters; both are programs of one build.
 *
 *   errors    those of methods.h; STATUS_ARGUMENT for bad parameters */
#ifndef PLAN_H
#define PLAN_H
#include "methods.h"
#include "params.h"

#include <stdio.h>

struct plan {
    char method[LIBRARY_TEXT_MOST + 1]; /* methods.h */
    char model[LIBRARY_FILE_MOST + 1];  /* its name: also that of the folder */
    int32_t stems, networks, outputs;
    char stem[BAG_STEMS_MOST][LIBRARY_TEXT_MOST + 1];
    double weight[BAG_NETWORKS_MOST][BAG_STEMS_MOST]; /* of a network in each stem */
    double segment_s;                                 /* of the bag; 0: each network's own */
    struct method_output output[BAG_STEMS_MOST];
};

enum { PLAN_FILE_BYTES = METHOD_OUTPUT_NAME + 8 };

int plan_make(const char *home, const struct separate_settings *s, struct plan *out,
              struct method_model *model) MUST_USE;

/* The files of its networks, for reading; fds [networks] are -1 before. STATUS_NOT_FOUND, STATUS_IO: the message names
 * the file. */
int plan_open_weights(const struct plan *p, const struct method_model *m, int *fds) MUST_USE;

/* The name of an output's file: "vocals.wav". */
static inline void plan_file_name(const struct plan *p, int output, const struct audio_format *format,
                                  char out[PLAN_FILE_BYTES])
{
    snprintf(out, PLAN_FILE_BYTES, "%s.%s", p->output[output].name, audio_format_extension(format));
}

#endif
