/* htdemucs - Hybrid Transformer Demucs (Demucs v4): segments of stereo mixtures in, their stems out. htdemucs.md
 * has the architecture; this header what a caller needs.
 *
 *   shapes       of each segment mix [segment][2] f32 in; stems [segment][stems][2] f32 out
 *   units        those of the mixture, linear; the network normalises by itself, and expects levels about those of
 *                music that was divided by its standard deviation
 *   weights      a safetensors file as demucs 4.1.0 has them: klass, args and kwargs (JSON) as metadata, from which
 *                every shape follows (htdemucs, htdemucs_ft, htdemucs_6s and smaller ones are one code path). Every
 *                tensor must be there with its shape, none may be left over, none may hold a NaN or an infinity
 *   ownership    htdemucs_load's file may be closed afterwards: weights are packed into memory of the network's
 *                own. A network is only read once it is loaded: many may run it, each with an htdemucs_room of its
 *                own
 *   memory       the block of weights is allocated when every tensor has been found with its shape, so that it takes
 *                what the file holds, packed; a network whose segment takes more than HTDEMUCS_ROOM_MOST is refused
 *                On a device: one allocation for the weights, one for a room, beside the exec's scratch
 *   errors       STATUS_FORMAT: the file is no such network (the message names file and tensor);
 *                STATUS_UNSUPPORTED: a variant that is not implemented, or too large; STATUS_NOMEM
 *   determinism  bitwise on one backend and ISA, whatever the threads and the other segments
 *   precision    of what is multiplied in convolutions and linear layers (conv.h); spectra, norms, softmax, residual
 *                branches and statistics are f32 always. The CPU is f32, whatever is asked for
 *   accuracy     in f32 >= 110 dB SNR against PyTorch 2.13 with demucs 4.1.0 and weights that hide nothing; asserted in
 *                tests/models/test_htdemucs.py
 *   source       demucs 4.1.0 htdemucs.py, transformer.py, demucs.py; Rouard, Massa and Defossez 2023 */
#ifndef HTDEMUCS_H
#define HTDEMUCS_H
#include "precision.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exec;
struct safetensors;
struct safetensors_view;

enum { HTDEMUCS_STEMS_MOST = 16, HTDEMUCS_DEPTH_MOST = 6, HTDEMUCS_LAYERS_MOST = 16, HTDEMUCS_NAME_MOST = 32 };
enum { HTDEMUCS_CHANNELS_MOST = 8192 };      /* of the last layer, and of the transformer */
enum { HTDEMUCS_SEGMENTS_MOST = 16 };        /* of one run */
enum { HTDEMUCS_RUNS_MOST = 2 };             /* begun in one room and not finished */
#define HTDEMUCS_ROOM_MOST ((size_t)8 << 30) /* bytes of a segment's activations */

/* What the metadata says; kernel 8, stride 4 and two channels of audio are the same in all. */
struct htdemucs_config {
    int stems;
    char stem[HTDEMUCS_STEMS_MOST][HTDEMUCS_NAME_MOST];
    int64_t rate_hz, segment; /* segment: frames */
    int64_t channels, growth, depth, n_fft, compress, dconv_mode, dconv_depth;
    int64_t bottom; /* 0: none */
    int64_t layers, heads, hidden;
    double frequency_weight; /* of the frequency embedding, its own scale included */
    double max_period;
};

/* From the metadata of a file. `name` is what messages call it. */
int htdemucs_config_parse(const char *kwargs, const char *name, struct htdemucs_config *out) MUST_USE;

struct htdemucs;

/* `name` is what messages call the file. */
int htdemucs_load(const struct safetensors *file, const char *name, enum precision precision, struct exec *ex,
                  struct htdemucs **out) MUST_USE;
void htdemucs_unload(struct htdemucs **net);

/* The same of tensors in memory, which may go afterwards, too. */
int htdemucs_make(const struct htdemucs_config *c, const struct safetensors_view *tensors, size_t count,
                  const char *name, enum precision precision, struct exec *ex, struct htdemucs **out) MUST_USE;

/* Tells which tensors a network has, each once, as PyTorch names and shapes it; anything but 0 ends it. */
struct htdemucs_visitor {
    int (*tell)(void *context, const char *tensor, int rank, const int64_t *shape);
    void *context;
};
int htdemucs_tensors(const struct htdemucs_config *c, struct exec *ex, const struct htdemucs_visitor *visitor) MUST_USE;

const struct htdemucs_config *htdemucs_config(const struct htdemucs *net);
size_t htdemucs_bytes(const struct htdemucs *net); /* of packed weights */

/* The same before they are packed, when only the file's size is known: at most so many. */
size_t htdemucs_bytes_at_most(size_t file_bytes);

/* Memory of runs of up to so many segments: activations, kept from run to run so that its pages are touched once. On a
 * device also, for each of HTDEMUCS_RUNS_MOST runs, mixtures and stems there and in pinned memory of the host. */
struct htdemucs_room;
int htdemucs_room_create(const struct htdemucs *net, struct exec *ex, int segments,
                         struct htdemucs_room **out) MUST_USE;
void htdemucs_room_destroy(struct htdemucs_room **room); /* what was begun is waited for, and lost */

/* Makes a room serve another network, or more segments; one for more than that stays as it is. STATUS_NOMEM when it is
 * too small for them; STATUS_BUSY: a run that was begun is not finished. */
int htdemucs_room_use(const struct htdemucs *net, struct exec *ex, int segments, struct htdemucs_room *room) MUST_USE;

/* Whether htdemucs_room_use would leave it as it is. */
bool htdemucs_room_suits(const struct htdemucs_room *room, const struct htdemucs *net, int segments);

/* Of one allocation on a device; on the CPU, which needs mixtures and stems once, somewhat less is taken. */
size_t htdemucs_room_bytes(const struct htdemucs_config *c, int segments);

struct htdemucs_segment {
    const float *mix;
    float *stems;
};

/* As many segments as the room has space for, at once. The exec is one of the backend and ISA that the network was
 * loaded for. */
int htdemucs_run(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room,
                 const struct htdemucs_segment *segments, int count) MUST_USE;

/* The same in two halves. `which` of the room's runs it is, 0 to HTDEMUCS_RUNS_MOST - 1, is the caller's choice among
 * those that are not begun. On a device begin queues all work and does not wait for it: while one run computes, the
 * mixtures of the next are copied in and the stems of the last out. On the CPU begin does the work. The mixtures are
 * free once it returns, the stems are there once finish has returned STATUS_OK. Each run that was begun without an
 * error is finished, by any thread, also beside the begin of another. */
int htdemucs_begin(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int which,
                   const struct htdemucs_segment *segments, int count) MUST_USE;
int htdemucs_finish(struct htdemucs_room *room, int which) MUST_USE;

#endif
