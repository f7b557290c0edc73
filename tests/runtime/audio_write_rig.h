/* What the tests of writing share: a signal, a file written in pieces, a file read back. */
#ifndef AUDIO_WRITE_RIG_H
#define AUDIO_WRITE_RIG_H
#include "audio.h"
#include "audio_write.h"
#include "test.h"

enum { RIG_FRAMES = 20000, RIG_CHANNELS_MOST = 8, RIG_SAMPLES = RIG_FRAMES * RIG_CHANNELS_MOST };

/* Every format that is there: all samples of all containers. */
extern const char *const rig_formats[];
extern const int rig_formats_count;

struct audio_format rig_format(const char *text);

/* Low tones within 0.7, another in each channel: what codecs keep. */
void rig_tones(float *x, int64_t frames, int channels);

/* Writes x to an emptied file in pieces of `piece` frames, 0: of random ones. The first failure's code. */
int rig_write(int fd, const char *format, int rate_hz, int channels, const float *x, int64_t frames, int64_t announced,
              int64_t piece);

/* The whole of a file by audio_read, at most `most` frames; -1 where that fails. */
int64_t rig_read(int fd, float *out, int64_t most);

/* The whole of a file as bytes, to be freed. */
unsigned char *rig_bytes(int fd, size_t *bytes);

#endif
