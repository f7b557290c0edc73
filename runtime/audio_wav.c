/* WAV without libsndfile, whose PEAK chunk has a time stamp that its RF64 cannot be talked out of, and which leaves a
 * hole of zeros where it could. The chunks and their order are demucs 4.1.0's; EBU Tech 3306 for what exceeds 4 GiB. */
#include "audio_write.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "WAV's samples are little-endian, and written as they lie");

enum { DS64_BYTES = 28, FMT_BYTES = 16, TAG_PCM = 1, TAG_FLOAT = 3 };
static const uint64_t RIFF_MOST = 0xfffffeff; /* sizes from 0xffffff00 mean "unknown" to readers, ours among them */

static unsigned char *put(unsigned char *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *p++ = (unsigned char)(v >> 8 * i);
    return p;
}

static unsigned char *put_chunk(unsigned char *p, const char *id, uint64_t bytes)
{
    memcpy(p, id, 4);
    return put(p + 4, bytes, 4);
}

int audio_wav_sample_bytes(enum audio_sample sample)
{
    return sample == AUDIO_INT16 ? 2 : sample == AUDIO_INT24 ? 3 : 4;
}

static size_t header_bytes(const struct audio_wav *wav)
{
    return 12 + (wav->room_for_more ? 8 + DS64_BYTES : 0) + 8 + FMT_BYTES + (wav->sample == AUDIO_FLOAT32 ? 12 : 0) + 8;
}

/* What the RIFF chunk would say: all but its own eight bytes, data padded to an even number. */
static uint64_t riff_bytes(const struct audio_wav *wav, uint64_t frames)
{
    const uint64_t data = frames * (uint64_t)(audio_wav_sample_bytes(wav->sample) * wav->channels);
    return header_bytes(wav) - 8 + data + (data & 1);
}

size_t audio_wav_plan(struct audio_wav *wav, int64_t frames_most)
{
    wav->room_for_more = false;
    wav->room_for_more =
        frames_most < 0 || frames_most > (int64_t)RIFF_MOST / 2 || riff_bytes(wav, (uint64_t)frames_most) > RIFF_MOST;
    return header_bytes(wav);
}

size_t audio_wav_header(const struct audio_wav *wav, uint64_t frames, unsigned char out[AUDIO_WAV_HEADER_MOST])
{
    const uint32_t align = (uint32_t)(audio_wav_sample_bytes(wav->sample) * wav->channels);
    const uint64_t riff = riff_bytes(wav, frames), data = frames * align;
    const bool big = riff > RIFF_MOST;
    unsigned char *p = put_chunk(out, big ? "RF64" : "RIFF", big ? UINT32_MAX : riff);
    memcpy(p, "WAVE", 4);
    p += 4;
    if (wav->room_for_more) {
        p = put_chunk(p, big ? "ds64" : "JUNK", DS64_BYTES);
        p = put(p, big ? riff : 0, 8);
        p = put(p, big ? data : 0, 8);
        p = put(p, big ? frames : 0, 8);
        p = put(p, 0, 4); /* no table of other large chunks */
    }
    p = put_chunk(p, "fmt ", FMT_BYTES);
    p = put(p, wav->sample == AUDIO_FLOAT32 ? TAG_FLOAT : TAG_PCM, 2);
    p = put(p, (uint64_t)wav->channels, 2);
    p = put(p, (uint64_t)wav->rate_hz, 4);
    p = put(p, (uint64_t)wav->rate_hz * align, 4);
    p = put(p, align, 2);
    p = put(p, 8 * (uint64_t)audio_wav_sample_bytes(wav->sample), 2);
    if (wav->sample == AUDIO_FLOAT32) {
        p = put_chunk(p, "fact", 4);
        p = put(p, frames < UINT32_MAX ? frames : UINT32_MAX, 4);
    }
    p = put_chunk(p, "data", big ? UINT32_MAX : data);
    return (size_t)(p - out);
}
