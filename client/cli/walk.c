#include "cli.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

bool cli_is_audio_name(const char *name)
{
    static const char *const endings[] = {"wav",  "wave", "flac", "aif", "aiff", "aifc", "ogg", "oga",
                                          "opus", "mp3",  "mp2",  "m4a", "mp4",  "aac",  "caf", "w64",
                                          "rf64", "au",   "snd",  "wma", "wv",   "ape",  "mka", "webm",
                                          "ac3",  "amr",  "tta",  "dsf", "alac", "m4b",  "3gp", "bwf"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot + 1, endings[i]) == 0)
            return true;
    return false;
}

static int push(struct walk *w, char *path)
{
    if (!path)
        return fail(STATUS_NOMEM, "out of memory");
    if (w->count == w->capacity) {
        const size_t capacity = w->capacity ? 2 * w->capacity : 256;
        char **grown = realloc(w->paths, capacity * sizeof *grown);
        if (!grown) {
            free(path);
            return fail(STATUS_NOMEM, "out of memory");
        }
        w->paths = grown;
        w->capacity = capacity;
    }
    w->paths[w->count++] = path;
    return STATUS_OK;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static int walk_folder(struct walk *w, const char *folder);

static int walk_entry(struct walk *w, const char *folder, const struct dirent *e)
{
    char *path = NULL;
    struct stat s;
    const size_t n = strlen(folder);
    if (asprintf(&path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", e->d_name) < 0)
        return fail(STATUS_NOMEM, "out of memory");
    unsigned char type = e->d_type;
    if (type == DT_UNKNOWN && lstat(path, &s) == 0)
        type = S_ISDIR(s.st_mode) ? DT_DIR : S_ISLNK(s.st_mode) ? DT_LNK : DT_REG;
    if (type == DT_DIR) {
        const int code = walk_folder(w, path);
        free(path);
        return code;
    }
    /* A link to a folder may lead round in a circle; one to a file is that file. */
    if (!cli_is_audio_name(e->d_name) || (type == DT_LNK && stat(path, &s) == 0 && S_ISDIR(s.st_mode))) {
        free(path);
        return STATUS_OK;
    }
    return push(w, path);
}

static int walk_folder(struct walk *w, const char *folder)
{
    struct dirent **entries = NULL;
    const int n = scandir(folder, &entries, visible, by_bytes);
    if (n < 0) /* unreadable: an item of its own, so that it is reported and the rest goes on */
        return push(w, strdup(folder));
    int code = STATUS_OK;
    for (int i = 0; i < n; i++) {
        if (!code && !cli_interrupted)
            code = walk_entry(w, folder, entries[i]);
        free(entries[i]);
    }
    free(entries);
    return code;
}

int walk_add(struct walk *w, const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode) ? walk_folder(w, path) : push(w, strdup(path));
}

void walk_free(struct walk *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->paths[i]);
    free(w->paths);
    *w = (struct walk){0};
}
