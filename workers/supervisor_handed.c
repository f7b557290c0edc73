/* What the child hands over while its item still runs: the supervisor gives it the file's name, whole, over what stood
 * there. One write of an item is with the pool at a time; of what comes meanwhile the newest of each file waits. An
 * item ends after the last of its writes, so that none goes over what the item leaves. None is waited for to be on the
 * disk: what the item ends with is, and until then the next validation makes it again. */
#include "log.h"
#include "supervisor_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HANDED_BLOCK = 1 << 16 };
static const off_t HANDED_MOST = 64 << 20;              /* of one file */
static const uint64_t HANDED_TOKEN = UINT64_C(1) << 63; /* beside the file that the child itself writes */

struct handed_file {
    uint32_t output;
    int fd;
    char *path;
    char line[TASK_MESSAGE]; /* for the item's log, when it is there or if it is not */
    bool failed;
    struct handed_file *next; /* as they came */
};

struct handed {
    struct pool_work work;
    uint64_t token; /* of the item */
    bool submitted;
    struct handed_file *files;
    struct handed *next;
};

static void free_file(struct handed_file *f)
{
    close(f->fd);
    free(f->path);
    free(f);
}

static void drop(struct supervisor *s, struct handed *h)
{
    struct handed **at = &s->handed;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    while (h->files) {
        struct handed_file *const f = h->files;
        h->files = f->next;
        free_file(f);
    }
    free(h);
}

/* ---- pool ---- */

static int copy(int from, int to)
{
    struct stat s;
    uint8_t *const block = malloc(HANDED_BLOCK);
    int code = block ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    if (!code && (fstat(from, &s) || !S_ISREG(s.st_mode) || s.st_size > HANDED_MOST)) /* the child may be anybody's */
        code = fail(STATUS_FORMAT, "what was handed over is no file of up to %lld bytes", (long long)HANDED_MOST);
    for (off_t at = 0; !code && at < s.st_size;) {
        const ssize_t n = pread(from, block, HANDED_BLOCK, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || write(to, block, (size_t)n) != n)
            code = fail(STATUS_IO, "it cannot be written: %s", n == 0 ? "it became shorter" : strerror(errno));
        at += n;
    }
    free(block);
    return code;
}

static void write_file(struct handed_file *f, uint64_t token)
{
    struct output_file out = {.path = f->path, .fd = -1};
    int code = output_file_open(&out, token);
    code = code ? code : copy(f->fd, out.fd);
    code = code ? code : output_file_settle(&out);
    if (code)
        snprintf(f->line, sizeof f->line, "wavemill-worker: warn  %.150s: %.120s", f->path, status_message());
    f->failed = code != STATUS_OK;
    output_file_drop(&out);
}

static void write_files(struct pool_work *w)
{
    struct handed *const h = (struct handed *)((char *)w - offsetof(struct handed, work));
    for (struct handed_file *f = h->files; f; f = f->next)
        write_file(f, h->token | HANDED_TOKEN);
}

/* ---- the loop ---- */

static struct handed *find(const struct supervisor *s, uint64_t token, bool submitted)
{
    struct handed *h = s->handed;
    while (h && (h->token != token || h->submitted != submitted))
        h = h->next;
    return h;
}

static void submit(struct supervisor *s, struct handed *h)
{
    h->submitted = true;
    h->work.run = write_files;
    pool_submit(s->pool, &h->work);
}

static struct handed *waiting(struct supervisor *s, uint64_t token)
{
    struct handed *h = find(s, token, false);
    if (h || !(h = calloc(1, sizeof *h)))
        return h;
    *h = (struct handed){.token = token, .next = s->handed};
    s->handed = h;
    return h;
}

static struct handed_file *make_file(const char *path, const struct task_reply *r, int fd)
{
    struct handed_file *const f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->path = strdup(path);
    if (!f->path) {
        free(f);
        return NULL;
    }
    f->output = r->output;
    f->fd = fd;
    snprintf(f->line, sizeof f->line, "%s", r->message);
    return f;
}

/* The place behind the others; an older one of the same file, that was not begun with, goes. */
static struct handed_file **place_for(struct handed *h, uint32_t output)
{
    struct handed_file **at = &h->files;
    while (*at) {
        struct handed_file *const old = *at;
        if (old->output == output) {
            *at = old->next;
            free_file(old);
        } else {
            at = &old->next;
        }
    }
    return at;
}

static int add(struct supervisor *s, const struct item *it, const struct task_reply *r, int fd)
{
    const char *const path = training_path(it, r->output);
    if (!path)
        return fail(STATUS_FORMAT, "there is no file %u", r->output);
    struct handed *const h = waiting(s, it->token);
    struct handed_file **const at = h ? place_for(h, r->output) : NULL;
    if (at)
        *at = make_file(path, r, fd);
    return at && *at ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
}

void handed_take(struct supervisor *s, struct item *it, const struct task_reply *r, int fd)
{
    if (add(s, it, r, fd)) {
        log_warn("what a training hands over is not kept: %s", status_message());
        close(fd);
    }
    struct handed *const h = find(s, it->token, false);
    if (h && !find(s, it->token, true))
        submit(s, h);
}

bool handed_is_under_way(const struct supervisor *s, const struct item *it)
{
    return find(s, it->token, true) != NULL;
}

bool handed_is_work(const struct pool_work *w)
{
    return w->run == write_files;
}

void handed_written(struct supervisor *s, struct pool_work *w)
{
    struct handed *const h = (struct handed *)((char *)w - offsetof(struct handed, work));
    const uint64_t token = h->token;
    struct item *const it = supervisor_find(s, token);
    for (const struct handed_file *f = h->files; f; f = f->next) {
        if (f->failed)
            log_warn("%s", f->line);
        if (it && f->line[0])
            item_log_add(&it->log, f->line, strlen(f->line));
    }
    drop(s, h);
    struct handed *const after = find(s, token, false);
    if (after && it && !it->over)
        submit(s, after);
    else if (after)
        drop(s, after);
    if (it && it->stage == STAGE_FINISHING && !it->with_pool && !handed_is_under_way(s, it))
        supervisor_submit(s, it);
}

void handed_end(struct supervisor *s)
{
    while (s->handed)
        drop(s, s->handed);
}
