/* Files of tensors: what was written is read back; what somebody else made is refused with its reason. */
#include "safetensors.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ONE "\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"
#define AT(from, to) "\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" #from "," #to "]"
#define SHAPED(shape) "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[0,4]}}"
#define OFFSETS(offsets) "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" offsets "}}"
#define TYPED(dtype) "{\"a\":{\"dtype\":" dtype ",\"shape\":[1],\"data_offsets\":[0,4]}}"

static int open_bytes(const void *data, size_t bytes, struct safetensors **out)
{
    const int fd = memfd_create("safetensors", MFD_CLOEXEC);
    CHECK(write(fd, data, bytes) == (ssize_t)bytes);
    const int code = safetensors_open(fd, "here.safetensors", out);
    close(fd);
    return code;
}

/* A file of a header and so many zero bytes. */
static int open_header(const char *header, uint64_t length, size_t data, struct safetensors **out)
{
    static uint8_t b[4096];
    const size_t n = strlen(header);
    REQUIRE(n + data + 8 <= sizeof b);
    memset(b, 0, sizeof b);
    memcpy(b, &length, 8);
    memcpy(b + 8, header, n);
    return open_bytes(b, 8 + n + data, out);
}

TEST(what_others_made)
{
    static const struct {
        const char *header;
        uint64_t length; /* 0: the header's own */
        size_t data;
        const char *reason; /* in the message; NULL: it is read */
    } cases[] = {
        {"{\"a\":{" ONE "}}", 0, 4, NULL},
        {"{}", 0, 0, NULL},                                               /* no tensors at all */
        {"{\"a\":{" ONE "}}   \n ", 0, 4, NULL},                          /* padding */
        {"{\"__metadata__\":{\"k\":\"v\"},\"a\":{" ONE "}}", 0, 4, NULL}, /* metadata */
        {"{\"b\":{" AT(4, 8) "},\"a\":{" ONE "}}", 0, 8, NULL},           /* order in the header is free */
        {SHAPED("[]"), 0, 4, NULL},                                       /* a scalar */
        {SHAPED("[1,1,1,1,1,1,1,1]"), 0, 4, NULL},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[0,0]},\"b\":{" ONE "}}", 0, 4, NULL}, /* empty */
        {"{\"a\":{" ONE "}}", UINT64_C(1) << 63, 4, "the header claims 9223372036854775808 bytes"},
        {"{\"a\":{" ONE "}}", UINT64_MAX, 4, "the header claims 18446744073709551615 bytes"}, /* -1; + 8 would wrap */
        {"{\"a\":{" ONE "}}", UINT64_MAX - 7, 4, "the header claims"},
        {"{\"a\":{" ONE "}}", 1000, 4, "the header claims 1000 bytes"},
        {"{\"a\":{" ONE "}}", 20, 4, "the header is not JSON"}, /* cut short */
        {"{\"a\":{" ONE "}} x", 0, 4, "the header is not JSON"},
        {"[1]", 0, 4, "does not begin with '{'"},
        {"{\"a\":{" ONE "},\"a\":{" AT(4, 8) "}}", 0, 8, "duplicate object key"},
        {"{\"a\":{" ONE ",\"dtype\":\"F32\"}}", 0, 4, "duplicate object key"},
        {"{\"a\":{" ONE "},\"b\":{" ONE "}}", 0, 4, "it overlaps"},
        {"{\"a\":{" ONE "},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[3,5]}}", 0, 5, "it overlaps"},
        {"{\"a\":{" ONE "},\"b\":{" AT(5, 9) "}}", 0, 9, "there is a gap"},
        {"{\"a\":{" AT(4, 8) "}}", 0, 8, "there is a gap"},
        {"{\"a\":{" ONE "}}", 0, 5, "1 bytes at its end belong to no tensor"},
        {"{}", 0, 1, "1 bytes at its end"},
        {"{\"a\":{" ONE "}}", 0, 3, "it ends at byte 4 of 3"}, /* cut short */
        {OFFSETS("[0,9223372036854775807]"), 0, 4, "it ends at byte 9223372036854775807"},
        {OFFSETS("[0,9223372036854775808]"), 0, 4, "too big integer"},
        {OFFSETS("[-4,0]"), 0, 4, "not two whole numbers"},
        {OFFSETS("[4,0]"), 0, 4, "not two whole numbers"},
        {OFFSETS("[0,4.0]"), 0, 4, "not two whole numbers"},
        {OFFSETS("[0,4,8]"), 0, 8, "not two whole numbers"},
        {OFFSETS("\"0,4\""), 0, 4, "not two whole numbers"},
        {OFFSETS("[0,\"4\"]"), 0, 4, "not two whole numbers"},
        {OFFSETS("[0,3]"), 0, 3, "3 bytes for a shape of 4"},
        {SHAPED("[2]"), 0, 4, "4 bytes for a shape of 8"},
        {SHAPED("[-1]"), 0, 4, "dimension 0 is not a whole number"},
        {SHAPED("[1,0.5]"), 0, 4, "dimension 1 is not a whole number"},
        {SHAPED("[true]"), 0, 4, "dimension 0 is not a whole number"},
        {SHAPED("1"), 0, 4, "its shape is not a list"},
        {SHAPED("[1,1,1,1,1,1,1,1,1]"), 0, 4, "its shape is not a list of at most 8"},
        {SHAPED("[4294967296,4294967296]"), 0, 4, "more elements than can be counted"},   /* 2^64: 0 if it wraps */
        {SHAPED("[9223372036854775807,2]"), 0, 4, "more elements than can be counted"},   /* bytes wrap */
        {SHAPED("[4294967296,4294967296,0]"), 0, 4, "more elements than can be counted"}, /* a 0 too late */
        {TYPED("\"F12\""), 0, 4, "dtype F12 is not known"},
        {TYPED("\"f32\""), 0, 4, "dtype f32 is not known"},
        {TYPED("32"), 0, 4, "dtype (no text) is not known"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4, "not exactly dtype, shape and data_offsets"},
        {"{\"a\":{" ONE ",\"more\":1}}", 0, 4, "not exactly dtype, shape and data_offsets"},
        {"{\"a\":[]}", 0, 4, "not exactly dtype, shape and data_offsets"},
        {"{\"\":{" ONE "}}", 0, 4, "its name has 0 bytes"},
        {"{\"a\\u0000b\":{" ONE "}}", 0, 4, "NUL"},
        {"{\"a\xff\":{" ONE "}}", 0, 4, "unable to decode byte"},
        {"{\"__metadata__\":1}", 0, 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, 0, "metadata 'k' is not a text"},
        {"{\"__metadata__\":{\"k\":{\"deep\":\"er\"}}}", 0, 0, "metadata 'k' is not a text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct safetensors *s = NULL;
        const int code = open_header(cases[i].header, cases[i].length ? cases[i].length : strlen(cases[i].header),
                                     cases[i].data, &s);
        const char *const message = status_message();
        const bool as_wanted = cases[i].reason ? code == STATUS_FORMAT && strstr(message, cases[i].reason) &&
                                                     strstr(message, "here.safetensors") && !s
                                               : code == STATUS_OK && s;
        test_report(as_wanted, __FILE__, __LINE__, "case %zu, %.60s: %s %s", i, cases[i].header, status_name(code),
                    code ? message : "");
        safetensors_close(&s);
    }
}

TEST(bytes_that_are_no_header)
{
    static const struct {
        const char *data;
        size_t bytes;
        const char *reason;
    } cases[] = {
        {"", 0, "the file is empty"},
        {"\2\0\0\0\0\0\0", 7, "7 bytes, too short"},
        {"\2\0\0\0\0\0\0\0", 8, "the header claims 2 bytes, the file has 8"},
        {"\0\0\0\0\0\0\0\0{}", 10, "does not begin with '{'"}, /* a header of no bytes */
        {"PK\3\4................", 20, "a pickle"},            /* torch.save since 1.6 */
        {"\x80\2}q\0..........", 15, "a pickle"},              /* before */
        {"\x80\5\x95", 3, "a pickle"},
        {"GGUF\3\0\0\0\0\0\0\0", 12, "the header claims"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct safetensors *s = NULL;
        const int code = open_bytes(cases[i].data, cases[i].bytes, &s);
        test_report(code == STATUS_FORMAT && strstr(status_message(), cases[i].reason), __FILE__, __LINE__,
                    "case %zu: %s %s", i, status_name(code), status_message());
    }
    /* The whole command is in the message, also under a long name. */
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const int fd = memfd_create("pickle", MFD_CLOEXEC);
    struct safetensors *s = NULL;
    CHECK(write(fd, "\x80\2}q\0", 5) == 5);
    CHECK_CODE(safetensors_open(fd, name, &s), STATUS_FORMAT);
    CHECK(strstr(status_message(), "python3 -c") && strstr(status_message(), "IN OUT"));
    close(fd);
    /* 640 bytes of header: the same first two bytes as a pickle of protocol 2. */
    char header[641];
    memset(header, ' ', sizeof header - 1);
    header[sizeof header - 1] = '\0';
    memcpy(header, "{}", 2);
    CHECK_OK(open_header(header, 640, 0, &s));
    safetensors_close(&s);
}

/* JSON of one array in another, thousands deep, and a header beyond the limit in a file that has so many bytes. */
TEST(headers_without_end)
{
    static char b[10 << 20];
    struct safetensors *s = NULL;
    const uint64_t deep = 1 << 20, long_one = SAFETENSORS_HEADER_MOST + 8;
    memset(b, '[', sizeof b);
    memcpy(b, &deep, 8);
    memcpy(b + 8, "{\"a\":", 5);
    CHECK_CODE(open_bytes(b, 8 + deep, &s), STATUS_FORMAT);
    CHECK(strstr(status_message(), "depth"));
    memset(b, ' ', sizeof b);
    memcpy(b, &long_one, 8);
    memcpy(b + 8, "{}", 2);
    CHECK_CODE(open_bytes(b, 8 + long_one, &s), STATUS_FORMAT);
    CHECK(strstr(status_message(), "the limit is 8388608"));
    char header[700];
    memset(header, 'x', sizeof header);
    memcpy(header, "{\"", 2);
    snprintf(header + 2 + SAFETENSORS_NAME_MOST + 1, 120, "\":{" ONE "}}");
    CHECK_CODE(open_header(header, strlen(header), 4, &s), STATUS_FORMAT);
    CHECK(strstr(status_message(), "its name has 513 bytes"));
    memmove(header + 2, header + 3, strlen(header) - 2); /* 512 */
    CHECK_OK(open_header(header, strlen(header), 4, &s));
    safetensors_close(&s);
}

TEST(things_that_are_no_files)
{
    struct safetensors *s = NULL;
    CHECK_CODE(safetensors_open_path("missing.safetensors", &s), STATUS_NOT_FOUND);
    CHECK(strstr(status_message(), "missing.safetensors"));
    CHECK(mkdir("folder", 0700) == 0 && mkfifo("pipe", 0600) == 0);
    CHECK_CODE(safetensors_open_path("folder", &s), STATUS_FORMAT);
    CHECK_CODE(safetensors_open_path("pipe", &s), STATUS_FORMAT); /* and does not wait for a writer */
}

static const struct safetensors_text texts[] = {{"klass", "demucs.htdemucs.HTDemucs"},
                                                {"note", "\xc3\xa9 \"quoted\"\n"}};

TEST(what_is_written_is_read)
{
    static const float wide[6] = {1, -2, 0.5F, 1e-30F, 3e38F, -0.0F};
    static const uint8_t bytes[3] = {1, 2, 255};
    static const double numbers[2] = {0.1, -1e300};
    const struct safetensors_view in[] = {
        {.name = "z.bytes", .dtype = SAFETENSORS_U8, .rank = 1, .shape = {3}, .data = bytes},
        {.name = "conv.weight", .dtype = SAFETENSORS_F32, .rank = 3, .shape = {2, 1, 3}, .data = wide},
        {.name = "nothing", .dtype = SAFETENSORS_F16, .rank = 2, .shape = {0, 7}},
        {.name = "numbers", .dtype = SAFETENSORS_F64, .rank = 1, .shape = {2}, .data = numbers},
        {.name = "one", .dtype = SAFETENSORS_U8, .rank = 0, .data = bytes},
    };
    enum { TENSORS = sizeof in / sizeof *in };
    struct safetensors *s = NULL;
    CHECK_OK(safetensors_save("w.safetensors", in, TENSORS, texts, 2));
    CHECK_OK(safetensors_open_path("w.safetensors", &s));
    REQUIRE(s);
    CHECK(safetensors_count(s) == TENSORS && !safetensors_at(s, TENSORS));
    for (size_t i = 0; i < TENSORS; i++) {
        const struct safetensors_view *const v = safetensors_find(s, in[i].name);
        REQUIRE(v);
        CHECK(v->dtype == in[i].dtype && v->rank == in[i].rank);
        CHECK(memcmp(v->shape, in[i].shape, sizeof v->shape) == 0);
        CHECK(v->bytes == v->count * safetensors_dtype_bytes(v->dtype));
        CHECK((uintptr_t)v->data % safetensors_dtype_bytes(v->dtype) == 0); /* as the writer lays them out */
        CHECK(!in[i].data || memcmp(v->data, in[i].data, v->bytes) == 0);
    }
    CHECK(strcmp(safetensors_at(s, 0)->name, "numbers") == 0 && strcmp(safetensors_at(s, 1)->name, "conv.weight") == 0);
    CHECK(!safetensors_find(s, "conv") && !safetensors_find(s, "") && !safetensors_find(s, "__metadata__"));
    CHECK(strcmp(safetensors_metadata(s, "klass"), texts[0].value) == 0);
    CHECK(strcmp(safetensors_metadata(s, "note"), texts[1].value) == 0 && !safetensors_metadata(s, "args"));
    safetensors_close(&s);
    safetensors_close(&s); /* of nothing */
    CHECK_OK(safetensors_save("empty.safetensors", NULL, 0, NULL, 0));
    CHECK_OK(safetensors_open_path("empty.safetensors", &s));
    CHECK(safetensors_count(s) == 0 && !safetensors_find(s, "a") && !safetensors_metadata(s, "klass"));
    safetensors_close(&s);
}

TEST(what_no_file_can_hold)
{
    static const float x[4] = {1, 2, 3, 4};
    char long_name[SAFETENSORS_NAME_MOST + 2];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct safetensors_view good = {.name = "a", .dtype = SAFETENSORS_F32, .rank = 1, .shape = {4}, .data = x};
    struct safetensors_view bad[8];
    for (size_t i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].name = "";
    bad[1].name = long_name;
    bad[2].name = "__metadata__";
    bad[3].name = "\xff";
    bad[4].rank = SAFETENSORS_DIMS_MOST + 1;
    bad[5].shape[0] = -1;
    bad[6].shape[0] = INT64_MAX; /* bytes beyond 2^63 */
    bad[7].dtype = SAFETENSORS_DTYPES;
    for (size_t i = 0; i < 8; i++)
        CHECK_CODE(safetensors_save("x.safetensors", &bad[i], 1, NULL, 0), STATUS_ARGUMENT);
    const struct safetensors_view twice[] = {good, good};
    CHECK_CODE(safetensors_save("x.safetensors", twice, 2, NULL, 0), STATUS_ARGUMENT);
    CHECK_CODE(safetensors_save("x.safetensors", &good, 1, &(struct safetensors_text){"k", "\xff"}, 1),
               STATUS_ARGUMENT);
    CHECK_CODE(safetensors_save("no/folder.safetensors", &good, 1, NULL, 0), STATUS_IO);
    FILE *const list = popen("ls | wc -l", "r"); /* NOLINT(cert-env33-c): the command is ours */
    char count[8] = "";
    CHECK(fgets(count, sizeof count, list) && count[0] == '0'); /* nothing was left, under no name */
    pclose(list);
    CHECK_OK(safetensors_save("x.safetensors", &good, 1, NULL, 0));
    CHECK_CODE(safetensors_save("x.safetensors", bad, 1, NULL, 0), STATUS_ARGUMENT);
    struct safetensors *s = NULL;
    CHECK_OK(safetensors_open_path("x.safetensors", &s)); /* the earlier one stands */
    safetensors_close(&s);
}

/* Every half, against arithmetic in double precision. */
TEST(halves)
{
    static uint16_t all[65536];
    static float out[65536];
    int wrong = 0;
    for (uint32_t i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    const struct safetensors_view v = {.name = "h", .dtype = SAFETENSORS_F16, .count = 65536, .data = all};
    int64_t bad = 0;
    CHECK_OK(safetensors_floats(&v, out, &bad));
    CHECK(bad == 0x7c00);
    for (uint32_t i = 0; i < 65536; i++) {
        const int exponent = i >> 10 & 31, mantissa = i & 1023;
        const double sign = i >> 15 ? -1 : 1;
        const double want = exponent == 31 ? (mantissa ? NAN : sign * INFINITY)
                            : exponent     ? sign * ldexp(1024 + mantissa, exponent - 25)
                                           : sign * ldexp(mantissa, -24);
        const bool same = isnan(want) ? isnan(out[i]) : (double)out[i] == want && !signbit(out[i]) == !signbit(want);
        wrong += !same;
    }
    CHECK(wrong == 0);
}

TEST(numbers_of_every_width)
{
    static const uint16_t brains[] = {0x3f80, 0xc000, 0x0001, 0x7f80, 0x7fc0}; /* 1, -2, 2^-133, inf, NaN */
    static const double doubles[] = {0.1, -3, 1e39, 1};
    static const uint32_t floats[] = {0x3f800000, 0x7fc00000};
    static const int32_t whole[] = {1};
    float out[8];
    int64_t bad = -2;
    struct safetensors_view v = {.name = "t", .dtype = SAFETENSORS_BF16, .count = 5, .data = brains};
    CHECK_OK(safetensors_floats(&v, out, &bad));
    CHECK(bad == 3 && out[0] == 1 && out[1] == -2 && out[2] == 0x1p-133F && isinf(out[3]) && isnan(out[4]));
    v.count = 3;
    CHECK_OK(safetensors_floats(&v, NULL, &bad)); /* only looked at */
    CHECK(bad == -1);
    v = (struct safetensors_view){.name = "t", .dtype = SAFETENSORS_F64, .count = 4, .data = doubles};
    CHECK_OK(safetensors_floats(&v, out, &bad));
    CHECK(bad == 2 && out[0] == 0.1F && out[1] == -3 && isinf(out[2]) && out[3] == 1);
    v = (struct safetensors_view){.name = "t", .dtype = SAFETENSORS_F32, .count = 2, .data = floats};
    CHECK_OK(safetensors_floats(&v, out, &bad));
    CHECK(bad == 1 && out[0] == 1);
    CHECK_OK(safetensors_floats(&v, out, NULL));
    v.count = 0;
    CHECK_OK(safetensors_floats(&v, NULL, &bad));
    CHECK(bad == -1);
    v = (struct safetensors_view){.name = "count", .dtype = SAFETENSORS_I32, .count = 1, .data = whole};
    CHECK_CODE(safetensors_floats(&v, out, &bad), STATUS_UNSUPPORTED);
    CHECK(strstr(status_message(), "'count' is I32"));
    /* the first bad one lies behind the first block, at an odd address */
    static uint8_t many[1 + 4 * 3000];
    const uint32_t infinite = 0xff800000;
    memcpy(many + 1 + 4 * 2047, &infinite, 4);
    v = (struct safetensors_view){.name = "t", .dtype = SAFETENSORS_F32, .count = 3000, .data = many + 1};
    CHECK_OK(safetensors_floats(&v, NULL, &bad));
    CHECK(bad == 2047);
}
