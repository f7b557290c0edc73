/* task - what a supervisor and its compute child say to each other over a SOCK_SEQPACKET pair.
 *
 * Both are programs of one build, so messages are C structs; TASK_MAGIC catches a mismatch. A request carries
 * descriptors: the input (or a pipe of decoded audio), a memfd for the result map, and for features a file for the
 * array; then what an earlier attempt saved, to go on from. Behind these come as many others as the kind needs, each
 * with its role. The child opens nothing. What it saves itself goes up as a descriptor of its own (a memfd) that it
 * does not touch again. Each of its threads receives on the socket by itself, so a request goes to whoever is free.
 *
 *   errors    STATUS_IO: the other side is gone or the system refuses; STATUS_FORMAT: not a message of this build */
#ifndef TASK_H
#define TASK_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TASK_MAGIC = 0x574d5404,
    TASK_PARAMS_MAX = 80 << 10,
    TASK_FDS = 4,     /* enum task_fd */
    TASK_EXTRA = 216, /* with roles, behind those: 32 clips with 5 stems each, and some; Linux passes 253 */
    TASK_FDS_MOST = TASK_FDS + TASK_EXTRA,
    TASK_MESSAGE = 320
};

enum task_kind {
    TASK_ANALYZE = 1,
    TASK_FEATURES = 2,
    TASK_NOOP = 3,
    TASK_SEPARATE = 4,
    TASK_SCORE = 5,
    TASK_SEPARATE_CLIPS = 6,
    TASK_INSPECT = 7,
    TASK_TRAIN = 8,
    TASK_SWEEP = 9 /* the child is told to train */
};
enum task_flag {
    TASK_STREAM = 1, /* the input is a pipe from ffmpeg */
    TASK_RESUME = 2  /* there is a checkpoint, of `progress` */
};
enum task_fd { TASK_FD_INPUT = 0, TASK_FD_RESULT = 1, TASK_FD_ARRAY = 2, TASK_FD_CHECKPOINT = 3 };
enum task_role {
    TASK_ROLE_SPOOL =
        1, /* separate: the mixture and the stems as they come, see spool.h; may hold an earlier attempt's */
    TASK_ROLE_OUTPUT =
        2, /* separate: a file for an encoded signal, in the plan's order; train: as item_train.c has them */
    TASK_ROLE_WEIGHTS = 3,   /* separate: a network's file, for reading, in the plan's order */
    TASK_ROLE_REFERENCE = 4, /* score: a true stem, in the item's order */
    TASK_ROLE_ESTIMATE = 5,  /* score: what it was estimated as */
    TASK_ROLE_CLIP = 6,      /* separate_clips: a file; its outputs are those of the clips in turn */
    TASK_ROLE_SLOTS = 7      /* train: where its states are kept, see slots.h */
};

/* Outputs of a training beside the model: its configuration, how it was trained, its curves, pictures of its sounds;
 * then previews of each sound. */
enum { TRAIN_CONFIG, TRAIN_HOW, TRAIN_METRICS, TRAIN_MAPS, TRAIN_FILES, TRAIN_PREVIEW_KINDS = 3 };

struct task_request {
    uint32_t magic, kind, flags;
    uint32_t params_bytes, item_params_bytes; /* both behind the struct, in this order */
    uint32_t extra;                           /* descriptors behind the TASK_FDS */
    uint8_t role[TASK_EXTRA];                 /* of each, enum task_role */
    uint64_t id;
    double progress; /* of the checkpoint */
};

enum task_event {
    TASK_STARTED = 1,  /* from now on a crash may be this item's fault */
    TASK_PROGRESS = 2, /* `progress` 0 to 1, or only a sign of life */
    TASK_DONE = 3,     /* result_bytes of result map are in the memfd */
    TASK_SAVED = 5,    /* with a descriptor: another attempt can go on from its bytes, which are of `progress` */
    TASK_HANDED = 6,   /* with a descriptor: what the file `output` is to hold for now; once it does, `message` is a
                          line of the item's log */
    TASK_FAILED = 4    /* code, message; with STATUS_DEVICE the child ends right after it */
};

/* The child's exit code when its device is lost; others are those of a program that cannot start. */
enum { TASK_EXIT_DEVICE = 6 };

struct task_reply {
    uint32_t magic, event;
    uint64_t id;
    int32_t code;          /* enum status */
    uint32_t wants_ffmpeg; /* not a bool: of those a child that was taken over could send one that is neither */
    uint32_t waits;        /* TASK_PROGRESS: for memory or its turn, and nothing is done yet */
    uint32_t result_bytes;
    uint32_t dtype, bins; /* of the array */
    uint32_t output;      /* of the files with TASK_ROLE_OUTPUT */
    uint64_t frames;
    double progress, seconds; /* seconds: of the whole task */
    char message[TASK_MESSAGE];
};

/* fds: the TASK_FDS, up to the first -1; from TASK_FDS on the extra ones, all there. STATUS_BUSY: would block. */
int task_send_request(int socket, const struct task_request *request, const void *params, const void *item_params,
                      const int fds[TASK_FDS_MOST]) MUST_USE;

/* Waits. *request and params stay valid until the next call with the same buffer of TASK_PARAMS_MAX + the struct's
 * bytes; the caller closes the descriptors, which lie as they were sent, -1 where there is none. STATUS_NOT_FOUND at
 * the end of the conversation. */
int task_receive_request(int socket, void *buffer, const struct task_request **request, const uint8_t **params,
                         int fds[TASK_FDS_MOST]) MUST_USE;

/* The n-th extra descriptor of a role; -1: there is none. */
int task_extra(const struct task_request *request, const int fds[TASK_FDS_MOST], enum task_role role, int n);

int task_send_reply(int socket, const struct task_reply *reply) MUST_USE;
int task_send_saved(int socket, const struct task_reply *reply, int fd) MUST_USE;

/* *fd gets the descriptor of TASK_SAVED or TASK_HANDED, which is then the caller's, else -1. STATUS_TIMEOUT: nothing
 * there now. */
int task_receive_reply(int socket, struct task_reply *reply, int *fd) MUST_USE;

#endif
