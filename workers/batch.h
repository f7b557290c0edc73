/* batch - rows of several threads on their way through the device together: packed, copied in, computed, copied out.
 *
 * Internal to offload.c. One batch has one stream, and buffers that grow to the largest of its batches and stay.
 *
 *   order        batch_begin returns when everything is in the stream, batch_end waits and hands the results over
 *   errors       STATUS_NOMEM: nothing is held any more, the device is well; STATUS_DEVICE; those of the operations.
 *                After an error of batch_begin the stream is empty and no result was written */
#ifndef BATCH_H
#define BATCH_H
#include "offload.h"

enum { BATCH_ROWS = 1024, BATCH_INS = 3, BATCH_OUTS = SPECTRAL_OUTPUTS + 4, BATCH_MESSAGE = 320 };

struct batch;
struct work;

/* What a batch is made of: works of one kind that join. */
struct work_kind {
    bool (*joins)(const struct work *a, const struct work *b);
    int (*compute)(struct batch *b); /* puts the kernels into the stream */
};

/* Memory of the host that a row brings, or that it wants filled. */
struct part {
    void *host;
    size_t bytes;
};

/* What one thread waits for: a row. Parts of one number lie one behind the other in a batch. */
struct work {
    const struct work_kind *kind;
    const void *wish; /* struct offload_frames or offload_series */
    struct part in[BATCH_INS], out[BATCH_OUTS];
    int ins, outs;
    size_t scratch_bytes;
    int64_t x_length, y_length; /* elements of the row, before and behind */
    struct piece piece;

    bool done, taken; /* taken: by the device; else it is the caller's again */
    int code;
    char message[BATCH_MESSAGE];
    double copy_in_s, compute_s, copy_out_s;
    uint64_t launches;
    struct work *next; /* in the queue, in a batch */
};

struct batch {
    struct exec *ex;
    const struct device_api *api;
    unsigned char *memory, *pinned; /* of the device, of the host: what goes in, what comes out, scratch */
    size_t bytes;                   /* of each */
    struct device_event *event[4];  /* before and after copy in, after the kernels, after copy out */

    struct work *works;
    int64_t rows;
    int64_t *x_offset, *y_offset; /* [rows + 1], in pinned */
    struct piece *piece;          /* [rows], in pinned */
    size_t in_at[BATCH_INS], in_bytes;
    size_t out_at[BATCH_OUTS], out_begin, out_end;
    size_t scratch_at;
    uint64_t launches;
};

extern const struct work_kind frames_kind, series_kind;

/* Takes over the exec. */
int batch_open(struct batch *b, struct exec *ex) MUST_USE;
void batch_close(struct batch *b);

/* Bytes of a batch's buffer that a row takes. */
size_t batch_row_bytes(const struct work *w);

int batch_begin(struct batch *b, struct work *works) MUST_USE;
int batch_end(struct batch *b) MUST_USE;

/* Gives its buffers back; returns their bytes. */
size_t batch_shrink(struct batch *b);

/* For kinds: where parts lie on the device, and rows made of them. */
void *batch_in(const struct batch *b, int part);
void *batch_out(const struct batch *b, int part);
void *batch_scratch(const struct batch *b);
struct ragged batch_rows(const struct batch *b, void *data, int32_t channels, bool behind);

#endif
