#include "npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t NPY_SIDE_MOST = INT64_C(1) << 32;

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

int npy_rows_header(int rank, const int64_t *shape, char out[NPY_HEADER_BYTES])
{
    char dict[NPY_HEADER_BYTES - 10];
    int n = snprintf(dict, sizeof dict, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    if (rank < 1 || rank > NPY_RANK_MOST)
        return fail(STATUS_ARGUMENT, "npy: %d dimensions", rank);
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0 || shape[i] > NPY_SIDE_MOST) /* so that the header has room for it */
            return fail(STATUS_ARGUMENT, "npy: dimension %d is %" PRId64, i, shape[i]);
        n += snprintf(dict + n, sizeof dict - (size_t)n, "%" PRId64 "%s", shape[i],
                      i + 1 < rank ? ", "
                      : rank == 1  ? ","
                                   : "");
    }
    snprintf(dict + n, sizeof dict - (size_t)n, "), }");
    write_header(dict, out);
    return STATUS_OK;
}

/* The numbers of "(2, 64, 64)"; how many, or -1. */
static int read_shape(const char *text, int64_t shape[NPY_RANK_MOST])
{
    int rank = 0;
    text += strspn(text, " ");
    if (*text++ != '(')
        return -1;
    for (text += strspn(text, " "); *text != ')'; text += strspn(text, ", ")) {
        char *end;
        const long long v = strtoll(text, &end, 10);
        if (*text < '0' || *text > '9' || v > NPY_SIDE_MOST || rank == NPY_RANK_MOST)
            return -1;
        shape[rank++] = v;
        text = end;
    }
    return rank;
}

/* What stands behind a key. */
static const char *value_of(const char *dict, const char *key)
{
    const char *const at = strstr(dict, key);
    const char *const colon = at ? strchr(at, ':') : NULL;
    return colon ? colon + 1 + strspn(colon + 1, " ") : "";
}

int npy_rows_read(const char *head, size_t bytes, int rank, int64_t *shape, size_t *at)
{
    char dict[NPY_READ_MOST + 1];
    int64_t found[NPY_RANK_MOST];
    if (bytes < 10 || memcmp(head, "\x93NUMPY\x01", 7) != 0)
        return fail(STATUS_FORMAT, "it is no .npy file of version 1");
    const size_t n = (uint8_t)head[8] + 256U * (uint8_t)head[9];
    if (n > NPY_READ_MOST || n > bytes - 10)
        return fail(STATUS_FORMAT, "its header is cut short, or longer than %d bytes", NPY_READ_MOST);
    memcpy(dict, head + 10, n);
    dict[n] = '\0';
    if (strncmp(value_of(dict, "'descr'"), "'<f4'", 5) != 0)
        return fail(STATUS_FORMAT, "its values are not float32");
    if (strncmp(value_of(dict, "'fortran_order'"), "False", 5) != 0)
        return fail(STATUS_FORMAT, "its values are not in C order");
    const int count = read_shape(value_of(dict, "'shape'"), found);
    if (count != rank)
        return fail(STATUS_FORMAT, "it has not %d dimensions", rank);
    memcpy(shape, found, (size_t)rank * sizeof *shape);
    *at = 10 + n;
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
