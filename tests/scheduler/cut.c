#include "cut.h"

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS = 256, SECTOR = 512, PATH_MOST = 4096 };
enum kind { OTHER, DATA, DATA_LASTING, FOLDER, PARENT };

static struct {
    struct cut_log *log;
    char folder[PATH_MOST];
    enum kind kinds[DESCRIPTORS];
    uint64_t calls, fail_at;
    int error;
    enum cut_failure how;
    bool failed;
} state;

/* ---- the log ---- */

static void note(enum cut_type type, uint64_t offset, const void *data, size_t bytes, uint64_t value, bool lasting)
{
    struct cut_log *log = state.log;
    if (!log)
        return;
    if (log->count == log->capacity) {
        log->capacity = log->capacity ? 2 * log->capacity : 256;
        log->ops = realloc(log->ops, log->capacity * sizeof *log->ops);
        REQUIRE(log->ops);
    }
    uint8_t *copy = NULL;
    if (bytes) {
        copy = malloc(bytes);
        REQUIRE(copy);
        memcpy(copy, data, bytes);
    }
    log->ops[log->count++] = (struct cut_op){
        .type = type, .offset = offset, .value = value, .data = copy, .bytes = bytes, .lasting = lasting};
}

void cut_record(struct cut_log *log, const char *folder)
{
    state.log = log;
    snprintf(state.folder, sizeof state.folder, "%s", folder ? folder : "");
}

void cut_mark(uint64_t value)
{
    note(CUT_MARK, 0, NULL, 0, value, false);
}

void cut_fail(uint64_t nth, int error, enum cut_failure how)
{
    state.calls = 0;
    state.fail_at = nth;
    state.error = error;
    state.how = how;
    state.failed = false;
}

bool cut_failed(void)
{
    return state.failed;
}

void cut_free(struct cut_log *log)
{
    cut_free_copy(log, 0);
}

void cut_copy(const struct cut_log *log, size_t count, struct cut_log *out)
{
    *out = (struct cut_log){.count = count, .capacity = count + 16};
    out->ops = malloc(out->capacity * sizeof *out->ops);
    REQUIRE(out->ops);
    memcpy(out->ops, log->ops, count * sizeof *out->ops);
    if (count)
        out->ops[count - 1].lasting = false;
}

void cut_free_copy(struct cut_log *copy, size_t shared)
{
    for (size_t i = shared; i < copy->count; i++)
        free(copy->ops[i].data);
    free(copy->ops);
    *copy = (struct cut_log){0};
}

/* ---- what LMDB calls ---- */

static enum kind kind_of(int fd)
{
    return state.log && fd >= 0 && fd < DESCRIPTORS ? state.kinds[fd] : OTHER;
}

/* Is it this call's turn to fail? */
static bool fails(void)
{
    if (!state.fail_at || ++state.calls != state.fail_at)
        return false;
    state.failed = true;
    return true;
}

static ssize_t plain_pwritev(int fd, const struct iovec *v, int n, off_t offset)
{
    return (ssize_t)syscall(SYS_pwritev, fd, v, n, (long)offset, 0L);
}

/* At the offset, or at the descriptor's own when that is negative. */
static ssize_t write_to_data(int fd, const struct iovec *v, int n, off_t offset)
{
    const off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset;
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        bytes += v[i].iov_len;
    uint8_t *all = malloc(bytes + 1);
    REQUIRE(all);
    for (size_t i = 0, to = 0; i < (size_t)n; to += v[i++].iov_len)
        memcpy(all + to, v[i].iov_base, v[i].iov_len);
    const bool fail = fails();
    const size_t some = fail && state.how == CUT_FAIL_BEFORE  ? 0
                        : fail && state.how != CUT_FAIL_AFTER ? bytes / 2
                                                              : bytes;
    const struct iovec one = {all, some};
    const ssize_t done = some ? plain_pwritev(fd, &one, 1, at) : 0;
    REQUIRE(done == (ssize_t)some);
    if (some)
        note(CUT_WRITE, (uint64_t)at, all, some, 0, state.kinds[fd] == DATA_LASTING && !fail);
    free(all);
    if (offset < 0)
        lseek(fd, at + done, SEEK_SET);
    if (fail && (state.how != CUT_FAIL_SHORT || some == 0)) {
        errno = state.error;
        return -1;
    }
    return done;
}

static int sync_data(void)
{
    if (!fails()) {
        note(CUT_SYNC, 0, NULL, 0, 0, false);
        return 0;
    }
    if (state.how == CUT_FAIL_AFTER)
        note(CUT_SYNC, 0, NULL, 0, 0, false);
    errno = state.error;
    return -1;
}

static bool ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* What the path is of; 0: nothing that is watched, 1: data.mdb.new, 2: data.mdb. */
static uint64_t name_of(const char *path)
{
    if (!state.log || strncmp(path, state.folder, strlen(state.folder)) != 0)
        return 0;
    return ends_with(path, "/data.mdb") ? 2 : ends_with(path, "/data.mdb.new") ? 1 : 0;
}

/* Defined here, they stand in front of the C library's for the program and for liblmdb.so. */

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0; /* NOLINT(clang-analyzer-valist.Uninitialized) */
    va_end(args);
    const uint64_t name = name_of(path);
    const bool made = name && (flags & O_CREAT) && access(path, F_OK);
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags & ~O_DSYNC, mode);
    if (fd < 0 || fd >= DESCRIPTORS || !state.log)
        return fd;
    state.kinds[fd] = name && (flags & O_DSYNC)                              ? DATA_LASTING
                      : name                                                 ? DATA
                      : (flags & O_DIRECTORY) && !strcmp(path, state.folder) ? FOLDER
                      : flags & O_DIRECTORY                                  ? PARENT
                                                                             : OTHER;
    if (made)
        note(CUT_NAMED, 0, NULL, 0, name, false);
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        state.kinds[fd] = OTHER;
    return (int)syscall(SYS_close, fd);
}

int rename(const char *from, const char *to)
{
    const int failed = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (!failed && name_of(to) == 2)
        note(CUT_NAMED, 0, NULL, 0, 2, false);
    return failed;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    struct iovec v = {(void *)data, bytes};
    return kind_of(fd) == OTHER ? plain_pwritev(fd, &v, 1, offset) : write_to_data(fd, &v, 1, offset);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t offset)
{
    return kind_of(fd) == OTHER ? plain_pwritev(fd, v, n, offset) : write_to_data(fd, v, n, offset);
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    struct iovec v = {(void *)data, bytes};
    return kind_of(fd) == OTHER ? (ssize_t)syscall(SYS_write, fd, data, bytes) : write_to_data(fd, &v, 1, -1);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    return kind_of(fd) == OTHER ? (ssize_t)syscall(SYS_writev, fd, v, n) : write_to_data(fd, v, n, -1);
}

static int sync_any(int fd)
{
    switch (kind_of(fd)) {
    case OTHER:
        return 0;
    case FOLDER:
        note(CUT_FOLDER_SYNC, 0, NULL, 0, 0, false);
        return 0;
    case PARENT:
        note(CUT_PARENT_SYNC, 0, NULL, 0, 0, false);
        return 0;
    default:
        return sync_data();
    }
}

int fsync(int fd)
{
    return sync_any(fd);
}

int fdatasync(int fd)
{
    return sync_any(fd);
}

int msync(void *address, size_t bytes, int flags)
{
    test_report(!state.log, __FILE__, __LINE__, "the file is written through a map, which this test does not see");
    return (int)syscall(SYS_msync, address, bytes, flags);
}

int ftruncate(int fd, off_t bytes)
{
    test_report(kind_of(fd) == OTHER, __FILE__, __LINE__, "data.mdb is cut in length, which this test does not log");
    return (int)syscall(SYS_ftruncate, fd, bytes);
}

/* ---- what a power cut leaves ---- */

static void put_bytes(uint8_t *image, size_t *length, const struct cut_op *op, size_t from, size_t bytes)
{
    memcpy(image + op->offset + from, op->data + from, bytes);
    if (*length < op->offset + from + bytes)
        *length = op->offset + from + bytes;
}

/* Sectors are those of the disk: the first and the last of a write may be cut by its ends. */
static void put_sectors(uint8_t *image, size_t *length, const struct cut_op *op, uint64_t *random)
{
    for (size_t from = 0; from < op->bytes;) {
        const size_t left = SECTOR - (op->offset + from) % SECTOR;
        const size_t bytes = left < op->bytes - from ? left : op->bytes - from;
        if (test_random(random) & 1)
            put_bytes(image, length, op, from, bytes);
        from += bytes;
    }
}

static void put_op(uint8_t *image, size_t *length, const struct cut_op *op, enum cut_choice choice, uint64_t *random)
{
    if (choice == CUT_SECTORS)
        put_sectors(image, length, op, random);
    else if (choice == CUT_ALL || (choice == CUT_WRITES && test_random(random) & 1))
        put_bytes(image, length, op, 0, op->bytes);
}

/* The name that the file has: that of the last sync of its folder, or any later one. */
static uint64_t name_left(const struct cut_log *log, size_t at, enum cut_choice choice, uint64_t *random)
{
    uint64_t lasting = 0, newest = 0;
    for (size_t i = 0; i < at; i++) {
        if (log->ops[i].type == CUT_NAMED)
            newest = log->ops[i].value;
        else if (log->ops[i].type == CUT_FOLDER_SYNC)
            lasting = newest;
    }
    return choice == CUT_NONE ? lasting : choice == CUT_ALL || test_random(random) & 1 ? newest : lasting;
}

static void write_file(const char *folder, const char *name, const uint8_t *image, size_t length)
{
    char path[PATH_MOST + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    REQUIRE(fd >= 0 && write(fd, image, length) == (ssize_t)length && close(fd) == 0);
}

void cut_image(const struct cut_log *log, size_t at, enum cut_choice choice, uint64_t *random, const char *folder)
{
    static const char *const names[] = {"data.mdb", "data.mdb.new", "lock.mdb", "lock"};
    size_t most = 1, length = 0, synced = 0;
    struct cut_log *const recording = state.log;
    char path[PATH_MOST + 32];
    state.log = NULL;
    const size_t end = at < log->count ? at + 1 : at; /* what is under way counts as not durable */
    for (size_t i = 0; i < end; i++) {
        const struct cut_op *op = &log->ops[i];
        if (op->type == CUT_WRITE && op->offset + op->bytes > most)
            most = op->offset + op->bytes;
        if (op->type == CUT_SYNC && i < at)
            synced = i;
    }
    uint8_t *image = calloc(1, most);
    REQUIRE(image);
    for (size_t i = 0; i < end; i++) {
        const struct cut_op *op = &log->ops[i];
        if (op->type == CUT_WRITE)
            put_op(image, &length, op, i < synced || (op->lasting && i < at) ? CUT_ALL : choice, random);
    }
    if (choice >= CUT_WRITES && test_random(random) & 1)
        length = most > 1 ? most : 0; /* it has its length, and not yet the bytes */
    mkdir(folder, 0700);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    const uint64_t name = name_left(log, at, choice, random);
    if (name)
        write_file(folder, names[name == 2 ? 0 : 1], image, length);
    free(image);
    state.log = recording;
}
