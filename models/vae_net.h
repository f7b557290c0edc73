/* vae_net - the layers of a network with the places of their parameters, shared by what lays it out and what runs it.
 * Room-internal.
 *
 * Level 0 is the spectrogram, level l what encoder layer l - 1 makes of it and decoder layer l - 1 takes. Both layers
 * between two levels are convolutions from the lower level to the higher one; the decoder's runs backwards. */
#ifndef VAE_NET_H
#define VAE_NET_H
#include "activate.h"
#include "conv2d.h"
#include "vae.h"

enum {
    VAE_TENSORS_MOST = 8 * VAE_DEPTH_MOST + 8,
    VAE_STREAM_LATENT = 1,
    VAE_STREAM_ENCODER = 16,
    VAE_STREAM_DECODER = 32
};

struct vae_level {
    int64_t height, width, channels;
};

struct vae_layer {
    struct conv2d_params conv;
    int64_t weight, bias; /* places in the block */
};

struct vae_norm { /* what follows a layer */
    struct activate_params p;
    int64_t gain, shift; /* without norms: not there */
};

struct vae_net {
    struct vae_config c;
    struct vae_level level[VAE_DEPTH_MOST + 1];
    struct vae_layer encoder[VAE_DEPTH_MOST], decoder[VAE_DEPTH_MOST]; /* between levels i and i + 1 */
    struct vae_layer narrow, wide;                                     /* to mean and log variance; from the latent */
    struct vae_norm up[VAE_DEPTH_MOST + 1], down[VAE_DEPTH_MOST + 1];  /* at level l: of the encoder; of the decoder */
    struct vae_tensor tensor[VAE_TENSORS_MOST];
    int tensors;
    int64_t parameters;
};

/* Its layers multiply f32 until vae_net_round. */
int vae_net_of(const struct vae_config *c, struct vae_net *out) MUST_USE;
void vae_net_round(struct vae_net *net, enum precision precision);

static inline int64_t vae_flat(const struct vae_net *net)
{
    const struct vae_level *const l = &net->level[net->c.depth];
    return l->height * l->width * l->channels;
}

#endif
