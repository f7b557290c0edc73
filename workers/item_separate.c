/* What the supervisor does for an item of kind `separate`: it finds the model, makes OUT/MODEL/TRACK, opens the spool,
 * a file for each signal and the networks for the child, and in the end gives the files their names, or leaves nothing.
 */
#include "item.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const char SPOOL_BEGINS[] = ".wavemill-", SPOOL_ENDS[] = ".part";

static int read_place(struct item *it, struct item_separation *s)
{
    struct kind_separate_item place;
    char out[LIMIT_PATH + 1];
    const int code = wire_decode(&kind_separate_item_schema, it->params, it->params_bytes, &place);
    if (code)
        return code;
    wire_copy(place.out, out, sizeof out);
    wire_copy(place.track, s->track, sizeof s->track);
    if (!stem_folder_is_name(place.track))
        return fail(STATUS_ARGUMENT, "cannot write to '%.200s': the track's name is no name of a folder", s->track);
    if (place.out.bytes == 0)
        return stems_folder(it, s);
    if (it->lease->to_objects)
        return fail(STATUS_ARGUMENT, "cannot write to '%.200s': stems of this kind are objects", out);
    return stem_folder_make(&s->folder, s->plan.model, place.out, place.track);
}

/* ---- the spool ---- */

/* What items left that were given up when nobody was there to see it: nobody holds it, nobody wrote to it for a day. */
static void sweep_spools(const char *folder)
{
    enum { DAY_S = 24 * 3600 };
    DIR *const d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        const size_t n = strlen(e->d_name), ends = sizeof SPOOL_ENDS - 1;
        struct stat now;
        if (strncmp(e->d_name, SPOOL_BEGINS, sizeof SPOOL_BEGINS - 1) != 0 || n < ends ||
            strcmp(e->d_name + n - ends, SPOOL_ENDS) != 0)
            continue;
        const int fd = openat(dirfd(d), e->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &now) == 0 && S_ISREG(now.st_mode) && time(NULL) - now.st_mtime > DAY_S &&
            flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dirfd(d), e->d_name, 0) == 0)
            log_warn("%s/%s was left and has been removed", folder, e->d_name);
        if (fd >= 0)
            close(fd);
    }
    if (d)
        closedir(d);
}

static int spool_failed(const char *path)
{
    const int e = errno;
    return fail(e == EACCES || e == EPERM || e == EROFS || e == ENAMETOOLONG || e == ELOOP ? STATUS_ARGUMENT
                                                                                           : STATUS_IO,
                "cannot write %s: %s", path, strerror(e));
}

/* Whoever holds the lock on it has it alone, and so does the child that gets the descriptor. A worker that has been
 * given up may still be at it: then it keeps its file, without the name, and another one gets that. */
static int open_spool(struct item *it, struct item_separation *s)
{
    enum { FLAGS = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };
    if (asprintf(&s->spool_path, "%s/%s%llu-%llu%s", s->folder.path, SPOOL_BEGINS, (unsigned long long)it->job,
                 (unsigned long long)it->index, SPOOL_ENDS) < 0) {
        s->spool_path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    s->spool = open(s->spool_path, FLAGS, 0600);
    if (s->spool >= 0 && flock(s->spool, LOCK_EX | LOCK_NB)) {
        item_close(&s->spool);
        if (unlink(s->spool_path) == 0)
            s->spool = open(s->spool_path, FLAGS | O_EXCL, 0600);
        if (s->spool >= 0 && flock(s->spool, LOCK_EX | LOCK_NB))
            item_close(&s->spool);
    }
    return s->spool >= 0 ? STATUS_OK : spool_failed(s->spool_path);
}

static void remove_spool(const struct item_separation *s)
{
    struct stat ours, named;
    if (s->spool_path && s->spool >= 0 && fstat(s->spool, &ours) == 0 && lstat(s->spool_path, &named) == 0 &&
        ours.st_dev == named.st_dev && ours.st_ino == named.st_ino) /* else it is another worker's by now */
        unlink(s->spool_path);
}

/* ---- all that a child gets ---- */

int separation_open(struct item *it)
{
    struct separate_settings settings;
    struct item_separation *const s = calloc(1, sizeof *s);
    struct method_model *const model = malloc(sizeof *model);
    if (!s || !model) {
        free(s);
        free(model);
        return fail(STATUS_NOMEM, "out of memory");
    }
    s->spool = -1;
    s->folder = stem_folder_none();
    for (int i = 0; i < BAG_NETWORKS_MOST; i++)
        s->weights[i] = -1;
    it->separation = s;
    int code = params_separate(it->lease->params, it->lease->params_bytes, &settings);
    code = code ? code : stems_plan(it, s, &settings, model);
    code = code ? code : read_place(it, s);
    if (!code) {
        sweep_spools(s->folder.path);
        code = open_spool(it, s);
    }
    if (!code)
        code = stem_folder_open(&s->folder, &s->plan, &settings.format, s->to_objects ? "wavemill-" : "", it->token);
    code = code ? code : plan_open_weights(&s->plan, model, s->weights);
    free(model);
    return code;
}

static void give(struct task_request *r, int fds[TASK_FDS_MOST], enum task_role role, int fd)
{
    fds[TASK_FDS + r->extra] = fd;
    r->role[r->extra++] = (uint8_t)role;
}

void separation_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST])
{
    const struct item_separation *const s = it->separation;
    r->item_params_bytes = sizeof s->plan;
    give(r, fds, TASK_ROLE_SPOOL, s->spool);
    for (int o = 0; o < s->plan.outputs; o++)
        give(r, fds, TASK_ROLE_OUTPUT, s->folder.output[o].fd);
    for (int i = 0; i < s->plan.networks; i++)
        give(r, fds, TASK_ROLE_WEIGHTS, s->weights[i]);
}

int separation_settle(struct item *it)
{
    struct item_separation *const s = it->separation;
    return s->to_objects ? stems_name(it) : stem_folder_settle(&s->folder);
}

/* Another attempt can use the spool only with a checkpoint, and there may be one only if this one ended as if by
 * itself: the child died, or the worker ends. */
static bool may_go_on(const struct item *it)
{
    const bool saved = it->has_checkpoint || it->separation->saved;
    const bool died = it->failure == FAILURE_CRASH || it->failure == FAILURE_DEVICE;
    return saved && (!it->aborted || it->yields) && !it->separation->folder.whole &&
           (it->stage != STAGE_OVER || died || it->yields);
}

void separation_release(struct item *it)
{
    struct item_separation *const s = it->separation;
    if (!s)
        return;
    if (!may_go_on(it))
        remove_spool(s);
    item_close(&s->spool);
    stem_folder_drop(&s->folder);
    for (int i = 0; i < BAG_NETWORKS_MOST; i++)
        item_close(&s->weights[i]);
    free(s->spool_path);
    free(s);
    it->separation = NULL;
}
