/* pack - the sounds that a network learns from, decoded, as one file: mono signals of one rate, each with the hash of
 * the file that it comes from, its part in training and its label.
 *
 *     pack_create("d/44100.pack", 44100, &w), pack_add(w, &item, samples, count) .., pack_finish(&w)
 *     pack_open(fd, "d/44100.pack", &p), pack_at(p, i)->samples .., pack_close(&p)
 *
 *   layout    little-endian. Header, 64 bytes: magic "WMPK" | version u32 | rate in Hz u32 | entries u32 | where the
 *             table begins u64 | bytes of the file u64 | 28 zeros | CRC-32C u32 of what is before it and of the table.
 *             Then the samples, float32, of one entry right behind those of the one before; then the table, 128 bytes
 *             for each: hash 32 | label 64, zeros behind it | samples u64 | where they begin u64 | CRC-32C of them u32
 *             | part u8 | 11 zeros
 *   version   PACK_VERSION, raised when the layout changes, or what is made of a file (decoding, mixdown, change of
 *             rate): a pack of another version is made again
 *   contents  equal entries in equal order make equal bytes, so that a pack's hash says what is in it
 *   units     samples linear, full scale 1.0, finite
 *   limits    1 to PACK_ENTRIES_MOST entries of at least a sample, PACK_BYTES_MOST bytes, rates to PACK_RATE_MOST Hz,
 *             labels of at most 63 bytes of UTF-8
 *   trust     a file may hold anything: pack_open checks all but the samples before it gives anything out, pack_check
 *             the samples. It must not shrink while it is open
 *   errors    begin with the pack's name. STATUS_ARGUMENT: what is to be written is outside the limits; STATUS_FORMAT:
 *             it is not finite; STATUS_VERSION, STATUS_DAMAGED: what is read; STATUS_IO, STATUS_NOMEM */
#ifndef PACK_H
#define PACK_H
#include "hash.h"

enum { PACK_VERSION = 1, PACK_ENTRIES_MOST = 65536, PACK_LABEL = 64, PACK_RATE_MOST = 1000000 };
enum { PACK_HEADER_BYTES = 64, PACK_ENTRY_BYTES = 128 };
static const uint64_t PACK_BYTES_MOST = UINT64_C(64) << 30;

enum pack_part { PACK_TRAIN = 0, PACK_VALIDATION = 1 };

struct pack_item {
    struct hash file;
    enum pack_part part;
    const char *label;
};

/* May such an item be written? */
int pack_check_item(const struct pack_item *item) MUST_USE;

/* The file has its name when pack_finish has made it whole; an older one stays until then. */
struct pack_writer;
int pack_create(const char *path, int64_t rate_hz, struct pack_writer **out) MUST_USE;

/* An item that is refused leaves the pack as it was: others can follow. */
int pack_add(struct pack_writer *w, const struct pack_item *item, const float *samples, uint64_t count) MUST_USE;

/* Both free, pack_finish also when it fails. */
int pack_finish(struct pack_writer **w) MUST_USE;
void pack_abandon(struct pack_writer **w);

struct pack_entry {
    struct hash file;
    enum pack_part part;
    char label[PACK_LABEL];
    uint64_t count;
    const float *samples; /* [count], in the file */
    uint32_t crc;
};

/* name: for messages. The descriptor is the caller's, and not needed any more. */
struct pack;
int pack_open(int fd, const char *name, struct pack **out) MUST_USE;
void pack_close(struct pack **p);

int64_t pack_rate_hz(const struct pack *p);
size_t pack_count(const struct pack *p);
const struct pack_entry *pack_at(const struct pack *p, size_t i); /* i < pack_count */

/* Reads the samples of an entry: STATUS_DAMAGED where they are not those that were written, or not finite. */
int pack_check(const struct pack *p, size_t i) MUST_USE;

#endif
