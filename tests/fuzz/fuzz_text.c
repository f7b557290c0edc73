/* Texts that people and programs pass as options: sizes, numbers, devices, names of features, lists, hashes.
 *
 *   input        which u8, then the text
 *   properties   what is accepted is within its documented range and means the same when it is written out and read
 *                again; nothing is read behind the text */
#include "cli.h"
#include "device_choice.h"
#include "fuzz.h"
#include "hash.h"
#include "measures.h"
#include "record.h"
#include "store_care.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

volatile sig_atomic_t cli_interrupted;

static void check_size(const char *text)
{
    uint64_t bytes = 0, again = 0;
    char written[40];
    if (store_parse_size(text, &bytes))
        return;
    FUZZ_CHECK(bytes <= UINT64_C(1000000000000000000) && *text);
    snprintf(written, sizeof written, "%llu", (unsigned long long)bytes);
    FUZZ_CHECK(store_parse_size(written, &again) == STATUS_OK);
    FUZZ_CHECK(bytes > UINT64_C(1) << 53 || again == bytes);
    fuzz_accept();
}

static void check_device(const char *text)
{
    struct device_choice c, again;
    char name[DEVICE_NAME];
    if (device_choice_parse(text, &c))
        return;
    FUZZ_CHECK(c.index >= -1 && c.index <= 1023);
    device_choice_name(&c, name);
    FUZZ_CHECK(strlen(name) < sizeof name && device_choice_parse(name, &again) == STATUS_OK);
    FUZZ_CHECK(again.automatic == c.automatic && again.backend == c.backend && again.index == c.index);
    FUZZ_CHECK(c.automatic || device_choice_fits(&c, name));
    fuzz_accept();
}

static void check_names(const char *text)
{
    struct wire_buffer b = {0};
    struct wire_list list;
    struct wire_slice name;
    size_t total = 0;
    enum measure m;
    enum feature_kind k;
    if (cli_names(text, &b, &list)) {
        FUZZ_CHECK(list.count >= 1 && list.count <= LIMIT_SERIES);
        for (uint32_t n = list.count; n > 0; n--) {
            FUZZ_CHECK(wire_next_str(&list, &name) && name.bytes >= 1 && name.bytes <= LIMIT_FEATURE_NAME);
            FUZZ_CHECK(memcmp(name.data, text + total, name.bytes) == 0);
            total += name.bytes + 1u;
        }
        FUZZ_CHECK(total == strlen(text) + 1);
        fuzz_accept();
    }
    wire_free(&b);
    if (measure_parse(text, &m) == STATUS_OK)
        FUZZ_CHECK(m < MEASURES && strcmp(measure_name(m), text) == 0 && measure_member(m));
    if (feature_parse(text, &k) == STATUS_OK)
        FUZZ_CHECK(k < FEATURE_KINDS && strcmp(feature_name(k), text) == 0);
}

static void check_number(const char *text)
{
    double v = NAN;
    const int kept = fuzz_mute(stderr); /* it says what it refuses */
    const bool good = cli_number("fuzz", "--n", text, 1, 1000, &v);
    fuzz_unmute(stderr, kept);
    FUZZ_CHECK(!good || (v >= 1 && v <= 1000));
    if (good)
        fuzz_accept();
}

static void check_hash(const char *text)
{
    struct hash h, again;
    char hex[HASH_HEX];
    if (hash_parse(text, &h))
        return;
    hash_hex(&h, hex);
    FUZZ_CHECK(strcasecmp(hex, text) == 0 && hash_parse(hex, &again) == STATUS_OK);
    FUZZ_CHECK(memcmp(&h, &again, sizeof h) == 0);
    fuzz_accept();
}

static void (*const checks[])(const char *text) = {check_size, check_device, check_names, check_number, check_hash};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    const uint8_t which = fuzz_byte(&in);
    char *const text = fuzz_text(&in, (uint32_t)in.left);
    checks[which % (sizeof checks / sizeof *checks)](text);
    free(text);
    return 0;
}

void fuzz_seeds(void)
{
    static const struct {
        const char *name, *input;
    } seeds[] = {
        {"bytes", "\x05"
                  "1234"},
        {"size", "\x05"
                 "1.5G"},
        {"auto", "\x01"
                 "auto"},
        {"cuda", "\x01"
                 "cuda:12"},
        {"names", "\x02"
                  "mfcc,rms,logmel"},
        {"number", "\x03"
                   "7.25"},
        {"hash", "\x04"
                 "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"},
    };
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++)
        fuzz_seed(seeds[i].name, seeds[i].input, strlen(seeds[i].input));
}
