/* The bounded pull parser, and what schema tables make of its tokens. */
#include "wire.h"

#include <math.h>
#include <string.h>

struct reader {
    const uint8_t *at, *end;
};

enum token_kind {
    TOKEN_UINT,
    TOKEN_INT,
    TOKEN_F64,
    TOKEN_BOOL,
    TOKEN_NIL,
    TOKEN_STR,
    TOKEN_BIN,
    TOKEN_ARRAY,
    TOKEN_MAP
};

struct token {
    enum token_kind kind;
    uint64_t u;        /* TOKEN_UINT, TOKEN_BOOL; count of TOKEN_ARRAY and TOKEN_MAP */
    int64_t i;         /* TOKEN_INT: negative numbers only */
    double f;          /* TOKEN_F64 */
    const uint8_t *at; /* TOKEN_STR and TOKEN_BIN */
    uint32_t bytes;
};

/* An empty one may have no address, and nothing may be added to that. */
static struct reader reader_of(const void *data, size_t bytes)
{
    const uint8_t *const at = data;
    return (struct reader){at, bytes ? at + bytes : at};
}

static size_t left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

static bool take(struct reader *r, unsigned width, uint64_t *out)
{
    if (left(r) < width)
        return false;
    uint64_t v = 0;
    for (unsigned i = 0; i < width; i++)
        v = v << 8 | *r->at++;
    *out = v;
    return true;
}

static bool take_bytes(struct reader *r, uint64_t n, enum token_kind kind, struct token *t)
{
    if (n > left(r))
        return false;
    t->kind = kind;
    t->at = r->at;
    t->bytes = (uint32_t)n;
    r->at += n;
    return true;
}

/* A count is believed only while as many bytes are left: each element takes at least one, each pair of a map two. */
static bool take_count(struct reader *r, uint64_t n, enum token_kind kind, struct token *t)
{
    t->kind = kind;
    t->u = n;
    return n <= left(r) / (kind == TOKEN_MAP ? 2 : 1);
}

static bool take_signed(struct reader *r, unsigned width, struct token *t)
{
    uint64_t raw;
    if (!take(r, width, &raw))
        return false;
    const unsigned shift = 64 - 8 * width;
    const int64_t v = (int64_t)(raw << shift) >> shift;
    t->kind = v < 0 ? TOKEN_INT : TOKEN_UINT;
    t->i = v;
    t->u = (uint64_t)v;
    return true;
}

static bool take_float(struct reader *r, unsigned width, struct token *t)
{
    uint64_t raw;
    if (!take(r, width, &raw))
        return false;
    t->kind = TOKEN_F64;
    if (width == 8) {
        memcpy(&t->f, &raw, sizeof t->f);
    } else {
        const uint32_t narrow = (uint32_t)raw;
        float f;
        memcpy(&f, &narrow, sizeof f);
        t->f = f;
    }
    return true;
}

static bool next_fixed(struct reader *r, uint8_t b, struct token *t)
{
    if (b <= 0x7f || b >= 0xe0) {
        t->kind = b <= 0x7f ? TOKEN_UINT : TOKEN_INT;
        t->u = b;
        t->i = (int8_t)b;
        return true;
    }
    if (b <= 0x8f)
        return take_count(r, b & 0x0f, TOKEN_MAP, t);
    if (b <= 0x9f)
        return take_count(r, b & 0x0f, TOKEN_ARRAY, t);
    return take_bytes(r, b & 0x1f, TOKEN_STR, t);
}

/* Next token of the MessagePack specification; extension types are refused. */
static bool next_token(struct reader *r, struct token *t)
{
    uint64_t n;
    *t = (struct token){0};
    if (left(r) == 0)
        return false;
    const uint8_t b = *r->at++;
    if (b <= 0xbf || b >= 0xe0)
        return next_fixed(r, b, t);
    switch (b) {
    case 0xc0:
        t->kind = TOKEN_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        t->kind = TOKEN_BOOL;
        t->u = b & 1;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take(r, 1u << (b - 0xc4), &n) && take_bytes(r, n, TOKEN_BIN, t);
    case 0xca:
    case 0xcb:
        return take_float(r, b == 0xca ? 4 : 8, t);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        t->kind = TOKEN_UINT;
        return take(r, 1u << (b - 0xcc), &t->u);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_signed(r, 1u << (b - 0xd0), t);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take(r, 1u << (b - 0xd9), &n) && take_bytes(r, n, TOKEN_STR, t);
    case 0xdc:
    case 0xdd:
        return take(r, b == 0xdc ? 2 : 4, &n) && take_count(r, n, TOKEN_ARRAY, t);
    case 0xde:
    case 0xdf:
        return take(r, b == 0xde ? 2 : 4, &n) && take_count(r, n, TOKEN_MAP, t);
    default: /* 0xc1 is never used; 0xc7-0xc9 and 0xd4-0xd8 are extensions */
        return false;
    }
}

static bool skip(struct reader *r, int depth)
{
    struct token t;
    if (depth > WIRE_DEPTH || !next_token(r, &t))
        return false;
    const uint64_t children = t.kind == TOKEN_MAP ? 2 * t.u : t.kind == TOKEN_ARRAY ? t.u : 0;
    for (uint64_t i = 0; i < children; i++)
        if (!skip(r, depth + 1))
            return false;
    return true;
}

bool wire_is_utf8(const void *data, size_t bytes)
{
    const uint8_t *p = data, *end = p + bytes;
    while (p < end) {
        const uint8_t b = *p++;
        if (b < 0x80)
            continue;
        const int more = b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : 1;
        if (b < 0xc2 || b > 0xf4 || end - p < more)
            return false;
        const uint8_t low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;  /* no overlong form */
        const uint8_t high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf; /* no surrogate, nothing above U+10FFFF */
        if (p[0] < low || p[0] > high)
            return false;
        for (int i = 1; i < more; i++)
            if (p[i] < 0x80 || p[i] > 0xbf)
                return false;
        p += more;
    }
    return true;
}

static int decode_map(const struct wire_schema *schema, struct reader *r, void *out, int depth);

static bool set_number(const struct wire_field *f, const struct token *t, char *member)
{
    if (f->type == WIRE_UINT) {
        if (t->kind != TOKEN_UINT || (f->max && t->u > f->max))
            return false;
        memcpy(member, &t->u, sizeof t->u);
        return true;
    }
    if (f->type == WIRE_BOOL) {
        const bool value = t->u != 0;
        if (t->kind != TOKEN_BOOL)
            return false;
        memcpy(member, &value, sizeof value);
        return true;
    }
    if (f->type == WIRE_INT) {
        const int64_t v = t->kind == TOKEN_INT ? t->i : (int64_t)t->u;
        if ((t->kind != TOKEN_INT && t->kind != TOKEN_UINT) || (t->kind == TOKEN_UINT && t->u > INT64_MAX) ||
            (f->max && (v > (int64_t)f->max || v < -(int64_t)f->max)))
            return false;
        memcpy(member, &v, sizeof v);
        return true;
    }
    const double v = t->kind == TOKEN_UINT ? (double)t->u : t->kind == TOKEN_INT ? (double)t->i : t->f;
    if ((t->kind != TOKEN_F64 && t->kind != TOKEN_UINT && t->kind != TOKEN_INT) || !isfinite(v))
        return false;
    memcpy(member, &v, sizeof v);
    return true;
}

static bool set_list(const struct wire_field *f, const struct token *t, struct reader *r, char *member, int depth)
{
    if (t->kind != TOKEN_ARRAY || (f->max && t->u > f->max))
        return false;
    struct wire_list list = {.data = r->at, .count = (uint32_t)t->u};
    for (uint64_t i = 0; i < t->u; i++) {
        struct token element;
        if (f->type == WIRE_LIST) {
            _Alignas(16) char scratch[512];
            if (f->element->bytes > sizeof scratch || decode_map(f->element, r, scratch, depth + 2))
                return false;
        } else if (!next_token(r, &element) || element.kind != (f->type == WIRE_UINTS ? TOKEN_UINT : TOKEN_STR) ||
                   (element.kind == TOKEN_STR && !wire_is_utf8(element.at, element.bytes))) {
            return false;
        }
    }
    list.bytes = (uint32_t)(r->at - list.data);
    memcpy(member, &list, sizeof list);
    return true;
}

static bool set_field(const struct wire_field *f, struct reader *r, char *member, int depth)
{
    struct token t;
    if (!next_token(r, &t))
        return false;
    if (f->type == WIRE_LIST || f->type == WIRE_UINTS || f->type == WIRE_STRS)
        return set_list(f, &t, r, member, depth);
    if (f->type != WIRE_STR && f->type != WIRE_BIN)
        return set_number(f, &t, member);
    if (t.kind != (f->type == WIRE_STR ? TOKEN_STR : TOKEN_BIN) || (f->max && t.bytes > f->max))
        return false;
    if (f->type == WIRE_STR && !wire_is_utf8(t.at, t.bytes))
        return false;
    const struct wire_slice slice = {t.at, t.bytes};
    memcpy(member, &slice, sizeof slice);
    return true;
}

static void set_defaults(const struct wire_schema *schema, void *out)
{
    memset(out, 0, schema->bytes);
    for (size_t i = 0; i < schema->count; i++)
        if (schema->fields[i].type == WIRE_F64) {
            const double unknown = NAN;
            memcpy((char *)out + schema->fields[i].offset, &unknown, sizeof unknown);
        }
}

static size_t field_index(const struct wire_schema *schema, uint64_t key)
{
    size_t i = 0;
    while (i < schema->count && schema->fields[i].key != key)
        i++;
    return i;
}

static int decode_map(const struct wire_schema *schema, struct reader *r, void *out, int depth)
{
    struct token map, key;
    uint64_t seen = 0;
    set_defaults(schema, out);
    if (depth > WIRE_DEPTH || !next_token(r, &map) || map.kind != TOKEN_MAP)
        return fail(STATUS_FORMAT, "%s: not a map", schema->name);
    for (uint64_t n = 0; n < map.u; n++) {
        if (!next_token(r, &key) || key.kind != TOKEN_UINT)
            return fail(STATUS_FORMAT, "%s: a key is not an unsigned number", schema->name);
        const size_t i = field_index(schema, key.u);
        if (i == schema->count) {
            if (!skip(r, depth + 1))
                return fail(STATUS_FORMAT, "%s: key %llu is cut short or too deep", schema->name,
                            (unsigned long long)key.u);
            continue;
        }
        const struct wire_field *f = &schema->fields[i];
        if (seen >> i & 1)
            return fail(STATUS_FORMAT, "%s: %s stands twice", schema->name, f->name);
        seen |= UINT64_C(1) << i;
        if (!set_field(f, r, (char *)out + f->offset, depth))
            return fail(STATUS_FORMAT, "%s: %s has a wrong type or size", schema->name, f->name);
    }
    for (size_t i = 0; i < schema->count; i++)
        if (schema->fields[i].required && !(seen >> i & 1))
            return fail(STATUS_FORMAT, "%s: %s is missing", schema->name, schema->fields[i].name);
    return STATUS_OK;
}

int wire_decode(const struct wire_schema *schema, const void *data, size_t bytes, void *out)
{
    if (bytes > UINT32_MAX)
        return fail(STATUS_FORMAT, "%s: %zu bytes", schema->name, bytes);
    struct reader r = reader_of(data, bytes);
    const int code = decode_map(schema, &r, out, 0);
    if (code)
        return code;
    return r.at == r.end ? STATUS_OK : fail(STATUS_FORMAT, "%s: %zu bytes too many", schema->name, left(&r));
}

static void advance(struct wire_list *list, const uint8_t *to)
{
    list->bytes -= (uint32_t)(to - list->data);
    list->data = to;
    list->count--;
}

bool wire_next(struct wire_list *list, const struct wire_schema *element, void *out)
{
    struct reader r = reader_of(list->data, list->bytes);
    if (list->count == 0 || decode_map(element, &r, out, 1))
        return false;
    advance(list, r.at);
    return true;
}

bool wire_next_uint(struct wire_list *list, uint64_t *out)
{
    struct reader r = reader_of(list->data, list->bytes);
    struct token t;
    if (list->count == 0 || !next_token(&r, &t) || t.kind != TOKEN_UINT)
        return false;
    *out = t.u;
    advance(list, r.at);
    return true;
}

bool wire_next_str(struct wire_list *list, struct wire_slice *out)
{
    struct reader r = reader_of(list->data, list->bytes);
    struct token t;
    if (list->count == 0 || !next_token(&r, &t) || t.kind != TOKEN_STR)
        return false;
    *out = (struct wire_slice){t.at, t.bytes};
    advance(list, r.at);
    return true;
}
