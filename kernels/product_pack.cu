/* The packed weights of products on the device, made by the host. */
#include "product.cuh"

#include <math.h>
#include <string.h>

int64_t product_tiles(int64_t out, bool gated)
{
    const int64_t columns = gated ? out / 2 : out, each = product_tile(out) / (gated ? 2 : 1);
    return (columns + each - 1) / each;
}

int64_t product_tile(int64_t out)
{
    if (out <= 16)
        return 16;
    return (out + 47) / 48 * 48 < (out + 63) / 64 * 64 ? 48 : 64;
}

int64_t product_order_floats(int64_t out, bool gated)
{
    return product_tiles(out, gated) * product_tile(out);
}

static int64_t steps_of(int64_t length)
{
    return (length + PRODUCT_STEP - 1) / PRODUCT_STEP;
}

/* Floats of one tile's step. */
static int64_t step_floats(const struct product_shape *s)
{
    return product_tile(s->out) * PRODUCT_STEP / (s->precision == PRECISION_BF16 ? 2 : 1);
}

int64_t product_floats(const struct product_shape *s)
{
    const int64_t steps = s->segments * steps_of(s->length);
    return product_tiles(s->out, s->gated) * (product_tile(s->out) + steps * step_floats(s));
}

/* Column of the weights at place `at` of tile t; -1: none. */
static int64_t column_of(int64_t out, bool gated, int64_t t, int64_t at)
{
    const int64_t tile = product_tile(out), half = tile / 2;
    if (!gated)
        return t * tile + at < out ? t * tile + at : -1;
    const int64_t n = t * half + at % half;
    return n >= out / 2 ? -1 : at < half ? n : out / 2 + n;
}

void product_order(int64_t out, bool gated, const float *values, float *ordered)
{
    for (int64_t t = 0; t < product_tiles(out, gated); t++)
        for (int64_t at = 0; at < product_tile(out); at++) {
            const int64_t n = column_of(out, gated, t, at);
            *ordered++ = n < 0 ? 0 : values[n];
        }
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* To 10 bits, halves away from zero, and to the upper 16, halves to even; what is not finite stays so. */
static float to_tf32(float x)
{
    const uint32_t bits = isfinite(x) ? (bits_of(x) + 0x1000) & 0xffffe000 : bits_of(x);
    float rounded;
    memcpy(&rounded, &bits, sizeof rounded);
    return rounded;
}

static uint16_t to_bf16(float x)
{
    const uint32_t bits = bits_of(x);
    return isnan(x) ? (uint16_t)0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Column `at` of a tile, k of step t. */
static void put_weight(const struct product_shape *s, float *steps, int64_t t, int64_t k, int64_t at, float v)
{
    float *const step = steps + t * step_floats(s);
    if (s->precision == PRECISION_F32)
        step[k * product_tile(s->out) + at] = v;
    else if (s->precision == PRECISION_TF32)
        step[at * PRODUCT_STEP + k] = to_tf32(v);
    else
        ((uint16_t *)(void *)step)[at * PRODUCT_STEP + k] = to_bf16(v);
}

void product_pack(const struct product_shape *s, product_weight weight, const void *context, const float *bias,
                  int64_t bias_period, float *panels)
{
    const int64_t tile = product_tile(s->out), each = steps_of(s->length), steps = s->segments * each;
    for (int64_t t = 0; t < product_tiles(s->out, s->gated); t++, panels += tile + steps * step_floats(s))
        for (int64_t at = 0; at < tile; at++) {
            const int64_t n = column_of(s->out, s->gated, t, at);
            panels[at] = n < 0 || !bias ? 0 : bias[n % bias_period];
            for (int64_t i = 0; i < steps * PRODUCT_STEP; i++) {
                const int64_t step = i / PRODUCT_STEP, in = step % each * PRODUCT_STEP + i % PRODUCT_STEP;
                const bool there = n >= 0 && in < s->length;
                const float v = there ? weight(context, step / each * s->length + in, n) : 0;
                put_weight(s, panels + tile, step, i % PRODUCT_STEP, at, v);
            }
        }
}

void product_to_maps(struct device_product *p, const struct maps *y, const struct maps *add)
{
    p->y = y->data;
    p->y_item = y->item_stride;
    p->y_row = y->row_stride;
    p->y_step = y->channels;
    p->y_limit = y->width * y->channels;
    if (add) {
        p->add = add->data;
        p->add_item = add->item_stride;
        p->add_row = add->row_stride;
    }
}
