#include "cli.h"
#include "paths.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "usage: wavemill analyze [OPTION...] PATH...\n"
    "Measures audio files; folders are walked. Of the mono mean at the file's own rate: duration, "
    "RMS, peak, and per frame\n"
    "level, zero crossings, log-mel, MFCC and the shape of the spectrum, of which mean, variance, "
    "median, minimum and maximum\n"
    "over the frames go to the feature store and, with --json, to stdout; also those of first "
    "differences. A file that was\n"
    "measured before is not read again, wherever it has been moved. Bad files are reported one line "
    "each; the rest goes on.\n\n"
    "  --features A,B     what to measure: rms, peak, zcr, logmel, mfcc, centroid, bandwidth, "
    "rolloff, flatness, contrast\n"
    "                     (these by default), flux, poly\n"
    "  --n-fft N          samples per frame, 16 to 65536 (default 2048)\n"
    "  --hop N            samples between frames (default 512)\n"
    "  --n-mels N         bands of logmel and mfcc, up to 512 (default 128)\n"
    "  --n-mfcc N         cepstral coefficients (default 20)\n"
    "  --isa NAME         scalar, avx2 or avx512 (default: the widest there is)\n"
    "  --force            compute also what is in the store\n"
    "  --verify           read every file's bytes again to know it by its contents\n"
    "  --upload           give the files to the scheduler, for workers that cannot read their paths\n"
    "  --priority N       -1000 to 1000, larger first (default 0)\n";

enum { FILE_COLUMNS = 44 };

static void show_table(const struct batch *b, const char *path, const struct kind_analyze_result *r)
{
    char name[4 * FILE_COLUMNS + 8];
    output_fit(path, FILE_COLUMNS, name, sizeof name);
    if (b->done + b->failed <= 1 || b->done == 1)
        printf("%-*s %10s %7s %3s %8s %8s %11s %8s\n", FILE_COLUMNS, "file", "duration s", "rate Hz", "ch", "RMS dB",
               "peak dB", "centroid Hz", "time ms");
    printf("%s %10.3f %7llu %3llu", name, r->duration_s, (unsigned long long)r->rate_hz,
           (unsigned long long)r->channels);
    if (r->rms > 0)
        printf(" %8.2f", 20 * log10(r->rms));
    else
        printf(" %8s", "-inf");
    if (r->peak > 0)
        printf(" %8.2f", 20 * log10(r->peak));
    else
        printf(" %8s", "-inf");
    if (isfinite(r->spectral_centroid_hz))
        printf(" %11.1f", r->spectral_centroid_hz);
    else
        printf(" %11s", "-");
    if (r->from_store)
        printf(" %8s\n", "store");
    else
        printf(" %8.1f\n", 1000 * r->seconds);
}

/* {"mean": .., "var": .., ..}: a number, or an array where a frame has several. */
static json_t *five(const uint8_t *statistics, uint64_t values)
{
    static const char *const names[] = {"mean", "var", "median", "min", "max"};
    json_t *all = json_object();
    for (int k = 0; k < 5; k++) {
        json_t *array = json_array();
        for (uint64_t i = 0; i < values; i++) {
            float v; /* little-endian, as every machine that this runs on */
            memcpy(&v, statistics + (k * values + i) * sizeof v, sizeof v);
            json_array_append_new(array, output_number(v));
        }
        json_object_set(all, names[k], values == 1 ? json_array_get(array, 0) : array);
        json_decref(array);
    }
    return all;
}

/* The features of one channel of the list, as {name: {..}}. */
static json_t *features_of(struct wire_list list, uint64_t channel)
{
    struct kind_series s;
    json_t *features = json_object();
    while (wire_next(&list, &kind_series_schema, &s)) {
        char name[LIMIT_NAME + 1];
        if (s.channel != channel || s.values == 0 || s.statistics.bytes != 10 * s.values * sizeof(float))
            continue;
        wire_copy(s.name, name, sizeof name);
        json_t *feature = five(s.statistics.data, s.values);
        json_object_set_new(feature, "delta", five(s.statistics.data + 5 * s.values * sizeof(float), s.values));
        json_object_set_new(features, name, feature);
    }
    return features;
}

static void add_statistics(json_t *results, const struct kind_analyze_result *r)
{
    struct wire_list levels = r->channel_levels;
    struct kind_channel level;
    if (!levels.count) {
        json_object_set_new(results, "features", features_of(r->series, 0));
        return;
    }
    json_t *channels = json_array();
    for (uint64_t c = 0; wire_next(&levels, &kind_channel_schema, &level); c++) {
        json_t *channel = json_object();
        json_object_set_new(channel, "rms", output_number(level.rms));
        json_object_set_new(channel, "peak", output_number(level.peak));
        json_object_set_new(channel, "features", features_of(r->series, c));
        json_array_append_new(channels, channel);
    }
    json_object_set_new(results, "channels", channels);
}

static void show_json(const char *path, const struct kind_analyze_result *r)
{
    json_t *line = output_begin(path), *params = json_object(), *results = json_object();
    output_provenance(line, (const struct kind_provenance *)r);
    json_object_set_new(params, "n_fft", json_integer((json_int_t)r->n_fft));
    json_object_set_new(params, "hop_length", json_integer((json_int_t)r->hop));
    json_object_set_new(params, "n_mels", json_integer((json_int_t)r->mels));
    json_object_set_new(params, "n_mfcc", json_integer((json_int_t)r->mfcc));
    json_object_set_new(params, "sample_rate", json_integer((json_int_t)r->analysis_rate_hz));
    json_object_set_new(line, "params", params);
    json_object_set_new(results, "duration_s", output_number(r->duration_s));
    json_object_set_new(results, "rms", output_number(r->rms));
    json_object_set_new(results, "peak", output_number(r->peak));
    json_object_set_new(results, "zero_crossing_rate", output_number(r->zero_crossing_rate));
    json_object_set_new(results, "spectral_centroid_hz", output_number(r->spectral_centroid_hz));
    json_object_set_new(results, "frames", json_integer((json_int_t)r->frames));
    if (r->every > 1) /* a long file: the statistics are over one of so many blocks of 64 frames */
        json_object_set_new(results, "blocks_measured_every", json_integer((json_int_t)r->every));
    add_statistics(results, r);
    json_object_set_new(line, "results", results);
    output_json_line(line);
}

static void csv_number(double v)
{
    if (isfinite(v))
        printf(",%.9g", v);
    else
        putchar(',');
}

static void show_csv(const char *path, const struct kind_analyze_result *r)
{
    output_csv_text(path);
    csv_number(r->duration_s);
    printf(",%llu,%llu", (unsigned long long)r->rate_hz, (unsigned long long)r->channels);
    csv_number(r->rms);
    csv_number(r->peak);
    csv_number(r->zero_crossing_rate);
    csv_number(r->spectral_centroid_hz);
    csv_number(r->seconds);
    printf(",%s,,\n", r->from_store ? "true" : "false");
    fflush(stdout);
}

static void add_stages(struct batch *b, const struct kind_analyze_result *r)
{
    if (isfinite(r->decode_s))
        b->decode_s += r->decode_s;
    if (!r->on_device.bytes)
        return;
    b->copy_in_s += r->copy_in_s;
    b->device_s += r->device_s;
    b->copy_out_s += r->copy_out_s;
    b->launches += r->launches;
    b->on_device++;
}

static int show(struct batch *b, const char *path, struct wire_slice result)
{
    struct kind_analyze_result r;
    const int code = wire_decode(&kind_analyze_result_schema, result.data, result.bytes, &r);
    if (code)
        return code;
    b->from_store += r.from_store;
    if (!r.from_store)
        add_stages(b, &r);
    if (b->common->format == OUTPUT_JSON)
        show_json(path, &r);
    else if (b->common->format == OUTPUT_CSV)
        show_csv(path, &r);
    else
        show_table(b, path, &r);
    return STATUS_OK;
}

static void summarise(const struct batch *b, int argc, char **argv)
{
    struct paths paths;
    if (b->common->quiet || cli_submission || paths_find(NULL, &paths))
        return;
    fprintf(stderr, "%llu files", (unsigned long long)(b->done + b->failed));
    if (b->failed)
        fprintf(stderr, ", %llu failed", (unsigned long long)b->failed);
    if (b->from_store && b->from_store == b->done)
        fprintf(stderr, ", %s from the store", b->failed ? "the rest came" : "all came");
    else if (b->from_store)
        fprintf(stderr, ", %llu came from the store", (unsigned long long)b->from_store);
    fprintf(stderr, ", in %.2f s\n", b->seconds);
    if (b->on_device)
        fprintf(stderr,
                "%llu on the device: %llu launches, kernels %.3f s, copies in %.3f s and out %.3f s, busy %.1f %%; "
                "decoding "
                "took %.2f s of the threads\n",
                (unsigned long long)b->on_device, (unsigned long long)b->launches, b->device_s, b->copy_in_s,
                b->copy_out_s, fmin(100, 100 * (b->device_s + b->copy_in_s + b->copy_out_s) / fmax(b->seconds, 1e-9)),
                b->decode_s);
    if (b->upload) /* they are in the stores of whoever measured */
        return;
    fprintf(stderr, "features are in %s; read them again with: wavemill analyze --json", paths.features);
    for (int i = 0; i < argc && i < 3; i++)
        fprintf(stderr, " %s", argv[i]);
    fprintf(stderr, "%s\n", argc > 3 ? " ..." : "");
}

static int dry_run(const struct walk *files)
{
    for (size_t i = 0; i < files->count; i++)
        puts(files->paths[i]);
    return EXIT_DONE;
}

static int run(struct batch *b, struct kind_analyze_params *p, struct walk *files, int argc, char **argv)
{
    struct wire_buffer params = {0};
    int code = STATUS_OK;
    for (int i = 0; i < argc && !code; i++)
        code = walk_add(files, argv[i]);
    if (!code)
        code = wire_encode(&kind_analyze_params_schema, p, &params);
    if (code) {
        wire_free(&params);
        return cli_failed("analyze", code);
    }
    if (files->count == 0) {
        wire_free(&params);
        return cli_usage("analyze", "there are no audio files in %s", argv[0]);
    }
    b->params = (struct wire_slice){params.data, (uint32_t)params.bytes};
    b->files = files;
    if (b->common->format == OUTPUT_CSV && !b->common->dry_run)
        puts("path,duration_s,sample_rate,channels,rms,peak,zero_crossing_rate,spectral_centroid_hz,time_s,from_"
             "store,"
             "error_class,error_message");
    const int exit_code = b->common->dry_run ? dry_run(files) : batch_run(b);
    wire_free(&params);
    if (!b->common->dry_run && (exit_code == EXIT_DONE || exit_code == EXIT_SOME_FAILED))
        summarise(b, argc, argv);
    return exit_code;
}

int cmd_analyze(int argc, char **argv)
{
    enum { N_FFT = 1, HOP, N_MELS, N_MFCC, FEATURES, RATE, CHANNELS, MONO, RESAMPLE, ISA, FORCE, VERIFY, UPLOAD };
    static const struct option options[] = {{"n-fft", required_argument, NULL, N_FFT},
                                            {"hop", required_argument, NULL, HOP},
                                            {"hop-length", required_argument, NULL, HOP},
                                            {"n-mels", required_argument, NULL, N_MELS},
                                            {"n-mfcc", required_argument, NULL, N_MFCC},
                                            {"features", required_argument, NULL, FEATURES},
                                            {"rate", required_argument, NULL, RATE},
                                            {"channels", required_argument, NULL, CHANNELS},
                                            {"mono", no_argument, NULL, MONO},
                                            {"resample", required_argument, NULL, RESAMPLE},
                                            {"isa", required_argument, NULL, ISA},
                                            {"force", no_argument, NULL, FORCE},
                                            {"verify", no_argument, NULL, VERIFY},
                                            CLI_PRIORITY_OPTION,
                                            {"upload", no_argument, NULL, UPLOAD},
                                            CLI_COMMON_OPTIONS};
    struct common common = {0};
    struct kind_analyze_params p = {0};
    struct wire_buffer names = {0};
    double number;
    bool upload = false;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        int code = -1;
        switch (o) {
        case N_FFT:
            if (!cli_number("analyze", "--n-fft", optarg, 16, 65536, &number))
                return EXIT_USAGE;
            p.n_fft = (uint64_t)number;
            break;
        case HOP:
            if (!cli_number("analyze", "--hop", optarg, 1, 1 << 30, &number))
                return EXIT_USAGE;
            p.hop = (uint64_t)number;
            break;
        case N_MELS:
            if (!cli_number("analyze", "--n-mels", optarg, 1, LIMIT_SERIES_VALUES, &number))
                return EXIT_USAGE;
            p.mels = (uint64_t)number;
            break;
        case N_MFCC:
            if (!cli_number("analyze", "--n-mfcc", optarg, 1, LIMIT_SERIES_VALUES, &number))
                return EXIT_USAGE;
            p.mfcc = (uint64_t)number;
            break;
        case FEATURES:
            if (!cli_names(optarg, &names, &p.features))
                return cli_usage("analyze", "--features: a list like rms,mfcc,contrast");
            break;
        case RATE:
            if (!cli_number("analyze", "--rate", optarg, 1, LIMIT_RATE, &number))
                return EXIT_USAGE;
            p.rate_hz = (uint64_t)number;
            break;
        case CHANNELS:
            if (strcmp(optarg, "mix") != 0 && strcmp(optarg, "each") != 0)
                return cli_usage("analyze", "--channels: there are mix and each");
            p.each_channel = strcmp(optarg, "each") == 0;
            break;
        case MONO:
            p.each_channel = false;
            break;
        case RESAMPLE:
            p.resample = wire_str(optarg);
            break;
        case ISA:
            p.isa = wire_str(optarg);
            break;
        case FORCE:
            p.force = true;
            break;
        case VERIFY:
            p.verify = true;
            break;
        case UPLOAD:
            upload = true;
            break;
        default:
            code = cli_common(o, &common, "analyze", help);
        }
        if (code >= 0)
            return code;
    }
    if (optind == argc)
        return cli_usage("analyze", "which files?");
    struct walk files = {0};
    struct batch b = {.common = &common, .command = "analyze", .kind = KIND_ANALYZE, .show = show};
    p.statistics = common.format == OUTPUT_JSON && !cli_submission; /* the store has them; the journal need not */
    b.upload = upload;
    const int code = run(&b, &p, &files, argc - optind, argv + optind);
    walk_free(&files);
    wire_free(&names);
    return code;
}
