/* dataset create: a job looks at the files, then those that are good are kept. */
#include "dataset_verbs.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const double DEFAULT_FRACTION = 0.1;

/* A file as it was found, and what the job says of it. */
struct found {
    struct dataset_file facts;
    const char *path; /* of the walk */
    size_t order;
    bool good;
};

struct creation {
    struct dataset_request *r;
    const char *name;
    struct walk files;
    struct found *found;
    size_t found_count; /* as many as files, but where the walk broke off */
    struct dataset *d;
    const char **from; /* [d->count]: where each one's bytes were found */
    uint64_t rejected;
};

static int no_memory(void)
{
    return fail(STATUS_NOMEM, "dataset: out of memory");
}

/* ---- names and labels ---- */

/* The last part of a path, without slashes at its end; "" for a folder like ".." whose name says nothing. */
static char *last_part(const char *path)
{
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from && path[from - 1] != '/')
        from--;
    char *const part = strndup(path + from, n - from);
    if (part && (strcmp(part, ".") == 0 || strcmp(part, "..") == 0))
        part[0] = '\0';
    return part;
}

/* The name below what was given; that leads the name where several were. */
static int give_name(struct found *f, const char *given, bool several)
{
    const size_t n = strlen(given);
    const char *below = strncmp(f->path, given, n) == 0 ? f->path + n : "";
    while (*below == '/')
        below++;
    char *const part = last_part(given), *name = NULL;
    if (part && *below && several && *part) {
        if (asprintf(&name, "%s/%s", part, below) < 0)
            name = NULL;
        free(part);
    } else if (part && *below) {
        name = strdup(below);
        free(part);
    } else {
        name = part;
    }
    f->facts.name = name;
    const char *const slash = name ? strrchr(name, '/') : NULL;
    f->facts.label = slash ? strndup(name, (size_t)(slash - name)) : strdup("");
    return name && f->facts.label ? STATUS_OK : no_memory();
}

static int walk(struct creation *c, int count, char **paths)
{
    int code = STATUS_OK;
    for (int i = 0; i < count && !code; i++) {
        const size_t before = c->files.count;
        code = walk_add(&c->files, paths[i]);
        struct found *const more = code ? NULL : realloc(c->found, (c->files.count + 1) * sizeof *more);
        if (!code && !more)
            code = no_memory();
        if (code)
            break;
        c->found = more;
        for (size_t k = before; k < c->files.count; k++)
            more[k] = (struct found){.path = c->files.paths[k], .order = k};
        c->found_count = c->files.count;
        for (size_t k = before; k < c->files.count && !code; k++)
            code = give_name(&more[k], paths[i], count > 1);
    }
    return code;
}

/* ---- the job ---- */

static char *copy_text(struct wire_slice s)
{
    char *const text = malloc((size_t)s.bytes + 1);
    if (text)
        wire_copy(s, text, (size_t)s.bytes + 1);
    return text;
}

static int take_facts(struct found *f, const struct kind_inspect_result *r)
{
    struct dataset_file *const d = &f->facts;
    struct wire_list warnings = r->warnings;
    struct wire_slice warning = wire_str(NULL);
    struct stat s;
    if (r->hash.bytes != HASH_BYTES)
        return fail(STATUS_FORMAT, "worker: a result without a hash");
    (void)wire_next_str(&warnings, &warning);
    free(d->codec);
    free(d->warning);
    memcpy(d->hash.bytes, r->hash.data, HASH_BYTES);
    d->codec = copy_text(r->codec);
    d->warning = copy_text(warning);
    d->bytes = stat(f->path, &s) == 0 ? (uint64_t)s.st_size : 0; /* gone since: seen when it is copied */
    d->rate_hz = (uint32_t)r->rate_hz;
    d->channels = (uint32_t)r->channels;
    d->duration_s = r->duration_s;
    d->peak = r->peak;
    d->rms = r->rms;
    d->clipped_samples = r->clipped_samples;
    f->good = true;
    return d->codec && d->warning ? STATUS_OK : no_memory();
}

static int on_result(struct batch *b, const char *path, struct wire_slice result)
{
    struct creation *const c = b->context;
    struct kind_inspect_result r;
    const int code = wire_decode(&kind_inspect_result_schema, result.data, result.bytes, &r);
    for (size_t i = 0; i < c->files.count && !code; i++)
        if (c->files.paths[i] == path)
            return take_facts(&c->found[i], &r);
    return code;
}

/* -1: go on; else the exit code. */
static int look_at_files(struct creation *c)
{
    struct batch b = {.common = &c->r->common,
                      .command = "dataset",
                      .kind = KIND_INSPECT,
                      .files = &c->files,
                      .show = on_result,
                      .stays = "nothing was created",
                      .context = c};
    const int exit_code = batch_run(&b);
    c->rejected = b.failed;
    if (exit_code != EXIT_DONE && exit_code != EXIT_SOME_FAILED)
        return exit_code;
    if (b.was_cancelled || b.done + b.failed < c->files.count) {
        fputs("wavemill dataset: nothing was created\n", stderr);
        return EXIT_SOME_FAILED;
    }
    return -1;
}

/* ---- one file for each content ---- */

static int by_hash(const void *a, const void *b)
{
    const struct found *const x = a, *const y = b;
    if (x->good != y->good)
        return x->good ? -1 : 1;
    const int order = memcmp(&x->facts.hash, &y->facts.hash, HASH_BYTES);
    return order ? order : x->order < y->order ? -1 : 1;
}

static int add_duplicate(struct dataset_file *to, struct found *from)
{
    char **const more = realloc(to->duplicates, (to->duplicates_count + 1) * sizeof *more);
    if (!more)
        return no_memory();
    to->duplicates = more;
    more[to->duplicates_count++] = from->facts.name;
    from->facts.name = NULL;
    return STATUS_OK;
}

/* The good ones move over. */
static int gather(struct creation *c)
{
    struct dataset *const d = c->d;
    int code = STATUS_OK;
    d->files = calloc(c->files.count + 1, sizeof *d->files);
    c->from = calloc(c->files.count + 1, sizeof *c->from);
    if (!d->files || !c->from)
        return no_memory();
    qsort(c->found, c->files.count, sizeof *c->found, by_hash);
    for (size_t i = 0; i < c->files.count && c->found[i].good && !code; i++) {
        struct found *const f = &c->found[i];
        struct dataset_file *const last = d->count ? &d->files[d->count - 1] : NULL;
        if (last && memcmp(&last->hash, &f->facts.hash, HASH_BYTES) == 0) {
            code = add_duplicate(last, f);
            continue;
        }
        c->from[d->count] = f->path;
        d->files[d->count++] = f->facts;
        f->facts = (struct dataset_file){0};
    }
    return code;
}

/* ---- their bytes ---- */

static int keep_one(struct creation *c, struct dataset_file *f, const char *from)
{
    if (!c->d->keeps_paths)
        return f->bytes ? dataset_keep(c->d, f, from) : fail(STATUS_NOT_FOUND, "it is gone");
    char *const absolute = cli_absolute(from);
    f->path = absolute ? realpath(absolute, NULL) : NULL;
    free(absolute);
    return f->path && f->bytes ? STATUS_OK : fail(STATUS_NOT_FOUND, "it is gone");
}

static int keep_all(struct creation *c)
{
    struct dataset *const d = c->d;
    size_t kept = 0;
    int code = dataset_begin(c->r->paths.home, d);
    for (size_t i = 0; i < d->count && !code; i++) {
        int one = keep_one(c, &d->files[i], c->from[i]);
        if (one == STATUS_NOT_FOUND || one == STATUS_FORMAT) {
            output_failure(&c->r->common, c->from[i], FAILURE_INPUT, status_message());
            c->rejected++;
            dataset_file_free(&d->files[i]);
            continue;
        }
        code = one;
        if (kept != i) {
            d->files[kept] = d->files[i];
            d->files[i] = (struct dataset_file){0};
        }
        kept++;
    }
    if (!code)
        d->count = kept;
    return code;
}

static int make(struct creation *c)
{
    struct timespec now;
    struct dataset *const d = c->d;
    int lock = -1;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(d->name, sizeof d->name, "%s", c->name);
    d->keeps_paths = c->r->reference;
    d->fraction = isfinite(c->r->fraction) ? c->r->fraction : DEFAULT_FRACTION;
    d->created_unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    int code = gather(c);
    if (!code && d->count == 0)
        code = fail(STATUS_FORMAT, "none of the %zu files can be used; nothing was created", c->files.count);
    code = code ? code : dataset_lock(c->r->paths.home, &lock);
    if (!code)
        code = keep_all(c);
    if (!code && d->count == 0)
        code = fail(STATUS_FORMAT, "none of the %zu files can be used; nothing was created", c->files.count);
    if (!code) {
        dataset_split(d);
        code = dataset_settle(c->r->paths.home, d, c->r->replace);
    }
    if (code && lock >= 0) {
        const struct dataset_request *const r = c->r;
        const int exit_code = dataset_tell_failed(r, c->name, code);
        dataset_abandon(d);
        close(lock);
        return exit_code;
    }
    if (lock >= 0)
        close(lock);
    return code ? dataset_tell_failed(c->r, c->name, code) : -1;
}

static int dry_run(const struct creation *c)
{
    for (size_t i = 0; i < c->files.count; i++) {
        const struct dataset_file *const f = &c->found[i].facts;
        output_plain(stdout, c->found[i].path);
        if (*f->label) {
            fputs(" [", stdout);
            output_plain(stdout, f->label);
            putchar(']');
        }
        putchar('\n');
    }
    return EXIT_DONE;
}

static int run(struct creation *c, int count, char **paths)
{
    char place[PATHS_MAX + 128];
    int code = walk(c, count, paths);
    if (code)
        return dataset_tell_failed(c->r, c->name, code);
    if (c->files.count == 0)
        return cli_usage("dataset", "there are no audio files in %s", paths[0]);
    if (c->files.count > DATASET_FILES_MOST)
        return cli_usage("dataset", "%zu files; a dataset has %d at most", c->files.count, DATASET_FILES_MOST);
    snprintf(place, sizeof place, "%s/datasets/%s", c->r->paths.home, c->name);
    if (access(place, F_OK) == 0 && !c->r->replace)
        return dataset_tell_failed(c->r, c->name, fail(STATUS_BUSY, "there is one already; --replace makes it anew"));
    if (c->r->common.dry_run)
        return dry_run(c);
    if (c->r->common.format == OUTPUT_CSV)
        dataset_csv_header();
    int exit_code = look_at_files(c);
    exit_code = exit_code < 0 ? make(c) : exit_code;
    if (exit_code >= 0)
        return exit_code;
    dataset_show(c->r, c->d, false, (int64_t)c->rejected);
    return c->rejected ? EXIT_SOME_FAILED : EXIT_DONE;
}

int dataset_create(struct dataset_request *r, const char *name, int count, char **paths)
{
    struct creation c = {.r = r, .name = name, .d = calloc(1, sizeof *c.d)};
    const int exit_code = c.d ? run(&c, count, paths) : dataset_tell_failed(r, name, no_memory());
    for (size_t i = 0; i < c.found_count; i++)
        dataset_file_free(&c.found[i].facts);
    free(c.found);
    free(c.from);
    walk_free(&c.files);
    dataset_close(&c.d);
    return exit_code;
}
