#include "shape.h"

#include "journal_stored.h"
#include "kinds.h"

#include <math.h>
#include <string.h>

enum { SPACE = 1024, ELEMENTS_MOST = 5, FIELDS_MOST = 64, NEST_MOST = 4 };

#define MESSAGE_POINTER(name, table) &name##_schema,
#define KIND_POINTER(name, table) &kind_##name##_schema,

const struct wire_schema *const shape_tables[] = {MESSAGE_TABLES(MESSAGE_POINTER) KIND_TABLES(KIND_POINTER)
                                                      STORED_TABLES(MESSAGE_POINTER)};
#define ONE(name, table) +1 /* NOLINT(bugprone-macro-parentheses): a sum of ones */
const size_t shape_table_count = MESSAGE_TABLES(ONE) KIND_TABLES(ONE) STORED_TABLES(ONE);

static const char *const words[] = {"noop",         "analyze", "features", "w",      "v",       "/a/b.wav",
                                    "/tmp/out.npy", "mfcc",    "stft",     "logmel", "hann",    "cpu",
                                    "zero",         "cuda:0",  "rms",      "",       "rolloff", "x\xc3\xa9"};
static const uint64_t edges[] = {15,   16,   17,   256,   511,   512,   513,   1023,
                                 2047, 2048, 2049, 65535, 65536, 22050, 44100, UINT32_MAX};
static const double reals[] = {0, 0.5, 1, -1, 0.85, 22050, 80, -0.0, 1e300, 5e-324, 8, 3};

uint16_t shape_hash(const char *name)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 16777619u;
    return (uint16_t)(h >> 16 ^ h);
}

const struct wire_schema *shape_table(uint16_t name_hash)
{
    for (size_t i = 0; i < shape_table_count; i++)
        if (shape_hash(shape_tables[i]->name) == name_hash)
            return shape_tables[i];
    return shape_tables[name_hash % shape_table_count];
}

void shape_note(struct shape_pool *pool, uint64_t token)
{
    pool->tokens[pool->count++ % SHAPE_TOKENS] = token;
}

uint64_t shape_token(const struct shape_pool *pool, struct fuzz_input *in)
{
    const uint8_t c = fuzz_byte(in);
    if (!pool || !pool->count || c >= 240)
        return c < 250 ? UINT64_C(1) << 40 | c : fuzz_number(in, 8);
    return pool->tokens[c % (pool->count < SHAPE_TOKENS ? pool->count : SHAPE_TOKENS)];
}

static bool is_token(const char *name)
{
    return strcmp(name, "token") == 0 || strcmp(name, "tokens") == 0 || strcmp(name, "held") == 0;
}

static uint64_t number(const struct wire_field *f, struct fuzz_input *in, const struct shape_pool *pool)
{
    if (is_token(f->name))
        return shape_token(pool, in);
    const uint8_t c = fuzz_byte(in);
    const uint64_t v = c < 180   ? c % 8
                       : c < 220 ? edges[c % (sizeof edges / sizeof *edges)]
                       : c < 240 ? c
                       : c < 248 ? fuzz_number(in, 4)
                                 : fuzz_number(in, 8);
    return f->max ? v % (f->max + UINT64_C(1)) : v;
}

static int64_t whole(const struct wire_field *f, struct fuzz_input *in)
{
    const int64_t v = (int64_t)number(f, in, NULL);
    return v > INT64_MIN && fuzz_byte(in) & 1 ? -v : v;
}

static double real(struct fuzz_input *in)
{
    const uint8_t c = fuzz_byte(in);
    const uint64_t raw = c < 200 ? 0 : fuzz_number(in, 8);
    double v = reals[c % (sizeof reals / sizeof *reals)];
    if (c >= 200)
        memcpy(&v, &raw, sizeof v);
    return isfinite(v) ? v : 0;
}

/* A word, or bytes of the input, or (rarely) as much as the field takes. */
static struct wire_slice bytes_of(const struct wire_field *f, struct fuzz_input *in)
{
    static uint8_t filler[1 << 16];
    const uint8_t c = fuzz_byte(in);
    struct wire_slice s = wire_str(words[c % (sizeof words / sizeof *words)]);
    if (c >= 180)
        s = fuzz_slice(in, c - 180u);
    if (c == 255 && f->max && f->max <= sizeof filler) {
        memset(filler, 'x', sizeof filler);
        s = (struct wire_slice){filler, f->max};
    }
    if (f->max && s.bytes > f->max)
        s.bytes = f->max;
    return f->type == WIRE_STR && !wire_is_utf8(s.data, s.bytes) ? wire_str("w") : s;
}

static void encode(const struct wire_schema *schema, struct fuzz_input *in, const struct shape_pool *pool,
                   struct wire_buffer *out, int depth);

static struct wire_list list_of(const struct wire_field *f, struct fuzz_input *in, const struct shape_pool *pool,
                                struct wire_buffer *out, int depth)
{
    uint32_t count = fuzz_byte(in) % ELEMENTS_MOST;
    if (f->max && count > f->max)
        count = f->max;
    if (strcmp(f->name, "job") == 0 && f->type == WIRE_LIST)
        count = 1;
    for (uint32_t i = 0; i < count; i++)
        if (f->type == WIRE_LIST)
            encode(f->element, in, pool, out, depth + 1);
        else if (f->type == WIRE_UINTS)
            FUZZ_CHECK(wire_append_uint(out, number(f, in, pool)) == STATUS_OK);
        else
            FUZZ_CHECK(wire_append_str(out, words[fuzz_byte(in) % (sizeof words / sizeof *words)]) == STATUS_OK);
    return wire_list_of(out, count);
}

static void fill(const struct wire_field *f, struct fuzz_input *in, const struct shape_pool *pool, char *member,
                 struct wire_buffer *elements, int depth)
{
    const enum wire_type type = (enum wire_type)f->type;
    if (type == WIRE_UINT) {
        const uint64_t v = number(f, in, pool);
        memcpy(member, &v, sizeof v);
    } else if (type == WIRE_INT) {
        const int64_t v = whole(f, in);
        memcpy(member, &v, sizeof v);
    } else if (type == WIRE_F64) {
        const double v = real(in);
        memcpy(member, &v, sizeof v);
    } else if (type == WIRE_BOOL) {
        const bool v = fuzz_byte(in) & 1;
        memcpy(member, &v, sizeof v);
    } else if (type == WIRE_STR || type == WIRE_BIN) {
        const struct wire_slice v = bytes_of(f, in);
        memcpy(member, &v, sizeof v);
    } else {
        const struct wire_list v = list_of(f, in, pool, elements, depth);
        memcpy(member, &v, sizeof v);
    }
}

static void encode(const struct wire_schema *schema, struct fuzz_input *in, const struct shape_pool *pool,
                   struct wire_buffer *out, int depth)
{
    _Alignas(16) char space[SPACE] = {0};
    struct wire_buffer elements[FIELDS_MOST] = {{0}};
    FUZZ_CHECK(schema->bytes <= sizeof space && schema->count <= FIELDS_MOST && depth < NEST_MOST);
    for (size_t i = 0; i < schema->count; i++) {
        const struct wire_field *const f = &schema->fields[i];
        const double unknown = NAN;
        if (f->required || fuzz_byte(in) >= 96)
            fill(f, in, pool, space + f->offset, &elements[i], depth);
        else if (f->type == WIRE_F64)
            memcpy(space + f->offset, &unknown, sizeof unknown);
    }
    FUZZ_CHECK(wire_encode(schema, space, out) == STATUS_OK);
    for (size_t i = 0; i < schema->count; i++)
        wire_free(&elements[i]);
}

void shape_encode(const struct wire_schema *schema, struct fuzz_input *in, const struct shape_pool *pool,
                  struct wire_buffer *out)
{
    encode(schema, in, pool, out, 0);
}

void shape_message(const struct wire_schema *schema, struct fuzz_input *in, const struct shape_pool *pool,
                   struct wire_buffer *out, void *message)
{
    out->bytes = 0;
    encode(schema, in, pool, out, 0);
    FUZZ_CHECK(wire_decode(schema, out->data, out->bytes, message) == STATUS_OK);
}
