#include "messages.h"

#define MESSAGE_SCHEMA(name, table) WIRE_SCHEMA(name##_schema, struct message_##name, table, #name)

MESSAGE_TABLES(MESSAGE_SCHEMA)

static const char *name_of(const char *const *names, size_t count, uint64_t i)
{
    return i < count && names[i] ? names[i] : "unknown";
}

const char *job_state_name(uint64_t state)
{
    static const char *const names[] = {"open", "active", "done", "cancelled"};
    return name_of(names, sizeof names / sizeof *names, state);
}

const char *item_state_name(uint64_t state)
{
    static const char *const names[] = {"queued", "leased", "done", "dead", "cancelled"};
    return name_of(names, sizeof names / sizeof *names, state);
}

const char *wire_error_name(uint64_t error)
{
    static const char *const names[] = {NULL,        "version", "type", "body",    "limit",
                                        "not_found", "state",   "busy", "session", "conflict"};
    return name_of(names, sizeof names / sizeof *names, error);
}
