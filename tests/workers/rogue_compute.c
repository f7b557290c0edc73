/* rogue_compute - a compute child that misbehaves: WAVEMILL_ROGUE says how. For test_supervisor. */
#include "task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TASK_SOCKET = 3 };

static _Alignas(16) char buffer[sizeof(struct task_request) + TASK_PARAMS_MAX];

int main(void)
{
    const char *how = getenv("WAVEMILL_ROGUE");
    const struct task_request *r;
    const uint8_t *params;
    int fds[TASK_FDS_MOST], i = 0;
    while (how && task_receive_request(TASK_SOCKET, buffer, &r, &params, fds) == STATUS_OK) {
        struct task_reply reply = {.magic = TASK_MAGIC, .event = TASK_STARTED, .id = r->id};
        int code = task_send_reply(TASK_SOCKET, &reply);
        if (strcmp(how, "garbage") == 0 && i++ == 0)
            code = send(TASK_SOCKET, "garbage", 7, MSG_NOSIGNAL) == 7 ? code : STATUS_IO;
        if (strcmp(how, "progress") == 0) {
            static const double values[] = {INFINITY, NAN, -3, 1e300};
            reply.event = TASK_PROGRESS;
            for (; i < 4 && !code; i++) {
                reply.progress = values[i];
                code = task_send_reply(TASK_SOCKET, &reply);
                usleep(300000);
            }
            reply.progress = 0.5;
            code = code ? code : task_send_reply(TASK_SOCKET, &reply);
            pause();
        }
        if (strcmp(how, "stranger") == 0) { /* answers for an item that it does not have */
            reply.event = TASK_DONE;
            reply.id = r->id + 1000;
            code = task_send_reply(TASK_SOCKET, &reply);
        }
        reply.event = TASK_DONE;
        reply.id = r->id;
        reply.result_bytes = strcmp(how, "large") == 0 ? UINT32_MAX : 1;
        code = code || pwrite(fds[TASK_FD_RESULT], "\x80", 1, 0) != 1;
        if (code || task_send_reply(TASK_SOCKET, &reply))
            return 1;
        for (int k = 0; k < TASK_FDS_MOST; k++)
            if (fds[k] >= 0)
                close(fds[k]);
    }
    return 3;
}
