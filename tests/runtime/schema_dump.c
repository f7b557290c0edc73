/* Prints every message table as the Markdown that PROTOCOL.md holds; a test compares the two. */
#include "kinds.h"

#include <stdio.h>
#include <string.h>

static const char *type_name(int type)
{
    static const char *const names[] = {"uint", "int", "float", "bool", "str", "bin", "list", "uints", "strs"};
    return names[type];
}

static void dump(const struct wire_schema *s)
{
    printf("| `%s` | ", s->name);
    for (size_t i = 0; i < s->count; i++) {
        const struct wire_field *f = &s->fields[i];
        printf("%s%d %s: %s", i ? ", " : "", f->key, f->name, type_name(f->type));
        if (f->element)
            printf(" of `%s`", f->element->name);
        if (f->max)
            printf(" <= %u", f->max);
        if (f->required)
            printf(" **!**");
    }
    printf(" |\n");
}

int main(void)
{
#define DUMP_MESSAGE(name, table) dump(&name##_schema);
#define DUMP_KIND(name, table) dump(&kind_##name##_schema);
    MESSAGE_TABLES(DUMP_MESSAGE)
    KIND_TABLES(DUMP_KIND)
    return 0;
}
