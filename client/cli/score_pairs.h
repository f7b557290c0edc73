/* score_pairs - which file is to be scored against which: the stems of tracks in two folders, by name.
 *
 * A file's stem is its name without the ending, its track the folder that it lies in, seen from DIR: DIR/TRACK/STEM.wav
 * (MUSDB; Demucs' OUT/MODEL/TRACK/STEM.wav where DIR is OUT/MODEL), DIR/test/TRACK/STEM.wav, or DIR/STEM.wav for a
 * single track, whose name is then "". Names are compared byte by byte, endings not at all. `mixture` is no stem.
 *
 *   input        files under two folders, as walk_add lists them; no file is looked at. `only` names the stems to
 *                score: others are left out on both sides, and one that a track lacks is an error of that track.
 *                None: all
 *   result       tracks of either side in order of name, each with its stems in order of name. A track that cannot
 *                be scored has an error that names everything that is wrong with it, and keeps what can be paired
 *   track error  the whole track is on one side only; a stem has no reference or no estimate; two files are the
 *                same stem of the same side; there is no stem at all
 *   ownership    paths and `only` are borrowed and must outlive the result; score_pairs_free releases the rest,
 *                also of a result that is all zero
 *   errors       STATUS_ARGUMENT: a path that does not lie under its root. STATUS_NOMEM. out is untouched */
#ifndef SCORE_PAIRS_H
#define SCORE_PAIRS_H
#include "status.h"

#include <stddef.h>

struct score_folder {
    const char *root;
    char *const *paths; /* as struct walk has them: root, slash, rest */
    size_t count;
};

struct score_stem {
    char *name;
    const char *reference, *estimate; /* paths as given */
};

struct score_track {
    char *name;
    struct score_stem *stems; /* that both sides have once */
    size_t count;
    char *error; /* NULL: fit to be scored */
};

struct score_pairs {
    struct score_track *tracks;
    size_t count;
};

int score_pairs_make(const struct score_folder *reference, const struct score_folder *estimate, char *const *only,
                     size_t only_count, struct score_pairs *out) MUST_USE;
void score_pairs_free(struct score_pairs *p);

#endif
