#include "separate_pack.h"

#include "separate_show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Descriptors that one item may take of a worker: under what one message can pass on. */
enum { DESCRIPTORS_MOST = 200 };

struct packing {
    const struct separate_packing *p;
    bool *packed;
    struct walk heads;           /* the first file of each item */
    size_t *first;               /* [items + 1] where in the files each begins */
    struct wire_buffer *buffers; /* [items] */
    struct wire_slice *params;
    uint64_t segments;
    size_t count, stems, refused; /* clips that were packed; refused: items that failed */
    double *snr_db;               /* [stems] */
};

static void free_packing(struct packing *k)
{
    for (size_t i = 0; k->buffers && i < k->heads.count; i++)
        wire_free(&k->buffers[i]);
    free(k->heads.paths); /* the names are the walk's */
    free(k->first);
    free(k->buffers);
    free(k->params);
    free(k->snr_db);
}

/* Encodes files `from` to `to` as an item; STATUS_SHAPE: it is too large. */
static int encode_item(const struct packing *k, size_t from, size_t to, struct wire_buffer *out)
{
    struct wire_buffer clips = {0};
    int code = STATUS_OK;
    for (size_t i = from; i < to && !code; i++) {
        char *const path = cli_absolute(k->p->files->paths[i]);
        const struct kind_clip clip = {.path = wire_str(path), .track = wire_str(k->p->tracks[i].name)};
        code = path ? wire_encode(&kind_clip_schema, &clip, &clips) : fail(STATUS_NOMEM, "out of memory");
        free(path);
    }
    const struct kind_clips_item item = {
        .out = wire_str(k->p->folder), .clips = wire_list_of(&clips, (uint32_t)(to - from)), .check = k->p->check};
    out->bytes = 0;
    code = code ? code : wire_encode(&kind_clips_item_schema, &item, out);
    wire_free(&clips);
    return !code && out->bytes > LIMIT_ITEM_PARAMS ? STATUS_SHAPE : code;
}

/* Neighbours in the list, as many as an item may have. */
static int make_items(struct packing *k)
{
    const size_t n = k->p->files->count;
    const int most = (DESCRIPTORS_MOST - 1 - k->p->networks) / (1 + k->p->outputs);
    const size_t each = most > LIMIT_CLIPS ? LIMIT_CLIPS : most < 1 ? 1 : (size_t)most;
    k->heads.paths = calloc(n + 1, sizeof *k->heads.paths);
    k->first = calloc(n + 1, sizeof *k->first);
    k->buffers = calloc(n + 1, sizeof *k->buffers);
    k->params = calloc(n + 1, sizeof *k->params);
    k->snr_db = calloc(n * (size_t)k->p->outputs + 1, sizeof *k->snr_db);
    if (!k->heads.paths || !k->first || !k->buffers || !k->params || !k->snr_db)
        return fail(STATUS_NOMEM, "out of memory");
    for (size_t from = 0; from < n;) {
        const size_t item = k->heads.count++;
        size_t to = from + each < n ? from + each : n;
        int code = STATUS_SHAPE;
        for (; to > from && code == STATUS_SHAPE; to -= code == STATUS_SHAPE)
            code = encode_item(k, from, to, &k->buffers[item]);
        if (code)
            return code == STATUS_SHAPE ? fail(STATUS_ARGUMENT, "%s: its path is too long", k->p->files->paths[from])
                                        : code;
        k->heads.paths[item] = k->p->files->paths[from];
        k->params[item] = (struct wire_slice){k->buffers[item].data, (uint32_t)k->buffers[item].bytes};
        k->first[item] = from;
        from = to;
        k->first[item + 1] = to;
    }
    return STATUS_OK;
}

/* Which item a result is of, by the name it was sent with. */
static size_t item_of(const struct packing *k, const char *path)
{
    size_t i = 0;
    while (i < k->heads.count && k->heads.paths[i] != path)
        i++;
    return i;
}

static int take_clip(struct batch *b, struct packing *k, size_t file, const struct kind_clip_result *one)
{
    struct kind_separate_result r;
    struct wire_list list = one->separated;
    struct kind_stem stem;
    if (!wire_next(&list, &kind_separate_result_schema, &r))
        return STATUS_OK; /* left out */
    k->packed[file] = true;
    k->count++;
    for (struct wire_list stems = r.stems; wire_next(&stems, &kind_stem_schema, &stem);)
        if (isfinite(stem.snr_db) && k->stems < k->p->files->count * (size_t)k->p->outputs)
            k->snr_db[k->stems++] = stem.snr_db;
    return separate_show_one(b->common, k->p->files->paths[file], &r);
}

static int show(struct batch *b, const char *path, struct wire_slice result)
{
    struct packing *const k = b->context;
    const size_t item = item_of(k, path);
    struct kind_clips_result r;
    struct kind_clip_result one;
    int code = wire_decode(&kind_clips_result_schema, result.data, result.bytes, &r);
    if (!code && (item == k->heads.count || r.clips.count != k->first[item + 1] - k->first[item]))
        code = fail(STATUS_FORMAT, "scheduler: a result of %u clips", r.clips.count);
    k->segments += code ? 0 : r.segments;
    for (size_t file = k->first[item]; !code && wire_next(&r.clips, &kind_clip_result_schema, &one); file++)
        code = take_clip(b, k, file, &one);
    return code;
}

/* What failed as a whole is done clip by clip. */
static bool excuse(struct batch *b, size_t index)
{
    struct packing *const k = b->context;
    (void)index;
    k->refused++;
    return true;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void say(struct packing *k)
{
    const size_t n = k->p->files->count;
    fprintf(stderr, "wavemill separate: %zu of %zu files packed into %llu segment%s: approximate%s\n", k->count, n,
            (unsigned long long)k->segments, k->segments == 1 ? "" : "s",
            k->p->check || !k->count ? "" : " (--pack-check measures how near)");
    if (k->refused)
        fprintf(stderr, "wavemill separate: %zu of %zu packs could not be made; their files go one by one\n",
                k->refused, k->heads.count);
    if (!k->snr_db || !k->stems)
        return;
    qsort(k->snr_db, k->stems, sizeof *k->snr_db, by_size);
    fprintf(stderr, "wavemill separate: SNR against the exact way, over %zu stems: median %.1f dB, worst %.1f dB\n",
            k->stems, k->snr_db[k->stems / 2], k->snr_db[0]);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): filled by take_clip */
int separate_pack(const struct separate_packing *p, bool *packed)
{
    struct packing k = {.p = p, .packed = packed};
    struct wire_buffer params = {0};
    int code = make_items(&k);
    code = code ? code : wire_encode(&kind_separate_params_schema, p->params, &params);
    struct batch b = {.common = p->common,
                      .command = "separate",
                      .kind = KIND_SEPARATE_CLIPS,
                      .params = {params.data, (uint32_t)params.bytes},
                      .files = &k.heads,
                      .item_params = k.params,
                      .device_bytes = p->device_bytes,
                      .show = show,
                      .excuse = excuse,
                      .stays = "the stems of what was finished are there",
                      .context = &k};
    const int exit_code = code ? cli_failed("separate", code) : batch_run(&b);
    if (exit_code == EXIT_DONE && !p->common->quiet)
        say(&k);
    wire_free(&params);
    free_packing(&k);
    return exit_code;
}
