#include "dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool dataset_is_name(const char *text)
{
    const size_t n = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-");
    return n > 0 && n <= DATASET_NAME_MOST && !text[n] && text[0] != '.' && text[0] != '-';
}

int dataset_check_name(const char *text)
{
    return dataset_is_name(text) ? STATUS_OK
                                 : fail(STATUS_ARGUMENT,
                                        "'%.80s' is no name of a dataset: 1 to %d letters, digits, '.', '_' and '-', "
                                        "not '.' or '-' first",
                                        text, DATASET_NAME_MOST);
}

void dataset_file_free(struct dataset_file *f)
{
    for (size_t i = 0; i < f->duplicates_count; i++)
        free(f->duplicates[i]);
    free(f->duplicates);
    free(f->name);
    free(f->label);
    free(f->path);
    free(f->codec);
    free(f->warning);
    *f = (struct dataset_file){0};
}

void dataset_close(struct dataset **d)
{
    if (!*d)
        return;
    for (size_t i = 0; (*d)->files && i < (*d)->count; i++)
        dataset_file_free(&(*d)->files[i]);
    free((*d)->files);
    free(*d);
    *d = NULL;
}

static int read_whole(const char *path, char **text, size_t *bytes)
{
    struct stat s;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int code = STATUS_OK;
    if (fd < 0)
        return fail(errno == ENOENT ? STATUS_DAMAGED : STATUS_IO, "dataset.json: %s", strerror(errno));
    if (fstat(fd, &s))
        code = fail(STATUS_IO, "dataset.json: %s", strerror(errno));
    else if (!S_ISREG(s.st_mode) || s.st_size > DATASET_BYTES_MOST)
        code = fail(STATUS_DAMAGED, "dataset.json: %s", S_ISREG(s.st_mode) ? "over 16 MiB" : "not a file");
    *bytes = code ? 0 : (size_t)s.st_size;
    *text = code ? NULL : malloc(*bytes + 1);
    if (!code && !*text)
        code = fail(STATUS_NOMEM, "dataset: out of memory");
    for (size_t done = 0; !code && done < *bytes;) {
        const ssize_t n = pread(fd, *text + done, *bytes - done, (off_t)done);
        if (n <= 0 && errno != EINTR)
            code = fail(STATUS_IO, "dataset.json: %s", n ? strerror(errno) : "it became shorter");
        done += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return code;
}

int dataset_open(const char *home, const char *name, struct dataset **out)
{
    char folder[PATHS_MAX], path[PATHS_MAX + 16], *text = NULL;
    struct dataset *d = NULL;
    size_t bytes = 0;
    int code = dataset_check_name(name);
    if (code)
        return code;
    if (snprintf(folder, sizeof folder, "%s/datasets/%s", home, name) >= (int)sizeof folder)
        return fail(STATUS_ARGUMENT, "WAVEMILL_HOME is too long");
    if (access(folder, F_OK))
        return fail(STATUS_NOT_FOUND, "there is no dataset '%s'; `wavemill dataset list` names them", name);
    snprintf(path, sizeof path, "%s/dataset.json", folder);
    code = read_whole(path, &text, &bytes);
    code = code ? code : dataset_parse(text, bytes, &d);
    free(text);
    if (!code && strcmp(d->name, name) != 0)
        code = fail(STATUS_DAMAGED, "dataset.json: it is that of '%s': its folder was renamed from that", d->name);
    if (code) {
        dataset_close(&d);
        return code;
    }
    memcpy(d->folder, folder, sizeof folder);
    *out = d;
    return STATUS_OK;
}

int dataset_path(const struct dataset *d, size_t file, char *out, size_t capacity)
{
    const struct dataset_file *const f = &d->files[file];
    char hex[HASH_HEX];
    hash_hex(&f->hash, hex);
    const int n = d->keeps_paths ? snprintf(out, capacity, "%s", f->path)
                                 : snprintf(out, capacity, "%s/files/%s", d->folder, hex);
    return n >= 0 && (size_t)n < capacity ? STATUS_OK : fail(STATUS_ARGUMENT, "dataset: a path is too long");
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(&((const struct dataset_file *)a)->hash, &((const struct dataset_file *)b)->hash, HASH_BYTES);
}

void dataset_split(struct dataset *d)
{
    size_t most = d->count ? d->count - 1 : 0;
    size_t wanted = (size_t)llrint((double)d->count * d->fraction);
    if (!(d->fraction > 0))
        most = 0;
    wanted = wanted ? wanted : 1;
    wanted = wanted < most ? wanted : most;
    if (d->count)
        qsort(d->files, d->count, sizeof *d->files, by_hash);
    for (size_t i = 0; i < d->count; i++)
        d->files[i].validation = i < wanted;
}
