/* sound - files for tests: float WAV files through libsndfile, and small files of any bytes. */
#ifndef SOUND_H
#define SOUND_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Interleaved samples [frames][channels] into a float WAV file, bit by bit. */
bool sound_write(const char *path, const float *samples, int64_t frames, int channels, int rate_hz);

/* The same with noise made from a seed. */
bool sound_noise(const char *path, int64_t frames, int channels, int rate_hz, uint64_t seed);

bool sound_bytes(const char *path, const void *data, size_t bytes);
bool sound_text(const char *path, const char *text);

/* A shell script that can be run. */
bool sound_script(const char *path, const char *text);

/* Waits until a file can have changed without its times telling no more. */
void sound_settle(void);

#endif
