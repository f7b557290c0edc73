#include "audio.h"

#include <errno.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAM_BLOCK = 16384, AU_HEADER_MAX = 1 << 20 };

struct audio {
    struct audio_info info;
    int fd;
    SNDFILE *file; /* NULL: an AU stream */
    sf_count_t position, bytes;
    sf_count_t claimed_frames; /* -1: unknown */
    struct audio_claim claim;
    bool exact_claim; /* the format's claimed number of frames is to be trusted */
    bool ended;
    int read_error; /* errno of a failed pread */
    unsigned char *block;
    size_t held; /* bytes of a cut frame at the start of block */
};

/* ---- libsndfile over pread ---- */

static sf_count_t virtual_length(void *user)
{
    return ((struct audio *)user)->bytes;
}

static sf_count_t virtual_seek(sf_count_t offset, int whence, void *user)
{
    struct audio *a = user;
    const sf_count_t base = whence == SEEK_CUR ? a->position : whence == SEEK_END ? a->bytes : 0;
    if (offset > 0 && base > INT64_MAX - offset)
        return -1;
    if (base + offset < 0)
        return -1;
    return a->position = base + offset;
}

static sf_count_t virtual_read(void *out, sf_count_t count, void *user)
{
    struct audio *a = user;
    sf_count_t done = 0;
    while (done < count) {
        const ssize_t n = pread(a->fd, (char *)out + done, (size_t)(count - done), a->position + done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            a->read_error = errno;
        if (n <= 0)
            break;
        done += n;
    }
    a->position += done;
    return done;
}

static sf_count_t virtual_write(const void *data, sf_count_t count, void *user)
{
    (void)data, (void)count, (void)user;
    return 0;
}

static sf_count_t virtual_tell(void *user)
{
    return ((struct audio *)user)->position;
}

static void name_codec(int format, char out[AUDIO_CODEC_BYTES])
{
    static const struct {
        int code;
        const char *name;
    } majors[] = {{SF_FORMAT_WAV, "wav"},   {SF_FORMAT_WAVEX, "wav"}, {SF_FORMAT_RF64, "rf64"}, {SF_FORMAT_W64, "w64"},
                  {SF_FORMAT_AIFF, "aiff"}, {SF_FORMAT_FLAC, "flac"}, {SF_FORMAT_OGG, "ogg"},   {SF_FORMAT_MPEG, "mp3"},
                  {SF_FORMAT_AU, "au"},     {SF_FORMAT_CAF, "caf"}},
      minors[] = {{SF_FORMAT_PCM_S8, "/pcm_s8"}, {SF_FORMAT_PCM_U8, "/pcm_u8"}, {SF_FORMAT_PCM_16, "/pcm_16"},
                  {SF_FORMAT_PCM_24, "/pcm_24"}, {SF_FORMAT_PCM_32, "/pcm_32"}, {SF_FORMAT_FLOAT, "/float"},
                  {SF_FORMAT_DOUBLE, "/double"}, {SF_FORMAT_VORBIS, "/vorbis"}, {SF_FORMAT_OPUS, "/opus"},
                  {SF_FORMAT_ULAW, "/ulaw"},     {SF_FORMAT_ALAW, "/alaw"}};
    const char *major = "other", *minor = "";
    for (size_t i = 0; i < sizeof majors / sizeof *majors; i++)
        if ((format & SF_FORMAT_TYPEMASK) == majors[i].code)
            major = majors[i].name;
    for (size_t i = 0; i < sizeof minors / sizeof *minors; i++)
        if ((format & SF_FORMAT_SUBMASK) == minors[i].code)
            minor = minors[i].name;
    snprintf(out, AUDIO_CODEC_BYTES, "%s%s", major, minor);
}

/* libsndfile's texts begin with "Error : " and end with full stops and line breaks. */
static void tidy(const char *text, char *out, size_t capacity)
{
    static const char prefix[] = "Error : ";
    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        text += sizeof prefix - 1;
    snprintf(out, capacity, "%s", text);
    size_t n = strlen(out);
    while (n && strchr(".\n\r ", out[n - 1]))
        out[--n] = '\0';
}

static int open_failed(const struct audio *a)
{
    char reason[160];
    /* libsndfile has one place for what is wrong with all files that do not open: another thread may have cleared it.
     */
    tidy(sf_error(NULL) ? sf_strerror(NULL) : "Format not recognised.", reason, sizeof reason);
    if (a->read_error)
        return fail(STATUS_IO, "cannot read: %s", strerror(a->read_error));
    if (strstr(reason, "hannel count"))
        return fail(STATUS_FORMAT, "%s", reason);
    return fail(STATUS_UNSUPPORTED, "%s", reason);
}

int audio_open(int fd, struct audio **out)
{
    static SF_VIRTUAL_IO io = {virtual_length, virtual_seek, virtual_read, virtual_write, virtual_tell};
    struct stat s;
    if (fstat(fd, &s))
        return fail(STATUS_IO, "cannot read: %s", strerror(errno));
    if (s.st_size == 0)
        return fail(STATUS_FORMAT, "the file is empty");
    struct audio *a = calloc(1, sizeof *a);
    if (!a)
        return fail(STATUS_NOMEM, "audio: out of memory");
    a->fd = fd;
    a->bytes = s.st_size;
    SF_INFO info = {0};
    a->file = sf_open_virtual(&io, SFM_READ, &info, a);
    int code = STATUS_OK;
    if (!a->file)
        code = open_failed(a);
    else if (info.channels < 1 || info.channels > AUDIO_CHANNELS_MAX || info.samplerate < 1)
        code = fail(STATUS_FORMAT, "%d channels at %d Hz", info.channels, info.samplerate);
    if (code) {
        audio_close(&a);
        return code;
    }
    a->info.rate_hz = info.samplerate;
    a->info.channels = info.channels;
    name_codec(info.format, a->info.codec);
    const int major = info.format & SF_FORMAT_TYPEMASK;
    a->exact_claim = major == SF_FORMAT_FLAC;
    a->claimed_frames = info.frames <= 0 || info.frames == SF_COUNT_MAX ? -1 : info.frames;
    audio_claim(fd, (uint64_t)s.st_size, &a->claim);
    *out = a;
    return STATUS_OK;
}

void audio_close(struct audio **audio)
{
    struct audio *a = *audio;
    if (!a)
        return;
    if (a->file)
        sf_close(a->file);
    free(a->block);
    free(a);
    *audio = NULL;
}

const struct audio_info *audio_info(const struct audio *a)
{
    return &a->info;
}

static double seconds(const struct audio *a, double frames)
{
    return frames / a->info.rate_hz;
}

/* The decoder gave all it had: does that agree with what the file promised? */
static int judge_end(struct audio *a)
{
    const double decoded = seconds(a, (double)a->info.frames);
    if (a->claim.what == CLAIM_BYTES && a->claim.present_bytes < a->claim.claimed_bytes) {
        const double share =
            (double)a->claim.claimed_bytes / (double)(a->claim.present_bytes ? a->claim.present_bytes : 1);
        if (share > 1.01 || a->claim.claimed_bytes - a->claim.present_bytes > 4096)
            return fail(STATUS_FORMAT, "truncated: its header claims %llu bytes of audio, the file holds %llu (%.3f s)",
                        (unsigned long long)a->claim.claimed_bytes, (unsigned long long)a->claim.present_bytes,
                        decoded);
        snprintf(a->info.warning, sizeof a->info.warning, "the last %llu bytes of audio are missing",
                 (unsigned long long)(a->claim.claimed_bytes - a->claim.present_bytes));
    }
    if (a->claim.what == CLAIM_NO_END)
        return fail(STATUS_FORMAT, "truncated: the Ogg stream has no end (%.3f s decoded)", decoded);
    if (a->info.frames == 0 && a->exact_claim && a->claimed_frames > 0)
        return fail(STATUS_UNSUPPORTED, "the decoder gives none of its %.3f s", seconds(a, (double)a->claimed_frames));
    if (a->info.frames == 0)
        return a->file ? fail(STATUS_FORMAT, "it holds no samples")
                       : fail(STATUS_FORMAT, "ffmpeg decodes no samples from it");
    if (a->claimed_frames < 0 || a->claimed_frames == a->info.frames)
        return STATUS_OK;
    if (a->exact_claim && a->info.frames < a->claimed_frames)
        return fail(STATUS_FORMAT, "truncated: its header claims %.3f s, the file holds %.3f s",
                    seconds(a, (double)a->claimed_frames), decoded);
    snprintf(a->info.warning, sizeof a->info.warning, "its header claims %.3f s, %.3f s were decoded",
             seconds(a, (double)a->claimed_frames), decoded);
    return STATUS_OK;
}

/* ---- AU streams: a header of big-endian words, then big-endian floats ---- */

static int read_full(int fd, void *out, size_t bytes, size_t *got)
{
    size_t done = 0;
    while (done < bytes) {
        const ssize_t n = read(fd, (char *)out + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(STATUS_IO, "cannot read ffmpeg's output: %s", strerror(errno));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return STATUS_OK;
}

static uint32_t big32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int open_au(struct audio *a)
{
    enum { FLOAT32 = 6 };
    unsigned char head[24];
    size_t got = 0;
    int code = read_full(a->fd, head, sizeof head, &got);
    if (code)
        return code;
    if (got == 0)
        return fail(STATUS_FORMAT, "ffmpeg finds no audio in it");
    const uint32_t skip = big32(head + 4), rate = big32(head + 16), channels = big32(head + 20);
    if (got < sizeof head || memcmp(head, ".snd", 4) != 0 || skip < sizeof head || skip > AU_HEADER_MAX ||
        big32(head + 12) != FLOAT32 || rate < 1 || rate > 100000000 || channels < 1 || channels > AUDIO_CHANNELS_MAX)
        return fail(STATUS_FORMAT, "ffmpeg's output is not an AU stream of floats");
    a->block = malloc(STREAM_BLOCK + 4 * AUDIO_CHANNELS_MAX);
    if (!a->block)
        return fail(STATUS_NOMEM, "audio: out of memory");
    for (size_t left = skip - sizeof head; left;) { /* the annotation */
        const size_t want = left < STREAM_BLOCK ? left : STREAM_BLOCK;
        if ((code = read_full(a->fd, a->block, want, &got)))
            return code;
        if (got < want)
            return fail(STATUS_FORMAT, "ffmpeg's output ends in its header");
        left -= want;
    }
    a->info.rate_hz = (int)rate;
    a->info.channels = (int)channels;
    snprintf(a->info.codec, sizeof a->info.codec, "ffmpeg");
    return STATUS_OK;
}

int audio_open_stream(int fd, struct audio **out)
{
    struct audio *a = calloc(1, sizeof *a);
    if (!a)
        return fail(STATUS_NOMEM, "audio: out of memory");
    a->fd = fd;
    a->claimed_frames = -1;
    const int code = open_au(a);
    if (code) {
        audio_close(&a);
        return code;
    }
    *out = a;
    return STATUS_OK;
}

static int read_stream(struct audio *a, float *out, int64_t frames, int64_t *got)
{
    const size_t frame_bytes = 4 * (size_t)a->info.channels;
    int64_t done = 0;
    while (done < frames) {
        const size_t room = STREAM_BLOCK / frame_bytes ? STREAM_BLOCK / frame_bytes : 1;
        const size_t want = (size_t)(frames - done) < room ? (size_t)(frames - done) : room;
        size_t n = 0;
        const int code = read_full(a->fd, a->block, want * frame_bytes, &n);
        if (code)
            return code;
        const size_t whole = n / frame_bytes;
        for (size_t i = 0; i < whole * (size_t)a->info.channels; i++) {
            const uint32_t bits = big32(a->block + 4 * i);
            memcpy(out + (size_t)done * (size_t)a->info.channels + i, &bits, 4);
        }
        done += (int64_t)whole;
        if (whole < want)
            break;
    }
    *got = done;
    return STATUS_OK;
}

/* ---- reading ---- */

int audio_read(struct audio *a, float *out, int64_t frames, int64_t *got)
{
    int64_t n = 0;
    if (!a->ended && a->file) {
        n = sf_readf_float(a->file, out, frames);
        if (a->read_error)
            return fail(STATUS_IO, "cannot read: %s", strerror(a->read_error));
        if (n < frames && sf_error(a->file) != SF_ERR_NO_ERROR) {
            char reason[160];
            tidy(sf_strerror(a->file), reason, sizeof reason);
            return fail(STATUS_FORMAT, "damaged or truncated after %.3f s: %s",
                        seconds(a, (double)(a->info.frames + n)), reason);
        }
    } else if (!a->ended) {
        const int code = read_stream(a, out, frames, &n);
        if (code)
            return code;
    }
    a->info.frames += n;
    *got = n;
    if (n == 0) {
        a->ended = true;
        return judge_end(a);
    }
    return STATUS_OK;
}
