/* safetensors - files of named tensors: read in place, and written.
 *
 *   format       u64 little-endian length of the header | header, JSON padded with blanks | tensors, one behind the
 *                other. The header is {"__metadata__": {text: text}, NAME: {"dtype", "shape", "data_offsets":
 *                [from, to]}}; offsets count from the end of the header. Tensors cover the rest of the file: no
 *                gap, no overlap
 *   checks       everything above, before anything is handed out; sizes are product(shape) * bytes of the dtype;
 *                names and metadata are UTF-8; a name twice, an unknown dtype or an unknown member is refused. A
 *                pickle is refused by name, with the command that converts it where it is trusted
 *   limits       header 8 MiB (jansson takes up to 43 times that), 65536 tensors, names of 512 bytes, 8 dimensions
 *   ownership    the file is mapped, and its descriptor may be closed after opening; views, names and metadata stay
 *                valid until safetensors_close. Who cuts a mapped file short ends its readers (SIGBUS): the model
 *                library only ever renames files. Data may lie at odd addresses: take them with safetensors_floats
 *                or memcpy
 *   errors       STATUS_FORMAT (the message names the file), STATUS_NOT_FOUND, STATUS_IO, STATUS_NOMEM
 *   determinism  the same tensors, in the same order, are written as the same bytes
 *   threads      an open file may be read by many
 *   source       the format as huggingface/safetensors describes it; stricter than its reader in that dimensions,
 *                names and header are bounded and unknown members refused */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are little-endian, and used where they lie");

enum { SAFETENSORS_DIMS_MOST = 8, SAFETENSORS_NAME_MOST = 512, SAFETENSORS_COUNT_MOST = 65536 };
#define SAFETENSORS_HEADER_MOST (UINT64_C(8) << 20)

enum safetensors_dtype {
    SAFETENSORS_F64,
    SAFETENSORS_I64,
    SAFETENSORS_U64,
    SAFETENSORS_F32,
    SAFETENSORS_I32,
    SAFETENSORS_U32,
    SAFETENSORS_F16,
    SAFETENSORS_BF16,
    SAFETENSORS_I16,
    SAFETENSORS_U16,
    SAFETENSORS_I8,
    SAFETENSORS_U8,
    SAFETENSORS_BOOL,
    SAFETENSORS_DTYPES
};

struct safetensors_view {
    const char *name;
    enum safetensors_dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_DIMS_MOST];
    uint64_t count, bytes; /* elements; may be 0 */
    const void *data;
};

struct safetensors;

const char *safetensors_dtype_name(enum safetensors_dtype dtype); /* as in files: "F16" */
size_t safetensors_dtype_bytes(enum safetensors_dtype dtype);

/* `name` is what messages call the file. The descriptor stays the caller's. */
int safetensors_open(int fd, const char *name, struct safetensors **out) MUST_USE;
int safetensors_open_path(const char *path, struct safetensors **out) MUST_USE;
void safetensors_close(struct safetensors **s);

size_t safetensors_count(const struct safetensors *s);
/* In the file's order, one behind the other: v - safetensors_at(s, 0) is the index of any view v. */
const struct safetensors_view *safetensors_at(const struct safetensors *s, size_t index);
const struct safetensors_view *safetensors_find(const struct safetensors *s, const char *name); /* NULL: none */
const char *safetensors_metadata(const struct safetensors *s, const char *key);                 /* NULL: none */

/* The elements of an F16, BF16, F32 or F64 tensor as float [count]; out NULL: they are only looked at. *bad (may be
 * NULL) gets the index of the first that is not finite as float, or -1. STATUS_UNSUPPORTED names a tensor of another
 * dtype. */
int safetensors_floats(const struct safetensors_view *v, float *out, int64_t *bad) MUST_USE;

struct safetensors_text {
    const char *key, *value;
};

/* Writes tensors (count and bytes of the views are not looked at) behind each other, wide dtypes first, so that each is
 * aligned to its own; else in the order given. STATUS_ARGUMENT names the tensor or the text that the format cannot
 * hold.
 */
int safetensors_write(int fd, const char *name, const struct safetensors_view *tensors, size_t count,
                      const struct safetensors_text *metadata, size_t metadata_count) MUST_USE;

/* The same under a path: beside it first, flushed, then renamed; a name never stands for half a file. */
int safetensors_save(const char *path, const struct safetensors_view *tensors, size_t count,
                     const struct safetensors_text *metadata, size_t metadata_count) MUST_USE;

/* Elements and bytes of a view's shape and dtype; false when they are too many, or a dimension is negative. */
bool safetensors_measure(const struct safetensors_view *v, uint64_t *count, uint64_t *bytes);

#endif
