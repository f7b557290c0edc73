#include "outcome_show.h"

#include "separate_show.h"

#include <string.h>

enum outcome_kind outcome_kind_of(struct wire_slice kind)
{
    static const struct {
        const char *name;
        enum outcome_kind kind;
    } kinds[] = {{KIND_NOOP, OUTCOME_NOOP},
                 {KIND_SEPARATE, OUTCOME_SEPARATE},
                 {KIND_SEPARATE_OBJECTS, OUTCOME_SEPARATE},
                 {KIND_SCORE, OUTCOME_SCORE},
                 {KIND_SCORE_OBJECTS, OUTCOME_SCORE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kind.bytes == strlen(kinds[i].name) && memcmp(kind.data, kinds[i].name, kind.bytes) == 0)
            return kinds[i].kind;
    return OUTCOME_OTHER;
}

static const struct kind_separate_result *in_folder(struct kind_separate_result *r, const char *folder)
{
    if (folder)
        r->folder = wire_str(folder);
    return r;
}

static void add_noop(json_t *line, struct wire_slice result)
{
    json_t *const results = json_object();
    struct kind_noop_result n;
    if (!wire_decode(&kind_noop_result_schema, result.data, result.bytes, &n)) {
        json_object_set_new(results, "time_s", output_number(n.seconds));
        json_object_set_new(results, "payload_bytes", json_integer((json_int_t)n.payload.bytes));
        json_object_set_new(results, "resumed_from", output_number(n.resumed_from));
    }
    json_object_set_new(line, "results", results);
}

void outcome_members(enum outcome_kind kind, json_t *line, struct wire_slice result, const char *folder)
{
    struct kind_provenance p;
    struct kind_separate_result stems;
    struct kind_score_result scores;
    if (kind == OUTCOME_NOOP) {
        add_noop(line, result);
        return;
    }
    if (json_object_get(line, "input") && !wire_decode(&kind_provenance_schema, result.data, result.bytes, &p))
        output_provenance(line, &p);
    if (kind == OUTCOME_SEPARATE && !wire_decode(&kind_separate_result_schema, result.data, result.bytes, &stems))
        separate_members(line, in_folder(&stems, folder));
    else if (kind == OUTCOME_SCORE && !wire_decode(&kind_score_result_schema, result.data, result.bytes, &scores))
        score_members(line, &scores);
    else
        json_object_set_new(line, "results", json_object());
}

int outcome_details(enum outcome_kind kind, const struct common *c, const char *path, struct wire_slice result,
                    const char *folder, struct score_summary *y)
{
    struct kind_separate_result stems;
    if (kind == OUTCOME_SCORE)
        return score_show(c, path, result, y);
    if (kind != OUTCOME_SEPARATE)
        return STATUS_OK;
    const int code = wire_decode(&kind_separate_result_schema, result.data, result.bytes, &stems);
    if (!code)
        separate_show_stems(c, path, in_folder(&stems, folder));
    return code;
}
