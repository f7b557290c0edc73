/* Packs: what was written is read back, equal entries make equal bytes, and what is damaged is refused with its reason.
 */
#include "pack.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 3, SAMPLES = 5 + 1 + 300, TABLE = PACK_HEADER_BYTES + 4 * SAMPLES, BYTES = TABLE + 128 * ENTRIES };
static const size_t counts[ENTRIES] = {5, 1, 300};
static const char *const labels[ENTRIES] = {"kick", "", "snare/\xc3\xa9t\xc3\xa9"};

static struct pack_item item_of(int i)
{
    struct pack_item item = {.part = i == 1 ? PACK_VALIDATION : PACK_TRAIN, .label = labels[i]};
    hash_bytes(&i, sizeof i, &item.file);
    return item;
}

static float sample_of(int i, size_t n)
{
    return (float)(i + 1) / (float)(n + 1) * (n % 2 ? -1 : 1);
}

static void add(struct pack_writer *w, int i)
{
    float x[300];
    const struct pack_item item = item_of(i);
    for (size_t n = 0; n < counts[i]; n++)
        x[n] = sample_of(i, n);
    CHECK_OK(pack_add(w, &item, x, counts[i]));
}

static void write_pack(const char *path)
{
    struct pack_writer *w = NULL;
    CHECK_OK(pack_create(path, 16000, &w));
    for (int i = 0; i < ENTRIES; i++)
        add(w, i);
    CHECK_OK(pack_finish(&w));
    CHECK(w == NULL);
}

static size_t read_file(const char *path, uint8_t *out, size_t capacity)
{
    FILE *const f = fopen(path, "rb");
    REQUIRE(f);
    const size_t bytes = fread(out, 1, capacity, f);
    fclose(f);
    return bytes;
}

static int open_bytes(const void *data, size_t bytes, struct pack **out)
{
    const int fd = memfd_create("pack", MFD_CLOEXEC);
    CHECK(write(fd, data, bytes) == (ssize_t)bytes);
    const int code = pack_open(fd, "here.pack", out);
    close(fd);
    return code;
}

static int files_here(void)
{
    FILE *const f = popen("ls -A | wc -l", "r");
    char text[16] = "";
    CHECK(f && fgets(text, sizeof text, f));
    pclose(f);
    return (int)strtol(text, NULL, 10);
}

TEST(what_was_written)
{
    struct pack *p = NULL;
    write_pack("a.pack");
    const int fd = open("a.pack", O_RDONLY | O_CLOEXEC);
    CHECK_OK(pack_open(fd, "a.pack", &p));
    close(fd); /* not needed any more */
    REQUIRE(p && pack_count(p) == ENTRIES);
    CHECK(pack_rate_hz(p) == 16000);
    for (int i = 0; i < ENTRIES; i++) {
        const struct pack_entry *const e = pack_at(p, (size_t)i);
        const struct pack_item want = item_of(i);
        CHECK(memcmp(&e->file, &want.file, sizeof e->file) == 0 && e->part == want.part);
        CHECK(strcmp(e->label, want.label) == 0 && e->count == counts[i]);
        for (size_t n = 0; n < counts[i]; n++)
            CHECK(e->samples[n] == sample_of(i, n));
        CHECK_OK(pack_check(p, (size_t)i));
    }
    pack_close(&p);
    pack_close(&p);
    CHECK(files_here() == 1);
}

TEST(equal_entries_make_equal_bytes)
{
    uint8_t a[BYTES + 1], b[BYTES + 1];
    write_pack("a.pack");
    write_pack("b.pack");
    CHECK(read_file("a.pack", a, sizeof a) == BYTES && read_file("b.pack", b, sizeof b) == BYTES);
    CHECK(memcmp(a, b, BYTES) == 0);
}

TEST(the_older_one_stays_until_the_new_one_is_whole)
{
    struct pack_writer *w = NULL;
    uint8_t b[BYTES + 1];
    write_pack("a.pack");
    CHECK_OK(pack_create("a.pack", 8000, &w));
    add(w, 0);
    CHECK(read_file("a.pack", b, sizeof b) == BYTES && files_here() == 2);
    pack_abandon(&w);
    pack_abandon(&w);
    CHECK(read_file("a.pack", b, sizeof b) == BYTES && files_here() == 1);
    CHECK_OK(pack_create("a.pack", 8000, &w));
    CHECK_CODE(pack_finish(&w), STATUS_ARGUMENT); /* no entries */
    CHECK(w == NULL && read_file("a.pack", b, sizeof b) == BYTES && files_here() == 1);
    CHECK_OK(pack_create("a.pack", 8000, &w));
    add(w, 0);
    CHECK_OK(pack_finish(&w));
    CHECK(read_file("a.pack", b, sizeof b) == PACK_HEADER_BYTES + 20 + 128 && files_here() == 1);
}

TEST(what_is_refused_leaves_the_pack_as_it_was)
{
    static const char *const bad_labels[] = {
        "0123456789012345678901234567890123456789012345678901234567890123", /* 64 bytes */
        "\xff", "\xc3", "\xed\xa0\x80" /* a surrogate */};
    struct pack_writer *w = NULL;
    uint8_t a[BYTES + 1], b[BYTES + 1];
    const float bad[][3] = {{0, NAN, 0}, {INFINITY, 0, 0}, {0, 0, -INFINITY}}, good[3] = {0};
    struct pack_item item = item_of(0);
    CHECK_CODE(pack_create("a.pack", 0, &w), STATUS_ARGUMENT);
    CHECK_CODE(pack_create("a.pack", PACK_RATE_MOST + 1, &w), STATUS_ARGUMENT);
    CHECK_CODE(pack_create("nowhere/a.pack", 16000, &w), STATUS_IO);
    CHECK(strstr(status_message(), "nowhere/a.pack"));
    CHECK(w == NULL && files_here() == 0);
    CHECK_OK(pack_create("a.pack", 16000, &w));
    for (int i = 0; i < ENTRIES; i++) {
        CHECK_CODE(pack_add(w, &item, bad[i], 3), STATUS_FORMAT);
        CHECK(strstr(status_message(), "a.pack: sample ") && strstr(status_message(), " is not a finite number"));
        add(w, i);
    }
    CHECK_CODE(pack_add(w, &item, good, 0), STATUS_ARGUMENT);
    CHECK_CODE(pack_add(w, &item, good, UINT64_C(1) << 34), STATUS_ARGUMENT); /* 64 GiB */
    CHECK_CODE(pack_add(w, &item, good, UINT64_MAX), STATUS_ARGUMENT);
    CHECK_CODE(pack_add(w, &item, good, (UINT64_C(1) << 62) + 1), STATUS_ARGUMENT); /* whose bytes wrap */
    for (size_t i = 0; i < sizeof bad_labels / sizeof *bad_labels; i++) {
        item.label = bad_labels[i];
        CHECK_CODE(pack_add(w, &item, good, 3), STATUS_ARGUMENT);
        CHECK(strstr(status_message(), "a.pack: the label"));
    }
    item.label = "";
    item.part = (enum pack_part)2;
    CHECK_CODE(pack_add(w, &item, good, 3), STATUS_ARGUMENT);
    CHECK_OK(pack_finish(&w));
    write_pack("b.pack");
    CHECK(read_file("a.pack", a, sizeof a) == BYTES && read_file("b.pack", b, sizeof b) == BYTES);
    CHECK(memcmp(a, b, BYTES) == 0);
}

TEST(as_many_entries_as_allowed)
{
    struct pack_writer *w = NULL;
    struct pack *p = NULL;
    const float x = 0.5F;
    struct pack_item item = item_of(0);
    item.label = "012345678901234567890123456789012345678901234567890123456789012"; /* 63 bytes */
    CHECK_OK(pack_create("a.pack", PACK_RATE_MOST, &w));
    for (int i = 0; i < PACK_ENTRIES_MOST; i++)
        REQUIRE(pack_add(w, &item, &x, 1) == STATUS_OK);
    CHECK_CODE(pack_add(w, &item, &x, 1), STATUS_ARGUMENT);
    CHECK_OK(pack_finish(&w));
    const int fd = open("a.pack", O_RDONLY | O_CLOEXEC);
    CHECK_OK(pack_open(fd, "a.pack", &p));
    REQUIRE(p && pack_count(p) == PACK_ENTRIES_MOST);
    CHECK(strcmp(pack_at(p, PACK_ENTRIES_MOST - 1)->label, item.label) == 0);
    CHECK_OK(pack_check(p, PACK_ENTRIES_MOST - 1));
    pack_close(&p);
    close(fd);
}

TEST(a_full_disk)
{
    struct pack_writer *w = NULL;
    const float x[4] = {0};
    const struct pack_item item = item_of(0);
    CHECK_OK(pack_create("a.pack", 16000, &w));
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    char path[64] = "";
    for (int fd = 3; fd < 64; fd++) { /* the writer's own descriptor leads there from now on */
        char link[32], target[4096] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 0 && strstr(target, ".a.pack.")) {
            CHECK(dup2(full, fd) == fd);
            snprintf(path, sizeof path, "%s", strrchr(target, '/') + 1);
        }
    }
    close(full);
    CHECK(*path);
    CHECK_CODE(pack_add(w, &item, x, 4), STATUS_IO);
    CHECK(strstr(status_message(), "a.pack") && strstr(status_message(), "No space left"));
    pack_abandon(&w);
    CHECK(files_here() == 0);
}

static void put(uint8_t *at, uint64_t v, int width)
{
    for (int i = 0; i < width; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

/* What a writer would have put there. */
static void mend(uint8_t *b, size_t table, size_t bytes)
{
    put(b + 60, crc32c(crc32c(0, b, 60), b + table, bytes - table), 4);
}

TEST(damaged_files)
{
    enum { E0 = TABLE, E1 = TABLE + 128, E2 = TABLE + 256, LABEL = 32, COUNT = 96, OFFSET = 104, PART = 116 };
    static const struct {
        const char *what;
        size_t at;
        int width;
        uint64_t value;
        size_t bytes; /* of the file; 0: all */
        bool mended;
        int code;
        const char *reason;
    } cases[] = {
        {"nothing", 0, 0, 0, 0, true, STATUS_OK, NULL},
        {"a byte", 0, 0, 0, 1, false, STATUS_DAMAGED, "1 bytes, too short for a pack"},
        {"a byte short of a header", 0, 0, 0, 63, false, STATUS_DAMAGED, "63 bytes, too short"},
        {"a header alone", 0, 0, 0, 64, false, STATUS_DAMAGED, "it has 64 bytes, its header says 1672"},
        {"cut in its samples", 0, 0, 0, 500, false, STATUS_DAMAGED, "it has 500 bytes"},
        {"cut by a byte", 0, 0, 0, BYTES - 1, false, STATUS_DAMAGED, "it has 1671 bytes"},
        {"another file", 0, 4, 0x46464952, 0, false, STATUS_DAMAGED, "not a pack"},
        {"an older version", 4, 4, 0, 0, true, STATUS_VERSION, "a pack of version 0"},
        {"a newer version", 4, 4, 2, 0, true, STATUS_VERSION, "a pack of version 2, this program has 1"},
        {"the rate changed", 8, 4, 16001, 0, false, STATUS_DAMAGED, "the checksum of its table"},
        {"no rate", 8, 4, 0, 0, true, STATUS_DAMAGED, "0 Hz"},
        {"a rate beyond all", 8, 4, UINT32_MAX, 0, true, STATUS_DAMAGED, "4294967295 Hz"},
        {"no entries", 12, 4, 0, 0, true, STATUS_DAMAGED, "a table of 0 entries"},
        {"an entry fewer", 12, 4, 2, 0, true, STATUS_DAMAGED, "a table of 2 entries"},
        {"an entry more", 12, 4, 4, 0, true, STATUS_DAMAGED, "a table of 4 entries"},
        {"entries beyond all", 12, 4, UINT32_MAX, 0, true, STATUS_DAMAGED, "a table of 4294967295 entries"},
        {"the table earlier", 16, 8, TABLE - 128, 0, true, STATUS_DAMAGED, "at byte 1160"},
        {"the table beyond the end", 16, 8, UINT64_MAX - 127, 0, true, STATUS_DAMAGED, "a table of 3 entries"},
        {"another length", 24, 8, BYTES + 1, 0, true, STATUS_DAMAGED, "its header says 1673"},
        {"a byte that means nothing", 59, 1, 1, 0, true, STATUS_DAMAGED, "mean nothing"},
        {"the checksum", 60, 1, 0x55, 0, false, STATUS_DAMAGED, "the checksum of its table"},
        {"a hash changed", E1, 1, 0x55, 0, false, STATUS_DAMAGED, "the checksum of its table"},
        {"a label without end", E1 + LABEL, 0, 'a', 0, true, STATUS_DAMAGED, "entry 1: its label"},
        {"a label that goes on", E0 + LABEL + 6, 1, 'x', 0, true, STATUS_DAMAGED, "entry 0: its label"},
        {"a label that is not UTF-8", E1 + LABEL, 1, 0xff, 0, true, STATUS_DAMAGED, "entry 1: its label"},
        {"no samples", E0 + COUNT, 8, 0, 0, true, STATUS_DAMAGED, "entry 0 has 0 samples"},
        {"a sample fewer", E0 + COUNT, 8, 4, 0, true, STATUS_DAMAGED, "entry 1 begins at byte 84, not 80"},
        {"a sample fewer at the end", E2 + COUNT, 8, 299, 0, true, STATUS_DAMAGED, "4 bytes before its table"},
        {"samples into the table", E2 + COUNT, 8, 301, 0, true, STATUS_DAMAGED, "there is room for 300"},
        {"samples beyond all", E2 + COUNT, 8, UINT64_MAX, 0, true, STATUS_DAMAGED, "has 18446744073709551615 samples"},
        {"samples whose bytes wrap", E2 + COUNT, 8, (UINT64_C(1) << 62) + 300, 0, true, STATUS_DAMAGED, "entry 2 has"},
        {"over the entry before", E1 + OFFSET, 8, 64, 0, true, STATUS_DAMAGED, "entry 1 begins at byte 64, not 84"},
        {"in the header", E0 + OFFSET, 8, 0, 0, true, STATUS_DAMAGED, "entry 0 begins at byte 0"},
        {"a gap", E1 + OFFSET, 8, 88, 0, true, STATUS_DAMAGED, "entry 1 begins at byte 88"},
        {"beyond the end", E1 + OFFSET, 8, UINT64_MAX - 3, 0, true, STATUS_DAMAGED, "entry 1 begins"},
        {"a third part", E2 + PART, 1, 2, 0, true, STATUS_DAMAGED, "entry 2: "},
        {"an entry's byte that means nothing", E2 + 127, 1, 1, 0, true, STATUS_DAMAGED, "entry 2: "},
    };
    static uint8_t whole[BYTES + 1], b[BYTES + 1];
    write_pack("a.pack");
    REQUIRE(read_file("a.pack", whole, sizeof whole) == BYTES);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct pack *p = NULL;
        printf("    %s\n", cases[c].what);
        memcpy(b, whole, BYTES);
        if (cases[c].width)
            put(b + cases[c].at, cases[c].value, cases[c].width);
        else if (cases[c].value)
            memset(b + cases[c].at, (int)cases[c].value, PACK_LABEL);
        if (cases[c].mended)
            mend(b, TABLE, BYTES);
        CHECK_CODE(open_bytes(b, cases[c].bytes ? cases[c].bytes : BYTES, &p), cases[c].code);
        CHECK(!cases[c].reason || strstr(status_message(), cases[c].reason));
        CHECK(!cases[c].reason || strncmp(status_message(), "here.pack: ", 11) == 0);
        CHECK((p == NULL) == (cases[c].code != STATUS_OK));
        pack_close(&p);
    }
}

TEST(damaged_samples)
{
    static uint8_t b[BYTES];
    struct pack *p = NULL;
    write_pack("a.pack");
    REQUIRE(read_file("a.pack", b, sizeof b) == BYTES);
    b[PACK_HEADER_BYTES + 20] ^= 1; /* the one sample of entry 1 */
    CHECK_OK(open_bytes(b, BYTES, &p));
    REQUIRE(p);
    CHECK_OK(pack_check(p, 0));
    CHECK_CODE(pack_check(p, 1), STATUS_DAMAGED);
    CHECK(strcmp(status_message(), "here.pack: entry 1: the checksum of its samples is wrong") == 0);
    CHECK_OK(pack_check(p, 2));
    pack_close(&p);
    put(b + PACK_HEADER_BYTES + 20, 0x7fc00000, 4); /* NaN, and its checksum with it */
    put(b + TABLE + 128 + 112, crc32c(0, b + PACK_HEADER_BYTES + 20, 4), 4);
    mend(b, TABLE, BYTES);
    CHECK_OK(open_bytes(b, BYTES, &p));
    REQUIRE(p);
    CHECK_CODE(pack_check(p, 1), STATUS_DAMAGED);
    CHECK(strcmp(status_message(), "here.pack: entry 1: sample 0 is not a finite number") == 0);
    CHECK_OK(pack_check(p, 0));
    pack_close(&p);
}

TEST(no_files_at_all)
{
    struct pack *p = NULL;
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK_CODE(pack_open(ends[0], "here.pack", &p), STATUS_DAMAGED);
    CHECK_CODE(pack_open(-1, "here.pack", &p), STATUS_IO);
    const int fd = memfd_create("pack", MFD_CLOEXEC);
    CHECK_CODE(pack_open(fd, "here.pack", &p), STATUS_DAMAGED);
    CHECK(ftruncate(fd, (off_t)PACK_BYTES_MOST + 4) == 0);
    CHECK_CODE(pack_open(fd, "here.pack", &p), STATUS_DAMAGED);
    CHECK(strstr(status_message(), "at most 64 GiB"));
    CHECK(p == NULL);
    close(fd);
}
