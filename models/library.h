/* library - the models of a home: $WAVEMILL_HOME/models/NAME/ holds one each, whole or not at all.
 *
 *   SIG.safetensors  the weights, a file for each network, as they came
 *   previews/        of one that was trained here: sounds (vae_files.h); its config.json and other files are those of
 *                    its network
 *   config.json      {"schema", "kind", "stems": [...], "networks": [{"file", "klass", "args", "kwargs", "weights"}],
 *                    "segment_s"}: what the files' metadata and the bag say, in the networks' order
 *   model.json       {"schema", "name", "kind", "stems", "networks", "parameters", "bytes", "source", "licence",
 *                    "imported_unix_ms", "tool_version", "files": [{"name", "bytes", "blake2b", "sha256"}]}; null
 *                    is unknown
 *
 * A model is made in .new-XXXXXX and renamed; removed by renaming to .old-XXXXXX first. Who changes the library holds
 * .lock, and clears what was left by killed ones. Readers need no lock: what they have opened stays as it is.
 *   limits       names of 1 to 63 letters, digits, '.', '_' and '-', not '.' or '-' first; 16 networks, 16 stems
 *   errors       STATUS_NOT_FOUND, STATUS_ARGUMENT (a name), STATUS_FORMAT (what others made), STATUS_DAMAGED (what was
 *                ours), STATUS_BUSY (a model of that name is there), STATUS_CANCELLED (a signal, while another held
 *                the lock), STATUS_UNSUPPORTED, STATUS_IO, STATUS_NOMEM
 *   ownership    json_t that is given out is the caller's to release
 *   threads      one at a time in a process; any number of processes */
#ifndef LIBRARY_H
#define LIBRARY_H
#include "bag.h"
#include "hash.h"
#include "paths.h"

#include <jansson.h>
#include <stdint.h>

enum { LIBRARY_NAME_MOST = 63, LIBRARY_TEXT_MOST = 63, LIBRARY_FILE_MOST = 255, LIBRARY_SCHEMA = 1 };

struct library_network {
    char file[LIBRARY_FILE_MOST + 1]; /* in the folder */
    double weight[BAG_STEMS_MOST];    /* its share in each stem; 0: the stem does not need this network */
};

struct library_model {
    char folder[PATHS_MAX];
    char name[LIBRARY_NAME_MOST + 1];
    char kind[LIBRARY_TEXT_MOST + 1]; /* last part of the networks' class, in lower case: "htdemucs" */
    int stems, networks;
    char stem[BAG_STEMS_MOST][LIBRARY_TEXT_MOST + 1]; /* in the order of the networks' output */
    struct library_network network[BAG_NETWORKS_MOST];
    double segment_s; /* 0: each network's own */
};

/* What a command needs to run a model: of the library by its name, or of a single file by a path, which has a '/' in it
 * or ends with .safetensors. Stems are weighted means: sum(weight * output) / sum(weight). */
int library_resolve(const char *home, const char *name_or_path, struct library_model *out) MUST_USE;

/* Path of a network's weights. */
void library_path(const struct library_model *m, int network, char *out, size_t capacity);

bool library_is_name(const char *text);

/* What tells two models of one name apart: BLAKE2b-256 of the segment's length, then for each network in turn its
 * file's BLAKE2b-256 as model.json has it and its shares in the stems; numbers as text ("%.17g\n" each). Reads no
 * weights. STATUS_UNSUPPORTED for a model that is not of the library. */
int library_checksum(const char *home, const struct library_model *m, struct hash *out) MUST_USE;

/* A model that was trained in its folder: model.json, which makes it one of the library. */
int library_add_trained(const char *folder, const char *kind, uint64_t parameters) MUST_USE;

/* In the folder of a model that is being trained; without model.json it is no model yet. */
#define LIBRARY_BEGUN "begun.json"

/* model.json, checked as far as readers rely on it. */
int library_show(const char *home, const char *name, json_t **out) MUST_USE;

/* Calls visit for each model, by name; one whose model.json is damaged has NULL, and status_message says why. */
int library_each(const char *home, int (*visit)(void *context, const char *name, const json_t *model),
                 void *context) MUST_USE;

/* Reads every file that model.json names; calls damaged(context, file, why) for each that is not what it was. Then
 * STATUS_DAMAGED. */
int library_verify(const char *home, const char *name,
                   void (*damaged)(void *context, const char *file, const char *why), void *context) MUST_USE;

int library_remove(const char *home, const char *name) MUST_USE;

struct library_import {
    const char *path; /* X.safetensors; X.yaml with SIG.safetensors beside it; a folder with one of the two */
    const char *name; /* NULL: the file's */
    const char *source, *licence; /* NULL: unknown */
};

/* The weights are copied, then checked: header, metadata, and that each number is finite. */
int library_import(const char *home, const struct library_import *what, char name[LIBRARY_NAME_MOST + 1]) MUST_USE;

#endif
