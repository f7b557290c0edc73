/* What the supervisor does for an item of kind `train`: it makes the model's folder, opens the file for the model and
 * the one that states are kept in, and in the end gives the model its name. Whoever holds the states' lock trains that
 * name; the lock goes with the descriptor to the child, so that one that was given up keeps it as long as it lives. */
#include "item.h"
#include "library.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char MODEL_FILE[] = "model.safetensors", STATES_FILE[] = "states", PREVIEWS_FOLDER[] = "previews";
static const char *const files[TRAIN_FILES] = {"config.json", "training.json", "metrics.jsonl", "previews/maps.npy"};
static const char *const kinds[TRAIN_PREVIEW_KINDS] = {"original", "reconstruction", "prior"};

enum { LOCK_TRIES = 100, LOCK_TRY_MS = 30 };

void training_file_name(int i, char out[LIMIT_TRAINED_NAME])
{
    const int preview = i - TRAIN_FILES;
    if (preview < 0)
        snprintf(out, LIMIT_TRAINED_NAME, "%s", files[i]);
    else
        snprintf(out, LIMIT_TRAINED_NAME, "%s/%d.%s.wav", PREVIEWS_FOLDER, preview / TRAIN_PREVIEW_KINDS,
                 kinds[preview % TRAIN_PREVIEW_KINDS]);
}

static int make_folder(const char *path)
{
    struct stat s;
    if (mkdir(path, 0777) && errno != EEXIST)
        return fail(errno == ENOENT || errno == EACCES || errno == ENOTDIR ? STATUS_ARGUMENT : STATUS_IO,
                    "cannot make %.200s: %s", path, strerror(errno));
    if (stat(path, &s) || !S_ISDIR(s.st_mode))
        return fail(STATUS_ARGUMENT, "%.200s is not a folder", path);
    return STATUS_OK;
}

/* Who holds the lock of a sweep's trial was given up, and will go: that is tried again. */
static int lock_failed(const char *path, bool of_sweep)
{
    return errno == EWOULDBLOCK
               ? fail(of_sweep ? STATUS_IO : STATUS_ARGUMENT, "%.200s: this model is being trained already", path)
               : fail(STATUS_IO, "cannot lock %.200s: %s", path, strerror(errno));
}

/* A child that was killed holds the lock for a moment after its socket has ended. */
static int open_states(struct item_training *t, bool of_sweep)
{
    t->states = open(t->states_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t->states < 0)
        return fail(STATUS_IO, "cannot open %.200s: %s", t->states_path, strerror(errno));
    for (int waited = 0; flock(t->states, LOCK_EX | LOCK_NB); waited++) {
        if (errno != EWOULDBLOCK || waited == LOCK_TRIES)
            return lock_failed(t->states_path, of_sweep);
        nanosleep(&(struct timespec){0, LOCK_TRY_MS * 1000000L}, NULL);
    }
    struct stat held, named;
    if (fstat(t->states, &held) || stat(t->states_path, &named) || held.st_ino != named.st_ino ||
        held.st_dev != named.st_dev) /* whoever had it has finished meanwhile, and removed it */
        return fail(STATUS_ARGUMENT, "%.200s: this model has just been finished", t->states_path);
    return STATUS_OK;
}

/* Whose folder it is: one of the library is not trained over. */
static int check_folder(const char *folder)
{
    char path[LIMIT_PATH + 32];
    snprintf(path, sizeof path, "%s/model.json", folder);
    return access(path, F_OK) ? STATUS_OK : fail(STATUS_ARGUMENT, "%.200s holds a model already", folder);
}

/* Path of a file that the child writes. */
static int name_file(const char *folder, int i, char **out)
{
    char name[LIMIT_TRAINED_NAME];
    training_file_name(i, name);
    if (asprintf(out, "%s/%s", folder, name) >= 0)
        return STATUS_OK;
    *out = NULL;
    return fail(STATUS_NOMEM, "out of memory");
}

static int open_files(struct item_training *t, const char *folder, uint64_t previews, uint64_t token)
{
    char sounds[LIMIT_PATH + 16];
    snprintf(sounds, sizeof sounds, "%s/%s", folder, PREVIEWS_FOLDER);
    const int wanted = TRAIN_FILES + TRAIN_PREVIEW_KINDS * (int)(previews ? previews : TRAIN_PREVIEWS);
    int code = make_folder(sounds);
    for (; t->files < wanted && !code; t->files += !code) {
        code = name_file(folder, t->files, &t->file[t->files].path);
        code = code ? code : output_file_open(&t->file[t->files], token);
    }
    return code;
}

bool training_has_folder(const struct item *it)
{
    struct kind_train_item m;
    if (it->lease->task == TASK_SWEEP)
        return true;
    return it->lease->task == TASK_TRAIN &&
           wire_decode(&kind_train_item_schema, it->params, it->params_bytes, &m) == STATUS_OK &&
           !training_is_remote(it, &m);
}

int training_open(struct item *it)
{
    struct kind_train_item m;
    char folder[LIMIT_PATH + 1];
    int code = wire_decode(&kind_train_item_schema, it->params, it->params_bytes, &m);
    if (code)
        return code;
    wire_copy(m.out, folder, sizeof folder);
    if (!training_is_remote(it, &m) && (memchr(m.out.data, 0, m.out.bytes) || folder[0] != '/'))
        return fail(STATUS_ARGUMENT, "train: '%.80s' is no folder that a model can be put in", folder);
    struct item_training *const t = calloc(1, sizeof *t);
    if (!t)
        return fail(STATUS_NOMEM, "out of memory");
    t->states = -1;
    for (int i = 0; i < TRAIN_FILES_MOST; i++)
        t->file[i].fd = -1;
    it->training = t;
    if (training_is_remote(it, &m))
        return training_open_remote(it, &m);
    if (asprintf(&t->states_path, "%s/%s", folder, STATES_FILE) < 0) {
        t->states_path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    if (asprintf(&it->array.path, "%s/%s", folder, MODEL_FILE) < 0) {
        it->array.path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    code = make_folder(folder);
    code = code ? code : check_folder(folder);
    code = code ? code : open_states(t, it->sweep != NULL);
    code = code ? code : open_files(t, folder, m.previews, it->token);
    return code ? code : output_file_open(&it->array, it->token);
}

/* A child before this one may have written into it, and moved its place. */
static void begin_file(int fd)
{
    if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET) != 0)
        log_warn("cannot empty an item's output: %s", strerror(errno));
}

void training_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST])
{
    if (it->training->states >= 0) {
        fds[TASK_FDS + r->extra] = it->training->states;
        r->role[r->extra++] = TASK_ROLE_SLOTS;
    }
    begin_file(it->array.fd);
    for (int i = 0; i < it->training->files; i++) {
        begin_file(it->training->file[i].fd);
        fds[TASK_FDS + r->extra] = it->training->file[i].fd;
        r->role[r->extra++] = TASK_ROLE_OUTPUT;
    }
}

/* On the disk before it has its name: the states go when all have theirs. */
static int settle_file(struct output_file *f)
{
    return fsync(f->fd) ? fail(STATUS_IO, "cannot write %.200s: %s", f->path, strerror(errno)) : output_file_settle(f);
}

static int enter_library(const struct item *it)
{
    struct kind_train_result r;
    char folder[LIMIT_PATH + 32];
    const int code = wire_decode(&kind_train_result_schema, it->result.data, it->result.bytes, &r);
    snprintf(folder, sizeof folder, "%s", it->array.path);
    *strrchr(folder, '/') = '\0';
    return code ? code : library_add_trained(folder, "spectral", r.parameters);
}

const char *training_path(const struct item *it, uint32_t output)
{
    const struct item_training *const t = it->training;
    return t && !it->puts.wanted && output < (uint32_t)t->files ? t->file[output].path : NULL;
}

/* A file that the child had nothing for stays without a name: there were fewer sounds than previews. The model is the
 * last of the files. */
int training_settle_files(struct item *it, bool has_model)
{
    struct item_training *const t = it->training;
    int code = STATUS_OK;
    for (int i = 0; i < t->files && !code; i++) {
        struct stat s;
        if (fstat(t->file[i].fd, &s))
            code = fail(STATUS_IO, "cannot look at %.200s: %s", t->file[i].path, strerror(errno));
        else if (s.st_size > 0)
            code = settle_file(&t->file[i]);
    }
    return code || !has_model ? code : settle_file(&it->array);
}

int training_forget_states(struct item *it)
{
    if (unlink(it->training->states_path) && errno != ENOENT)
        return fail(STATUS_IO, "cannot remove %.200s: %s", it->training->states_path, strerror(errno));
    return STATUS_OK;
}

/* The library is told when all files are there; then the states have done their work. */
int training_settle(struct item *it)
{
    if (it->puts.wanted)
        return training_name(it);
    int code = training_settle_files(it, true);
    code = code ? code : enter_library(it);
    return code ? code : training_forget_states(it);
}

void training_release(struct item *it)
{
    if (!it->training)
        return;
    item_close(&it->training->states);
    for (int i = 0; i < TRAIN_FILES_MOST; i++) {
        output_file_drop(&it->training->file[i]);
        free(it->training->file[i].path);
    }
    free(it->training->states_path);
    free(it->training);
    it->training = NULL;
    free(it->array.path);
    it->array.path = NULL;
}
