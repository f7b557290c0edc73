/* Paths: where a worker writes what it was told to write, and how names of files are shown.
 *
 *   input        what open answers u8, token u8, then the path
 *   properties   a worker's array is a file without a name in the output's folder, or, where the file system has no
 *                such files, one under the name that the other would get when it is whole: hidden, beside the
 *                output, never through a link; a path that is not absolute is refused before anything is opened; a
 *                name becomes JSON that is UTF-8, as it is where it was UTF-8; on a terminal it has no control
 *                characters and the width that was asked for
 *
 * open and stat are replaced by this file's (the linker's --wrap): the paths are not ours, and nothing may be made
 * there. */
#include "cli.h"
#include "fuzz.h"
#include "item.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FOLDER = 124 }; /* the answer of an output that is one */

volatile sig_atomic_t cli_interrupted;

static const char *wanted; /* the output; NULL: somebody else's call, libFuzzer's */
static uint8_t answer;
static int opened;

int WRAP(open)(const char *path, int flags, ...);
int WRAP(stat)(const char *path, struct stat *out);
int REAL(open)(const char *path, int flags, ...);
int REAL(stat)(const char *path, struct stat *out);

/* Hidden, beside the output, and no longer than a name may be. */
static void check_temporary(const char *path)
{
    const size_t folder = (size_t)(strrchr(wanted, '/') - wanted);
    const char *const name = path + folder + 1;
    FUZZ_CHECK(strncmp(path, wanted, folder + 1) == 0 && name[0] == '.' && !strchr(name, '/'));
    FUZZ_CHECK(strlen(name) > 6 && strlen(name) <= 255 && strcmp(name + strlen(name) - 5, ".part") == 0);
}

static int answer_open(bool good, int error)
{
    if (good)
        return memfd_create("fuzz", MFD_CLOEXEC);
    errno = error;
    return -1;
}

int WRAP(open)(const char *path, int flags, ...)
{
    if (!wanted) {
        va_list more;
        va_start(more, flags);
        const bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
        const int mode = makes ? va_arg(more, int) : 0;
        va_end(more);
        return REAL(open)(path, flags, mode);
    }
    FUZZ_CHECK(wanted[0] == '/' && (flags & O_CLOEXEC));
    const size_t folder = (size_t)(strrchr(wanted, '/') - wanted) + 1;
    if (++opened == 1) {
        FUZZ_CHECK((flags & O_TMPFILE) == O_TMPFILE && !(flags & O_CREAT));
        FUZZ_CHECK(strlen(path) == folder && strncmp(path, wanted, folder) == 0);
        return answer_open(answer % 2 == 0, EOPNOTSUPP);
    }
    FUZZ_CHECK((flags & O_NOFOLLOW) && (flags & O_CREAT));
    check_temporary(path);
    return answer_open(answer < 128, answer & 2 ? ENOSPC : EACCES);
}

int WRAP(stat)(const char *path, struct stat *out)
{
    if (!wanted)
        return REAL(stat)(path, out);
    *out = (struct stat){.st_mode = answer == FOLDER ? S_IFDIR : S_IFREG};
    return answer & 2 ? -1 : 0;
}

static void check_output(const char *path, uint8_t token)
{
    struct lease l = {.task = TASK_FEATURES};
    struct item it = {
        .lease = &l, .token = token, .input = -1, .result_fd = -1, .array.fd = -1, .array.path = strdup(path)};
    it.ffmpeg = (struct ffmpeg){.output = -1, .message = -1};
    FUZZ_CHECK(it.array.path);
    wanted = path;
    opened = 0;
    const int code = item_open_outputs(&it);
    FUZZ_CHECK(opened <= 2 && (code || (opened && it.array.fd >= 0 && it.array.temporary)));
    FUZZ_CHECK(path[0] == '/' || (code == STATUS_ARGUMENT && !opened));
    FUZZ_CHECK(answer != FOLDER || code == STATUS_ARGUMENT);
    FUZZ_CHECK(code || it.array.nameless == (opened == 1));
    FUZZ_CHECK(!code == (it.array.temporary != NULL));
    if (!code) {
        check_temporary(it.array.temporary);
        free(it.array.temporary);
        it.array.temporary = NULL;
        fuzz_accept();
    }
    wanted = NULL;
    item_release(&it);
    free(it.array.path);
}

static void check_shown(const char *path)
{
    char fitted[64];
    bool exact = false;
    json_t *const s = output_path(path, &exact);
    FUZZ_CHECK(json_is_string(s) && exact == wire_is_utf8(path, strlen(path)));
    FUZZ_CHECK(!exact || strcmp(json_string_value(s), path) == 0);
    char *const dumped = json_dumps(s, JSON_ENCODE_ANY);
    FUZZ_CHECK(dumped && wire_is_utf8(dumped, strlen(dumped)));
    free(dumped);
    output_fit(json_string_value(s), 12, fitted, sizeof fitted);
    int columns = 0;
    for (const char *p = fitted; *p; p++) {
        FUZZ_CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
        columns += (*p & 0xc0) != 0x80;
    }
    FUZZ_CHECK(columns == 12 && wire_is_utf8(fitted, strlen(fitted)));
    json_decref(s);
    if (cli_is_audio_name(path))
        FUZZ_CHECK(strchr(path, '.'));
    char *const full = cli_absolute(path);
    FUZZ_CHECK(full && full[0] == '/' && strcmp(full + strlen(full) - strlen(path), path) == 0);
    free(full);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    answer = fuzz_byte(&in);
    const uint8_t token = fuzz_byte(&in);
    char *const path = fuzz_text(&in, LIMIT_PATH);
    check_output(path, token);
    check_shown(path);
    free(path);
    return 0;
}

void fuzz_seeds(void)
{
    static const char *const paths[] = {"/tmp/out.npy", "/out.npy", "/a/../b/\xc3\xa9.npy", "/a/.."};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char input[64] = {(char)(i % 2), 1}, name[16]; /* without a name, and with one */
        snprintf(input + 2, sizeof input - 2, "%s", paths[i]);
        snprintf(name, sizeof name, "path%zu", i);
        fuzz_seed(name, input, 2 + strlen(paths[i]));
    }
}
