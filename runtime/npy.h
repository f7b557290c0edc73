/* npy - headers of NumPy's .npy files, format version 1.0.
 *
 * An array [bins, frames] is stored frame after frame, as it is computed: the header says fortran_order, so nothing is
 * transposed. The header has one fixed length, so the number of frames can be filled in when it is known. A signal is
 * [samples], or [samples, channels], which lies in the same order. Pictures are [..., rows, columns] in C order, and
 * read back.
 *   source    numpy.lib.format of NumPy 2: magic, version, little-endian length, a Python dict padded to 64 bytes */
#ifndef NPY_H
#define NPY_H
#include "ragged.h"
#include "status.h"

#include <stddef.h>

enum { NPY_HEADER_BYTES = 128, NPY_RANK_MOST = 4, NPY_READ_MOST = 4096 };

/* [bins, frames] of DTYPE_F32 or DTYPE_C64; STATUS_ARGUMENT for other types. */
int npy_header(enum dtype dtype, int64_t bins, int64_t frames, char out[NPY_HEADER_BYTES]) MUST_USE;

/* [samples] of one channel, else [samples, channels]; DTYPE_F32. */
int npy_signal_header(int64_t channels, int64_t samples, char out[NPY_HEADER_BYTES]) MUST_USE;

/* Dense f32 of up to NPY_RANK_MOST dimensions in C order, the last one fastest. */
int npy_rows_header(int rank, const int64_t *shape, char out[NPY_HEADER_BYTES]) MUST_USE;

/* What npy_rows_header wrote, and what NumPy writes for such an array: `bytes` of the file's beginning, in which its
 * whole header is. *at: where the values begin. STATUS_FORMAT says what is another way. */
int npy_rows_read(const char *head, size_t bytes, int rank, int64_t *shape, size_t *at) MUST_USE;

/* Bytes of one element; 0 for types that .npy files of ours do not have. */
size_t npy_item_bytes(enum dtype dtype);

/* Bytes of [bins, frames]; STATUS_ARGUMENT for other types, and for more than an int64_t counts. */
int npy_array_bytes(enum dtype dtype, uint32_t bins, uint64_t frames, uint64_t *out) MUST_USE;
const char *npy_dtype_name(enum dtype dtype); /* "float32", "complex64" */

#endif
