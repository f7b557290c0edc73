#include "vae_fit.h"

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
