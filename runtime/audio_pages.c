/* libsndfile draws the serial number of an Ogg stream by lot; equal samples shall give equal files. RFC 3533,
 * section 6. */
#include "audio_write.h"

#include <string.h>

enum { HEAD = 27, SERIAL_AT = 14, CRC_AT = 22, SEGMENTS_AT = 26, SERIAL = 1 };

void audio_pages_init(struct audio_pages *pages)
{
    pages->held = 0;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t r = i << 24;
        for (int bit = 0; bit < 8; bit++)
            r = r & 0x80000000u ? r << 1 ^ 0x04c11db7u : r << 1;
        pages->table[i] = r;
    }
}

static void put_little32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> 8 * i);
}

static void renumber(struct audio_pages *pages, size_t bytes)
{
    put_little32(pages->page + SERIAL_AT, SERIAL);
    put_little32(pages->page + CRC_AT, 0);
    uint32_t crc = 0;
    for (size_t i = 0; i < bytes; i++)
        crc = crc << 8 ^ pages->table[(crc >> 24 ^ pages->page[i]) & 0xff];
    put_little32(pages->page + CRC_AT, crc);
}

/* How long the page is, as far as one knows: its header says how long its table is, the table how long the rest. */
static size_t known_length(const struct audio_pages *pages)
{
    if (pages->held < HEAD)
        return HEAD;
    const size_t segments = pages->page[SEGMENTS_AT];
    size_t length = HEAD + segments;
    for (size_t i = 0; pages->held >= HEAD + segments && i < segments; i++)
        length += pages->page[HEAD + i];
    return length;
}

int audio_pages_take(struct audio_pages *pages, const unsigned char *data, size_t n, size_t *taken, size_t *bytes)
{
    *taken = *bytes = 0;
    for (size_t length; (length = known_length(pages)) > pages->held && *taken < n;) {
        const size_t want = length - pages->held, part = want < n - *taken ? want : n - *taken;
        memcpy(pages->page + pages->held, data + *taken, part);
        pages->held += part;
        *taken += part;
    }
    if (pages->held >= 4 && memcmp(pages->page, "OggS", 4) != 0)
        return fail(STATUS_FORMAT, "the encoder gave something that is no Ogg page");
    const size_t length = known_length(pages);
    if (length == pages->held) {
        renumber(pages, length);
        *bytes = length;
        pages->held = 0;
    }
    return STATUS_OK;
}
