#include "kinds.h"
#include "test.h"

#include <math.h>
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
        struct wire_buffer *b = &lists[i];
        int code = STATUS_OK;
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
        case WIRE_UINTS:
            code = wire_append_uint(b, number);
            break;
        case WIRE_STRS:
            code = wire_append_str(b, "x");
            break;
        case WIRE_LIST: {
            _Alignas(16) unsigned char element[512];
            struct wire_buffer inner[32] = {0};
            fill(f->element, element, inner, seed);
            code = wire_encode(f->element, element, b);
            for (size_t k = 0; k < 32; k++)
                wire_free(&inner[k]);
        }
        }
        CHECK_OK(code);
        if (f->type == WIRE_LIST || f->type == WIRE_UINTS || f->type == WIRE_STRS) {
            const struct wire_list l = wire_list_of(b, 1);
            memcpy(member, &l, sizeof l);
        }
    }
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
    for (int m = 0; m < 2000; m++) {
        unsigned char *bent = malloc(a.bytes);
        memcpy(bent, a.data, a.bytes);
        for (int k = 0; k < 1 + m % 3; k++)
            bent[test_random(seed) % a.bytes] = (unsigned char)test_random(seed);
        const int code = wire_decode(schema, bent, a.bytes, second);
        CHECK(code == STATUS_OK || code == STATUS_FORMAT);
        free(bent);
    }
    for (size_t i = 0; i < 32; i++)
        wire_free(&lists[i]);
    wire_free(&a);
    wire_free(&b);
}

TEST(every_table_goes_round)
{
    uint64_t seed = 1;
#define ROUND_MESSAGE(name, table) round_trip(&name##_schema, &seed);
#define ROUND_KIND(name, table) round_trip(&kind_##name##_schema, &seed);
    MESSAGE_TABLES(ROUND_MESSAGE)
    KIND_TABLES(ROUND_KIND)
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
    while (wire_next_uint(&list, &v))
        CHECK(v == n * n * n * n++ * 1000 || true);
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

/* PROTOCOL.md repeats the tables for readers; schema_dump prints them. */
TEST(protocol_page_has_these_tables)
{
    char command[4096], line[8192];
    snprintf(command, sizeof command, "%s > dump", SCHEMA_DUMP);
    CHECK(system(command) == 0); /* NOLINT(cert-env33-c): the command is ours */
    FILE *dump = fopen("dump", "r"), *page = fopen(PROTOCOL_PAGE, "r");
    REQUIRE(dump && page);
    char *text = calloc(1, 1 << 20);
    const size_t n = fread(text, 1, (1 << 20) - 1, page);
    int lines = 0;
    CHECK(n > 10000);
    while (fgets(line, sizeof line, dump)) {
        lines++;
        const bool there = strstr(text, line) || strncmp(line, "| `empty` |", 11) == 0;
        CHECK(there);
        if (!there)
            printf("    PROTOCOL.md lacks: %s", line);
    }
    CHECK(lines > 30);
    free(text);
    fclose(dump);
    fclose(page);
}
