#include "cli.h"
#include "record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill features [OPTION...] --kind KIND --out OUT FILE...\n"
    "Writes one feature of each file as a NumPy array [bins, frames]: numpy.load(OUT). librosa's conventions and "
    "defaults, of\n"
    "the mono mean at the file's own rate. OUT is a .npy file, or a folder for FILE.KIND.npy of each. The kind samples "
    "is\n"
    "the signal itself, [samples].\n\n"
    "  --kind KIND        stft (complex64); float32: magnitude, power, db, mel (power), logmel (dB), mfcc, rms, peak, "
    "zcr,\n"
    "                     centroid, bandwidth, rolloff (Hz), flatness, contrast (dB), flux, poly, samples\n"
    "  --out OUT          a .npy file, or a folder\n"
    "  --n-fft N          samples per frame, 16 to 65536 (default 2048)\n"
    "  --hop N            samples between frames (default 512)\n"
    "  --win-length N     samples of the window (default: n-fft)\n"
    "  --window W         hann, hamming, blackman, bartlett, rectangular (default hann)\n"
    "  --pad P            zero or reflect: what lies beyond the ends (default zero)\n"
    "  --no-center        frame t begins at sample t*hop, not centred on it\n"
    "  --n-mels N         bands (default 128)\n"
    "  --fmin HZ          lower edge of the lowest band (default 0)\n"
    "  --fmax HZ          upper edge of the highest band (default: half the rate)\n"
    "  --htk              HTK's mel scale, not Slaney's\n"
    "  --no-norm          bands not divided by their widths\n"
    "  --top-db DB        logmel, mfcc, db: clip so far below the maximum (default 80; none: no limit)\n"
    "  --n-mfcc N         mfcc: coefficients (default 20)\n"
    "  --lifter N         mfcc: weight of the higher ones (default 0: none)\n"
    "  --roll-percent P   rolloff: part of the magnitude that lies below (default 0.85)\n"
    "  --n-bands N        contrast: octaves above --fmin, which is 200 here by default (default 6)\n"
    "  --quantile Q       contrast: part of a band that is its peak, and its valley (default 0.02)\n"
    "  --order N          poly: of the polynomial, 0 to 8 (default 1)\n"
    "  --rate HZ          change to this sample rate first (default: the file's own)\n"
    "  --resample METHOD  polyphase (default), src-best, src-medium, src-fast (libsamplerate)\n"
    "  --channels C       samples: mix (default), or each: [samples, channels] of a file with several\n"
    "  --isa NAME         scalar, avx2 or avx512 (default: the widest there is)\n"
    "  --force            compute also what is in the store\n"
    "  --priority N       -1000 to 1000, larger first (default 0)\n"
    "  --verify           read the file's bytes again to know it by its contents\n"
    "  --keep             store a spectrum (stft, magnitude, power, db) or samples too, which are otherwise only "
    "written\n"
    "  --skip-existing    leave files alone whose OUT is there\n";

/* Of the array in the file: a signal is [samples], or [samples, channels]. */
static bool is_signal(const struct kind_features_result *r)
{
    return r->feature.bytes == strlen("samples") && memcmp(r->feature.data, "samples", r->feature.bytes) == 0;
}

static json_t *shape_json(const struct kind_features_result *r)
{
    const json_int_t bins = (json_int_t)r->bins, frames = (json_int_t)r->frames;
    return !is_signal(r) ? json_pack("[I,I]", bins, frames)
           : bins == 1   ? json_pack("[I]", frames)
                         : json_pack("[I,I]", frames, bins);
}

static void shape_text(const struct kind_features_result *r, char *out, size_t capacity)
{
    const unsigned long long bins = r->bins, frames = r->frames;
    if (is_signal(r) && bins == 1)
        snprintf(out, capacity, "%llu", frames);
    else
        snprintf(out, capacity, "%llu, %llu", is_signal(r) ? frames : bins, is_signal(r) ? bins : frames);
}

static int show(struct batch *b, const char *path, struct wire_slice result)
{
    struct kind_features_result r;
    const int code = wire_decode(&kind_features_result_schema, result.data, result.bytes, &r);
    if (code)
        return code;
    b->from_store += r.from_store;
    char feature[LIMIT_FEATURE_NAME + 1], dtype[32];
    wire_copy(r.feature, feature, sizeof feature);
    wire_copy(r.dtype, dtype, sizeof dtype);
    const char *const *outs = b->context;
    const char *out = NULL;
    for (size_t i = 0; i < b->files->count; i++)
        if (b->files->paths[i] == path)
            out = outs[i];
    if (b->common->format == OUTPUT_JSON) {
        bool exact;
        json_t *line = output_begin(path), *results = json_object();
        output_provenance(line, (const struct kind_provenance *)&r);
        json_object_set_new(results, "feature", json_string(feature));
        json_object_set_new(results, "out", output_path(out, &exact));
        json_object_set_new(results, "shape", shape_json(&r));
        json_object_set_new(results, "dtype", json_string(dtype));
        json_object_set_new(line, "results", results);
        output_json_line(line);
    } else if (b->common->format == OUTPUT_CSV) {
        output_csv_text(path);
        putchar(',');
        output_csv_text(out);
        printf(",%s,%llu,%llu,%s,%s,,,,,,,\n", feature, (unsigned long long)r.bins, (unsigned long long)r.frames, dtype,
               r.from_store ? "true" : "false");
    } else {
        char shape[48];
        shape_text(&r, shape, sizeof shape);
        printf("%s: %s [%s] %s%s\n", out, feature, shape, dtype, r.from_store ? ", from the store" : "");
    }
    return STATUS_OK;
}

struct request {
    struct common common;
    struct kind_features_params params;
    const char *feature, *out, *window, *pad, *channels;
    bool skip_existing;
};

enum {
    KIND = 1,
    OUT,
    N_FFT,
    HOP,
    WIN_LENGTH,
    WINDOW,
    PAD,
    NO_CENTER,
    N_MELS,
    FMIN,
    FMAX,
    HTK,
    NO_NORM,
    TOP_DB,
    FORCE,
    VERIFY,
    KEEP,
    SKIP,
    N_MFCC,
    LIFTER,
    ROLLOFF,
    N_BANDS,
    QUANTILE,
    ORDER,
    RATE,
    RESAMPLE,
    ISA,
    CHANNELS
};

static const struct {
    int option;
    const char *name;
    double least, most;
    size_t member; /* of kind_features_params */
    bool whole;
} numbers[] = {
    {N_FFT, "--n-fft", 16, 65536, offsetof(struct kind_features_params, n_fft), true},
    {HOP, "--hop", 1, 1 << 30, offsetof(struct kind_features_params, hop), true},
    {WIN_LENGTH, "--win-length", 1, 65536, offsetof(struct kind_features_params, win_length), true},
    {N_MELS, "--n-mels", 1, 4096, offsetof(struct kind_features_params, mels), true},
    {FMIN, "--fmin", 0, 1e6, offsetof(struct kind_features_params, fmin_hz), false},
    {FMAX, "--fmax", 0, 1e6, offsetof(struct kind_features_params, fmax_hz), false},
    {TOP_DB, "--top-db", 0, 1e6, offsetof(struct kind_features_params, top_db), false},
    {RATE, "--rate", 1, LIMIT_RATE, offsetof(struct kind_features_params, rate_hz), true},
    {N_MFCC, "--n-mfcc", 1, 4096, offsetof(struct kind_features_params, mfcc), true},
    {LIFTER, "--lifter", 0, 1e9, offsetof(struct kind_features_params, lifter), false},
    {ROLLOFF, "--roll-percent", 0, 1, offsetof(struct kind_features_params, rolloff), false},
    {N_BANDS, "--n-bands", 1, 32, offsetof(struct kind_features_params, bands), true},
    {QUANTILE, "--quantile", 0, 1, offsetof(struct kind_features_params, quantile), false},
    {ORDER, "--order", 0, 8, offsetof(struct kind_features_params, order), false},
};

static int set_number(struct request *r, int option)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        double v;
        if (numbers[i].option != option)
            continue;
        if (!cli_number("features", numbers[i].name, optarg, numbers[i].least, numbers[i].most, &v))
            return EXIT_USAGE;
        char *member = (char *)&r->params + numbers[i].member;
        if (numbers[i].whole)
            *(uint64_t *)(void *)member = (uint64_t)v;
        else
            *(double *)(void *)member = v;
        return -1;
    }
    return EXIT_INTERNAL;
}

static int set_option(struct request *r, int option)
{
    switch (option) {
    case KIND:
        r->feature = optarg;
        return -1;
    case OUT:
        r->out = optarg;
        return -1;
    case WINDOW:
        r->window = optarg;
        return -1;
    case PAD:
        r->pad = optarg;
        return -1;
    case NO_CENTER:
        r->params.not_centred = true;
        return -1;
    case HTK:
        r->params.htk = true;
        return -1;
    case NO_NORM:
        r->params.no_norm = true;
        return -1;
    case FORCE:
        r->params.force = true;
        return -1;
    case VERIFY:
        r->params.verify = true;
        return -1;
    case KEEP:
        r->params.keep = true;
        return -1;
    case SKIP:
        r->skip_existing = true;
        return -1;
    case TOP_DB:
        if (strcmp(optarg, "none") == 0) {
            r->params.top_db = -1;
            return -1;
        }
        return set_number(r, option);
    case N_FFT:
    case HOP:
    case WIN_LENGTH:
    case N_MELS:
    case FMIN:
    case FMAX:
    case N_MFCC:
    case LIFTER:
    case ROLLOFF:
    case N_BANDS:
    case QUANTILE:
    case ORDER:
    case RATE:
        return set_number(r, option);
    case RESAMPLE:
        r->params.resample = wire_str(optarg);
        return -1;
    case ISA:
        r->params.isa = wire_str(optarg);
        return -1;
    case CHANNELS:
        r->channels = optarg;
        return -1;
    default:
        return cli_common(option, &r->common, "features", help);
    }
}

/* The .npy of a file: OUT itself, or OUT/NAME.KIND.npy when OUT is a folder. */
static char *out_of(const struct request *r, const char *file, bool folder)
{
    char *out = NULL, *absolute = cli_absolute(r->out);
    const char *slash = strrchr(file, '/');
    if (!absolute || !folder)
        return absolute;
    if (asprintf(&out, "%s/%s.%s.npy", absolute, slash ? slash + 1 : file, r->feature) < 0)
        out = NULL;
    free(absolute);
    return out;
}

struct outputs {
    char **paths;
    struct wire_buffer *buffers;
    struct wire_slice *params;
};

static int plan_outputs(struct request *r, struct walk *files, bool folder, struct outputs *o)
{
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        char *out = out_of(r, files->paths[i], folder);
        if (!out)
            return fail(STATUS_NOMEM, "out of memory");
        if (r->skip_existing && access(out, F_OK) == 0) {
            free(out);
            free(files->paths[i]);
            continue;
        }
        for (size_t k = 0; k < kept; k++)
            if (strcmp(o->paths[k], out) == 0) {
                free(out);
                files->count = kept > i ? kept : files->count;
                return fail(STATUS_ARGUMENT, "%s and %s would both be written to the same file; call them one by one",
                            files->paths[k], files->paths[i]);
            }
        const struct kind_features_item item = {.out = wire_str(out)};
        o->paths[kept] = out;
        const int code = wire_encode(&kind_features_item_schema, &item, &o->buffers[kept]);
        if (code)
            return code;
        o->params[kept] = (struct wire_slice){o->buffers[kept].data, (uint32_t)o->buffers[kept].bytes};
        files->paths[kept++] = files->paths[i];
    }
    files->count = kept;
    return STATUS_OK;
}

static int run(struct request *r, struct walk *files)
{
    struct stat s;
    const bool folder = stat(r->out, &s) == 0 && S_ISDIR(s.st_mode);
    if (!folder && files->count > 1)
        return cli_usage("features", "--out %s is not a folder, and there are %zu files", r->out, files->count);
    const size_t n = files->count;
    struct outputs o = {calloc(n + 1, sizeof *o.paths), calloc(n + 1, sizeof *o.buffers),
                        calloc(n + 1, sizeof *o.params)};
    struct wire_buffer params = {0};
    int code =
        o.paths && o.buffers && o.params ? plan_outputs(r, files, folder, &o) : fail(STATUS_NOMEM, "out of memory");
    if (!code)
        code = wire_encode(&kind_features_params_schema, &r->params, &params);
    int exit_code = code ? cli_failed("features", code) : EXIT_DONE;
    if (!code && r->common.dry_run) {
        for (size_t i = 0; i < files->count; i++)
            printf("%s -> %s\n", files->paths[i], o.paths[i]);
    } else if (!code && files->count > 0) {
        struct batch b = {.common = &r->common,
                          .command = "features",
                          .kind = KIND_FEATURES,
                          .params = {params.data, (uint32_t)params.bytes},
                          .files = files,
                          .item_params = o.params,
                          .show = show,
                          .context = o.paths};
        if (r->common.format == OUTPUT_CSV)
            puts("path,out,feature,bins,frames,dtype,from_store,,,,,error_class,error_message");
        exit_code = batch_run(&b);
    }
    for (size_t i = 0; i < n; i++) {
        free(o.paths ? o.paths[i] : NULL);
        if (o.buffers)
            wire_free(&o.buffers[i]);
    }
    free(o.paths);
    free(o.buffers);
    free(o.params);
    wire_free(&params);
    return exit_code;
}

int cmd_features(int argc, char **argv)
{
    static const struct option options[] = {{"kind", required_argument, NULL, KIND},
                                            {"out", required_argument, NULL, OUT},
                                            {"n-fft", required_argument, NULL, N_FFT},
                                            {"hop", required_argument, NULL, HOP},
                                            {"hop-length", required_argument, NULL, HOP},
                                            {"win-length", required_argument, NULL, WIN_LENGTH},
                                            {"window", required_argument, NULL, WINDOW},
                                            {"pad", required_argument, NULL, PAD},
                                            {"no-center", no_argument, NULL, NO_CENTER},
                                            {"n-mels", required_argument, NULL, N_MELS},
                                            {"fmin", required_argument, NULL, FMIN},
                                            {"fmax", required_argument, NULL, FMAX},
                                            {"htk", no_argument, NULL, HTK},
                                            {"no-norm", no_argument, NULL, NO_NORM},
                                            {"top-db", required_argument, NULL, TOP_DB},
                                            {"force", no_argument, NULL, FORCE},
                                            CLI_PRIORITY_OPTION,
                                            {"verify", no_argument, NULL, VERIFY},
                                            {"keep", no_argument, NULL, KEEP},
                                            {"n-mfcc", required_argument, NULL, N_MFCC},
                                            {"lifter", required_argument, NULL, LIFTER},
                                            {"roll-percent", required_argument, NULL, ROLLOFF},
                                            {"n-bands", required_argument, NULL, N_BANDS},
                                            {"quantile", required_argument, NULL, QUANTILE},
                                            {"order", required_argument, NULL, ORDER},
                                            {"rate", required_argument, NULL, RATE},
                                            {"resample", required_argument, NULL, RESAMPLE},
                                            {"isa", required_argument, NULL, ISA},
                                            {"channels", required_argument, NULL, CHANNELS},
                                            {"skip-existing", no_argument, NULL, SKIP},
                                            CLI_COMMON_OPTIONS};
    struct request r = {.params = {.fmin_hz = NAN,
                                   .fmax_hz = NAN,
                                   .top_db = NAN,
                                   .lifter = NAN,
                                   .rolloff = NAN,
                                   .quantile = NAN,
                                   .order = NAN}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        const int code = set_option(&r, o);
        if (code >= 0)
            return code;
    }
    enum feature_kind kind;
    if (!r.feature || !r.out || optind == argc)
        return cli_usage("features", "%s",
                         !r.feature ? "--kind is missing"
                         : !r.out   ? "--out is missing"
                                    : "which file?");
    if (feature_parse(r.feature, &kind))
        return cli_usage("features", "--kind: %s", status_message());
    r.params.each_channel = r.channels && strcmp(r.channels, "each") == 0;
    if (r.channels && !r.params.each_channel && strcmp(r.channels, "mix") != 0)
        return cli_usage("features", "--channels: there are mix and each");
    if (r.params.each_channel && kind != FEATURE_SAMPLES)
        return cli_usage("features", "--channels each is of --kind samples only");
    r.params.feature = wire_str(r.feature);
    r.params.window = wire_str(r.window);
    r.params.pad = wire_str(r.pad);
    struct walk files = {0};
    int code = STATUS_OK;
    for (int i = optind; i < argc && !code; i++)
        code = walk_add(&files, argv[i]);
    const int exit_code = code               ? cli_failed("features", code)
                          : files.count == 0 ? cli_usage("features", "there are no audio files in %s", argv[optind])
                                             : run(&r, &files);
    walk_free(&files);
    return exit_code;
}
