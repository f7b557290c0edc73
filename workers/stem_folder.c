#include "stem_folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct stem_folder stem_folder_none(void)
{
    struct stem_folder f = {0};
    for (int i = 0; i < BAG_STEMS_MOST; i++)
        f.output[i].fd = -1;
    return f;
}

bool stem_folder_is_name(struct wire_slice s)
{
    return s.bytes && !memchr(s.data, '/', s.bytes) && !memchr(s.data, 0, s.bytes) &&
           !(s.bytes <= 2 && memcmp(s.data, "..", s.bytes) == 0);
}

static int folder_failed(const char *folder)
{
    const int e = errno;
    return fail(e == ENOSPC || e == EIO || e == EDQUOT ? STATUS_IO : STATUS_ARGUMENT, "cannot make the folder %s: %s",
                folder, strerror(e));
}

/* mkdir -p. *made: the last one was not there. */
static int make_folder(char *folder, bool *made)
{
    for (char *slash = folder + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        const bool failed = mkdir(folder, 0777) && errno != EEXIST;
        const int code = failed ? folder_failed(folder) : STATUS_OK;
        *slash = '/';
        if (code)
            return code;
    }
    *made = mkdir(folder, 0777) == 0;
    return *made || errno == EEXIST ? STATUS_OK : folder_failed(folder);
}

int stem_folder_make(struct stem_folder *f, const char *model, struct wire_slice out, struct wire_slice track)
{
    char to[LIMIT_PATH + 1], name[LIMIT_TRACK + 1];
    wire_copy(out, to, sizeof to);
    wire_copy(track, name, sizeof name);
    *f = stem_folder_none();
    if (to[0] != '/' || memchr(out.data, 0, out.bytes))
        return fail(STATUS_ARGUMENT, "cannot write to '%.200s': the path is not absolute", to);
    if (!stem_folder_is_name(track))
        return fail(STATUS_ARGUMENT, "cannot write to '%.200s': the track's name is no name of a folder", name);
    if (asprintf(&f->path, "%s/%s/%s", to, model, name) < 0) {
        f->path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    return make_folder(f->path, &f->made);
}

int stem_folder_open(struct stem_folder *f, const struct plan *plan, const struct audio_format *format,
                     const char *prefix, uint64_t token)
{
    int code = STATUS_OK;
    for (int o = 0; o < plan->outputs && !code; o++) {
        char file[PLAN_FILE_BYTES];
        plan_file_name(plan, o, format, file);
        f->outputs++;
        if (asprintf(&f->output[o].path, "%s/%s%s", f->path, prefix, file) < 0) {
            f->output[o].path = NULL;
            return fail(STATUS_NOMEM, "out of memory");
        }
        code = output_file_open(&f->output[o], token);
    }
    return code;
}

int stem_folder_settle(struct stem_folder *f)
{
    int code = STATUS_OK, settled = 0;
    for (; settled < f->outputs && !code; settled++)
        code = output_file_settle(&f->output[settled]);
    for (int o = 0; code && o < settled - 1; o++) /* all or none */
        unlink(f->output[o].path);
    f->whole = !code;
    return code;
}

void stem_folder_drop(struct stem_folder *f)
{
    for (int o = 0; o < f->outputs; o++) {
        output_file_drop(&f->output[o]);
        free(f->output[o].path);
    }
    if (f->path && f->made && !f->whole)
        rmdir(f->path); /* stays where something is in it */
    free(f->path);
    *f = stem_folder_none();
}
