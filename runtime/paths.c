#include "paths.h"

#include "hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

int paths_make(const char *folder)
{
    char path[PATHS_MAX];
    if (!*folder || (size_t)snprintf(path, sizeof path, "%s", folder) >= sizeof path)
        return fail(STATUS_ARGUMENT, "path empty or too long: %.100s...", folder);
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        const char end = *p;
        *p = '\0';
        if (mkdir(path, 0700) && errno != EEXIST && errno != EISDIR)
            return fail(STATUS_IO, "cannot make the folder %s: %s", path, strerror(errno));
        *p = end;
        if (end == '\0')
            break;
    }
    struct stat s;
    if (stat(path, &s) || !S_ISDIR(s.st_mode))
        return fail(STATUS_IO, "%s is not a folder", path);
    return STATUS_OK;
}

/* The run folder carries the power over the queue: a folder of somebody else, or a link to one, is refused. */
static int make_private(const char *folder)
{
    struct stat s;
    if (mkdir(folder, 0700) && errno != EEXIST)
        return fail(STATUS_IO, "cannot make the folder %s: %s", folder, strerror(errno));
    if (lstat(folder, &s) || !S_ISDIR(s.st_mode))
        return fail(STATUS_IO, "%s is not a folder", folder);
    if (s.st_uid != geteuid())
        return fail(STATUS_IO, "%s belongs to user %u, not to you; set XDG_RUNTIME_DIR to a folder of yours", folder,
                    (unsigned)s.st_uid);
    if ((s.st_mode & 077) && chmod(folder, 0700))
        return fail(STATUS_IO, "%s is open to others and chmod fails: %s", folder, strerror(errno));
    return STATUS_OK;
}

static int find_home(const char *home, char *out, size_t capacity)
{
    const char *set = home && *home ? home : getenv("WAVEMILL_HOME");
    const char *data = getenv("XDG_DATA_HOME"), *user = getenv("HOME");
    int n;
    if (set && *set)
        n = snprintf(out, capacity, "%s", set);
    else if (data && *data == '/')
        n = snprintf(out, capacity, "%s/wavemill", data);
    else if (user && *user)
        n = snprintf(out, capacity, "%s/.local/share/wavemill", user);
    else
        return fail(STATUS_ARGUMENT, "neither WAVEMILL_HOME nor HOME is set: no place for the data");
    return (size_t)n < capacity ? STATUS_OK : fail(STATUS_ARGUMENT, "WAVEMILL_HOME is too long");
}

static int find_run(const char *home, char *out, size_t capacity)
{
    struct hash h;
    char hex[HASH_HEX];
    hash_bytes(home, strlen(home), &h);
    hash_hex(&h, hex);
    hex[8] = '\0';
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat s;
    int n;
    if (runtime && *runtime == '/' && stat(runtime, &s) == 0 && S_ISDIR(s.st_mode) && access(runtime, W_OK) == 0) {
        n = snprintf(out, capacity, "%s/wavemill-%s", runtime, hex);
    } else {
        char parent[64];
        snprintf(parent, sizeof parent, "/tmp/wavemill-%u", (unsigned)geteuid());
        const int code = make_private(parent);
        if (code)
            return code;
        n = snprintf(out, capacity, "%s/%s", parent, hex);
    }
    if ((size_t)n + sizeof "/client.sock" > PATHS_SOCKET_MAX)
        return fail(STATUS_ARGUMENT, "XDG_RUNTIME_DIR is too long: %s/client.sock is over %d bytes", out,
                    PATHS_SOCKET_MAX);
    return make_private(out);
}

int paths_find(const char *home, struct paths *out)
{
    char wanted[PATHS_MAX - 64];
    int code = find_home(home, wanted, sizeof wanted);
    if (!code)
        code = paths_make(wanted);
    if (code)
        return code;
    char *real = realpath(wanted, NULL);
    if (!real || strlen(real) >= sizeof wanted) {
        free(real);
        return fail(STATUS_IO, "cannot resolve %s: %s", wanted, strerror(errno));
    }
    snprintf(out->home, sizeof out->home, "%s", real);
    snprintf(out->features, sizeof out->features, "%s/features", real);
    snprintf(out->queue, sizeof out->queue, "%s/queue", real);
    snprintf(out->objects, sizeof out->objects, "%s/objects", real);
    free(real);
    if ((code = paths_make(out->features)) || (code = paths_make(out->objects)) ||
        (code = find_run(out->home, out->run, sizeof out->run)))
        return code;
    snprintf(out->client_socket, sizeof out->client_socket, "ipc://%s/client.sock", out->run);
    snprintf(out->worker_socket, sizeof out->worker_socket, "ipc://%s/worker.sock", out->run);
    return STATUS_OK;
}

int paths_refuse_network(const char *what, const char *folder)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } remote[] = {{0x6969, "NFS"},    {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"}, {0x517b, "SMB"},
                  {0x01021997, "9P"}, {0x5346414f, "AFS"},  {0x00c36400, "Ceph"}, {0x0bd00bd0, "Lustre"}};
    struct statfs fs;
    if (statfs(folder, &fs))
        return fail(STATUS_IO, "%s %s: %s", what, folder, strerror(errno));
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
        if ((unsigned long)fs.f_type == remote[i].magic)
            return fail(STATUS_UNSUPPORTED,
                        "%s %s is on %s, where LMDB's locks and maps are not safe; set WAVEMILL_HOME to a local disk",
                        what, folder, remote[i].name);
    return STATUS_OK;
}

int paths_sync(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int failed = fd < 0 || (fsync(fd) && errno != EINVAL);
    const int code = failed ? fail(STATUS_IO, "cannot flush %s: %s", folder, strerror(errno)) : STATUS_OK;
    if (fd >= 0)
        close(fd);
    return code;
}
