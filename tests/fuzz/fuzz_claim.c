/* What containers claim of their sound (audio_claim), read from files of unknown origin without a decoder.
 *
 *   input        u16: so many zeros stand behind the first 12 bytes of the file, which follows; long files are looked
 *                at from their end in blocks
 *   properties   it ends; a claim of bytes does not count more as present than the file has; a sum over chunks cannot
 *                lead out of the file; the same file gives the same claim */
#include "audio.h"
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file = -1;

/* Its length. */
static size_t write_file(struct fuzz_input *in)
{
    const size_t zeros = fuzz_number(in, 2);
    const struct wire_slice head = fuzz_slice(in, 12), rest = fuzz_rest(in);
    const off_t behind = (off_t)(head.bytes + (rest.bytes ? zeros : 0));
    if (file < 0)
        file = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0 && ftruncate(file, 0) == 0);
    FUZZ_CHECK(pwrite(file, head.data, head.bytes, 0) == (ssize_t)head.bytes);
    FUZZ_CHECK(pwrite(file, rest.data, rest.bytes, behind) == (ssize_t)rest.bytes);
    return (size_t)behind + rest.bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct audio_claim one, two;
    const size_t bytes = write_file(&(struct fuzz_input){data, size});
    memset(&one, 0x55, sizeof one);
    memset(&two, 0xaa, sizeof two);
    audio_claim(file, bytes, &one);
    audio_claim(file, bytes, &two);
    FUZZ_CHECK(one.what == two.what && one.claimed_bytes == two.claimed_bytes &&
               one.present_bytes == two.present_bytes);
    FUZZ_CHECK(one.what == CLAIM_NONE || one.what == CLAIM_BYTES || one.what == CLAIM_NO_END);
    if (one.what == CLAIM_BYTES)
        FUZZ_CHECK(one.present_bytes <= bytes);
    else
        FUZZ_CHECK(one.claimed_bytes == 0 && one.present_bytes == 0);
    if (one.what != CLAIM_NONE)
        fuzz_accept();
    return 0;
}

static void seed(const char *name, uint16_t zeros, const void *data, size_t bytes)
{
    uint8_t b[500] = {(uint8_t)zeros, (uint8_t)(zeros >> 8)};
    FUZZ_CHECK(bytes + 2 <= sizeof b);
    memcpy(b + 2, data, bytes);
    fuzz_seed(name, b, bytes + 2);
}

void fuzz_seeds(void)
{
    static const uint8_t wav[] = "RIFF\x2c\0\0\0WAVEfmt \x04\0\0\0\1\0\1\0data\x10\0\0\0abcd";
    static const uint8_t rf64[] = "RF64\xff\xff\xff\xffWAVEds64\x10\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\0\0\0"
                                  "data\xff\xff\xff\xff"
                                  "ab";
    static const uint8_t aiff[] = "FORM\0\0\0\x20"
                                  "AIFFCOMM\0\0\0\3abc\0SSND\0\0\0\x08"
                                  "abcdefgh";
    uint8_t ogg[40] = "OggS", longer[52] = "OggS", mp3[400] = {0xff, 0xfb, 0x90, 0x00};
    ogg[26] = 2;
    ogg[27] = 4;
    ogg[28] = 60;
    memcpy(mp3 + 36, "Xing\0\0\0\3\0\0\0\1\0\0\1\x90", 16);
    memcpy(longer + 12, ogg, sizeof ogg);
    seed("wav", 0, wav, sizeof wav - 1);
    seed("rf64", 0, rf64, sizeof rf64 - 1);
    seed("aiff", 0, aiff, sizeof aiff - 1);
    seed("ogg", 0, ogg, sizeof ogg);
    seed("ogg-long", 5000, longer, sizeof longer);
    seed("mp3", 0, mp3, sizeof mp3);
}
