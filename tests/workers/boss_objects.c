/* The boss's objects: a few blocks of memory. */
#include "boss.h"
#include "hash.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static struct boss_object *find(struct boss *b, const uint8_t *name)
{
    for (int i = 0; i < b->object_count; i++)
        if (memcmp(b->objects[i].name, name, LIMIT_OBJECT) == 0)
            return &b->objects[i];
    return NULL;
}

static struct boss_object *make(struct boss *b, const uint8_t *name, size_t size)
{
    REQUIRE(b->object_count < BOSS_OBJECTS);
    struct boss_object *o = &b->objects[b->object_count++];
    *o = (struct boss_object){.data = malloc(size + 1), .size = size};
    REQUIRE(o->data != NULL);
    memcpy(o->name, name, sizeof o->name);
    return o;
}

const uint8_t *boss_object(struct boss *b, const void *data, size_t bytes)
{
    struct hash h;
    hash_bytes(data, bytes, &h);
    struct boss_object *o = make(b, h.bytes, bytes);
    memcpy(o->data, data, bytes);
    o->bytes = bytes;
    return o->name;
}

static void on_put(struct boss *b, const struct packet *p)
{
    struct message_put m;
    REQUIRE(packet_decode(p, &put_schema, &m) == STATUS_OK && m.object.bytes == LIMIT_OBJECT);
    struct boss_object *o = find(b, m.object.data);
    if (!o)
        o = make(b, m.object.data, m.size);
    o->puts++;
    if (o->bytes < o->size || !o->size) { /* else it is there already, perhaps by another item's doing */
        CHECK(m.size == o->size && (m.data.bytes == 0 || m.offset == o->bytes) && m.data.bytes <= o->size - o->bytes);
        if (m.data.bytes)
            memcpy(o->data + o->bytes, m.data.data, m.data.bytes);
        o->bytes += m.data.bytes;
    }
    boss_send(b, MESSAGE_STORED, p->header.seq, &stored_schema,
              &(struct message_stored){.object = m.object, .offset = o->bytes, .whole = o->bytes == o->size});
}

static void on_get(struct boss *b, const struct packet *p)
{
    struct message_get m;
    REQUIRE(packet_decode(p, &get_schema, &m) == STATUS_OK && m.object.bytes == LIMIT_OBJECT);
    struct boss_object *o = find(b, m.object.data);
    if (!o || o->bytes < o->size) {
        boss_error(b, p->header.seq, ERROR_NOT_FOUND);
        return;
    }
    o->gets++;
    REQUIRE(m.offset <= o->size);
    const size_t left = o->size - m.offset, bytes = left < m.bytes ? left : m.bytes;
    uint8_t *copy = malloc(bytes + 1);
    REQUIRE(copy != NULL);
    memcpy(copy, o->data + m.offset, bytes);
    copy[0] ^= b->flips;
    boss_send(b, MESSAGE_CHUNK, p->header.seq, &chunk_schema,
              &(struct message_chunk){
                  .object = m.object, .size = o->size, .offset = m.offset, .data = {copy, (uint32_t)bytes}});
    free(copy);
}

static void on_checkpoint(struct boss *b, const struct packet *p)
{
    struct message_checkpoint m;
    REQUIRE(packet_decode(p, &checkpoint_schema, &m) == STATUS_OK && m.object.bytes == LIMIT_OBJECT);
    const struct boss_object *o = find(b, m.object.data);
    CHECK(o && o->bytes == o->size); /* the object comes first */
    b->checkpoints++;
    b->checkpoint.token = m.token;
    b->checkpoint.progress = m.progress;
    memcpy(b->checkpoint.object, m.object.data, LIMIT_OBJECT);
    boss_send(b, MESSAGE_SAVED, p->header.seq, &verdict_schema,
              &(struct message_verdict){.token = m.token, .verdict = COMMIT_COMMITTED});
}

bool boss_serves_objects(struct boss *b, const struct packet *p)
{
    const uint8_t type = p->header.type;
    if (type != MESSAGE_PUT && type != MESSAGE_GET && type != MESSAGE_CHECKPOINT)
        return false;
    if (b->old || b->busy > 0) {
        boss_error(b, p->header.seq, b->old ? ERROR_TYPE : ERROR_BUSY);
        b->busy -= b->busy > 0;
        return true;
    }
    if (type == MESSAGE_PUT)
        on_put(b, p);
    else if (type == MESSAGE_GET)
        on_get(b, p);
    else
        on_checkpoint(b, p);
    return true;
}
