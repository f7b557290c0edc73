#include "sweep_records.h"

#include "hash.h"
#include "log.h"
#include "paths.h"
#include "sweep_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = LIMIT_PATH + 64 };

/* In front of a record's bytes. */
struct head {
    char magic[4];
    uint32_t crc;
};
static const char MAGIC[4] = {'W', 'M', 'S', 'R'};

static void name_record(const char *folder, int64_t trial, int64_t round, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/results/" SWEEP_TRIAL ".round-%d", folder, (int)trial, (int)round);
}

static void name_failure(const char *folder, int64_t trial, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/results/" SWEEP_TRIAL ".failed", folder, (int)trial);
}

static int make_results(const char *folder, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/results", folder);
    return mkdir(out, 0777) && errno != EEXIST ? fail(STATUS_IO, "cannot make %.200s: %s", out, strerror(errno))
                                               : STATUS_OK;
}

/* All of a small file; malloc'ed. */
static int read_file(const char *path, size_t most, uint8_t **out, size_t *bytes)
{
    struct stat s;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? fail(STATUS_NOT_FOUND, "there is no %.200s", path)
                               : fail(STATUS_IO, "cannot open %.200s: %s", path, strerror(errno));
    int code = fstat(fd, &s) || s.st_size < 0 || (uint64_t)s.st_size > most
                   ? fail(STATUS_IO, "cannot use %.200s: it has not the size of one", path)
                   : STATUS_OK;
    uint8_t *const data = code ? NULL : malloc((size_t)s.st_size + 1);
    if (!code && !data)
        code = fail(STATUS_NOMEM, "out of memory");
    if (!code && read(fd, data, (size_t)s.st_size) != (ssize_t)s.st_size)
        code = fail(STATUS_IO, "cannot read %.200s: %s", path, strerror(errno));
    close(fd);
    if (code) {
        free(data);
        return code;
    }
    *out = data;
    *bytes = (size_t)s.st_size;
    return STATUS_OK;
}

/* The result behind the head; its texts lie in out->bytes. */
static int decode(struct sweep_record *out, int64_t trial, int64_t round)
{
    struct head head;
    if (out->count < sizeof head)
        return fail(STATUS_FORMAT, "%zu bytes", out->count);
    memcpy(&head, out->bytes, sizeof head);
    const uint8_t *const result = out->bytes + sizeof head;
    const size_t bytes = out->count - sizeof head;
    if (memcmp(head.magic, MAGIC, sizeof MAGIC) != 0 || head.crc != crc32c(0, result, bytes))
        return fail(STATUS_FORMAT, "bytes were altered or are missing");
    const int code = wire_decode(&kind_sweep_result_schema, result, bytes, &out->result);
    if (!code && ((int64_t)out->result.trial != trial || (int64_t)out->result.round != round))
        return fail(STATUS_FORMAT, "it is of another trial or round");
    return code;
}

int sweep_record_read(const char *folder, int64_t trial, int64_t round, struct sweep_record *out)
{
    char path[PATH_BYTES];
    name_record(folder, trial, round, path);
    *out = (struct sweep_record){0};
    int code = read_file(path, LIMIT_RESULT + sizeof(struct head), &out->bytes, &out->count);
    code = code ? code : decode(out, trial, round);
    if (!code)
        return STATUS_OK;
    sweep_record_free(out);
    if (code == STATUS_NOT_FOUND || code == STATUS_NOMEM || code == STATUS_IO)
        return code;
    log_warn("%s counts as missing: %s", path, status_message());
    return fail(STATUS_NOT_FOUND, "%.200s cannot be used", path);
}

double sweep_score(const struct kind_sweep_result *r, double judge)
{
    return isnan(judge) ? r->validation_loss : r->reconstruction + judge * r->kl;
}

void sweep_record_free(struct sweep_record *r)
{
    free(r->bytes);
    r->bytes = NULL;
    r->count = 0;
}

static bool write_all(int fd, const void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

int sweep_file_write(const char *path, const void *head, size_t head_bytes, const void *data, size_t bytes,
                     uint64_t token)
{
    char folder[PATH_BYTES], temporary[PATH_BYTES + 64];
    snprintf(folder, sizeof folder, "%s", path);
    char *const slash = strrchr(folder, '/');
    *slash = '\0';
    snprintf(temporary, sizeof temporary, "%s/.%s.%ld-%llu.part", folder, slash + 1, (long)getpid(),
             (unsigned long long)token);
    const int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return fail(STATUS_IO, "cannot write %.200s: %s", path, strerror(errno));
    int code = STATUS_OK;
    if (!write_all(fd, head, head_bytes) || !write_all(fd, data, bytes) || fsync(fd))
        code = fail(STATUS_IO, "cannot write %.200s: %s", path, strerror(errno));
    if (close(fd) && !code)
        code = fail(STATUS_IO, "cannot write %.200s: %s", path, strerror(errno));
    if (!code && rename(temporary, path))
        code = fail(STATUS_IO, "cannot write %.200s: %s", path, strerror(errno));
    if (code)
        unlink(temporary);
    return code ? code : paths_sync(folder);
}

int sweep_record_write(const char *folder, int64_t trial, int64_t round, struct wire_slice result, uint64_t token)
{
    char path[PATH_BYTES], results[PATH_BYTES];
    name_record(folder, trial, round, path);
    struct head head = {.crc = crc32c(0, result.data, result.bytes)};
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    const int code = make_results(folder, results);
    return code ? code : sweep_file_write(path, &head, sizeof head, result.data, result.bytes, token);
}

int sweep_records_forget(const char *folder, const struct halving *h, int64_t trial, int64_t round)
{
    char path[PATH_BYTES];
    for (int64_t r = round; r < h->rounds; r++) {
        name_record(folder, trial, r, path);
        if (unlink(path) && errno != ENOENT)
            return fail(STATUS_IO, "cannot remove %.200s: %s", path, strerror(errno));
    }
    return STATUS_OK;
}

int sweep_records_scores(const char *folder, const struct halving *h, int64_t rounds, double *scores)
{
    for (int64_t r = 0; r < rounds; r++)
        for (int64_t k = 0; k < h->trials; k++) {
            struct sweep_record record;
            double *const score = &scores[r * h->trials + k];
            const int code = sweep_record_read(folder, k, r, &record);
            *score = code ? (double)NAN : record.result.score;
            if (code && code != STATUS_NOT_FOUND)
                return code;
            sweep_record_free(&record);
        }
    return STATUS_OK;
}

void sweep_failure_keep(const char *folder, int64_t trial, const char *why)
{
    char path[PATH_BYTES], results[PATH_BYTES];
    name_failure(folder, trial, path);
    FILE *const f = make_results(folder, results) ? NULL : fopen(path, "we");
    const bool written = f && fputs(why, f) >= 0;
    if ((f && fclose(f)) || !written)
        log_warn("cannot write %s: %s", path, strerror(errno));
}

void sweep_failure_read(const char *folder, int64_t trial, char *out, size_t capacity)
{
    char path[PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t count = 0;
    name_failure(folder, trial, path);
    out[0] = '\0';
    if (read_file(path, LIMIT_MESSAGE, &bytes, &count) == STATUS_OK && wire_is_utf8(bytes, count))
        wire_copy((struct wire_slice){bytes, (uint32_t)count}, out, capacity);
    free(bytes);
}
