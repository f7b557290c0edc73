/* sweep - many trainings on one dataset, in one job; what falls behind is stopped early. */
#include "cli.h"
#include "dataset.h"
#include "library.h"
#include "paths.h"
#include "sweep_folder.h"
#include "sweep_items.h"
#include "sweep_layout.h"
#include "sweep_show.h"
#include "sweep_upload.h"
#include "sweep_warnings.h"
#include "train_begun.h"
#include "train_sounds.h"
#include "vae_fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill sweep [OPTION...] DATASET\n"
    "Trains many models on the sounds of `wavemill dataset create DATASET ...`, as `wavemill train` does, and keeps "
    "the\n"
    "best. It goes in rounds: all are trained for a while, the best third of them three times as long, and so on to "
    "the\n"
    "end; the others are stopped there. What comes of it hangs on the settings alone, not on who was quicker, killed "
    "or\n"
    "interrupted. It lies in WAVEMILL_HOME/sweeps/NAME, the table in its sweep.json; the best becomes the model NAME, "
    "with\n"
    "the bytes that `train` gives it. The table names the place (processor, device) of each training; were there more "
    "than\n"
    "one, close ranks hang on that too, and a line says so. What a training warns of stands on stderr, with its "
    "name.\n\n"
    "  --presets P,..     tiny, small, medium (default: the one that fits, as of `train`)\n"
    "  --rates X,..       of AdamW; --betas X,..: weights of the divergence; --latents N,..; --dropouts X,..;\n"
    "  --weight-decays X,..  every combination is trained (default of each: the preset's). A..B is a range, for "
    "--trials\n"
    "  --seeds N          each of them with the seeds 1 to N; or --seed A,B,..: with these (default: 1)\n"
    "                     Without values and seeds: three rates, two betas, two seeds\n"
    "  --trials N         only so many, drawn at random by the first seed\n"
    "  --halving N        one of N goes on to the next round (default 3; 1: all are trained to the end)\n"
    "  --judge X          ranks by reconstruction + X times the divergence (default: by each one's validation loss; "
    "where\n"
    "                     their betas differ, X is the preset's)\n"
    "  --keep N           the best N become models NAME-1 to NAME-N\n"
    "  --name NAME        (default: DATASET-sweep)\n"
    "  --resume           go on with NAME where it was interrupted; of a finished one only the table\n"
    "  --steps N, --batch N, --patience N, --validate N, --free-nats X, --no-changes, --previews N: as of `train`, for "
    "all\n"
    "  --precision P      fp32, tf32 or bf16, as of `train`, for all\n"
    "  --priority N       -1000 to 1000, larger first (default 0)\n"
    "  --detach           leave it to `wavemill serve`, print the job and go; --resume shows the table later\n"
    "  --upload           by any workers of the farm, also without this machine's disk: sounds, states and models "
    "travel "
    "as\n"
    "                     objects of the scheduler, to the same table and bytes on the same kind of processor. Each "
    "round "
    "is a\n"
    "                     job that stays when this command ends; --resume waits for it and goes on. An hour after "
    "its end\n"
    "                     the scheduler forgets it: what was not fetched by then is trained again. Its disk has a "
    "state "
    "of each\n"
    "                     trial for each round, for a day or two\n"
    "  --dry-run          the trials and the rounds\n\n";

enum {
    PRESETS = 1,
    LATENTS,
    DROPOUTS,
    WEIGHT_DECAYS,
    BETAS,
    RATES,
    SEEDS,
    SEED,
    TRIALS,
    HALVING,
    JUDGE,
    KEEP,
    STEPS,
    BATCH,
    PATIENCE,
    VALIDATE,
    FREE_NATS,
    NO_CHANGES,
    PREVIEWS,
    PRECISION,
    NAME,
    RESUME,
    DETACH,
    UPLOAD
};

struct request {
    struct common common, quietly; /* quietly: failures as lines on stderr, whatever the format of the table */
    struct sweep_plan plan;
    const char *dataset, *given_name;
    bool resume, detach, upload, changed;
    struct paths paths;
    struct sweep_warnings warnings;
    char name[DATASET_NAME_MOST + 16], folder[PATHS_MAX + 96], model[PATHS_MAX + 96];
};

/* ---- options ---- */

static int set_number(const char *option, double least, double most, bool whole, double *out)
{
    if (!cli_number("sweep", option, optarg, least, most, out))
        return EXIT_USAGE;
    return whole && *out != floor(*out) ? cli_usage("sweep", "%s %s: a whole number", option, optarg) : -1;
}

static int set_whole(const char *option, double most, uint64_t *out)
{
    double number = 0;
    const int code = set_number(option, 1, most, true, &number);
    *out = (uint64_t)number;
    return code;
}

static int set_list(const char *option, int code)
{
    return code ? cli_usage("sweep", "%s: %s", option, status_message()) : -1;
}

static int set_seeds(struct sweep_plan *p)
{
    uint64_t count = 0;
    const int code = set_whole("--seeds", SWEEP_VALUES_MOST, &count);
    p->seeds = (int)count;
    for (int i = 0; i < p->seeds; i++)
        p->seed[i] = (uint64_t)i + 1;
    return code;
}

/* What all trials have alike. */
static int set_common(struct kind_train_item *i, int option)
{
    switch (option) {
    case STEPS:
        return set_whole("--steps", 1e9, &i->steps);
    case BATCH:
        return set_whole("--batch", VAE_BATCH_MOST, &i->batch);
    case PATIENCE:
        return set_whole("--patience", 1e6, &i->patience);
    case VALIDATE:
        return set_whole("--validate", 1e6, &i->validate_steps);
    case PREVIEWS:
        return set_whole("--previews", LIMIT_PREVIEWS, &i->previews);
    case FREE_NATS:
        return set_number("--free-nats", 0, 1e3, false, &i->free_nats);
    default:
        i->no_changes = true;
        return -1;
    }
}

static int set_precision(struct sweep_plan *p)
{
    enum precision precision;
    if (precision_parse(optarg, &precision))
        return cli_usage("sweep", "--precision: %s", status_message());
    snprintf(p->precision, sizeof p->precision, "%s", precision_name(precision));
    return -1;
}

static int set_plan(struct request *r, int option)
{
    static const struct {
        const char *name;
        enum sweep_parameter parameter;
    } lists[] = {[LATENTS] = {"--latents", SWEEP_LATENT},
                 [DROPOUTS] = {"--dropouts", SWEEP_DROPOUT},
                 [WEIGHT_DECAYS] = {"--weight-decays", SWEEP_WEIGHT_DECAY},
                 [BETAS] = {"--betas", SWEEP_BETA},
                 [RATES] = {"--rates", SWEEP_RATE}};
    struct sweep_plan *const p = &r->plan;
    r->changed = true;
    switch (option) {
    case PRESETS:
        return set_list("--presets", sweep_plan_presets(p, optarg));
    case LATENTS:
    case DROPOUTS:
    case WEIGHT_DECAYS:
    case BETAS:
    case RATES:
        return set_list(lists[option].name, sweep_plan_axis(p, lists[option].parameter, optarg));
    case SEED:
        return set_list("--seed", sweep_plan_seeds(p, optarg));
    case SEEDS:
        return set_seeds(p);
    case TRIALS:
        return set_whole("--trials", HALVING_TRIALS_MOST, &p->draws);
    case HALVING:
        return set_whole("--halving", HALVING_ETA_MOST, &p->eta);
    case KEEP:
        return set_whole("--keep", HALVING_TRIALS_MOST, &p->keep);
    case PRECISION:
        return set_precision(p);
    case JUDGE:
        return set_number("--judge", 0, 1e6, false, &p->judge);
    default:
        return set_common(&p->common, option);
    }
}

static int set_option(struct request *r, int option)
{
    switch (option) {
    case NAME:
        r->given_name = optarg;
        return -1;
    case RESUME:
        r->resume = true;
        return -1;
    case DETACH:
        r->detach = true;
        return -1;
    case UPLOAD:
        r->upload = true;
        return -1;
    default:
        return option < DETACH ? set_plan(r, option) : cli_common(option, &r->common, "sweep", help);
    }
}

/* ---- what is swept ---- */

static bool is_there(const char *folder, const char *file)
{
    char path[PATHS_MAX + 160];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
}

static int name_sweep(struct request *r)
{
    if (r->given_name)
        snprintf(r->name, sizeof r->name, "%.*s", (int)sizeof r->name - 1, r->given_name);
    else
        snprintf(r->name, sizeof r->name, "%s-sweep", r->dataset);
    if (!library_is_name(r->name) || strlen(r->name) + 5 > LIBRARY_NAME_MOST) /* -1000 behind it */
        return cli_usage("sweep", "--name %s: 1 to %d letters, digits, '.', '_' and '-', not '.' or '-' first", r->name,
                         LIBRARY_NAME_MOST - 5);
    snprintf(r->folder, sizeof r->folder, "%s/sweeps/%s", r->paths.home, r->name);
    snprintf(r->model, sizeof r->model, "%s/models/%s", r->paths.home, r->name);
    const bool begun = is_there(r->folder, SWEEP_FILE);
    if (begun && !r->resume)
        return cli_usage("sweep", "there is a sweep %s: --resume goes on with it; another --name, or remove %s",
                         r->name, r->folder);
    if (!begun && r->resume)
        return cli_usage("sweep", "--resume: nothing of %s was begun", r->name);
    if (r->resume && r->changed)
        return cli_usage("sweep", "--resume goes on with what %s was begun with: no other settings", r->name);
    return -1;
}

/* What it is to make must not be there. */
static int check_models(const struct request *r)
{
    char model[sizeof r->model + 16];
    for (uint64_t i = 1; i <= r->plan.keep; i++) {
        const bool one = r->plan.keep == 1;
        snprintf(model, sizeof model, one ? "%s" : "%s-%llu", r->model, (unsigned long long)i);
        if (is_there(model, "."))
            return cli_usage("sweep", "there is a model %s: another --name, or `wavemill models remove %s`",
                             strrchr(model, '/') + 1, strrchr(model, '/') + 1);
    }
    return -1;
}

/* -1: it is not finished. */
static int show_if_finished(struct request *r)
{
    json_t *all = NULL;
    const int code = sweep_load(r->folder, &all);
    if (code)
        return train_failed("sweep", code);
    int exit_code = -1;
    if (sweep_is_finished(all))
        exit_code = sweep_show_table(&r->common, r->name, all, &r->plan) ? EXIT_SOME_FAILED : EXIT_DONE;
    json_decref(all);
    return exit_code;
}

static int take_up(struct request *r)
{
    json_t *all = NULL;
    int code = sweep_load(r->folder, &all);
    code = code ? code : sweep_parse(all, r->folder, r->dataset, &r->plan);
    json_decref(all);
    return code == STATUS_ARGUMENT ? cli_usage("sweep", "%s: %s", r->name, status_message())
           : code                  ? train_failed("sweep", code)
                                   : show_if_finished(r);
}

/* Of one that was begun with --upload nobody has to say so again. */
static int check_upload(const struct request *r)
{
    if (r->upload && !r->plan.upload)
        return cli_usage("sweep", "%s was begun without --upload: its states are in its folder", r->name);
    return r->plan.upload && r->detach ? cli_usage("sweep", "with --upload this command says who goes on: no --detach")
                                       : -1;
}

/* Two jobs at one sweep would only be in each other's way. */
static int check_jobs(const struct request *r)
{
    const struct client_filter filter = {PHASE_QUEUED | PHASE_RUNNING, KIND_SWEEP, r->name};
    struct message_jobs page;
    struct message_job j;
    struct client *c = NULL;
    int code = cli_connect_for_work(&r->common, &c);
    code = code ? code : client_list(c, &filter, 0, 1, &page);
    const bool runs = !code && wire_next(&page.jobs, &job_schema, &j);
    const unsigned long long job = runs ? (unsigned long long)j.job : 0;
    client_close(&c);
    if (code)
        return train_failed("sweep", code);
    return runs ? cli_usage("sweep", "job %llu is at %s: `wavemill watch %llu`", job, r->name, job) : -1;
}

/* ---- running ---- */

static int show_warnings(struct batch *b, struct client *c)
{
    struct request *const r = b->context;
    return sweep_warnings_show(&r->warnings, c, b->job, b->names, b->files->count);
}

/* Where none came to the end, the last item says so: by then all have said what they had to. */
static void last_failed(struct batch *b, size_t index)
{
    if (index + 1 == b->files->count && show_warnings(b, b->client))
        fprintf(stderr, "wavemill sweep: warnings of the trainings cannot be read: %s\n", status_message());
}

static int show_result(struct batch *b, const char *path, struct wire_slice result)
{
    const struct request *const r = b->context;
    struct kind_sweep_result m;
    const int code = wire_decode(&kind_sweep_result_schema, result.data, result.bytes, &m);
    (void)path;
    if (!code && (int64_t)m.round >= r->plan.h.rounds)
        return show_warnings(b, b->client); /* the last ones: it is over */
    if (code || r->common.quiet || m.stopped || (int64_t)m.trial >= r->plan.h.trials)
        return code;
    sweep_show_progress(&r->plan.h, &r->plan.trials[m.trial], &m);
    return STATUS_OK;
}

/* Of the largest trial: a job books one number for all its items. */
static uint64_t device_bytes(const struct sweep_plan *p)
{
    uint64_t most = 0;
    for (int64_t k = 0; k < p->h.trials; k++) {
        const uint64_t bytes = train_begun_device_bytes(&p->trials[k].item, p->trials[k].preset);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static int send(struct request *r, const struct sweep_items *s)
{
    const struct walk files = {.paths = s->paths, .count = s->count};
    const struct submission submission = {.jobs = 1, .job = {.name = r->name}};
    r->quietly = r->common;
    r->quietly.format = r->detach ? r->common.format : OUTPUT_TABLE;
    struct batch b = {.common = &r->quietly,
                      .command = "sweep",
                      .kind = KIND_SWEEP,
                      .name = r->name,
                      .files = &files,
                      .names = s->names,
                      .item_params = s->slices,
                      .wave = (uint64_t)r->plan.h.trials,
                      .device_bytes = device_bytes(&r->plan),
                      .show = show_result,
                      .during = show_warnings,
                      .failed_for_good = last_failed,
                      .stays = "--resume goes on with it",
                      .context = r};
    cli_submission = r->detach ? &submission : NULL;
    const int exit_code = batch_run(&b);
    cli_submission = NULL;
    return exit_code;
}

static int run(struct request *r, const struct dataset *d)
{
    struct sweep_items s = {0};
    const struct sweep_target target = {r->name, r->folder, r->model, r->paths.home};
    int code = sweep_items_make(&r->common, &r->plan, &target, d, &s);
    if (!code && !r->resume)
        code = sweep_begin(r->folder, r->dataset, &r->plan);
    const struct sweep_upload upload = {&r->common, &r->plan, &target, &s, code ? 0 : device_bytes(&r->plan),
                                        r->resume};
    int exit_code = code ? train_failed("sweep", code) : r->plan.upload ? sweep_upload_run(&upload) : send(r, &s);
    sweep_items_free(&s);
    if (code || r->detach || (exit_code != EXIT_DONE && exit_code != EXIT_SOME_FAILED))
        return exit_code;
    const int shown = show_if_finished(r);
    return shown < 0 ? EXIT_SOME_FAILED : shown > exit_code ? shown : exit_code;
}

static int sweep(struct request *r, const struct dataset *d)
{
    int exit_code = name_sweep(r);
    if (exit_code >= 0)
        return exit_code;
    r->plan.upload = r->upload;
    if (r->resume) {
        exit_code = take_up(r);
        exit_code = exit_code >= 0 ? exit_code : check_upload(r);
        exit_code = exit_code >= 0 ? exit_code : check_jobs(r);
    } else if (sweep_plan_make(&r->plan, train_preset_for(d))) {
        exit_code = cli_usage("sweep", "%s", status_message());
    } else {
        exit_code = check_models(r);
        exit_code = exit_code >= 0 ? exit_code : check_upload(r);
    }
    if (exit_code >= 0)
        return exit_code;
    if (r->common.dry_run) {
        sweep_show_plan(&r->common, r->name, &r->plan);
        return EXIT_DONE;
    }
    return run(r, d);
}

int cmd_sweep(int argc, char **argv)
{
    static const struct option options[] = {{"presets", required_argument, NULL, PRESETS},
                                            {"latents", required_argument, NULL, LATENTS},
                                            {"dropouts", required_argument, NULL, DROPOUTS},
                                            {"weight-decays", required_argument, NULL, WEIGHT_DECAYS},
                                            {"betas", required_argument, NULL, BETAS},
                                            {"rates", required_argument, NULL, RATES},
                                            {"seeds", required_argument, NULL, SEEDS},
                                            {"seed", required_argument, NULL, SEED},
                                            {"trials", required_argument, NULL, TRIALS},
                                            {"halving", required_argument, NULL, HALVING},
                                            {"judge", required_argument, NULL, JUDGE},
                                            {"keep", required_argument, NULL, KEEP},
                                            {"steps", required_argument, NULL, STEPS},
                                            {"batch", required_argument, NULL, BATCH},
                                            {"patience", required_argument, NULL, PATIENCE},
                                            {"validate", required_argument, NULL, VALIDATE},
                                            {"free-nats", required_argument, NULL, FREE_NATS},
                                            {"no-changes", no_argument, NULL, NO_CHANGES},
                                            {"previews", required_argument, NULL, PREVIEWS},
                                            {"precision", required_argument, NULL, PRECISION},
                                            CLI_PRIORITY_OPTION,
                                            {"name", required_argument, NULL, NAME},
                                            {"resume", no_argument, NULL, RESUME},
                                            {"detach", no_argument, NULL, DETACH},
                                            {"upload", no_argument, NULL, UPLOAD},
                                            CLI_COMMON_OPTIONS};
    static struct request r = {
        .plan = {.common = {.rate = NAN, .beta = NAN, .free_nats = NAN, .dropout = NAN, .weight_decay = NAN},
                 .eta = 3,
                 .keep = 1,
                 .judge = NAN}};
    struct dataset *d = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int exit_code = set_option(&r, o);
        if (exit_code >= 0)
            return exit_code;
    }
    if (optind + 1 != argc)
        return cli_usage("sweep", optind == argc ? "which dataset?" : "one dataset at a time");
    r.dataset = argv[optind];
    int code = paths_find(NULL, &r.paths);
    code = code ? code : dataset_open(r.paths.home, r.dataset, &d);
    if (code)
        return code == STATUS_NOT_FOUND || code == STATUS_ARGUMENT ? cli_usage("sweep", "%s", status_message())
                                                                   : train_failed("sweep", code);
    const int exit_code = sweep(&r, d);
    dataset_close(&d);
    sweep_plan_free(&r.plan);
    return exit_code;
}
