/* The decoder of every message, of the parameters and results of jobs, and of the journal's maps, under any bytes.
 *
 *   input        u16 of a table's name (shape.h), 8 bytes of header, the body
 *   properties   nothing is read outside the body; every slice and list lies within it; a list has exactly the elements
 *                that it claims; what decodes also decodes after it was encoded again, to the same values, and
 *                encoding that gives the same bytes; the encoding has a bounded size; msgpack-c agrees that what
 *                decodes is one MessagePack object, as deep as allowed, and finds the same values in it */
#include "channel.h"
#include "shape.h"

#include <math.h>
#include <msgpack.h>
#include <string.h>

enum { SPACE = 1024 };

/* Bytes that a message is encoded in: of the input they are at most this many times more (a float may become a double,
 * a count of one byte stays one). */
enum { GROWTH = 2, GROWTH_MORE = 16 };

struct body {
    const uint8_t *data;
    size_t bytes;
};

static void check_within(const struct body *b, const uint8_t *data, size_t bytes)
{
    FUZZ_CHECK(data >= b->data && bytes <= b->bytes && (size_t)(data - b->data) <= b->bytes - bytes);
}

static bool is_list(const struct wire_field *f)
{
    return f->type == WIRE_LIST || f->type == WIRE_UINTS || f->type == WIRE_STRS;
}

static bool is_slice(const struct wire_field *f)
{
    return f->type == WIRE_STR || f->type == WIRE_BIN;
}

static void *member(const struct wire_field *f, void *message)
{
    return (char *)message + f->offset;
}

static void rebuild(const struct wire_schema *schema, const void *message, const struct body *b,
                    struct wire_buffer *out);

/* Every element, encoded anew. */
static void rebuild_list(const struct wire_field *f, struct wire_list list, const struct body *b,
                         struct wire_buffer *out)
{
    _Alignas(16) char space[SPACE];
    struct wire_slice text;
    uint64_t number;
    check_within(b, list.data, list.bytes);
    while (list.count) {
        if (f->type == WIRE_LIST) {
            FUZZ_CHECK(f->element->bytes <= sizeof space && wire_next(&list, f->element, space));
            rebuild(f->element, space, b, out);
        } else if (f->type == WIRE_UINTS) {
            FUZZ_CHECK(wire_next_uint(&list, &number));
            FUZZ_CHECK(wire_append_uint(out, number) == STATUS_OK);
        } else {
            FUZZ_CHECK(wire_next_str(&list, &text));
            check_within(b, text.data, text.bytes);
            char *const copy = fuzz_text(&(struct fuzz_input){text.data, text.bytes}, text.bytes);
            FUZZ_CHECK(wire_append_str(out, copy) == STATUS_OK); /* what follows a 0 byte is cut, as by its readers */
            free(copy);
        }
    }
    FUZZ_CHECK(list.bytes == 0);
}

/* The message with all its elements encoded anew. */
static void rebuild(const struct wire_schema *schema, const void *message, const struct body *b,
                    struct wire_buffer *out)
{
    _Alignas(16) char space[SPACE];
    struct wire_buffer elements[64] = {{0}};
    FUZZ_CHECK(schema->bytes <= sizeof space && schema->count <= 64);
    memcpy(space, message, schema->bytes);
    for (size_t i = 0; i < schema->count; i++) {
        const struct wire_field *const f = &schema->fields[i];
        if (is_slice(f)) {
            const struct wire_slice *const s = member(f, space);
            if (s->bytes)
                check_within(b, s->data, s->bytes);
        } else if (is_list(f)) {
            struct wire_list *const list = member(f, space);
            if (list->count)
                rebuild_list(f, *list, b, &elements[i]);
            *list = wire_list_of(&elements[i], list->count);
        }
    }
    FUZZ_CHECK(wire_encode(schema, space, out) == STATUS_OK);
    for (size_t i = 0; i < schema->count; i++)
        wire_free(&elements[i]);
}

/* -0 is another number than 0 here. */
static uint64_t bits_of(const void *real)
{
    uint64_t bits;
    memcpy(&bits, real, sizeof bits);
    return bits;
}

static bool same_field(const struct wire_field *f, const void *a, const void *b)
{
    if (is_slice(f)) {
        const struct wire_slice *const s = a, *const t = b;
        return s->bytes == t->bytes && (!s->bytes || memcmp(s->data, t->data, s->bytes) == 0);
    }
    if (is_list(f)) /* its elements are compared by what they are encoded to */
        return ((const struct wire_list *)a)->count == ((const struct wire_list *)b)->count;
    if (f->type == WIRE_F64) {
        double x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return isnan(x) ? isnan(y) : bits_of(&x) == bits_of(&y);
    }
    return memcmp(a, b, f->type == WIRE_BOOL ? sizeof(bool) : sizeof(uint64_t)) == 0;
}

static void check_header(const uint8_t in[WIRE_HEADER_BYTES])
{
    struct wire_header h;
    uint8_t out[WIRE_HEADER_BYTES];
    wire_header_decode(in, &h);
    wire_header_encode(&h, out);
    FUZZ_CHECK(memcmp(in, out, sizeof out) == 0);
}

/* As RFC 3629 has it, by way of the numbers that are encoded. */
static bool is_text(const char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        const uint8_t b = (uint8_t)p[i++];
        const int more = b < 0x80 ? 0 : b >> 5 == 6 ? 1 : b >> 4 == 14 ? 2 : b >> 3 == 30 ? 3 : -1;
        uint32_t letter = more < 0 ? 0 : b & (more ? 0x3fu >> more : 0x7fu);
        for (int k = 0; k < more; k++, i++) {
            if (i == bytes || ((uint8_t)p[i] & 0xc0) != 0x80)
                return false;
            letter = letter << 6 | ((uint8_t)p[i] & 0x3f);
        }
        if (more < 0 || letter < least[more] || letter > 0x10ffff || letter >> 11 == 0x1b)
            return false;
    }
    return true;
}

static int depth_of(const msgpack_object *o)
{
    int deepest = 0;
    for (uint32_t i = 0; o->type == MSGPACK_OBJECT_ARRAY && i < o->via.array.size; i++) {
        const int d = depth_of(&o->via.array.ptr[i]);
        deepest = d > deepest ? d : deepest;
    }
    for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
        const int d = depth_of(&o->via.map.ptr[i].val);
        deepest = d > deepest ? d : deepest;
    }
    return 1 + deepest;
}

static double as_real(const msgpack_object *o)
{
    return o->type == MSGPACK_OBJECT_POSITIVE_INTEGER   ? (double)o->via.u64
           : o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER ? (double)o->via.i64
                                                        : o->via.f64;
}

/* The value that msgpack-c found for a field is the one that we found, and of a type that the table allows. */
static void check_value(const struct wire_field *f, const msgpack_object *o, void *member_)
{
    const struct wire_slice *const s = member_;
    if (f->type == WIRE_UINT) {
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && *(uint64_t *)member_ == o->via.u64);
        FUZZ_CHECK(!f->max || o->via.u64 <= f->max);
    } else if (f->type == WIRE_INT) {
        FUZZ_CHECK(*(int64_t *)member_ == o->via.i64 &&
                   (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER) == (o->via.i64 >= 0));
        FUZZ_CHECK(!f->max || (o->via.i64 <= (int64_t)f->max && o->via.i64 >= -(int64_t)f->max));
    } else if (f->type == WIRE_BOOL) {
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_BOOLEAN && *(bool *)member_ == o->via.boolean);
    } else if (f->type == WIRE_F64) {
        const double v = as_real(o);
        FUZZ_CHECK(isfinite(v) && bits_of(member_) == bits_of(&v));
    } else if (is_slice(f)) {
        FUZZ_CHECK(o->type == (f->type == WIRE_STR ? MSGPACK_OBJECT_STR : MSGPACK_OBJECT_BIN));
        FUZZ_CHECK(o->via.str.size == s->bytes && (!f->max || s->bytes <= f->max));
        FUZZ_CHECK((const void *)o->via.str.ptr == (const void *)s->data ||
                   !s->bytes || /* msgpack-c may have copied it */
                   memcmp(o->via.str.ptr, s->data, s->bytes) == 0);
        FUZZ_CHECK(f->type == WIRE_BIN || is_text(o->via.str.ptr, s->bytes));
    } else {
        FUZZ_CHECK(o->type == MSGPACK_OBJECT_ARRAY && ((struct wire_list *)member_)->count == o->via.array.size);
        FUZZ_CHECK(!f->max || o->via.array.size <= f->max);
    }
}

/* Keys that are not the table's are skipped, those that are stand once. */
static void check_msgpack(const struct wire_schema *schema, void *message, const struct body *b)
{
    msgpack_unpacked other;
    size_t at = 0;
    msgpack_unpacked_init(&other);
    const msgpack_unpack_return code = msgpack_unpack_next(&other, (const char *)b->data, b->bytes, &at);
    FUZZ_CHECK(code == MSGPACK_UNPACK_SUCCESS && at == b->bytes && other.data.type == MSGPACK_OBJECT_MAP);
    FUZZ_CHECK(depth_of(&other.data) <= WIRE_DEPTH + 1);
    for (size_t i = 0; i < schema->count; i++) {
        int found = 0;
        for (uint32_t k = 0; k < other.data.via.map.size; k++) {
            const msgpack_object_kv *const kv = &other.data.via.map.ptr[k];
            FUZZ_CHECK(kv->key.type == MSGPACK_OBJECT_POSITIVE_INTEGER);
            if (kv->key.via.u64 != schema->fields[i].key)
                continue;
            check_value(&schema->fields[i], &kv->val, member(&schema->fields[i], message));
            found++;
        }
        FUZZ_CHECK(found <= 1 && (found || !schema->fields[i].required));
    }
    msgpack_unpacked_destroy(&other);
}

static void check_message(const struct wire_schema *schema, void *message, const struct body *b)
{
    _Alignas(16) char space[SPACE];
    struct wire_buffer plain = {0}, anew = {0}, again = {0};
    check_msgpack(schema, message, b);
    FUZZ_CHECK(wire_encode(schema, message, &plain) == STATUS_OK); /* lists as they came */
    FUZZ_CHECK(plain.bytes <= GROWTH * b->bytes + GROWTH_MORE && plain.capacity <= 2 * plain.bytes + 256);
    FUZZ_CHECK(wire_decode(schema, plain.data, plain.bytes, space) == STATUS_OK);
    rebuild(schema, message, b, &anew);
    FUZZ_CHECK(anew.bytes <= GROWTH * b->bytes + GROWTH_MORE);
    FUZZ_CHECK(wire_decode(schema, anew.data, anew.bytes, space) == STATUS_OK);
    for (size_t i = 0; i < schema->count; i++)
        FUZZ_CHECK(
            same_field(&schema->fields[i], member(&schema->fields[i], message), member(&schema->fields[i], space)));
    rebuild(schema, space, &(struct body){anew.data, anew.bytes}, &again);
    FUZZ_CHECK(again.bytes == anew.bytes && memcmp(again.data, anew.data, anew.bytes) == 0);
    wire_free(&plain);
    wire_free(&anew);
    wire_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    _Alignas(16) char message[SPACE];
    struct fuzz_input in = {data, bytes};
    const struct wire_schema *const schema = shape_table((uint16_t)fuzz_number(&in, 2));
    if (in.left < WIRE_HEADER_BYTES)
        return 0;
    check_header(fuzz_slice(&in, WIRE_HEADER_BYTES).data);
    const struct packet p = {.body = fuzz_rest(&in)};
    FUZZ_CHECK(schema->bytes <= sizeof message);
    if (packet_decode(&p, schema, message) == STATUS_OK) {
        check_message(schema, message, &(struct body){p.body.data, p.body.bytes});
        fuzz_accept();
    }
    return 0;
}

/* One message of each table, with most of its fields. */
void fuzz_seeds(void)
{
    for (size_t i = 0; i < shape_table_count; i++) {
        const struct wire_schema *const schema = shape_tables[i];
        const uint16_t hash = shape_hash(schema->name);
        const uint8_t head[2 + WIRE_HEADER_BYTES] = {(uint8_t)hash, (uint8_t)(hash >> 8), 10, 0, 0, 0, 0, 0, 0, 7};
        uint8_t noise[512];
        struct wire_buffer b = {0};
        fuzz_noise(schema->name, noise, sizeof noise);
        FUZZ_CHECK(wire_append(&b, head, sizeof head) == STATUS_OK);
        shape_encode(schema, &(struct fuzz_input){noise, sizeof noise}, NULL, &b);
        fuzz_seed(schema->name, b.data, b.bytes);
        wire_free(&b);
    }
    /* The largest number, and the first and last letters of each length: one bit more is refused. */
    const uint16_t job = shape_hash("job");
    const uint8_t head[2 + WIRE_HEADER_BYTES] = {(uint8_t)job, (uint8_t)(job >> 8), MESSAGE_JOB};
    const struct message_job m = {.kind = wire_str("\xc2\x80\xe0\xa0\x80\xed\x9f\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"),
                                  .priority = INT64_MAX,
                                  .progress = 1};
    struct wire_buffer edge = {0};
    FUZZ_CHECK(wire_append(&edge, head, sizeof head) == STATUS_OK && wire_encode(&job_schema, &m, &edge) == STATUS_OK);
    fuzz_seed("edges", edge.data, edge.bytes);
    wire_free(&edge);
    /* Unknown keys, one of them as deep as may be: arrays of one array. */
    const uint16_t hash = shape_hash("empty");
    const uint8_t deep[] = {(uint8_t)hash,
                            (uint8_t)(hash >> 8),
                            3,
                            0,
                            0,
                            0,
                            0,
                            0,
                            0,
                            7,
                            0x82,
                            0x20 + 1,
                            0xa2,
                            0xc3,
                            0xa9,
                            0x22,
                            0x91,
                            0x91,
                            0x91,
                            0x91,
                            0x91,
                            0x91,
                            0x91,
                            0x05};
    fuzz_seed("deep", deep, sizeof deep);
}
