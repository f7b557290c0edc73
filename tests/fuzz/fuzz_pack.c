/* Packs of decoded sounds (runtime/pack.h).
 *
 *   input        control u8 (1: magic, lengths and checksum of the table are put right, 2: also those of the samples), u8
 *                of the entries that the table then has, then the file's bytes
 *   properties   opening ends; what is opened covers the file exactly, and its entries lie one behind the other; those
 *                that pass their check are finite, and when all do, writing them again gives the same bytes */
#include "fuzz.h"
#include "pack.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CONTROL_MEND = 1, CONTROL_SAMPLES = 2, CRC_AT = PACK_HEADER_BYTES - 4, COUNT_AT = 96, SAMPLES_CRC_AT = 112 };

static void put(uint8_t *at, uint64_t v, int width)
{
    for (int i = 0; i < width; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)at[i] << 8 * i;
    return v;
}

/* The samples' checksums, where they lie inside. */
static void mend_samples(uint8_t *b, size_t table, size_t entries)
{
    for (size_t i = 0; i < entries; i++) {
        uint8_t *const e = b + table + i * PACK_ENTRY_BYTES;
        const uint64_t count = get64(e + COUNT_AT), from = get64(e + COUNT_AT + 8);
        if (from <= table && count <= (table - from) / sizeof(float))
            put(e + SAMPLES_CRC_AT, crc32c(0, b + from, count * sizeof(float)), 4);
    }
}

/* What a writer would have put there. */
static void mend(uint8_t *b, size_t bytes, size_t entries, bool samples)
{
    if (bytes < PACK_HEADER_BYTES + entries * PACK_ENTRY_BYTES)
        return;
    const size_t table = bytes - entries * PACK_ENTRY_BYTES;
    memcpy(b, "WMPK", 4);
    put(b + 4, PACK_VERSION, 4);
    put(b + 12, entries, 4);
    put(b + 16, table, 8);
    put(b + 24, bytes, 8);
    if (samples)
        mend_samples(b, table, entries);
    put(b + CRC_AT, crc32c(crc32c(0, b, CRC_AT), b + table, bytes - table), 4);
}

static void check_again(const struct pack *p, const uint8_t *b, size_t bytes)
{
    char path[4096];
    uint8_t *const again = malloc(bytes + 1);
    struct pack_writer *w = NULL;
    snprintf(path, sizeof path, "%s/again.pack", fuzz_folder());
    FUZZ_CHECK(again && pack_create(path, pack_rate_hz(p), &w) == STATUS_OK);
    for (size_t i = 0; i < pack_count(p); i++) {
        const struct pack_entry *const e = pack_at(p, i);
        const struct pack_item item = {e->file, e->part, e->label};
        FUZZ_CHECK(pack_add(w, &item, e->samples, e->count) == STATUS_OK);
    }
    FUZZ_CHECK(pack_finish(&w) == STATUS_OK);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && read(fd, again, bytes + 1) == (ssize_t)bytes && memcmp(again, b, bytes) == 0);
    close(fd);
    free(again);
}

static void check_pack(const struct pack *p, const uint8_t *b, size_t bytes)
{
    uint64_t sum = PACK_HEADER_BYTES;
    bool sound = true;
    for (size_t i = 0; i < pack_count(p); i++) {
        const struct pack_entry *const e = pack_at(p, i);
        const bool good = pack_check(p, i) == STATUS_OK;
        FUZZ_CHECK(e->count > 0 && memchr(e->label, 0, PACK_LABEL) && e->part <= PACK_VALIDATION);
        FUZZ_CHECK(memcmp(e->samples, b + sum, e->count * sizeof(float)) == 0);
        for (uint64_t n = 0; good && n < e->count; n++)
            FUZZ_CHECK(isfinite(e->samples[n]));
        sum += e->count * sizeof(float);
        sound = sound && good;
    }
    FUZZ_CHECK(sum + pack_count(p) * PACK_ENTRY_BYTES == bytes);
    FUZZ_CHECK(pack_rate_hz(p) >= 1 && pack_rate_hz(p) <= PACK_RATE_MOST);
    if (sound) {
        check_again(p, b, bytes);
        fuzz_accept();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    const uint8_t control = fuzz_byte(&in);
    const size_t entries = fuzz_byte(&in), bytes = in.left;
    struct pack *p = NULL;
    uint8_t *const b = malloc(bytes ? bytes : 1);
    const int file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(b && file >= 0);
    if (bytes)
        memcpy(b, in.at, bytes);
    if (control & CONTROL_MEND)
        mend(b, bytes, entries, control & CONTROL_SAMPLES);
    FUZZ_CHECK(bytes == 0 || write(file, b, bytes) == (ssize_t)bytes);
    if (pack_open(file, "fuzz", &p) == STATUS_OK)
        check_pack(p, b, bytes);
    else
        FUZZ_CHECK(p == NULL && strncmp(status_message(), "fuzz: ", 6) == 0);
    pack_close(&p);
    close(file);
    free(b);
    return 0;
}

static void seed(const char *name, int entries, uint8_t control)
{
    static const char *const labels[] = {"kick", "", "\xc3\xa9t\xc3\xa9"};
    uint8_t b[2 + 1024] = {control, (uint8_t)entries};
    char path[4096];
    float x[16];
    struct pack_writer *w = NULL;
    snprintf(path, sizeof path, "%s/seed.pack", fuzz_folder());
    FUZZ_CHECK(pack_create(path, 44100, &w) == STATUS_OK);
    for (int i = 0; i < entries; i++) {
        struct pack_item item = {.part = i % 2 ? PACK_VALIDATION : PACK_TRAIN, .label = labels[i % 3]};
        hash_bytes(labels[i % 3], (size_t)i % 3, &item.file);
        for (int n = 0; n < 16; n++)
            x[n] = (float)(n - i) / 16;
        FUZZ_CHECK(pack_add(w, &item, x, (uint64_t)(16 >> i)) == STATUS_OK);
    }
    FUZZ_CHECK(pack_finish(&w) == STATUS_OK);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? -1 : read(fd, b + 2, sizeof b - 2);
    FUZZ_CHECK(n > 0 && n < (ssize_t)sizeof b - 2);
    close(fd);
    fuzz_seed(name, b, 2 + (size_t)n);
}

void fuzz_seeds(void)
{
    seed("one", 1, 0);
    seed("three", 3, CONTROL_MEND);
    seed("samples", 2, CONTROL_MEND | CONTROL_SAMPLES);
}
