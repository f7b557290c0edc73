#include "hash.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void hash_bytes(const void *data, size_t bytes, struct hash *out)
{
    crypto_generichash(out->bytes, HASH_BYTES, data, bytes, NULL, 0);
}

void hash_short(const void *data, size_t bytes, uint8_t out[16])
{
    crypto_generichash(out, 16, data, bytes, NULL, 0);
}

/* Calls feed for the whole file, block by block. */
static int read_file(int fd, void (*feed)(void *state, const void *data, size_t bytes), void *state, uint64_t *bytes)
{
    enum { BLOCK = 64 << 10 }; /* stays in the caches, and in the heap from file to file */
    unsigned char *block = malloc(BLOCK);
    if (!block)
        return fail(STATUS_NOMEM, "hash: out of memory");
    int code = STATUS_OK;
    uint64_t at = 0;
    for (;;) {
        const ssize_t n = pread(fd, block, BLOCK, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = fail(STATUS_IO, "cannot read: %s", strerror(errno));
        if (n <= 0)
            break;
        feed(state, block, (size_t)n);
        at += (uint64_t)n;
    }
    free(block);
    if (!code && bytes)
        *bytes = at;
    return code;
}

static void feed_blake2b(void *state, const void *data, size_t bytes)
{
    crypto_generichash_update(state, data, (unsigned long long)bytes);
}

static void feed_sha256(void *state, const void *data, size_t bytes)
{
    crypto_hash_sha256_update(state, data, (unsigned long long)bytes);
}

int hash_file(int fd, struct hash *out, uint64_t *bytes)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, HASH_BYTES);
    const int code = read_file(fd, feed_blake2b, &state, bytes);
    if (!code)
        crypto_generichash_final(&state, out->bytes, HASH_BYTES);
    return code;
}

int hash_file_sha256(int fd, struct hash *out, uint64_t *bytes)
{
    _Static_assert(HASH_BYTES == crypto_hash_sha256_BYTES, "both are 256 bits");
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    const int code = read_file(fd, feed_sha256, &state, bytes);
    if (!code)
        crypto_hash_sha256_final(&state, out->bytes);
    return code;
}

struct hash_stream {
    crypto_generichash_state state;
};

struct hash_stream *hash_begin(void)
{
    struct hash_stream *s = aligned_alloc(_Alignof(struct hash_stream), sizeof *s);
    if (s)
        crypto_generichash_init(&s->state, NULL, 0, HASH_BYTES);
    return s;
}

void hash_feed(struct hash_stream *s, const void *data, size_t bytes)
{
    crypto_generichash_update(&s->state, data, (unsigned long long)bytes);
}

void hash_end(struct hash_stream **stream, struct hash *out)
{
    if (*stream && out)
        crypto_generichash_final(&(*stream)->state, out->bytes, HASH_BYTES);
    free(*stream);
    *stream = NULL;
}

void hash_hex(const struct hash *h, char out[HASH_HEX])
{
    sodium_bin2hex(out, HASH_HEX, h->bytes, HASH_BYTES);
}

int hash_parse(const char *hex, struct hash *out)
{
    size_t n = 0;
    const char *end = NULL;
    if (strlen(hex) != HASH_HEX - 1 || sodium_hex2bin(out->bytes, HASH_BYTES, hex, HASH_HEX - 1, NULL, &n, &end) != 0 ||
        n != HASH_BYTES)
        return fail(STATUS_ARGUMENT, "not a hash: %.80s", hex);
    return STATUS_OK;
}

#ifdef __x86_64__
/* The processor has an instruction for it since 2008. */
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *p, size_t bytes)
{
    uint64_t c = (uint32_t)~crc;
    for (; bytes >= 8; bytes -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        c = __builtin_ia32_crc32di(c, word);
    }
    uint32_t rest = (uint32_t)c;
    for (; bytes > 0; bytes--, p++)
        rest = __builtin_ia32_crc32qi(rest, *p);
    return ~rest;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, data, bytes);
#endif
    /* Four bits at a time: table of 16, no initialisation to race on; records are small. */
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
                                       0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
                                       0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    const unsigned char *p = data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
