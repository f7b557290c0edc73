/* The checksum of a whole model, from what its import has written down. */
#include "library.h"

#include <stdio.h>
#include <string.h>

static int hash_of_file(const json_t *model, const char *name, struct hash *out)
{
    size_t i;
    const json_t *file;
    json_array_foreach(json_object_get(model, "files"), i, file)
    {
        const char *const text = json_string_value(json_object_get(file, "name"));
        if (text && strcmp(text, name) == 0)
            return hash_parse(json_string_value(json_object_get(file, "blake2b")), out);
    }
    return fail(STATUS_DAMAGED, "model.json does not name %.100s", name);
}

static void feed_number(struct hash_stream *h, double number)
{
    char text[32];
    hash_feed(h, text, (size_t)snprintf(text, sizeof text, "%.17g\n", number));
}

int library_checksum(const char *home, const struct library_model *m, struct hash *out)
{
    char folder[sizeof m->folder];
    json_t *model = NULL;
    struct hash file;
    if (snprintf(folder, sizeof folder, "%s/models/%s", home, m->name) >= (int)sizeof folder ||
        strcmp(folder, m->folder) != 0)
        return fail(STATUS_UNSUPPORTED, "%.200s is not of the library", m->name);
    int code = library_show(home, m->name, &model);
    struct hash_stream *h = code ? NULL : hash_begin();
    if (!code && !h)
        code = fail(STATUS_NOMEM, "library: out of memory");
    if (h)
        feed_number(h, m->segment_s);
    for (int i = 0; i < m->networks && !code; i++) {
        code = hash_of_file(model, m->network[i].file, &file);
        if (!code)
            hash_feed(h, file.bytes, HASH_BYTES);
        for (int k = 0; k < m->stems && !code; k++)
            feed_number(h, m->network[i].weight[k]);
    }
    if (h)
        hash_end(&h, code ? NULL : out);
    json_decref(model);
    return code;
}
