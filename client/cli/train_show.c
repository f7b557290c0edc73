#include "train_show.h"

#include "cli.h"

void train_show_previews(const struct common *c, const char *model, const char *folder, const char *text)
{
    json_t *const v = json_loads(text, 0, NULL);
    json_t *const step = json_object_get(v, "step");
    if (v && c->format == OUTPUT_JSON) {
        output_json_line(json_pack("{s:i, s:s, s:O}", "schema", OUTPUT_SCHEMA, "model", model, "previews", step));
    } else if (v && !c->quiet) {
        fprintf(stderr, "step %7lld   previews of %lld sounds: ", (long long)json_integer_value(step),
                (long long)json_integer_value(json_object_get(v, "sounds")));
        output_plain(stderr, folder);
        fputs("/previews\n", stderr);
    }
    json_decref(v);
}
