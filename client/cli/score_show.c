#include "score_show.h"

#include <math.h>
#include <stdio.h>

enum { TRACK_COLUMNS = 30, STEM_COLUMNS = 12 };

static double value_of(const struct kind_scores *s, int m)
{
    const double all[SCORE_MEASURES] = {s->sdr_mdx, s->si_sdr, s->bss_sdr, s->bss_isr, s->bss_sir, s->bss_sar};
    return all[m];
}

static void name_of(const struct kind_scores *s, char name[LIMIT_STEM_NAME + 1])
{
    wire_copy(s->name, name, LIMIT_STEM_NAME + 1);
}

static void table_heading(void)
{
    printf("%-*s %-*s", TRACK_COLUMNS, "track", STEM_COLUMNS, "stem");
    for (int m = 0; m < SCORE_MEASURES; m++)
        printf(" %8s", score_measure_titles[m]);
    putchar('\n');
}

static void table_row(const char *track, const char *stem, const double values[SCORE_MEASURES])
{
    char left[4 * TRACK_COLUMNS + 8], right[4 * STEM_COLUMNS + 8];
    output_fit(track, TRACK_COLUMNS, left, sizeof left);
    output_fit(stem, STEM_COLUMNS, right, sizeof right);
    printf("%s %s", left, right);
    for (int m = 0; m < SCORE_MEASURES; m++)
        if (isfinite(values[m]))
            printf(" %8.3f", values[m]);
        else
            printf(" %8s", "-");
    putchar('\n');
}

static void show_table(const struct kind_score_result *r, bool first)
{
    struct wire_list list = r->stems;
    struct kind_scores s;
    char track[LIMIT_PATH + 1];
    wire_copy(r->track, track, sizeof track);
    if (first)
        table_heading();
    for (int i = 0; i < 2; i++, list = r->mean)
        while ((i == 0 || r->stems.count > 1) && wire_next(&list, &kind_scores_schema, &s)) {
            char name[LIMIT_STEM_NAME + 1];
            double values[SCORE_MEASURES];
            name_of(&s, name);
            for (int m = 0; m < SCORE_MEASURES; m++)
                values[m] = value_of(&s, m);
            table_row(*track ? track : "-", i ? "(mean)" : name, values);
        }
}

static json_t *scores_json(const struct kind_scores *s, bool with_name)
{
    char name[LIMIT_STEM_NAME + 1];
    json_t *const out = json_object();
    bool exact;
    name_of(s, name);
    if (with_name)
        json_object_set_new(out, "name", output_path(name, &exact));
    for (int m = 0; m < SCORE_MEASURES; m++)
        json_object_set_new(out, score_measure_names[m], output_number(value_of(s, m)));
    return out;
}

void score_members(json_t *line, const struct kind_score_result *r)
{
    json_t *const params = json_object(), *const results = json_object(), *const stems = json_array();
    struct wire_list list = r->stems;
    struct kind_scores s;
    char track[LIMIT_PATH + 1];
    bool exact;
    wire_copy(r->track, track, sizeof track);
    json_object_set_new(params, "bss",
                        r->bss.bytes ? json_stringn((const char *)r->bss.data, r->bss.bytes) : json_null());
    json_object_set_new(params, "bss_taps", r->bss.bytes ? json_integer(512) : json_null());
    json_object_set_new(line, "params", params);
    json_object_set_new(results, "track", output_path(track, &exact));
    while (wire_next(&list, &kind_scores_schema, &s))
        json_array_append_new(stems, scores_json(&s, true));
    json_object_set_new(results, "stems", stems);
    list = r->mean;
    if (wire_next(&list, &kind_scores_schema, &s))
        json_object_set_new(results, "mean", scores_json(&s, false));
    json_object_set_new(line, "results", results);
}

static void show_json(const char *path, const struct kind_score_result *r)
{
    json_t *const line = output_begin(path);
    output_provenance(line, (const struct kind_provenance *)r);
    score_members(line, r);
    output_json_line(line);
}

static void show_csv(const char *path, const struct kind_score_result *r)
{
    struct wire_list list = r->stems;
    struct kind_scores s;
    while (wire_next(&list, &kind_scores_schema, &s)) {
        char name[LIMIT_STEM_NAME + 1];
        name_of(&s, name);
        output_csv_text(path);
        putchar(',');
        output_csv_text(name);
        for (int m = 0; m < SCORE_MEASURES; m++)
            if (isfinite(value_of(&s, m)))
                printf(",%.9g", value_of(&s, m));
            else
                putchar(',');
        printf(",%llu,%llu,,\n", (unsigned long long)r->rate_hz, (unsigned long long)r->frames_decoded);
    }
    fflush(stdout);
}

static int add_to_summary(struct score_summary *y, const struct kind_score_result *r)
{
    struct wire_list list = r->stems;
    struct kind_scores s;
    int code = STATUS_OK;
    for (int i = 0; i < 2; i++, list = r->mean)
        while (!code && wire_next(&list, &kind_scores_schema, &s)) {
            char name[LIMIT_STEM_NAME + 1];
            double values[SCORE_MEASURES];
            name_of(&s, name);
            for (int m = 0; m < SCORE_MEASURES; m++)
                values[m] = value_of(&s, m);
            code = score_summary_add(y, i ? NULL : name, values);
        }
    return code;
}

int score_show(const struct common *c, const char *path, struct wire_slice result, struct score_summary *y)
{
    struct kind_score_result r;
    const int code = wire_decode(&kind_score_result_schema, result.data, result.bytes, &r);
    if (code)
        return code;
    if (c->format == OUTPUT_JSON)
        show_json(path, &r);
    else if (c->format == OUTPUT_CSV)
        show_csv(path, &r);
    else
        show_table(&r, y->tracks == 0);
    return add_to_summary(y, &r);
}

static const struct score_statistics *stem_statistics(const struct score_summary *y, size_t i)
{
    return i < y->stems_count ? &y->stems[i] : &y->all;
}

static void summarise_table(const struct score_summary *y)
{
    static const char *const what[] = {"mean", "median"};
    char left[64];
    putchar('\n');
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i <= y->stems_count; i++) {
            double values[SCORE_MEASURES];
            const struct score_statistics *const s = stem_statistics(y, i);
            for (int m = 0; m < SCORE_MEASURES; m++)
                values[m] = k ? score_summary_median(s, m) : score_summary_mean(s, m);
            (void)snprintf(left, sizeof left, "%s of %llu tracks", what[k], (unsigned long long)y->tracks);
            table_row(left, s->name ? s->name : "(all stems)", values);
        }
}

/* A line of its own kind: it has no input. */
static void summarise_json(const struct score_summary *y, uint64_t failed)
{
    json_t *const line = json_object(), *const summary = json_object(), *const stems = json_array();
    json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
    json_object_set_new(line, "tool_version", json_string(WAVEMILL_VERSION));
    json_object_set_new(summary, "tracks", json_integer((json_int_t)y->tracks));
    json_object_set_new(summary, "failed", json_integer((json_int_t)failed));
    for (size_t i = 0; i <= y->stems_count; i++) {
        const struct score_statistics *const s = stem_statistics(y, i);
        json_t *const one = json_object(), *const mean = json_object(), *const median = json_object();
        bool exact;
        for (int m = 0; m < SCORE_MEASURES; m++) {
            json_object_set_new(mean, score_measure_names[m], output_number(score_summary_mean(s, m)));
            json_object_set_new(median, score_measure_names[m], output_number(score_summary_median(s, m)));
        }
        if (s->name)
            json_object_set_new(one, "name", output_path(s->name, &exact));
        json_object_set_new(one, "mean_over_tracks", mean);
        json_object_set_new(one, "median_over_tracks", median);
        if (s->name)
            json_array_append_new(stems, one);
        else
            json_object_set_new(summary, "all_stems", one);
    }
    json_object_set_new(summary, "stems", stems);
    json_object_set_new(line, "summary", summary);
    output_json_line(line);
}

void score_show_summary(const struct common *c, const struct score_summary *y, uint64_t failed)
{
    if (c->format == OUTPUT_JSON)
        summarise_json(y, failed);
    else if (c->format == OUTPUT_TABLE && y->tracks > 0)
        summarise_table(y);
    fflush(stdout);
}
