#include "cli.h"
#include "paths.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "usage: wavemill analyze [OPTION...] PATH...\n"
                           "Measures audio files; folders are walked. Duration, level, zero crossings and spectral "
                           "centroid of the mono mean at the\n"
                           "file's own rate go to the feature store and to stdout. A file that was measured before is "
                           "not read again, wherever it\n"
                           "has been moved. Bad files are reported one line each; the rest goes on.\n\n"
                           "  --n-fft N          samples per frame, 16 to 65536 (default 2048)\n"
                           "  --hop N            samples between frames (default 512)\n"
                           "  --force            compute also what is in the store\n"
                           "  --verify           read every file's bytes again to know it by its contents\n"
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
    printf(" %11.1f", r->spectral_centroid_hz);
    if (r->from_store)
        printf(" %8s\n", "store");
    else
        printf(" %8.1f\n", 1000 * r->seconds);
}

static void show_json(const char *path, const struct kind_analyze_result *r)
{
    json_t *line = output_begin(path), *params = json_object(), *results = json_object();
    output_provenance(line, (const struct kind_provenance *)r);
    json_object_set_new(params, "n_fft", json_integer((json_int_t)r->n_fft));
    json_object_set_new(params, "hop_length", json_integer((json_int_t)r->hop));
    json_object_set_new(line, "params", params);
    json_object_set_new(results, "duration_s", output_number(r->duration_s));
    json_object_set_new(results, "rms", output_number(r->rms));
    json_object_set_new(results, "peak", output_number(r->peak));
    json_object_set_new(results, "zero_crossing_rate", output_number(r->zero_crossing_rate));
    json_object_set_new(results, "spectral_centroid_hz", output_number(r->spectral_centroid_hz));
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

static int show(struct batch *b, const char *path, struct wire_slice result)
{
    struct kind_analyze_result r;
    const int code = wire_decode(&kind_analyze_result_schema, result.data, result.bytes, &r);
    if (code)
        return code;
    b->from_store += r.from_store;
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
    if (b->common->quiet || paths_find(NULL, &paths))
        return;
    fprintf(stderr, "%llu files", (unsigned long long)(b->done + b->failed));
    if (b->failed)
        fprintf(stderr, ", %llu failed", (unsigned long long)b->failed);
    if (b->from_store && b->from_store == b->done)
        fprintf(stderr, ", %s from the store", b->failed ? "the rest came" : "all came");
    else if (b->from_store)
        fprintf(stderr, ", %llu came from the store", (unsigned long long)b->from_store);
    fprintf(stderr, ", in %.2f s\n", b->seconds);
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
    enum { N_FFT = 1, HOP, FORCE, VERIFY, PRIORITY };
    static const struct option options[] = {{"n-fft", required_argument, NULL, N_FFT},
                                            {"hop", required_argument, NULL, HOP},
                                            {"force", no_argument, NULL, FORCE},
                                            {"verify", no_argument, NULL, VERIFY},
                                            {"priority", required_argument, NULL, PRIORITY},
                                            CLI_COMMON_OPTIONS};
    struct common common = {0};
    struct kind_analyze_params p = {0};
    double priority = 0, number;
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
        case FORCE:
            p.force = true;
            break;
        case VERIFY:
            p.verify = true;
            break;
        case PRIORITY:
            if (!cli_number("analyze", "--priority", optarg, -1000, 1000, &priority))
                return EXIT_USAGE;
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
    struct batch b = {
        .common = &common, .command = "analyze", .kind = KIND_ANALYZE, .priority = (int64_t)priority, .show = show};
    const int code = run(&b, &p, &files, argc - optind, argv + optind);
    walk_free(&files);
    return code;
}
