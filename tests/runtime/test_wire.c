#include "kinds.h"
#include "test.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

static int decode_ping(const void *data, size_t bytes)
{
    struct message_watch m;
    return wire_decode(&watch_schema, data, bytes, &m);
}

TEST(bad_bodies_are_refused)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *reason;
    } cases[] = {
        {"", 0, "nothing"},
        {"\x90", 1, "an array"},
        {"\xc1", 1, "the byte that is never used"},
        {"\x80", 1, "job is missing"},
        {"\x81\x01", 2, "cut behind a key"},
        {"\x81\x01\xa1x", 4, "a string where a number belongs"},
        {"\x81\x01\xff", 3, "a negative number where none may be"},
        {"\x81\xff\x01", 3, "a negative key"},
        {"\x81\xa1x\x01", 4, "a key that is text"},
        {"\x82\x01\x01\x01\x02", 5, "a key twice"},
        {"\x81\x01\x01\x00", 4, "a byte too many"},
        {"\xdf\xff\xff\xff\xff", 5, "four billion pairs in five bytes"},
        {"\x82\x01\x01\x7f\xdd\xff\xff\xff\xff", 9, "four billion elements under an unknown key"},
        {"\x82\x01\x01\x7f\xc7\x01\x01\x00", 8, "an extension under an unknown key"},
        {"\x82\x01\x01\x04\xce\xff\xff\xff\xff", 9, "wait_ms over its maximum"},
        {"\x82\x01\x01\x05\x01", 5, "a number where a truth value belongs"},
        {"\x82\x01\x01\x7f\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01", 15, "too deep"},
        {"\x82\x01\x01\x7f\xc6\xff\xff\xff\xff", 9, "bytes that are not there"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int code = decode_ping(cases[c].bytes, cases[c].count);
        CHECK(code == STATUS_FORMAT);
        if (code != STATUS_FORMAT)
            printf("    case %zu: %s\n", c, cases[c].reason);
    }
    CHECK(decode_ping("\x81\x01\x01", 3) == STATUS_OK);
    CHECK(decode_ping("\xde\x00\x02\xcc\x01\xcf\0\0\0\0\0\0\0\x05\x7f\xca\0\0\0\0", 20) == STATUS_OK); /* long forms */
    CHECK(decode_ping("\x83\x01\x01\x7d\x82\x01\xc0\x02\xc4\x01z\x7e\xd1\xff\xff", 15) == STATUS_OK); /* unknown keys */
}

static void fill(const struct wire_schema *schema, unsigned char *out, struct wire_buffer *lists, uint64_t *seed);

static void append_element(const struct wire_field *f, struct wire_buffer *b, uint64_t number, uint64_t *seed)
{
    if (f->type == WIRE_UINTS)
        CHECK_OK(wire_append_uint(b, number));
    if (f->type == WIRE_STRS)
        CHECK_OK(wire_append_str(b, number % 2 ? "x" : "\xe2\x82\xac"));
    if (f->type == WIRE_LIST) {
        _Alignas(16) unsigned char element[512];
        struct wire_buffer inner[32] = {0};
        fill(f->element, element, inner, seed);
        CHECK_OK(wire_encode(f->element, element, b));
        for (size_t k = 0; k < 32; k++)
            wire_free(&inner[k]);
    }
}

/* Values for every field, none of them a default. */
static void fill(const struct wire_schema *schema, unsigned char *out, struct wire_buffer *lists, uint64_t *seed)
{
    memset(out, 0, schema->bytes);
    for (size_t i = 0; i < schema->count; i++) {
        const struct wire_field *f = &schema->fields[i];
        unsigned char *member = out + f->offset;
        const uint64_t limit = f->max ? f->max : 1u << 20;
        const uint64_t number = test_random(seed) % limit + (f->type == WIRE_UINT || f->type == WIRE_INT ? 1 : 0);
        const int64_t negative = -(int64_t)number;
        const double real = test_uniform(seed) * 1e6 - 5e5;
        const struct wire_slice text = wire_str(number % 2 ? "a" : "\xc3\xa4 b");
        switch ((enum wire_type)f->type) {
        case WIRE_UINT:
            memcpy(member, &number, 8);
            break;
        case WIRE_INT:
            memcpy(member, &negative, 8);
            break;
        case WIRE_F64:
            memcpy(member, &real, 8);
            break;
        case WIRE_BOOL:
            *member = 1;
            break;
        case WIRE_STR:
        case WIRE_BIN:
            memcpy(member, &text, sizeof text);
            break;
        case WIRE_LIST:
        case WIRE_UINTS:
        case WIRE_STRS: {
            const uint32_t count = f->max == 1 ? 1 : 1 + (uint32_t)(test_random(seed) % 3);
            for (uint32_t n = 0; n < count; n++)
                append_element(f, &lists[i], number + n, seed);
            const struct wire_list l = wire_list_of(&lists[i], count);
            memcpy(member, &l, sizeof l);
        }
        }
    }
}

enum { MUTATIONS = 5500 }; /* of each table; all tables together: over 200,000 */

static int mutations;

/* Some bytes changed; in one of four the end is cut off, in one of four random bytes follow. */
static size_t mutate(const struct wire_buffer *from, unsigned char *out, size_t room, int m, uint64_t *seed)
{
    size_t n = from->bytes;
    memcpy(out, from->data, n);
    for (int k = 0; k < 1 + m % 3; k++)
        out[test_random(seed) % n] = (unsigned char)test_random(seed);
    if (m % 4 == 1)
        n -= test_random(seed) % n;
    if (m % 4 == 2)
        for (size_t more = test_random(seed) % (room - n); more; more--)
            out[n++] = (unsigned char)test_random(seed);
    return n;
}

/* Whatever we accept, msgpack-c reads as one map of the same length; the other way round it believes too much. */
static void check_accepted(const struct wire_schema *schema, const unsigned char *data, size_t bytes, const void *got)
{
    _Alignas(16) unsigned char again[512];
    struct wire_buffer b = {0}, c = {0};
    size_t read = 0;
    msgpack_unpacked peer;
    msgpack_unpacked_init(&peer);
    CHECK(msgpack_unpack_next(&peer, (const char *)data, bytes, &read) == MSGPACK_UNPACK_SUCCESS);
    CHECK(read == bytes && peer.data.type == MSGPACK_OBJECT_MAP);
    msgpack_unpacked_destroy(&peer);
    CHECK_OK(wire_encode(schema, got, &b));
    CHECK_OK(wire_decode(schema, b.data, b.bytes, again));
    CHECK_OK(wire_encode(schema, again, &c));
    CHECK(b.bytes == c.bytes && memcmp(b.data, c.data, b.bytes) == 0);
    wire_free(&b);
    wire_free(&c);
}

/* Encoding, decoding and encoding again gives the same bytes; every shortened form is refused; no mutation crashes. */
static void round_trip(const struct wire_schema *schema, uint64_t *seed)
{
    _Alignas(16) unsigned char first[512], second[512];
    struct wire_buffer lists[32] = {0}, a = {0}, b = {0};
    fill(schema, first, lists, seed);
    CHECK_OK(wire_encode(schema, first, &a));
    CHECK_OK(wire_decode(schema, a.data, a.bytes, second));
    CHECK_OK(wire_encode(schema, second, &b));
    CHECK(a.bytes == b.bytes && memcmp(a.data, b.data, a.bytes) == 0);
    for (size_t n = 0; n < a.bytes; n++) {
        unsigned char *cut = malloc(n ? n : 1); /* of exactly that size: a read beyond is seen by the sanitizer */
        memcpy(cut, a.data, n);
        CHECK(wire_decode(schema, cut, n, second) == STATUS_FORMAT);
        free(cut);
    }
    REQUIRE(a.bytes > 0);
    const size_t room = a.bytes + 16;
    unsigned char *bent = malloc(room);
    for (int m = 0; m < MUTATIONS; m++) {
        const size_t n = mutate(&a, bent, room, m, seed);
        unsigned char *exact = malloc(n);
        memcpy(exact, bent, n);
        const int code = wire_decode(schema, exact, n, second);
        CHECK(code == STATUS_OK || code == STATUS_FORMAT);
        if (code == STATUS_OK)
            check_accepted(schema, exact, n, second);
        free(exact);
        mutations++;
    }
    free(bent);
    for (size_t i = 0; i < 32; i++)
        wire_free(&lists[i]);
    wire_free(&a);
    wire_free(&b);
}

/* What the decoder takes for granted about the tables: a bit per field, lists' elements in its scratch space. */
static void check_table(const struct wire_schema *schema)
{
    CHECK(schema->count >= 1 && schema->count <= 64 && schema->bytes <= 512);
    for (size_t i = 0; i < schema->count; i++) {
        const struct wire_field *f = &schema->fields[i];
        CHECK((f->type == WIRE_LIST) == (f->element != NULL));
        CHECK(f->offset % 8 == 0 || f->type == WIRE_BOOL);
        for (size_t k = 0; k < i; k++)
            CHECK(schema->fields[k].key != f->key && schema->fields[k].offset != f->offset);
        /* whatever a peer can make us keep has a bound */
        CHECK(f->max > 0 || f->type == WIRE_UINT || f->type == WIRE_INT || f->type == WIRE_F64 || f->type == WIRE_BOOL);
    }
}

TEST(every_table_goes_round)
{
    uint64_t seed = 1;
#define ROUND_MESSAGE(name, table) check_table(&name##_schema), round_trip(&name##_schema, &seed);
#define ROUND_KIND(name, table) check_table(&kind_##name##_schema), round_trip(&kind_##name##_schema, &seed);
    MESSAGE_TABLES(ROUND_MESSAGE)
    KIND_TABLES(ROUND_KIND)
    CHECK(mutations >= 200000);
}

TEST(numbers_have_edges)
{
    const struct message_job job = {.job = UINT64_MAX, .kind = wire_str("k"), .priority = INT64_MIN, .progress = 0.25};
    struct message_job got;
    struct wire_buffer b = {0};
    CHECK_OK(wire_encode(&job_schema, &job, &b));
    CHECK_OK(wire_decode(&job_schema, b.data, b.bytes, &got));
    CHECK(got.job == UINT64_MAX && got.priority == INT64_MIN && got.progress == 0.25 && got.items == 0);
    b.bytes = 0;
    CHECK_OK(wire_encode(&job_schema, &(struct message_job){.progress = INFINITY}, &b));
    CHECK_OK(wire_decode(&job_schema, b.data, b.bytes, &got));
    CHECK(isnan(got.progress)); /* what is not finite does not travel */
    /* submit: priority beyond its limit either way, and a 64-bit number that no int64 holds */
    CHECK(wire_decode(&submit_schema, "\x82\x01\xa1x\x03\xd1\xfc\x17", 8, &(struct message_submit){0}) ==
          STATUS_FORMAT);
    CHECK(wire_decode(&submit_schema, "\x82\x01\xa1x\x03\xd1\xfc\x18", 8, &(struct message_submit){0}) == STATUS_OK);
    CHECK(wire_decode(&submit_schema, "\x82\x01\xa1x\x03\xcf\xff\0\0\0\0\0\0\0", 14, &(struct message_submit){0}) ==
          STATUS_FORMAT);
    CHECK(wire_decode(&beat_entry_schema, "\x82\x01\x01\x02\xcb\x7f\xf0\0\0\0\0\0\0", 13,
                      &(struct message_beat_entry){0}) == STATUS_FORMAT); /* infinity */
    wire_free(&b);
}

TEST(lists_are_walked_and_bounded)
{
    struct wire_buffer tokens = {0}, names = {0};
    for (uint64_t i = 0; i < 300; i++)
        CHECK_OK(wire_append_uint(&tokens, i * i * i * i * 1000));
    CHECK_OK(wire_append_str(&names, "analyze"));
    CHECK_OK(wire_append_str(&names, ""));
    struct wire_list list = wire_list_of(&tokens, 300), strings = wire_list_of(&names, 2);
    uint64_t v = 1, n = 0;
    for (; wire_next_uint(&list, &v); n++)
        CHECK(v == n * n * n * n * 1000);
    CHECK(n == 300 && v == 299ull * 299 * 299 * 299 * 1000);
    struct wire_slice s;
    CHECK(wire_next_str(&strings, &s) && s.bytes == 7 && memcmp(s.data, "analyze", 7) == 0);
    CHECK(wire_next_str(&strings, &s) && s.bytes == 0);
    CHECK(!wire_next_str(&strings, &s) && !wire_next_uint(&strings, &v));
    /* 65 kinds where 64 are allowed */
    struct wire_buffer kinds = {0}, b = {0};
    for (int i = 0; i < 65; i++)
        CHECK_OK(wire_append_str(&kinds, "k"));
    const struct message_ready ready = {.name = wire_str("w"), .kinds = wire_list_of(&kinds, 65)};
    CHECK_OK(wire_encode(&ready_schema, &ready, &b));
    CHECK_CODE(wire_decode(&ready_schema, b.data, b.bytes, &(struct message_ready){0}), STATUS_FORMAT);
    wire_free(&tokens);
    wire_free(&names);
    wire_free(&kinds);
    wire_free(&b);
}

TEST(utf8_is_checked)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"", true},
                 {"plain", true},
                 {"\xc3\xa4", true},
                 {"\xe2\x82\xac", true},
                 {"\xf0\x9f\x8e\xb5", true},
                 {"\xf4\x8f\xbf\xbf", true},
                 {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
                 {"\xed\xa0\x80", false},     /* a surrogate */
                 {"\xc0\x80", false},         /* overlong */
                 {"\xe0\x80\x80", false},
                 {"\xf0\x80\x80\x80", false},
                 {"\xc3", false},
                 {"\xe2\x82", false},
                 {"\xe2\x28\xa1", false},
                 {"\xf0\x9f\x8e\x28", false},
                 {"\x80", false},
                 {"\xff", false}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        CHECK(wire_is_utf8(cases[c].text, strlen(cases[c].text)) == cases[c].good);
    CHECK(wire_decode(&hello_schema, "\x81\x01\xa1\xff", 4, &(struct message_hello){0}) == STATUS_FORMAT);
}

TEST(small_things)
{
    char text[4];
    wire_copy(wire_str("longer"), text, sizeof text);
    CHECK(strcmp(text, "lon") == 0);
    wire_copy(wire_str(NULL), text, sizeof text);
    CHECK(strcmp(text, "") == 0);
    uint8_t head[WIRE_HEADER_BYTES];
    struct wire_header h = {.type = 7, .flags = 1, .minor = 0x1234, .seq = 0xfedcba98}, got;
    wire_header_encode(&h, head);
    CHECK(memcmp(head, "\x07\x01\x12\x34\xfe\xdc\xba\x98", 8) == 0);
    wire_header_decode(head, &got);
    CHECK(memcmp(&h, &got, sizeof h) == 0);
    CHECK(strcmp(job_state_name(JOB_ACTIVE), "active") == 0 && strcmp(job_state_name(99), "unknown") == 0);
    CHECK(strcmp(item_state_name(ITEM_DEAD), "dead") == 0 && strcmp(item_state_name(99), "unknown") == 0);
    CHECK(strcmp(wire_error_name(ERROR_BUSY), "busy") == 0 && strcmp(wire_error_name(0), "unknown") == 0);
}

/* The rows of section 7 of PROTOCOL.md, in order. */
static int next_row(FILE *page, char *line, size_t bytes)
{
    static bool inside;
    while (fgets(line, (int)bytes, page)) {
        if (strncmp(line, "## ", 3) == 0)
            inside = strncmp(line, "## 7.", 5) == 0;
        if (inside && strncmp(line, "| `", 3) == 0)
            return 1;
    }
    return 0;
}

/* PROTOCOL.md repeats the tables for readers; schema_dump prints them. */
TEST(protocol_page_has_these_tables)
{
    char command[4096], want[8192], got[8192];
    snprintf(command, sizeof command, "%s > dump", SCHEMA_DUMP);
    CHECK(system(command) == 0); /* NOLINT(cert-env33-c): the command is ours */
    FILE *dump = fopen("dump", "r"), *page = fopen(PROTOCOL_PAGE, "r");
    REQUIRE(dump && page);
    int lines = 0;
    while (fgets(want, sizeof want, dump)) {
        lines++;
        if (strncmp(want, "| `empty` |", 11) == 0) /* its one field is reserved */
            snprintf(want, sizeof want, "| `empty` | no fields |\n");
        const bool same = next_row(page, got, sizeof got) && strcmp(want, got) == 0;
        CHECK(same);
        if (!same)
            printf("    the tables say: %s    PROTOCOL.md says: %s", want, got);
    }
    CHECK(lines == 70 && !next_row(page, got, sizeof got));
    fclose(dump);
    fclose(page);
}
