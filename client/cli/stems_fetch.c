#include "stems_fetch.h"

#include "paths.h"
#include "separate_show.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fetched {
    char *path, *temporary; /* NULL: not made */
};

bool stems_are_objects(const struct kind_separate_result *r)
{
    struct wire_list list = r->stems;
    struct kind_stem stem;
    return wire_next(&list, &kind_stem_schema, &stem) && stem.object.bytes > 0;
}

static int check_name(struct wire_slice s)
{
    const bool good = s.bytes && !memchr(s.data, '/', s.bytes) && !memchr(s.data, 0, s.bytes) &&
                      !(s.bytes <= 2 && memcmp(s.data, "..", s.bytes) == 0);
    return good ? STATUS_OK
                : fail(STATUS_FORMAT, "'%.*s' is no name of a file", (int)(s.bytes < 80 ? s.bytes : 80),
                       (const char *)s.data);
}

/* mkdir -p. *made: the last one was not there. */
static int make_folder(char *folder, bool *made)
{
    for (char *slash = folder;;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        *made = mkdir(folder, 0777) == 0;
        if (!*made && errno != EEXIST)
            return fail(STATUS_IO, "cannot make the folder %s: %s", folder, strerror(errno));
        if (!slash)
            return STATUS_OK;
        *slash = '/';
    }
}

static int fetch_one(struct client *c, const char *folder, const struct kind_stem *stem, struct fetched *out)
{
    const int n = (int)stem->file.bytes;
    const char *const file = (const char *)stem->file.data;
    int code = check_name(stem->file);
    if (code)
        return code;
    if (stem->object.bytes != LIMIT_OBJECT)
        return fail(STATUS_FORMAT, "the stem %.*s is no object", n, file);
    if (asprintf(&out->path, "%s/%.*s", folder, n, file) < 0) {
        out->path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    if (asprintf(&out->temporary, "%s/.wavemill-%.*s.%ld.part", folder, n, file, (long)getpid()) < 0) {
        out->temporary = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    const int fd = open(out->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return fail(STATUS_IO, "cannot write %s: %s", out->temporary, strerror(errno));
    code = status_context(client_get_object(c, stem->object.data, fd), "%s", out->path);
    if (close(fd) && !code)
        code = fail(STATUS_IO, "cannot write %s: %s", out->path, strerror(errno));
    return code;
}

static int fetch_all(struct client *c, const char *folder, const struct kind_separate_result *r,
                     struct fetched files[LIMIT_STEMS])
{
    struct wire_list list = r->stems;
    struct kind_stem stem;
    int code = STATUS_OK, count = 0, named = 0;
    while (!code && count < LIMIT_STEMS && wire_next(&list, &kind_stem_schema, &stem))
        code = fetch_one(c, folder, &stem, &files[count++]);
    for (; named < count && !code; named++)
        if (rename(files[named].temporary, files[named].path))
            code = fail(STATUS_IO, "cannot write %s: %s", files[named].path, strerror(errno));
    for (int i = 0; code && i < named - 1; i++) /* all or none */
        unlink(files[i].path);
    for (int i = 0; code && i < count; i++)
        if (files[i].temporary)
            unlink(files[i].temporary);
    return code;
}

int stems_fetch(struct client *c, const char *out, const struct kind_separate_result *r, char **folder)
{
    struct fetched files[LIMIT_STEMS] = {{NULL, NULL}};
    bool made = false;
    *folder = NULL;
    int code = check_name(r->model);
    code = code ? code : check_name(r->track);
    if (code)
        return code;
    if (asprintf(folder, "%s/%.*s/%.*s", out, (int)r->model.bytes, (const char *)r->model.data, (int)r->track.bytes,
                 (const char *)r->track.data) < 0) {
        *folder = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    code = make_folder(*folder, &made);
    code = code ? code : fetch_all(c, *folder, r, files);
    for (int i = 0; i < LIMIT_STEMS; i++) {
        free(files[i].path);
        free(files[i].temporary);
    }
    if (code && made)
        rmdir(*folder); /* stays where something is in it */
    return code;
}

bool stems_cost_themselves(int code)
{
    return code != STATUS_CANCELLED && code != STATUS_TIMEOUT;
}

/* ---- separate --upload ---- */

/* Once: the workers have another model under this name. */
static void compare_models(const struct batch *b, const struct kind_separate_result *r)
{
    struct stems_upload *const u = b->stems;
    struct hash there;
    char hex[2][HASH_HEX];
    if (u->told || !u->has_model || r->model_hash.bytes != HASH_BYTES)
        return;
    memcpy(there.bytes, r->model_hash.data, HASH_BYTES);
    if (memcmp(there.bytes, u->model.bytes, HASH_BYTES) == 0)
        return;
    u->told = true;
    hash_hex(&there, hex[0]);
    hash_hex(&u->model, hex[1]);
    fprintf(
        stderr,
        "wavemill %s: a worker's model %.*s is not the one of this machine (checksum %.12s.. there, %.12s.. here)\n",
        b->command, (int)r->model.bytes, (const char *)r->model.data, hex[0], hex[1]);
}

static int show(struct batch *b, const char *path, struct wire_slice result)
{
    struct kind_separate_result r;
    char *folder = NULL;
    int code = wire_decode(&kind_separate_result_schema, result.data, result.bytes, &r);
    if (code)
        return code;
    compare_models(b, &r);
    code = stems_fetch(b->client, b->stems->out, &r, &folder);
    if (!code) {
        r.folder = wire_str(folder);
        code = separate_show_one(b->common, path, &r);
    } else if (stems_cost_themselves(code)) {
        b->done--;
        b->failed++;
        output_failure(b->common, path, status_class(code), status_message());
        code = STATUS_OK;
    }
    free(folder);
    return code;
}

void stems_upload(struct batch *b, struct stems_upload *u, const char *out, const struct method_model *m)
{
    struct paths paths;
    *u = (struct stems_upload){.out = out};
    u->has_model = m->library.networks > 0 && paths_find(NULL, &paths) == STATUS_OK &&
                   library_checksum(paths.home, &m->library, &u->model) == STATUS_OK;
    b->kind = KIND_SEPARATE_OBJECTS;
    b->upload = true;
    b->stems = u;
    b->show = show;
    b->failed_for_good = NULL; /* nothing of it is in OUT */
}
