/* vae_fit - a network trained until it does not get better: steps, validations, states to go on from.
 *
 *   schedule     recipe.steps steps at most; after every validate_steps, and after the last, the validation sounds
 *                are encoded and decoded by the averaged weights. What was best then is what stays; it stops when
 *                recipe.patience validations in a row were not better
 *   pause        pause_step, a multiple of validate_steps: behind the validation of that step it ends as it would behind
 *                the last, with the best weights so far; the state that save was handed last goes on from there.
 *                What comes of a pause hangs on nothing behind it: a state of a later step is not taken up,
 *                STATUS_NOT_FOUND
 *   not finite   a step whose loss is not finite changes nothing, but goes back to the state of the last validation
 *                and halves the rate from there on; after VAE_BAD_MOST of these, STATUS_ARGUMENT says so
 *   state        save is handed what to go on from before the first step and after validations: bytes of this build
 *                and byte order. With the same options, sounds and device the weights are bit-equal however often it
 *                was taken up again. One from elsewhere (backend, ISA, precision, device) is gone on with: it is said,
 *                and counted in `moves`; the weights are then those of no single device. A state of other options or
 *                sounds: STATUS_ARGUMENT; of another version or with altered bytes: STATUS_VERSION or STATUS_FORMAT;
 *                nothing is begun then, and the hook `refused` has told: the same codes have other reasons too
 *   ownership    sounds, execs, state and hooks are borrowed for the call; the trainer that comes out is the caller's,
 *                and holds the best weights as its average
 *   errors       those of vae.h, vae_examples.h and hooks; a hook's code ends the fit and is returned
 *   determinism  bitwise on one device and ISA; only seconds differ */
#ifndef VAE_FIT_H
#define VAE_FIT_H
#include "exec.h"
#include "vae_examples.h"

enum { VAE_BAD_MOST = 3, VAE_METRICS_MOST = 4096, VAE_PLACE = 128, VAE_FIT_BLOCKS = 5 };

struct vae_fit_options {
    struct vae_config config; /* its audio's mean and deviation are measured */
    struct vae_recipe recipe;
    struct augment_params change;
    uint64_t seed;
    int64_t validate_steps;
    int64_t pause_step; /* 0: none; no other training for that: states of one with another are taken up, up to it */
    uint8_t sounds[32]; /* what set it is: a hash of it */
    char device[64];    /* which of its backend's devices ex is; "" where there is but one */
};

/* What a preset (vae.h) trains by; seed and sounds are the caller's. */
int vae_fit_preset(const char *name, struct vae_fit_options *out) MUST_USE;

/* One validation. train_loss: mean of the steps since the last one; the others of the validation sounds. */
struct vae_metric {
    int64_t step;
    double train_loss, validation_loss, reconstruction, kl, seconds;
};

enum vae_end { VAE_END_STEPS = 0, VAE_END_PATIENCE = 1, VAE_END_PAUSE = 2 };

struct vae_fit_result {
    enum vae_end end;
    int64_t steps, best_step, bad_steps;
    double train_loss, validation_loss, reconstruction, kl; /* of the best weights; train_loss of plain examples */
    double seconds;                                         /* of all attempts */
    int64_t active;            /* latent dimensions above VAE_ACTIVE_NATS on the sounds to train on */
    double kl_of_active;       /* nats of each, mean */
    double from;               /* where it was taken up: part of all steps; 0 from the beginning */
    enum exec_backend backend; /* where the network was computed, in the end, */
    enum exec_isa isa;         /* and what the sounds were changed with */
    int64_t moves;             /* how often it was taken up elsewhere */
    char place[VAE_PLACE];     /* where, as states are compared: "backend ISA precision[ device]" */
    struct vae_config config;
};

#define VAE_ACTIVE_NATS 0.1

/* What training has come to after a validation: the average is what it validated. */
struct vae_fit_view {
    struct vae_trainer *trainer;
    struct vae_examples *examples;
    const struct vae_config *config;
    const struct vae_metric *metrics; /* those of earlier attempts, too */
    int64_t metric_count;
    bool best; /* the last is the best so far */
    int64_t step, steps;
};

struct vae_fit_hooks {
    void *context;
    /* After each step, and with NULL after each batch that is validated. */
    int (*alive)(void *context, const struct vae_losses *l, int64_t step, int64_t steps);
    int (*validated)(void *context, const struct vae_metric *m, bool best);
    int (*save)(void *context, const void *state, size_t bytes, double progress);
    /* After a validation is saved; or NULL. It may encode, decode and take examples, and changes nothing else: weights
     * are those of a training without it. */
    int (*look)(void *context, const struct vae_fit_view *view);
    void (*says)(void *context, const char *text); /* what should be known: a step back, a short set */
    void (*sounds)(void *context, bool begin);     /* around what runs on `cpu`; or NULL */
    /* With pause_step, when that is reached, or there is nothing left to do before: the state to go on from; or NULL.
     */
    int (*paused)(void *context, const void *state, size_t bytes);
    void (*refused)(void *context); /* the state cannot be gone on with, and so the fit fails; or NULL */
};

/* Bytes of it, before there is one: of ex's memory, and of the host's besides. ex NULL: at most, on any device. */
int vae_fit_needs(const struct vae_fit_options *o, const struct exec *ex, size_t *network, size_t *host) MUST_USE;

/* ex: where the network runs; cpu: where sounds are changed and transformed, may be ex. state: of an earlier attempt,
 * or NULL. metrics: [VAE_METRICS_MOST], their number in *count. */
int vae_fit(const struct vae_fit_options *o, const struct vae_sound *sounds, int64_t count, struct exec *ex,
            struct exec *cpu, const void *state, size_t state_bytes, const struct vae_fit_hooks *hooks,
            struct vae_fit_result *out, struct vae_metric *metrics, int64_t *metric_count,
            struct vae_trainer **trainer) MUST_USE;

#endif
