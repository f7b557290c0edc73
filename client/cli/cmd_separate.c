/* separate - stems of audio files, by a network of the library or a method without weights. */
#include "audio_write.h"
#include "cli.h"
#include "methods.h"
#include "paths.h"
#include "separate_pack.h"
#include "separate_show.h"
#include "separate_tracks.h"
#include "stems_fetch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill separate [OPTION...] PATH...\n"
    "Takes audio files apart; folders are walked. Stems go to OUT/MODEL/TRACK/STEM.wav, TRACK being the file's name "
    "without\n"
    "its ending, as demucs names them; they stand there when all of a file are whole, over what was there. Mono is "
    "doubled,\n"
    "of more than two channels the first two are taken.\n\n"
    "  --out DIR          where stems go (default: separated)\n"
    "  --model MODEL      hpss (harmonic, percussive, residual) and center (center, sides) need no weights; or the "
    "name "
    "of a\n"
    "                     model of `wavemill models list`; or a FILE.safetensors (default: htdemucs if it is there, "
    "else\n"
    "                     hpss)\n"
    "  --stems A,B        write these only\n"
    "  --two-stems NAME   write NAME and no_NAME, the sum of the others\n"
    "  --wav              16 bits (default); --int24, --float32: others of WAV; --int24 also of FLAC\n"
    "  --flac, --mp3, --ogg  instead of WAV\n"
    "  --mp3-bitrate N    kbit/s (default: 320, or the most that the sample rate allows)\n"
    "  --clip-mode MODE   for stems above full scale: rescale the stem (default), clamp or none\n"
    "  --skip-existing    leave files alone whose stems are all there\n"
    "  --upload           send the songs, and have the stems sent back: then workers of other machines do it too, "
    "with\n"
    "                     their model of that name. With submit there is no --out: `wavemill watch JOB --out DIR`\n"
    "  --isa NAME         scalar, avx2 or avx512 (default: the widest there is)\n\n"
    "Of networks:\n"
    "  --quality Q        fast: --overlap 0.1 --shifts 0; balanced (default): --overlap 0.25 --shifts 0;\n"
    "                     best: --overlap 0.5 --shifts 2 --seed 0. A minute of song took htdemucs 23, 29 and 81 s on "
    "two\n"
    "                     cores with AVX-512\n"
    "  --overlap F        of neighbouring segments, 0 to 0.99\n"
    "  --segment S        seconds of a segment (default: the model's)\n"
    "  --shifts N         mean of N runs, each shifted by up to half a second; takes N times as long\n"
    "  --seed N           of the shifts: the same seed, the same stems. Goes with --shifts, always\n"
    "  --precision P      fp32 (default), tf32 or bf16: what a device with tensor cores multiplies; the cpu is fp32 "
    "always\n"
    "  --priority N       -1000 to 1000, larger first (default 0)\n"
    "  --pack             several short files (up to half a segment) share a segment: many one-shots in the time of "
    "one, "
    "but\n"
    "                     approximate, since a network hears its whole segment. The same files, the same stems. What "
    "is too\n"
    "                     long or cannot be read goes the exact way. Not with --overlap, --segment, --shifts\n"
    "  --pack-check       --pack, and prints each stem's SNR against the exact way, which takes the time of both\n";

struct request {
    struct common common;
    struct kind_separate_params params;
    const char *out, *model, *stems, *two_stems, *quality, *container, *sample, *precision;
    double mp3_bitrate;
    bool has_seed, skip_existing, pack, pack_check, upload;
    struct stems_upload from_objects;
    /* made of these */
    char format[AUDIO_FORMAT_BYTES], *folder; /* folder: OUT, absolute */
    struct audio_format encoding;
    struct method_model m;
    struct method_output output[BAG_STEMS_MOST];
    int outputs;
};

enum {
    OUT = 1,
    MODEL,
    STEMS,
    TWO_STEMS,
    OVERLAP,
    SEGMENT,
    SHIFTS,
    SEED,
    CLIP_MODE,
    WAV,
    FLOAT32,
    INT24,
    FLAC,
    MP3,
    MP3_BITRATE,
    OGG,
    QUALITY,
    SKIP,
    ISA,
    PRECISION,
    PACK,
    PACK_CHECK,
    UPLOAD
};

/* ---- options ---- */

static int set_number(const char *name, double least, double most, bool whole, double *out)
{
    if (!cli_number("separate", name, optarg, least, most, out))
        return EXIT_USAGE;
    if (whole && *out != floor(*out))
        return cli_usage("separate", "%s %s: a whole number", name, optarg);
    return -1;
}

/* One of several that exclude each other. */
static int set_once(const char **place, const char *name)
{
    if (*place && strcmp(*place, name) != 0)
        return cli_usage("separate", "--%s and --%s: one of the two", *place, name);
    *place = name;
    return -1;
}

static int set_network_option(struct request *r, int option)
{
    double number = 0;
    int code;
    switch (option) {
    case OVERLAP:
        code = set_number("--overlap", 0, 0.99, false, &r->params.overlap);
        break;
    case SEGMENT:
        code = set_number("--segment", 0.1, 3600, false, &r->params.segment_s);
        break;
    case SHIFTS:
        code = set_number("--shifts", 0, LIMIT_SHIFTS, true, &number);
        r->params.shifts = (uint64_t)number;
        break;
    default:
        code = set_number("--seed", 0, 9e15, true, &number);
        r->params.seed = (uint64_t)number;
        r->has_seed = true;
    }
    return code;
}

static int set_option(struct request *r, int option)
{
    switch (option) {
    case OUT:
        r->out = optarg;
        return -1;
    case MODEL:
        r->model = optarg;
        return -1;
    case STEMS:
        r->stems = optarg;
        return -1;
    case TWO_STEMS:
        r->two_stems = optarg;
        return -1;
    case OVERLAP:
    case SEGMENT:
    case SHIFTS:
    case SEED:
        return set_network_option(r, option);
    case CLIP_MODE:
        r->params.clip = wire_str(optarg);
        return -1;
    case WAV:
        return set_once(&r->container, "wav");
    case FLAC:
        return set_once(&r->container, "flac");
    case MP3:
        return set_once(&r->container, "mp3");
    case OGG:
        return set_once(&r->container, "ogg");
    case FLOAT32:
        return set_once(&r->sample, "float32");
    case INT24:
        return set_once(&r->sample, "int24");
    case MP3_BITRATE:
        return set_number("--mp3-bitrate", 8, 320, true, &r->mp3_bitrate);
    case QUALITY:
        r->quality = optarg;
        return -1;
    case SKIP:
        r->skip_existing = true;
        return -1;
    case ISA:
        r->params.isa = wire_str(optarg);
        return -1;
    case PRECISION:
        r->precision = optarg;
        return -1;
    case PACK:
    case PACK_CHECK:
        r->pack = true;
        r->pack_check = r->pack_check || option == PACK_CHECK;
        return -1;
    case UPLOAD:
        r->upload = true;
        return -1;
    default:
        return cli_common(option, &r->common, "separate", help);
    }
}

/* The presets fill in what was not given by itself. */
static int apply_quality(struct request *r, bool has_shifts)
{
    static const struct {
        const char *name;
        double overlap;
        uint64_t shifts;
    } presets[] = {{"fast", 0.1, 0}, {"balanced", 0.25, 0}, {"best", 0.5, 2}};
    if (has_shifts && r->params.shifts && !r->has_seed)
        return cli_usage("separate", "--shifts needs --seed N, so that the same can be made again");
    if (r->has_seed && !(has_shifts && r->params.shifts))
        return cli_usage("separate", "--seed is that of --shifts N, which is missing");
    for (size_t i = 0; r->quality && i < sizeof presets / sizeof *presets; i++)
        if (strcmp(r->quality, presets[i].name) == 0) {
            if (!isfinite(r->params.overlap))
                r->params.overlap = presets[i].overlap;
            if (!has_shifts)
                r->params.shifts = presets[i].shifts;
            return -1;
        }
    return r->quality ? cli_usage("separate", "--quality %s: there are fast, balanced and best", r->quality) : -1;
}

static int choose_format(struct request *r)
{
    const char *const container = r->container ? r->container : "wav";
    enum audio_clip clip;
    char rate[16] = "", mode[LIMIT_FEATURE_NAME + 1];
    if (isfinite(r->mp3_bitrate))
        snprintf(rate, sizeof rate, "/%d", (int)r->mp3_bitrate);
    if (isfinite(r->mp3_bitrate) && strcmp(container, "mp3") != 0)
        return cli_usage("separate", "--mp3-bitrate goes with --mp3");
    snprintf(r->format, sizeof r->format, "%s%s%s/demucs%s", container, r->sample ? "/" : "",
             r->sample ? r->sample : "", rate);
    if (audio_format_parse(r->format, &r->encoding))
        return cli_usage("separate", "%s", status_message());
    r->params.format = wire_str(r->format);
    wire_copy(r->params.clip, mode, sizeof mode);
    if (*mode && audio_clip_parse(mode, &clip))
        return cli_usage("separate", "--clip-mode: %s", status_message());
    return -1;
}

/* The model, and which signals it is to give. */
static int choose_model(struct request *r, struct wire_buffer *names)
{
    static char path[LIMIT_PATH + 1], text[LIMIT_STEMS][LIMIT_FEATURE_NAME + 1];
    struct paths paths;
    const char *wanted[LIMIT_STEMS];
    int count = 0, code = paths_find(NULL, &paths);
    if (code)
        return cli_failed("separate", code);
    if (r->model) {
        const size_t n = strlen(r->model), e = strlen(".safetensors");
        const bool is_path = strchr(r->model, '/') || (n > e && strcmp(r->model + n - e, ".safetensors") == 0);
        char *const absolute = is_path ? cli_absolute(r->model) : NULL;
        snprintf(path, sizeof path, "%s", absolute ? absolute : r->model);
        free(absolute);
        code = method_resolve(paths.home, path, &r->m);
    } else if (method_resolve(paths.home, "htdemucs", &r->m) == STATUS_OK) {
        snprintf(path, sizeof path, "htdemucs");
    } else {
        if (!r->common.quiet)
            fprintf(stderr,
                    "wavemill separate: %s; --model hpss takes its place (`wavemill models fetch htdemucs` gets the "
                    "network)\n",
                    status_message());
        snprintf(path, sizeof path, "hpss");
        code = method_resolve(paths.home, path, &r->m);
    }
    if (code)
        return cli_usage("separate", "--model: %s", status_message());
    if (r->upload && strchr(path, '/'))
        return cli_usage("separate", "--upload: the model by its name: a path means nothing on another machine");
    if (r->quality && !r->m.method->is_network)
        return cli_usage("separate", "--quality: %s has one only; this is for networks", path);
    if (method_check(&r->m, &(struct method_options){r->params.overlap, r->params.segment_s, r->params.shifts,
                                                     r->has_seed, r->precision}))
        return cli_usage("separate", "%s", status_message());
    if (r->pack && !r->m.method->is_network)
        return cli_usage("separate", "--pack: %s has no segments that clips could share; this is for networks", path);
    if (r->pack && (isfinite(r->params.overlap) || isfinite(r->params.segment_s) || r->params.shifts))
        return cli_usage("separate", "--pack takes each clip as it is: no --overlap, --segment, --shifts or --quality");
    if (r->pack && r->upload)
        return cli_usage("separate", "--pack and --upload: one of the two");
    if (r->pack && cli_submission)
        return cli_usage("separate", "--pack is for `wavemill separate`, which does what is left out in the exact way");
    r->params.model = wire_str(path);
    r->params.precision = wire_str(r->precision);
    if (r->stems && !cli_names(r->stems, names, &r->params.stems))
        return cli_usage("separate", "--stems %s: names, with commas between them", r->stems);
    struct wire_list list = r->params.stems;
    for (struct wire_slice name; count < LIMIT_STEMS && wire_next_str(&list, &name); count++) {
        wire_copy(name, text[count], sizeof text[count]);
        wanted[count] = text[count];
    }
    r->params.two_stems = wire_str(r->two_stems);
    if (method_outputs(&r->m, wanted, count, r->two_stems, r->output, &r->outputs))
        return cli_usage("separate", "%s", status_message());
    return -1;
}

/* ---- items ---- */

/* What an attempt that crashed has kept for a next one that will not be. */
static void drop_spool(struct batch *b, size_t index)
{
    const struct request *const r = b->context;
    struct separate_track t;
    char *path = NULL;
    if (!separate_track_name(b->files->paths[index], &t) &&
        asprintf(&path, "%s/%s/%s/.wavemill-%llu-%zu.part", r->folder, r->m.name, t.name, (unsigned long long)b->job,
                 index) > 0 &&
        unlink(path) == 0) {
        *strrchr(path, '/') = '\0';
        rmdir(path); /* stays where something is in it */
    }
    free(path);
}

/* Of a model that cannot be read nothing: the worker says what is wrong with it. */
static uint64_t wanted_bytes(const struct request *r)
{
    uint64_t bytes;
    return method_device_bytes(&r->m, r->output, r->outputs, &bytes) ? 0 : bytes;
}

static int send(struct request *r, const struct walk *files, const struct separate_tracks *tracks)
{
    struct wire_buffer params = {0};
    const int code = wire_encode(&kind_separate_params_schema, &r->params, &params);
    struct batch b = {.common = &r->common,
                      .command = "separate",
                      .kind = KIND_SEPARATE,
                      .params = {params.data, (uint32_t)params.bytes},
                      .files = files,
                      .item_params = tracks->params,
                      .device_bytes = wanted_bytes(r),
                      .show = separate_show,
                      .failed_for_good = drop_spool,
                      .stays = "the stems of what was finished are there",
                      .context = r};
    if (r->upload)
        stems_upload(&b, &r->from_objects, r->folder, &r->m);
    const int exit_code = code ? cli_failed("separate", code) : batch_run(&b);
    wire_free(&params);
    return exit_code;
}

/* Packs what can be; `files` and `tracks` are then those that are left. */
static int pack(const struct request *r, struct walk *files, struct separate_tracks *tracks)
{
    bool *const packed = calloc(files->count + 1, sizeof *packed);
    if (!packed)
        return cli_failed("separate", fail(STATUS_NOMEM, "out of memory"));
    const struct separate_packing p = {.common = &r->common,
                                       .params = &r->params,
                                       .folder = r->folder,
                                       .outputs = r->outputs,
                                       .networks = r->m.library.networks,
                                       .device_bytes = wanted_bytes(r),
                                       .check = r->pack_check,
                                       .files = files,
                                       .tracks = tracks->track};
    const int exit_code = separate_pack(&p, packed);
    if (exit_code == EXIT_DONE)
        separate_tracks_drop(tracks, files, packed);
    free(packed);
    return exit_code;
}

static int run(struct request *r, struct walk *files)
{
    const struct separate_place place = {.folder = r->folder,
                                         .model = r->m.name,
                                         .extension = audio_format_extension(&r->encoding),
                                         .output = r->output,
                                         .outputs = r->outputs,
                                         .as_objects = r->upload};
    struct separate_tracks tracks;
    const int code = separate_tracks_plan(&place, r->skip_existing, files, &tracks);
    int exit_code = EXIT_DONE;
    if (!code && r->common.dry_run)
        separate_tracks_show(&place, &tracks, files->count);
    if (code)
        exit_code =
            code == STATUS_ARGUMENT ? cli_usage("separate", "%s", status_message()) : cli_failed("separate", code);
    else if (!r->common.dry_run && files->count > 0) {
        if (r->common.format == OUTPUT_CSV)
            puts(SEPARATE_CSV);
        exit_code = r->pack ? pack(r, files, &tracks) : EXIT_DONE;
        if (exit_code == EXIT_DONE && files->count > 0)
            exit_code = send(r, files, &tracks);
    }
    separate_tracks_free(&tracks);
    return exit_code;
}

/* Stems of earlier runs are no songs, where a folder is walked that they are in. */
static int add_files(const struct request *r, struct walk *files, const char *argument)
{
    const size_t before = files->count, n = strlen(r->folder);
    int code = walk_add(files, argument);
    size_t kept = before;
    for (size_t i = before; i < files->count; i++) {
        char *const path = files->paths[i], *const absolute = cli_absolute(path);
        const bool is_ours =
            strcmp(path, argument) != 0 && absolute && strncmp(absolute, r->folder, n) == 0 && absolute[n] == '/';
        if (!absolute && !code)
            code = fail(STATUS_NOMEM, "out of memory");
        free(absolute);
        if (is_ours)
            free(path);
        else
            files->paths[kept++] = path;
    }
    files->count = kept;
    return code;
}

static const struct option options[] = {{"out", required_argument, NULL, OUT},
                                        {"model", required_argument, NULL, MODEL},
                                        {"stems", required_argument, NULL, STEMS},
                                        {"two-stems", required_argument, NULL, TWO_STEMS},
                                        {"overlap", required_argument, NULL, OVERLAP},
                                        {"segment", required_argument, NULL, SEGMENT},
                                        {"shifts", required_argument, NULL, SHIFTS},
                                        {"seed", required_argument, NULL, SEED},
                                        {"clip-mode", required_argument, NULL, CLIP_MODE},
                                        {"wav", no_argument, NULL, WAV},
                                        {"float32", no_argument, NULL, FLOAT32},
                                        {"int24", no_argument, NULL, INT24},
                                        {"flac", no_argument, NULL, FLAC},
                                        {"mp3", no_argument, NULL, MP3},
                                        {"mp3-bitrate", required_argument, NULL, MP3_BITRATE},
                                        {"ogg", no_argument, NULL, OGG},
                                        {"quality", required_argument, NULL, QUALITY},
                                        {"skip-existing", no_argument, NULL, SKIP},
                                        {"isa", required_argument, NULL, ISA},
                                        {"precision", required_argument, NULL, PRECISION},
                                        CLI_PRIORITY_OPTION,
                                        {"pack", no_argument, NULL, PACK},
                                        {"pack-check", no_argument, NULL, PACK_CHECK},
                                        {"upload", no_argument, NULL, UPLOAD},
                                        CLI_COMMON_OPTIONS};

int cmd_separate(int argc, char **argv)
{
    static struct request r = {.mp3_bitrate = NAN, .params = {.overlap = NAN, .segment_s = NAN}};
    struct wire_buffer names = {0};
    struct walk files = {0};
    bool has_shifts = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int code = set_option(&r, o);
        has_shifts = has_shifts || o == SHIFTS;
        if (code >= 0)
            return code;
    }
    if (optind == argc)
        return cli_usage("separate", "which file?");
    if (r.out && r.upload && cli_submission)
        return cli_usage("separate", "--upload: `wavemill watch JOB --out DIR` fetches what is submitted");
    r.out = r.out ? r.out : "separated";
    int exit_code = apply_quality(&r, has_shifts);
    exit_code = exit_code >= 0 ? exit_code : choose_format(&r);
    exit_code = exit_code >= 0 ? exit_code : choose_model(&r, &names);
    int code = STATUS_OK;
    if (exit_code < 0) {
        r.folder = cli_absolute(r.out);
        code = r.folder ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
        for (int i = optind; i < argc && !code; i++)
            code = add_files(&r, &files, argv[i]);
        exit_code = code               ? cli_failed("separate", code)
                    : files.count == 0 ? cli_usage("separate", "there are no audio files in %s", argv[optind])
                                       : run(&r, &files);
    }
    walk_free(&files);
    free(r.folder);
    wire_free(&names);
    return exit_code;
}
