#include "sweep_show.h"

#include "train_begun.h"

#include <math.h>
#include <string.h>

enum { TEXT = 256 };

/* The settings without what all of a sweep have alike. */
static json_t *settings_of(const json_t *all, size_t trial)
{
    json_t *const settings = json_copy(json_array_get(json_object_get(all, "trials"), trial));
    json_object_del(settings, "schema");
    json_object_del(settings, "dataset");
    return settings;
}

/* ---- the plan ---- */

static void show_planned(const char *name, const struct sweep_plan *p, size_t trial)
{
    char text[TEXT];
    json_t *const steps = json_array();
    sweep_trial_text(&p->trials[trial], text, sizeof text);
    for (int64_t r = 0; r < p->h.rounds; r++)
        json_array_append_new(steps, json_integer((json_int_t)sweep_plan_steps(p, trial, r)));
    output_json_line(json_pack("{s:i, s:s, s:I, s:s, s:o}", "schema", OUTPUT_SCHEMA, "sweep", name, "trial",
                               (json_int_t)trial, "settings", text, "steps", steps));
}

/* Trainings of one preset stop at the same steps. */
static void show_round(const struct sweep_plan *p, int64_t round)
{
    printf("round %lld of %lld: %lld trainings to step", (long long)round + 1, (long long)p->h.rounds,
           (long long)halving_members_most(&p->h, round));
    const char *shown = "";
    for (int64_t i = 0; i < p->h.trials; i++)
        if (strcmp(shown, p->trials[i].preset) != 0) {
            printf("%s %lld (%s)", *shown ? "," : "", (long long)sweep_plan_steps(p, (size_t)i, round),
                   p->trials[i].preset);
            shown = p->trials[i].preset;
        }
    putchar('\n');
}

void sweep_show_plan(const struct common *c, const char *name, const struct sweep_plan *p)
{
    for (int64_t r = 0; r < p->h.rounds && c->format != OUTPUT_JSON; r++)
        show_round(p, r);
    if (!isnan(p->judge) && c->format != OUTPUT_JSON)
        printf("score: reconstruction + %.4g times the divergence\n", p->judge);
    for (int64_t i = 0; i < p->h.trials; i++) {
        char text[TEXT];
        if (c->format == OUTPUT_JSON) {
            show_planned(name, p, (size_t)i);
            continue;
        }
        sweep_trial_text(&p->trials[i], text, sizeof text);
        printf("trial %3lld: %s\n", (long long)i, text);
    }
}

/* ---- on the way ---- */

void sweep_show_progress(const struct halving *h, const struct sweep_trial *t, const struct kind_sweep_result *r)
{
    char text[TEXT];
    sweep_trial_text(t, text, sizeof text);
    fprintf(stderr, "round %llu of %lld   trial %3llu   %7llu steps   score %10.5f   loss %10.5f   %s\n",
            (unsigned long long)r->round + 1, (long long)h->rounds, (unsigned long long)r->trial,
            (unsigned long long)r->steps, r->score, r->validation_loss, text);
}

/* ---- the table ---- */

static double real_of(const json_t *row, const char *name)
{
    const json_t *const v = json_object_get(row, name);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static long long whole_of(const json_t *row, const char *name)
{
    return (long long)json_integer_value(json_object_get(row, name));
}

static const char *text_of(const json_t *row, const char *name)
{
    const char *const text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

/* What trained it; "-" is not known: nothing came of it. */
static const char *place_of(const json_t *row)
{
    const char *const place = text_of(row, "place");
    return *place ? place : "-";
}

static int place_width(const json_t *rows)
{
    size_t width = strlen("place");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const size_t n = strlen(place_of(json_array_get(rows, i)));
        width = n > width ? n : width;
    }
    return (int)width;
}

/* A trial that never moved was trained where its last round was: so these are all the places. */
static void warn_of_places(const json_t *rows)
{
    const char *places[2] = {"", ""};
    long long moved = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *const row = json_array_get(rows, i);
        const char *const place = text_of(row, "place");
        moved += whole_of(row, "moves") > 0;
        if (*place && strcmp(place, places[0]) != 0)
            places[*places[0] ? 1 : 0] = place;
    }
    if (!*places[1] && !moved)
        return;
    fputs("wavemill sweep: trained in more than one place: ", stderr);
    output_plain(stderr, places[0]);
    if (*places[1]) {
        fputs(", ", stderr);
        output_plain(stderr, places[1]);
    }
    if (moved)
        fprintf(stderr, "; %lld of the trials moved on the way", moved);
    fputs(". Losses are rounded otherwise there: close ranks may hang on that\n", stderr);
}

static void show_json(const char *name, const json_t *all, const json_t *row)
{
    json_t *const line = json_pack("{s:i, s:s}", "schema", OUTPUT_SCHEMA, "sweep", name);
    json_object_update(line, (json_t *)row);
    json_object_set_new(line, "settings", settings_of(all, (size_t)whole_of(row, "trial")));
    output_json_line(line);
}

static void show_real(double x)
{
    if (isfinite(x))
        printf("%.9g", x);
    putchar(',');
}

static void show_csv(const json_t *all, const json_t *row)
{
    static const char *const reals[] = {"score", "validation_loss", "reconstruction", "kl_nats"};
    static const char *const parameters[] = {"latent", "rate", "beta", "dropout", "weight_decay"};
    json_t *const settings = settings_of(all, (size_t)whole_of(row, "trial"));
    printf("%lld,%lld,%s,%lld,%lld,", whole_of(row, "rank"), whole_of(row, "trial"), text_of(row, "state"),
           whole_of(row, "rounds"), whole_of(row, "steps"));
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        show_real(real_of(row, reals[i]));
    printf("%lld,", whole_of(row, "active_dimensions"));
    show_real(real_of(row, "training_s"));
    printf("%s,%s,", text_of(settings, "preset"), text_of(settings, "seed"));
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++)
        show_real(real_of(settings, parameters[i]));
    output_csv_text(text_of(row, "place"));
    printf(",%lld,%s,", whole_of(row, "moves"), text_of(row, "model"));
    output_csv_text(text_of(row, "failure"));
    putchar('\n');
    json_decref(settings);
}

static void show_row(const json_t *row, const struct sweep_plan *p, int width)
{
    char settings[TEXT];
    const long long trial = whole_of(row, "trial");
    sweep_trial_text(&p->trials[trial], settings, sizeof settings);
    printf("%4lld %6lld %7lld %8lld", whole_of(row, "rank"), trial, whole_of(row, "rounds"), whole_of(row, "steps"));
    static const struct {
        const char *name;
        int width, digits;
    } reals[] = {{"score", 11, 5}, {"validation_loss", 11, 5}, {"reconstruction", 15, 5}, {"kl_nats", 9, 3}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        const double x = real_of(row, reals[i].name);
        if (isfinite(x))
            printf(" %*.*f", reals[i].width, reals[i].digits, x);
        else
            printf(" %*s", reals[i].width, "-");
    }
    printf(" %7lld %9.1f  ", whole_of(row, "active_dimensions"), fmax(real_of(row, "training_s"), 0));
    output_plain(stdout, place_of(row));
    printf("%*s  %s", width - (int)strlen(place_of(row)), "", settings);
    if (*text_of(row, "model"))
        printf("  -> %s", text_of(row, "model"));
    if (strcmp(text_of(row, "state"), "failed") == 0) {
        fputs("  failed: ", stdout);
        output_plain(stdout, *text_of(row, "failure") ? text_of(row, "failure") : "without a word");
    }
    putchar('\n');
}

int sweep_show_table(const struct common *c, const char *name, const json_t *all, const struct sweep_plan *p)
{
    const json_t *const rows = json_object_get(all, "ranking");
    const int width = place_width(rows);
    int failed = 0;
    if (c->format == OUTPUT_CSV)
        puts("rank,trial,state,rounds,steps,score,validation_loss,reconstruction,kl_nats,active_dimensions,training_s,"
             "preset,seed,latent,rate,beta,dropout,weight_decay,place,moves,model,failure");
    if (c->format == OUTPUT_TABLE)
        printf("rank  trial  rounds    steps       score        loss  reconstruction        KL  active   seconds  "
               "%-*s  settings\n",
               width, "place");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *const row = json_array_get(rows, i);
        if (whole_of(row, "trial") < 0 || whole_of(row, "trial") >= p->h.trials)
            continue; /* of no trial that there is */
        failed += strcmp(text_of(row, "state"), "failed") == 0;
        if (c->format == OUTPUT_JSON)
            show_json(name, all, row);
        else if (c->format == OUTPUT_CSV)
            show_csv(all, row);
        else
            show_row(row, p, width);
    }
    fflush(stdout);
    warn_of_places(rows);
    return failed;
}
