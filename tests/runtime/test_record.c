#include "record.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

TEST(record_round_trip_and_damage)
{
    struct record r = {.kind = 3,
                       .backend = 1,
                       .isa = 2,
                       .dtype = 3,
                       .place = RECORD_OBJECT,
                       .made_unix_ms = 123456789012,
                       .bins = 1025,
                       .frames = 1ull << 40,
                       .result = "abc",
                       .result_bytes = 3,
                       .array_bytes = 77,
                       .code_version = "0.1.0",
                       .device = "cpu"},
                  got;
    memset(r.object.bytes, 9, sizeof r.object.bytes);
    unsigned char bytes[256], copy[256];
    const size_t n = record_bytes(&r);
    CHECK(n == RECORD_HEADER_BYTES + 3 + HASH_BYTES);
    record_encode(&r, bytes);
    CHECK_OK(record_decode(bytes, n, &got));
    CHECK(got.kind == 3 && got.backend == 1 && got.isa == 2 && got.dtype == 3 && got.bins == 1025 &&
          got.frames == 1ull << 40 && got.made_unix_ms == 123456789012 && got.array_bytes == 77);
    CHECK(memcmp(&got.object, &r.object, sizeof r.object) == 0 && memcmp(got.result, "abc", 3) == 0);
    CHECK(strcmp(got.device, "cpu") == 0 && strcmp(got.code_version, "0.1.0") == 0);
    for (size_t i = 0; i < n; i++) { /* every byte counts */
        memcpy(copy, bytes, n);
        copy[i] ^= 0x40;
        const int code = record_decode(copy, n, &got);
        CHECK(code == (i == 4 || i == 5 ? STATUS_VERSION : i == 6 || i == 7 ? STATUS_OK : STATUS_DAMAGED));
        CHECK(code != STATUS_OK || got.kind != r.kind); /* the kind is compared with the key's by the store */
    }
    for (size_t i = 0; i < n; i++)
        CHECK_CODE(record_decode(bytes, i, &got), STATUS_DAMAGED);
    memcpy(copy, bytes, n);
    copy[4] = 2; /* a later version, with a sound checksum */
    CHECK_CODE(record_decode(copy, n, &got), STATUS_VERSION);
    enum feature_kind kind;
    CHECK_OK(feature_parse("logmel", &kind));
    CHECK(kind == FEATURE_LOGMEL && strcmp(feature_name(FEATURE_ZCR), "zcr") == 0);
    CHECK_CODE(feature_parse("summary", &kind), STATUS_ARGUMENT);
    CHECK_CODE(feature_parse("chroma", &kind), STATUS_ARGUMENT);
    CHECK(strcmp(feature_name((enum feature_kind)99), "unknown") == 0);
}

static const struct {
    enum record_place place;
    uint32_t result_bytes;
    uint64_t array_bytes;
    size_t bytes;
} shapes[] = {{RECORD_NO_ARRAY, 0, 0, RECORD_HEADER_BYTES},
              {RECORD_NO_ARRAY, 100, 0, RECORD_HEADER_BYTES + 100},
              {RECORD_NO_ARRAY, 1, 4000, RECORD_HEADER_BYTES + 1}, /* streamed to a file and not kept */
              {RECORD_INLINE, 0, 0, RECORD_HEADER_BYTES},
              {RECORD_INLINE, 0, 8, RECORD_HEADER_BYTES + 8},
              {RECORD_INLINE, 3, 1000, RECORD_HEADER_BYTES + 1003},
              {RECORD_OBJECT, 0, 1ull << 40, RECORD_HEADER_BYTES + HASH_BYTES},
              {RECORD_OBJECT, 7, 0, RECORD_HEADER_BYTES + 7 + HASH_BYTES}};
enum { SHAPES = sizeof shapes / sizeof *shapes, MOST = 1200 };

static size_t encode_shape(size_t i, unsigned char out[MOST])
{
    static unsigned char contents[MOST];
    for (size_t k = 0; k < sizeof contents; k++)
        contents[k] = (unsigned char)(k * 7 + i);
    struct record r = {.kind = FEATURE_STFT,
                       .place = (uint8_t)shapes[i].place,
                       .result = contents,
                       .result_bytes = shapes[i].result_bytes,
                       .array = contents + 11,
                       .array_bytes = shapes[i].array_bytes};
    memset(r.object.bytes, 0x5a, HASH_BYTES);
    memset(r.code_version, 'v', sizeof r.code_version); /* not ended: the reader must end it */
    memset(r.device, 'd', sizeof r.device);
    const size_t n = record_bytes(&r);
    REQUIRE(n <= MOST);
    record_encode(&r, out);
    return n;
}

TEST(every_shape_goes_round)
{
    for (size_t i = 0; i < SHAPES; i++) {
        unsigned char bytes[MOST];
        struct record r;
        const size_t n = encode_shape(i, bytes);
        CHECK(n == shapes[i].bytes);
        CHECK_OK(record_decode(bytes, n, &r));
        CHECK(r.place == shapes[i].place && r.result_bytes == shapes[i].result_bytes);
        CHECK(r.array_bytes == shapes[i].array_bytes && r.result == bytes + RECORD_HEADER_BYTES);
        CHECK((r.array != NULL) == (r.place == RECORD_INLINE));
        for (size_t k = 0; r.array && k < r.array_bytes; k++)
            CHECK(((const unsigned char *)r.array)[k] == (unsigned char)((k + 11) * 7 + i));
        CHECK(r.object.bytes[31] == (r.place == RECORD_OBJECT ? 0x5a : 0));
        CHECK(strlen(r.code_version) == sizeof r.code_version - 1 && strlen(r.device) == sizeof r.device - 1);
        for (size_t k = 0; k < n; k++)
            CHECK_CODE(record_decode(bytes, k, &r), STATUS_DAMAGED);
        bytes[n] = 0;
        CHECK_CODE(record_decode(bytes, n + 1, &r), STATUS_DAMAGED);
    }
}

/* With the length and the checksum made right again, the lengths inside are all that stands between us and a bad read:
 * AddressSanitizer looks on. */
TEST(lengths_inside_are_not_believed)
{
    uint64_t seed = 11;
    int good = 0;
    for (int m = 0; m < 50000; m++) {
        unsigned char first[MOST];
        const size_t n = encode_shape((size_t)m % SHAPES, first);
        for (int k = 0; k < 1 + m % 4; k++) /* place and lengths: bytes 27, 80 to 91 */
            first[test_random(&seed) % 2 ? 80 + test_random(&seed) % 12 : 27] =
                (unsigned char)(test_random(&seed) % 2 ? test_random(&seed) : test_random(&seed) % 4);
        const uint32_t crc = crc32c(0, first + 16, n - 16);
        for (int k = 0; k < 4; k++)
            first[12 + k] = (unsigned char)(crc >> 8 * k);
        unsigned char *exact = malloc(n);
        memcpy(exact, first, n);
        struct record r;
        const int code = record_decode(exact, n, &r);
        CHECK(code == STATUS_OK || code == STATUS_DAMAGED);
        if (code == STATUS_OK) {
            unsigned sum = 0;
            for (uint32_t k = 0; k < r.result_bytes; k++)
                sum += ((const unsigned char *)r.result)[k];
            for (uint64_t k = 0; r.place == RECORD_INLINE && k < r.array_bytes; k++)
                sum += ((const unsigned char *)r.array)[k];
            CHECK(sum < UINT32_MAX && record_bytes(&r) == n);
            good++;
        }
        free(exact);
    }
    CHECK(good > 1000 && good < 49000); /* both ways were gone */
}

TEST(random_bytes_are_no_record)
{
    uint64_t seed = 12;
    for (int m = 0; m < 20000; m++) {
        const size_t n = test_random(&seed) % 300;
        unsigned char *bytes = malloc(n ? n : 1);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (unsigned char)test_random(&seed);
        if (n >= 12 && m % 2) { /* past the first two doors */
            memcpy(bytes, "WMR1\x01", 5);
            for (int k = 0; k < 4; k++)
                bytes[8 + k] = (unsigned char)(n >> 8 * k);
        }
        struct record r;
        CHECK_CODE(record_decode(bytes, n, &r), STATUS_DAMAGED);
        free(bytes);
    }
}
