/* separation - a stereo signal into stems, in memory that its length does not change: blocks go in, and stems come out
 * as soon as nothing that follows can alter them.
 *
 *   shapes       x [frames][2] f32 in; stems [frames][stems][2] f32 out, through `emit`, in order, every frame once.
 *                As many frames come out as went in
 *   units        those of x
 *   ownership    the creator of a method (htdemucs, hpss_split, center_split) gives the separation; separation_destroy
 *                frees it. emit's samples are valid during the call
 *   errors       push and finish pass on what emit returns; STATUS_NOMEM; those of the operations. After an error only
 *                separation_destroy is of use
 *   determinism  bitwise on the same device, wherever blocks are cut
 *   state        some methods can be saved between two pushes and go on in another process; the blocks that come
 *                out are then those that would have come
 *   threads      one at a time; the exec's pool inside */
#ifndef SEPARATION_H
#define SEPARATION_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { SEPARATION_STEMS_MOST = 16, SEPARATION_CHANNELS = 2 };

/* Takes `frames` finished frames, stems [frames][stems][2]; anything but 0 stops the work. */
typedef int (*separation_emit)(void *context, const float *stems, int64_t frames);

struct separation;

struct separation_methods {
    int (*push)(struct separation *s, const float *x, int64_t frames);
    int (*finish)(struct separation *s); /* the end of the signal: emits the rest */
    void (*destroy)(struct separation *s);
    /* Optional, all three or none: what another process can go on from, between two pushes. restore is for a separation
     * that nothing was pushed into, created with the same parameters; STATUS_FORMAT: not such a state. */
    size_t (*state_bytes)(const struct separation *s);
    void (*save)(const struct separation *s, void *state);
    int (*restore)(struct separation *s, const void *state, size_t bytes);
};

/* The first member of each method's own struct. */
struct separation {
    const struct separation_methods *methods;
    int stems;
    const char *stem[SEPARATION_STEMS_MOST]; /* names, in the order of the output */
    separation_emit emit;
    void *context;
};

int separation_push(struct separation *s, const float *x, int64_t frames) MUST_USE;
int separation_finish(struct separation *s) MUST_USE;
void separation_destroy(struct separation **s);

#endif
