/* What containers claim of their contents, in bytes made by hand. */
#include "audio.h"
#include "test.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A memory file with these bytes. */
static int hold(const void *data, size_t bytes)
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("audio", MFD_CLOEXEC);
    REQUIRE(ftruncate(fd, 0) == 0 && pwrite(fd, data, bytes, 0) == (ssize_t)bytes);
    return fd;
}

struct bytes {
    unsigned char data[12288];
    size_t count;
};

static void add(struct bytes *b, const void *data, size_t count)
{
    REQUIRE(b->count + count <= sizeof b->data);
    memcpy(b->data + b->count, data, count);
    b->count += count;
}

static void add_number(struct bytes *b, uint64_t v, int width, bool little)
{
    for (int i = 0; i < width; i++)
        b->data[b->count + (size_t)(little ? i : width - 1 - i)] = (unsigned char)(v >> 8 * i);
    b->count += (size_t)width;
}

static void add_chunk(struct bytes *b, const char *id, uint32_t claim, size_t bytes, bool little)
{
    static const unsigned char zeros[8192];
    add(b, id, 4);
    add_number(b, claim, 4, little);
    add(b, zeros, bytes);
}

TEST(chunks_claim)
{
    static const struct {
        const char *file, *form, *before; /* a chunk before the data */
        uint32_t before_claim;
        size_t before_bytes;
        const char *data;
        uint32_t claim;
        size_t bytes;
        int what;
        uint64_t claimed, present;
        const char *reason;
    } cases[] = {
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 100, 100, CLAIM_BYTES, 100, 100, "whole"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 100, 99, CLAIM_BYTES, 100, 99, "a byte short"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 100, 130, CLAIM_BYTES, 100, 130, "more behind it"},
        {"RIFF", "WAVE", "LIST", 7, 8, "data", 4, 4, CLAIM_BYTES, 4, 4, "behind a chunk of odd size and its padding"},
        {"RIFF", "WAVE", "LIST", 9000, 8, "data", 4, 4, CLAIM_NONE, 0, 0, "a chunk that leads beyond the end"},
        {"RIFF", "WAVE", "LIST", 0xffffffff, 8, "data", 4, 4, CLAIM_NONE, 0, 0, "and one that leads far beyond"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "SSND", 100, 100, CLAIM_NONE, 0, 0, "AIFF's word in a WAV"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 0xffffffff, 100, CLAIM_NONE, 0, 0, "written into a pipe"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 0xffffff00, 100, CLAIM_NONE, 0, 0, "nearly all ones"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 0xfffffeff, 9, CLAIM_BYTES, 0xfffffeff, 9, "below that: believed"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 0x7fffffff, 100, CLAIM_NONE, 0, 0, "the largest signed number"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 0x7ffff000, 100, CLAIM_NONE, 0, 0, "a page less"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 0x7fffefff, 9, CLAIM_BYTES, 0x7fffefff, 9, "less than that"},
        {"RIFF", "WAVE", "fmt ", 16, 16, "data", 0x80000000, 9, CLAIM_BYTES, 0x80000000, 9, "2 GiB"},
        {"RIFF", "AVI ", "fmt ", 16, 16, "data", 100, 50, CLAIM_NONE, 0, 0, "RIFF of another kind"},
        {"RF64", "WAVE", "ds64", 28, 28, "data", 100, 50, CLAIM_BYTES, 100, 50, "RF64 with a size of 32 bits"},
        {"RF64", "WAVE", "ds64", 28, 28, "data", 0xffffffff, 50, CLAIM_NONE, 0, 0, "a ds64 of zeros"},
        {"FORM", "AIFF", "COMM", 18, 18, "SSND", 100, 60, CLAIM_BYTES, 100, 60, "AIFF"},
        {"FORM", "AIFC", "COMM", 19, 20, "SSND", 100, 60, CLAIM_BYTES, 100, 60, "AIFF-C, a chunk of odd size"},
        {"FORM", "8SVX", "COMM", 18, 18, "SSND", 100, 60, CLAIM_NONE, 0, 0, "FORM of another kind"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct bytes b = {.count = 0};
        const bool little = cases[c].file[0] == 'R';
        struct audio_claim claim;
        add(&b, cases[c].file, 4);
        add_number(&b, 0, 4, little);
        add(&b, cases[c].form, 4);
        add_chunk(&b, cases[c].before, cases[c].before_claim, cases[c].before_bytes, little);
        add_chunk(&b, cases[c].data, cases[c].claim, cases[c].bytes, little);
        audio_claim(hold(b.data, b.count), b.count, &claim);
        const bool same = (int)claim.what == cases[c].what && claim.claimed_bytes == cases[c].claimed &&
                          claim.present_bytes == cases[c].present;
        CHECK(same);
        if (!same)
            printf("    %s: %d, %llu of %llu\n", cases[c].reason, (int)claim.what,
                   (unsigned long long)claim.present_bytes, (unsigned long long)claim.claimed_bytes);
    }
    struct bytes b = {.count = 0}; /* thousands of empty chunks: looked through to a limit */
    struct audio_claim claim;
    add(&b, "RIFF\0\0\0\0WAVE", 12);
    for (int i = 0; i < 1500; i++)
        add_chunk(&b, "junk", 0, 0, true);
    add_chunk(&b, "data", 9, 2, true);
    audio_claim(hold(b.data, b.count), b.count, &claim);
    CHECK(claim.what == CLAIM_BYTES && claim.claimed_bytes == 9 && claim.present_bytes == 2);
}

TEST(ds64_claims)
{
    static const uint64_t sizes[] = {50, 51, 0x100000000u, UINT64_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct bytes b = {.count = 0};
        struct audio_claim claim;
        add(&b, "RF64\xff\xff\xff\xffWAVEds64", 16);
        add_number(&b, 28, 4, true);
        add_number(&b, 999, 8, true); /* of the file */
        add_number(&b, sizes[i], 8, true);
        add_number(&b, 0, 8, true);
        add_number(&b, 0, 4, true);
        add_chunk(&b, "data", 0xffffffff, 50, true);
        audio_claim(hold(b.data, b.count), b.count, &claim);
        CHECK(claim.what == CLAIM_BYTES && claim.claimed_bytes == sizes[i] && claim.present_bytes == 50);
    }
}

static void add_page(struct bytes *b, int flags, int segments, size_t missing)
{
    static const unsigned char zeros[8192];
    add(b, "OggS\0", 5);
    add_number(b, (uint64_t)flags, 1, true);
    add(b, zeros, 20);
    add_number(b, (uint64_t)segments, 1, true);
    for (int i = 0; i < segments; i++)
        add_number(b, 30, 1, true);
    add(b, zeros, 30 * (size_t)segments - missing);
}

TEST(ogg_claims)
{
    static const struct {
        int pages, flags, segments;
        size_t missing, behind;
        int what;
        const char *reason;
    } cases[] = {{3, 4, 5, 0, 0, CLAIM_NONE, "ends as it should"},
                 {3, 0, 5, 0, 0, CLAIM_NO_END, "no end flag"},
                 {3, 4, 5, 1, 0, CLAIM_NO_END, "an end flag, but a byte is missing"},
                 {1, 4, 0, 0, 0, CLAIM_NONE, "a last page without contents"},
                 {3, 4, 5, 0, 700, CLAIM_NONE, "something behind the end"},
                 {3, 4, 5, 0, 6000, CLAIM_NONE, "more than one block behind the end"},
                 {3, 0, 200, 0, 0, CLAIM_NO_END, "pages longer than a block"},
                 {1, 4, 200, 5900, 0, CLAIM_NO_END, "cut soon behind the page's header"}};
    static const unsigned char zeros[8192];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct bytes b = {.count = 0};
        struct audio_claim claim;
        for (int i = 0; i + 1 < cases[c].pages && b.count < 5000; i++)
            add_page(&b, i == 0 ? 2 : 0, 3, 0);
        add_page(&b, cases[c].flags, cases[c].segments, cases[c].missing);
        add(&b, zeros, cases[c].behind);
        audio_claim(hold(b.data, b.count), b.count, &claim);
        CHECK((int)claim.what == cases[c].what);
        if ((int)claim.what != cases[c].what)
            printf("    %s: %d\n", cases[c].reason, (int)claim.what);
    }
    /* the header of the last page across the border of two blocks of the search, at every offset */
    for (size_t behind = 4040; behind < 4140; behind++) {
        struct bytes b = {.count = 0};
        struct audio_claim claim;
        for (int end = 0; end < 2; end++) {
            b.count = 0;
            add_page(&b, 2, 9, 0);
            add_page(&b, end ? 4 : 0, 0, 0);
            add(&b, zeros, behind - 27);
            audio_claim(hold(b.data, b.count), b.count, &claim);
            CHECK((int)claim.what == (end ? CLAIM_NONE : CLAIM_NO_END));
        }
    }
    struct audio_claim claim;
    audio_claim(hold("OggS\0\0\0\0\0\0\0\0\0\0", 14), 14, &claim); /* less than a page's header */
    CHECK(claim.what == CLAIM_NONE);
}

TEST(mp3_claims)
{
    static const struct {
        unsigned char head[4];
        size_t tag; /* where the Xing tag stands, behind the frame's header and side information */
        const char *word;
        uint32_t flags;
        size_t id3;
        int what;
        const char *reason;
    } cases[] = {{{0xff, 0xfb, 0x90, 0x00}, 36, "Xing", 3, 0, CLAIM_BYTES, "MPEG-1 stereo"},
                 {{0xff, 0xfb, 0x90, 0xc0}, 21, "Info", 3, 0, CLAIM_BYTES, "MPEG-1 mono"},
                 {{0xff, 0xf3, 0x90, 0x00}, 21, "Xing", 3, 0, CLAIM_BYTES, "MPEG-2 stereo"},
                 {{0xff, 0xf3, 0x90, 0xc0}, 13, "Xing", 3, 0, CLAIM_BYTES, "MPEG-2 mono"},
                 {{0xff, 0xe3, 0x90, 0xc0}, 13, "Xing", 3, 0, CLAIM_BYTES, "MPEG-2.5 mono"},
                 {{0xff, 0xfa, 0x90, 0x00}, 38, "Xing", 3, 0, CLAIM_BYTES, "with a CRC"},
                 {{0xff, 0xfb, 0x90, 0x00}, 36, "Xing", 2, 0, CLAIM_BYTES, "bytes but no frames"},
                 {{0xff, 0xfb, 0x90, 0x00}, 36, "Xing", 1, 0, CLAIM_NONE, "frames but no bytes"},
                 {{0xff, 0xfb, 0x90, 0x00}, 36, "Xing", 15, 300, CLAIM_BYTES, "behind ID3"},
                 {{0xff, 0xfb, 0x90, 0x00}, 36, "VBRI", 3, 0, CLAIM_NONE, "another tag"},
                 {{0xff, 0xfb, 0x90, 0x00}, 40, "Xing", 3, 0, CLAIM_NONE, "in the wrong place"},
                 {{0x00, 0xfb, 0x90, 0x00}, 36, "Xing", 3, 300, CLAIM_NONE, "ID3 before something else"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct bytes b = {.count = 0};
        struct audio_claim claim;
        static const unsigned char zeros[1024];
        if (cases[c].id3) {
            add(&b, "ID3\x04\0\0\0\0", 8);
            add_number(&b, cases[c].id3 >> 7, 1, true);
            add_number(&b, cases[c].id3 & 127, 1, true);
            add(&b, zeros, cases[c].id3);
        }
        const size_t first = b.count;
        add(&b, cases[c].head, 4);
        add(&b, zeros, cases[c].tag - 4);
        add(&b, cases[c].word, 4);
        add_number(&b, cases[c].flags, 4, false);
        if (cases[c].flags & 1)
            add_number(&b, 38, 4, false);
        add_number(&b, 123456, 4, false);
        add(&b, zeros, 500);
        audio_claim(hold(b.data, b.count), b.count, &claim);
        const bool same =
            (int)claim.what == cases[c].what &&
            (claim.what == CLAIM_NONE || (claim.claimed_bytes == 123456 && claim.present_bytes == b.count - first));
        CHECK(same);
        if (!same)
            printf("    %s: %d\n", cases[c].reason, (int)claim.what);
        for (size_t n = 0; n < 210; n++) /* cut early: no claim, no crash */
            audio_claim(hold(b.data, n), n, &claim);
    }
    struct audio_claim claim;
    audio_claim(hold("ID3\x04\0\0\x7f\x7f\x7f\x7f................", 26), 26, &claim); /* 256 MB of tags */
    CHECK(claim.what == CLAIM_NONE);
    audio_claim(hold("short", 5), 5, &claim);
    CHECK(claim.what == CLAIM_NONE);
    audio_claim(-1, 1000, &claim);
    CHECK(claim.what == CLAIM_NONE);
}
