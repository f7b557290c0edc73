/* shape - messages that keep their table's rules, made of the bytes of an input. It reads the tables (wire.h), so a new
 * field or message takes part as soon as it is in its table.
 *
 * Random bytes hardly ever are a message; here every byte means something, and the numbers that point at jobs, items
 * and tokens are mostly small or known ones, so that events meet each other. An input of nothing but zeros makes a
 * message with its required fields only. */
#ifndef SHAPE_H
#define SHAPE_H
#include "fuzz.h"

enum { SHAPE_TOKENS = 64 };

/* Tokens that were seen: fields called token, tokens, held draw from them. */
struct shape_pool {
    uint64_t tokens[SHAPE_TOKENS];
    uint32_t count; /* of all that were ever noted; the last SHAPE_TOKENS are kept */
};

void shape_note(struct shape_pool *pool, uint64_t token);
uint64_t shape_token(const struct shape_pool *pool, struct fuzz_input *in);

/* Appends an encoded message. */
void shape_encode(const struct wire_schema *schema, struct fuzz_input *in, const struct shape_pool *pool,
                  struct wire_buffer *out);

/* The same, decoded into *message, whose slices point into *out (which is emptied before). */
void shape_message(const struct wire_schema *schema, struct fuzz_input *in, const struct shape_pool *pool,
                   struct wire_buffer *out, void *message);

/* All tables there are: of messages, kinds and the journal. */
extern const struct wire_schema *const shape_tables[];
extern const size_t shape_table_count;

/* A table by its name's hash, so that inputs stay what they are when tables are added; any hash gives one. */
const struct wire_schema *shape_table(uint16_t name_hash);
uint16_t shape_hash(const char *name);

#endif
