/* A separation as far as it does not matter where its files go: the model, and stems that become objects. Those are
 * made in HOME/objects/separated, under no name or one that is swept, and go up from there (supervisor_stems.c). */
#include "item.h"
#include "paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* On another machine the message says which, and where it looked. */
static int not_there(const struct places *places, int code)
{
    char host[64] = "";
    if (!places->is_remote || code != STATUS_NOT_FOUND)
        return code;
    gethostname(host, sizeof host - 1);
    return status_context(code, "the worker on %.63s looks in %.200s/models", host, places->home ? places->home : "");
}

int stems_plan(struct item *it, struct item_separation *s, const struct separate_settings *settings,
               struct method_model *model)
{
    const struct places *const places = it->lease->places;
    const struct wire_slice name = settings->params.model;
    if (places->is_remote && name.bytes && memchr(name.data, '/', name.bytes))
        return fail(STATUS_ARGUMENT, "this worker is on another machine: it takes models of its library, by name");
    int code = not_there(places, plan_make(places->home, settings, &s->plan, model));
    if (!code && model->library.networks > 0) {
        code = library_checksum(places->home, &model->library, &s->model);
        s->has_model = code == STATUS_OK;
        code = code == STATUS_UNSUPPORTED ? STATUS_OK : code; /* a file by its path has none */
    }
    return code;
}

int stems_folder(struct item *it, struct item_separation *s)
{
    s->to_objects = it->puts.wanted = true;
    if (asprintf(&s->folder.path, "%s/separated", it->lease->places->objects) < 0) {
        s->folder.path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    return paths_make(s->folder.path);
}

void stems_describe(const struct item *it, struct kind_separate_result *out)
{
    const struct item_separation *const s = it->separation;
    out->folder = wire_str(s->to_objects ? NULL : s->folder.path);
    out->track = wire_str(s->track);
    out->model_hash = s->has_model ? (struct wire_slice){s->model.bytes, HASH_BYTES} : wire_str(NULL);
}

/* The result once more, with what the objects are called. */
static int tell(struct item *it)
{
    const struct item_separation *const s = it->separation;
    struct kind_separate_result r;
    struct kind_stem stem;
    struct wire_buffer stems = {0};
    int code = wire_decode(&kind_separate_result_schema, it->result.data, it->result.bytes, &r);
    if (code)
        return code;
    struct wire_list list = r.stems;
    if ((int)list.count != s->plan.outputs)
        return fail(STATUS_INTERNAL, "the compute child tells of %u stems, not %d", list.count, s->plan.outputs);
    for (int o = 0; !code && wire_next(&list, &kind_stem_schema, &stem); o++) {
        stem.object = (struct wire_slice){it->puts.list[o].name.bytes, HASH_BYTES};
        stem.bytes = it->puts.list[o].bytes;
        code = wire_encode(&kind_stem_schema, &stem, &stems);
    }
    r.stems = wire_list_of(&stems, (uint32_t)s->plan.outputs);
    code = code ? code : item_set_result(it, &kind_separate_result_schema, &r);
    wire_free(&stems);
    return code;
}

int item_puts_begin(struct item *it, int count)
{
    it->puts.list = calloc((size_t)count + 1, sizeof *it->puts.list);
    it->puts.count = it->puts.list ? count : 0;
    return it->puts.list ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
}

int stems_name(struct item *it)
{
    const struct item_separation *const s = it->separation;
    int code = item_puts_begin(it, s->plan.outputs);
    for (int o = 0; o < s->plan.outputs && !code; o++) {
        struct item_put *const p = &it->puts.list[o];
        p->fd = s->folder.output[o].fd;
        code = hash_file(p->fd, &p->name, &p->bytes);
    }
    return code ? code : tell(it);
}
