/* task - what a supervisor and its compute child say to each other over a SOCK_SEQPACKET pair.
 *
 * Both are programs of one build, so messages are C structs; TASK_MAGIC catches a mismatch. A request carries
 * descriptors: the input (or a pipe of decoded audio), a memfd for the result map, and for features a file for the
 * array. The child opens nothing. Each of its threads receives on the socket by itself, so a request goes to whoever is
 * free.
 *
 *   errors    STATUS_IO: the other side is gone or the system refuses; STATUS_FORMAT: not a message of this build */
#ifndef TASK_H
#define TASK_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TASK_MAGIC = 0x574d5401, TASK_PARAMS_MAX = 80 << 10, TASK_FDS = 3, TASK_MESSAGE = 320 };

enum task_kind { TASK_ANALYZE = 1, TASK_FEATURES = 2, TASK_NOOP = 3 };
enum task_flag { TASK_STREAM = 1 /* the input is a pipe from ffmpeg */ };
enum task_fd { TASK_FD_INPUT = 0, TASK_FD_RESULT = 1, TASK_FD_ARRAY = 2 };

struct task_request {
    uint32_t magic, kind, flags;
    uint32_t params_bytes, item_params_bytes; /* both behind the struct, in this order */
    uint64_t id;
};

enum task_event {
    TASK_STARTED = 1,  /* from now on a crash may be this item's fault */
    TASK_PROGRESS = 2, /* `progress` 0 to 1, or only a sign of life */
    TASK_DONE = 3,     /* result_bytes of result map are in the memfd */
    TASK_FAILED = 4    /* code, message; with STATUS_DEVICE the child ends right after it */
};

/* The child's exit code when its device is lost; others are those of a program that cannot start. */
enum { TASK_EXIT_DEVICE = 6 };

struct task_reply {
    uint32_t magic, event;
    uint64_t id;
    int32_t code; /* enum status */
    bool wants_ffmpeg;
    uint32_t result_bytes;
    uint32_t dtype, bins; /* of the array */
    uint64_t frames;
    double progress, seconds; /* seconds: of the whole task */
    char message[TASK_MESSAGE];
};

int task_send_request(int socket, const struct task_request *request, const void *params, const void *item_params,
                      const int fds[TASK_FDS]) MUST_USE; /* -1 for what is not there; STATUS_BUSY: would block */

/* Waits. *request and params stay valid until the next call with the same buffer of TASK_PARAMS_MAX + the struct's
 * bytes; the caller closes the descriptors. STATUS_NOT_FOUND at the end of the conversation. */
int task_receive_request(int socket, void *buffer, const struct task_request **request, const uint8_t **params,
                         int fds[TASK_FDS]) MUST_USE;

int task_send_reply(int socket, const struct task_reply *reply) MUST_USE;
int task_receive_reply(int socket, struct task_reply *reply) MUST_USE; /* STATUS_TIMEOUT: nothing there now */

#endif
