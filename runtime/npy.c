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

static void write_header(const char *dict, char out[NPY_HEADER_BYTES])
{
    memset(out, ' ', NPY_HEADER_BYTES);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)(NPY_HEADER_BYTES - 10);
    out[9] = 0;
    memcpy(out + 10, dict, strlen(dict));
    out[NPY_HEADER_BYTES - 1] = '\n';
}

int npy_header(enum dtype dtype, int64_t bins, int64_t frames, char out[NPY_HEADER_BYTES])
{
    char dict[NPY_HEADER_BYTES - 10];
    if (npy_item_bytes(dtype) == 0 || bins < 0 || frames < 0)
        return fail(STATUS_ARGUMENT, "npy: [%" PRId64 ", %" PRId64 "] of type %d", bins, frames, (int)dtype);
    snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': True, 'shape': (%" PRId64 ", %" PRId64 "), }",
             dtype == DTYPE_F32 ? "<f4" : "<c8", bins, frames);
    write_header(dict, out);
    return STATUS_OK;
}

int npy_signal_header(int64_t channels, int64_t samples, char out[NPY_HEADER_BYTES])
{
    char dict[NPY_HEADER_BYTES - 10], shape[48];
    if (channels < 1 || samples < 0)
        return fail(STATUS_ARGUMENT, "npy: a signal of %" PRId64 " channels, %" PRId64 " samples", channels, samples);
    if (channels == 1)
        snprintf(shape, sizeof shape, "%" PRId64 ",", samples);
    else
        snprintf(shape, sizeof shape, "%" PRId64 ", %" PRId64, samples, channels);
    snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape);
    write_header(dict, out);
    return STATUS_OK;
}
