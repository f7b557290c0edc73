/* audio - decoding of files into interleaved float blocks, in bounded memory.
 *
 *   samples      interleaved f32, full scale 1.0, as the decoder gives them: nothing is clipped, scaled or resampled
 *   formats      what libsndfile reads (WAV, AIFF, FLAC, OGG, Opus in Ogg, MP3, ...) from a descriptor that can seek;
 *                anything else as an AU stream that the `ffmpeg` program writes into a pipe
 *   frames       counted, never believed: the length that a header claims is compared with what was decoded
 *   ownership    the descriptor is borrowed and read with pread (audio_open) or read (audio_open_stream)
 *   errors       STATUS_FORMAT: damaged, truncated, empty; STATUS_UNSUPPORTED: libsndfile does not know it, ffmpeg may;
 *                STATUS_IO; STATUS_NOMEM. Messages carry the reason, not the name of the file
 *   threads      one at a time per struct audio */
#ifndef AUDIO_H
#define AUDIO_H
#include "status.h"

#include <stddef.h>
#include <stdint.h>

struct audio;

enum { AUDIO_CODEC_BYTES = 32, AUDIO_WARNING_BYTES = 128, AUDIO_CHANNELS_MAX = 1024 };

struct audio_info {
    int rate_hz;
    int channels;
    char codec[AUDIO_CODEC_BYTES];     /* "wav/pcm_16", "mp3", "stream" */
    int64_t frames;                    /* decoded so far */
    char warning[AUDIO_WARNING_BYTES]; /* empty, or what is odd about a file that is good enough to use */
};

int audio_open(int fd, struct audio **out) MUST_USE;
int audio_open_stream(int fd, struct audio **out) MUST_USE;
void audio_close(struct audio **a);

const struct audio_info *audio_info(const struct audio *a);

/* Up to `frames` frames into out; *got = 0 at the end. At the end a file shorter than its header claims is
 * STATUS_FORMAT "truncated: ...", and so is one without any sample. */
int audio_read(struct audio *a, float *out, int64_t frames, int64_t *got) MUST_USE;

/* What the container's header claims of its data, found without a decoder. Room-internal. */
struct audio_claim {
    enum { CLAIM_NONE, CLAIM_BYTES, CLAIM_NO_END } what;
    uint64_t claimed_bytes, present_bytes; /* CLAIM_BYTES: of sample data */
};
void audio_claim(int fd, uint64_t file_bytes, struct audio_claim *out);

#endif
