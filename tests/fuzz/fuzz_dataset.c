/* dataset.json of a dataset (runtime/dataset.h).
 *
 *   input        the file
 *   properties   it ends; what is refused has a message that names the file; what is taken has files in ascending order,
 *                texts and numbers within their bounds, paths that lead nowhere else, something to train on; written
 *                and read again it is the same */
#include "dataset.h"
#include "fuzz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void check_text(const char *text)
{
    FUZZ_CHECK(text && strlen(text) <= DATASET_TEXT_MOST);
}

static void check_file(const struct dataset *d, size_t i)
{
    const struct dataset_file *const f = &d->files[i];
    char path[2 * PATHS_MAX];
    check_text(f->name);
    check_text(f->label);
    check_text(f->codec);
    check_text(f->warning);
    FUZZ_CHECK(*f->name && (f->path != NULL) == d->keeps_paths);
    for (size_t k = 0; k < f->duplicates_count; k++)
        check_text(f->duplicates[k]);
    FUZZ_CHECK(isfinite(f->duration_s) && f->duration_s >= 0 && isfinite(f->peak) && f->peak >= 0);
    FUZZ_CHECK(isfinite(f->rms) && f->rms >= 0 && f->bytes >= 1 && f->rate_hz >= 1);
    FUZZ_CHECK(f->channels >= 1 && f->channels <= 1024);
    FUZZ_CHECK(i == 0 || memcmp(&d->files[i - 1].hash, &f->hash, HASH_BYTES) < 0);
    FUZZ_CHECK(dataset_path(d, i, path, sizeof path) == STATUS_OK);
    FUZZ_CHECK(d->keeps_paths ? path[0] == '/' : strncmp(path, "/files/", 7) == 0 && !strchr(path + 7, '/'));
}

static void check_same(const struct dataset *a, const struct dataset *b)
{
    FUZZ_CHECK(a->count == b->count && strcmp(a->name, b->name) == 0 && a->keeps_paths == b->keeps_paths);
    FUZZ_CHECK(a->fraction == b->fraction && a->created_unix_ms == b->created_unix_ms);
    for (size_t i = 0; i < a->count; i++) {
        const struct dataset_file *const x = &a->files[i], *const y = &b->files[i];
        FUZZ_CHECK(memcmp(&x->hash, &y->hash, HASH_BYTES) == 0 && strcmp(x->name, y->name) == 0);
        FUZZ_CHECK(strcmp(x->label, y->label) == 0 && strcmp(x->warning, y->warning) == 0);
        FUZZ_CHECK(x->bytes == y->bytes && x->rate_hz == y->rate_hz && x->channels == y->channels);
        FUZZ_CHECK(x->peak == y->peak && x->rms == y->rms && x->duration_s == y->duration_s);
        FUZZ_CHECK(x->clipped_samples == y->clipped_samples && x->validation == y->validation);
        FUZZ_CHECK(!x->path || strcmp(x->path, y->path) == 0);
        FUZZ_CHECK(x->duplicates_count == y->duplicates_count);
    }
}

static void there_and_back(const struct dataset *d)
{
    struct dataset *back = NULL;
    const int fd = memfd_create("dataset", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && dataset_write(d, fd) == STATUS_OK);
    const off_t bytes = lseek(fd, 0, SEEK_END);
    char *const text = bytes > 0 ? malloc((size_t)bytes) : NULL;
    FUZZ_CHECK(text && pread(fd, text, (size_t)bytes, 0) == (ssize_t)bytes);
    FUZZ_CHECK(dataset_parse(text, (size_t)bytes, &back) == STATUS_OK);
    check_same(d, back);
    dataset_close(&back);
    free(text);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dataset *d = NULL;
    if (dataset_parse((const char *)data, size, &d)) {
        FUZZ_CHECK(!d && strstr(status_message(), "dataset.json"));
        return 0;
    }
    FUZZ_CHECK(d->count >= 1 && d->count <= DATASET_FILES_MOST && dataset_is_name(d->name));
    size_t train = 0;
    for (size_t i = 0; i < d->count; i++) {
        check_file(d, i);
        train += !d->files[i].validation;
    }
    FUZZ_CHECK(train > 0);
    there_and_back(d);
    dataset_close(&d);
    fuzz_accept();
    return 0;
}

#define SOUND(digit, split, more) \
    "{\"blake2b\":\"" digit digit digit digit "\",\"split\":\"" split "\",\"bytes\":44,\"duration_s\":1.5," \
    "\"sample_rate\":8000,\"channels\":2,\"peak\":0.5,\"rms\":0.25,\"clipped_samples\":3," more "}"
#define ONES "1111111111111111"
#define TWOS "2222222222222222"

void fuzz_seeds(void)
{
    static const char copies[] = "{\"schema\":1,\"name\":\"d\",\"keeps\":\"copies\",\"created_unix_ms\":5,"
                                 "\"validation_fraction\":0.1,\"files\":[" SOUND(
                                     ONES, "validation", "\"name\":\"kick/a.wav\",\"label\":\"kick\"") "," //
        SOUND(TWOS, "train", "\"name_hex\":\"ff\",\"duplicates\":[{\"name\":\"b\"}],\"warning\":\"odd\"") "]}";
    static const char paths[] = "{\"schema\":1,\"name\":\"d\",\"keeps\":\"paths\",\"created_unix_ms\":5,"
                                "\"validation_fraction\":0,\"files\":[" SOUND(
                                    ONES, "train", "\"name\":\"a\",\"path\":\"/m/a.wav\",\"codec\":\"mp3\"") "]}";
    fuzz_seed("copies", copies, sizeof copies - 1);
    fuzz_seed("paths", paths, sizeof paths - 1);
}
