#include "score_pairs.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum side { REFERENCE, ESTIMATE, SIDES };
static const char *const side_names[SIDES] = {"reference", "estimate"};

struct slice {
    const char *at;
    size_t bytes;
};

struct file {
    struct slice track, stem;
    enum side side;
    bool wanted;
    const char *path;
};

static int compare(struct slice a, struct slice b)
{
    const int order = memcmp(a.at, b.at, a.bytes < b.bytes ? a.bytes : b.bytes);
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* Files of a track side by side, those of a stem within, references first. */
static int by_place(const void *a, const void *b)
{
    const struct file *const x = a, *const y = b;
    int order = compare(x->track, y->track);
    if (!order)
        order = compare(x->stem, y->stem);
    if (!order)
        order = (int)x->side - (int)y->side;
    return order ? order : strcmp(x->path, y->path);
}

static bool is_named(struct slice stem, const char *name)
{
    return strlen(name) == stem.bytes && memcmp(stem.at, name, stem.bytes) == 0;
}

static bool is_wanted(struct slice stem, char *const *only, size_t only_count)
{
    if (only_count == 0)
        return !is_named(stem, "mixture");
    for (size_t i = 0; i < only_count; i++)
        if (is_named(stem, only[i]))
            return true;
    return false;
}

/* Appends the files of one side. */
static int add_files(const struct score_folder *folder, enum side side, char *const *only, size_t only_count,
                     struct file *files, size_t *count)
{
    const size_t root = strlen(folder->root);
    for (size_t i = 0; i < folder->count; i++) {
        const char *const path = folder->paths[i], *rest = path + root;
        if (strncmp(path, folder->root, root) != 0 || (root && path[root - 1] != '/' && *rest != '/'))
            return fail(STATUS_ARGUMENT, "%s: does not lie under %s", path, folder->root);
        while (*rest == '/')
            rest++;
        const char *const slash = strrchr(rest, '/'), *const name = slash ? slash + 1 : rest;
        const char *const dot = strrchr(name, '.');
        const struct slice stem = {name, dot && dot != name ? (size_t)(dot - name) : strlen(name)};
        const struct slice track = {rest, slash ? (size_t)(slash - rest) : 0};
        files[(*count)++] = (struct file){track, stem, side, is_wanted(stem, only, only_count), path};
    }
    return STATUS_OK;
}

/* Says `what` of a stem or of another thing, after what has been said of the track before. */
static void complain(FILE *error, const char *what, struct slice name)
{
    (void)fprintf(error, "%s%s%.*s", ftell(error) > 0 ? "; " : "", what, (int)name.bytes, name.at);
}

/* The files of one stem, one to each side if all is well. */
static int add_stem(const struct file *files, size_t count, FILE *error, struct score_track *track)
{
    size_t of_side[SIDES] = {0};
    for (size_t i = 0; i < count; i++)
        of_side[files[i].side]++;
    for (int s = 0; s < SIDES; s++) {
        char what[64];
        if (of_side[s] == 0)
            (void)snprintf(what, sizeof what, "no %s of ", side_names[s]);
        else
            (void)snprintf(what, sizeof what, "%zu files are the %s of ", of_side[s], side_names[s]);
        if (of_side[s] != 1)
            complain(error, what, files[0].stem);
    }
    if (of_side[REFERENCE] != 1 || of_side[ESTIMATE] != 1)
        return STATUS_OK;
    char *const name = strndup(files[0].stem.at, files[0].stem.bytes);
    if (!name)
        return fail(STATUS_NOMEM, "out of memory");
    track->stems[track->count++] = (struct score_stem){name, files[0].path, files[1].path};
    return STATUS_OK;
}

/* Stems that were asked for and that neither side of the track has. */
static void miss(const struct file *files, size_t count, char *const *only, size_t only_count, FILE *error)
{
    for (size_t o = 0; o < only_count; o++) {
        bool found = false;
        for (size_t i = 0; i < count && !found; i++)
            found = is_named(files[i].stem, only[o]);
        if (!found)
            complain(error, "neither reference nor estimate of ", (struct slice){only[o], strlen(only[o])});
    }
}

static int add_stems(const struct file *files, size_t count, char *const *only, size_t only_count, FILE *error,
                     struct score_track *track)
{
    const struct slice nothing = {"", 0};
    bool has[SIDES] = {false};
    for (size_t i = 0; i < count; i++)
        has[files[i].side] = true;
    if (!has[REFERENCE] || !has[ESTIMATE]) {
        complain(error, has[ESTIMATE] ? "no reference of this track" : "no estimate of this track", nothing);
        return STATUS_OK;
    }
    for (size_t from = 0, to = 0; from < count; from = to) {
        while (to < count && compare(files[to].stem, files[from].stem) == 0)
            to++;
        const int code = files[from].wanted ? add_stem(files + from, to - from, error, track) : STATUS_OK;
        if (code)
            return code;
    }
    miss(files, count, only, only_count, error);
    if (track->count == 0 && ftell(error) == 0)
        complain(error, "no stems", nothing);
    return STATUS_OK;
}

/* The track that these files are; what it has got so far is released by score_pairs_free also after a failure. */
static int add_track(const struct file *files, size_t count, char *const *only, size_t only_count,
                     struct score_track *track)
{
    char *said = NULL;
    size_t bytes = 0;
    track->name = strndup(files[0].track.at, files[0].track.bytes);
    track->stems = calloc(count, sizeof *track->stems);
    FILE *const error = open_memstream(&said, &bytes);
    int code = STATUS_OK;
    if (!track->name || !track->stems || !error)
        code = fail(STATUS_NOMEM, "out of memory");
    if (!code)
        code = add_stems(files, count, only, only_count, error, track);
    if (error && fclose(error) != 0 && !code)
        code = fail(STATUS_NOMEM, "out of memory");
    if (!code && bytes > 0) {
        track->error = said;
        said = NULL;
    }
    free(said);
    return code;
}

int score_pairs_make(const struct score_folder *reference, const struct score_folder *estimate, char *const *only,
                     size_t only_count, struct score_pairs *out)
{
    const size_t room = reference->count + estimate->count + 1;
    struct file *const files = calloc(room, sizeof *files);
    struct score_pairs p = {calloc(room, sizeof *p.tracks), 0};
    size_t count = 0;
    int code = files && p.tracks ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    if (!code)
        code = add_files(reference, REFERENCE, only, only_count, files, &count);
    if (!code)
        code = add_files(estimate, ESTIMATE, only, only_count, files, &count);
    if (!code)
        qsort(files, count, sizeof *files, by_place);
    for (size_t from = 0, to = 0; !code && from < count; from = to) {
        while (to < count && compare(files[to].track, files[from].track) == 0)
            to++;
        code = add_track(files + from, to - from, only, only_count, &p.tracks[p.count++]);
    }
    free(files);
    if (code)
        score_pairs_free(&p);
    else
        *out = p;
    return code;
}

void score_pairs_free(struct score_pairs *p)
{
    for (size_t t = 0; t < p->count; t++) {
        struct score_track *const track = &p->tracks[t];
        for (size_t i = 0; i < track->count; i++)
            free(track->stems[i].name);
        free(track->stems);
        free(track->name);
        free(track->error);
    }
    free(p->tracks);
    *p = (struct score_pairs){0};
}
