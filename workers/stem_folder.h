/* stem_folder - OUT/MODEL/TRACK, and in it a file for each signal that a separation writes: they get their names when
 * all are whole, and nothing is left otherwise.
 *
 *   errors    STATUS_ARGUMENT: it can never be written there; STATUS_IO: the system refuses; STATUS_NOMEM. Messages
 *             name the path. After a failure of open only drop is of use */
#ifndef STEM_FOLDER_H
#define STEM_FOLDER_H
#include "output_file.h"
#include "plan.h"

struct stem_folder {
    char *path;       /* NULL: there is none yet */
    bool made, whole; /* made: it was not there; whole: the files have their names */
    int outputs;
    struct output_file output[BAG_STEMS_MOST];
};

/* As it is before it is opened. */
struct stem_folder stem_folder_none(void);

/* Can it be a folder's name? */
bool stem_folder_is_name(struct wire_slice name);

/* Makes OUT/MODEL/TRACK as the user's umask has it. */
int stem_folder_make(struct stem_folder *f, const char *model, struct wire_slice out, struct wire_slice track) MUST_USE;

/* Opens the plan's outputs in it, `prefix` before their names. `token` tells apart who writes to the same place. */
int stem_folder_open(struct stem_folder *f, const struct plan *plan, const struct audio_format *format,
                     const char *prefix, uint64_t token) MUST_USE;

int stem_folder_settle(struct stem_folder *f) MUST_USE;

/* Closes what is open; unless settled, the files are gone, and the folder if it was made and is empty. */
void stem_folder_drop(struct stem_folder *f);

#endif
