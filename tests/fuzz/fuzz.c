#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t accepted;

void fuzz_accept(void)
{
    accepted++;
}

uint64_t fuzz_accepted(void)
{
    return accepted;
}

void fuzz_broken(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: broken: %s\nlast message: %s (%s)\n", file, line, what, status_message(), status_where());
    abort();
}

void WRAP(log_write)(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
}

uint8_t fuzz_byte(struct fuzz_input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}

uint64_t fuzz_number(struct fuzz_input *in, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)fuzz_byte(in) << 8 * i;
    return v;
}

struct wire_slice fuzz_slice(struct fuzz_input *in, uint32_t bytes)
{
    const struct wire_slice s = {in->at, bytes < in->left ? bytes : (uint32_t)in->left};
    in->at += s.bytes;
    in->left -= s.bytes;
    return s;
}

struct wire_slice fuzz_rest(struct fuzz_input *in)
{
    return fuzz_slice(in, (uint32_t)in->left);
}

char *fuzz_text(struct fuzz_input *in, uint32_t bytes)
{
    const struct wire_slice s = fuzz_slice(in, bytes);
    char *const text = malloc((size_t)s.bytes + 1);
    FUZZ_CHECK(text);
    wire_copy(s, text, (size_t)s.bytes + 1);
    return text;
}

void fuzz_noise(const char *seed, uint8_t *out, size_t bytes)
{
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (; *seed; seed++)
        state = (state ^ (uint8_t)*seed) * 0xd6e8feb86659fd93u;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(state >> 56);
    }
}

int fuzz_mute(FILE *f)
{
    fflush(f);
    const int kept = dup(fileno(f)), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    FUZZ_CHECK(kept >= 0 && nowhere >= 0 && dup2(nowhere, fileno(f)) >= 0 && close(nowhere) == 0);
    return kept;
}

void fuzz_unmute(FILE *f, int kept)
{
    fflush(f);
    FUZZ_CHECK(dup2(kept, fileno(f)) >= 0 && close(kept) == 0);
}

static char folder[256];

/* Two levels: what the targets put there. */
static void empty_folder(const char *path, int depth)
{
    char name[600];
    DIR *const d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (unlink(name) && depth)
            empty_folder(name, depth - 1);
    }
    if (d)
        closedir(d);
    (void)!rmdir(path);
}

static void remove_folder(void)
{
    empty_folder(folder, 2);
}

const char *fuzz_folder(void)
{
    const char *const base = getenv("TMPDIR");
    if (folder[0])
        return folder;
    snprintf(folder, sizeof folder, "%s/wavemill-fuzz-XXXXXX", base && *base ? base : "/tmp");
    FUZZ_CHECK(mkdtemp(folder));
    FUZZ_CHECK(atexit(remove_folder) == 0);
    return folder;
}
