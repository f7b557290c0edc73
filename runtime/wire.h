/* wire - the bytes of every message: MessagePack maps with small integer keys, described by schema tables.
 *
 * One table per message serves both directions. Packing is msgpack-c's. Decoding is our own bounded pull parser,
 * because a generic unpacker believes a five-byte message that claims four billion elements: here a claimed count
 * never exceeds the bytes that are left, depth ends at WIRE_DEPTH, and nothing is allocated.
 *
 *   decode    unknown keys are skipped (newer peers may send more); a duplicate key, a wrong type, a number out of
 *             range, a value over its field's maximum, a missing required field and trailing bytes are STATUS_FORMAT
 *   lifetime  slices and lists point into the caller's bytes
 *   encode    an optional field at its default (0, false, empty, NaN for WIRE_F64) is left out */
#ifndef WIRE_H
#define WIRE_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WIRE_DEPTH = 8 };

enum wire_type {
    WIRE_UINT,  /* uint64_t; max is the largest value, 0: any */
    WIRE_INT,   /* int64_t, within +-max when max is not 0 */
    WIRE_F64,   /* double; absent is NaN; infinities and NaN never travel */
    WIRE_BOOL,  /* bool */
    WIRE_STR,   /* struct wire_slice, UTF-8; max bytes */
    WIRE_BIN,   /* struct wire_slice; max bytes */
    WIRE_LIST,  /* struct wire_list of maps of `element`; max elements */
    WIRE_UINTS, /* struct wire_list of unsigned numbers; max elements */
    WIRE_STRS   /* struct wire_list of strings; max elements */
};

struct wire_slice {
    const uint8_t *data;
    uint32_t bytes;
};

struct wire_list {
    const uint8_t *data; /* the encoded elements, without the array's header */
    uint32_t bytes;
    uint32_t count;
};

struct wire_field {
    uint8_t key;
    uint8_t type; /* enum wire_type */
    bool required;
    uint16_t offset; /* of the member in the message's struct */
    uint32_t max;
    const char *name;
    const struct wire_schema *element;
};

struct wire_schema {
    const char *name;
    const struct wire_field *fields;
    size_t count;
    size_t bytes; /* sizeof the message's struct */
};

/* Fills *out (schema->bytes). STATUS_FORMAT names the message and the field; *out is then undefined. */
int wire_decode(const struct wire_schema *schema, const void *data, size_t bytes, void *out) MUST_USE;

/* Iteration over a list that wire_decode has validated: false at the end. */
bool wire_next(struct wire_list *list, const struct wire_schema *element, void *out);
bool wire_next_uint(struct wire_list *list, uint64_t *out);
bool wire_next_str(struct wire_list *list, struct wire_slice *out);

/* A growing buffer; zero-initialise, wire_free when done. */
struct wire_buffer {
    uint8_t *data;
    size_t bytes, capacity;
};

int wire_encode(const struct wire_schema *schema, const void *in, struct wire_buffer *out) MUST_USE; /* appends */
int wire_append(struct wire_buffer *out, const void *data, size_t bytes) MUST_USE;
int wire_append_uint(struct wire_buffer *out, uint64_t value) MUST_USE;  /* one element of a WIRE_UINTS list */
int wire_append_str(struct wire_buffer *out, const char *text) MUST_USE; /* one element of a WIRE_STRS list */
void wire_free(struct wire_buffer *b);

/* The list that a buffer of `count` appended elements is. */
static inline struct wire_list wire_list_of(const struct wire_buffer *b, uint32_t count)
{
    return (struct wire_list){b->data, (uint32_t)b->bytes, count};
}

struct wire_slice wire_str(const char *text); /* borrows; NULL is empty */

/* Copies a slice as a string into out[capacity], cut to fit. */
void wire_copy(struct wire_slice s, char *out, size_t capacity);

bool wire_is_utf8(const void *data, size_t bytes);

/* The second frame of a message: type, flags, minor version, sequence number. */
enum { WIRE_HEADER_BYTES = 8, WIRE_MAJOR = 1, WIRE_MINOR = 1, WIRE_BODY_MAX = 1 << 20 };
#define WIRE_MAGIC "WML\x01" /* the first frame: name and major version */

struct wire_header {
    uint8_t type;
    uint8_t flags;
    uint16_t minor;
    uint32_t seq;
};

void wire_header_encode(const struct wire_header *h, uint8_t out[WIRE_HEADER_BYTES]);
void wire_header_decode(const uint8_t in[WIRE_HEADER_BYTES], struct wire_header *h);

#endif
