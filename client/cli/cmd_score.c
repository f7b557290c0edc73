/* score - separated stems against the true ones: a track of two folders is an item. What cannot be paired is told first
 * and costs that track; scores come as tracks are done, and their means and medians last. */
#include "cli.h"
#include "score_pairs.h"
#include "score_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: wavemill score [OPTION...] --reference DIR --estimate DIR\n"
    "Scores separated stems against the true ones, in dB: the SDR of the MDX challenge, SI-SDR, and BSS Eval 3 with\n"
    "filters of 512 taps over the whole track: as mir_eval's bss_eval_images, of mono files as its bss_eval_sources\n"
    "(which has no ISR), each estimate against the reference of its own name.\n"
    "Files are found by name: DIR/TRACK/STEM.wav, or DIR/STEM.wav for a single track; endings may differ, and "
    "`mixture`\n"
    "is no stem. All files of a track must have the same rate, channels and length. A track that cannot be scored is\n"
    "reported in one line; the rest goes on. A silent file leaves SI-SDR and BSS Eval undefined. In the end come mean\n"
    "(as MDX publishes) and median (as is usual for BSS Eval) over the tracks; undefined figures are left out.\n\n"
    "  --reference DIR    the true stems\n"
    "  --estimate DIR     what they were estimated as\n"
    "  --stems A,B        these stems only, which every track must have; at most 16\n"
    "  --no-bss           without BSS Eval, which takes most of the time and allows 16 channels: 4 stems are 8\n"
    "  --upload           send the files, so that workers of other machines can score them too\n"
    "  --priority N       -1000 to 1000, larger first (default 0)\n";

enum { ONLY_MOST = LIMIT_STEMS, OBJECTS_BYTES = 2 * (LIMIT_OBJECT + 3) /* of a stem, encoded */ };

struct score_command {
    struct common common;
    const char *root[2]; /* of references, of estimates */
    struct kind_score_params params;
    char *only[ONLY_MOST];
    size_t only_count;
    bool upload;
    struct score_pairs pairs;
    size_t *tracks;             /* [items] among the pairs */
    struct walk folders;        /* the items: folders of references */
    struct wire_slice *details; /* [items] */
    struct score_summary summary;
    uint64_t unpaired;
};

static int show(struct batch *b, const char *path, struct wire_slice result)
{
    struct score_command *const c = b->context;
    return score_show(b->common, path, result, &c->summary);
}

/* ---- what is sent ---- */

/* A track's folder, as the first of its references has it. */
static char *folder_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
}

static struct wire_slice file_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return wire_str(slash ? slash + 1 : path);
}

/* What the scheduler has of a file; nothing where it cannot be read, which the worker then says. */
static int put_file(struct client *c, const char *path, uint8_t hash[LIMIT_OBJECT], struct wire_slice *out)
{
    bool is_there = false;
    const int code = batch_put_file(c, path, hash, &is_there);
    *out = (struct wire_slice){hash, is_there ? LIMIT_OBJECT : 0};
    return code;
}

/* As paths, or, where there is a client, as objects that it puts. */
static int encode_track(const struct score_track *t, struct client *client, struct wire_slice *out)
{
    struct wire_buffer stems = {0}, item = {0};
    char *const folder = folder_of(t->stems[0].estimate), *const absolute = folder ? cli_absolute(folder) : NULL;
    int code = absolute ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    for (size_t i = 0; i < t->count && !code; i++) {
        uint8_t hash[2][LIMIT_OBJECT];
        struct kind_score_pair pair = {.name = wire_str(t->stems[i].name),
                                       .reference = file_of(t->stems[i].reference),
                                       .estimate = file_of(t->stems[i].estimate)};
        if (client)
            code = put_file(client, t->stems[i].reference, hash[0], &pair.reference_object);
        if (client && !code)
            code = put_file(client, t->stems[i].estimate, hash[1], &pair.estimate_object);
        code = code ? code : wire_encode(&kind_score_pair_schema, &pair, &stems);
    }
    if (!code)
        code = wire_encode(&kind_score_item_schema,
                           &(struct kind_score_item){.estimates = wire_str(client ? NULL : absolute),
                                                     .stems = wire_list_of(&stems, (uint32_t)t->count),
                                                     .track = wire_str(t->name)},
                           &item);
    if (!code)
        *out = (struct wire_slice){item.data, (uint32_t)item.bytes};
    else
        wire_free(&item);
    wire_free(&stems);
    free(absolute);
    free(folder);
    return code;
}

static void fail_track(struct score_command *c, const struct score_track *t, const char *why)
{
    char *path = NULL;
    const char *const root = c->root[0];
    const bool slash = *t->name && root[strlen(root) - 1] != '/';
    if (asprintf(&path, "%s%s%s", root, slash ? "/" : "", t->name) < 0)
        path = NULL;
    output_failure(&c->common, path ? path : t->name, FAILURE_INPUT, why);
    free(path);
    c->unpaired++;
}

/* A track is an item, or it is told why not. */
static int add_track(struct score_command *c, const struct score_track *t)
{
    if (t->error || t->count > LIMIT_STEMS) {
        char many[64];
        (void)snprintf(many, sizeof many, "%zu stems, allowed %d: --stems chooses some", t->count, LIMIT_STEMS);
        fail_track(c, t, t->error ? t->error : many);
        return STATUS_OK;
    }
    const size_t i = c->folders.count;
    int code = encode_track(t, NULL, &c->details[i]);
    const size_t objects = c->upload ? t->count * OBJECTS_BYTES : 0;
    if (code == STATUS_OK && c->details[i].bytes + objects > LIMIT_ITEM_PARAMS) {
        free((void *)(uintptr_t)c->details[i].data);
        c->details[i] = wire_str(NULL);
        fail_track(c, t, "the names of its files are too long");
        return STATUS_OK;
    }
    c->folders.paths[i] = code ? NULL : folder_of(t->stems[0].reference);
    if (!code && !c->folders.paths[i])
        code = fail(STATUS_NOMEM, "out of memory");
    c->tracks[i] = (size_t)(t - c->pairs.tracks);
    c->folders.count += 1;
    return code;
}

static int add_tracks(struct score_command *c)
{
    const size_t n = c->pairs.count;
    c->folders.paths = calloc(n + 1, sizeof *c->folders.paths);
    c->details = calloc(n + 1, sizeof *c->details);
    c->tracks = calloc(n + 1, sizeof *c->tracks);
    int code = c->folders.paths && c->details && c->tracks ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    for (size_t i = 0; i < n && !code; i++)
        code = add_track(c, &c->pairs.tracks[i]);
    return code;
}

/* As batch->ready. */
static int put_track(struct batch *b, struct client *client, size_t index)
{
    const struct score_command *const c = b->context;
    struct wire_slice with_objects;
    const int code = encode_track(&c->pairs.tracks[c->tracks[index]], client, &with_objects);
    if (code)
        return code;
    free((void *)(uintptr_t)c->details[index].data);
    c->details[index] = with_objects;
    return STATUS_OK;
}

static int dry_run(const struct score_command *c)
{
    for (size_t i = 0; i < c->pairs.count; i++)
        for (size_t k = 0; !c->pairs.tracks[i].error && k < c->pairs.tracks[i].count; k++)
            printf("%s\t%s\n", c->pairs.tracks[i].stems[k].reference, c->pairs.tracks[i].stems[k].estimate);
    return c->unpaired ? EXIT_SOME_FAILED : EXIT_DONE;
}

static int run_tracks(struct score_command *c)
{
    struct wire_buffer params = {0};
    const int code = wire_encode(&kind_score_params_schema, &c->params, &params);
    if (code)
        return cli_failed("score", code);
    struct batch b = {.common = &c->common,
                      .command = "score",
                      .kind = c->upload ? KIND_SCORE_OBJECTS : KIND_SCORE,
                      .params = {params.data, (uint32_t)params.bytes},
                      .files = &c->folders,
                      .item_params = c->details,
                      .ready = c->upload ? put_track : NULL,
                      .show = show,
                      .context = c};
    int exit_code = c->folders.count ? batch_run(&b) : EXIT_SOME_FAILED;
    wire_free(&params);
    if (exit_code != EXIT_DONE && exit_code != EXIT_SOME_FAILED)
        return exit_code;
    if (cli_submission) /* `watch` shows what comes of it */
        return c->unpaired ? EXIT_SOME_FAILED : exit_code;
    score_show_summary(&c->common, &c->summary, b.failed + c->unpaired);
    if (!c->common.quiet)
        fprintf(stderr, "%llu tracks%s", (unsigned long long)(c->summary.tracks + b.failed + c->unpaired),
                b.failed + c->unpaired ? "" : "\n");
    if (!c->common.quiet && b.failed + c->unpaired)
        fprintf(stderr, ", %llu could not be scored\n", (unsigned long long)(b.failed + c->unpaired));
    return c->unpaired ? EXIT_SOME_FAILED : exit_code;
}

static int run(struct score_command *c)
{
    struct walk side[2] = {{0}};
    int code = STATUS_OK, exit_code = EXIT_DONE;
    for (int i = 0; i < 2 && !code; i++)
        code = walk_add(&side[i], c->root[i]);
    if (!code) {
        const struct score_folder reference = {c->root[0], side[0].paths, side[0].count},
                                  estimate = {c->root[1], side[1].paths, side[1].count};
        code = score_pairs_make(&reference, &estimate, c->only, c->only_count, &c->pairs);
    }
    if (!code && c->common.format == OUTPUT_CSV && !c->common.dry_run && c->pairs.count)
        puts(SCORE_CSV);
    code = code ? code : add_tracks(c);
    if (code)
        exit_code = cli_failed("score", code);
    else if (c->pairs.count == 0)
        exit_code = cli_usage("score", "there are no audio files in %s", c->root[0]);
    else
        exit_code = c->common.dry_run ? dry_run(c) : run_tracks(c);
    for (size_t i = 0; c->details && i < c->folders.count; i++)
        free((void *)(uintptr_t)c->details[i].data);
    free(c->details);
    free(c->tracks);
    walk_free(&c->folders);
    score_pairs_free(&c->pairs);
    score_summary_free(&c->summary);
    for (int i = 0; i < 2; i++)
        walk_free(&side[i]);
    return exit_code;
}

/* Splits in place. */
static bool read_stems(struct score_command *c, char *text)
{
    for (char *rest = text; rest; c->only_count++) {
        char *const name = strsep(&rest, ",");
        if (!*name || strchr(name, '/') || c->only_count == ONLY_MOST)
            return false;
        c->only[c->only_count] = name;
    }
    return true;
}

static bool is_folder(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

int cmd_score(int argc, char **argv)
{
    static const struct option options[] = {
        {"reference", required_argument, NULL, 'r'}, {"estimate", required_argument, NULL, 'e'},
        {"stems", required_argument, NULL, 's'},     {"bss", no_argument, NULL, 'b'},
        {"no-bss", no_argument, NULL, 'n'},          CLI_PRIORITY_OPTION,
        {"upload", no_argument, NULL, 'u'},          CLI_COMMON_OPTIONS};
    struct score_command c = {.root = {NULL, NULL}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int code = -1;
        if (o == 'r' || o == 'e')
            c.root[o == 'e'] = optarg;
        else if (o == 'b' || o == 'n')
            c.params.no_bss = o == 'n';
        else if (o == 'u')
            c.upload = true;
        else if (o == 's' && !read_stems(&c, optarg))
            code = cli_usage("score", "--stems: a list like drums,vocals, of at most %d", ONLY_MOST);
        else if (o != 's')
            code = cli_common(o, &c.common, "score", help);
        if (code >= 0)
            return code;
    }
    if (optind < argc)
        return cli_usage("score", "what is %s?", argv[optind]);
    if (!c.root[0] || !c.root[1])
        return cli_usage("score", "--reference DIR and --estimate DIR: which folders?");
    for (int i = 0; i < 2; i++)
        if (!is_folder(c.root[i]))
            return cli_usage("score", "%s: not a folder", c.root[i]);
    return run(&c);
}
