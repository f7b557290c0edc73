/* vae - a convolutional variational autoencoder of log-mel spectrograms: what it is, and how it is trained. vae.md has
 * its architecture and losses; this header what a caller needs.
 *
 *   shapes       an example is [frames][mels] f32, standardised decibels (vae_audio says which); a latent [latent]
 *   ownership    the exec is borrowed until vae_trainer_destroy; all else is copied
 *   memory       one block of five floats per parameter (weights, gradients, both moments, average), one of
 *                activations and packed weights for a batch; nothing is allocated by a step
 *   errors       STATUS_ARGUMENT: a configuration that cannot be, the message says why; STATUS_NOMEM, STATUS_DEVICE. A
 *                loss that is not finite is no error: the step reports `bad` and has changed nothing
 *   determinism  on the same device (backend, ISA) a step follows bitwise from weights, moments, examples and what it
 *                is told, whatever the threads; noise from (seed, step)
 *   precision    of what convolutions and linear layers multiply, forward and back (conv2d.h); sums, norms, losses,
 *                weights and moments are f32 in all. The CPU multiplies f32 whatever is asked for
 *   accuracy     gradients of all parameters against PyTorch in double: relative L2 <= 1e-5; losses of ten steps within
 *                1e-4; asserted in tests/models/test_vae_torch.py
 *   source       Kingma and Welling 2014; PyTorch's Conv2d, ConvTranspose2d, GroupNorm, SiLU, AdamW */
#ifndef VAE_H
#define VAE_H
#include "precision.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exec;

enum { VAE_DEPTH_MOST = 6, VAE_NAME_MOST = 48, VAE_CHANNELS_MOST = 1024, VAE_LATENT_MOST = 512, VAE_SIDE_MOST = 1024 };
enum { VAE_BATCH_MOST = 512 };

enum vae_activation { VAE_SILU = 0, VAE_LEAKY_RELU = 1 };

/* What an example's values are: decibels of mel power, less their mean, over their deviation. */
struct vae_audio {
    int64_t rate_hz, n_fft, hop;
    double low_hz, high_hz;
    double floor_db;              /* quieter is this */
    double mean_db, deviation_db; /* of the training set */
};

struct vae_config {
    int64_t frames, mels;
    int64_t depth;
    int64_t channels[VAE_DEPTH_MOST];
    int64_t stride_frames[VAE_DEPTH_MOST], stride_mels[VAE_DEPTH_MOST]; /* 1, 2 or 4; frames, mels divide by all */
    int64_t groups;                                                     /* of norms; 0: no norms */
    enum vae_activation activation;
    int64_t latent;
    double dropout; /* behind the encoder's and decoder's activations, when training */
    struct vae_audio audio;
};

/* How it is trained. */
struct vae_recipe {
    int64_t batch, steps; /* steps: at most */
    double rate;          /* reached after `warmup` steps, then down to a hundredth of it along a cosine */
    int64_t warmup;
    double weight_decay, clip, ema_decay;
    double beta; /* weight of the divergence, reached linearly after `beta_steps` */
    int64_t beta_steps;
    double free_nats; /* of each latent dimension */
    double weight_l1; /* of the reconstruction (reconstruction.h) */
    int64_t patience; /* validations without a better one before it stops */
    enum precision precision;
};

/* "tiny", "small" or "medium"; STATUS_ARGUMENT lists them. */
int vae_preset(const char *name, struct vae_config *config, struct vae_recipe *recipe) MUST_USE;
int vae_config_check(const struct vae_config *c) MUST_USE;

/* JSON, one object; `name` is what messages call it. The text is malloc'ed. */
int vae_config_parse(const char *json, const char *name, struct vae_config *out) MUST_USE;
int vae_config_text(const struct vae_config *c, char **out) MUST_USE;

/* ---- training ---- */

/* A parameter tensor and where it lies in the block of all. Convolutions are [kernel_h][kernel_w][in][out], in being
 * the side with more positions; linear layers [in][out]. */
struct vae_tensor {
    char name[VAE_NAME_MOST];
    int64_t offset, count;
    int rank;
    int64_t shape[4];
    float deviation, fill; /* of the normal distribution that it begins with; or all of it `fill` */
    bool decays;
};

struct vae_trainer;

struct vae_step {  /* what a step is told */
    uint64_t step; /* from 1 */
    double rate, beta;
};

struct vae_losses {
    double loss, reconstruction, kl; /* loss: reconstruction + beta*kl */
    double gradient_norm;
    bool bad; /* not finite: nothing was changed */
};

int vae_trainer_create(const struct vae_config *c, const struct vae_recipe *r, uint64_t seed, struct exec *ex,
                       struct vae_trainer **out) MUST_USE;
void vae_trainer_destroy(struct vae_trainer **t);

const struct vae_config *vae_trainer_config(const struct vae_trainer *t);
size_t vae_trainer_bytes(const struct vae_trainer *t); /* of the exec's memory */

/* Bytes that a trainer of this kind takes at most, before there is one; ex NULL: on any device. */
int vae_trainer_needs(const struct vae_config *c, int64_t batch, const struct exec *ex, size_t *out) MUST_USE;

/* One step on recipe.batch examples. */
int vae_trainer_step(struct vae_trainer *t, const struct vae_step *s, const float *examples,
                     struct vae_losses *out) MUST_USE;

/* The rate and beta of a step. */
struct vae_step vae_recipe_step(const struct vae_recipe *r, uint64_t step);

/* Without noise and dropout, of up to recipe.batch examples and with the averaged weights. kl: [latent], nats of each
 * dimension, or NULL. */
int vae_trainer_validate(struct vae_trainer *t, double beta, const float *examples, int64_t count,
                         struct vae_losses *out, float *kl) MUST_USE;
/* latent: [count][latent], what the examples are encoded to (its mean), or NULL; y: [count][frames][mels] */
int vae_trainer_reconstruct(struct vae_trainer *t, const float *examples, int64_t count, float *latent,
                            float *y) MUST_USE;
int vae_trainer_decode(struct vae_trainer *t, const float *latent, int64_t count, float *y) MUST_USE;

/* Blocks of all parameters. */
enum vae_block { VAE_WEIGHTS = 0, VAE_GRADIENTS, VAE_MOMENT1, VAE_MOMENT2, VAE_AVERAGE, VAE_BLOCKS };
int64_t vae_trainer_parameters(const struct vae_trainer *t);
const struct vae_tensor *vae_trainer_tensors(const struct vae_trainer *t, int *count);
int vae_trainer_get(struct vae_trainer *t, enum vae_block block, float *out) MUST_USE;
int vae_trainer_put(struct vae_trainer *t, enum vae_block block, const float *from) MUST_USE;

#endif
