#include "training_states.h"

#include "log.h"
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* In a folder: so far apart that writing takes a fiftieth of the time, within these. */
enum { KEEP_LEAST_MS = 500, KEEP_MS = 5000, KEEP_PART = 50 };

/* What the queue gets of a state that is in its folder: that there is one, so that this attempt has brought something.
 */
static const char in_folder[] = "train: its states are in its folder\n";

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct training_states training_states_of(struct job *j)
{
    return (struct training_states){.job = j, .slots = task_extra(j->request, j->fds, TASK_ROLE_SLOTS, 0), .saved = -1};
}

void training_states_close(struct training_states *s)
{
    if (s->saved >= 0)
        close(s->saved);
    s->saved = -1;
}

/* What this attempt saved is nobody else's: it has the size that it was written with. */
static int read_saved(int fd, void **state, size_t *bytes)
{
    struct stat s;
    if (fstat(fd, &s))
        return fail(STATUS_IO, "the state saved last: %s", strerror(errno));
    const size_t there = (size_t)s.st_size;
    char *const read = malloc(there);
    if (!read)
        return fail(STATUS_NOMEM, "a state of %zu bytes", there);
    for (size_t done = 0; done < there;) {
        const ssize_t n = pread(fd, read + done, there - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            free(read);
            return fail(STATUS_DAMAGED, "the state saved last cannot be read");
        }
        done += (size_t)n;
    }
    *state = read;
    *bytes = there;
    return STATUS_OK;
}

int training_states_read(const struct training_states *s, void **state, size_t *bytes)
{
    if (s->slots >= 0)
        return slots_read(s->slots, state, bytes);
    if (s->saved >= 0)
        return read_saved(s->saved, state, bytes);
    const size_t there = job_resume_bytes(s->job);
    if (there == 0)
        return fail(STATUS_NOT_FOUND, "there is no state");
    void *const read = there <= STATE_CHECKPOINT_MOST ? malloc(there) : NULL;
    if (!read)
        return fail(STATUS_NOMEM, "a state of %zu bytes", there);
    if (!job_resume(s->job, read, there)) {
        free(read);
        return fail(STATUS_DAMAGED, "the checkpoint cannot be read");
    }
    *state = read;
    *bytes = there;
    return STATUS_OK;
}

static int64_t pause_ms(const struct training_states *s, size_t bytes)
{
    if (s->slots >= 0) {
        const int64_t by_time = s->took_ms * KEEP_PART;
        return by_time < KEEP_LEAST_MS ? KEEP_LEAST_MS : by_time < KEEP_MS ? by_time : KEEP_MS;
    }
    const int64_t by_size = (int64_t)(bytes >> 20) * 1000;
    return by_size > KEEP_MS ? by_size : KEEP_MS;
}

int training_states_keep(struct training_states *s, const void *state, size_t bytes, double progress, bool always)
{
    const int64_t now = now_ms();
    if (progress > 0 && !always && now - s->kept_ms < pause_ms(s, bytes))
        return STATUS_OK;
    if (s->slots < 0 && bytes > STATE_CHECKPOINT_MOST)
        return fail(STATUS_ARGUMENT,
                    "train: a state of this network has %zu MiB, as a checkpoint of the queue it may have %zu: "
                    "train it without --upload, on the scheduler's machine",
                    bytes >> 20, STATE_CHECKPOINT_MOST >> 20);
    s->kept_ms = now;
    int code =
        s->slots >= 0 ? slots_write(s->slots, state, bytes) : job_save_held(s->job, state, bytes, progress, &s->saved);
    s->took_ms = now_ms() - now;
    if (!code && s->slots >= 0 && progress > 0)
        code = job_save(s->job, in_folder, sizeof in_folder - 1, progress);
    if (code)
        log_warn("%s; training goes on, and %s", status_message(),
                 progress > 0 ? "would go on from the state before" : "would begin anew");
    return STATUS_OK;
}

bool training_states_begins_anew(const struct training_states *s, int code)
{
    return code == STATUS_FORMAT || code == STATUS_VERSION || code == STATUS_NOT_FOUND ||
           (s->slots < 0 && code == STATUS_ARGUMENT);
}
