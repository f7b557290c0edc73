#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static int choose_outputs(const struct kind_separate_params *p, const struct method_model *m, struct plan *out)
{
    char text[LIMIT_STEMS][LIMIT_NAME + 1], two_stems[LIMIT_NAME + 1];
    const char *wanted[LIMIT_STEMS];
    struct wire_list list = p->stems;
    struct wire_slice name;
    int count = 0, outputs = 0;
    for (; count < LIMIT_STEMS && wire_next_str(&list, &name); count++) {
        wire_copy(name, text[count], sizeof text[count]);
        wanted[count] = text[count];
    }
    wire_copy(p->two_stems, two_stems, sizeof two_stems);
    const int code = method_outputs(m, wanted, count, *two_stems ? two_stems : NULL, out->output, &outputs);
    out->outputs = outputs;
    return code;
}

int plan_make(const char *home, const struct separate_settings *s, struct plan *out, struct method_model *model)
{
    const struct kind_separate_params *const p = &s->params;
    char name[LIMIT_PATH + 1];
    wire_copy(p->model, name, sizeof name);
    int code = method_resolve(home ? home : "", name, model);
    if (!code)
        code = method_check(model, &(struct method_options){p->overlap, p->segment_s, p->shifts, p->seed, NULL});
    if (code)
        return code;
    memset(out, 0, sizeof *out);
    snprintf(out->method, sizeof out->method, "%s", model->method->name);
    snprintf(out->model, sizeof out->model, "%s", model->name);
    out->stems = model->stems;
    memcpy(out->stem, model->stem, sizeof out->stem);
    out->networks = model->library.networks;
    out->segment_s = model->library.segment_s;
    for (int i = 0; i < out->networks; i++)
        memcpy(out->weight[i], model->library.network[i].weight, sizeof out->weight[i]);
    return choose_outputs(p, model, out);
}

int plan_open_weights(const struct plan *p, const struct method_model *m, int *fds)
{
    for (int i = 0; i < p->networks; i++) {
        char path[PATHS_MAX + LIBRARY_FILE_MOST + 2];
        library_path(&m->library, i, path, sizeof path);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fds[i] < 0)
            return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open the model's %s: %s", path,
                        strerror(errno));
    }
    return STATUS_OK;
}
