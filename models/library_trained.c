#include "library_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const files[] = {"model.safetensors", "config.json", "training.json", "metrics.jsonl"};
enum { FILES = sizeof files / sizeof *files };

int library_enter(int fd, const char *name, json_t *list, uint64_t *all)
{
    char hex[2][HASH_HEX];
    struct hash blake, sha;
    uint64_t bytes = 0;
    int code = hash_file(fd, &blake, &bytes);
    code = code ? code : hash_file_sha256(fd, &sha, NULL);
    if (code)
        return code;
    hash_hex(&blake, hex[0]);
    hash_hex(&sha, hex[1]);
    *all += bytes;
    json_t *const entry = json_pack("{s:s, s:I, s:s, s:s}", "name", name, "bytes", (json_int_t)bytes, "blake2b", hex[0],
                                    "sha256", hex[1]);
    return json_array_append_new(list, entry) ? fail(STATUS_NOMEM, "library: out of memory") : STATUS_OK;
}

static int enter(const char *folder, const char *name, json_t *list, uint64_t *all)
{
    char path[2 * PATHS_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return fail(STATUS_IO, "library: cannot read %.200s: %s", path, strerror(errno));
    const int code = library_enter(fd, name, list, all);
    close(fd);
    return code;
}

static int write_model(const char *folder, json_t *model)
{
    char path[2 * PATHS_MAX], temporary[2 * PATHS_MAX + 8];
    int code = STATUS_OK;
    snprintf(path, sizeof path, "%s/model.json", folder);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    const bool written = fd >= 0 && json_dumpfd(model, fd, JSON_INDENT(2)) == 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (!written || rename(temporary, path)) {
        code = fail(STATUS_IO, "library: cannot write %.200s: %s", path, strerror(errno));
        (void)!unlink(temporary);
    }
    return code ? code : paths_sync(folder);
}

int library_add_trained(const char *folder, const char *kind, uint64_t parameters)
{
    struct timespec now;
    uint64_t bytes = 0;
    int code = STATUS_OK;
    json_t *const list = json_array();
    for (int i = 0; i < FILES && !code; i++)
        code = enter(folder, files[i], list, &bytes);
    clock_gettime(CLOCK_REALTIME, &now);
    const char *const slash = strrchr(folder, '/');
    json_t *const model =
        code ? NULL
             : json_pack("{s:i, s:s, s:s, s:[], s:i, s:I, s:I, s:s, s:n, s:I, s:s, s:O}", "schema", LIBRARY_SCHEMA,
                         "name", slash ? slash + 1 : folder, "kind", kind, "stems", "networks", 1, "parameters",
                         (json_int_t)parameters, "bytes", (json_int_t)bytes, "source", "trained here", "licence",
                         "imported_unix_ms", (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, "tool_version",
                         WAVEMILL_VERSION, "files", list);
    if (!code)
        code = model ? write_model(folder, model) : fail(STATUS_NOMEM, "library: out of memory");
    json_decref(model);
    json_decref(list);
    return code;
}
