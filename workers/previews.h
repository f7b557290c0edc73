/* previews - what a training has come to, for whoever listens and looks: sounds, what the network makes of them, and
 * what it makes of noise, as WAV; the first two as pictures; its configuration and curves.
 *
 *   files      the outputs of the task (task.h, item_train.c): on the way each goes up as a memfd (job_hand), whole;
 *              at the end it is written where it stands
 *   pictures   npy f32 [2*sounds][frames][mels] in C order: the sounds, then what is made of them, in dB
 *   when       preview_every validations apart; 0: at one that is the best so far, PREVIEW_S after the last previews or
 *              the beginning; curves at every validation
 *   bounded    16 sounds of three; made one after the other, others have their turn in between
 *   errors     what cannot be made or sent is a warning, since it costs the training nothing, but STATUS_DEVICE
 *   training   stays as it is: vae_fit.h, look
 *   ownership  job and execs are borrowed */
#ifndef PREVIEWS_H
#define PREVIEWS_H
#include "job.h"
#include "networks.h"
#include "vae_fit.h"

enum { PREVIEW_S = 60 };

struct previews {
    struct job *job;
    struct exec *ex;                  /* of the CPU, in a turn: audio */
    const struct demucs_alive *alive; /* while another has the turn */
    int64_t sounds;
    uint64_t seed;
    int64_t every; /* validations */
    bool at_end;   /* only */
    bool nowhere;  /* the files have no place before the end: nothing goes up */

    /* their own, from zeros on */
    int64_t validations, last_ms;
    bool has_originals, has_config;
};

/* After a validation. */
int previews_look(struct previews *p, const struct vae_fit_view *v) MUST_USE;

/* The last ones, into the outputs. */
int previews_end(struct previews *p, struct vae_trainer *t, struct vae_examples *e,
                 const struct vae_config *c) MUST_USE;

#endif
