/* job - one task of the compute child: decodes and computes one item, writes its result map (and array).
 *
 * A job_KIND function gets an open task and fills the reply; it opens nothing, and returns a status code whose class
 * the queue acts on. After STATUS_DEVICE the process ends: nothing that holds the device is of use any more. */
#ifndef JOB_H
#define JOB_H
#include "exec.h"
#include "offload.h"
#include "rate.h"
#include "task.h"
#include "wire.h"

struct job {
    const struct task_request *request;
    const uint8_t *params, *item_params;
    int fds[TASK_FDS_MOST];
    int socket;                /* for signs of life */
    struct exec *exec;         /* of the widest instruction set, until job_use_isa */
    struct exec **by_isa;      /* [ISA_AVX512 + 1], this thread's; made when first used */
    struct networks *networks; /* shared by all threads */
    struct offload *offload;   /* the way to the worker's device; NULL on the CPU */
    double decode_s;           /* spent in decoding */
    struct offload_stages stages;
    struct task_reply *reply;
    int64_t last_beat_ms;
};

int job_analyze(struct job *j) MUST_USE;
int job_features(struct job *j) MUST_USE;
int job_inspect(struct job *j) MUST_USE;
int job_noop(struct job *j) MUST_USE;
int job_separate(struct job *j) MUST_USE;
int job_score(struct job *j) MUST_USE;
int job_separate_clips(struct job *j) MUST_USE;
int job_train(struct job *j) MUST_USE;

/* Tells the supervisor, at most every 200 ms, that the item is alive. */
void job_beat(struct job *j, double progress);
/* The same, and that it has done nothing yet, since it waits for memory or its turn. */
void job_waits(struct job *j, double progress);

/* Saves what another attempt of this item can go on from; the bytes are the kind's own. Not waited for: the newest that
 * has reached the scheduler counts. */
int job_save(struct job *j, const void *data, size_t bytes, double progress) MUST_USE;

/* The same, and *held, -1 or of a call before, becomes a descriptor of what was saved, for the caller to read from and
 * to close. On a failure it stays what it was. */
int job_save_held(struct job *j, const void *data, size_t bytes, double progress, int *held) MUST_USE;

/* Gives the supervisor what the kind's file `output` is to hold for now: `fd`, a memfd that is not touched again and
 * stays the caller's to close. The newest counts. line: for the item's log when it is there, "" for none. */
int job_hand(struct job *j, int output, int fd, const char *line) MUST_USE;

/* What an earlier attempt saved: false when there is nothing, or not exactly so many bytes. */
bool job_resume(const struct job *j, void *data, size_t bytes);
size_t job_resume_bytes(const struct job *j); /* 0: nothing was saved */

/* Computes with the instruction set that the parameters name; nothing named: as before. */
int job_use_isa(struct job *j, struct wire_slice name) MUST_USE;

/* How much of a file is decoded at once: more for a device. */
int64_t job_block_samples(const struct job *j);

/* The method that the parameters name; nothing named: polyphase. */
int job_rate_method(struct wire_slice name, enum rate_method *out) MUST_USE;

struct audio;

/* Opens the task's input: a file, or the stream that ffmpeg writes. */
int job_open_audio(struct job *j, struct audio **out) MUST_USE;

/* What the result says of where it was computed; nobody took the time of each stage. NULL: on the CPU, after all. */
void job_ran_on_device(struct job *j, const char *operation, const char *precision);

/* All of it, from byte `at` of the task's array on. */
int job_write_at(int fd, const void *data, size_t bytes, uint64_t at) MUST_USE;

/* Writes the encoded result map into the task's memfd. */
int job_write_result(struct job *j, const struct wire_schema *schema, const void *result) MUST_USE;

/* What a result says of the audio and of this build; `warnings` needs to live until the result is written. */
struct kind_provenance;
int job_provenance(struct job *j, const struct audio *a, struct wire_buffer *warnings,
                   struct kind_provenance *out) MUST_USE;

#endif
