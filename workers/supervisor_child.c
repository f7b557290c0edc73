/* The supervisor towards its compute child: dispatch, signs of life, death. */
#include "log.h"
#include "supervisor_state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WATCH_MS = 50, QUICK_DEATH_MS = 1000, QUICK_DEATHS_MOST = 5, BEGIN_MS = 100 };

int child_side_start(struct supervisor *s)
{
    s->child_started_ms = supervisor_now_ms();
    s->child_spoke_ms = 0;
    s->lost_why[0] = '\0';
    return child_start(&s->child, &(struct child_options){.program = s->options->compute,
                                                          .threads = s->options->threads,
                                                          .device = s->options->device,
                                                          .device_limit = s->options->device_limit,
                                                          .memory_bytes = s->options->memory_bytes});
}

static int open_ffmpeg(struct supervisor *s, struct item *it)
{
    if (!s->ffmpeg)
        return fail(
            STATUS_UNSUPPORTED,
            "%.150s; the `ffmpeg` program may read it, but it is not installed (Debian: apt-get install ffmpeg)",
            it->reply.message);
    return it->ffmpeg.pid ? STATUS_OK : ffmpeg_start(&it->ffmpeg, s->ffmpeg, it->input, it->path);
}

static int send_item(struct supervisor *s, struct item *it)
{
    struct task_request r = {.magic = TASK_MAGIC,
                             .kind = it->lease->task,
                             .flags = (it->wants_ffmpeg ? (uint32_t)TASK_STREAM : 0) |
                                      (it->checkpoint_fd >= 0 ? (uint32_t)TASK_RESUME : 0),
                             .progress = it->resumed,
                             .params_bytes = it->lease->params_bytes,
                             .item_params_bytes = it->params_bytes,
                             .id = it->token};
    /* A noop has no input, and many have no array; the place in the row of descriptors is taken by the result once
     * more. */
    const int input = it->wants_ffmpeg ? it->ffmpeg.output : it->input >= 0 ? it->input : it->result_fd;
    const int array = it->array.fd < 0 && it->checkpoint_fd >= 0 ? it->result_fd : it->array.fd;
    int fds[TASK_FDS_MOST] = {input, it->result_fd, array, it->checkpoint_fd};
    if (it->separation)
        separation_give(it, &r, fds);
    if (it->track)
        track_give(it, &r, fds);
    if (it->training)
        training_give(it, &r, fds);
    const void *const params = it->clips        ? clips_give(it, &r, fds)
                               : it->separation ? (const void *)&it->separation->plan
                                                : it->params;
    return task_send_request(s->child.socket, &r, it->lease->params, params, fds);
}

static void leave_queue(struct supervisor *s, struct item *it)
{
    struct item **at = &s->queue;
    while (*at != it)
        at = &(*at)->next;
    *at = it->next;
    it->next = NULL;
    it->queued = false;
}

void child_side_prefer(struct supervisor *s, struct item *it, int64_t priority)
{
    const bool queued = it->queued;
    if (queued)
        leave_queue(s, it);
    it->priority = priority;
    if (queued)
        supervisor_enqueue(s, it, false);
}

void child_side_drop(struct supervisor *s, struct item *it)
{
    leave_queue(s, it);
    it->stage = STAGE_OVER;
    item_release(it);
    supervisor_item_over(s, it);
}

/* Takes the first item of the queue; true when it was sent or is over. */
static bool dispatch_one(struct supervisor *s)
{
    struct item *it = s->queue;
    if (!it)
        return false;
    if (!it->aborted && (s->alone_runs || (it->alone && s->running) || s->running >= s->most_running))
        return false;
    s->queue = it->next;
    it->next = NULL;
    it->queued = false;
    int code = STATUS_OK;
    if (it->aborted) { /* while it waited for an equal one */
        it->stage = STAGE_OVER;
    } else if (it->wants_ffmpeg && (code = open_ffmpeg(s, it))) {
        item_fail(it, code);
    } else if (send_item(s, it)) { /* its socket is full, or it has just died, which we shall hear */
        supervisor_enqueue(s, it, true);
        return false;
    } else {
        it->stage = STAGE_RUNNING;
        if (it->anew[0])
            item_log_warn(&it->log, it->anew);
        it->anew[0] = '\0';
        it->started = it->waits = false;
        it->started_ms = it->sign_ms = supervisor_now_ms();
        s->running++;
        s->alone_runs = it->alone;
        return true;
    }
    item_release(it);
    supervisor_item_over(s, it);
    return true;
}

void child_side_dispatch(struct supervisor *s)
{
    while (s->child.pid > 0 && dispatch_one(s))
        ;
}

/* ---- room for what is more important ---- */

/* The most important item that would begin if another made room: here, with the child while all of its threads are
 * busy, or on one of them. */
static struct item *find_urgent(struct supervisor *s)
{
    const int64_t now = supervisor_now_ms();
    struct item *const head = s->queue;
    int busy = 0;
    EACH_ITEM (s, lease, it)
        busy += it->stage == STAGE_RUNNING && it->started;
    const bool no_place = s->alone_runs || s->running >= s->most_running || (head && head->alone && s->running);
    struct item *best = no_place ? head : NULL;
    EACH_ITEM (s, l, it) {
        const int64_t since = it->started_ms > s->child_spoke_ms ? it->started_ms : s->child_spoke_ms;
        const bool waits =
            it->started ? it->waits : busy >= s->options->threads && s->child_spoke_ms && now - since >= BEGIN_MS;
        if (it->stage == STAGE_RUNNING && waits && (!best || best->priority < it->priority))
            best = it;
    }
    return best;
}

/* It loses little when it is stopped: it goes on from what it saved last, in its folder or with the scheduler. */
static bool goes_on_later(const struct item *it)
{
    return (it->training && !it->lease->to_objects) || it->saved;
}

void child_side_make_room(struct supervisor *s)
{
    struct item *const urgent = s->child.pid > 0 && s->engaged ? find_urgent(s) : NULL;
    struct item *least = NULL;
    if (!urgent)
        return;
    EACH_ITEM (s, l, it)
        if (it->stage == STAGE_RUNNING && it->started && !it->aborted && goes_on_later(it) &&
            it->priority < urgent->priority &&
            (!least || it->priority < least->priority ||
             (it->priority == least->priority && it->started_ms > least->started_ms)))
            least = it;
    if (!least)
        return;
    urgent->got_room = true;
    uplink_give_back(s, least);
}

static struct item *find_running(struct supervisor *s, uint64_t id)
{
    EACH_ITEM (s, l, it)
        if (it->stage == STAGE_RUNNING && it->token == id)
            return it;
    return NULL;
}

static void no_longer_running(struct supervisor *s, struct item *it)
{
    s->running--;
    if (it->alone)
        s->alone_runs = false;
}

/* libsndfile does not know the format: once more, through ffmpeg. */
static void try_ffmpeg(struct supervisor *s, struct item *it)
{
    it->wants_ffmpeg = true;
    snprintf(it->refusal, sizeof it->refusal, "%s", it->reply.message);
    if (ftruncate(it->result_fd, 0) || (it->array.fd >= 0 && ftruncate(it->array.fd, 0)))
        log_warn("cannot empty an item's outputs");
    it->stage = STAGE_WAITING;
    supervisor_enqueue(s, it, true);
}

/* When the child dies for another item's sake, this one goes on from here. */
static void keep_checkpoint(struct item *it, int fd, double progress)
{
    const int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (kept < 0)
        return; /* it begins where it began before: time is lost, nothing else */
    item_close(&it->checkpoint_fd);
    it->checkpoint_fd = kept;
    it->resumed = progress;
}

static void on_reply(struct supervisor *s, const struct task_reply *r, int fd)
{
    struct item *it = find_running(s, r->id);
    if (it && r->event == TASK_SAVED && fd >= 0 && !it->aborted) {
        keep_checkpoint(it, fd, r->progress);
        saving_begin(s, it, fd, r->progress);
    } else if (it && r->event == TASK_HANDED && fd >= 0 && !it->aborted) {
        handed_take(s, it, r, fd);
    } else if (fd >= 0)
        close(fd);
    if (!it)
        return;
    it->sign_ms = supervisor_now_ms();
    s->child_spoke_ms = s->child_spoke_ms ? s->child_spoke_ms : it->sign_ms;
    it->waits = r->event == TASK_PROGRESS && r->waits;
    if (r->event == TASK_STARTED) {
        it->started = true;
        it->started_ms = it->sign_ms;
        return;
    }
    if (r->event == TASK_HANDED)
        return;
    if (r->event == TASK_PROGRESS || r->event == TASK_SAVED) {
        it->progress = it->puts.wanted ? STEMS_MADE * r->progress : r->progress;
        if (it->separation && r->event == TASK_SAVED)
            it->separation->saved = true;
        if (it->training &&
            it->alone) { /* it may last for days, and has not crashed at once: others may run beside it */
            it->alone = false;
            s->alone_runs = false;
        }
        return;
    }
    if (r->event == TASK_FAILED && r->code == STATUS_DEVICE) { /* the child ends now; who is to blame is seen then */
        snprintf(s->lost_why, sizeof s->lost_why, "%s", r->message);
        return;
    }
    child_side_logs(s); /* what it wrote before it said so */
    it->seconds = r->seconds;
    it->reply = *r;
    no_longer_running(s, it);
    if (r->event == TASK_FAILED && r->wants_ffmpeg && !it->wants_ffmpeg && !it->aborted) {
        try_ffmpeg(s, it);
        return;
    }
    it->stage = STAGE_FINISHING;
    it->work.run = item_finish;
    if (!handed_is_under_way(s, it)) /* else when that is done */
        supervisor_submit(s, it);
}

void child_side_receive(struct supervisor *s)
{
    struct task_reply r;
    int fd;
    for (int i = 0; i < 256 && s->child.pid > 0; i++) {
        const int code = task_receive_reply(s->child.socket, &r, &fd);
        if (code == STATUS_TIMEOUT)
            return;
        if (code) {
            child_side_died(s);
            return;
        }
        on_reply(s, &r, fd);
    }
}

/* Ends the child, says why in `why`; true when it had lost its device. */
static bool end_child(struct supervisor *s, int suspects, int *exit_code, char why[TASK_MESSAGE])
{
    char how[96] = "";
    const bool ours = s->killed_for[0] != '\0';
    *exit_code = child_end(&s->child, ours ? NULL : how, sizeof how);
    const bool lost = !ours && *exit_code == TASK_EXIT_DEVICE;
    if (lost)
        snprintf(why, TASK_MESSAGE, "the device was lost: %.280s", s->lost_why[0] ? s->lost_why : "at the start");
    else
        snprintf(why, TASK_MESSAGE, "the compute process was %s", ours ? s->killed_for : how);
    if (!ours)
        log_warn("%s; %d items had been begun", why, suspects);
    return lost;
}

/* Another child, unless the last ones ended before they did anything: those that say by their exit code that they could
 * not start may have taken their time with a device. */
static void start_again(struct supervisor *s, bool idle, int exit_code, const char *why)
{
    const bool quick = exit_code > 0 || supervisor_now_ms() - s->child_started_ms < QUICK_DEATH_MS;
    s->quick_deaths = quick && idle ? s->quick_deaths + 1 : 0;
    if (s->quick_deaths >= QUICK_DEATHS_MOST) {
        log_error("the compute child cannot be started: %s", why);
        s->stop = true;
    } else if (child_side_start(s)) {
        log_error("the compute child cannot be started: %s", status_message());
        s->stop = true;
    }
}

/* Everything that the child had not begun goes back into the queue as it was. What it had begun is suspect: a single
 * suspect is guilty, several are tried again one by one. The same with a lost device: of all that ran on it each gets
 * to hear of the loss, not only whoever caused it. */
void child_side_died(struct supervisor *s)
{
    char why[TASK_MESSAGE];
    int suspects = 0, exit_code;
    EACH_ITEM (s, l, it)
        suspects += it->stage == STAGE_RUNNING && it->started && !it->aborted;
    child_side_logs(s); /* its last words, while it is known what ran */
    const bool cancelled = strstr(s->killed_for, "cancelled") != NULL;
    const bool lost = end_child(s, suspects, &exit_code, why);
    EACH_ITEM (s, l, it) {
        if (it->stage != STAGE_RUNNING)
            continue;
        no_longer_running(s, it);
        const int ended = ffmpeg_end(&it->ffmpeg, false);
        (void)ended; /* it lost its reader */
        it->stage = STAGE_WAITING;
        if (it->aborted || (suspects == 1 && it->started && !cancelled)) {
            item_fail(it, fail(lost ? STATUS_DEVICE : STATUS_INTERNAL, "%s", why));
            it->failure = lost ? FAILURE_DEVICE : FAILURE_CRASH;
            item_release(it);
            supervisor_item_over(s, it);
            continue;
        }
        it->alone = it->alone || (it->started && !cancelled);
        supervisor_enqueue(s, it, true);
    }
    s->killed_for[0] = '\0';
    start_again(s, suspects == 0 && !cancelled, exit_code, why);
}

void child_side_watch(struct supervisor *s)
{
    const int64_t now = supervisor_now_ms();
    if (now < s->next_watch_ms || s->child.pid <= 0)
        return;
    s->next_watch_ms = now + WATCH_MS;
    const size_t resident = child_resident_bytes(s->child.pid);
    if (resident > s->options->memory_bytes) {
        snprintf(s->killed_for, sizeof s->killed_for, "stopped at its limit of %zu MiB of memory",
                 s->options->memory_bytes >> 20);
        log_warn("the compute process has %zu MiB resident: killed", resident >> 20);
        child_side_died(s);
        return;
    }
    EACH_ITEM (s, l, it)
        if (it->stage == STAGE_RUNNING && it->started && now - it->sign_ms > s->options->stall_ms) {
            /* The hung item is known: it alone is to blame. */
            EACH_ITEM (s, other_lease, other)
                if (other != it && other->stage == STAGE_RUNNING)
                    other->started = false;
            snprintf(s->killed_for, sizeof s->killed_for, "stopped after %lld s without progress",
                     (long long)(s->options->stall_ms / 1000));
            log_warn("an item makes no progress: the compute process is killed");
            child_side_died(s);
            return;
        }
}
