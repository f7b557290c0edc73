/* train_begun - what a training was begun with, kept in its model's folder before anything else, so that it can be gone
 * on with: LIBRARY_BEGUN.
 *
 *   errors       STATUS_NOT_FOUND, STATUS_DAMAGED, STATUS_VERSION, STATUS_IO, STATUS_NOMEM */
#ifndef TRAIN_BEGUN_H
#define TRAIN_BEGUN_H
#include "kinds.h"
#include "library.h"

#include <jansson.h>

struct train_begun {
    struct kind_train_item *item; /* but for out, preset and precision */
    const char *dataset;
    char *preset;               /* [LIMIT_FEATURE_NAME + 1] */
    char *precision;            /* likewise; "": the default */
    char upload[LIMIT_KEY + 1]; /* the key of its job, by any worker; "": it is trained in its folder */
    uint64_t booked_bytes;      /* what that job books of a device's memory: under one key always the same */
};

/* Makes the folder. */
int train_begun_write(const char *folder, const struct train_begun *b) MUST_USE;
/* STATUS_ARGUMENT: it was begun with another dataset than b->dataset. */
int train_begun_read(const char *folder, struct train_begun *b) MUST_USE;

/* What it wants of a device's memory; 0 of what cannot be: the worker says what is wrong with it. */
uint64_t train_begun_device_bytes(const struct kind_train_item *item, const char *preset);
/* The same as an object, and of one that was read from `path`; NULL: out of memory. */
json_t *train_begun_describe(const struct train_begun *b);
int train_begun_parse(const json_t *all, const char *path, struct train_begun *b) MUST_USE;

#endif
