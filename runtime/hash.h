/* hash - BLAKE2b-256 (libsodium; `b2sum -l 256` prints the same) for contents, SHA-256 for files of others, CRC-32C for
 * records. */
#ifndef HASH_H
#define HASH_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { HASH_BYTES = 32, HASH_HEX = 2 * HASH_BYTES + 1 };

struct hash {
    uint8_t bytes[HASH_BYTES];
};

void hash_bytes(const void *data, size_t bytes, struct hash *out);

/* The first 16 bytes' worth of a BLAKE2b-128: for parameters. */
void hash_short(const void *data, size_t bytes, uint8_t out[16]);

/* The whole file behind fd, from its start, whatever its position. *bytes gets its length; may be NULL.
 * STATUS_IO names the system's reason. */
int hash_file(int fd, struct hash *out, uint64_t *bytes) MUST_USE;

/* The same with SHA-256, which is what others publish of their files. */
int hash_file_sha256(int fd, struct hash *out, uint64_t *bytes) MUST_USE;

/* Bytes that come bit by bit. hash_end gives the hash and frees; hash_end(&s, NULL) only frees. NULL: out of memory. */
struct hash_stream;
struct hash_stream *hash_begin(void);
void hash_feed(struct hash_stream *s, const void *data, size_t bytes);
void hash_end(struct hash_stream **s, struct hash *out);

void hash_hex(const struct hash *h, char out[HASH_HEX]);

/* STATUS_ARGUMENT when the text is not 64 hex digits. */
int hash_parse(const char *hex, struct hash *out) MUST_USE;

/* Castagnoli polynomial, as iSCSI and LMDB's peers use it; start with crc = 0, feed on for more. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

#endif
