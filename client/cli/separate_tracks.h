/* separate_tracks - the files of `wavemill separate` as tracks: what each is called, where its stems go, and its item's
 * own parameters. */
#ifndef SEPARATE_TRACKS_H
#define SEPARATE_TRACKS_H
#include "cli.h"
#include "methods.h"

/* Where the stems of all of them go: FOLDER/MODEL/TRACK/OUTPUT.EXTENSION. */
struct separate_place {
    const char *folder, *model, *extension;
    const struct method_output *output;
    int outputs;
    bool as_objects; /* they come from there: a worker gets no path */
};

struct separate_track {
    char name[LIMIT_TRACK + 1];
    const char *path;
};

/* One for each file of a walk, in its order. */
struct separate_tracks {
    size_t count; /* that were planned: what is freed */
    struct separate_track *track;
    struct wire_buffer *buffers;
    struct wire_slice *params;
};

/* TRACK: the file's name without its ending, as demucs has it; the whole name where nothing else is one. */
int separate_track_name(const char *path, struct separate_track *out) MUST_USE;

/* STATUS_ARGUMENT: a file's name is none of a folder, or two would go to the same. With skip_existing, files whose
 * stems are all there leave the walk. */
int separate_tracks_plan(const struct separate_place *p, bool skip_existing, struct walk *files,
                         struct separate_tracks *out) MUST_USE;
void separate_tracks_free(struct separate_tracks *t);

/* Prints what would go where. */
void separate_tracks_show(const struct separate_place *p, const struct separate_tracks *t, size_t count);

/* Files that are done [files] leave the walk. */
void separate_tracks_drop(struct separate_tracks *t, struct walk *files, const bool *done);

#endif
