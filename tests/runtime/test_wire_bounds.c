/* Every type of field against every form of value, and every bound from both sides. */
#include "test.h"
#include "wire.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct inner {
    uint64_t n;
    struct wire_slice text;
};

static const struct wire_field inner_fields[] = {{1, WIRE_UINT, true, offsetof(struct inner, n), 9, "n", NULL},
                                                 {2, WIRE_STR, false, offsetof(struct inner, text), 4, "text", NULL}};
static const struct wire_schema inner_schema = {"inner", inner_fields, 2, sizeof(struct inner)};

struct all {
    uint64_t u;
    int64_t i;
    double f;
    bool b;
    struct wire_slice s, d;
    struct wire_list l, us, ss;
};

static const struct wire_field all_fields[] = {{'u', WIRE_UINT, false, offsetof(struct all, u), 1000, "u", NULL},
                                               {'i', WIRE_INT, false, offsetof(struct all, i), 1000, "i", NULL},
                                               {'f', WIRE_F64, false, offsetof(struct all, f), 0, "f", NULL},
                                               {'b', WIRE_BOOL, false, offsetof(struct all, b), 0, "b", NULL},
                                               {'s', WIRE_STR, false, offsetof(struct all, s), 4, "s", NULL},
                                               {'d', WIRE_BIN, false, offsetof(struct all, d), 4, "d", NULL},
                                               {'l', WIRE_LIST, false, offsetof(struct all, l), 3, "l", &inner_schema},
                                               {'U', WIRE_UINTS, false, offsetof(struct all, us), 3, "us", NULL},
                                               {'S', WIRE_STRS, false, offsetof(struct all, ss), 3, "ss", NULL}};
enum { FIELDS = sizeof all_fields / sizeof *all_fields };
static const struct wire_schema all_schema = {"all", all_fields, FIELDS, sizeof(struct all)};

struct text { /* bytes with their number: a case may hold zeros */
    const char *data;
    size_t bytes;
};
#define BYTES(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }

/* Decodes a map that holds `value` under `key`, in memory of exactly its size. */
static int decode_one(char key, const struct text *value, struct all *out)
{
    unsigned char *message = malloc(value->bytes + 2);
    message[0] = 0x81;
    message[1] = (unsigned char)key;
    memcpy(message + 2, value->data, value->bytes);
    const int code = wire_decode(&all_schema, message, value->bytes + 2, out);
    free(message);
    return code;
}

TEST(forms_and_types)
{
    static const struct {
        struct text value;
        const char *takers; /* the keys of the fields that take it; '?' an unknown key */
    } cases[] = {
        {BYTES("\x05"), "uif?"},
        {BYTES("\xcc\x05"), "uif?"},
        {BYTES("\xcd\x00\x05"), "uif?"},
        {BYTES("\xce\x00\x00\x00\x05"), "uif?"},
        {BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x05"), "uif?"},
        {BYTES("\xd0\x05"), "uif?"}, /* signed forms of numbers that are not negative */
        {BYTES("\xd1\x00\x05"), "uif?"},
        {BYTES("\xd2\x00\x00\x00\x05"), "uif?"},
        {BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x05"), "uif?"},
        {BYTES("\xff"), "if?"},
        {BYTES("\xd0\xfb"), "if?"},
        {BYTES("\xd1\xff\xfb"), "if?"},
        {BYTES("\xd2\xff\xff\xff\xfb"), "if?"},
        {BYTES("\xd3\xff\xff\xff\xff\xff\xff\xff\xfb"), "if?"},
        {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "f?"}, /* over every bound, but a finite float */
        {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "f?"},
        {BYTES("\xca\x3f\x80\x00\x00"), "f?"},
        {BYTES("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"), "f?"},
        {BYTES("\xca\x7f\xc0\x00\x00"), "?"}, /* NaN and the infinities */
        {BYTES("\xca\x7f\x80\x00\x00"), "?"},
        {BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "?"},
        {BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "?"},
        {BYTES("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), "?"},
        {BYTES("\xc0"), "?"}, /* nil */
        {BYTES("\xc2"), "b?"},
        {BYTES("\xc3"), "b?"},
        {BYTES("\xa0"), "s?"},
        {BYTES("\xa1x"), "s?"},
        {BYTES("\xd9\x01x"), "s?"},
        {BYTES("\xda\x00\x01x"), "s?"},
        {BYTES("\xdb\x00\x00\x00\x01x"), "s?"},
        {BYTES("\xa1\xff"), "?"}, /* not UTF-8; nobody looks into an unknown key */
        {BYTES("\xc4\x00"), "d?"},
        {BYTES("\xc4\x01\xff"), "d?"},
        {BYTES("\xc5\x00\x01\xff"), "d?"},
        {BYTES("\xc6\x00\x00\x00\x01\xff"), "d?"},
        {BYTES("\x90"), "lUS?"},
        {BYTES("\xdc\x00\x00"), "lUS?"},
        {BYTES("\xdd\x00\x00\x00\x00"), "lUS?"},
        {BYTES("\x91\x05"), "U?"},
        {BYTES("\xdc\x00\x01\xcc\x05"), "U?"},
        {BYTES("\x91\xff"), "?"}, /* a negative number among unsigned ones */
        {BYTES("\x91\xa1x"), "S?"},
        {BYTES("\x91\xa1\xff"), "?"},
        {BYTES("\x92\xa1x\x05"), "?"}, /* mixed */
        {BYTES("\x91\x81\x01\x05"), "l?"},
        {BYTES("\xdd\x00\x00\x00\x01\xde\x00\x01\x01\x05"), "l?"},
        {BYTES("\x91\x80"), "?"},                        /* an element without what it must have */
        {BYTES("\x91\x82\x01\x05\x01\x05"), "?"},        /* an element with a key twice */
        {BYTES("\x91\x82\x01\x05\x07\x91\xc0"), "l?"},   /* an element with an unknown key */
        {BYTES("\x91\x82\x01\x05\x07\xd4\x01\x02"), ""}, /* an extension inside an element's unknown key */
        {BYTES("\x91\x81\x01\x0a"), "?"},                /* an element over its own bound */
        {BYTES("\x80"), "?"},
        {BYTES("\x81\x05\x05"), "?"},
        {BYTES("\x81\xa1k\x05"), "?"}, /* maps with other keys are somebody else's */
        {BYTES("\xd4\x01\x02"), ""},   /* extensions of every form */
        {BYTES("\xd5\x01\x02\x03"), ""},
        {BYTES("\xd6\x01\x02\x03\x04\x05"), ""},
        {BYTES("\xd7\x01\x00\x00\x00\x00\x00\x00\x00\x00"), ""},
        {BYTES("\xd8\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), ""},
        {BYTES("\xc7\x01\x01\x02"), ""},
        {BYTES("\xc8\x00\x01\x01\x02"), ""},
        {BYTES("\xc9\x00\x00\x00\x01\x01\x02"), ""},
        {BYTES("\xc1"), ""},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (const char *key = "uifbsdlUS?"; *key; key++) {
            struct all m;
            const int code = decode_one(*key, &cases[c].value, &m);
            const int want = strchr(cases[c].takers, *key) ? STATUS_OK : STATUS_FORMAT;
            CHECK(code == want);
            if (code != want)
                printf("    case %zu, key %c: %s\n", c, *key, status_name(code));
            if (code || *key == '?')
                continue;
            CHECK(*key == 'f' || isnan(m.f)); /* absent: unknown */
            for (size_t n = 1; n < cases[c].value.bytes; n++)
                CHECK_CODE(decode_one(*key, &(struct text){cases[c].value.data, n}, &m), STATUS_FORMAT);
        }
}

TEST(bounds_from_both_sides)
{
    static const struct {
        char key;
        struct text value;
        bool good;
    } cases[] = {
        {'u', BYTES("\xcd\x03\xe8"), true},
        {'u', BYTES("\xcd\x03\xe9"), false},
        {'i', BYTES("\xcd\x03\xe8"), true},
        {'i', BYTES("\xcd\x03\xe9"), false},
        {'i', BYTES("\xd1\xfc\x18"), true},
        {'i', BYTES("\xd1\xfc\x17"), false},
        {'i', BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), false}, /* what no int64 holds */
        {'s', BYTES("\xa4wxyz"), true},
        {'s', BYTES("\xa5vwxyz"), false},
        {'s', BYTES("\xa4\xf0\x9f\x8e\xb5"), true}, /* bytes are counted, not characters */
        {'d', BYTES("\xc4\x04wxyz"), true},
        {'d', BYTES("\xc4\x05vwxyz"), false},
        {'l', BYTES("\x93\x81\x01\x01\x81\x01\x02\x81\x01\x03"), true},
        {'l', BYTES("\x94\x81\x01\x01\x81\x01\x02\x81\x01\x03\x81\x01\x04"), false},
        {'l', BYTES("\x91\x82\x01\x09\x02\xa4wxyz"), true},
        {'l', BYTES("\x91\x82\x01\x09\x02\xa5vwxyz"), false},
        {'U', BYTES("\x93\x01\x02\x03"), true},
        {'U', BYTES("\x94\x01\x02\x03\x04"), false},
        {'S', BYTES("\x93\xa0\xa1x\xa0"), true},
        {'S', BYTES("\x94\xa0\xa1x\xa0\xa0"), false},
        {'?', BYTES("\x01\x00"), false}, /* a byte behind the map */
        {'?', BYTES("\x91"), false},     /* an element that is not there */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct all m;
        const int code = decode_one(cases[c].key, &cases[c].value, &m);
        CHECK(code == (cases[c].good ? STATUS_OK : STATUS_FORMAT));
        if (code != (cases[c].good ? STATUS_OK : STATUS_FORMAT))
            printf("    case %zu: %s\n", c, status_name(code));
    }
}

/* Every form that carries a length claims far more than there is: refused at once, whatever the field. */
TEST(claims_are_not_believed)
{
    static const struct text bombs[] = {
        BYTES("\xdd\xff\xff\xff\xff"),
        BYTES("\xdf\xff\xff\xff\xff"),
        BYTES("\xdb\xff\xff\xff\xff"),
        BYTES("\xc6\xff\xff\xff\xff"),
        BYTES("\xc9\xff\xff\xff\xff"),
        BYTES("\xdc\xff\xff"),
        BYTES("\xde\xff\xff"),
        BYTES("\xda\xff\xff"),
        BYTES("\xc5\xff\xff"),
        BYTES("\xd9\xff"),
        BYTES("\xc4\xff"),
        BYTES("\x9f"),
        BYTES("\x8f"),
        BYTES("\xbf"),
        BYTES("\xdf\x80\x00\x00\x00"),
        BYTES("\x82\x01\x01\x02"), /* two pairs in three bytes */
    };
    struct all m;
    for (size_t c = 0; c < sizeof bombs / sizeof *bombs; c++) {
        CHECK_CODE(wire_decode(&all_schema, bombs[c].data, bombs[c].bytes, &m), STATUS_FORMAT);
        for (const char *key = "uifbsdlUS?"; *key; key++)
            CHECK_CODE(decode_one(*key, &bombs[c], &m), STATUS_FORMAT);
    }
    /* arrays of arrays, each claiming all that is left: the work must stay small */
    unsigned char nest[4096];
    for (size_t i = 2; i + 3 <= sizeof nest; i += 3)
        memcpy(nest + i, "\xdc\x0f\x00", 3);
    memcpy(nest, "\x81?", 2);
    CHECK_CODE(wire_decode(&all_schema, nest, sizeof nest, &m), STATUS_FORMAT);
}

TEST(keys)
{
    static const struct {
        struct text body;
        bool good;
        const char *reason;
    } cases[] = {
        {BYTES("\x80"), true, "nothing is required"},
        {BYTES("\x82u\x01i\x02"), true, "two keys"},
        {BYTES("\x82i\x02u\x01"), true, "in any order"},
        {BYTES("\x82u\x01u\x01"), false, "a known key twice"},
        {BYTES("\x83u\x01i\x01u\x02"), false, "a known key twice, apart"},
        {BYTES("\x82?\x01?\x02"), true, "an unknown key twice: nobody looks"},
        {BYTES("\x81\xcf\x00\x00\x00\x00\x00\x00\x00u\x01"), true, "a key in a long form"},
        {BYTES("\x82u\x01\xccu\x01"), false, "the same key in two forms"},
        {BYTES("\x81\xcf\x00\x00\x00\x01\x00\x00\x00u\xc0"), true, "a large key that ends like a known one"},
        {BYTES("\x81\xcd\x01u\xc0"), true, "256 more than a known one"},
        {BYTES("\x81\xffu"), false, "a negative key"},
        {BYTES("\x81\xc0u"), false, "nil for a key"},
        {BYTES("\x81\xca\x00\x00\x00\x00\x01"), false, "a float for a key"},
        {BYTES("\x81?\x81?\x81?\x81\xa1k\xc0"), true, "unknown keys in unknown keys"},
        {BYTES("\x81?\x82\xa1k\xc0\x91\xff"), false, "a pair that is cut, inside an unknown key"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct all m;
        const int code = wire_decode(&all_schema, cases[c].body.data, cases[c].body.bytes, &m);
        CHECK(code == (cases[c].good ? STATUS_OK : STATUS_FORMAT));
        if (code != (cases[c].good ? STATUS_OK : STATUS_FORMAT))
            printf("    %s: %s\n", cases[c].reason, status_name(code));
    }
    struct all m;
    CHECK_CODE(wire_decode(&all_schema, "", (size_t)UINT32_MAX + 1, &m), STATUS_FORMAT); /* not one byte is read */
}

struct node {
    struct wire_list children;
};
static const struct wire_schema node_schema;
static const struct wire_field node_fields[] = {{1, WIRE_LIST, false, 0, 4, "children", &node_schema}};
static const struct wire_schema node_schema = {"node", node_fields, 1, sizeof(struct node)};

/* Known and unknown nesting end at the same depth: a list counts as a level, and each of its elements as one more. */
TEST(depth_ends)
{
    for (int depth = 0; depth < 12; depth++) {
        struct wire_buffer known = {0}, unknown = {0};
        for (int i = 0; i < depth; i++) {
            CHECK_OK(wire_append(&known, "\x81\x01\x91", 3));
            CHECK_OK(wire_append(&unknown, i ? "\x91" : "\x81\x07", i ? 1 : 2));
        }
        CHECK_OK(wire_append(&known, "\x80", 1));
        CHECK_OK(wire_append(&unknown, depth ? "\xc0" : "\x80", 1));
        struct node n;
        CHECK_CODE(wire_decode(&node_schema, known.data, known.bytes, &n),
                   2 * depth <= WIRE_DEPTH ? STATUS_OK : STATUS_FORMAT);
        CHECK_CODE(wire_decode(&node_schema, unknown.data, unknown.bytes, &n),
                   depth <= WIRE_DEPTH ? STATUS_OK : STATUS_FORMAT);
        wire_free(&known);
        wire_free(&unknown);
    }
}

/* A list's elements come back one by one; what has no list gives none. */
TEST(iteration)
{
    struct wire_buffer elements = {0}, b = {0};
    for (uint64_t n = 1; n <= 3; n++)
        CHECK_OK(wire_encode(&inner_schema, &(struct inner){n, wire_str(n == 2 ? "two" : NULL)}, &elements));
    const struct all sent = {.f = NAN, .l = wire_list_of(&elements, 3)};
    struct all got;
    CHECK_OK(wire_encode(&all_schema, &sent, &b));
    CHECK_OK(wire_decode(&all_schema, b.data, b.bytes, &got));
    struct inner e;
    for (uint64_t n = 1; n <= 3; n++) {
        CHECK(wire_next(&got.l, &inner_schema, &e) && e.n == n && e.text.bytes == (n == 2 ? 3 : 0));
        CHECK(got.l.count == 3 - n);
    }
    uint64_t v = 7;
    struct wire_slice s = {NULL, 7};
    CHECK(!wire_next(&got.l, &inner_schema, &e) && got.l.bytes == 0);
    CHECK(!wire_next_uint(&got.us, &v) && !wire_next_str(&got.ss, &s) && v == 7 && s.bytes == 7);
    /* a list read with another reader than its own stands still */
    struct wire_list list = {(const uint8_t *)"\xa1x\x05", 3, 2};
    CHECK(!wire_next_uint(&list, &v) && !wire_next(&list, &inner_schema, &e) && list.count == 2);
    CHECK(wire_next_str(&list, &s) && s.bytes == 1 && !wire_next_str(&list, &s));
    CHECK(wire_next_uint(&list, &v) && v == 5 && list.count == 0);
    wire_free(&elements);
    wire_free(&b);
}

/* The bytes themselves: what is at its default is left out, unless it must be there. */
TEST(defaults_are_left_out)
{
    static const struct {
        struct all in;
        struct text out;
    } cases[] = {{{.f = NAN}, BYTES("\x80")},
                 {{.f = -INFINITY}, BYTES("\x80")},
                 {{.f = 0}, BYTES("\x81\x66\xcb\x00\x00\x00\x00\x00\x00\x00\x00")}, /* 0 is a value, not the default */
                 {{.u = 5, .f = NAN}, BYTES("\x81\x75\x05")},
                 {{.i = -5, .f = NAN}, BYTES("\x81\x69\xfb")},
                 {{.b = true, .f = NAN}, BYTES("\x81\x62\xc3")},
                 {{.s = {(const uint8_t *)"x", 1}, .f = NAN}, BYTES("\x81\x73\xa1x")},
                 {{.d = {(const uint8_t *)"x", 1}, .f = NAN}, BYTES("\x81\x64\xc4\x01x")},
                 {{.us = {(const uint8_t *)"\x01\x02", 2, 2}, .f = NAN}, BYTES("\x81\x55\x92\x01\x02")},
                 {{.u = 1, .i = 2, .f = NAN}, BYTES("\x82\x75\x01\x69\x02")}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct wire_buffer b = {0};
        CHECK_OK(wire_encode(&all_schema, &cases[c].in, &b));
        CHECK(b.bytes == cases[c].out.bytes && memcmp(b.data, cases[c].out.data, b.bytes) == 0);
        wire_free(&b);
        CHECK(b.data == NULL && b.bytes == 0);
    }
    struct wire_buffer b = {0};
    CHECK_OK(wire_encode(&inner_schema, &(struct inner){0}, &b));
    CHECK(b.bytes == 3 && memcmp(b.data, "\x81\x01\x00", 3) == 0);
    CHECK_OK(wire_encode(&inner_schema, &(struct inner){1, {0}}, &b)); /* appends */
    CHECK(b.bytes == 6 && memcmp(b.data + 3, "\x81\x01\x01", 3) == 0);
    CHECK_CODE(wire_append(&b, "", SIZE_MAX - 100), STATUS_NOMEM);
    CHECK(b.bytes == 6);
    wire_free(&b);
}
