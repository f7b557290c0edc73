/* score_track - the files of a track, references and estimates in turn, decoded side by side through windows.
 *
 *   files        all of one rate, as many channels and, frame by frame, as long: a score of signals that were cut or
 *                filled up would be one of the cutting
 *   memory       a window of BLOCK samples and what is kept per file, whatever their length
 *   errors       those of audio.h, but a format that only ffmpeg reads is STATUS_FORMAT; STATUS_SHAPE: another rate,
 *                channels, length; STATUS_FORMAT: a sample that is not finite. Messages name side and file.
 *                STATUS_NOMEM. After an error only score_track_close is of use */
#ifndef SCORE_TRACK_H
#define SCORE_TRACK_H
#include "audio.h"
#include "kinds.h"
#include "score.h"

#include <stdbool.h>

enum { SCORE_TRACK_KEEP = 16 * SCORE_TAPS }; /* frames of a window that may be kept for the next */

struct score_track {
    struct score_track_file {
        int fd;           /* borrowed */
        const char *side; /* "reference", "estimate" */
        char name[LIMIT_STEM_NAME + 1];
        struct audio *audio;
        float *window; /* [keep + block][channels] */
    } file[2 * LIMIT_STEMS];
    int count; /* twice the stems */
    int channels;
    int64_t block;           /* frames that are read at once */
    int64_t first, had, got; /* the window: number of its first frame, its frames from before, its new ones */
    double decode_s;
};

/* Opens files that are named and have a descriptor each. */
int score_track_open(struct score_track *t) MUST_USE;
void score_track_close(struct score_track *t);

/* To the beginning, for another pass. */
int score_track_rewind(struct score_track *t) MUST_USE;

/* Moves the windows on: frames from `keep` on stay, a block more comes; got is 0 at the end. */
int score_track_read(struct score_track *t, int64_t keep) MUST_USE;

/* Frames of stem i of the window, without the first `skip`. */
struct score_signal score_track_reference(const struct score_track *t, int stem, int64_t skip);
struct score_signal score_track_estimate(const struct score_track *t, int stem, int64_t skip);

#endif
