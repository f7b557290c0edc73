/* Decoders are lenient: a file that was cut in half plays without a word. What was promised stands in the container. */
#include "audio.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { CHUNKS_MAX = 4096, OGG_TAIL = 65536 + 282, MP3_HEAD = 4096 };

static bool read_at(int fd, uint64_t at, void *out, size_t bytes)
{
    return pread(fd, out, bytes, (off_t)at) == (ssize_t)bytes;
}

static uint64_t number(const unsigned char *p, int width, bool little)
{
    uint64_t v = 0;
    for (int i = 0; i < width; i++)
        v = v << 8 | p[little ? width - 1 - i : i];
    return v;
}

/* Sizes that mean "unknown, I was writing into a pipe": all ones, or sox's and others' largest signed number. */
static bool is_streaming_size(uint64_t size)
{
    return size >= 0xffffff00u || (size >= 0x7ffff000u && size <= 0x7fffffffu);
}

/* RIFF and FORM files: chunks of id, size, data, padded to even sizes. */
static void claim_chunks(int fd, uint64_t file_bytes, bool little, const char *data_id, struct audio_claim *out)
{
    uint64_t at = 12, size64 = 0;
    unsigned char head[16];
    for (int i = 0; i < CHUNKS_MAX && at + 8 <= file_bytes && read_at(fd, at, head, 8); i++) {
        uint64_t size = number(head + 4, 4, little);
        if (memcmp(head, "ds64", 4) == 0 && read_at(fd, at + 8, head, 16))
            size64 = number(head + 8, 8, true); /* RF64: the data's size, where 32 bits do not hold it */
        if (memcmp(head, data_id, 4) == 0) {
            if (size == 0xffffffffu && size64)
                size = size64;
            else if (is_streaming_size(size))
                return;
            out->what = CLAIM_BYTES;
            out->claimed_bytes = size;
            out->present_bytes = file_bytes - at - 8;
            return;
        }
        at += 8 + size + (size & 1);
    }
}

/* An Ogg stream ends with a page whose end-of-stream flag (4) is set. */
static void claim_ogg(int fd, uint64_t file_bytes, struct audio_claim *out)
{
    unsigned char tail[4096 + 32];
    /* Pages are at most 65,307 bytes: walk back through the tail in overlapping blocks and take the last page. */
    const uint64_t first = file_bytes > OGG_TAIL ? file_bytes - OGG_TAIL : 0;
    for (uint64_t end = file_bytes; end > first;) {
        const uint64_t from = end > first + 4096 ? end - 4096 : first;
        const uint64_t want = end - from + 32 < file_bytes - from ? end - from + 32 : file_bytes - from;
        if (!read_at(fd, from, tail, want))
            return;
        for (int64_t i = (int64_t)want - 27; i >= 0; i--)
            if (memcmp(tail + i, "OggS", 4) == 0 && tail[i + 4] == 0) {
                /* A whole last page: header, lacing table, and the bytes that the table adds up to. */
                const uint64_t page = from + (uint64_t)i;
                unsigned char lacing[255];
                uint64_t body = 0;
                const unsigned segments = tail[i + 26];
                const bool whole = read_at(fd, page + 27, lacing, segments);
                for (unsigned s = 0; whole && s < segments; s++)
                    body += lacing[s];
                if (!whole || page + 27 + segments + body > file_bytes || !(tail[i + 5] & 4))
                    out->what = CLAIM_NO_END;
                return;
            }
        end = from;
    }
}

/* An MP3 with a Xing or Info header says how many bytes the stream has, counted from that frame. */
static void claim_mp3(int fd, uint64_t file_bytes, struct audio_claim *out)
{
    unsigned char head[MP3_HEAD], id3[10];
    uint64_t at = 0;
    if (read_at(fd, 0, id3, 10) && memcmp(id3, "ID3", 3) == 0)
        at = 10 + ((uint64_t)(id3[6] & 127) << 21 | (uint64_t)(id3[7] & 127) << 14 | (uint64_t)(id3[8] & 127) << 7 |
                   (id3[9] & 127));
    const uint64_t want = file_bytes > at + MP3_HEAD ? MP3_HEAD : file_bytes > at ? file_bytes - at : 0;
    if (want < 200 || !read_at(fd, at, head, want) || head[0] != 0xff || (head[1] & 0xe0) != 0xe0)
        return;
    /* Behind the side information: 4 + 32, 17 or 9 bytes, by version and mode; a CRC adds 2. */
    const bool mpeg1 = (head[1] & 0x18) == 0x18, mono = (head[3] & 0xc0) == 0xc0;
    size_t tag = 4 + (mpeg1 ? (mono ? 17 : 32) : (mono ? 9 : 17)) + (head[1] & 1 ? 0 : 2);
    if (memcmp(head + tag, "Xing", 4) != 0 && memcmp(head + tag, "Info", 4) != 0)
        return;
    const uint64_t flags = number(head + tag + 4, 4, false);
    tag += 8 + (flags & 1 ? 4 : 0);
    if (!(flags & 2))
        return;
    out->what = CLAIM_BYTES;
    out->claimed_bytes = number(head + tag, 4, false);
    out->present_bytes = file_bytes - at;
}

void audio_claim(int fd, uint64_t file_bytes, struct audio_claim *out)
{
    unsigned char head[12];
    *out = (struct audio_claim){.what = CLAIM_NONE};
    if (!read_at(fd, 0, head, sizeof head))
        return;
    if ((memcmp(head, "RIFF", 4) == 0 || memcmp(head, "RF64", 4) == 0) && memcmp(head + 8, "WAVE", 4) == 0)
        claim_chunks(fd, file_bytes, true, "data", out);
    else if (memcmp(head, "FORM", 4) == 0 && memcmp(head + 8, "AIF", 3) == 0)
        claim_chunks(fd, file_bytes, false, "SSND", out);
    else if (memcmp(head, "OggS", 4) == 0)
        claim_ogg(fd, file_bytes, out);
    else if (memcmp(head, "ID3", 3) == 0 || (head[0] == 0xff && (head[1] & 0xe0) == 0xe0))
        claim_mp3(fd, file_bytes, out);
}
