/* What the supervisor does for an item of kind `train`: it makes the model's folder, opens the file for the model and
 * the one that states are kept in, and in the end gives the model its name. Whoever holds the states' lock trains that
 * name; the lock goes with the descriptor to the child, so that one that was given up keeps it as long as it lives. */
#include "item.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MODEL_FILE[] = "model.safetensors", STATES_FILE[] = "states";

struct item_training {
    char *states_path;
    int states;
};

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

static int open_states(struct item_training *t)
{
    t->states = open(t->states_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t->states < 0)
        return fail(STATUS_IO, "cannot open %.200s: %s", t->states_path, strerror(errno));
    if (flock(t->states, LOCK_EX | LOCK_NB) == 0)
        return STATUS_OK;
    return errno == EWOULDBLOCK ? fail(STATUS_ARGUMENT, "%.200s: this model is being trained already", t->states_path)
                                : fail(STATUS_IO, "cannot lock %.200s: %s", t->states_path, strerror(errno));
}

int training_open(struct item *it)
{
    struct kind_train_item m;
    char folder[LIMIT_PATH + 1];
    int code = wire_decode(&kind_train_item_schema, it->params, it->params_bytes, &m);
    if (code)
        return code;
    wire_copy(m.out, folder, sizeof folder);
    if (memchr(m.out.data, 0, m.out.bytes) || folder[0] != '/')
        return fail(STATUS_ARGUMENT, "train: '%.80s' is no folder that a model can be put in", folder);
    struct item_training *const t = calloc(1, sizeof *t);
    if (!t)
        return fail(STATUS_NOMEM, "out of memory");
    t->states = -1;
    it->training = t;
    if (asprintf(&t->states_path, "%s/%s", folder, STATES_FILE) < 0) {
        t->states_path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    if (asprintf(&it->array.path, "%s/%s", folder, MODEL_FILE) < 0) {
        it->array.path = NULL;
        return fail(STATUS_NOMEM, "out of memory");
    }
    code = make_folder(folder);
    code = code ? code : open_states(t);
    return code ? code : output_file_open(&it->array, it->token);
}

void training_give(const struct item *it, struct task_request *r, int fds[TASK_FDS_MOST])
{
    fds[TASK_FDS + r->extra] = it->training->states;
    r->role[r->extra++] = TASK_ROLE_SLOTS;
}

/* The states have done their work; the name of the model stands first, so that a crash between costs nothing. */
int training_settle(struct item *it)
{
    const int code = output_file_settle(&it->array);
    if (!code && unlink(it->training->states_path) && errno != ENOENT)
        return fail(STATUS_IO, "cannot remove %.200s: %s", it->training->states_path, strerror(errno));
    return code;
}

void training_release(struct item *it)
{
    if (!it->training)
        return;
    item_close(&it->training->states);
    free(it->training->states_path);
    free(it->training);
    it->training = NULL;
    free(it->array.path);
    it->array.path = NULL;
}
