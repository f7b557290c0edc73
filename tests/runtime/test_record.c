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
        CHECK(code == STATUS_DAMAGED || code == STATUS_VERSION ||
              (i == 6 || i == 7)); /* the kind is the key's affair */
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

