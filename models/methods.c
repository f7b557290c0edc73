#include "methods.h"

#include "htdemucs.h"
#include "precision.h"
#include "safetensors.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct method methods[] = {
    {.name = "hpss", .stems = 3, .stem = {"harmonic", "percussive", "residual"}},
    {.name = "center", .stems = 2, .stem = {"center", "sides"}},
    {.name = "htdemucs", .is_network = true, .rate_hz = 44100},
};

enum { METHODS = sizeof methods / sizeof *methods, LIST_BYTES = 240 };

const struct method *method_find(const char *name)
{
    for (int i = 0; i < METHODS; i++)
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

/* "a, b, c", cut where there is no room for more. */
static void add_name(char list[LIST_BYTES], const char *name)
{
    const size_t n = strlen(list);
    if (n + strlen(name) + 8 < LIST_BYTES)
        snprintf(list + n, LIST_BYTES - n, "%s%s", n ? ", " : "", name);
    else if (n + 5 < LIST_BYTES && (n < 3 || strcmp(list + n - 3, "...") != 0))
        snprintf(list + n, LIST_BYTES - n, " ...");
}

static int add_installed(void *list, const char *name, const json_t *model)
{
    if (model)
        add_name(list, name);
    return STATUS_OK;
}

static int no_such_model(const char *home, const char *text)
{
    char list[LIST_BYTES] = "";
    for (int i = 0; i < METHODS; i++)
        if (!methods[i].is_network)
            add_name(list, methods[i].name);
    const int code = library_each(home, add_installed, list);
    return code ? code : fail(STATUS_NOT_FOUND, "there is no model '%.64s' here; there are %s", text, list);
}

static int resolve_network(const char *home, const char *text, struct method_model *out)
{
    static const char ending[] = ".safetensors";
    struct library_model *const l = &out->library;
    const bool is_name = library_is_name(text);
    int code = library_resolve(home, text, l);
    if (code == STATUS_NOT_FOUND || (code == STATUS_ARGUMENT && !is_name))
        return strchr(text, '/') ? code : no_such_model(home, text);
    if (code)
        return code;
    out->method = method_find(l->kind);
    if (!out->method || !out->method->is_network)
        return fail(STATUS_UNSUPPORTED, "model %.64s is of kind '%s', which this version cannot run", text, l->kind);
    const size_t n = strlen(l->name), e = sizeof ending - 1;
    snprintf(out->name, sizeof out->name, "%.*s", (int)(n > e && strcmp(l->name + n - e, ending) == 0 ? n - e : n),
             l->name);
    if (!library_is_name(out->name))
        return fail(STATUS_ARGUMENT, "%.200s: '%s' cannot be the name of a folder for its stems", text, out->name);
    out->stems = l->stems;
    for (int i = 0; i < l->stems; i++)
        snprintf(out->stem[i], sizeof out->stem[i], "%s", l->stem[i]);
    return STATUS_OK;
}

int method_resolve(const char *home, const char *text, struct method_model *out)
{
    *out = (struct method_model){.method = method_find(text)};
    if (!out->method || out->method->is_network)
        return resolve_network(home, text, out);
    snprintf(out->name, sizeof out->name, "%s", text);
    out->stems = out->method->stems;
    for (int i = 0; i < out->stems; i++)
        snprintf(out->stem[i], sizeof out->stem[i], "%s", out->method->stem[i]);
    return STATUS_OK;
}

int method_check(const struct method_model *m, const struct method_options *o)
{
    const bool asks = isfinite(o->overlap) || isfinite(o->segment_s) || o->shifts || o->seed || o->precision;
    enum precision precision;
    if (asks && !m->method->is_network)
        return fail(STATUS_ARGUMENT,
                    "%s has neither overlap, segment nor shifts, nor a precision: these are for networks", m->name);
    return o->precision ? precision_parse(o->precision, &precision) : STATUS_OK;
}

static int no_such_stem(const struct method_model *m, const char *name)
{
    char list[LIST_BYTES] = "";
    for (int i = 0; i < m->stems; i++)
        add_name(list, m->stem[i]);
    return fail(STATUS_ARGUMENT, "%.80s has no stem '%.64s'; there are %s", m->name, name, list);
}

static int find_stem(const struct method_model *m, const char *name)
{
    for (int i = 0; i < m->stems; i++)
        if (strcmp(m->stem[i], name) == 0)
            return i;
    return -1;
}

int method_outputs(const struct method_model *m, const char *const *wanted, int count, const char *two_stems,
                   struct method_output out[BAG_STEMS_MOST], int *outputs)
{
    const uint32_t all = (1U << m->stems) - 1;
    uint32_t chosen = count ? 0 : all;
    *outputs = 0;
    if (two_stems && count)
        return fail(STATUS_ARGUMENT, "a choice of stems and two stems do not go together");
    for (int i = 0; i < count; i++) {
        const int k = find_stem(m, wanted[i]);
        if (k < 0)
            return no_such_stem(m, wanted[i]);
        chosen |= 1U << k;
    }
    if (!two_stems) {
        for (int k = 0; k < m->stems; k++)
            if (chosen >> k & 1) {
                out[*outputs].stems = 1U << k;
                snprintf(out[(*outputs)++].name, sizeof out->name, "%s", m->stem[k]);
            }
        return STATUS_OK;
    }
    const int k = find_stem(m, two_stems);
    if (k < 0)
        return no_such_stem(m, two_stems);
    if (m->stems < 2)
        return fail(STATUS_ARGUMENT, "%.80s has a single stem, %s: there is no rest", m->name, two_stems);
    snprintf(out[0].name, sizeof out->name, "%s", two_stems);
    snprintf(out[1].name, sizeof out->name, "no_%s", two_stems);
    out[0].stems = 1U << k;
    out[1].stems = all & ~(1U << k);
    *outputs = 2;
    return STATUS_OK;
}

static bool counts(const struct method_model *m, int network, const struct method_output *output, int outputs)
{
    for (int o = 0; o < outputs; o++)
        for (int s = 0; s < m->stems; s++)
            if ((output[o].stems >> s & 1) && m->library.network[network].weight[s] != 0)
                return true;
    return false;
}

/* What one file's weights take at most, and a segment. */
static int network_bytes(const char *path, size_t *weights, size_t *segment)
{
    struct stat s;
    struct htdemucs_config c;
    struct safetensors *file = NULL;
    int code = stat(path, &s) ? fail(STATUS_IO, "%s: %s", path, strerror(errno)) : safetensors_open_path(path, &file);
    if (code)
        return code;
    const char *const kwargs = safetensors_metadata(file, "kwargs");
    code = kwargs ? htdemucs_config_parse(kwargs, path, &c) : fail(STATUS_FORMAT, "%s: no kwargs", path);
    safetensors_close(&file);
    if (code)
        return code;
    *weights = htdemucs_bytes_at_most((size_t)s.st_size);
    *segment = htdemucs_room_bytes(&c, 1);
    return STATUS_OK;
}

int method_device_bytes(const struct method_model *m, const struct method_output *output, int outputs, uint64_t *out)
{
    uint64_t all = 0;
    size_t weights, segment, most = 0;
    for (int i = 0; i < m->library.networks; i++) {
        char path[PATHS_MAX + LIBRARY_FILE_MOST + 2];
        if (!counts(m, i, output, outputs))
            continue;
        library_path(&m->library, i, path, sizeof path);
        const int code = network_bytes(path, &weights, &segment);
        if (code)
            return code;
        all += weights;
        most = segment > most ? segment : most;
    }
    *out = all + most;
    return STATUS_OK;
}
