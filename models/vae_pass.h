/* vae_pass - a batch through a network and back, as operations on the memory of an exec. Room-internal.
 *
 * Margins of maps are zeros from the beginning and no operation writes them, so that nothing has to be cleared. */
#ifndef VAE_PASS_H
#define VAE_PASS_H
#include "latent.h"
#include "step_state.h"
#include "vae_net.h"

/* Activations and packed weights of a batch, in one block. Index l is a level. */
struct vae_room {
    float *input;                    /* level 0, with margins */
    float *up[VAE_DEPTH_MOST + 1];   /* encoder: sums of level l, before norm and activation */
    float *a[VAE_DEPTH_MOST + 1];    /* after them; of the highest level dense */
    float *h, *z, *dh, *dz, *kl;     /* of the latent */
    float *low, *dlow;               /* the decoder's first sums and their gradient, dense; dlow the encoder's too */
    float *down[VAE_DEPTH_MOST + 1]; /* decoder: sums of level l below the highest */
    float *b[VAE_DEPTH_MOST + 1];    /* after norm and activation, l > 0 */
    float *d[VAE_DEPTH_MOST + 1];    /* gradients of sums, of decoder and encoder in turn */
    float *up_statistics[VAE_DEPTH_MOST + 1], *down_statistics[VAE_DEPTH_MOST + 1];
    float *encoder[VAE_DEPTH_MOST][2], *decoder[VAE_DEPTH_MOST][2], *narrow[2], *wide[2]; /* packed, [way] */
    struct step_state *state;
    size_t bytes;
};

/* Where all lies from `memory` on; NULL: only room->bytes are of use, and
 * without an exec they are what it takes at most on any device. */
void vae_room_place(const struct vae_net *net, int64_t batch, const struct exec *ex, void *memory,
                    struct vae_room *room);

struct vae_pass {
    const struct vae_net *net;
    const struct vae_room *room;
    struct exec *ex;
    int64_t items;
    const float *weights; /* the block that is used */
    bool training;        /* noise and dropout */
};

/* The input's latent; from there, or from what the caller has put into room->z, to down[0]. */
int vae_encode(const struct vae_pass *p) MUST_USE;
int vae_decode(const struct vae_pass *p) MUST_USE;
/* Into state->reconstruction; `gradient`: into d[0]. */
int vae_compare(const struct vae_pass *p, float weight_l1, bool gradient) MUST_USE;
/* From d[0] to the gradients of all parameters. After encode, decode and compare of the same. */
int vae_backward(const struct vae_pass *p, float *gradients) MUST_USE;

#endif
