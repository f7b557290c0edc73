/* What dtypes are, and elements of any floating type as float. These are written without branches in the loops, so that
 * the compiler can take many at once: a network of 42 million weights is converted while it is loaded. */
#include "safetensors.h"

#include <string.h>

enum { BLOCK = 1024 }; /* elements at a time: stay in the first cache */

static const struct {
    const char *name;
    uint8_t bytes;
} dtypes[SAFETENSORS_DTYPES] = {
    [SAFETENSORS_F64] = {"F64", 8},  [SAFETENSORS_I64] = {"I64", 8},   [SAFETENSORS_U64] = {"U64", 8},
    [SAFETENSORS_F32] = {"F32", 4},  [SAFETENSORS_I32] = {"I32", 4},   [SAFETENSORS_U32] = {"U32", 4},
    [SAFETENSORS_F16] = {"F16", 2},  [SAFETENSORS_BF16] = {"BF16", 2}, [SAFETENSORS_I16] = {"I16", 2},
    [SAFETENSORS_U16] = {"U16", 2},  [SAFETENSORS_I8] = {"I8", 1},     [SAFETENSORS_U8] = {"U8", 1},
    [SAFETENSORS_BOOL] = {"BOOL", 1}};

const char *safetensors_dtype_name(enum safetensors_dtype dtype)
{
    return (unsigned)dtype < SAFETENSORS_DTYPES ? dtypes[dtype].name : "unknown";
}

size_t safetensors_dtype_bytes(enum safetensors_dtype dtype)
{
    return (unsigned)dtype < SAFETENSORS_DTYPES ? dtypes[dtype].bytes : 0;
}

bool safetensors_measure(const struct safetensors_view *v, uint64_t *count, uint64_t *bytes)
{
    uint64_t n = 1;
    for (int i = 0; i < v->rank; i++)
        if (v->shape[i] < 0 || __builtin_mul_overflow(n, (uint64_t)v->shape[i], &n))
            return false;
    *count = n;
    return !__builtin_mul_overflow(n, (uint64_t)safetensors_dtype_bytes(v->dtype), bytes);
}

static float of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Half: 1 sign, 5 exponent (bias 15), 10 mantissa. Numbers without an exponent are whole multiples of 2^-24. */
static void from_f16(const uint8_t *in, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        const uint32_t size = h & 0x7fffu, sign = (uint32_t)(h & 0x8000u) << 16;
        const uint32_t raise = size >= 0x7c00u ? 255 - 31 : 127 - 15; /* inf and NaN keep the greatest exponent */
        const float small = (float)(int32_t)size * 0x1p-24f;
        uint32_t bits;
        memcpy(&bits, &small, sizeof bits);
        bits = size < 0x400u ? bits : (size << 13) + (raise << 23);
        out[i] = of_bits(bits | sign);
    }
}

static void from_bf16(const uint8_t *in, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        out[i] = of_bits((uint32_t)h << 16);
    }
}

static void from_f32(const uint8_t *in, float *out, size_t n)
{
    memcpy(out, in, n * sizeof *out);
}

static void from_f64(const uint8_t *in, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d;
        memcpy(&d, in + 8 * i, sizeof d);
        out[i] = (float)d; /* beyond float: infinite, which is then reported */
    }
}

/* Index of the first that is inf or NaN, by its bits; n when there is none. */
static size_t first_bad(const float *x, size_t n)
{
    uint32_t any = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        any |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    for (size_t i = 0; any && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u)
            return i;
    }
    return n;
}

int safetensors_floats(const struct safetensors_view *v, float *out, int64_t *bad)
{
    void (*const convert)(const uint8_t *, float *, size_t) = v->dtype == SAFETENSORS_F16    ? from_f16
                                                              : v->dtype == SAFETENSORS_BF16 ? from_bf16
                                                              : v->dtype == SAFETENSORS_F32  ? from_f32
                                                              : v->dtype == SAFETENSORS_F64  ? from_f64
                                                                                             : NULL;
    const size_t width = safetensors_dtype_bytes(v->dtype);
    float block[BLOCK];
    int64_t found = -1;
    if (!convert)
        return fail(STATUS_UNSUPPORTED, "safetensors: tensor '%.80s' is %s, wanted F16, BF16, F32 or F64", v->name,
                    safetensors_dtype_name(v->dtype));
    for (uint64_t at = 0; at < v->count; at += BLOCK) {
        const size_t n = v->count - at < BLOCK ? (size_t)(v->count - at) : BLOCK;
        float *const to = out ? out + at : block;
        convert((const uint8_t *)v->data + at * width, to, n);
        const size_t i = found < 0 ? first_bad(to, n) : n;
        if (i < n)
            found = (int64_t)(at + i);
    }
    if (bad)
        *bad = found;
    return STATUS_OK;
}
