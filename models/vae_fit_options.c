#include "vae_fit.h"

#include "vae_net.h"

#include <stdlib.h>
#include <string.h>

/* Small sets are learnt by heart unless they are changed; pitch and speed cost time, so not every example's. */
static struct augment_params changes_of(bool much)
{
    struct augment_params p = augment_defaults();
    p.chance[AUGMENT_PITCH] = much ? 0.25 : 0.15;
    p.chance[AUGMENT_STRETCH] = much ? 0.25 : 0.15;
    p.chance[AUGMENT_COMPRESS] = 0.1;
    p.chance[AUGMENT_GAIN] = 0.5;
    p.chance[AUGMENT_POLARITY] = 0; /* the spectrogram does not hear it */
    p.chance[AUGMENT_NOISE] = 0.1;
    p.chance[AUGMENT_MUTE] = 0;
    p.semitones = (struct augment_range){-2, 2};
    p.rate = (struct augment_range){0.85, 1.2};
    p.gain_db = (struct augment_range){-6, 3};
    p.noise_db = (struct augment_range){40, 70};
    return p;
}

int vae_fit_preset(const char *name, struct vae_fit_options *out)
{
    *out = (struct vae_fit_options){0};
    const int code = vae_preset(name, &out->config, &out->recipe);
    if (code)
        return code;
    out->change = changes_of(strcmp(name, "tiny") == 0);
    out->validate_steps = strcmp(name, "tiny") == 0 ? 50 : 200;
    return STATUS_OK;
}

/* Two states, the one that is taken up and the newest; examples as they are, with margins, and as they come back. */
int vae_fit_needs(const struct vae_fit_options *o, const struct exec *ex, size_t *network, size_t *host)
{
    struct vae_net *const net = malloc(sizeof *net);
    if (!net)
        return fail(STATUS_NOMEM, "fit: out of memory");
    int code = vae_net_of(&o->config, net);
    if (!code) {
        const size_t state =
            VAE_FIT_BLOCKS * (size_t)net->parameters * sizeof(float) + VAE_METRICS_MOST * sizeof(struct vae_metric);
        *host = 2 * state + 3 * maps_bytes(o->recipe.batch, o->config.frames, o->config.mels, 1, true);
        code = vae_trainer_needs(&o->config, o->recipe.batch, ex, network);
    }
    free(net);
    return code;
}
