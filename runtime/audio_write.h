/* audio_write - encoding of interleaved float blocks into a file that somebody else opened.
 *
 *   samples      interleaved f32, full scale 1.0; a NaN or an infinity is refused, and its frame named
 *   formats      WAV int16, int24, float32; by libsndfile: FLAC int16, int24; MP3 at a constant bit rate; OGG (Vorbis
 *                of quality 0.6, about 192 kbit/s for 44.1 kHz stereo; six channels are 5.1: the last is for bass)
 *   mp3          LAME's default quality, libsndfile offers no other; below 256 kbit/s up to 5 % quieter, LAME's doing
 *   integers     of b bits, without dither:
 *                AUDIO_ROUND_NEAREST  q = rint(clamp(x * 2^(b-1), -2^(b-1), 2^(b-1) - 1)), ties to even: what
 *                                     audio_read gives for a file of b bits comes back unchanged
 *                AUDIO_ROUND_DEMUCS   q = trunc(clamp(x, -1, 1) * (2^(b-1) - 1)), both in float: bit for bit what
 *                                     demucs 4.1.0 saves
 *   floats       float32, MP3 and OGG: as they are; with AUDIO_ROUND_DEMUCS clamped to -1..1, as there
 *   size         a WAV whose announced frames do not fit in 4 GiB becomes RF64 (EBU Tech 3306; libsndfile, ffmpeg and
 *                most editors read it): 4 GiB are 3.4 hours of float32 or 6.8 of int16, in stereo at 44.1 kHz. One of
 *                unannounced length has room for RF64's sizes (a JUNK chunk of 36 bytes), used where needed
 *   ownership    the descriptor is borrowed: a regular file (or memfd) open for writing. It is emptied, and written
 *                with pwrite, so that its position stays. Nothing is synced: that is left to who opened it
 *   determinism  the same samples give the same bytes, however they are cut into calls: encoders get blocks of one
 *                size, WAV has no time stamp, and an Ogg stream's serial number is 1 instead of random, so that two of
 *                these must not be chained by concatenation. FLAC, MP3 and OGG may differ between versions of their
 *                libraries. WAV by AUDIO_ROUND_DEMUCS of announced length is demucs's file, byte for byte (but for the
 *                one that pads an odd length, which demucs forgets)
 *   errors       STATUS_ARGUMENT: the format cannot hold this, or a sample is not finite; STATUS_UNSUPPORTED: this
 *                libsndfile was built without the codec; STATUS_IO: the system refused to write, with its reason (a
 *                full disk is one, also when it shows while closing); STATUS_SHAPE: more frames than announced;
 *                STATUS_NOMEM. After a failure the file is worthless, and each later call repeats the failure
 *   threads      one at a time per struct audio_writer
 *   source       demucs 4.1.0, audio.py: save_audio, prevent_clip; its numbers in tests/runtime/demucs_pcm.h
 */
#ifndef AUDIO_WRITE_H
#define AUDIO_WRITE_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum audio_container { AUDIO_WAV, AUDIO_FLAC, AUDIO_MP3, AUDIO_OGG };
enum audio_sample { AUDIO_INT16, AUDIO_INT24, AUDIO_FLOAT32 };
enum audio_rounding { AUDIO_ROUND_NEAREST, AUDIO_ROUND_DEMUCS };

/* All zero is WAV, int16, to nearest. */
struct audio_format {
    enum audio_container container;
    enum audio_sample sample; /* MP3 and OGG have no samples of their own: AUDIO_INT16, which says nothing there */
    enum audio_rounding rounding;
    int bitrate_kbps; /* MP3: one of its bit rates, or 0: the highest that the sample rate allows; others: 0 */
};

enum { AUDIO_FORMAT_BYTES = 32 };

/* A format as text: a container, then in any order /int16, /int24, /float32, /demucs or, for mp3, kbit/s: "wav",
 * "flac/int24", "wav/float32/demucs", "mp3/192". STATUS_ARGUMENT for other text and for what no file can be. */
int audio_format_parse(const char *text, struct audio_format *out) MUST_USE;

/* The same as text that parses back: "wav/int16" names its samples, other defaults are left out. */
void audio_format_name(const struct audio_format *format, char out[AUDIO_FORMAT_BYTES]);

/* "wav", "flac", "mp3" or "ogg": also the end of a file's name. */
const char *audio_format_extension(const struct audio_format *format);

/* Can this be written here? To be asked before hours of computing; audio_write_open asks too. WAV: 1 to 1,024
 * channels, up to 4 GiB a second; FLAC: to 8, to 655,350 Hz, above 65,535 Hz multiples of 10; MP3: 1 or 2, nine rates
 * from 8,000 to 48,000 Hz; OGG: to 255, to 200,000 Hz. */
int audio_format_check(const struct audio_format *format, int rate_hz, int channels) MUST_USE;

struct audio_writer;

/* frames_expected: how many will come at most, -1 where nobody knows. No frames at all make a file without sound. */
int audio_write_open(int fd, const struct audio_format *format, int rate_hz, int channels, int64_t frames_expected,
                     struct audio_writer **out) MUST_USE;

/* Takes `frames` frames of `channels` samples; none of a call with a bad sample. */
int audio_write(struct audio_writer *w, const float *x, int64_t frames) MUST_USE;

/* Writes what is still held, and the file's header; frees *w in any case, and takes NULL. STATUS_OK only when the
 * system took all that was ever given to this writer. */
int audio_write_close(struct audio_writer **w) MUST_USE;

/* ---- what to do with a signal that is louder than full scale: names and deeds of demucs 4.1.0 ----
 *
 *   rescale   y = x / max(1.01 * peak, 1), peak = max |x| of the whole signal, all channels: the relative levels of
 *             stems, each written on its own, are lost where one of them is too loud
 *   clamp     y = min(max(x, -0.99), 0.99)
 *   none      y = x
 *
 * All in float and in this order of operations, so that the bits are demucs's. In place, cut as one likes. */
enum audio_clip { AUDIO_CLIP_RESCALE, AUDIO_CLIP_CLAMP, AUDIO_CLIP_NONE };

int audio_clip_parse(const char *text, enum audio_clip *out) MUST_USE;
const char *audio_clip_name(enum audio_clip mode);

/* The larger of `peak` and max |x|; NaNs count as nothing, since writing refuses them. Begin with 0. */
float audio_peak(float peak, const float *x, size_t n);
float audio_clip_divisor(enum audio_clip mode, float peak); /* 1 unless rescaling is needed */
void audio_clip(enum audio_clip mode, float divisor, float *x, size_t n);

/* ---- room-internal ---- */

/* Samples as integers: those of 24 bits as three bytes, low one first, or in the upper three bytes of 32 bits. */
void audio_to_int16(enum audio_rounding rounding, const float *x, size_t n, int16_t *out);
void audio_to_int24(enum audio_rounding rounding, const float *x, size_t n, unsigned char *out);
void audio_to_int32(enum audio_rounding rounding, const float *x, size_t n, int32_t *out);
void audio_to_unit(const float *x, size_t n, float *out); /* clamped to -1..1 */

/* A WAV's header. plan decides whether there is to be room for the sizes of RF64, and says how long the header is. */
enum { AUDIO_WAV_HEADER_MOST = 92 };
struct audio_wav {
    enum audio_sample sample;
    int rate_hz, channels;
    bool room_for_more;
};
int audio_wav_sample_bytes(enum audio_sample sample);
size_t audio_wav_plan(struct audio_wav *wav, int64_t frames_most);
size_t audio_wav_header(const struct audio_wav *wav, uint64_t frames, unsigned char out[AUDIO_WAV_HEADER_MOST]);

/* Ogg pages, put together from any pieces and sent on whole, with serial number 1 and the checksum to it. */
enum { AUDIO_PAGE_MOST = 27 + 255 + 255 * 255 };
struct audio_pages {
    uint32_t table[256];
    size_t held; /* bytes of an unfinished page */
    unsigned char page[AUDIO_PAGE_MOST];
};
void audio_pages_init(struct audio_pages *pages);
/* Takes up to n bytes, at least one; *bytes becomes the length of pages->page when that is whole, else 0. STATUS_FORMAT
 * when it is no Ogg page. */
int audio_pages_take(struct audio_pages *pages, const unsigned char *data, size_t n, size_t *taken,
                     size_t *bytes) MUST_USE;

#endif
