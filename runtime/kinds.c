#include "kinds.h"

#define KIND_SCHEMA(name, table) WIRE_SCHEMA(kind_##name##_schema, struct kind_##name, table, #name)

KIND_TABLES(KIND_SCHEMA)
