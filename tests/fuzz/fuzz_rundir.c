/* The run folder's scheduler.lock, which an earlier scheduler, an editor or a full disk may have left in any state.
 *
 *   input        the clock u32 (in units of 65,536 ms; below the year 2043), then the file's bytes
 *   properties   the folder is refused, or the epoch is one that a queue takes, above the one in the file; the file
 *                then holds this process and that epoch, and the next scheduler's is larger */
#include "fuzz.h"
#include "queue.h"
#include "rundir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[300], lock[320];

static void write_lock(struct wire_slice s)
{
    if (!folder[0]) {
        struct rundir r;
        snprintf(folder, sizeof folder, "%s/run", fuzz_folder());
        snprintf(lock, sizeof lock, "%s/scheduler.lock", folder);
        FUZZ_CHECK(rundir_open(folder, 0, &r) == STATUS_OK);
        rundir_close(&r);
    }
    const int fd = open(lock, O_WRONLY | O_TRUNC | O_CLOEXEC);
    FUZZ_CHECK(fd >= 0 && write(fd, s.data, s.bytes) == (ssize_t)s.bytes && close(fd) == 0);
}

/* The second line of a file as it should be; 0: it is none. */
static uint64_t epoch_in(struct wire_slice s)
{
    char text[64];
    unsigned long long epoch = 0;
    wire_copy(s, text, sizeof text);
    const size_t first = strspn(text, "0123456789");
    if (s.bytes >= sizeof text || !first || first > 9 || text[first] != '\n')
        return 0;
    const char *const second = text + first + 1;
    const size_t digits = strspn(second, "0123456789");
    if (!digits || digits > 19 || strcmp(second + digits, "\n") != 0)
        return 0;
    epoch = strtoull(second, NULL, 10);
    return epoch;
}

static void check_queue(uint64_t epoch)
{
    struct queue *q = NULL;
    FUZZ_CHECK(queue_create(&(struct queue_options){.epoch = epoch, .lease_ms = 1000}, &q) == STATUS_OK);
    queue_destroy(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, bytes};
    struct rundir r, next;
    const int64_t unix_ms = (int64_t)(fuzz_number(&in, 4) % (33u << 20)) << 16;
    const struct wire_slice text = fuzz_rest(&in);
    write_lock(text);
    if (rundir_open(folder, unix_ms, &r))
        return 0;
    FUZZ_CHECK(r.epoch > epoch_in(text) && r.epoch >= rundir_epoch_at(unix_ms));
    check_queue(r.epoch);
    FUZZ_CHECK(rundir_open(folder, unix_ms, &next) == STATUS_BUSY);
    rundir_close(&r);
    const uint64_t last = r.epoch;
    if (rundir_open(folder, 0, &next) == STATUS_OK) { /* with a clock that went back */
        FUZZ_CHECK(next.epoch > last);
        check_queue(next.epoch);
        rundir_close(&next);
        fuzz_accept();
    }
    return 0;
}

void fuzz_seeds(void)
{
    fuzz_seed("new", "\0\0\x9d\1", 4);
    fuzz_seed("old",
              "\0\0\x9d\1"
              "12345\n4711\n",
              15);
    fuzz_seed("cut",
              "\0\0\x9d\1"
              "123",
              7);
}
