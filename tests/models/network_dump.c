/* network_dump segment MODEL.safetensors IN.raw OUT.raw [THREADS [REPEATS]]
 * network_dump whole MODEL.safetensors IN.raw OUT.raw THREADS OVERLAP CHUNK SHIFTS SEED [SAVE_EVERY]
 *
 * A network on raw float32 samples, two channels side by side: one segment, zeros behind the end of the input, as it
 * is; or a whole signal as the separate command feeds it. OUT is [frames][stems][2]. Says how long the fastest run
 * took. With SAVE_EVERY another separation goes on from the saved state of the last one after so many frames.
 * Instruction set: WAVEMILL_TEST_ISA, else the best. Backend: WAVEMILL_TEST_BACKEND, cpu if there is none;
 * precision: WAVEMILL_TEST_PRECISION, else fp32. */
#include "demucs_split.h"
#include "device.h"
#include "exec.h"
#include "htdemucs.h"
#include "module.h"
#include "ops.h"
#include "safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int make_exec(long threads, struct exec **out)
{
    const char *const isa = getenv("WAVEMILL_TEST_ISA"), *const backend = getenv("WAVEMILL_TEST_BACKEND");
    struct exec_options o = {.threads = (int)threads, .isa = isa_best()};
    int code = isa ? isa_parse(isa, &o.isa) : STATUS_OK;
    if (backend && strcmp(backend, "cpu") != 0) {
        o.backend = strcmp(backend, "cuda") == 0 ? BACKEND_CUDA : BACKEND_EMULATED;
        code = code ? code : module_load(o.backend, &o.module);
    } else {
        o.ops = ops_cpu(o.isa);
    }
    return code ? code : exec_create(&o, out);
}

static int run_segment(struct htdemucs *net, struct exec *ex, char **argv, long repeats)
{
    const struct htdemucs_config *const c = htdemucs_config(net);
    const size_t wave = (size_t)c->segment * 2, all = wave * (size_t)c->stems;
    float *const mix = calloc(wave, sizeof *mix), *const stems = calloc(all, sizeof *stems);
    struct htdemucs_room *room = NULL;
    FILE *const in = fopen(argv[3], "rb"), *const out = fopen(argv[4], "wb");
    int code = mix && stems && in && out ? STATUS_OK : fail(STATUS_IO, "cannot open %s and %s", argv[3], argv[4]);
    if (!code && fread(mix, sizeof *mix, wave, in) == 0)
        code = fail(STATUS_IO, "%s is empty", argv[3]);
    code = code ? code : htdemucs_room_create(net, ex, 1, &room);
    double fastest = 1e9;
    const struct device_api *const api = exec_device_api(ex);
    for (long i = 0; i < repeats && !code; i++) {
        const double start = now_s();
        code = htdemucs_run(net, ex, room, &(struct htdemucs_segment){mix, stems}, 1);
        const double took = now_s() - start;
        fastest = took < fastest ? took : fastest;
    }
    if (!code && fwrite(stems, sizeof *stems, all, out) != all)
        code = fail(STATUS_IO, "cannot write %s", argv[4]);
    if (!code)
        printf("seconds %.4f\nweights_bytes %zu\nroom_bytes %zu\n", fastest, htdemucs_bytes(net),
               htdemucs_room_bytes(c, 1));
    if (!code)
        printf("launches %llu\n",
               api ? (unsigned long long)(api->stream_launches(exec_stream(ex)) / (uint64_t)repeats) : 0);
    if (in)
        fclose(in);
    if (out && fclose(out) && !code)
        code = fail(STATUS_IO, "cannot write %s", argv[4]);
    htdemucs_room_destroy(&room);
    free(mix);
    free(stems);
    return code;
}

/* ---- whole ---- */

struct whole {
    struct exec *ex;
    struct htdemucs_room *room;
    float *x, *y;
    int64_t frames, done;
    struct demucs_split_params p;
    struct separation *s;
};

static int run_one(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
                   const struct demucs_alive *unused)
{
    struct whole *const w = context;
    (void)unused;
    return htdemucs_run(net, w->ex, w->room, segments, count);
}

static int take(void *context, const float *stems, int64_t frames)
{
    struct whole *const w = context;
    const int64_t values = (int64_t)w->s->stems * 2;
    if (w->done + frames > w->frames)
        return fail(STATUS_INTERNAL, "more frames came out than went in");
    memcpy(w->y + w->done * values, stems, (size_t)(frames * values) * sizeof *stems);
    w->done += frames;
    return STATUS_OK;
}

static int read_whole(const char *path, struct whole *w)
{
    FILE *const in = fopen(path, "rb");
    if (!in)
        return fail(STATUS_IO, "cannot open %s", path);
    if (fseek(in, 0, SEEK_END)) {
        fclose(in);
        return fail(STATUS_IO, "cannot read %s", path);
    }
    w->frames = ftell(in) / 8;
    rewind(in);
    w->x = calloc((size_t)(2 * w->frames + 2), sizeof *w->x);
    const bool whole = w->x && fread(w->x, 8, (size_t)w->frames, in) == (size_t)w->frames;
    fclose(in);
    return whole ? STATUS_OK : fail(STATUS_IO, "cannot read %s", path);
}

/* Mean and unbiased deviation of the mono mix. */
static void measure(struct whole *w)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < w->frames; i++)
        sum += 0.5 * ((double)w->x[2 * i] + w->x[2 * i + 1]);
    const double mean = w->frames ? sum / (double)w->frames : 0;
    for (int64_t i = 0; i < w->frames; i++) {
        const double d = 0.5 * ((double)w->x[2 * i] + w->x[2 * i + 1]) - mean;
        squares += d * d;
    }
    w->p.mean = (float)mean;
    w->p.deviation = w->frames > 1 ? (float)sqrt(squares / (double)(w->frames - 1)) : 0;
}

/* Another separation in the place of this one, from what it saves. */
static int change_over(struct whole *w)
{
    struct separation *next = NULL;
    const size_t bytes = w->s->methods->state_bytes(w->s);
    void *const state = malloc(bytes);
    int code = state ? demucs_split_create(&w->p, take, w, &next) : fail(STATUS_NOMEM, "out of memory");
    if (!code) {
        w->s->methods->save(w->s, state);
        code = next->methods->restore(next, state, bytes);
    }
    free(state);
    if (code) {
        separation_destroy(&next);
        return code;
    }
    separation_destroy(&w->s);
    w->s = next;
    return STATUS_OK;
}

static int separate(struct whole *w, int64_t save_every)
{
    const int64_t block = save_every ? save_every : 10007;
    int code = demucs_split_create(&w->p, take, w, &w->s);
    for (int64_t at = 0; at < w->frames && !code; at += block) {
        code = separation_push(w->s, w->x + 2 * at, w->frames - at < block ? w->frames - at : block);
        code = code || !save_every ? code : change_over(w);
    }
    code = code ? code : separation_finish(w->s);
    return code || w->done == w->frames ? code : fail(STATUS_INTERNAL, "fewer frames came out than went in");
}

static int run_whole(struct htdemucs *net, struct exec *ex, int argc, char **argv)
{
    const int stems = htdemucs_config(net)->stems;
    struct whole w = {.ex = ex, .p.bag = {.networks = 1, .network = {net}, .runner = {.run = run_one}}};
    w.p.bag.runner.context = &w;
    w.p.overlap = strtod(argv[6], NULL);
    w.p.chunk = strtoll(argv[7], NULL, 10);
    w.p.shifts = (int)strtol(argv[8], NULL, 10);
    w.p.seed = strtoull(argv[9], NULL, 10);
    for (int s = 0; s < stems; s++) {
        w.p.bag.wanted[s] = true;
        w.p.bag.weight[0][s] = 1;
    }
    int code = read_whole(argv[3], &w);
    code = code ? code : htdemucs_room_create(net, ex, 1, &w.room);
    if (!code) {
        measure(&w);
        w.y = calloc((size_t)(w.frames * stems * 2 + 1), sizeof *w.y);
        code = w.y ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    }
    const double start = now_s();
    code = code ? code : separate(&w, argc > 10 ? strtoll(argv[10], NULL, 10) : 0);
    if (!code)
        printf("seconds %.4f\nruns %lld\n", now_s() - start, (long long)demucs_split_runs(&w.p, w.frames));
    FILE *const out = code ? NULL : fopen(argv[4], "wb");
    const size_t all = (size_t)(w.frames * stems * 2);
    if (!code && (!out || fwrite(w.y, sizeof *w.y, all, out) != all))
        code = fail(STATUS_IO, "cannot write %s", argv[4]);
    if (out && fclose(out) && !code)
        code = fail(STATUS_IO, "cannot write %s", argv[4]);
    separation_destroy(&w.s);
    htdemucs_room_destroy(&w.room);
    free(w.x);
    free(w.y);
    return code;
}

int main(int argc, char **argv)
{
    struct safetensors *file = NULL;
    struct htdemucs *net = NULL;
    struct exec *ex = NULL;
    const bool whole = argc >= 10 && strcmp(argv[1], "whole") == 0;
    if (!whole && (argc < 5 || strcmp(argv[1], "segment") != 0)) {
        fprintf(stderr, "network_dump segment|whole MODEL.safetensors IN.raw OUT.raw ...\n");
        return 2;
    }
    int code = make_exec(argc > 5 ? strtol(argv[5], NULL, 10) : 1, &ex);
    code = code ? code : safetensors_open_path(argv[2], &file);
    const char *const named = getenv("WAVEMILL_TEST_PRECISION");
    enum precision precision = PRECISION_F32;
    code = code || !named ? code : precision_parse(named, &precision);
    code = code ? code : htdemucs_load(file, argv[2], precision, ex, &net);
    safetensors_close(&file);
    if (!code)
        code = whole ? run_whole(net, ex, argc, argv)
                     : run_segment(net, ex, argv, argc > 6 ? strtol(argv[6], NULL, 10) : 1);
    htdemucs_unload(&net);
    exec_destroy(&ex);
    if (code)
        fprintf(stderr, "network_dump: %s\n", status_message());
    return code ? 1 : 0;
}
