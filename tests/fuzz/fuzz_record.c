/* Records and stat entries of the feature store.
 *
 *   input        control u8 (1: the magic, length and checksum are put right, 2: it is a stat entry, 4: the array's
 *                length makes the sum of all lengths right, modulo 2^64), u16 of the byte that is harmed, then the
 *                bytes
 *   properties   what decodes encodes to the same bytes, lies within them, and peeking says the same; one changed
 *                byte in a sound record is always seen; its result is followed by the tables as its readers do */
#include "fuzz.h"
#include "kinds.h"
#include "record.h"
#include "store_state.h"

#include <stdlib.h>
#include <string.h>

enum {
    CONTROL_MEND = 1,
    CONTROL_STAT = 2,
    CONTROL_SUM = 4,
    RESULT_BYTES_AT = 80,
    ARRAY_BYTES_AT = 84,
    CRC_AT = 12,
    CHECKED_FROM = 16,
    PLACE_AT = 27,
    DEVICE_END = 28 + 16 + 24
};

static void put32(uint8_t *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

/* What a writer would have put there. */
static void mend(uint8_t *b, size_t bytes)
{
    if (bytes < RECORD_HEADER_BYTES)
        return;
    memcpy(b, "WMR1", 4);
    b[4] = RECORD_VERSION;
    b[5] = 0;
    put32(b + 8, (uint32_t)bytes);
    b[28 + 15] = b[DEVICE_END - 1] = 0; /* its texts end */
    put32(b + CRC_AT, crc32c(0, b + CHECKED_FROM, bytes - CHECKED_FROM));
}

/* An inline array as long as the record is, less all else: a huge number where the result is longer than the record. */
static void make_sum(uint8_t *b, size_t bytes)
{
    uint64_t array = bytes - RECORD_HEADER_BYTES;
    if (bytes < RECORD_HEADER_BYTES)
        return;
    for (int i = 0; i < 4; i++)
        array -= (uint64_t)b[RESULT_BYTES_AT + i] << 8 * i;
    b[PLACE_AT] = RECORD_INLINE;
    for (int i = 0; i < 8; i++)
        b[ARRAY_BYTES_AT + i] = (uint8_t)(array >> 8 * i);
}

static void follow_result(const struct record *r)
{
    _Alignas(16) char space[1024];
    enum { READERS = 3 };
    const struct wire_schema *const readers[READERS] = {&kind_analyze_result_schema, &kind_features_result_schema,
                                                        &error_schema};
    for (size_t i = 0; i < READERS; i++) {
        struct kind_series s;
        if (wire_decode(readers[i], r->result, r->result_bytes, space) || i)
            continue;
        struct wire_list list = ((struct kind_analyze_result *)space)->series;
        while (list.count)
            FUZZ_CHECK(wire_next(&list, &kind_series_schema, &s));
    }
}

static void check_record(uint8_t *b, size_t bytes, const struct record *r, size_t harm)
{
    struct record peeked, other;
    FUZZ_CHECK(bytes >= RECORD_HEADER_BYTES);
    uint8_t *const again = malloc(bytes);
    FUZZ_CHECK(again && record_bytes(r) == bytes);
    FUZZ_CHECK(record_peek(b, bytes, &peeked) == STATUS_OK &&
               memcmp(&peeked.object, &r->object, sizeof r->object) == 0);
    FUZZ_CHECK(peeked.result == r->result && peeked.array == r->array && peeked.array_bytes == r->array_bytes);
    FUZZ_CHECK(memchr(r->code_version, 0, sizeof r->code_version) && memchr(r->device, 0, sizeof r->device));
    FUZZ_CHECK(r->result_bytes <= bytes - RECORD_HEADER_BYTES);
    FUZZ_CHECK(r->place != RECORD_INLINE || r->array_bytes <= bytes - RECORD_HEADER_BYTES - r->result_bytes);
    FUZZ_CHECK(r->place <= RECORD_OBJECT && feature_name((enum feature_kind)r->kind));
    memset(again, 0x5a, bytes);
    record_encode(r, again);
    mend(b, bytes); /* only the ends of its texts may differ */
    FUZZ_CHECK(memcmp(again, b, bytes) == 0);
    free(again);
    b[harm % bytes] ^= 1 << harm % 8;
    FUZZ_CHECK(record_decode(b, bytes, &other) != STATUS_OK || harm % bytes == 6 || harm % bytes == 7); /* the kind */
    b[harm % bytes] ^= 1 << harm % 8;
    follow_result(r);
    fuzz_accept();
}

static void check_stat(uint8_t *b, size_t bytes, bool mended)
{
    const size_t key = bytes < STAT_KEY_BYTES ? bytes : STAT_KEY_BYTES;
    if (mended && bytes == STAT_KEY_BYTES + STAT_VALUE_BYTES)
        put32(b + bytes - 4, crc32c(0, b, bytes - 4));
    const MDB_val k = {key, b}, v = {bytes - key, b + key};
    const bool sound = store_stat_is_sound(&k, &v);
    FUZZ_CHECK(sound || !mended || bytes != STAT_KEY_BYTES + STAT_VALUE_BYTES);
    if (sound) {
        b[bytes / 2] ^= 4;
        FUZZ_CHECK(!store_stat_is_sound(&k, &v));
        fuzz_accept();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    const uint8_t control = fuzz_byte(&in);
    const size_t harm = fuzz_number(&in, 2), bytes = in.left;
    uint8_t *const b = malloc(bytes ? bytes : 1);
    struct record r;
    FUZZ_CHECK(b);
    if (bytes)
        memcpy(b, in.at, bytes);
    if (control & CONTROL_STAT) {
        check_stat(b, bytes, control & CONTROL_MEND);
    } else {
        if (control & CONTROL_SUM)
            make_sum(b, bytes);
        if (control & CONTROL_MEND)
            mend(b, bytes);
        if (record_decode(b, bytes, &r) == STATUS_OK)
            check_record(b, bytes, &r, harm);
        else if (record_peek(b, bytes, &r) == STATUS_OK)
            FUZZ_CHECK(record_bytes(&r) == bytes);
    }
    free(b);
    return 0;
}

static void seed(const char *name, const struct record *r)
{
    uint8_t b[600] = {0};
    FUZZ_CHECK(record_bytes(r) + 3 <= sizeof b);
    record_encode(r, b + 3);
    fuzz_seed(name, b, 3 + record_bytes(r));
}

void fuzz_seeds(void)
{
    static const float array[] = {1, 2, 3, 4};
    struct record r = {.kind = FEATURE_SUMMARY, .code_version = "1.0", .device = "cpu"};
    struct wire_buffer result = {0}, series = {0};
    const struct kind_series s = {.name = wire_str("rms"), .values = 1, .statistics = {(const uint8_t *)array, 16}};
    FUZZ_CHECK(wire_encode(&kind_series_schema, &s, &series) == STATUS_OK);
    const struct kind_analyze_result a = {.codec = wire_str("mp3"), .rms = 0.5, .series = wire_list_of(&series, 1)};
    FUZZ_CHECK(wire_encode(&kind_analyze_result_schema, &a, &result) == STATUS_OK);
    r.result = result.data;
    r.result_bytes = (uint32_t)result.bytes;
    seed("summary", &r);
    r.kind = FEATURE_MFCC;
    r.dtype = DTYPE_F32;
    r.bins = 2;
    r.frames = 2;
    r.place = RECORD_INLINE;
    r.array = array;
    r.array_bytes = sizeof array;
    seed("inline", &r);
    r.place = RECORD_OBJECT;
    seed("object", &r);
    wire_free(&series);
    wire_free(&result);
    uint8_t stat[3 + STAT_KEY_BYTES + STAT_VALUE_BYTES] = {CONTROL_MEND | CONTROL_STAT};
    fuzz_noise("stat", stat + 3, sizeof stat - 3);
    fuzz_seed("stat", stat, sizeof stat);
}
