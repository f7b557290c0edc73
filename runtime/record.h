/* record - the bytes of one value in the feature store: header, result map, array or the hash of the object that holds
 * it.
 *
 *   layout    little-endian: magic "WMR1" | version u16 | kind u16 | total bytes u32
 *             | CRC-32C u32 (of all that follows) | made unix ms u64 | backend u8 | isa u8 | dtype u8 | place u8
 *             | code version 16 | device 24 | bins u32 | frames u64 | result bytes u32 | array bytes u64
 *             | result | array, or 32 bytes of object hash
 *   version   RECORD_VERSION; a record of another version is recomputed, never guessed at. Changing this layout
 *             means raising the number
 *   errors    STATUS_DAMAGED: magic, length or CRC do not fit; STATUS_VERSION: another version */
#ifndef RECORD_H
#define RECORD_H
#include "hash.h"
#include "npy.h"
#include "ragged.h"

enum { RECORD_VERSION = 1, RECORD_HEADER_BYTES = 92, RECORD_INLINE_MAX = 1 << 20 };

/* Feature kinds: part of the store's key, never renumbered. */
enum feature_kind {
    FEATURE_SUMMARY = 1, /* the default analysis of a file */
    FEATURE_STFT = 2,
    FEATURE_MEL = 3,
    FEATURE_LOGMEL = 4,
    FEATURE_RMS = 5,
    FEATURE_PEAK = 6,
    FEATURE_ZCR = 7,
    FEATURE_CENTROID = 8,
    FEATURE_MFCC = 9,
    FEATURE_BANDWIDTH = 10,
    FEATURE_ROLLOFF = 11,
    FEATURE_FLATNESS = 12,
    FEATURE_CONTRAST = 13,
    FEATURE_FLUX = 14,
    FEATURE_REFUSAL = 15, /* why a file cannot be read: so that it is not tried at every run */
    FEATURE_POLY = 16,
    FEATURE_MAGNITUDE = 17, /* |stft| */
    FEATURE_POWER = 18,     /* |stft|^2 */
    FEATURE_DB = 19,        /* |stft|^2 in decibels */
    FEATURE_SAMPLES = 20,   /* the signal itself: `frames` are its samples, `bins` its channels */
    FEATURE_KINDS = 32      /* numbers stay below; tables of counts have this many places */
};

const char *feature_name(enum feature_kind kind);                     /* "stft"; "unknown" */
int feature_parse(const char *name, enum feature_kind *out) MUST_USE; /* STATUS_ARGUMENT lists the names */

/* Of its .npy file: [bins, frames]; a signal's is [samples], or [samples, channels]. */
int feature_npy_header(enum feature_kind kind, enum dtype dtype, int64_t bins, int64_t frames,
                       char out[NPY_HEADER_BYTES]) MUST_USE;

enum record_place { RECORD_NO_ARRAY = 0, RECORD_INLINE = 1, RECORD_OBJECT = 2 };

struct record {
    uint16_t kind;
    uint8_t backend, isa, dtype, place;
    char code_version[16], device[24];
    uint64_t made_unix_ms;
    uint32_t bins;
    uint64_t frames;
    const void *result; /* msgpack map (kinds.h) */
    uint32_t result_bytes;
    const void *array; /* place RECORD_INLINE: [frames][bins] */
    uint64_t array_bytes;
    struct hash object; /* place RECORD_OBJECT */
};

size_t record_bytes(const struct record *r);
void record_encode(const struct record *r, void *out); /* record_bytes(r) bytes */

/* Points into data. */
int record_decode(const void *data, size_t bytes, struct record *out) MUST_USE;

/* The same without the checksum, which would read all of a large array: for who needs sizes, dates and objects only. */
int record_peek(const void *data, size_t bytes, struct record *out) MUST_USE;

#endif
