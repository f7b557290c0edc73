/* Manifests of datasets: what is taken and what is refused, the way there and back, and who is for validation. */
#include "dataset.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define H1 "1111111111111111111111111111111111111111111111111111111111111111"
#define H2 "2222222222222222222222222222222222222222222222222222222222222222"
#define NUMBERS \
    "\"bytes\":44,\"duration_s\":1.5,\"sample_rate\":8000,\"channels\":2,\"peak\":0.5,\"rms\":0.25,\"clipped_" \
    "samples\":0"
#define FILE_AS(hash, split, more) "{\"blake2b\":\"" hash "\",\"split\":\"" split "\"," NUMBERS "," more "}"
#define ONE FILE_AS(H1, "train", "\"name\":\"a.wav\"")
#define ALL_AS(head, files) "{" head ",\"created_unix_ms\":5,\"validation_fraction\":0.1,\"files\":[" files "]}"
#define HEAD "\"schema\":1,\"name\":\"d\",\"keeps\":\"copies\""
#define ALL(files) ALL_AS(HEAD, files)

static const struct {
    const char *reason, *text;
    int code;
    const char *says;
} cases[] = {
    {"one file", ALL(ONE), STATUS_OK, ""},
    {"two", ALL(ONE "," FILE_AS(H2, "validation", "\"name\":\"b\",\"label\":\"x/y\"")), STATUS_OK, ""},
    {"a name that is no UTF-8", ALL(FILE_AS(H1, "train", "\"name_hex\":\"ff2f61\"")), STATUS_OK, ""},
    {"paths",
     ALL_AS("\"schema\":1,\"name\":\"d\",\"keeps\":\"paths\"",
            FILE_AS(H1, "train", "\"name\":\"a\",\"path\":\"/m/a\"")),
     STATUS_OK, ""},
    {"what is not known is passed over", ALL_AS(HEAD ",\"more\":[{}]", ONE), STATUS_OK, ""},
    {"nothing", "", STATUS_DAMAGED, "line 1"},
    {"a list", "[]", STATUS_DAMAGED, "no schema"},
    {"cut short", "{\"schema\":1", STATUS_DAMAGED, "line 1"},
    {"the same key twice", "{\"schema\":1,\"schema\":1}", STATUS_DAMAGED, "duplicate"},
    {"another schema", ALL_AS("\"schema\":2,\"name\":\"d\",\"keeps\":\"copies\"", ONE), STATUS_VERSION, "schema 2"},
    {"a text for a schema", ALL_AS("\"schema\":\"1\",\"name\":\"d\",\"keeps\":\"copies\"", ONE), STATUS_DAMAGED,
     "no schema"},
    {"a name that leads elsewhere", ALL_AS("\"schema\":1,\"name\":\"../d\",\"keeps\":\"copies\"", ONE), STATUS_DAMAGED,
     "name"},
    {"keeps something else", ALL_AS("\"schema\":1,\"name\":\"d\",\"keeps\":\"links\"", ONE), STATUS_DAMAGED, "keeps"},
    {"no files", ALL(""), STATUS_DAMAGED, "1 to 10000"},
    {"a file that is a number", ALL("7"), STATUS_DAMAGED, "blake2b"},
    {"a short hash", ALL("{\"blake2b\":\"11\"}"), STATUS_DAMAGED, "blake2b"},
    {"a hash that leads elsewhere",
     ALL(FILE_AS("../../../../../../../../../../../../../../../../../../../etc/passwd", "train", "\"name\":\"a\"")),
     STATUS_DAMAGED, "blake2b"},
    {"the same hash twice", ALL(ONE "," ONE), STATUS_DAMAGED, "file 1: dataset.json: files are not in ascending order"},
    {"hashes in descending order", ALL(FILE_AS(H2, "train", "\"name\":\"a\"") "," ONE), STATUS_DAMAGED, "ascending"},
    {"another split", ALL(FILE_AS(H1, "test", "\"name\":\"a\"")), STATUS_DAMAGED, "split"},
    {"nothing to train on", ALL(FILE_AS(H1, "validation", "\"name\":\"a\"")), STATUS_DAMAGED, "train on"},
    {"no name", ALL(FILE_AS(H1, "train", "\"label\":\"a\"")), STATUS_DAMAGED, "name is no text"},
    {"an empty name", ALL(FILE_AS(H1, "train", "\"name\":\"\"")), STATUS_DAMAGED, "empty name"},
    {"a name that is a number", ALL(FILE_AS(H1, "train", "\"name\":7")), STATUS_DAMAGED, "name is no text"},
    {"a zero byte in a name", ALL(FILE_AS(H1, "train", "\"name_hex\":\"610062\"")), STATUS_DAMAGED, "name is no text"},
    {"half a byte", ALL(FILE_AS(H1, "train", "\"name_hex\":\"616\"")), STATUS_DAMAGED, "name is no text"},
    {"a label that is none", ALL(FILE_AS(H1, "train", "\"name\":\"a\",\"label\":[]")), STATUS_DAMAGED, "label"},
    {"no path", ALL_AS("\"schema\":1,\"name\":\"d\",\"keeps\":\"paths\"", ONE), STATUS_DAMAGED, "path is no text"},
    {"a path that is not absolute",
     ALL_AS("\"schema\":1,\"name\":\"d\",\"keeps\":\"paths\"", FILE_AS(H1, "train", "\"name\":\"a\",\"path\":\"b\"")),
     STATUS_DAMAGED, "not absolute"},
    {"duplicates that are names", ALL(FILE_AS(H1, "train", "\"name\":\"a\",\"duplicates\":[\"b\"]")), STATUS_DAMAGED,
     "name is no text"},
    {"duplicates", ALL(FILE_AS(H1, "train", "\"name\":\"a\",\"duplicates\":[{\"name\":\"b\"},{\"name_hex\":\"fe\"}]")),
     STATUS_OK, ""},
};

TEST(what_is_a_manifest)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dataset *d = NULL;
        const int code = dataset_parse(cases[i].text, strlen(cases[i].text), &d);
        printf("    %s: %s\n", cases[i].reason, code ? status_message() : "taken");
        CHECK(code == cases[i].code && (d != NULL) == !code);
        CHECK(!code || strstr(status_message(), cases[i].says));
        dataset_close(&d);
    }
}

/* Each number in turn is what it must not be. */
TEST(numbers_have_bounds)
{
    static const struct {
        const char *key, *good;
        const char *bad[4];
    } numbers[] = {
        {"\"bytes\":44", "\"bytes\":9007199254740992", {"-1", "0", "9007199254740993", "1.5"}},
        {"\"duration_s\":1.5", "\"duration_s\":0", {"-0.1", "1e10", "\"1\"", "null"}},
        {"\"sample_rate\":8000", "\"sample_rate\":1", {"0", "100000001", "8000.5", "-8000"}},
        {"\"channels\":2", "\"channels\":1024", {"0", "1025", "[]", "-1"}},
        {"\"peak\":0.5", "\"peak\":3e38", {"-1", "4e38", "true", "null"}},
        {"\"rms\":0.25", "\"rms\":0", {"-1", "4e38", "true", "null"}},
        {"\"clipped_samples\":0", "\"clipped_samples\":7", {"-1", "0.5", "1e3", "null"}},
        {"\"created_unix_ms\":5", "\"created_unix_ms\":0", {"-1", "1.5", "null", "\"5\""}},
        {"\"validation_fraction\":0.1", "\"validation_fraction\":0", {"-0.1", "1.1", "null", "\"5\""}},
    };
    static const char whole[] = ALL(ONE);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int k = -1; k < 4; k++) {
            char text[1000], wrong[64];
            struct dataset *d = NULL;
            const char *const at = strstr(whole, numbers[i].key), *const colon = strchr(numbers[i].key, ':');
            snprintf(wrong, sizeof wrong, "%.*s%s", (int)(colon - numbers[i].key) + 1, numbers[i].key,
                     k < 0 ? "" : numbers[i].bad[k]);
            REQUIRE(at);
            snprintf(text, sizeof text, "%.*s%s%s", (int)(at - whole), whole, k < 0 ? numbers[i].good : wrong,
                     at + strlen(numbers[i].key));
            const int code = dataset_parse(text, strlen(text), &d);
            CHECK(code == (k < 0 ? STATUS_OK : STATUS_DAMAGED));
            dataset_close(&d);
        }
}

TEST(texts_have_bounds)
{
    for (int longer = 0; longer < 2; longer++) {
        const int n = DATASET_TEXT_MOST + longer;
        char name[DATASET_TEXT_MOST + 2], hex[2 * DATASET_TEXT_MOST + 3];
        static char text[4 * DATASET_TEXT_MOST];
        struct dataset *d = NULL;
        memset(name, 'a', (size_t)n);
        memset(hex, 'e', 2 * (size_t)n);
        name[n] = hex[2 * n] = '\0';
        snprintf(text, sizeof text, ALL("{\"blake2b\":\"" H1 "\",\"split\":\"train\"," NUMBERS ",\"name\":\"%s\"}"),
                 name);
        CHECK_CODE(dataset_parse(text, strlen(text), &d), longer ? STATUS_DAMAGED : STATUS_OK);
        dataset_close(&d);
        snprintf(text, sizeof text, ALL("{\"blake2b\":\"" H1 "\",\"split\":\"train\"," NUMBERS ",\"name_hex\":\"%s\"}"),
                 hex);
        CHECK_CODE(dataset_parse(text, strlen(text), &d), longer ? STATUS_DAMAGED : STATUS_OK);
        dataset_close(&d);
    }
}

TEST(names)
{
    static const char *const good[] = {"d", "Drums-2.1_b", "9"};
    static const char *const bad[] = {"", ".d", "..", "-d", "a/b", "a b", "\xc3\xa9", "a\n"};
    char most[DATASET_NAME_MOST + 2];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(dataset_is_name(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_CODE(dataset_check_name(bad[i]), STATUS_ARGUMENT);
    memset(most, 'x', sizeof most);
    most[DATASET_NAME_MOST + 1] = '\0';
    CHECK(!dataset_is_name(most));
    most[DATASET_NAME_MOST] = '\0';
    CHECK(dataset_is_name(most));
}

/* ---- there and back ---- */

static void fill(struct dataset_file *f, uint8_t hash, const char *name)
{
    memset(&f->hash, hash, sizeof f->hash);
    f->name = strdup(name);
    f->label = strdup("a/\xff");
    f->codec = strdup("wav/pcm_16");
    f->warning = strdup("odd");
    f->bytes = 100 + hash;
    f->clipped_samples = hash;
    f->rate_hz = 44100;
    f->channels = 2;
    f->duration_s = 0.1;
    f->peak = 0.9999695; /* of doubles all bits come back */
    f->rms = 1.0 / 3;
}

static struct dataset *make(size_t count, bool keeps_paths)
{
    struct dataset *const d = calloc(1, sizeof *d);
    REQUIRE(d);
    *d = (struct dataset){
        .name = "drums", .keeps_paths = keeps_paths, .fraction = 0.25, .created_unix_ms = 1234567890123};
    d->files = calloc(count, sizeof *d->files);
    REQUIRE(d->files);
    d->count = count;
    for (size_t i = 0; i < count; i++) {
        fill(&d->files[i], (uint8_t)(200 - i), i ? "b \"c\"\n" : "x\xfe");
        if (keeps_paths)
            d->files[i].path = strdup(i ? "/m/\xe9.wav" : "/m/a");
    }
    d->files[0].duplicates = calloc(2, sizeof *d->files[0].duplicates);
    REQUIRE(d->files[0].duplicates);
    d->files[0].duplicates[0] = strdup("again");
    d->files[0].duplicates[1] = strdup("\x80");
    d->files[0].duplicates_count = 2;
    return d;
}

static void write_to(const struct dataset *d, const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    CHECK_OK(dataset_write(d, fd));
    close(fd);
}

static void check_same(const struct dataset_file *a, const struct dataset_file *b)
{
    CHECK(memcmp(&a->hash, &b->hash, sizeof a->hash) == 0 && strcmp(a->name, b->name) == 0);
    CHECK(strcmp(a->label, b->label) == 0 && strcmp(a->codec, b->codec) == 0 && strcmp(a->warning, b->warning) == 0);
    CHECK(a->bytes == b->bytes && a->clipped_samples == b->clipped_samples && a->rate_hz == b->rate_hz);
    CHECK(a->channels == b->channels && a->duration_s == b->duration_s && a->peak == b->peak && a->rms == b->rms);
    CHECK(a->validation == b->validation && (a->path != NULL) == (b->path != NULL));
    CHECK(!a->path || !b->path || strcmp(a->path, b->path) == 0);
    REQUIRE(a->duplicates_count == b->duplicates_count);
    for (size_t i = 0; i < a->duplicates_count; i++)
        CHECK(strcmp(a->duplicates[i], b->duplicates[i]) == 0);
}

TEST(what_is_written_is_read)
{
    REQUIRE(mkdir("datasets", 0700) == 0 && mkdir("datasets/drums", 0700) == 0 && mkdir("datasets/other", 0700) == 0);
    for (int paths = 0; paths < 2; paths++) {
        struct dataset *d = make(5, paths), *back = NULL;
        char path[256];
        dataset_split(d);
        write_to(d, "datasets/drums/dataset.json");
        CHECK_OK(dataset_open(".", "drums", &back));
        REQUIRE(back && back->count == d->count);
        CHECK(back->keeps_paths == d->keeps_paths && back->fraction == 0.25 && back->created_unix_ms == 1234567890123);
        for (size_t i = 0; i < d->count; i++)
            check_same(&d->files[i], &back->files[i]);
        CHECK_OK(dataset_path(back, 4, path, sizeof path));
        CHECK(strcmp(path, paths ? "/m/a"
                                 : "./datasets/drums/files/"
                                   "c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8c8") == 0);
        CHECK_CODE(dataset_path(back, 4, path, 4), STATUS_ARGUMENT);
        dataset_close(&d);
        dataset_close(&back);
    }
    struct dataset *d = NULL;
    CHECK(rename("datasets/drums/dataset.json", "datasets/other/dataset.json") == 0);
    CHECK_CODE(dataset_open(".", "drums", &d), STATUS_DAMAGED); /* its manifest is gone */
    CHECK_CODE(dataset_open(".", "other", &d), STATUS_DAMAGED); /* it is another's */
    CHECK(strstr(status_message(), "that of 'drums'"));
    CHECK_CODE(dataset_open(".", "nothing", &d), STATUS_NOT_FOUND);
    CHECK_CODE(dataset_open(".", "../datasets/other", &d), STATUS_ARGUMENT);
    CHECK(symlink("../other/dataset.json", "datasets/drums/dataset.json") == 0);
    CHECK_CODE(dataset_open(".", "drums", &d), STATUS_IO); /* a link is not followed */
    CHECK(unlink("datasets/drums/dataset.json") == 0 && mkfifo("datasets/drums/dataset.json", 0600) == 0);
    CHECK_CODE(dataset_open(".", "drums", &d), STATUS_DAMAGED); /* nobody waits for who writes there */
    CHECK(unlink("datasets/drums/dataset.json") == 0);
    const int fd = open("datasets/drums/dataset.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && ftruncate(fd, DATASET_BYTES_MOST + 1) == 0);
    close(fd);
    CHECK_CODE(dataset_open(".", "drums", &d), STATUS_DAMAGED);
    CHECK(!d);
}

TEST(a_manifest_that_could_not_be_read_is_not_written)
{
    enum { FILES = 5000 };
    struct dataset *d = calloc(1, sizeof *d);
    static char name[DATASET_TEXT_MOST + 1];
    REQUIRE(d);
    memset(name, 'n', DATASET_TEXT_MOST);
    d->files = calloc(FILES, sizeof *d->files);
    REQUIRE(d->files);
    d->count = FILES;
    for (size_t i = 0; i < FILES; i++)
        fill(&d->files[i], (uint8_t)i, name);
    const int fd = open("x", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK_CODE(dataset_write(d, fd), STATUS_ARGUMENT);
    CHECK(lseek(fd, 0, SEEK_END) == 0);
    close(fd);
    dataset_close(&d);
}

/* ---- the split ---- */

TEST(how_many_are_for_validation)
{
    static const struct {
        size_t files;
        double fraction;
        size_t want;
    } splits[] = {{1, 0.1, 0},    {2, 0.1, 1}, {5, 0.1, 1},  {10, 0.1, 1}, {26, 0.1, 3},
                  {100, 0.1, 10}, {2, 0.9, 1}, {10, 0.9, 9}, {10, 0, 0},   {3, 0.5, 2}};
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        struct dataset *d = make(splits[i].files, false);
        size_t n = 0;
        d->fraction = splits[i].fraction;
        dataset_split(d);
        for (size_t k = 0; k < d->count; k++) {
            n += d->files[k].validation;
            CHECK(k == 0 || memcmp(&d->files[k - 1].hash, &d->files[k].hash, HASH_BYTES) < 0);
            CHECK(d->files[k].validation == (k < splits[i].want)); /* the first ones */
        }
        printf("    %zu files, %g: %zu\n", splits[i].files, splits[i].fraction, n);
        CHECK(n == splits[i].want);
        dataset_close(&d);
    }
}

TEST(the_split_hangs_on_contents_alone)
{
    enum { FILES = 40 };
    struct dataset *a = make(FILES, false), *b = make(FILES, false);
    uint64_t state = 7;
    for (size_t i = FILES - 1; i > 0; i--) { /* another order, other names */
        const size_t k = test_random(&state) % (i + 1);
        const struct dataset_file f = b->files[i];
        b->files[i] = b->files[k];
        b->files[k] = f;
        free(b->files[i].name);
        b->files[i].name = strdup("other");
    }
    dataset_split(a);
    dataset_split(b);
    for (size_t i = 0; i < FILES; i++)
        CHECK(memcmp(&a->files[i].hash, &b->files[i].hash, HASH_BYTES) == 0 &&
              a->files[i].validation == b->files[i].validation);
    dataset_close(&a);
    dataset_close(&b);
}
