/* dataset - what `wavemill train` learns from: a list of sounds that were looked at, and where their bytes are.
 *
 *     struct dataset *d;
 *     if (dataset_open(home, "drums", &d) == STATUS_OK)
 *         for (size_t i = 0; i < d->count; i++)
 *             ... dataset_path(d, i, path, sizeof path), d->files[i].label, d->files[i].validation
 *     dataset_close(&d);
 *
 *   place        HOME/datasets/NAME/dataset.json, and the bytes in HOME/datasets/NAME/files/HASH unless only their
 *                paths are kept. runtime/dataset.md has the schema
 *   files        one for each content, in ascending order of hash; equal files are its `duplicates`
 *   order        that of `files`, hash and split hang on contents alone, not on names or on who came first
 *   trust        dataset.json may be anything: it is bounded, checked, and refused with the reason
 *   errors       STATUS_NOT_FOUND: no such dataset; STATUS_ARGUMENT: no name of a dataset; STATUS_VERSION: of another
 *                schema; STATUS_DAMAGED: anything else that is wrong with it; STATUS_IO; STATUS_NOMEM */
#ifndef DATASET_H
#define DATASET_H
#include "hash.h"
#include "paths.h"

#include <stdbool.h>

enum {
    DATASET_SCHEMA = 1,
    DATASET_NAME_MOST = 64,
    DATASET_FILES_MOST = 10000,
    DATASET_TEXT_MOST = 4096,     /* bytes of a name, a label, a path */
    DATASET_BYTES_MOST = 16 << 20 /* of dataset.json */
};

struct dataset_file {
    struct hash hash;
    char *name;        /* below the folder that was given; bytes, as file systems have them */
    char *label;       /* the folder in that name; "" for none */
    char *path;        /* absolute, where only paths are kept; else NULL */
    char *codec;       /* "flac"; "" */
    char *warning;     /* what the decoder found odd; "" */
    char **duplicates; /* names of other files with the same bytes */
    size_t duplicates_count;
    uint64_t bytes, clipped_samples;
    uint32_t rate_hz, channels;
    double duration_s;
    double peak, rms; /* over all channels, full scale 1.0 */
    bool validation;  /* not to be trained on */
};

struct dataset {
    char name[DATASET_NAME_MOST + 1];
    char folder[PATHS_MAX]; /* empty for one that was not opened by name */
    bool keeps_paths;       /* the files are where they were */
    double fraction;        /* that was wanted for validation */
    uint64_t created_unix_ms;
    struct dataset_file *files;
    size_t count;
};

/* 1 to 64 letters, digits, '.', '_' and '-', not '.' or '-' first; STATUS_ARGUMENT says so. */
bool dataset_is_name(const char *text);
int dataset_check_name(const char *text) MUST_USE;

int dataset_open(const char *home, const char *name, struct dataset **out) MUST_USE;
void dataset_close(struct dataset **d);

/* The text of a dataset.json. */
int dataset_parse(const char *text, size_t bytes, struct dataset **out) MUST_USE;

/* The dataset.json of it, to fd. STATUS_ARGUMENT: it would be longer than one may be. */
int dataset_write(const struct dataset *d, int fd) MUST_USE;

/* Where the bytes of a file are. STATUS_ARGUMENT: no room for the path. */
int dataset_path(const struct dataset *d, size_t file, char *out, size_t capacity) MUST_USE;

/* Sorts the files by hash, and gives the first of them to validation: `fraction` of all rounded to the nearest, at
 * least one and at most all but one; none of a single file, or where fraction is 0. */
void dataset_split(struct dataset *d);

/* Frees what a file holds. */
void dataset_file_free(struct dataset_file *f);

#endif
