#include "object_peer.h"

#include "objects.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

uint8_t *object_noise(size_t bytes, uint64_t seed, struct hash *name)
{
    uint8_t *data = malloc(bytes + 8);
    REQUIRE(data != NULL);
    for (size_t i = 0; i < bytes; i += 8) {
        const uint64_t r = test_random(&seed);
        memcpy(data + i, &r, 8);
    }
    hash_bytes(data, bytes, name);
    return data;
}

int64_t object_put(struct peer_end *p, const struct hash *name, uint64_t size, uint64_t offset, const void *data,
                   size_t bytes, bool *whole)
{
    const struct message_put m = {
        .object = {name->bytes, HASH_BYTES}, .size = size, .offset = offset, .data = {data, (uint32_t)bytes}};
    struct message_stored s;
    struct message_error e;
    REQUIRE(peer_send(p, MESSAGE_PUT, &put_schema, &m));
    const int type = peer_receive(p, PEER_PATIENCE_MS);
    REQUIRE(p->packet.header.seq == p->seq);
    if (type == MESSAGE_ERROR && peer_decode(p, &error_schema, &e))
        return -(int64_t)e.code;
    REQUIRE(type == MESSAGE_STORED && peer_decode(p, &stored_schema, &s));
    CHECK(s.object.bytes == HASH_BYTES && memcmp(s.object.data, name, HASH_BYTES) == 0);
    if (whole)
        *whole = s.whole;
    return (int64_t)s.offset;
}

int64_t object_ask(struct peer_end *p, const struct hash *name, uint64_t size, bool *whole)
{
    return object_put(p, name, size, 0, NULL, 0, whole);
}

bool object_put_all(struct peer_end *p, const struct hash *name, const uint8_t *data, size_t size)
{
    bool whole = false;
    int64_t at = 0;
    while (!whole && at >= 0) {
        const size_t left = size - (size_t)at, bytes = left < LIMIT_CHUNK ? left : LIMIT_CHUNK;
        at = object_put(p, name, size, (uint64_t)at, data + at, bytes, &whole);
    }
    return whole;
}

void object_path(const struct hash *name, char path[256])
{
    objects_path("objects/queue", name, path, 256);
}
