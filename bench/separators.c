/* bench_separators FILE THREADS ROUNDS [ISA]: what separators without weights take for FILE, raw stereo f32, as lines
 * NAME SECONDS PROCESSOR-SECONDS, each the median of its rounds. bench/separators.py makes the file and asks librosa.
 */
#include "center_split.h"
#include "hpss_split.h"
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BLOCK_FRAMES = 65536, ROUNDS_MOST = 99 };

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int count(void *context, const float *stems, int64_t frames)
{
    (void)stems;
    *(int64_t *)context += frames;
    return STATUS_OK;
}

static int create(int which, struct exec *ex, int64_t *out, struct separation **s)
{
    const struct hpss_split_params h = hpss_split_defaults();
    const struct center_split_params c = center_split_defaults();
    return which ? center_split_create(&c, ex, count, out, s) : hpss_split_create(&h, ex, count, out, s);
}

static int run(int which, struct exec *ex, const float *x, int64_t frames, double *seconds, double *processor)
{
    struct separation *s = NULL;
    int64_t out = 0;
    const double begin = now(CLOCK_MONOTONIC), busy = now(CLOCK_PROCESS_CPUTIME_ID);
    int code = create(which, ex, &out, &s);
    for (int64_t at = 0; at < frames && !code; at += BLOCK_FRAMES)
        code = separation_push(s, x + at * 2, frames - at < BLOCK_FRAMES ? frames - at : BLOCK_FRAMES);
    code = code ? code : separation_finish(s);
    separation_destroy(&s);
    *seconds = now(CLOCK_MONOTONIC) - begin;
    *processor = now(CLOCK_PROCESS_CPUTIME_ID) - busy;
    if (!code && out != frames)
        return fail(STATUS_INTERNAL, "separators: %lld of %lld frames came out", (long long)out, (long long)frames);
    return code;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, rising);
    return values[n / 2];
}

static int measure(struct exec *ex, const float *x, int64_t frames, int rounds)
{
    static const char *const names[] = {"hpss_split", "center_split"};
    double seconds[2][ROUNDS_MOST], processor[2][ROUNDS_MOST];
    for (int r = 0; r < rounds; r++)
        for (int k = 0; k < 2; k++) {
            const int code = run(k, ex, x, frames, &seconds[k][r], &processor[k][r]);
            if (code)
                return code;
        }
    for (int k = 0; k < 2; k++)
        printf("%s %.4f %.4f\n", names[k], median(seconds[k], rounds), median(processor[k], rounds));
    return STATUS_OK;
}

static float *load(const char *path, int64_t *frames)
{
    FILE *const f = fopen(path, "rb");
    if (!f)
        return NULL;
    float *x = NULL;
    if (fseek(f, 0, SEEK_END) == 0 && ftell(f) > 0) {
        *frames = ftell(f) / (int64_t)(2 * sizeof *x);
        x = malloc((size_t)*frames * 2 * sizeof *x);
        if (fseek(f, 0, SEEK_SET) || !x || fread(x, 2 * sizeof *x, (size_t)*frames, f) != (size_t)*frames) {
            free(x);
            x = NULL;
        }
    }
    (void)fclose(f);
    return x;
}

int main(int argc, char **argv)
{
    enum exec_isa isa = isa_best();
    const long threads = argc > 3 ? strtol(argv[2], NULL, 10) : 0, rounds = argc > 3 ? strtol(argv[3], NULL, 10) : 0;
    if (threads < 1 || threads > 1024 || rounds < 1 || rounds > ROUNDS_MOST ||
        (argc > 4 && isa_parse(argv[4], &isa) != STATUS_OK)) {
        (void)fprintf(stderr, "usage: bench_separators FILE THREADS ROUNDS [ISA]\n");
        return 2;
    }
    int64_t frames = 0;
    float *const x = load(argv[1], &frames);
    struct exec *ex = NULL;
    int code = x ? STATUS_OK : fail(STATUS_IO, "separators: cannot read %s", argv[1]);
    code = code ? code
                : exec_create(&(struct exec_options){.isa = isa, .threads = (int)threads, .ops = ops_cpu(isa)}, &ex);
    code = code ? code : measure(ex, x, frames, (int)rounds);
    exec_destroy(&ex);
    free(x);
    if (code)
        (void)fprintf(stderr, "%s\n", status_message());
    return code ? 1 : 0;
}
