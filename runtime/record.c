#include "record.h"

#include <stdbool.h>
#include <string.h>

static const char *const feature_names[FEATURE_KINDS] = {
    [FEATURE_SUMMARY] = "summary",
    [FEATURE_STFT] = "stft",
    [FEATURE_MEL] = "mel",
    [FEATURE_LOGMEL] = "logmel",
    [FEATURE_RMS] = "rms",
    [FEATURE_PEAK] = "peak",
    [FEATURE_ZCR] = "zcr",
    [FEATURE_CENTROID] = "centroid",
    [FEATURE_MFCC] = "mfcc",
    [FEATURE_BANDWIDTH] = "bandwidth",
    [FEATURE_ROLLOFF] = "rolloff",
    [FEATURE_FLATNESS] = "flatness",
    [FEATURE_CONTRAST] = "contrast",
    [FEATURE_FLUX] = "flux",
    [FEATURE_REFUSAL] = "refusal",
    [FEATURE_POLY] = "poly",
    [FEATURE_MAGNITUDE] = "magnitude",
    [FEATURE_POWER] = "power",
    [FEATURE_DB] = "db",
    [FEATURE_SAMPLES] = "samples",
};

const char *feature_name(enum feature_kind kind)
{
    return (unsigned)kind < FEATURE_KINDS && feature_names[kind] ? feature_names[kind] : "unknown";
}

int feature_parse(const char *name, enum feature_kind *out)
{
    for (int k = FEATURE_STFT; k < FEATURE_KINDS; k++)
        if (k != FEATURE_REFUSAL && feature_names[k] && strcmp(name, feature_names[k]) == 0) {
            *out = (enum feature_kind)k;
            return STATUS_OK;
        }
    return fail(
        STATUS_ARGUMENT,
        "no feature '%.32s'; there are stft, magnitude, power, db, mel, logmel, mfcc, rms, peak, zcr, centroid, "
        "bandwidth, rolloff, flatness, contrast, flux, poly, samples",
        name);
}

int feature_npy_header(enum feature_kind kind, enum dtype dtype, int64_t bins, int64_t frames,
                       char out[NPY_HEADER_BYTES])
{
    if (kind != FEATURE_SAMPLES)
        return npy_header(dtype, bins, frames, out);
    if (dtype != DTYPE_F32)
        return fail(STATUS_ARGUMENT, "npy: a signal of type %d", (int)dtype);
    return npy_signal_header(bins, frames, out);
}

static void put(unsigned char **at, uint64_t v, int width)
{
    for (int i = 0; i < width; i++)
        *(*at)++ = (unsigned char)(v >> 8 * i);
}

static uint64_t get(const unsigned char **at, int width)
{
    uint64_t v = 0;
    for (int i = 0; i < width; i++)
        v |= (uint64_t) * (*at)++ << 8 * i;
    return v;
}

static size_t tail_bytes(const struct record *r)
{
    return r->place == RECORD_INLINE ? r->array_bytes : r->place == RECORD_OBJECT ? HASH_BYTES : 0;
}

size_t record_bytes(const struct record *r)
{
    return RECORD_HEADER_BYTES + r->result_bytes + tail_bytes(r);
}

void record_encode(const struct record *r, void *out)
{
    const size_t total = record_bytes(r);
    unsigned char *at = out, *crc_at;
    memcpy(at, "WMR1", 4);
    at += 4;
    put(&at, RECORD_VERSION, 2);
    put(&at, r->kind, 2);
    put(&at, total, 4);
    crc_at = at;
    at += 4;
    put(&at, r->made_unix_ms, 8);
    put(&at, r->backend, 1);
    put(&at, r->isa, 1);
    put(&at, r->dtype, 1);
    put(&at, r->place, 1);
    memcpy(at, r->code_version, sizeof r->code_version);
    at += sizeof r->code_version;
    memcpy(at, r->device, sizeof r->device);
    at += sizeof r->device;
    put(&at, r->bins, 4);
    put(&at, r->frames, 8);
    put(&at, r->result_bytes, 4);
    put(&at, r->array_bytes, 8);
    if (r->result_bytes)
        memcpy(at, r->result, r->result_bytes);
    at += r->result_bytes;
    if (r->place == RECORD_INLINE && r->array_bytes)
        memcpy(at, r->array, r->array_bytes);
    if (r->place == RECORD_OBJECT)
        memcpy(at, r->object.bytes, HASH_BYTES);
    put(&crc_at, crc32c(0, (unsigned char *)out + 16, total - 16), 4);
}

static int decode(const void *data, size_t bytes, bool check, struct record *out)
{
    const unsigned char *at = data;
    if (bytes < RECORD_HEADER_BYTES || memcmp(at, "WMR1", 4) != 0)
        return fail(STATUS_DAMAGED, "store: a record of %zu bytes without its header", bytes);
    at += 4;
    const uint16_t version = (uint16_t)get(&at, 2);
    struct record r = {.kind = (uint16_t)get(&at, 2)};
    const uint64_t total = get(&at, 4);
    const uint32_t crc = (uint32_t)get(&at, 4);
    if (total != bytes || (check && crc32c(0, (const unsigned char *)data + 16, bytes - 16) != crc))
        return fail(STATUS_DAMAGED, "store: a record of %zu bytes fails its checksum", bytes);
    if (version != RECORD_VERSION)
        return fail(STATUS_VERSION, "store: a record of version %u, this program writes %u", version, RECORD_VERSION);
    r.made_unix_ms = get(&at, 8);
    r.backend = (uint8_t)get(&at, 1);
    r.isa = (uint8_t)get(&at, 1);
    r.dtype = (uint8_t)get(&at, 1);
    r.place = (uint8_t)get(&at, 1);
    memcpy(r.code_version, at, sizeof r.code_version);
    at += sizeof r.code_version;
    memcpy(r.device, at, sizeof r.device);
    at += sizeof r.device;
    r.code_version[sizeof r.code_version - 1] = r.device[sizeof r.device - 1] = '\0';
    r.bins = (uint32_t)get(&at, 4);
    r.frames = get(&at, 8);
    r.result_bytes = (uint32_t)get(&at, 4);
    r.array_bytes = get(&at, 8);
    if (r.place > RECORD_OBJECT || r.result_bytes > bytes - RECORD_HEADER_BYTES || record_bytes(&r) != bytes)
        return fail(STATUS_DAMAGED, "store: a record's lengths disagree");
    r.result = at;
    at += r.result_bytes;
    if (r.place == RECORD_INLINE)
        r.array = at;
    else if (r.place == RECORD_OBJECT)
        memcpy(r.object.bytes, at, HASH_BYTES);
    *out = r;
    return STATUS_OK;
}

int record_decode(const void *data, size_t bytes, struct record *out)
{
    return decode(data, bytes, true, out);
}

int record_peek(const void *data, size_t bytes, struct record *out)
{
    return decode(data, bytes, false, out);
}
