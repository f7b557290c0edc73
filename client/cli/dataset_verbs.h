/* dataset_verbs - what the verbs of `wavemill dataset` share. */
#ifndef DATASET_VERBS_H
#define DATASET_VERBS_H
#include "cli.h"
#include "dataset.h"
#include "paths.h"

struct dataset_request {
    struct common common;
    struct paths paths;
    const char *out;
    double fraction; /* NaN: the default */
    bool reference, replace;
};

/* What could not be done with a dataset, in the command's format; returns the exit code for the status. */
int dataset_tell_failed(const struct dataset_request *r, const char *name, int status);

int dataset_create(struct dataset_request *r, const char *name, int count, char **paths);
int dataset_thumbnails(struct dataset_request *r, const char *name);

/* ---- the folder HOME/datasets (dataset_folder.c) ---- */

/* Held from the first byte of a new dataset to its last, and while one is removed. Sweeps what killed commands left. */
int dataset_lock(const char *home, int *fd) MUST_USE;

/* A new, hidden folder with an empty files/ in it, as d->folder. */
int dataset_begin(const char *home, struct dataset *d) MUST_USE;

/* Copies a file's bytes to their place there. STATUS_NOT_FOUND, STATUS_FORMAT: it is not what was looked at, or cannot
 * be read; other codes: the copy cannot be written. */
int dataset_keep(const struct dataset *d, const struct dataset_file *f, const char *from) MUST_USE;

/* Writes dataset.json and gives the folder its name, in the place of another where `replace` says so. */
int dataset_settle(const char *home, struct dataset *d, bool replace) MUST_USE;

void dataset_abandon(struct dataset *d); /* removes the hidden folder */
int dataset_remove(const char *home, const char *name) MUST_USE;

/* Names in ascending order. */
int dataset_each(const char *home, void (*visit)(void *context, const char *name), void *context) MUST_USE;

/* ---- what is said of one (dataset_warn.c, dataset_show.c) ---- */

struct dataset_warning {
    const char *kind;                /* "silent" */
    const struct dataset_file *file; /* NULL: of all */
    char text[400];
};
void dataset_warnings(const struct dataset *d, void (*say)(void *context, const struct dataset_warning *w),
                      void *context);

double dataset_duration_s(const struct dataset *d);
uint64_t dataset_bytes(const struct dataset *d);

/* "1:02:03.4", "2:03.4", "3.4 s" */
void dataset_time(double seconds, char *out, size_t capacity);
void dataset_size(uint64_t bytes, char *out, size_t capacity);

void dataset_csv_header(void);
/* A line for each file; in a table not, unless `all`. Then what is said of all, and warnings. `rejected`: files that a
 * new one was to have; negative: nobody knows. */
void dataset_show(const struct dataset_request *r, const struct dataset *d, bool all, int64_t rejected);
void dataset_show_row(const struct dataset_request *r, const struct dataset *d, bool first); /* a line of `list` */

#endif
