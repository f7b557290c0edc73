/* htdemucs_net - the parts of a loaded network, shared by what loads it and what runs it. Room-internal. */
#ifndef HTDEMUCS_NET_H
#define HTDEMUCS_NET_H
#include "conv_transpose.h"
#include "dconv.h"
#include "exec_memory.h"
#include "htdemucs.h"

#include <stdatomic.h>

enum { KERNEL = 8, STRIDE = 4, PAD = 2, AUDIO_CHANNELS = 2, DCONV_MOST = 4 };

struct linear { /* a convolution with its weights */
    struct conv_params p;
    const float *packed;
};

struct branch { /* one dconv sub-layer */
    struct dconv_params p;
    const float *packed;
};

struct encoder {
    struct linear conv, rewrite;
    int branches;
    struct branch branch[DCONV_MOST];
};

struct decoder {
    struct linear rewrite;
    int branches;
    struct branch branch[DCONV_MOST];
    struct conv_transpose_params up;
    const float *up_packed;
};

struct affine {
    const float *gain, *shift;
};

struct attender {                                /* one transformer layer of one branch */
    struct affine norm1, norm2, norm3, norm_out; /* norm3: cross layers only */
    struct linear in, query, pair;               /* self: in = q, k and v; cross: query, and pair = k and v */
    struct linear out, wide, narrow;
    const float *scale1, *scale2;
};

/* Frequency and time, in this order wherever there are two of something. */
enum { FREQUENCY = 0, TIME = 1, BRANCHES = 2 };

struct htdemucs {
    struct htdemucs_config c;
    int64_t frames;                                                          /* of a segment's spectrum */
    int64_t bins[HTDEMUCS_DEPTH_MOST + 1], samples[HTDEMUCS_DEPTH_MOST + 1]; /* before layer i */
    int64_t width;                                                           /* of the transformer */
    struct encoder encoder[BRANCHES][HTDEMUCS_DEPTH_MOST];
    struct decoder decoder[BRANCHES][HTDEMUCS_DEPTH_MOST];
    const float *frequency_embedding; /* [bins][channels], weighted */
    struct linear up[BRANCHES], down[BRANCHES];
    struct affine norm_in[BRANCHES];
    const float *positions[BRANCHES]; /* [tokens][width] */
    struct attender attender[BRANCHES][HTDEMUCS_LAYERS_MOST];
    struct exec_memory block; /* of all weights */
    size_t bytes;
    uint64_t id; /* of all that this process has loaded: an address may come again */
};

/* Channels of encoder layer i's output. */
static inline int64_t channels_of(const struct htdemucs_config *c, int64_t i)
{
    int64_t channels = c->channels;
    for (; i > 0; i--)
        channels *= c->growth;
    return channels;
}

/* Rows that transforms see: mixtures, their spectra, spectra of stems, stems. */
enum table { PADDED_ROWS, SPECTRA_ROWS, INVERSE_ROWS, WAVES_ROWS, TABLES };
enum { ROWS_MOST = HTDEMUCS_STEMS_MOST * AUDIO_CHANNELS * HTDEMUCS_SEGMENTS_MOST };

/* One of the runs that a room can have in flight. */
struct flight {
    float *mix;      /* [segments][segment][2] */
    float *stems;    /* [segments][segment][stems][2] */
    float *mix_host; /* the same in pinned memory, on a device; these two, too */
    float *stems_host;
    struct device_event *here, *computed, *out;             /* mixtures copied in, run, stems copied out */
    struct device_graph *graph[HTDEMUCS_SEGMENTS_MOST + 1]; /* as recorded with these addresses */
    atomic_int count;                                       /* segments; 0: not begun */
    size_t stems_bytes;                                     /* of a segment */
    float *to[HTDEMUCS_SEGMENTS_MOST];
};

/* Of so many segments: each pointer is to as many of what it names, one behind the other. */
struct htdemucs_room {
    struct exec_memory block;
    uint64_t net; /* id of the network that it is laid out for */
    size_t held;  /* bytes of the block */
    size_t bytes; /* of them laid out */
    int segments;
    float *skip[BRANCHES][HTDEMUCS_DEPTH_MOST];
    float *a, *b; /* work, each as large as the largest of what takes turns there */
    float *token[BRANCHES];
    float *padded;            /* [segments][2][..] the mixtures by channel, continued at their ends */
    float *input;             /* the time branch's maps */
    float *spectra;           /* of the mixtures */
    float *waves;             /* [segments][stems*2][wave_samples] of the frequency branch */
    float *mix, *stems;       /* of the flight that is run */
    float *moments[BRANCHES]; /* [segments][2] mean and deviation of what goes in */
    /* Where rows of the transforms begin, for the host and, in the block, for kernels. */
    int64_t begins[TABLES][ROWS_MOST + 1], *begins_there[TABLES];
    struct flight flight[HTDEMUCS_RUNS_MOST];
    /* On a device: copies in and out have streams of their own. The second run of so many segments is recorded, and
     * played from then on; the first makes plans. */
    struct device_stream *in, *out;
    void *pinned;
    size_t pinned_bytes;
    bool ran[HTDEMUCS_SEGMENTS_MOST + 1], plain; /* plain: nothing is recorded */
};

/* Samples of a channel that the transform sees, continued at both ends. */
static inline int64_t padded_samples(const struct htdemucs *net)
{
    return (net->frames - 1) * (net->c.n_fft / 4) + net->c.n_fft;
}

/* Samples that its first frame sees before the signal's first. */
static inline int64_t before_first(const struct htdemucs *net)
{
    return net->c.n_fft / 4 / 2 * 3;
}

/* Of a signal that the inverse transform gives: as many before it. */
static inline int64_t wave_samples(const struct htdemucs *net)
{
    return before_first(net) + net->c.segment;
}

/* Frames of the spectra that the inverse transform sees: two of zeros on each side. */
static inline int64_t inverse_frames(const struct htdemucs *net)
{
    return net->frames + 4;
}

/* The shapes that follow from the configuration; what does not fit together is STATUS_UNSUPPORTED. */
int htdemucs_shape(const char *name, struct htdemucs *net) MUST_USE;

/* Forgets what was recorded: of another layout, or another network. */
void htdemucs_room_forget(struct htdemucs_room *room);

/* On a device: streams, events, and pinned memory for a room as it is laid out. close waits for what is in flight. */
int htdemucs_flights_open(const struct htdemucs *net, struct htdemucs_room *room) MUST_USE;
void htdemucs_flights_close(struct htdemucs_room *room);

/* All operations of `count` segments, from room->mix to room->stems. */
int htdemucs_forward(const struct htdemucs *net, struct exec *ex, struct htdemucs_room *room, int count) MUST_USE;

/* Position codes of the transformer's tokens, [frames*bins][width] and [samples][width]. */
void htdemucs_positions(const struct htdemucs *net, float *frequency, float *time);

#endif
