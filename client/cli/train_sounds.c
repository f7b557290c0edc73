#include "train_sounds.h"

#include "train_pack.h"
#include "vae_fit.h"

#include <stdlib.h>
#include <string.h>

double train_seconds_of(const struct dataset *d)
{
    double seconds = 0;
    for (size_t i = 0; i < d->count; i++)
        seconds += d->files[i].duration_s;
    return seconds;
}

const char *train_preset_for(const struct dataset *d)
{
    const double seconds = train_seconds_of(d);
    return d->count < 120 && seconds < 300 ? "tiny" : seconds < 4 * 3600 ? "small" : "medium";
}

/* A pack's labels are short, and text. */
static const char *label_of(const struct dataset_file *f)
{
    const size_t n = strlen(f->label);
    return n < PACK_LABEL && wire_is_utf8(f->label, n) ? f->label : "";
}

static int list_files(const struct dataset *d, struct train_pack_file **out, char **memory)
{
    struct train_pack_file *const files = calloc(d->count + 1, sizeof *files);
    char(*const paths)[PATHS_MAX + 128] = calloc(d->count + 1, sizeof *paths);
    int code = files && paths ? STATUS_OK : fail(STATUS_NOMEM, "out of memory");
    for (size_t i = 0; i < d->count && !code; i++) {
        code = dataset_path(d, i, paths[i], sizeof paths[i]);
        files[i] = (struct train_pack_file){.path = paths[i],
                                            .hash = d->files[i].hash,
                                            .part = d->files[i].validation ? PACK_VALIDATION : PACK_TRAIN,
                                            .label = label_of(&d->files[i])};
    }
    *out = files;
    *memory = (char *)paths;
    return code;
}

int train_sounds_pack(const struct common *c, const char *command, const char *home, const struct dataset *d,
                      const char *preset, char *out, size_t capacity)
{
    struct train_pack t = {0};
    struct train_pack_file *files = NULL;
    struct vae_fit_options o;
    struct progress p;
    char *memory = NULL, stage[48];
    int code = vae_fit_preset(preset, &o);
    code = code ? code : list_files(d, &files, &memory);
    code = code ? code : cli_connect_for_work(c, &t.client);
    snprintf(stage, sizeof stage, "%s: decoding", command);
    progress_init(&p, c->progress, stage);
    t.progress = &p;
    if (!code)
        code = train_pack_make(&t, home, d->name, files, d->count, o.config.audio.rate_hz, out, capacity);
    progress_end(&p, t.decoded, d->count, code ? "failed" : "decoded");
    for (size_t i = 0; i < t.count && t.errors; i++)
        if (t.errors[i])
            fprintf(stderr, "wavemill %s: left out: %s: %s\n", command, d->files[i].name, t.errors[i]);
    train_pack_release(&t);
    client_close(&t.client);
    free(files);
    free(memory);
    return code;
}

int train_failed(const char *command, int code)
{
    const int exit_code = cli_failed(command, code);
    return code == STATUS_FORMAT || code == STATUS_DAMAGED ? EXIT_SOME_FAILED : exit_code;
}
