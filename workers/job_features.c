/* One feature of one file, streamed into a .npy file as it is computed. */
#include "audio.h"
#include "job.h"
#include "npy.h"
#include "params.h"
#include "stream.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct feature {
    enum feature_kind kind;
    struct spectral_params p;
    enum spectral_output output; /* of spectral kinds */
    enum dtype dtype;
    int64_t bins;
    double top_db; /* logmel: below the maximum; negative: no limit */
};

static enum window_kind window_of(struct wire_slice name)
{
    static const struct {
        const char *name;
        enum window_kind kind;
    } windows[] = {{"hann", WINDOW_HANN},
                   {"hamming", WINDOW_HAMMING},
                   {"blackman", WINDOW_BLACKMAN},
                   {"bartlett", WINDOW_BARTLETT},
                   {"rectangular", WINDOW_RECTANGULAR}};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        if (strlen(windows[i].name) == name.bytes && memcmp(windows[i].name, name.data, name.bytes) == 0)
            return windows[i].kind;
    return WINDOW_HANN; /* params_features has refused every other name */
}

static void describe(const struct kind_features_params *p, enum feature_kind kind, double rate_hz, struct feature *f)
{
    *f = (struct feature){.kind = kind, .p = spectral_defaults(rate_hz), .dtype = DTYPE_F32, .bins = 1, .top_db = -1};
    f->p.stft = (struct stft_params){.frame = {(int64_t)p->n_fft, (int64_t)p->hop, !p->not_centred},
                                     .win_length = (int64_t)p->win_length,
                                     .window = window_of(p->window),
                                     .pad = p->pad.bytes == strlen("reflect") ? PAD_REFLECT : PAD_ZERO};
    f->p.mel = (struct mel_bands){.mels = (int32_t)p->mels,
                                  .fmin_hz = p->fmin_hz,
                                  .fmax_hz = isfinite(p->fmax_hz) ? p->fmax_hz : 0,
                                  .htk = p->htk,
                                  .slaney_norm = !p->no_norm,
                                  .log = kind == FEATURE_LOGMEL,
                                  .power = 2};
    f->top_db = kind == FEATURE_LOGMEL ? p->top_db : -1;
    f->output = kind == FEATURE_STFT ? SPECTRAL_STFT : kind == FEATURE_CENTROID ? SPECTRAL_CENTROID : SPECTRAL_MEL;
    f->dtype = kind == FEATURE_STFT ? DTYPE_C64 : DTYPE_F32;
    if (kind != FEATURE_RMS && kind != FEATURE_PEAK && kind != FEATURE_ZCR)
        f->bins = spectral_channels(&f->p, f->output);
}

static int compute(struct exec *ex, const struct feature *f, const struct ragged *x, struct ragged *y)
{
    struct ragged *out[SPECTRAL_OUTPUTS] = {0};
    out[f->output] = y;
    switch (f->kind) {
    case FEATURE_RMS:
        return rms(ex, &f->p.stft.frame, x, y);
    case FEATURE_PEAK:
        return peak(ex, &f->p.stft.frame, x, y);
    case FEATURE_ZCR:
        return zero_crossing(ex, &f->p.stft.frame, x, y);
    default:
        return spectral(ex, &f->p, x, out);
    }
}

static int write_all(int fd, const void *data, size_t bytes, uint64_t at)
{
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pwrite(fd, (const char *)data + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail(STATUS_IO, "cannot write the array: %s", strerror(errno));
        done += (size_t)n;
    }
    return STATUS_OK;
}

struct output {
    int fd;
    float *buffer;
    size_t capacity;
    int64_t frames;
    float loudest;
};

static int write_piece(struct job *j, const struct feature *f, struct stream_piece *p, struct output *o)
{
    const size_t frame_bytes = npy_item_bytes(f->dtype) * (size_t)f->bins;
    const int64_t total = p->skip + p->frames;
    const size_t bytes = (size_t)total * frame_bytes;
    if (bytes > STREAM_OUT_MAX)
        return fail(STATUS_NOMEM, "the frames at the end of the signal need %zu MiB: n_fft is too large for this hop",
                    bytes >> 20);
    if (!o->buffer || bytes > o->capacity) {
        free(o->buffer);
        o->capacity = 0;
        if (!(o->buffer = malloc(bytes)))
            return fail(STATUS_NOMEM, "features: %zu bytes", bytes);
        o->capacity = bytes;
    }
    const int64_t offset[2] = {0, total};
    struct ragged y = {.data = o->buffer,
                       .dtype = f->dtype,
                       .channels = (int32_t)f->bins,
                       .offset = offset,
                       .piece = &p->piece,
                       .rows = 1,
                       .total = total};
    int code = compute(j->exec, f, &p->x, &y);
    if (code)
        return code;
    const float *fresh = o->buffer + (size_t)p->skip * frame_bytes / sizeof(float);
    const size_t fresh_bytes = (size_t)p->frames * frame_bytes;
    if (f->top_db >= 0)
        for (size_t i = 0; i < fresh_bytes / sizeof(float); i++)
            o->loudest = fresh[i] > o->loudest ? fresh[i] : o->loudest;
    code = write_all(o->fd, fresh, fresh_bytes, NPY_HEADER_BYTES + (uint64_t)o->frames * frame_bytes);
    o->frames += p->frames;
    return code;
}

/* librosa's power_to_db clips at the maximum of the whole signal less top_db: known at the end, so a second pass. */
static int clip(struct job *j, const struct feature *f, struct output *o)
{
    const float floor_db = o->loudest - (float)f->top_db;
    const uint64_t end = NPY_HEADER_BYTES + (uint64_t)o->frames * (uint64_t)f->bins * sizeof(float);
    for (uint64_t at = NPY_HEADER_BYTES; at < end;) {
        const size_t want = end - at < o->capacity ? (size_t)(end - at) : o->capacity / sizeof(float) * sizeof(float);
        if (pread(o->fd, o->buffer, want, (off_t)at) != (ssize_t)want)
            return fail(STATUS_IO, "cannot read the array back: %s", strerror(errno));
        for (size_t i = 0; i < want / sizeof(float); i++)
            o->buffer[i] = o->buffer[i] < floor_db ? floor_db : o->buffer[i];
        const int code = write_all(o->fd, o->buffer, want, at);
        if (code)
            return code;
        at += want;
        job_beat(j, 0);
    }
    return STATUS_OK;
}

static int write_result(struct job *j, const struct audio *a, const struct feature *f, int64_t frames)
{
    struct kind_provenance from = {.seconds = NAN};
    struct wire_buffer warnings = {0};
    int code = job_provenance(j, a, &warnings, &from);
    struct kind_features_result result = {
        .feature = wire_str(feature_name(f->kind)),
        .bins = (uint64_t)f->bins,
        .frames = (uint64_t)frames,
        .dtype = wire_str(npy_dtype_name(f->dtype)),
    };
    memcpy(&result, &from, sizeof from); /* every result begins with its provenance */
    j->reply->dtype = f->dtype;
    j->reply->bins = (uint32_t)f->bins;
    j->reply->frames = (uint64_t)frames;
    if (!code)
        code = job_write_result(j, &kind_features_result_schema, &result);
    wire_free(&warnings);
    return code;
}

static int run(struct job *j, struct audio *a, const struct feature *f)
{
    struct stream s = {0};
    struct output o = {.fd = j->fds[TASK_FD_ARRAY], .loudest = -INFINITY};
    char header[NPY_HEADER_BYTES];
    struct stream_piece p;
    int code = stream_open(&s, j->exec, a, &f->p.stft.frame, npy_item_bytes(f->dtype) * (size_t)f->bins);
    while (!code && !(code = stream_next(&s, &p)) && p.frames > 0) {
        code = write_piece(j, f, &p, &o);
        job_beat(j, 0);
    }
    if (!code && f->top_db >= 0 && o.frames > 0)
        code = clip(j, f, &o);
    if (!code)
        code = npy_header(f->dtype, f->bins, o.frames, header);
    if (!code)
        code = write_all(o.fd, header, sizeof header, 0);
    if (!code)
        code = write_result(j, a, f, o.frames);
    free(o.buffer);
    stream_close(&s);
    return code;
}

int job_features(struct job *j)
{
    struct kind_features_params params;
    enum feature_kind kind;
    struct audio *a = NULL;
    struct feature f;
    int code = params_features(j->params, j->request->params_bytes, &params, &kind);
    if (!code && j->fds[TASK_FD_ARRAY] < 0)
        code = fail(STATUS_INTERNAL, "features: no place for the array");
    if (!code)
        code = job_open_audio(j, &a);
    if (code)
        return code;
    describe(&params, kind, audio_info(a)->rate_hz, &f);
    code = run(j, a, &f);
    audio_close(&a);
    return code;
}
