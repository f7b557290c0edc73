/* `wavemill models fetch`: which models there are elsewhere, what is known of them, and how they come here. */
#include "models_fetch.h"

#include "library.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MOST = 5, STALL_MS = 30000 };
#define WEIGHTS_MOST (UINT64_C(1) << 30) /* twelve times what the official networks have */

static const char licence[] =
    "MIT (the code); the README names no separate licence of the weights, which were trained on "
    "MUSDB-HQ and 800 songs that are not published";

/* Where demucs 4.1.0 itself gets them from (hf.py). SHA-256: NULL where nobody publishes one; then that of the first
 * time is kept. */
static const struct offer {
    const char *name, *page;
    struct {
        const char *name, *sha256;
    } files[FILES_MOST];
} offers[] = {
    {"htdemucs",
     "https://huggingface.co/adefossez/HTDemucs",
     {{"htdemucs.yaml", NULL}, {"955717e8.safetensors", NULL}}},
    {"htdemucs_ft",
     "https://huggingface.co/adefossez/HTDemucs-ft",
     {{"htdemucs_ft.yaml", NULL},
      {"f7e0c4bc.safetensors", NULL},
      {"d12395a8.safetensors", NULL},
      {"92cfc3b6.safetensors", NULL},
      {"04573f0d.safetensors", NULL}}},
    {"htdemucs_6s",
     "https://huggingface.co/adefossez/HTDemucs-6s",
     {{"htdemucs_6s.yaml", NULL}, {"5c90dfd2.safetensors", NULL}}},
};

enum { OFFERS = sizeof offers / sizeof *offers };

static const struct offer *find_offer(const char *name)
{
    for (int i = 0; i < OFFERS; i++)
        if (strcmp(offers[i].name, name) == 0)
            return &offers[i];
    return NULL;
}

bool fetch_is_offered(const char *name)
{
    return find_offer(name) != NULL;
}

const char *fetch_offers(void)
{
    static char text[256];
    text[0] = '\0';
    for (int i = 0; i < OFFERS; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? ", " : "", offers[i].name);
    return text;
}

/* ---- what was fetched before: models/.known.json {"schema", "files": {"NAME/FILE": {"sha256", "bytes", ...}}} ---- */

static int load_known(const char *home, json_t **out)
{
    char path[PATHS_MAX + 64];
    json_error_t e;
    snprintf(path, sizeof path, "%s/models/.known.json", home);
    if (access(path, F_OK)) {
        *out = json_pack("{s:i, s:{}}", "schema", 1, "files");
        return *out ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    }
    *out = json_load_file(path, JSON_REJECT_DUPLICATES, &e);
    if (*out && json_is_object(json_object_get(*out, "files")))
        return STATUS_OK;
    const int code =
        fail(STATUS_DAMAGED, "%s: %s; without it, what comes cannot be told from what came before: mend or remove it",
             path, *out ? "it has no files" : e.text);
    json_decref(*out);
    *out = NULL;
    return code;
}

static int save_known(const char *home, const json_t *known)
{
    char path[PATHS_MAX + 64], temporary[PATHS_MAX + 96], folder[PATHS_MAX + 16];
    snprintf(folder, sizeof folder, "%s/models", home);
    snprintf(path, sizeof path, "%s/.known.json", folder);
    snprintf(temporary, sizeof temporary, "%s.part-XXXXXX", path);
    const int fd = mkostemp(temporary, O_CLOEXEC);
    int code = STATUS_OK;
    if (fd < 0 || json_dumpfd(known, fd, JSON_INDENT(2)) || fsync(fd) || rename(temporary, path)) {
        code = fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
        unlink(temporary);
    }
    if (fd >= 0)
        close(fd);
    return code ? code : paths_sync(folder);
}

static void key_of(const struct offer *o, int file, char out[160])
{
    snprintf(out, 160, "%s/%s", o->name, o->files[file].name);
}

/* What the file must be: as published, else as it was the first time. */
static bool wanted_sha256(const struct fetch_wish *w, const struct offer *o, int file, const json_t *known,
                          struct hash *out)
{
    char key[160];
    key_of(o, file, key);
    const json_t *const entry = json_object_get(json_object_get(known, "files"), key);
    const char *const before = w->accept_changed ? NULL : json_string_value(json_object_get(entry, "sha256"));
    const char *const text = o->files[file].sha256 ? o->files[file].sha256 : before;
    return text && hash_parse(text, out) == STATUS_OK;
}

static int remember(json_t *known, const struct offer *o, int file, const struct transfer *t)
{
    char key[160], hex[HASH_HEX];
    key_of(o, file, key);
    hash_hex(&t->found, hex);
    json_t *const files = json_object_get(known, "files");
    const char *const before = json_string_value(json_object_get(json_object_get(files, key), "sha256"));
    if (before && strcmp(before, hex) == 0)
        return STATUS_OK;
    return json_object_set_new(files, key,
                               json_pack("{s:s, s:I, s:s, s:I}", "sha256", hex, "bytes", (json_int_t)t->bytes, "url",
                                         t->url, "first_unix_s", (json_int_t)time(NULL)))
               ? fail(STATUS_NOMEM, "out of memory")
               : STATUS_OK;
}

/* ---- the files ---- */

static void url_of(const struct fetch_wish *w, const struct offer *o, int file, char *out, size_t capacity)
{
    const size_t n = w->url ? strlen(w->url) : 0;
    snprintf(out, capacity, "%s%s%s", w->url ? w->url : o->page,
             w->url ? (w->url[n - 1] == '/' ? "" : "/") : "/resolve/main/", o->files[file].name);
}

/* Fetched whole by a command that then did not get all of the others. */
static bool is_there(struct transfer *t)
{
    const int fd = open(t->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    const bool sound = fd >= 0 && !hash_file_sha256(fd, &t->found, &t->bytes) &&
                       (!t->sha256 || memcmp(&t->found, t->sha256, sizeof t->found) == 0);
    if (fd >= 0)
        close(fd);
    return sound;
}

static int fetch_file(const struct fetch_wish *w, const struct offer *o, int file, const char *folder, json_t *known)
{
    char url[2048], path[PATHS_MAX + 256], stage[96];
    struct progress progress;
    struct hash sha256;
    const size_t n = strlen(o->files[file].name);
    const bool is_bag = strcmp(o->files[file].name + n - 5, ".yaml") == 0;
    url_of(w, o, file, url, sizeof url);
    snprintf(path, sizeof path, "%s/%s", folder, o->files[file].name);
    snprintf(stage, sizeof stage, "fetching %s", o->files[file].name);
    progress_init(&progress, w->common->progress, stage);
    struct transfer t = {.url = url,
                         .path = path,
                         .bytes_most = is_bag ? BAG_BYTES_MOST : WEIGHTS_MOST,
                         .stall_ms = w->common->timeout_ms ? w->common->timeout_ms : STALL_MS,
                         .any_scheme = w->url && strncasecmp(w->url, "http:", 5) == 0,
                         .sha256 = wanted_sha256(w, o, file, known, &sha256) ? &sha256 : NULL,
                         .progress = &progress};
    int code = is_there(&t) ? STATUS_OK : transfer_run(&t);
    progress_end(&progress, t.bytes, t.bytes, code ? "failed" : "done");
    if (code == STATUS_FORMAT && t.sha256 && !o->files[file].sha256)
        code = status_context(code, "not what was fetched before; --accept-changed takes it all the same");
    return code ? code : remember(known, o, file, &t);
}

static void clear(const struct offer *o, const char *folder)
{
    char path[PATHS_MAX + 256];
    static const char *const endings[] = {"", ".part", ".etag"};
    for (int i = 0; i < FILES_MOST && o->files[i].name; i++)
        for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
            snprintf(path, sizeof path, "%s/%s%s", folder, o->files[i].name, endings[k]);
            unlink(path);
        }
    snprintf(path, sizeof path, "%s/.lock", folder);
    unlink(path);
    rmdir(folder);
}

static int import_files(const struct fetch_wish *w, const struct offer *o, const char *folder)
{
    char bag[PATHS_MAX + 256], name[LIBRARY_NAME_MOST + 1];
    const char *const from = w->url ? w->url : o->page;
    snprintf(bag, sizeof bag, "%s/%s", folder, o->files[0].name);
    return library_import(w->home,
                          &(struct library_import){.path = bag,
                                                   .name = o->name,
                                                   .source = w->source ? w->source : from,
                                                   .licence = w->licence ? w->licence : licence},
                          name);
}

/* In a folder of its own, which one command at a time works in. */
static int fetch_all(const struct fetch_wish *w, const struct offer *o, json_t *known)
{
    char folder[PATHS_MAX + 128], path[PATHS_MAX + 160];
    snprintf(folder, sizeof folder, "%s/models/.fetch/%s", w->home, o->name);
    snprintf(path, sizeof path, "%s/.lock", folder);
    int code = paths_make(folder);
    if (code)
        return code;
    const int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB))
        code = errno == EWOULDBLOCK ? fail(STATUS_BUSY, "another command is fetching %s", o->name)
                                    : fail(STATUS_IO, "cannot lock %s: %s", path, strerror(errno));
    const bool is_ours = !code;
    for (int i = 0; i < FILES_MOST && o->files[i].name && !code; i++)
        code = fetch_file(w, o, i, folder, known);
    const bool is_whole = !code;
    code = code ? code : import_files(w, o, folder);
    code = code ? code : save_known(w->home, known);
    if (is_ours && is_whole && code != STATUS_CANCELLED)
        clear(o, folder); /* what cannot be imported now will never be */
    if (lock >= 0)
        close(lock);
    return code;
}

/* ---- may it? ---- */

static int confirm(const struct fetch_wish *w, const struct offer *o)
{
    char answer[16] = "", url[2048];
    if (!w->common->quiet || !w->yes) {
        fprintf(stderr, "model    %s\nfrom     %s\nlicence  %s\n", o->name, w->url ? w->url : o->page,
                w->licence ? w->licence : licence);
        for (int i = 0; i < FILES_MOST && o->files[i].name; i++) {
            url_of(w, o, i, url, sizeof url);
            fprintf(stderr, "file     %s\n", url);
        }
    }
    if (w->yes || w->common->dry_run)
        return STATUS_OK;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return fail(STATUS_ARGUMENT, "--yes says that this licence and source are accepted; nobody can be asked here");
    fputs("fetch it? [y/N] ", stderr);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y')
               ? STATUS_OK
               : fail(STATUS_CANCELLED, "not fetched");
}

static bool is_url(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
}

int fetch_model(const struct fetch_wish *w)
{
    char path[PATHS_MAX + 128];
    json_t *known = NULL;
    const struct offer *const o = find_offer(w->name);
    if (!o)
        return fail(STATUS_ARGUMENT, "there are %s, not %.80s", fetch_offers(), w->name);
    if (w->url && (!is_url(w->url) || strlen(w->url) > 1024))
        return fail(STATUS_ARGUMENT, "--url %.200s: an address with https:// or http://", w->url);
    snprintf(path, sizeof path, "%s/models/%s", w->home, o->name);
    if (access(path, F_OK) == 0)
        return fail(STATUS_BUSY, "the model %s is there; `wavemill models remove %s` first, to fetch it again", o->name,
                    o->name);
    int code = confirm(w, o);
    if (code || w->common->dry_run)
        return code;
    code = load_known(w->home, &known);
    code = code ? code : fetch_all(w, o, known);
    json_decref(known);
    return code;
}
