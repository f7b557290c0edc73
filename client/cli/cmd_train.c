/* train - a model from a dataset. */
#include "cli.h"
#include "dataset.h"
#include "paths.h"
#include "train_begun.h"
#include "train_show.h"
#include "train_sounds.h"
#include "train_upload.h"
#include "vae_fit.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill train [OPTION...] DATASET\n"
    "Trains a model on the sounds of `wavemill dataset create DATASET ...`: a convolutional variational autoencoder "
    "of\n"
    "their spectrograms. It goes to WAVEMILL_HOME/models/NAME: model.safetensors, config.json, training.json,\n"
    "metrics.jsonl (its curves), previews/ (sounds, what it makes of them, and what it makes of noise; maps.npy, the\n"
    "first two as pictures). Curves and previews are there while it trains: `wavemill plot NAME` draws them. It stops "
    "when\n"
    "validation does not get better. A worker that is killed, or this command, costs the\n"
    "steps since the last state, kept at validations half a second apart or more, and nothing else: --resume and the "
    "queue\n"
    "go on to the same bytes on the same device; on another one they go on too, say so, and the bytes are others.\n\n"
    "  --preset P         tiny, small or medium (default: by the number of sounds and their length)\n"
    "  --name NAME        of the model (default: DATASET-PRESET)\n"
    "  --seed N           of weights, noise, order and changes: the same seed, the same model on the same kind of\n"
    "                     processor (default: drawn, and kept in training.json)\n"
    "  --resume           go on with NAME where it was interrupted, with all that it was begun with; where it is\n"
    "                     finished there is nothing to do\n"
    "  --steps N          at most (default: the preset's, as of all that follow)\n"
    "  --batch N          sounds of a step\n"
    "  --rate X           of AdamW\n"
    "  --beta X           weight of the divergence from a normal distribution; --free-nats X: what costs nothing of "
    "it\n"
    "  --latent N         dimensions\n"
    "  --dropout X, --weight-decay X\n"
    "  --patience N       validations without a better one; --validate N: steps between them\n"
    "  --no-changes       sounds as they are: by default pitch, speed, level and noise are changed a little at random\n"
    "  --preview-every N  validations between previews; 0: only at the end (default: at a better one,\n"
    "                     a minute after the last). The model is the same, whatever is said here\n"
    "  --previews N       sounds of previews/ (default 4, most 16)\n"
    "  --precision P      fp32 (default), tf32 or bf16: what a device with tensor cores multiplies; weights, sums and "
    "the\n"
    "                     cpu are fp32\n"
    "  --priority N       -1000 to 1000, larger first (default 0): what trains for less makes room within a second, "
    "and\n"
    "                     goes on from its last state when there is room again\n"
    "  --detach           leave it to `wavemill serve`, print the job and go\n"
    "  --upload           by any worker of the farm, also without this machine's disk: sounds, states and the model\n"
    "                     travel as objects of the scheduler. The job is the scheduler's: when a worker is killed "
    "another\n"
    "                     goes on, to the same bytes on the same kind of processor (on another it goes on, and says "
    "so); when\n"
    "                     this command ends, by Ctrl-C too, the job stays. --resume waits for it and fetches the "
    "model,\n"
    "                     also after --detach; the scheduler forgets a job an hour after its end. `wavemill cancel "
    "JOB`\n"
    "                     ends it, and its states with it. Networks of up to 1 GiB of states (53 million weights).\n"
    "                     Sounds are decoded by a worker of this machine\n\n";

enum {
    PRESET = 1,
    NAME,
    SEED,
    RESUME,
    STEPS,
    BATCH,
    RATE,
    BETA,
    FREE_NATS,
    LATENT,
    DROPOUT,
    WEIGHT_DECAY,
    PATIENCE,
    VALIDATE,
    PREVIEW_EVERY,
    NO_CHANGES,
    PREVIEWS,
    PRECISION,
    DETACH,
    UPLOAD
};

struct request {
    struct common common;
    struct kind_train_item item;
    const char *preset, *name, *dataset;
    bool has_seed, resume, detach, upload, changed; /* changed: something that a training is begun with was given */
    struct train_begun begun;
    /* made of these */
    struct paths paths;
    char model[2 * DATASET_NAME_MOST + 16], folder[PATHS_MAX + 80];
    char preset_text[LIMIT_FEATURE_NAME + 1], precision[LIMIT_FEATURE_NAME + 1];
    uint64_t cursor; /* of the log lines */
};

/* ---- options ---- */

static int set_number(struct request *r, const char *name, double least, double most, bool whole, double *out)
{
    if (!cli_number("train", name, optarg, least, most, out))
        return EXIT_USAGE;
    if (whole && *out != floor(*out))
        return cli_usage("train", "%s %s: a whole number", name, optarg);
    r->changed = true;
    return -1;
}

static int set_whole(struct request *r, const char *name, double most, uint64_t *out)
{
    double number = 0;
    const int code = set_number(r, name, 1, most, true, &number);
    *out = (uint64_t)number;
    return code;
}

static int set_preview_every(struct request *r)
{
    double number = 0;
    const int code = set_number(r, "--preview-every", 0, 1e6, true, &number);
    r->item.preview_every = (uint64_t)number;
    r->item.previews_at_end = number == 0;
    return code;
}

static int set_trained(struct request *r, int option)
{
    struct kind_train_item *const i = &r->item;
    switch (option) {
    case STEPS:
        return set_whole(r, "--steps", 1e9, &i->steps);
    case BATCH:
        return set_whole(r, "--batch", VAE_BATCH_MOST, &i->batch);
    case LATENT:
        return set_whole(r, "--latent", VAE_LATENT_MOST, &i->latent);
    case PATIENCE:
        return set_whole(r, "--patience", 1e6, &i->patience);
    case VALIDATE:
        return set_whole(r, "--validate", 1e6, &i->validate_steps);
    case PREVIEWS:
        return set_whole(r, "--previews", LIMIT_PREVIEWS, &i->previews);
    case PREVIEW_EVERY:
        return set_preview_every(r);
    case RATE:
        return set_number(r, "--rate", 1e-9, 1, false, &i->rate);
    case BETA:
        return set_number(r, "--beta", 0, 1e6, false, &i->beta);
    case FREE_NATS:
        return set_number(r, "--free-nats", 0, 1e3, false, &i->free_nats);
    case DROPOUT:
        return set_number(r, "--dropout", 0, 0.95, false, &i->dropout);
    default:
        return set_number(r, "--weight-decay", 0, 1, false, &i->weight_decay);
    }
}

static int set_precision(struct request *r)
{
    enum precision precision;
    r->changed = true;
    if (precision_parse(optarg, &precision))
        return cli_usage("train", "--precision: %s", status_message());
    snprintf(r->precision, sizeof r->precision, "%s", precision_name(precision));
    return -1;
}

static int set_option(struct request *r, int option)
{
    switch (option) {
    case PRESET:
        r->preset = optarg;
        r->changed = true;
        return -1;
    case NAME:
        r->name = optarg;
        return -1;
    case SEED:
        r->has_seed = r->changed = true;
        return cli_id(optarg, UINT64_MAX, &r->item.seed) ? -1 : cli_usage("train", "--seed %s: a whole number", optarg);
    case RESUME:
        r->resume = true;
        return -1;
    case PRECISION:
        return set_precision(r);
    case NO_CHANGES:
        r->item.no_changes = r->changed = true;
        return -1;
    case DETACH:
        r->detach = true;
        return -1;
    case UPLOAD:
        r->upload = true;
        return -1;
    default:
        return option <= UPLOAD ? set_trained(r, option) : cli_common(option, &r->common, "train", help);
    }
}

/* ---- what is trained ---- */

static int draw_seed(uint64_t *out)
{
    uint32_t seed; /* short enough to be typed */
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return fail(STATUS_INTERNAL, "no random numbers: %s", strerror(errno));
    *out = seed;
    return STATUS_OK;
}

static bool stands(const struct request *r, const char *file)
{
    char path[PATHS_MAX + 128];
    snprintf(path, sizeof path, "%s/%s", r->folder, file);
    return access(path, F_OK) == 0;
}

/* The settings of one that is gone on with, or those of a new one. */
static int settle(struct request *r, const struct dataset *d)
{
    r->begun = (struct train_begun){
        .item = &r->item, .dataset = r->dataset, .preset = r->preset_text, .precision = r->precision};
    if (r->resume) {
        const int code = train_begun_read(r->folder, &r->begun);
        if (!code && r->upload && !r->begun.upload[0])
            return fail(STATUS_ARGUMENT, "%s was begun without --upload: its states are in its folder", r->model);
        return code;
    }
    const int code = r->upload ? train_upload_key(r->begun.upload) : STATUS_OK;
    if (code)
        return code;
    snprintf(r->preset_text, sizeof r->preset_text, "%s", r->preset ? r->preset : train_preset_for(d));
    return r->has_seed ? STATUS_OK : draw_seed(&r->item.seed);
}

/* Once nothing but the training itself is left to do. */
static int keep_settings(const struct request *r)
{
    return r->resume ? STATUS_OK : train_begun_write(r->folder, &r->begun);
}

static int name_model(struct request *r, const struct dataset *d)
{
    struct vae_fit_options o;
    const char *const preset = r->preset ? r->preset : train_preset_for(d);
    if (vae_fit_preset(preset, &o))
        return cli_usage("train", "--preset: %s", status_message());
    if (r->name)
        snprintf(r->model, sizeof r->model, "%s", r->name);
    else
        snprintf(r->model, sizeof r->model, "%s-%s", r->dataset, preset);
    if (!library_is_name(r->model))
        return cli_usage("train", "--name %s: 1 to %d letters, digits, '.', '_' and '-', not '.' or '-' first",
                         r->model, LIBRARY_NAME_MOST);
    snprintf(r->folder, sizeof r->folder, "%s/models/%s", r->paths.home, r->model);
    const bool finished = stands(r, "model.json"), begun = stands(r, LIBRARY_BEGUN);
    if (finished && r->resume) {
        if (!r->common.quiet)
            fprintf(stderr, "wavemill train: %s is finished\n", r->model);
        return EXIT_DONE;
    }
    if (finished)
        return cli_usage("train", "there is a model %s: another --name, or `wavemill models remove %s`", r->model,
                         r->model);
    if (begun && !r->resume)
        return cli_usage(
            "train", "%s was begun and not finished: --resume goes on with it, `wavemill models remove %s` forgets it",
            r->model, r->model);
    if (!begun && stands(r, "."))
        return cli_usage("train", "there is something else in %s: another --name", r->folder);
    if (!begun && r->resume)
        return cli_usage("train", "--resume: nothing of %s was begun", r->model);
    if (r->resume && r->changed)
        return cli_usage("train", "--resume goes on with what %s was begun with: no other settings", r->model);
    return -1;
}

/* ---- running ---- */

/* A line of the worker about a validation: {"step":.. }. */
static void show_validation(const struct request *r, const char *text)
{
    json_t *const v = json_loads(text, 0, NULL);
    if (!v)
        return;
    if (r->common.format == OUTPUT_JSON) {
        json_t *const line = json_object();
        json_object_set_new(line, "schema", json_integer(OUTPUT_SCHEMA));
        json_object_set_new(line, "model", json_string(r->model));
        json_object_set(line, "validation", v);
        output_json_line(line);
    } else if (!r->common.quiet) {
        fprintf(
            stderr, "step %7lld   train %8.4f   validation %8.4f   reconstruction %8.4f   KL %7.2f nats   %7.1f s%s\n",
            (long long)json_integer_value(json_object_get(v, "step")),
            json_number_value(json_object_get(v, "train_loss")),
            json_number_value(json_object_get(v, "validation_loss")),
            json_number_value(json_object_get(v, "reconstruction")), json_number_value(json_object_get(v, "kl")),
            json_number_value(json_object_get(v, "seconds")), json_is_true(json_object_get(v, "best")) ? "  best" : "");
    }
    json_decref(v);
}

/* What the worker has said since the last time. */
static int show_lines(struct batch *b, struct client *c)
{
    static const char mark[] = "train {", previews[] = "train previews {", warning[] = " warn  ";
    struct request *const r = b->context;
    struct message_lines m;
    struct message_line line;
    const int code = client_logs(c, b->job, r->cursor, &m);
    if (code)
        return code;
    while (wire_next(&m.lines, &line_schema, &line)) {
        char text[LIMIT_LOG + 1];
        wire_copy(line.text, text, sizeof text);
        const char *const at = strstr(text, mark), *const heard = strstr(text, previews);
        if (at)
            show_validation(r, at + sizeof mark - 2);
        else if (heard)
            train_show_previews(&r->common, r->model, r->folder, heard + sizeof previews - 2);
        else if (strstr(text, warning)) {
            output_plain(stderr, text);
            fputc('\n', stderr);
        }
    }
    r->cursor = m.cursor;
    return STATUS_OK;
}

static int show_result(struct batch *b, const char *path, struct wire_slice result)
{
    struct request *const r = b->context;
    struct kind_train_result m;
    char end[LIMIT_NAME + 1], seed[24]; /* JSON's numbers end at 2^53 */
    const int code = wire_decode(&kind_train_result_schema, result.data, result.bytes, &m);
    (void)path;
    if (code)
        return code;
    const int shown = show_lines(b, b->client);
    wire_copy(m.end, end, sizeof end);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)m.seed);
    if (r->common.format == OUTPUT_JSON) {
        json_t *const line = output_begin(r->folder);
        json_object_set_new(line, "model", json_string(r->model));
        output_provenance(line, (const struct kind_provenance *)&m);
        json_object_set_new(
            line, "results",
            json_pack("{s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:I, s:I, s:I, s:o}", "steps",
                      (json_int_t)m.steps, "best_step", (json_int_t)m.best_step, "end", end, "train_loss",
                      output_number(m.train_loss), "validation_loss", output_number(m.validation_loss),
                      "reconstruction", output_number(m.reconstruction), "kl_nats", output_number(m.kl),
                      "active_dimensions", (json_int_t)m.active, "kl_of_active_nats", output_number(m.kl_of_active),
                      "training_s", output_number(m.training_s), "resumed_from", output_number(m.resumed_from),
                      "parameters", (json_int_t)m.parameters, "bad_steps", (json_int_t)m.bad_steps, "moves",
                      (json_int_t)m.moves, "seed", json_string(seed)));
        output_json_line(line);
        return shown;
    }
    printf("%s: %llu steps (%s), best at %llu, in %.1f s\n", r->model, (unsigned long long)m.steps, end,
           (unsigned long long)m.best_step, m.training_s);
    printf("  loss: train %.4f, validation %.4f (reconstruction %.4f)\n", m.train_loss, m.validation_loss,
           m.reconstruction);
    printf("  latent: %llu dimensions active, %.2f nats each; seed %llu\n  %s\n", (unsigned long long)m.active,
           m.kl_of_active, (unsigned long long)m.seed, r->folder);
    return shown;
}

static int upload(struct request *r, struct batch *b)
{
    r->item.out = wire_str(NULL);
    return train_upload_run(
        b, &(struct train_upload){
               .model = r->model, .folder = r->folder, .begun = &r->begun, .detach = r->detach, .resume = r->resume});
}

static int send(struct request *r, const char *pack)
{
    struct wire_buffer params = {0};
    struct walk files = {.paths = (char *[]){(char *)pack}, .count = 1};
    r->item.out = wire_str(r->folder);
    r->item.preset = wire_str(r->preset_text);
    if (r->precision[0])
        r->item.precision = wire_str(r->precision);
    const int code = wire_encode(&kind_train_item_schema, &r->item, &params);
    struct wire_slice item = {params.data, (uint32_t)params.bytes};
    struct batch b = {.common = &r->common,
                      .command = "train",
                      .kind = KIND_TRAIN,
                      .files = &files,
                      .item_params = &item,
                      .device_bytes = train_begun_device_bytes(&r->item, r->preset_text),
                      .show = show_result,
                      .during = show_lines,
                      .stays = "--resume goes on with it",
                      .context = r};
    const int exit_code = code ? cli_failed("train", code) : r->begun.upload[0] ? upload(r, &b) : batch_run(&b);
    wire_free(&params);
    return exit_code;
}

static int run_detached(struct request *r, const char *pack)
{
    static const struct submission submission = {.jobs = 1};
    cli_submission = &submission;
    const int exit_code = send(r, pack);
    cli_submission = NULL;
    return exit_code;
}

static int train(struct request *r, const struct dataset *d)
{
    char pack[PATHS_MAX + 64];
    const int exit_code = name_model(r, d);
    if (exit_code >= 0)
        return exit_code;
    if (r->common.dry_run) {
        printf("%s: %zu sounds of %.1f s, preset %s, to %s\n", r->model, d->count, train_seconds_of(d),
               r->preset ? r->preset : train_preset_for(d), r->folder);
        return EXIT_DONE;
    }
    int code = settle(r, d);
    code = code ? code : train_sounds_pack(&r->common, "train", r->paths.home, d, r->preset_text, pack, sizeof pack);
    code = code ? code : keep_settings(r);
    if (code)
        return train_failed("train", code);
    return r->detach && !r->begun.upload[0] ? run_detached(r, pack) : send(r, pack);
}

int cmd_train(int argc, char **argv)
{
    static const struct option options[] = {{"preset", required_argument, NULL, PRESET},
                                            {"name", required_argument, NULL, NAME},
                                            {"seed", required_argument, NULL, SEED},
                                            {"resume", no_argument, NULL, RESUME},
                                            {"steps", required_argument, NULL, STEPS},
                                            {"batch", required_argument, NULL, BATCH},
                                            {"rate", required_argument, NULL, RATE},
                                            {"beta", required_argument, NULL, BETA},
                                            {"free-nats", required_argument, NULL, FREE_NATS},
                                            {"latent", required_argument, NULL, LATENT},
                                            {"dropout", required_argument, NULL, DROPOUT},
                                            {"weight-decay", required_argument, NULL, WEIGHT_DECAY},
                                            {"patience", required_argument, NULL, PATIENCE},
                                            {"validate", required_argument, NULL, VALIDATE},
                                            {"preview-every", required_argument, NULL, PREVIEW_EVERY},
                                            {"no-changes", no_argument, NULL, NO_CHANGES},
                                            {"previews", required_argument, NULL, PREVIEWS},
                                            {"precision", required_argument, NULL, PRECISION},
                                            CLI_PRIORITY_OPTION,
                                            {"detach", no_argument, NULL, DETACH},
                                            {"upload", no_argument, NULL, UPLOAD},
                                            CLI_COMMON_OPTIONS};
    struct request r = {.item = {.rate = NAN, .beta = NAN, .free_nats = NAN, .dropout = NAN, .weight_decay = NAN}};
    struct dataset *d = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int exit_code = set_option(&r, o);
        if (exit_code >= 0)
            return exit_code;
    }
    if (r.common.format == OUTPUT_CSV)
        return cli_usage("train", "there is no table: --json, or as it is");
    if (optind + 1 != argc)
        return cli_usage("train", optind == argc ? "which dataset?" : "one dataset at a time");
    r.dataset = argv[optind];
    int code = paths_find(NULL, &r.paths);
    code = code ? code : dataset_open(r.paths.home, r.dataset, &d);
    if (code)
        return code == STATUS_NOT_FOUND || code == STATUS_ARGUMENT
                   ? cli_usage("train", "%s", status_message())
                   : train_failed("train", status_context(code, "%s", r.dataset));
    const int exit_code = train(&r, d);
    dataset_close(&d);
    return exit_code;
}
