/* replay_NAME [FILE|FOLDER ...]: runs a fuzz target without libFuzzer on its own seeds and on files; exit status 0 when
 * nothing broke and every seed was accepted. With --seeds FOLDER it writes the seeds there and runs nothing. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *seeds_to;
static int refused;
static unsigned long inputs;

/* From a block of exactly that size, so that AddressSanitizer sees a read behind it. */
static void run(const void *data, size_t bytes)
{
    uint8_t *const copy = malloc(bytes ? bytes : 1);
    FUZZ_CHECK(copy);
    if (bytes)
        memcpy(copy, data, bytes);
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
    inputs++;
}

void fuzz_seed(const char *name, const void *data, size_t bytes)
{
    char path[4096];
    if (!seeds_to) {
        const uint64_t before = fuzz_accepted();
        run(data, bytes);
        if (fuzz_accepted() == before) {
            printf("seed %s was not accepted: %s\n", name, status_message());
            refused++;
        }
        return;
    }
    snprintf(path, sizeof path, "%s/seed-%s", seeds_to, name);
    FILE *const f = fopen(path, "wb");
    FUZZ_CHECK(f);
    FUZZ_CHECK(fwrite(data, 1, bytes, f) == bytes);
    FUZZ_CHECK(fclose(f) == 0);
}

static int replay_file(const char *path)
{
    FILE *const f = fopen(path, "rb");
    struct stat s;
    if (!f || fstat(fileno(f), &s)) {
        perror(path);
        if (f)
            fclose(f);
        return 1;
    }
    char *const data = malloc((size_t)s.st_size + 1);
    FUZZ_CHECK(data);
    const size_t bytes = fread(data, 1, (size_t)s.st_size, f);
    fclose(f);
    fprintf(stderr, "%s\n", path); /* names the one that breaks something */
    run(data, bytes);
    free(data);
    return 0;
}

static int replay_path(const char *path)
{
    char name[4096];
    int failed = 0;
    DIR *const d = opendir(path);
    if (!d)
        return replay_file(path);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, e->d_name);
            failed |= replay_file(name);
        }
    closedir(d);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        seeds_to = argv[2];
        fuzz_seeds();
        return 0;
    }
    fuzz_seeds();
    for (int i = 1; i < argc; i++)
        failed |= replay_path(argv[i]);
    printf("%lu inputs, %d seeds refused\n", inputs, refused);
    return failed || refused;
}
