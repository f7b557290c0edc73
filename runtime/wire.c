#include "wire.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

int wire_append(struct wire_buffer *out, const void *data, size_t bytes)
{
    if (bytes > out->capacity - out->bytes) {
        size_t capacity = out->capacity ? out->capacity : 256;
        while (capacity - out->bytes < bytes) {
            if (capacity > SIZE_MAX / 2)
                return fail(STATUS_NOMEM, "wire: %zu bytes", bytes);
            capacity *= 2;
        }
        uint8_t *grown = realloc(out->data, capacity);
        if (!grown)
            return fail(STATUS_NOMEM, "wire: %zu bytes", capacity);
        out->data = grown;
        out->capacity = capacity;
    }
    if (bytes)
        memcpy(out->data + out->bytes, data, bytes);
    out->bytes += bytes;
    return STATUS_OK;
}

static int write_bytes(void *buffer, const char *data, size_t bytes)
{
    return wire_append(buffer, data, bytes);
}

static bool is_default(const struct wire_field *f, const char *member)
{
    switch ((enum wire_type)f->type) {
    case WIRE_F64: {
        double v;
        memcpy(&v, member, sizeof v);
        return !isfinite(v);
    }
    case WIRE_BOOL:
        return !*(const bool *)member;
    case WIRE_STR:
    case WIRE_BIN:
        return ((const struct wire_slice *)member)->bytes == 0;
    case WIRE_LIST:
    case WIRE_UINTS:
    case WIRE_STRS:
        return ((const struct wire_list *)member)->count == 0;
    default:
        return *(const uint64_t *)member == 0;
    }
}

static int pack_field(msgpack_packer *p, const struct wire_field *f, const char *member, struct wire_buffer *out)
{
    const struct wire_slice *s = (const struct wire_slice *)member;
    const struct wire_list *l = (const struct wire_list *)member;
    switch ((enum wire_type)f->type) {
    case WIRE_UINT:
        return msgpack_pack_uint64(p, *(const uint64_t *)member);
    case WIRE_INT:
        return msgpack_pack_int64(p, *(const int64_t *)member);
    case WIRE_F64:
        return msgpack_pack_double(p, *(const double *)member);
    case WIRE_BOOL:
        return *(const bool *)member ? msgpack_pack_true(p) : msgpack_pack_false(p);
    case WIRE_STR:
        return msgpack_pack_str(p, s->bytes) || (s->bytes && msgpack_pack_str_body(p, s->data, s->bytes));
    case WIRE_BIN:
        return msgpack_pack_bin(p, s->bytes) || (s->bytes && msgpack_pack_bin_body(p, s->data, s->bytes));
    default:
        return msgpack_pack_array(p, l->count) || wire_append(out, l->data, l->bytes);
    }
}

int wire_encode(const struct wire_schema *schema, const void *in, struct wire_buffer *out)
{
    msgpack_packer p;
    msgpack_packer_init(&p, out, write_bytes);
    uint32_t present = 0;
    for (size_t i = 0; i < schema->count; i++)
        present +=
            schema->fields[i].required || !is_default(&schema->fields[i], (const char *)in + schema->fields[i].offset);
    int failed = msgpack_pack_map(&p, present);
    for (size_t i = 0; i < schema->count && !failed; i++) {
        const struct wire_field *f = &schema->fields[i];
        const char *member = (const char *)in + f->offset;
        if (!f->required && is_default(f, member))
            continue;
        failed = msgpack_pack_uint8(&p, f->key) || pack_field(&p, f, member, out);
    }
    return failed ? fail(STATUS_NOMEM, "%s: out of memory", schema->name) : STATUS_OK;
}

int wire_append_uint(struct wire_buffer *out, uint64_t value)
{
    msgpack_packer p;
    msgpack_packer_init(&p, out, write_bytes);
    return msgpack_pack_uint64(&p, value) ? fail(STATUS_NOMEM, "wire: out of memory") : STATUS_OK;
}

int wire_append_str(struct wire_buffer *out, const char *text)
{
    msgpack_packer p;
    msgpack_packer_init(&p, out, write_bytes);
    const size_t n = strlen(text);
    return msgpack_pack_str(&p, n) || msgpack_pack_str_body(&p, text, n) ? fail(STATUS_NOMEM, "wire: out of memory")
                                                                         : STATUS_OK;
}

void wire_free(struct wire_buffer *b)
{
    free(b->data);
    *b = (struct wire_buffer){0};
}

struct wire_slice wire_str(const char *text)
{
    return (struct wire_slice){(const uint8_t *)text, text ? (uint32_t)strlen(text) : 0};
}

void wire_copy(struct wire_slice s, char *out, size_t capacity)
{
    const size_t n = s.bytes < capacity ? s.bytes : capacity - 1;
    if (n)
        memcpy(out, s.data, n);
    out[n] = '\0';
}

void wire_header_encode(const struct wire_header *h, uint8_t out[WIRE_HEADER_BYTES])
{
    out[0] = h->type;
    out[1] = h->flags;
    out[2] = (uint8_t)(h->minor >> 8);
    out[3] = (uint8_t)h->minor;
    for (int i = 0; i < 4; i++)
        out[4 + i] = (uint8_t)(h->seq >> (24 - 8 * i));
}

void wire_header_decode(const uint8_t in[WIRE_HEADER_BYTES], struct wire_header *h)
{
    h->type = in[0];
    h->flags = in[1];
    h->minor = (uint16_t)(in[2] << 8 | in[3]);
    h->seq = (uint32_t)in[4] << 24 | (uint32_t)in[5] << 16 | (uint32_t)in[6] << 8 | in[7];
}
