#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t npy_item_bytes(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? 4 : dtype == DTYPE_C64 ? 8 : 0;
}

int npy_array_bytes(enum dtype dtype, uint32_t bins, uint64_t frames, uint64_t *out)
{
    const uint64_t column = (uint64_t)npy_item_bytes(dtype) * bins;
    if (npy_item_bytes(dtype) == 0 || frames > INT64_MAX / (column ? column : 1))
        return fail(STATUS_ARGUMENT, "npy: [%" PRIu32 ", %" PRIu64 "] of type %d", bins, frames, (int)dtype);
    *out = column * frames;
    return STATUS_OK;
}

const char *npy_dtype_name(enum dtype dtype)
{
    return dtype == DTYPE_F32 ? "float32" : dtype == DTYPE_C64 ? "complex64" : "unknown";
}

int npy_header(enum dtype dtype, int64_t bins, int64_t frames, char out[NPY_HEADER_BYTES])
{
    if (npy_item_bytes(dtype) == 0 || bins < 0 || frames < 0)
        return fail(STATUS_ARGUMENT, "npy: [%" PRId64 ", %" PRId64 "] of type %d", bins, frames, (int)dtype);
    memset(out, ' ', NPY_HEADER_BYTES);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)(NPY_HEADER_BYTES - 10);
    out[9] = 0;
    char dict[NPY_HEADER_BYTES];
    const int n =
        snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': True, 'shape': (%" PRId64 ", %" PRId64 "), }",
                 dtype == DTYPE_F32 ? "<f4" : "<c8", bins, frames);
    memcpy(out + 10, dict, (size_t)n);
    out[NPY_HEADER_BYTES - 1] = '\n';
    return STATUS_OK;
}
