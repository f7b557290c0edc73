/* Removes objects that no job names: some folders a turn, by the times of their files. An object is touched when it is
 * put, when it is first read, and when a sweep finds it named; one that has not been for `keep` is looked for among the
 * jobs, and goes when it has not been for twice as long. So it stays for at least `keep` after the last job that named
 * it, and for at most twice that and the time between sweeps after its last use.
 *
 * A large checkpoint in whose place another came would fill the disk by then, since trainings save one after the other:
 * it is looked for after FOLLOWED_MS, and goes unless somebody has named or used it since. */
#include "broker_state.h"
#include "log.h"
#include "objects.h"
#include "paths.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOLDERS = 256, FOUND_MOST = 65536, PAUSE_MS = 3600 * 1000, ACTIONS_TURN = 256 };
enum { FOLLOWED_MOST = 256, FOLLOWED_MS = 60000, FOLLOWED_BYTES = 1 << 20 };

struct found {
    struct hash name;
    bool is_old, is_named;
};

struct sweep {
    char folder[PATHS_MAX];
    int64_t keep_ms, pause_ms, next_ms;
    int at; /* folder to look at next */
    struct found *found;
    uint32_t count, capacity, done;
    struct followed { /* a ring; what does not fit stays for its day */
        struct hash name;
        struct timespec since;
        int64_t due_ms;
    } followed[FOLLOWED_MOST];
    uint32_t first, waiting;
    int64_t followed_ms;
};

struct sweep *sweep_create(const char *folder, int64_t keep_ms)
{
    struct sweep *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    snprintf(s->folder, sizeof s->folder, "%s", folder);
    s->keep_ms = keep_ms;
    s->followed_ms = keep_ms / 8 < FOLLOWED_MS ? keep_ms / 8 : FOLLOWED_MS;
    s->pause_ms = keep_ms / 4 < PAUSE_MS ? keep_ms / 4 + 1 : PAUSE_MS;
    return s;
}

void sweep_destroy(struct sweep **s)
{
    if (*s)
        free((*s)->found);
    free(*s);
    *s = NULL;
}

int64_t sweep_next_ms(const struct sweep *s)
{
    const int64_t due_ms = s->waiting ? s->followed[s->first].due_ms : INT64_MAX;
    return due_ms < s->next_ms ? due_ms : s->next_ms;
}

void sweep_followed(struct sweep *s, const struct hash *name, int64_t now_ms)
{
    char path[PATHS_MAX + 128];
    struct stat now;
    objects_path(s->folder, name, path, sizeof path);
    if (s->waiting == FOLLOWED_MOST || stat(path, &now) || now.st_size < FOLLOWED_BYTES) /* small ones would fill it */
        return;
    struct followed *const f = &s->followed[(s->first + s->waiting++) % FOLLOWED_MOST];
    *f = (struct followed){.name = *name, .due_ms = now_ms + s->followed_ms};
    clock_gettime(CLOCK_REALTIME, &f->since);
}

static void note(struct sweep *s, const struct hash *name, bool is_old)
{
    if (s->count == FOUND_MOST)
        return; /* the next sweep sees the others */
    if (s->count == s->capacity) {
        const uint32_t capacity = s->capacity ? 2 * s->capacity : 64;
        struct found *grown = realloc(s->found, capacity * sizeof *grown);
        if (!grown)
            return;
        s->found = grown;
        s->capacity = capacity;
    }
    s->found[s->count++] = (struct found){.name = *name, .is_old = is_old};
}

static int64_t age_ms(const struct stat *s)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)(now.tv_sec - s->st_mtim.tv_sec) * 1000 + (now.tv_nsec - s->st_mtim.tv_nsec) / 1000000;
}

static void look_into(struct sweep *s, int folder)
{
    char path[PATHS_MAX + 8];
    snprintf(path, sizeof path, "%s/%02x", s->folder, (unsigned)folder);
    DIR *d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        struct hash name;
        if (hash_parse(e->d_name, &name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        const int64_t age = age_ms(&st);
        if (age >= s->keep_ms)
            note(s, &name, age >= 2 * s->keep_ms);
    }
    closedir(d);
}

static int by_name(const void *a, const void *b)
{
    return memcmp(((const struct found *)a)->name.bytes, ((const struct found *)b)->name.bytes, HASH_BYTES);
}

static void mark(void *context, const uint8_t hash[32])
{
    const struct sweep *s = context;
    struct found wanted;
    memcpy(wanted.name.bytes, hash, HASH_BYTES);
    struct found *f = bsearch(&wanted, s->found, s->count, sizeof wanted, by_name);
    if (f)
        f->is_named = true;
}

static void settle_one(const struct sweep *s, const struct found *f)
{
    char path[PATHS_MAX + 128];
    objects_path(s->folder, &f->name, path, sizeof path);
    struct stat now; /* it may have been used since the folder was read */
    if (f->is_named && objects_touch(s->folder, &f->name))
        log_warn("%s", status_message());
    else if (!f->is_named && f->is_old && stat(path, &now) == 0 && age_ms(&now) >= 2 * s->keep_ms)
        unlink(path);
}

/* The jobs are asked in the turn in which the first object goes, and for every turn anew: one may have been submitted
 * in between. */
static void settle(struct sweep *s, const struct broker *b)
{
    if (s->done == 0)
        qsort(s->found, s->count, sizeof *s->found, by_name);
    queue_each_object(b->queue, mark, s);
    for (int n = 0; n < ACTIONS_TURN && s->done < s->count; n++)
        settle_one(s, &s->found[s->done++]);
}

static void mark_followed(void *context, const uint8_t hash[32])
{
    struct found *const f = context;
    f->is_named |= memcmp(f->name.bytes, hash, HASH_BYTES) == 0;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static void settle_followed(struct sweep *s, const struct broker *b)
{
    const struct followed *const w = &s->followed[s->first];
    struct found f = {.name = w->name};
    char path[PATHS_MAX + 128];
    struct stat now;
    objects_path(s->folder, &f.name, path, sizeof path);
    s->first = (s->first + 1) % FOLLOWED_MOST;
    s->waiting--;
    if (stat(path, &now) || now.st_size < FOLLOWED_BYTES || is_later(&now.st_mtim, &w->since))
        return;
    queue_each_object(b->queue, mark_followed, &f);
    if (!f.is_named)
        unlink(path);
}

void sweep_work(struct sweep *s, const struct broker *b)
{
    if (s->waiting && b->now_ms >= s->followed[s->first].due_ms)
        settle_followed(s, b);
    if (b->now_ms < s->next_ms)
        return;
    if (s->at < FOLDERS) {
        for (int n = 0; n < 8 && s->at < FOLDERS; n++)
            look_into(s, s->at++);
        return;
    }
    if (s->done < s->count) {
        settle(s, b);
        return;
    }
    s->next_ms = b->now_ms + s->pause_ms;
    s->at = 0;
    s->count = s->done = 0;
}
