/* seeded_network - networks with weights from a seed: no file, no PyTorch, any size. Layer scales lie around 0.5 (fresh
 * networks begin at 1e-4), so that no branch hides behind another; around 1 they magnify rounding too much: at full
 * size two implementations in f32 were 108 dB apart. The rest has the spread that demucs begins with.
 *
 *   ownership    seeded_create's tensors are the caller's until seeded_destroy; networks that seeded_load makes do not
 *                need them any more
 *   errors       those of htdemucs_make; STATUS_NOMEM, STATUS_IO
 *   determinism  bitwise by configuration and seed, on every machine */
#ifndef SEEDED_NETWORK_H
#define SEEDED_NETWORK_H
#include "htdemucs.h"

enum seeded_size {
    SEEDED_TINY,  /* 1000 samples, two layers: for what is slow */
    SEEDED_SMALL, /* 0.6 s, a sixth as wide as the released networks, as deep */
    SEEDED_FULL   /* the released networks */
};

/* stems: 4, or 6 without a layer before and behind the transformer. */
struct htdemucs_config seeded_config(enum seeded_size size, int stems);

struct seeded;
int seeded_create(const struct htdemucs_config *c, uint64_t seed, struct exec *ex, struct seeded **out) MUST_USE;
void seeded_destroy(struct seeded **s);
int seeded_load(const struct seeded *s, enum precision precision, struct exec *ex, struct htdemucs **out) MUST_USE;

/* As a file that demucs 4.1.0 reads, with float32 tensors. */
int seeded_write(const struct seeded *s, const char *path) MUST_USE;

/* At once: of four stems, in f32. */
int seeded_network(enum seeded_size size, struct exec *ex, struct htdemucs **out) MUST_USE;

/* Noise in [-1, 1) from a seed. */
void seeded_noise(uint64_t seed, size_t count, float *out);

#endif
