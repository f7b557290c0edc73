/* vae_files - a trained network as a file, and what it sounds like.
 *
 *   format       safetensors: the averaged weights, F32, named and laid out as vae_trainer_tensors says. Metadata:
 *                network ("spectral"), config (vae_config_text), training (vae_training_text)
 *   texts        training: one object of JSON, how it was trained and what came out; metrics: a line of JSON for each
 *                validation. Malloc'ed
 *   previews     spectrograms as audio by mel_inverse.h and griffin_lim.h; priors are decoded from normal noise of the
 *                seed
 *   errors       those of safetensors.h, griffin_lim.h and vae.h */
#ifndef VAE_FILES_H
#define VAE_FILES_H
#include "vae_fit.h"

enum vae_preview { VAE_PREVIEW_ORIGINAL, VAE_PREVIEW_RECONSTRUCTION, VAE_PREVIEW_PRIOR, VAE_PREVIEWS };

/* Spectrogram [frames][mels] of a preview: of validation sound n, what the averaged weights make of it, or what they
 * make of noise. */
int vae_preview_map(struct vae_trainer *t, struct vae_examples *e, enum vae_preview kind, int64_t n, uint64_t seed,
                    float *out) MUST_USE;

/* Audio of a spectrogram [frames][mels] in standardised decibels; y: [(frames - 1)*hop]. */
int vae_audio_of(const struct vae_config *c, const float *spectrogram, uint64_t seed, struct exec *ex,
                 float *y) MUST_USE;

/* preset: "" for none. NULL: out of memory. */
char *vae_training_text(const char *preset, const struct vae_fit_options *o, const struct vae_fit_result *r);
char *vae_metrics_text(const struct vae_metric *metrics, int64_t count);

int vae_model_write(int fd, const char *name, struct vae_trainer *t, const struct vae_config *c,
                    const char *training) MUST_USE;

#endif
