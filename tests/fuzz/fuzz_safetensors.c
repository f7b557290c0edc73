/* Files of tensors (models/safetensors.h).
 *
 *   input        control u8 (1: the header's length is put right), u8 of the bytes that then belong to tensors,
 *                then the file's bytes, the length first
 *   properties   opening ends; what is opened covers the file exactly, its sizes agree, each tensor is found by its
 *                name, and its numbers can be taken; written again it reads the same */
#include "fuzz.h"
#include "safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CONTROL_MEND = 1, LENGTH_BYTES = 8 };

static int open_bytes(int *file, const void *data, size_t bytes, struct safetensors **out)
{
    if (*file < 0)
        *file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(*file >= 0 && ftruncate(*file, 0) == 0);
    FUZZ_CHECK(bytes == 0 || pwrite(*file, data, bytes, 0) == (ssize_t)bytes);
    return safetensors_open(*file, "fuzz", out);
}

static void check_floats(const struct safetensors_view *v)
{
    int64_t bad = -2;
    float *const out = malloc(v->count ? v->count * sizeof *out : 1);
    FUZZ_CHECK(out);
    if (safetensors_floats(v, out, &bad) == STATUS_OK) {
        FUZZ_CHECK(bad >= -1 && bad < (int64_t)v->count);
        for (uint64_t i = 0; i < (bad < 0 ? v->count : (uint64_t)bad); i++)
            FUZZ_CHECK(isfinite(out[i]));
        FUZZ_CHECK(bad < 0 || !isfinite(out[bad]));
    }
    free(out);
}

/* Returns the bytes that the tensors have together. */
static uint64_t check_views(const struct safetensors *s, struct safetensors_view *views)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct safetensors_view *const v = safetensors_at(s, i);
        uint64_t count = 1, bytes = 1;
        FUZZ_CHECK(safetensors_find(s, v->name) == v);
        FUZZ_CHECK(safetensors_measure(v, &count, &bytes) && count == v->count && bytes == v->bytes);
        FUZZ_CHECK(i == 0 || (const uint8_t *)views[i - 1].data + views[i - 1].bytes == v->data);
        check_floats(v);
        sum += bytes;
        views[i] = *v;
    }
    return sum;
}

static void check_again(const struct safetensors *s, const struct safetensors_view *views)
{
    static int file = -1;
    struct safetensors *again = NULL;
    if (file < 0)
        file = memfd_create("again", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
    FUZZ_CHECK(safetensors_write(file, "again", views, safetensors_count(s), NULL, 0) == STATUS_OK);
    FUZZ_CHECK(safetensors_open(file, "again", &again) == STATUS_OK);
    FUZZ_CHECK(safetensors_count(again) == safetensors_count(s));
    for (size_t i = 0; i < safetensors_count(s); i++) {
        const struct safetensors_view *const v = safetensors_find(again, views[i].name);
        FUZZ_CHECK(v && v->dtype == views[i].dtype && v->rank == views[i].rank && v->bytes == views[i].bytes);
        FUZZ_CHECK(memcmp(v->shape, views[i].shape, sizeof v->shape) == 0);
        FUZZ_CHECK(v->bytes == 0 || memcmp(v->data, views[i].data, v->bytes) == 0);
    }
    safetensors_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    struct fuzz_input in = {data, size};
    const uint8_t control = fuzz_byte(&in);
    const size_t tensors = fuzz_byte(&in), bytes = in.left;
    struct safetensors *s = NULL;
    uint8_t *const b = malloc(bytes ? bytes : 1);
    FUZZ_CHECK(b);
    if (bytes)
        memcpy(b, in.at, bytes);
    if ((control & CONTROL_MEND) && bytes >= LENGTH_BYTES + tensors) {
        const uint64_t length = bytes - LENGTH_BYTES - tensors;
        memcpy(b, &length, LENGTH_BYTES);
    }
    if (open_bytes(&file, b, bytes, &s) == STATUS_OK) {
        uint64_t length;
        struct safetensors_view *const views = calloc(safetensors_count(s) + 1, sizeof *views);
        FUZZ_CHECK(views);
        memcpy(&length, b, LENGTH_BYTES);
        FUZZ_CHECK(length <= bytes - LENGTH_BYTES);
        FUZZ_CHECK(check_views(s, views) == bytes - LENGTH_BYTES - length);
        check_again(s, views);
        free(views);
        fuzz_accept();
    } else {
        FUZZ_CHECK(s == NULL && status_message()[0]);
    }
    safetensors_close(&s);
    free(b);
    return 0;
}

static void seed(const char *name, const char *header, const void *tensors, size_t bytes)
{
    uint8_t b[600] = {CONTROL_MEND, (uint8_t)bytes};
    const size_t n = strlen(header);
    FUZZ_CHECK(2 + LENGTH_BYTES + n + bytes <= sizeof b);
    memcpy(b + 2 + LENGTH_BYTES, header, n);
    memcpy(b + 2 + LENGTH_BYTES + n, tensors, bytes);
    fuzz_seed(name, b, 2 + LENGTH_BYTES + n + bytes);
}

void fuzz_seeds(void)
{
    static const uint8_t bytes[16] = {0, 0, 128, 63, 0, 0, 192, 127, 0, 60, 1, 0, 0, 0, 0, 1};
    seed("none", "{}", bytes, 0);
    seed("two",
         "{\"__metadata__\":{\"klass\":\"demucs.htdemucs.HTDemucs\",\"args\":\"[]\",\"kwargs\":\"{}\"},"
         "\"conv.weight\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
         "\"scale\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]}}   ",
         bytes, 12);
    seed("dtypes",
         "{\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[8,10]},"
         "\"c\":{\"dtype\":\"I32\",\"shape\":[1,1],\"data_offsets\":[10,14]},"
         "\"d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[14,15]},"
         "\"e\":{\"dtype\":\"BOOL\",\"shape\":[0,3],\"data_offsets\":[15,15]},"
         "\"f\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[15,16]}}",
         bytes, 16);
}
