#include "separate_tracks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int separate_track_name(const char *path, struct separate_track *out)
{
    const char *const slash = strrchr(path, '/'), *const file = slash ? slash + 1 : path,
                      *const dot = strrchr(file, '.');
    size_t n = dot && dot > file ? (size_t)(dot - file) : strlen(file);
    if (n <= 2 && strncmp(file, "..", n) == 0)
        n = strlen(file);
    out->path = path;
    if (n == 0 || n > LIMIT_TRACK || strncmp(file, "..", n + 1) == 0 || strncmp(file, ".", n + 1) == 0)
        return fail(STATUS_ARGUMENT, "%s: its name cannot be that of a folder for its stems (at most %d bytes)", path,
                    LIMIT_TRACK);
    snprintf(out->name, sizeof out->name, "%.*s", (int)n, file);
    return STATUS_OK;
}

static bool all_exist(const struct separate_place *p, const struct separate_track *t)
{
    for (int o = 0; o < p->outputs; o++) {
        char *path = NULL;
        const bool there =
            asprintf(&path, "%s/%s/%s/%s.%s", p->folder, p->model, t->name, p->output[o].name, p->extension) > 0 &&
            access(path, F_OK) == 0;
        free(path);
        if (!there)
            return false;
    }
    return true;
}

static int compare_tracks(const void *a, const void *b)
{
    return strcmp(((const struct separate_track *)a)->name, ((const struct separate_track *)b)->name);
}

static int refuse_equal(const struct separate_place *p, const struct separate_track *track, size_t count)
{
    struct separate_track *const sorted = malloc((count + 1) * sizeof *sorted);
    int code = sorted ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    if (!code) {
        memcpy(sorted, track, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, compare_tracks);
    }
    for (size_t i = 1; i < count && !code; i++)
        if (strcmp(sorted[i - 1].name, sorted[i].name) == 0)
            code = fail(STATUS_ARGUMENT, "%s and %s would both go to %s/%s/%s; call them one by one, with --out",
                        sorted[i - 1].path, sorted[i].path, p->folder, p->model, sorted[i].name);
    free(sorted);
    return code;
}

/* The n-th track: what its item says. */
static int make_item(const struct separate_place *p, struct separate_tracks *t, size_t n)
{
    const struct kind_separate_item item = {.out = wire_str(p->as_objects ? NULL : p->folder),
                                            .track = wire_str(t->track[n].name)};
    const int code = wire_encode(&kind_separate_item_schema, &item, &t->buffers[n]);
    t->params[n] = (struct wire_slice){t->buffers[n].data, (uint32_t)t->buffers[n].bytes};
    return code;
}

int separate_tracks_plan(const struct separate_place *p, bool skip_existing, struct walk *files,
                         struct separate_tracks *out)
{
    const size_t n = files->count;
    size_t kept = 0;
    *out = (struct separate_tracks){n, calloc(n + 1, sizeof *out->track), calloc(n + 1, sizeof *out->buffers),
                                    calloc(n + 1, sizeof *out->params)};
    if (!out->track || !out->buffers || !out->params)
        return fail(STATUS_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct separate_track *const t = &out->track[kept];
        int code = separate_track_name(files->paths[i], t);
        if (!code && skip_existing && all_exist(p, t)) {
            free(files->paths[i]);
            files->paths[i] = NULL;
            continue;
        }
        code = code ? code : make_item(p, out, kept);
        if (code)
            return code; /* walk_free frees what is left; freed ones are NULL */
        char *const path = files->paths[i];
        files->paths[i] = NULL;
        files->paths[kept++] = path;
    }
    files->count = kept;
    return refuse_equal(p, out->track, kept);
}

void separate_tracks_free(struct separate_tracks *t)
{
    for (size_t i = 0; t->buffers && i < t->count; i++)
        wire_free(&t->buffers[i]);
    free(t->track);
    free(t->buffers);
    free(t->params);
    *t = (struct separate_tracks){.count = 0};
}

void separate_tracks_show(const struct separate_place *p, const struct separate_tracks *t, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int o = 0; o < p->outputs; o++) {
            output_plain(stdout, t->track[i].path);
            printf(" -> ");
            output_plain(stdout, p->folder);
            printf("/%s/", p->model);
            output_plain(stdout, t->track[i].name);
            printf("/%s.%s\n", p->output[o].name, p->extension);
        }
}

void separate_tracks_drop(struct separate_tracks *t, struct walk *files, const bool *done)
{
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        char *const path = files->paths[i];
        files->paths[i] = NULL;
        if (done[i]) {
            free(path);
            continue;
        }
        t->track[kept] = t->track[i];
        t->params[kept] = t->params[i];
        files->paths[kept++] = path;
    }
    files->count = kept;
}
