#include "job.h"

#include "audio.h"
#include "kinds.h"
#include "ops.h"
#include "source.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_MS = 200 };

static void beat(struct job *j, double progress, bool waits)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (ms - j->last_beat_ms < BEAT_MS)
        return;
    j->last_beat_ms = ms;
    const struct task_reply beat = {
        .magic = TASK_MAGIC, .event = TASK_PROGRESS, .id = j->request->id, .progress = progress, .waits = waits};
    const int ignored = task_send_reply(j->socket, &beat); /* a supervisor that is gone takes this process with it */
    (void)ignored;
}

void job_beat(struct job *j, double progress)
{
    beat(j, progress, false);
}

void job_waits(struct job *j, double progress)
{
    beat(j, progress, true);
}

int job_save_held(struct job *j, const void *data, size_t bytes, double progress, int *held)
{
    const struct task_reply r = {.magic = TASK_MAGIC, .event = TASK_SAVED, .id = j->request->id, .progress = progress};
    const int fd = memfd_create("checkpoint", MFD_CLOEXEC);
    if (fd < 0)
        return fail(STATUS_NOMEM, "checkpoint: %s", strerror(errno));
    int code = STATUS_OK;
    for (size_t done = 0; done < bytes && !code;) {
        const ssize_t n = write(fd, (const char *)data + done, bytes - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            code = fail(STATUS_NOMEM, "checkpoint: %s", strerror(errno));
    }
    if (!code)
        code = task_send_saved(j->socket, &r, fd);
    const int gone = code ? fd : *held;
    if (!code)
        *held = fd;
    if (gone >= 0)
        close(gone);
    return code;
}

int job_save(struct job *j, const void *data, size_t bytes, double progress)
{
    int held = -1;
    const int code = job_save_held(j, data, bytes, progress, &held);
    if (held >= 0)
        close(held);
    return code;
}

int job_hand(struct job *j, int output, int fd, const char *line)
{
    struct task_reply r = {.magic = TASK_MAGIC, .event = TASK_HANDED, .id = j->request->id, .output = (uint32_t)output};
    snprintf(r.message, sizeof r.message, "%s", line);
    return task_send_saved(j->socket, &r, fd);
}

size_t job_resume_bytes(const struct job *j)
{
    struct stat s;
    const int fd = j->fds[TASK_FD_CHECKPOINT];
    return (j->request->flags & TASK_RESUME) && fd >= 0 && fstat(fd, &s) == 0 ? (size_t)s.st_size : 0;
}

bool job_resume(const struct job *j, void *data, size_t bytes)
{
    return bytes && job_resume_bytes(j) == bytes && pread(j->fds[TASK_FD_CHECKPOINT], data, bytes, 0) == (ssize_t)bytes;
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

int job_write_at(int fd, const void *data, size_t bytes, uint64_t at)
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

void job_ran_on_device(struct job *j, const char *operation, const char *precision)
{
    j->stages.operations[0] = '\0';
    if (!operation)
        return;
    snprintf(j->stages.operations, sizeof j->stages.operations, "%s/%s", operation, precision);
    j->stages.copy_in_s = j->stages.compute_s = j->stages.copy_out_s = NAN;
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
