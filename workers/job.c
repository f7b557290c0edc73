#include "job.h"

#include "audio.h"
#include "kinds.h"
#include "ops.h"
#include "source.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_MS = 200 };

void job_beat(struct job *j, double progress)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - j->last_beat_ms < BEAT_MS)
        return;
    j->last_beat_ms = ms;
    const struct task_reply beat = {
        .magic = TASK_MAGIC, .event = TASK_PROGRESS, .id = j->request->id, .progress = progress};
    const int ignored = task_send_reply(j->socket, &beat); /* a supervisor that is gone takes this process with it */
    (void)ignored;
}

int job_use_isa(struct job *j, struct wire_slice name)
{
    char text[32];
    enum exec_isa isa = ISA_SCALAR;
    if (!name.bytes)
        return STATUS_OK;
    wire_copy(name, text, sizeof text);
    int code = isa_parse(text, &isa);
    if (!code && !isa_supported(isa)) /* not STATUS_UNSUPPORTED: ffmpeg cannot help here */
        code = fail(STATUS_ARGUMENT, "this worker's processor has no %s", text);
    if (!code && !j->by_isa[isa])
        code = exec_create(&(struct exec_options){.threads = 1, .isa = isa, .ops = ops_cpu(isa)}, &j->by_isa[isa]);
    if (!code)
        j->exec = j->by_isa[isa];
    return code;
}

int64_t job_block_samples(const struct job *j)
{
    return offload_works(j->offload) ? offload_block_samples(j->offload) : SOURCE_BLOCK_SAMPLES;
}

int job_rate_method(struct wire_slice name, enum rate_method *out)
{
    char text[32];
    *out = RATE_POLYPHASE;
    wire_copy(name, text, sizeof text);
    return name.bytes ? rate_method_parse(text, out) : STATUS_OK;
}

int job_open_audio(struct job *j, struct audio **out)
{
    if (j->request->flags & TASK_STREAM)
        return audio_open_stream(j->fds[TASK_FD_INPUT], out);
    return audio_open(j->fds[TASK_FD_INPUT], out);
}

int job_write_result(struct job *j, const struct wire_schema *schema, const void *result)
{
    struct wire_buffer b = {0};
    int code = wire_encode(schema, result, &b);
    if (!code && b.bytes > LIMIT_RESULT)
        code = fail(STATUS_INTERNAL, "%s of %zu bytes", schema->name, b.bytes);
    if (!code && pwrite(j->fds[TASK_FD_RESULT], b.data, b.bytes, 0) != (ssize_t)b.bytes)
        code = fail(STATUS_IO, "cannot write the result: %s", strerror(errno));
    j->reply->result_bytes = (uint32_t)b.bytes;
    wire_free(&b);
    return code;
}

int job_provenance(struct job *j, const struct audio *a, struct wire_buffer *warnings, struct kind_provenance *out)
{
    const struct audio_info *info = audio_info(a);
    out->rate_hz = (uint64_t)info->rate_hz;
    out->channels = (uint64_t)info->channels;
    out->frames_decoded = (uint64_t)info->frames;
    out->codec = wire_str(info->codec);
    out->backend = wire_str(backend_name(exec_backend(j->exec)));
    out->decode_s = j->decode_s;
    out->copy_in_s = out->device_s = out->copy_out_s = NAN;
    if (j->stages.operations[0]) {
        out->backend = wire_str(offload_backend(j->offload));
        out->on_device = wire_str(j->stages.operations);
        out->copy_in_s = j->stages.copy_in_s;
        out->device_s = j->stages.compute_s;
        out->copy_out_s = j->stages.copy_out_s;
        out->launches = j->stages.launches;
    }
    out->isa = wire_str(isa_name(exec_isa(j->exec)));
    out->version = wire_str(WAVEMILL_VERSION);
    if (!info->warning[0])
        return STATUS_OK;
    const int code = wire_append_str(warnings, info->warning);
    out->warnings = wire_list_of(warnings, 1);
    return code;
}
