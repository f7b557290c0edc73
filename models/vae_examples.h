/* vae_examples - the spectrograms that a network learns from: sounds, changed at random, cut to length, as standardised
 * decibels.
 *
 *   order        example g of a training, counted from 0 on, is sound g modulo n of the epoch g/n, n the sounds to train
 *                on; each epoch shuffles them anew. Where it is cut and how it is changed follows from seed, epoch and
 *                sound (augment.h), so that any step can be made again by itself
 *   shapes       sounds mono f32 at the configuration's rate; examples [frames][mels] of (frames - 1)*hop samples each;
 *                a shorter sound ends in zeros
 *   units        (10*log10 of mel power, at least floor_db, less mean_db) / deviation_db
 *   validation   sounds that are marked are never trained on; where none is, all serve for both
 *   plain        what is validated and measured: sounds as they are, from their beginning; of one that is longer than
 *                an example as many as fit into it, rounded up, VAE_PARTS_MOST at most, the last of which ends with it
 *                and the others lie evenly between. First the beginnings of all sounds, then the second of each, ...
 *   ownership    sounds and exec are borrowed until vae_examples_close
 *   errors       STATUS_ARGUMENT: no sound that has any sample, a sample that is not finite; STATUS_NOMEM; those of augment.h and spectral.h
 *   determinism  bitwise on one backend and ISA of the exec, whatever the threads */
#ifndef VAE_EXAMPLES_H
#define VAE_EXAMPLES_H
#include "augment.h"
#include "vae.h"

enum { VAE_PARTS_MOST = 8 };

struct vae_sound {
    const float *samples;
    int64_t count;
    bool validation;
};

struct vae_examples;

/* config: audio's mean and deviation are set by vae_examples_measure. ex: of the CPU. */
int vae_examples_open(const struct vae_config *config, const struct augment_params *change, uint64_t seed,
                      const struct vae_sound *sounds, int64_t count, struct exec *ex,
                      struct vae_examples **out) MUST_USE;
void vae_examples_close(struct vae_examples **e);

/* Mean and deviation over the plain examples of the sounds to train on; from then on examples are standardised by
 * these. */
int vae_examples_measure(struct vae_examples *e, struct vae_audio *audio) MUST_USE;
void vae_examples_standardise(struct vae_examples *e, const struct vae_audio *audio);

/* Sounds. */
int64_t vae_examples_training(const struct vae_examples *e);
int64_t vae_examples_validation(const struct vae_examples *e);
int64_t vae_examples_plains(const struct vae_examples *e, bool validation); /* at least as many as sounds */

/* The examples of a step, counted from 1. */
int vae_examples_step(struct vae_examples *e, uint64_t step, int64_t batch, float *out) MUST_USE;

/* Plain examples [first, first + count) of the sounds for validation, or to train on. */
int vae_examples_plain(struct vae_examples *e, bool validation, int64_t first, int64_t count, float *out) MUST_USE;

/* What the spectrograms are made by; mel.log is set. */
struct spectral_params;
struct spectral_params vae_examples_spectral(const struct vae_config *c);

#endif
