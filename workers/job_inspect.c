/* What somebody wants to know of a file before learning from it: length, levels, clipping, samples that are no numbers;
 * and a small picture of it. */
#include "audio.h"
#include "job.h"
#include "params.h"
#include "picture.h"
#include "stream.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* 32767 of 16 bits: what a converter that is driven too far gives, at any word length above. */
static const float FULL_SCALE = 32767.0F / 32768;

enum { CLIPPED_RUN = 3 }; /* samples of one channel in a row: one or two are a peak that was scaled to fit */

struct inspection {
    struct job *job;
    struct kind_inspect_params params;
    struct source source;
    struct level level;
    int64_t not_finite, clipped;
    int64_t *run; /* [channels]: samples at full scale, up to the last one */
    int channels;
    /* of the picture */
    struct spectral_params p;
    struct stream stream;
    struct picture picture;
    float *mel;
    int64_t mel_capacity;
};

static int look_at_block(struct inspection *in)
{
    const struct source *const s = &in->source;
    const int64_t offset[2] = {0, s->got};
    const struct piece piece = {s->start, s->start == 0, false};
    const struct ragged x = {
        .data = s->block, .channels = in->channels, .offset = offset, .piece = &piece, .rows = 1, .total = s->got};
    struct level l;
    const int code = level(in->job->exec, &x, &l);
    if (code)
        return code;
    level_join(&in->level, &l);
    for (int64_t i = 0; i < s->got; i++)
        for (int c = 0; c < in->channels; c++) {
            const float v = s->block[i * in->channels + c];
            in->not_finite += !isfinite(v);
            in->run[c] = fabsf(v) >= FULL_SCALE ? in->run[c] + 1 : 0;
            in->clipped += in->run[c] == CLIPPED_RUN ? CLIPPED_RUN : in->run[c] > CLIPPED_RUN;
        }
    return STATUS_OK;
}

static int draw_piece(struct inspection *in, const struct stream_piece *piece)
{
    const int64_t total = piece->skip + piece->frames, bands = (int64_t)in->params.bands;
    if (total > in->mel_capacity) {
        float *const mel = realloc(in->mel, (size_t)(total * bands) * sizeof *mel);
        if (!mel)
            return fail(STATUS_NOMEM, "inspect: out of memory");
        in->mel = mel;
        in->mel_capacity = total;
    }
    const int64_t offset[2] = {0, total};
    struct ragged y = {.data = in->mel,
                       .channels = (int32_t)bands,
                       .offset = offset,
                       .piece = &piece->piece,
                       .rows = 1,
                       .total = total};
    struct offload_frames wish = {.p = &in->p, .x = &piece->x};
    wish.spectral[SPECTRAL_MEL] = &y;
    int code = offload_measure(in->job->offload, &wish, &in->job->stages);
    if (!code && wish.spectral[SPECTRAL_MEL])
        code = spectral(in->job->exec, &in->p, &piece->x, wish.spectral);
    if (!code)
        picture_add(&in->picture, in->mel + piece->skip * bands, piece->frames);
    return code;
}

static int draw_block(struct inspection *in)
{
    struct stream_piece piece;
    if (!in->params.bands || in->not_finite) /* then the file is refused at its end */
        return STATUS_OK;
    int code = stream_take(&in->stream);
    while (!code && stream_try(&in->stream, &piece))
        code = draw_piece(in, &piece);
    return code;
}

static int open_picture(struct inspection *in)
{
    if (!in->params.bands)
        return STATUS_OK;
    in->p = spectral_defaults(audio_info(in->source.audio)->rate_hz);
    in->p.mel.mels = (int32_t)in->params.bands;
    const int code = picture_open(&in->picture, (int64_t)in->params.columns, (int64_t)in->params.bands);
    return code
               ? code
               : stream_open(&in->stream, &in->source, SOURCE_MIX, &in->p.stft.frame, in->params.bands * sizeof(float));
}

static int write_result(struct inspection *in)
{
    const struct audio_info *const info = audio_info(in->source.audio);
    struct kind_inspect_result result = {.seconds = NAN};
    struct wire_buffer warnings = {0};
    const size_t bytes = (size_t)(in->params.columns * in->params.bands);
    uint8_t *const picture = malloc(bytes ? bytes : 1);
    int code = picture ? STATUS_OK : fail(STATUS_NOMEM, "inspect: out of memory");
    code = code ? code : job_provenance(in->job, in->source.audio, &warnings, (struct kind_provenance *)&result);
    if (!code) {
        const double samples = (double)info->frames * info->channels;
        if (bytes)
            picture_finish(&in->picture, picture);
        result.duration_s = (double)info->frames / info->rate_hz;
        result.rms = sqrt(in->level.sum_squares / samples);
        result.peak = (double)in->level.peak;
        result.clipped_samples = (uint64_t)in->clipped;
        result.picture = (struct wire_slice){picture, (uint32_t)bytes};
        result.columns = in->params.columns;
        result.bands = in->params.bands;
        code = job_write_result(in->job, &kind_inspect_result_schema, &result);
    }
    free(picture);
    wire_free(&warnings);
    return code;
}

static int run(struct inspection *in)
{
    int code = STATUS_OK;
    while (!code && !in->source.ended) {
        code = source_read(&in->source);
        code = code ? code : look_at_block(in);
        code = code ? code : draw_block(in);
        job_beat(in->job, 0);
    }
    in->job->decode_s = in->source.seconds;
    if (!code && in->not_finite)
        return fail(STATUS_FORMAT, "%" PRId64 " samples are no finite numbers, the first is sample %" PRId64,
                    in->not_finite, in->level.first_not_finite);
    return code ? code : write_result(in);
}

int job_inspect(struct job *j)
{
    struct inspection in = {.job = j, .level.first_not_finite = -1};
    struct audio *audio = NULL;
    int code = params_inspect(j->params, j->request->params_bytes, &in.params);
    code = code ? code : job_open_audio(j, &audio);
    if (code)
        return code;
    in.channels = audio_info(audio)->channels;
    in.run = calloc((size_t)in.channels, sizeof *in.run);
    code = in.run ? STATUS_OK : fail(STATUS_NOMEM, "inspect: out of memory");
    code = code ? code : source_open(&in.source, j->exec, audio, job_block_samples(j), 0);
    code = code ? code : open_picture(&in);
    code = code ? code : run(&in);
    picture_close(&in.picture);
    stream_close(&in.stream);
    source_close(&in.source);
    free(in.run);
    free(in.mel);
    audio_close(&audio);
    return code;
}
