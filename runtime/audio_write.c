#include "audio_write.h"

#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Encoders get blocks of one size whatever the caller's are: what Vorbis makes of a signal depends on how it comes. */
enum { BLOCK_FRAMES = 4096, BLOCK_SAMPLES = 65536 };
static const double VORBIS_QUALITY = 0.6;

struct audio_writer {
    struct audio_format format;
    int fd, rate_hz, channels;
    SNDFILE *file; /* NULL: WAV */
    struct audio_wav wav;
    int64_t frames, frames_most; /* given so far; announced, or -1 */
    int64_t block_frames, held;  /* frames in block */
    float *block;
    void *pcm;                  /* a block as integers, or clamped */
    struct audio_pages *pages;  /* Ogg only */
    sf_count_t position, bytes; /* of the file, as its encoder sees it */
    int64_t pages_bytes;        /* of whole pages written */
    int write_error;            /* errno of a failed pwrite: nothing is written any more */
    int code;                   /* of the first failure */
    char reason[160];
};

/* ---- libsndfile over pwrite ---- */

static sf_count_t virtual_length(void *user)
{
    return ((struct audio_writer *)user)->bytes;
}

static sf_count_t virtual_seek(sf_count_t offset, int whence, void *user)
{
    struct audio_writer *w = user;
    const sf_count_t base = whence == SEEK_CUR ? w->position : whence == SEEK_END ? w->bytes : 0;
    if (base + offset < 0)
        return -1;
    return w->position = base + offset;
}

static sf_count_t virtual_read(void *out, sf_count_t count, void *user)
{
    (void)out, (void)count, (void)user;
    return 0;
}

/* The first failure is kept, and nothing is written after it. */
static void put(struct audio_writer *w, const void *data, size_t count, int64_t at)
{
    for (size_t done = 0; done < count && !w->write_error;) {
        const ssize_t n = pwrite(w->fd, (const char *)data + done, count - done, at + (int64_t)done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            w->write_error = n == 0 ? EIO : errno;
    }
}

static void put_pages(struct audio_writer *w, const unsigned char *data, size_t count)
{
    for (size_t taken = 0, bytes = 0; count && !w->write_error; data += taken, count -= taken) {
        if (audio_pages_take(w->pages, data, count, &taken, &bytes))
            w->write_error = EBADMSG;
        put(w, w->pages->page, bytes, w->pages_bytes);
        w->pages_bytes += (int64_t)bytes;
    }
}

/* libsndfile hides why a write failed, some of its encoders that one did, and Vorbis's never frees its memory then: so
 * it is not told, and write_error is looked at after each call. */
static sf_count_t virtual_write(const void *data, sf_count_t count, void *user)
{
    struct audio_writer *w = user;
    if (w->pages)
        put_pages(w, data, (size_t)count);
    else
        put(w, data, (size_t)count, w->position);
    w->position += count;
    if (w->position > w->bytes)
        w->bytes = w->position;
    return count;
}

static sf_count_t virtual_tell(void *user)
{
    return ((struct audio_writer *)user)->position;
}

/* ---- failures: the first is kept ---- */

static int repeat_failure(const struct audio_writer *w)
{
    return fail((enum status)w->code, "%s", w->reason);
}

static int keep_failure(struct audio_writer *w, int code)
{
    if (code && !w->code) {
        w->code = code;
        snprintf(w->reason, sizeof w->reason, "%s", status_message());
    }
    return code;
}

static int encoder_failed(const struct audio_writer *w, const char *what)
{
    if (w->write_error)
        return fail(STATUS_IO, "cannot write after %.3f s: %s", (double)w->frames / w->rate_hz,
                    strerror(w->write_error));
    return fail(STATUS_INTERNAL, "libsndfile cannot %s %s: %s", what, audio_format_extension(&w->format),
                sf_strerror(w->file));
}

/* ---- opening ---- */

/* libsndfile has no bit rate, but a level of compression from 0 to 1 between the highest and the lowest, and truncates:
 * half a kbit/s is added. The level first: changing the mode works it in. */
static bool set_bitrate(struct audio_writer *w)
{
    const double most = w->rate_hz >= 32000 ? 320 : w->rate_hz >= 16000 ? 160 : 64;
    const double least = w->rate_hz >= 32000 ? 32 : 8;
    const double level = w->format.bitrate_kbps ? (most - w->format.bitrate_kbps - 0.5) / (most - least) : 0;
    double compression = fmax(level, 0);
    int mode = SF_BITRATE_MODE_CONSTANT;
    return sf_command(w->file, SFC_SET_COMPRESSION_LEVEL, &compression, sizeof compression) == SF_TRUE &&
           sf_command(w->file, SFC_SET_BITRATE_MODE, &mode, sizeof mode) == SF_TRUE;
}

static int open_encoder(struct audio_writer *w)
{
    static SF_VIRTUAL_IO io = {virtual_length, virtual_seek, virtual_read, virtual_write, virtual_tell};
    const int formats[] = {[AUDIO_FLAC] =
                               SF_FORMAT_FLAC | (w->format.sample == AUDIO_INT16 ? SF_FORMAT_PCM_16 : SF_FORMAT_PCM_24),
                           [AUDIO_MP3] = SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III,
                           [AUDIO_OGG] = SF_FORMAT_OGG | SF_FORMAT_VORBIS};
    SF_INFO info = {.samplerate = w->rate_hz, .channels = w->channels, .format = formats[w->format.container]};
    w->file = sf_open_virtual(&io, SFM_WRITE, &info, w);
    if (!w->file)
        return fail(STATUS_UNSUPPORTED, "%s of %d channels at %d Hz: %s", audio_format_extension(&w->format),
                    w->channels, w->rate_hz, sf_strerror(NULL));
    double quality = VORBIS_QUALITY;
    bool ok = true;
    if (w->format.container == AUDIO_MP3)
        ok = set_bitrate(w);
    if (w->format.container == AUDIO_OGG)
        ok = sf_command(w->file, SFC_SET_VBR_ENCODING_QUALITY, &quality, sizeof quality) == SF_TRUE;
    return ok && !w->write_error ? STATUS_OK : encoder_failed(w, "open");
}

static int begin(struct audio_writer *w)
{
    const size_t samples = (size_t)w->block_frames * (size_t)w->channels;
    w->block = malloc(samples * sizeof *w->block);
    w->pcm = malloc(samples * sizeof(int32_t));
    if (w->format.container == AUDIO_OGG && (w->pages = malloc(sizeof *w->pages)))
        audio_pages_init(w->pages);
    if (!w->block || !w->pcm || (w->format.container == AUDIO_OGG && !w->pages))
        return fail(STATUS_NOMEM, "audio: out of memory");
    if (w->format.container != AUDIO_WAV)
        return open_encoder(w);
    /* The header is written last: until then the file is none that anybody takes for sound. */
    w->wav = (struct audio_wav){w->format.sample, w->rate_hz, w->channels, false};
    w->position = w->bytes = (sf_count_t)audio_wav_plan(&w->wav, w->frames_most);
    return STATUS_OK;
}

static int empty_file(int fd)
{
    struct stat s;
    if (fstat(fd, &s))
        return fail(STATUS_IO, "cannot write: %s", strerror(errno));
    if (!S_ISREG(s.st_mode))
        return fail(STATUS_ARGUMENT, "cannot write: not a regular file");
    if (ftruncate(fd, 0))
        return fail(STATUS_IO, "cannot write: %s",
                    errno == EINVAL || errno == EBADF ? "not open for writing" : strerror(errno));
    return STATUS_OK;
}

static void destroy(struct audio_writer *w)
{
    free(w->block);
    free(w->pcm);
    free(w->pages);
    free(w);
}

int audio_write_open(int fd, const struct audio_format *format, int rate_hz, int channels, int64_t frames_expected,
                     struct audio_writer **out)
{
    int code = audio_format_check(format, rate_hz, channels);
    if (!code)
        code = empty_file(fd);
    if (code)
        return code;
    struct audio_writer *w = calloc(1, sizeof *w);
    if (!w)
        return fail(STATUS_NOMEM, "audio: out of memory");
    w->format = *format;
    w->fd = fd;
    w->rate_hz = rate_hz;
    w->channels = channels;
    w->frames_most = frames_expected < 0 ? -1 : frames_expected;
    w->block_frames = channels * BLOCK_FRAMES <= BLOCK_SAMPLES ? BLOCK_FRAMES : BLOCK_SAMPLES / channels;
    if ((code = begin(w))) {
        if (w->file)
            sf_close(w->file);
        destroy(w);
        return code;
    }
    *out = w;
    return STATUS_OK;
}

/* ---- writing ---- */

static int encode_wav(struct audio_writer *w, const float *x, size_t n)
{
    const void *data = w->pcm;
    if (w->format.sample == AUDIO_INT16)
        audio_to_int16(w->format.rounding, x, n, w->pcm);
    else if (w->format.sample == AUDIO_INT24)
        audio_to_int24(w->format.rounding, x, n, w->pcm);
    else if (w->format.rounding == AUDIO_ROUND_DEMUCS)
        audio_to_unit(x, n, w->pcm);
    else
        data = x;
    const sf_count_t bytes = (sf_count_t)n * audio_wav_sample_bytes(w->format.sample);
    virtual_write(data, bytes, w);
    return w->write_error ? encoder_failed(w, "write") : STATUS_OK;
}

static int encode(struct audio_writer *w, const float *x, int64_t frames)
{
    const size_t n = (size_t)frames * (size_t)w->channels;
    sf_count_t written;
    if (w->format.container == AUDIO_WAV)
        return encode_wav(w, x, n);
    if (w->format.container == AUDIO_FLAC && w->format.sample == AUDIO_INT16) {
        audio_to_int16(w->format.rounding, x, n, w->pcm);
        written = sf_writef_short(w->file, w->pcm, frames);
    } else if (w->format.container == AUDIO_FLAC) {
        audio_to_int32(w->format.rounding, x, n, w->pcm);
        written = sf_writef_int(w->file, w->pcm, frames);
    } else if (w->format.rounding == AUDIO_ROUND_DEMUCS) {
        audio_to_unit(x, n, w->pcm);
        written = sf_writef_float(w->file, w->pcm, frames);
    } else {
        written = sf_writef_float(w->file, x, frames);
    }
    return written == frames && !w->write_error ? STATUS_OK : encoder_failed(w, "write");
}

static int check_finite(const struct audio_writer *w, const float *x, int64_t n)
{
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
        finite &= fabsf(x[i]) <= 3.4028235e38f;
    for (int64_t i = 0; !finite && i < n; i++)
        if (!isfinite(x[i]))
            return fail(STATUS_ARGUMENT, "frame %lld, channel %d: %s is no sample",
                        (long long)(w->frames + i / w->channels), (int)(i % w->channels),
                        isnan(x[i]) ? "not a number" : "infinity");
    return STATUS_OK;
}

static int take(struct audio_writer *w, const float *x, int64_t frames)
{
    const size_t channels = (size_t)w->channels;
    while (frames > 0) {
        const int64_t room = w->block_frames - w->held, part = frames < room ? frames : room;
        const bool whole = part == w->block_frames;
        if (!whole)
            memcpy(w->block + (size_t)w->held * channels, x, (size_t)part * channels * sizeof *x);
        w->held += part;
        w->frames += part;
        if (w->held == w->block_frames) {
            w->held = 0;
            const int code = encode(w, whole ? x : w->block, w->block_frames);
            if (code)
                return code;
        }
        x += (size_t)part * channels;
        frames -= part;
    }
    return STATUS_OK;
}

int audio_write(struct audio_writer *w, const float *x, int64_t frames)
{
    if (w->code)
        return repeat_failure(w);
    if (frames < 0 || frames > INT64_MAX / (int64_t)sizeof *x / w->channels)
        return keep_failure(w, fail(STATUS_ARGUMENT, "%lld frames", (long long)frames));
    if (w->frames_most >= 0 && frames > w->frames_most - w->frames)
        return keep_failure(w,
                            fail(STATUS_SHAPE, "%lld frames were announced, here are more", (long long)w->frames_most));
    int code = check_finite(w, x, frames * w->channels);
    if (!code)
        code = take(w, x, frames);
    return keep_failure(w, code);
}

static int finish_wav(struct audio_writer *w)
{
    unsigned char header[AUDIO_WAV_HEADER_MOST];
    const size_t bytes = audio_wav_header(&w->wav, (uint64_t)w->frames, header);
    const size_t odd = (size_t)(w->bytes - (sf_count_t)bytes) & 1;
    put(w, "", odd, w->bytes);
    put(w, header, bytes, 0);
    return w->write_error ? encoder_failed(w, "finish") : STATUS_OK;
}

/* Closes in any case, and tells what failed only when nothing did before. */
static int finish(struct audio_writer *w)
{
    if (!w->code && w->held)
        (void)keep_failure(w, encode(w, w->block, w->held));
    if (w->format.container == AUDIO_WAV)
        return w->code ? w->code : keep_failure(w, finish_wav(w));
    /* FLAC and MP3 begin with the first block: without any, they would leave an empty file. */
    if (!w->frames && w->format.container != AUDIO_OGG)
        sf_command(w->file, SFC_UPDATE_HEADER_NOW, NULL, 0);
    const int closed = sf_close(w->file);
    w->file = NULL;
    return w->code || (!closed && !w->write_error) ? w->code : keep_failure(w, encoder_failed(w, "finish"));
}

int audio_write_close(struct audio_writer **writer)
{
    struct audio_writer *w = *writer;
    if (!w)
        return STATUS_OK;
    *writer = NULL;
    const int code = finish(w) ? repeat_failure(w) : STATUS_OK;
    destroy(w);
    return code;
}
