#include "train_pack.h"

#include "kinds.h"
#include "log.h"
#include "npy.h"
#include "paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* IDLE_MOST: waits in which nobody takes anything, before that is said. */
enum { WAIT_MS = 500, IDLE_MOST = 10, CHUNK = 1024, FOLDER_MOST = PATHS_MAX - 64 };

/* One file on its way. */
struct wanted {
    const struct pack_entry *had; /* in the older pack */
    bool is_decoded;
    uint64_t samples;
};

struct making {
    struct train_pack *t;
    const struct train_pack_file *files;
    struct wanted *wanted;
    size_t *missing; /* indexes of the files that have to be decoded */
    size_t missing_count;
    int64_t rate_hz;
    char folder[PATHS_MAX], making[PATHS_MAX], pack[PATHS_MAX];
    int lock;
    struct pack *older;
};

static int out_of_memory(void)
{
    return fail(STATUS_NOMEM, "out of memory");
}

static int leave_out(struct making *m, size_t i, const char *why)
{
    m->t->errors[i] = strdup(why);
    m->t->failed++;
    return m->t->errors[i] ? STATUS_OK : out_of_memory();
}

/* ---- what is wanted, and where it goes ---- */

static int check_wish(const char *home, const char *dataset, const struct train_pack_file *files, size_t count,
                      int64_t rate_hz)
{
    if (home[0] != '/')
        return fail(STATUS_ARGUMENT, "%.100s: the path is not absolute", home);
    if (!*dataset || *dataset == '.' || strchr(dataset, '/'))
        return fail(STATUS_ARGUMENT, "'%.64s' is no name of a dataset", dataset);
    if (rate_hz < 1 || rate_hz > PACK_RATE_MOST)
        return fail(STATUS_ARGUMENT, "%" PRId64 " Hz, allowed 1 to %d", rate_hz, PACK_RATE_MOST);
    if (count < 1 || count > PACK_ENTRIES_MOST)
        return fail(STATUS_ARGUMENT, "%zu files, a pack has 1 to %d", count, PACK_ENTRIES_MOST);
    for (size_t i = 0; i < count; i++) {
        const struct pack_item item = {files[i].hash, files[i].part, files[i].label};
        if (files[i].path[0] != '/')
            return fail(STATUS_ARGUMENT, "%.100s: the path is not absolute", files[i].path);
        const int code = status_context(pack_check_item(&item), "%.200s", files[i].path);
        if (code)
            return code;
    }
    return STATUS_OK;
}

static int open_folder(struct making *m, const char *home, const char *dataset)
{
    const int n = snprintf(m->folder, sizeof m->folder, "%s/datasets/%s/packs", home, dataset);
    if (n >= FOLDER_MOST)
        return fail(STATUS_ARGUMENT, "%.100s..: the path is too long", home);
    snprintf(m->making, sizeof m->making, "%.*s/.making", FOLDER_MOST, m->folder);
    snprintf(m->pack, sizeof m->pack, "%.*s/%" PRId64 ".pack", FOLDER_MOST, m->folder, m->rate_hz);
    const int code = paths_make(m->folder);
    if (code)
        return code;
    m->lock = open(m->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->lock >= 0 && flock(m->lock, LOCK_EX) == 0)
        return STATUS_OK;
    return errno == EINTR ? fail(STATUS_CANCELLED, "interrupted")
                          : fail(STATUS_IO, "cannot lock %s: %s", m->folder, strerror(errno));
}

/* Files only: nothing else is ever made there. */
static void remove_making(const struct making *m)
{
    DIR *const d = opendir(m->making);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(m->making);
}

/* ---- what an older pack has ---- */

struct by_hash {
    const struct pack_entry *entry;
};

static int compare(const void *a, const void *b)
{
    const struct by_hash *const x = a, *const y = b;
    return memcmp(x->entry->file.bytes, y->entry->file.bytes, HASH_BYTES);
}

/* One that cannot be used is told of, and made again. */
static int open_older(struct making *m)
{
    const int fd = open(m->pack, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? STATUS_OK : fail(STATUS_IO, "cannot read %s: %s", m->pack, strerror(errno));
    const int code = pack_open(fd, m->pack, &m->older);
    close(fd);
    if (code != STATUS_DAMAGED && code != STATUS_VERSION)
        return code;
    log_warn("it is made again: %s", status_message());
    return STATUS_OK;
}

static int take_from_older(struct making *m, size_t count)
{
    const size_t there = m->older && pack_rate_hz(m->older) == m->rate_hz ? pack_count(m->older) : 0;
    struct by_hash *const sorted = malloc((there + 1) * sizeof *sorted);
    if (!sorted)
        return out_of_memory();
    size_t sound = 0;
    for (size_t k = 0; k < there; k++) {
        if (pack_check(m->older, k) == STATUS_OK)
            sorted[sound++].entry = pack_at(m->older, k);
        else
            log_warn("it is decoded again: %s", status_message());
    }
    qsort(sorted, sound, sizeof *sorted, compare);
    for (size_t i = 0; i < count; i++) {
        const struct pack_entry wish = {.file = m->files[i].hash};
        const struct by_hash key = {&wish}, *const found = bsearch(&key, sorted, sound, sizeof *sorted, compare);
        m->wanted[i].had = found ? found->entry : NULL;
        if (!found)
            m->missing[m->missing_count++] = i;
    }
    free(sorted);
    return STATUS_OK;
}

/* Would a new one have the same bytes? */
static bool is_older_whole(const struct making *m, size_t count)
{
    size_t k = 0;
    for (size_t i = 0; i < count; i++) {
        if (!m->wanted[i].had && !m->wanted[i].is_decoded)
            continue;
        const struct pack_entry *const e = m->older && k < pack_count(m->older) ? pack_at(m->older, k++) : NULL;
        if (!e || !m->wanted[i].had || memcmp(&e->file, &m->files[i].hash, sizeof e->file) != 0 ||
            e->part != m->files[i].part || strcmp(e->label, m->files[i].label) != 0)
            return false;
    }
    return k > 0 && k == pack_count(m->older);
}

/* ---- decoding, by the workers ---- */

static void array_path(const struct making *m, size_t i, char out[PATHS_MAX])
{
    snprintf(out, PATHS_MAX, "%.*s/%zu.npy", FOLDER_MOST + 16, m->making, i);
}

static int add_items(struct making *m, uint64_t job)
{
    struct client_item *const items = calloc(CHUNK, sizeof *items);
    struct wire_buffer params[CHUNK] = {{0}};
    int code = items ? STATUS_OK : out_of_memory();
    for (size_t from = 0; from < m->missing_count && !code; from += CHUNK) {
        const size_t n = m->missing_count - from < CHUNK ? m->missing_count - from : CHUNK;
        for (size_t k = 0; k < n && !code; k++) {
            char out[PATHS_MAX];
            array_path(m, m->missing[from + k], out);
            const struct kind_features_item item = {.out = wire_str(out)};
            params[k].bytes = 0;
            code = wire_encode(&kind_features_item_schema, &item, &params[k]);
            items[k] = (struct client_item){.path = m->files[m->missing[from + k]].path,
                                            .params = {params[k].data, (uint32_t)params[k].bytes}};
        }
        code = code ? code : client_add(m->t->client, job, items, n);
    }
    for (size_t k = 0; k < CHUNK; k++)
        wire_free(&params[k]);
    free(items);
    return code;
}

/* A result that is none of ours to believe: the file may be another one by now. */
static int check_result(const struct train_pack_file *file, struct wire_slice result, uint64_t *samples)
{
    struct kind_features_result r;
    const int code = wire_decode(&kind_features_result_schema, result.data, result.bytes, &r);
    if (code)
        return code;
    if (r.hash.bytes != HASH_BYTES || memcmp(r.hash.data, file->hash.bytes, HASH_BYTES) != 0)
        return fail(STATUS_FORMAT, "its bytes are not those that the dataset has");
    if (r.frames == 0)
        return fail(STATUS_FORMAT, "it has no samples");
    if (r.bins != 1)
        return fail(STATUS_INTERNAL, "%" PRIu64 " channels, not 1", r.bins);
    *samples = r.frames;
    return STATUS_OK;
}

static int take_outcome(struct making *m, const struct message_outcome *o)
{
    if (o->index >= m->missing_count)
        return fail(STATUS_FORMAT, "scheduler: an outcome of item %" PRIu64, o->index);
    const size_t i = m->missing[o->index];
    char **const error = &m->t->errors[i];
    m->t->failed -= *error != NULL; /* what was said of it before counts no more */
    free(*error);
    *error = NULL;
    m->wanted[i].is_decoded = false;
    if (o->retried)
        return STATUS_OK;
    if (o->state == ITEM_DONE) {
        if (check_result(&m->files[i], o->result, &m->wanted[i].samples))
            return leave_out(m, i, status_message());
        m->wanted[i].is_decoded = true;
        return STATUS_OK;
    }
    char message[LIMIT_MESSAGE + 1];
    wire_copy(o->message, message, sizeof message);
    return leave_out(m, i, o->state == ITEM_CANCELLED ? "cancelled" : message);
}

static int watch(struct making *m, uint64_t job)
{
    uint64_t cursor = 0;
    bool over = false;
    int code = STATUS_OK, idle = 0;
    while (!code && !over) {
        struct client_page page;
        struct message_outcome o;
        if ((code = client_watch(m->t->client, job, cursor, WAIT_MS, &page)))
            return code;
        while (!code && client_next(&page, &o))
            code = take_outcome(m, &o);
        cursor = page.cursor;
        over = page.over;
        if (!code && over && page.job.state == JOB_CANCELLED)
            code = fail(STATUS_CANCELLED, "the job was cancelled");
        idle = page.job.leased || page.job.done || page.job.dead ? IDLE_MOST : idle + 1;
        if (!code && !over && idle == IDLE_MOST - 1)
            log_warn("the sounds wait to be decoded: that takes a worker of the scheduler's machine, which is busy or "
                     "not there");
        if (m->t->progress)
            progress_show(m->t->progress, page.job.done + page.job.dead, m->missing_count);
        client_page_release(&page);
    }
    return code;
}

static int decode(struct making *m)
{
    const struct kind_features_params p = {.feature = wire_str("samples"),
                                           .rate_hz = (uint64_t)m->rate_hz,
                                           .fmin_hz = NAN,
                                           .fmax_hz = NAN,
                                           .top_db = NAN,
                                           .lifter = NAN,
                                           .rolloff = NAN,
                                           .quantile = NAN,
                                           .order = NAN};
    struct wire_buffer params = {0};
    uint64_t job = 0;
    int code = wire_encode(&kind_features_params_schema, &p, &params);
    if (!code)
        code = client_submit(m->t->client,
                             &(struct client_job){.kind = KIND_FEATURES,
                                                  .name = "pack",
                                                  .params = {params.data, (uint32_t)params.bytes},
                                                  .cancel_on_disconnect = true},
                             &job);
    wire_free(&params);
    if (code)
        return code;
    if (m->t->progress)
        m->t->progress->job = job;
    code = add_items(m, job);
    code = code ? code : client_seal(m->t->client, job);
    code = code ? code : watch(m, job);
    if (code) {
        char why[512];
        struct message_job ignored;
        snprintf(why, sizeof why, "%s", status_message());
        const int told = client_cancel(m->t->client, job, &ignored);
        (void)told; /* the end of the session cancels it as well */
        return fail((enum status)code, "%s", why);
    }
    return STATUS_OK;
}

/* ---- writing ---- */

/* Into the pack, from the array that a worker wrote. What the worker said of it must be true. */
static int add_array(struct making *m, struct pack_writer *w, size_t i, const struct pack_item *item)
{
    char path[PATHS_MAX], header[NPY_HEADER_BYTES];
    struct stat s;
    const uint64_t samples = m->wanted[i].samples, bytes = NPY_HEADER_BYTES + samples * sizeof(float);
    array_path(m, i, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    int code = npy_signal_header(1, (int64_t)samples, header);
    if (!code && (samples > PACK_BYTES_MOST || fstat(fd, &s) || (uint64_t)s.st_size != bytes))
        code = fail(STATUS_INTERNAL, "%s: not an array of %" PRIu64 " samples", path, samples);
    uint8_t *const map = code ? MAP_FAILED : mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (!code && map == MAP_FAILED)
        code = fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    if (!code && memcmp(map, header, sizeof header) != 0)
        code = fail(STATUS_INTERNAL, "%s: not an array of %" PRIu64 " samples", path, samples);
    if (!code)
        code = pack_add(w, item, (const float *)(const void *)(map + NPY_HEADER_BYTES), samples);
    if (code == STATUS_FORMAT) /* the worker has looked for that */
        code = fail(STATUS_INTERNAL, "%s has a sample that is not a finite number", path);
    if (map != MAP_FAILED)
        munmap(map, bytes);
    close(fd);
    unlink(path); /* there is room for it once, not twice */
    return code;
}

static int write_pack(struct making *m, size_t count)
{
    char path[PATHS_MAX];
    struct pack_writer *w = NULL;
    snprintf(path, sizeof path, "%.*s/pack", FOLDER_MOST + 16, m->making);
    int code = pack_create(path, m->rate_hz, &w);
    for (size_t i = 0; i < count && !code; i++) {
        const struct pack_entry *const had = m->wanted[i].had;
        const struct pack_item item = {m->files[i].hash, m->files[i].part, m->files[i].label};
        if (had)
            code = pack_add(w, &item, had->samples, had->count);
        else if (m->wanted[i].is_decoded)
            code = add_array(m, w, i, &item);
        m->t->decoded += !code && m->wanted[i].is_decoded;
    }
    if (!code)
        code = pack_finish(&w);
    pack_abandon(&w);
    if (!code && rename(path, m->pack))
        code = fail(STATUS_IO, "cannot write %s: %s", m->pack, strerror(errno));
    return code ? code : paths_sync(m->folder);
}

static int none_left(const struct making *m, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!m->t->errors[i])
            return STATUS_OK;
    return fail(STATUS_FORMAT, "none of %zu files can be learned from; the first: %.200s: %.200s", count,
                m->files[0].path, m->t->errors[0]);
}

static int make(struct making *m, size_t count)
{
    remove_making(m); /* of one that was killed: the lock is ours */
    int code = open_older(m);
    code = code ? code : take_from_older(m, count);
    if (code || (m->missing_count == 0 && is_older_whole(m, count)))
        return code;
    code = paths_make(m->making);
    if (!code && m->missing_count)
        code = decode(m);
    code = code ? code : none_left(m, count);
    if (!code && !is_older_whole(m, count))
        code = write_pack(m, count);
    remove_making(m);
    return code;
}

int train_pack_make(struct train_pack *t, const char *home, const char *dataset, const struct train_pack_file *files,
                    size_t count, int64_t rate_hz, char *out, size_t capacity)
{
    struct making *m = calloc(1, sizeof *m);
    if (!m)
        return out_of_memory();
    *m = (struct making){.t = t, .files = files, .rate_hz = rate_hz, .lock = -1};
    t->failed = t->decoded = t->count = 0;
    t->errors = NULL;
    int code = check_wish(home, dataset, files, count, rate_hz);
    if (!code) {
        m->wanted = calloc(count, sizeof *m->wanted);
        m->missing = calloc(count, sizeof *m->missing);
        t->errors = calloc(count, sizeof *t->errors);
        t->count = count;
        code = m->wanted && m->missing && t->errors ? open_folder(m, home, dataset) : out_of_memory();
    }
    code = code ? code : make(m, count);
    if (!code && (size_t)snprintf(out, capacity, "%s", m->pack) >= capacity)
        code = fail(STATUS_ARGUMENT, "%.100s..: the path is too long", m->pack);
    pack_close(&m->older);
    if (m->lock >= 0)
        close(m->lock);
    free(m->wanted);
    free(m->missing);
    free(m);
    return code;
}

void train_pack_release(struct train_pack *t)
{
    for (size_t i = 0; t->errors && i < t->count; i++)
        free(t->errors[i]);
    free(t->errors);
    t->errors = NULL;
    t->count = 0;
}
