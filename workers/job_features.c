/* One feature of one file, streamed into a .npy file as it is computed. */
#include "audio.h"
#include "job.h"
#include "npy.h"
#include "offload.h"
#include "params.h"
#include "samples.h"
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
    int64_t gathered; /* values per frame in the first pass */
    int64_t bins;     /* and in the end: cepstra come from bands, contrasts from peaks and valleys */
    double top_db;    /* below the maximum; negative: no limit */
    double lifter;
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

static enum spectral_output output_of(enum feature_kind kind)
{
    switch (kind) {
    case FEATURE_STFT:
        return SPECTRAL_STFT;
    case FEATURE_MAGNITUDE:
    case FEATURE_POWER:
    case FEATURE_DB:
        return SPECTRAL_SPECTROGRAM;
    case FEATURE_CENTROID:
        return SPECTRAL_CENTROID;
    case FEATURE_BANDWIDTH:
        return SPECTRAL_BANDWIDTH;
    case FEATURE_ROLLOFF:
        return SPECTRAL_ROLLOFF;
    case FEATURE_FLATNESS:
        return SPECTRAL_FLATNESS;
    case FEATURE_CONTRAST:
        return SPECTRAL_CONTRAST;
    case FEATURE_FLUX:
        return SPECTRAL_FLUX;
    case FEATURE_POLY:
        return SPECTRAL_POLY;
    default:
        return SPECTRAL_MEL;
    }
}

static bool is_spectral(enum feature_kind kind)
{
    return kind != FEATURE_SAMPLES && kind != FEATURE_RMS && kind != FEATURE_PEAK && kind != FEATURE_ZCR;
}

static void describe(const struct kind_features_params *p, enum feature_kind kind, double rate_hz, struct feature *f)
{
    *f = (struct feature){.kind = kind, .p = spectral_defaults(rate_hz), .dtype = DTYPE_F32, .gathered = 1};
    f->p.stft = (struct stft_params){.frame = {(int64_t)p->n_fft, (int64_t)p->hop, !p->not_centred},
                                     .win_length = (int64_t)p->win_length,
                                     .window = window_of(p->window),
                                     .pad = p->pad.bytes == strlen("reflect") ? PAD_REFLECT : PAD_ZERO};
    f->p.mel = (struct mel_bands){.mels = (int32_t)p->mels,
                                  .fmin_hz = isfinite(p->fmin_hz) ? p->fmin_hz : 0,
                                  .fmax_hz = isfinite(p->fmax_hz) ? p->fmax_hz : 0,
                                  .htk = p->htk,
                                  .slaney_norm = !p->no_norm,
                                  .log = kind != FEATURE_MEL,
                                  .power = 2};
    f->p.spectrogram = (struct spectrogram_params){kind == FEATURE_MAGNITUDE ? 1 : 2, kind == FEATURE_DB};
    f->p.contrast = (struct contrast_bands){(int32_t)p->bands, isfinite(p->fmin_hz) ? p->fmin_hz : 200, p->quantile};
    f->p.rolloff = p->rolloff;
    f->p.poly_order = (int32_t)p->order;
    f->output = output_of(kind);
    f->dtype = kind == FEATURE_STFT ? DTYPE_C64 : DTYPE_F32;
    if (is_spectral(kind))
        f->gathered = spectral_channels(&f->p, f->output);
    f->bins = kind == FEATURE_MFCC ? (int64_t)p->mfcc : kind == FEATURE_CONTRAST ? f->gathered / 2 : f->gathered;
    f->top_db = kind == FEATURE_LOGMEL || kind == FEATURE_DB || kind == FEATURE_MFCC ? p->top_db
                : kind == FEATURE_CONTRAST                                           ? 80
                                                                                     : -1;
    f->lifter = p->lifter;
}

/* On the device, if it has the operation; else by the thread itself. */
static int compute(struct job *j, const struct feature *f, const struct ragged *x, struct ragged *y)
{
    const struct frame_params *const frame = &f->p.stft.frame;
    struct offload_frames wish = {.p = &f->p, .x = x};
    if (f->kind == FEATURE_ZCR)
        wish.zero_crossing = y;
    else if (f->kind == FEATURE_RMS)
        wish.rms = y;
    else if (f->kind == FEATURE_PEAK)
        wish.peak = y;
    else
        wish.spectral[f->output] = y;
    const int code = offload_measure(j->offload, &wish, &j->stages);
    if (code)
        return code;
    if (wish.zero_crossing)
        return zero_crossing(j->exec, frame, x, y);
    if (wish.rms)
        return rms(j->exec, frame, x, y);
    if (wish.peak)
        return peak(j->exec, frame, x, y);
    return wish.spectral[f->output] ? spectral(j->exec, &f->p, x, wish.spectral) : STATUS_OK;
}

struct output {
    int fd;
    float *buffer;
    size_t capacity; /* bytes */
    int64_t frames;
    float loudest, quietest_peak; /* maximum so far; of contrast: of the peaks, and of the valleys */
};

static void note_maxima(const struct feature *f, const float *frames, int64_t count, struct output *o)
{
    const int64_t bands = f->kind == FEATURE_CONTRAST ? f->bins : f->gathered;
    for (int64_t t = 0; t < count; t++)
        for (int64_t i = 0; i < f->gathered; i++) {
            float *const most = i < bands ? &o->loudest : &o->quietest_peak;
            *most = fmaxf(*most, frames[t * f->gathered + i]); /* passes over a band that is not there */
        }
}

static int write_piece(struct job *j, const struct feature *f, struct stream_piece *p, struct output *o)
{
    const size_t frame_bytes = npy_item_bytes(f->dtype) * (size_t)f->gathered;
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
                       .channels = (int32_t)f->gathered,
                       .offset = offset,
                       .piece = &p->piece,
                       .rows = 1,
                       .total = total};
    int code = compute(j, f, &p->x, &y);
    if (code)
        return code;
    const float *fresh = o->buffer + (size_t)p->skip * frame_bytes / sizeof(float);
    if (f->top_db >= 0)
        note_maxima(f, fresh, p->frames, o);
    code = job_write_at(o->fd, fresh, (size_t)p->frames * frame_bytes,
                        NPY_HEADER_BYTES + (uint64_t)o->frames * frame_bytes);
    o->frames += p->frames;
    return code;
}

/* What only the whole signal's maximum allows, for `frames` frames in o->buffer: clips, cepstra, contrasts. */
static int finish_frames(struct job *j, const struct feature *f, struct output *o, int64_t frames)
{
    const int64_t offset[2] = {0, frames};
    const float top = f->top_db < 0 ? INFINITY : (float)f->top_db, least = o->loudest - top;
    struct ragged x = {
        .data = o->buffer, .channels = (int32_t)f->gathered, .offset = offset, .rows = 1, .total = frames};
    if (f->kind == FEATURE_CONTRAST) {
        for (int64_t t = 0; t < frames; t++) /* in place: a frame is written before the next is read */
            contrast_finish(o->buffer + t * f->gathered, f->bins, least, o->quietest_peak - top,
                            o->buffer + t * f->bins);
        return STATUS_OK;
    }
    int code = decibel_clip(j->exec, &x, &least);
    if (code || f->kind != FEATURE_MFCC)
        return code;
    float *const out = malloc((size_t)(frames * f->bins) * sizeof *out);
    if (!out)
        return fail(STATUS_NOMEM, "features: out of memory");
    struct ragged y = {.data = out, .channels = (int32_t)f->bins, .offset = offset, .rows = 1, .total = frames};
    code = mfcc(j->exec, &(struct mfcc_params){(int32_t)f->bins, f->lifter}, &x, NULL, &y);
    if (!code)
        memcpy(o->buffer, out, (size_t)(frames * f->bins) * sizeof *out);
    free(out);
    return code;
}

/* The second pass, over the array file: it never writes beyond what it has read. */
static int second_pass(struct job *j, const struct feature *f, struct output *o)
{
    const size_t in_bytes = (size_t)f->gathered * sizeof(float), out_bytes = (size_t)f->bins * sizeof(float);
    const int64_t most = (int64_t)(o->capacity / in_bytes);
    for (int64_t at = 0; at < o->frames;) {
        const int64_t n = o->frames - at < most ? o->frames - at : most;
        const size_t want = (size_t)n * in_bytes;
        if (pread(o->fd, o->buffer, want, (off_t)(NPY_HEADER_BYTES + (uint64_t)at * in_bytes)) != (ssize_t)want)
            return fail(STATUS_IO, "cannot read the array back: %s", strerror(errno));
        int code = finish_frames(j, f, o, n);
        if (!code)
            code = job_write_at(o->fd, o->buffer, (size_t)n * out_bytes, NPY_HEADER_BYTES + (uint64_t)at * out_bytes);
        if (code)
            return code;
        at += n;
        job_beat(j, 0);
    }
    if (ftruncate(o->fd, (off_t)(NPY_HEADER_BYTES + (uint64_t)o->frames * out_bytes)))
        return fail(STATUS_IO, "cannot shorten the array: %s", strerror(errno));
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

static int run(struct job *j, struct audio *a, const struct feature *f, int64_t rate_hz, enum rate_method method)
{
    struct source source = {0};
    struct stream s = {0};
    struct output o = {.fd = j->fds[TASK_FD_ARRAY], .loudest = -INFINITY, .quietest_peak = -INFINITY};
    char header[NPY_HEADER_BYTES];
    struct stream_piece p;
    int code = source_open(&source, j->exec, a, job_block_samples(j), rate_hz);
    if (!code)
        code = stream_open(&s, &source, SOURCE_MIX, &f->p.stft.frame, npy_item_bytes(f->dtype) * (size_t)f->gathered);
    if (!code && rate_hz)
        code = stream_set_rate(&s, rate_hz, method);
    if (!code && f->kind == FEATURE_FLUX)
        stream_keep_previous(&s);
    while (!code && !(code = stream_next(&s, &p)) && p.frames > 0) {
        code = write_piece(j, f, &p, &o);
        job_beat(j, 0);
    }
    const bool passes_twice = f->top_db >= 0 || f->kind == FEATURE_MFCC;
    if (!code && passes_twice && o.frames > 0)
        code = second_pass(j, f, &o);
    if (!code)
        code = npy_header(f->dtype, f->bins, o.frames, header);
    if (!code)
        code = job_write_at(o.fd, header, sizeof header, 0);
    j->decode_s = source.seconds;
    if (!code)
        code = write_result(j, a, f, o.frames);
    free(o.buffer);
    stream_close(&s);
    source_close(&source);
    return code;
}

static int run_samples(struct job *j, struct audio *a, const struct kind_features_params *p, enum rate_method method)
{
    const struct samples_wish wish = {p->each_channel, (int64_t)p->rate_hz, method};
    struct feature f = {.kind = FEATURE_SAMPLES, .dtype = DTYPE_F32};
    int64_t samples = 0;
    const int code = samples_write(j, a, &wish, &f.bins, &samples);
    return code ? code : write_result(j, a, &f, samples);
}

int job_features(struct job *j)
{
    struct kind_features_params params;
    enum feature_kind kind;
    struct audio *a = NULL;
    struct feature f;
    enum rate_method method = RATE_POLYPHASE;
    int code = params_features(j->params, j->request->params_bytes, &params, &kind);
    if (!code && j->fds[TASK_FD_ARRAY] < 0)
        code = fail(STATUS_INTERNAL, "features: no place for the array");
    if (!code)
        code = job_rate_method(params.resample, &method);
    if (!code)
        code = job_use_isa(j, params.isa);
    if (!code)
        code = job_open_audio(j, &a);
    if (code)
        return code;
    if (kind == FEATURE_SAMPLES) {
        code = run_samples(j, a, &params, method);
    } else {
        describe(&params, kind, params.rate_hz ? (double)params.rate_hz : audio_info(a)->rate_hz, &f);
        code = run(j, a, &f, (int64_t)params.rate_hz, method);
    }
    audio_close(&a);
    return code;
}
