#include "conv_operands.h"

struct operands operands_of(struct exec *ex, const struct conv_case *c, uint64_t seed)
{
    const int64_t channels = c->p.activation == ACTIVATION_GLU ? c->p.out / 2 : c->p.out;
    const int64_t each = c->p.in * c->p.kernel_h * c->p.kernel_w;
    struct operands o = {.p = c->p};
    o.weight = noise_of(&seed, c->p.out * each, 2 / sqrtf((float)each));
    o.bias = noise_of(&seed, c->p.out, 1);
    o.scale = noise_of(&seed, channels, 2);
    o.packed_bytes = conv_pack_bytes(ex, &c->p);
    o.packed = packed_of(o.packed_bytes);
    CHECK_OK(conv_pack(ex, &c->p, o.weight, c->with & BIAS ? o.bias : NULL, o.packed));
    o.x = field_open(&(struct oracle_shape){c->items, c->height, c->width, c->p.in}, c->margins, c->gap);
    field_noise(&o.x, &seed, 1);
    const struct oracle_shape shape = {c->items, c->height, c->out_width, channels};
    const struct oracle_shape row = {1, 1, c->out_width, channels};
    o.y = field_open(&shape, (c->with & OUT_MARGINS) != 0, 7);
    o.add = field_open(c->with & ADD_ROW ? &row : &shape, false, 0);
    field_noise(&o.add, &seed, 1);
    if (c->with & (ADD | ADD_ROW | IN_PLACE)) {
        const int64_t n = field_positions(&o.y), repeats = n / field_positions(&o.add);
        o.add_dense = malloc((size_t)n * sizeof(float));
        REQUIRE(o.add_dense);
        for (int64_t i = 0; i < repeats; i++)
            field_read(&o.add, o.add_dense + i * (n / repeats));
    }
    if (c->with & ADD_ROW) {
        o.add.m.items = c->items;
        o.add.m.height = c->height;
        o.add.m.item_stride = o.add.m.row_stride = 0;
    }
    if (c->with & IN_PLACE)
        field_write(&o.y, o.add_dense);
    return o;
}

const struct maps *operands_added(const struct operands *o, const struct field *y, int with)
{
    return with & IN_PLACE ? &y->m : with & (ADD | ADD_ROW) ? &o->add.m : NULL;
}

void operands_free(struct operands *o)
{
    free(o->weight);
    free(o->bias);
    free(o->scale);
    free(o->packed);
    free(o->add_dense);
    field_close(&o->x);
    field_close(&o->add);
    field_close(&o->y);
}

int operands_conv(struct exec *ex, const struct operands *o, const struct conv_case *c, const struct maps *x,
                  const struct maps *added, const struct field *to, const struct maps *y)
{
    struct device_batch b = device_batch(ex);
    const struct maps from = device_maps(&b, &o->x, x, false), result = device_maps(&b, to, y, true);
    const struct maps more = added && added != y ? device_maps(&b, &o->add, added, false) : result;
    const float *const scale = device_in(&b, c->with & SCALE ? o->scale : NULL, (size_t)y->channels * sizeof(float));
    const float *const packed = device_aligned(&b, o->packed, o->packed_bytes, false);
    const int code = device_done(&b, conv(ex, &o->p, packed, &from, scale, added ? &more : NULL, &result));
    CHECK(exec_arena(ex)->used == 0);
    return code;
}

float operands_rounded(float x, enum precision p)
{
    int exponent;
    const int bits = p == PRECISION_TF32 ? 11 : 8;
    if (p == PRECISION_F32)
        return x;
    const double m = ldexp(frexp((double)x, &exponent), bits);
    return (float)ldexp(p == PRECISION_TF32 ? round(m) : rint(m), exponent - bits);
}

void operands_round(float *x, int64_t n, enum precision p)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = operands_rounded(x[i], p);
}
