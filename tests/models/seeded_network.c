#include "seeded_network.h"

#include "safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_MOST = 2048, NAME = 128, HEADER_MOST = 1 << 20, TEXT = 1024 };

struct seeded {
    struct htdemucs_config c;
    uint64_t seed;
    size_t count;
    struct safetensors_view view[TENSORS_MOST];
    char name[TENSORS_MOST][NAME];
};

struct htdemucs_config seeded_config(enum seeded_size size, int stems)
{
    static const char *const names[] = {"drums", "bass", "other", "vocals", "guitar", "piano"};
    const bool tiny = size == SEEDED_TINY, full = size == SEEDED_FULL, six = stems == 6;
    struct htdemucs_config c = {.stems = six ? 6 : 4,
                                .rate_hz = 44100,
                                .segment = tiny   ? 1000
                                           : full ? 343980
                                                  : 26460,
                                .channels = full  ? 48
                                            : six ? 12
                                                  : 8,
                                .growth = 2,
                                .depth = tiny ? 2 : 4,
                                .n_fft = tiny ? 128 : 4096,
                                .compress = 8,
                                .dconv_mode = 3,
                                .dconv_depth = 2,
                                .bottom = six    ? 0
                                          : full ? 512
                                          : tiny ? 32
                                                 : 64,
                                .layers = tiny ? 2 : 5,
                                .heads = full  ? 8
                                         : six ? 2
                                               : 1,
                                .frequency_weight = 2,
                                .max_period = 10000};
    int64_t width = c.channels;
    for (int64_t i = 1; i < c.depth; i++)
        width *= c.growth;
    c.hidden = 4 * (c.bottom ? c.bottom : width);
    for (int i = 0; i < c.stems; i++)
        memcpy(c.stem[i], names[i], strlen(names[i]) + 1);
    return c;
}

/* splitmix64 by position: its top 24 bits in [-1, 1). */
static float draw(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (float)(int32_t)(z >> 40) / 8388608.0F - 1;
}

void seeded_noise(uint64_t seed, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = draw(seed, i);
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* Middle and deviation of a tensor's elements: as PyTorch and demucs begin (whose convolutions are taken nearer to a
 * deviation of 0.1), vectors moved a little, so that none of them is all zeros or ones. */
static void spread_of(const struct safetensors_view *v, double *middle, double *deviation)
{
    double in = 1;
    for (int i = 1; i < v->rank; i++)
        in *= (double)v->shape[i];
    *middle = 0;
    if (v->rank == 1) {
        const bool scale = ends_with(v->name, "scale");
        *middle = scale ? 0.5 : ends_with(v->name, "weight") ? 1 : 0; /* gains of norms are called weights */
        *deviation = scale ? 0.1 : 0.05;
    } else if (ends_with(v->name, "embedding.weight")) {
        *deviation = 0.1;
    } else if (ends_with(v->name, "in_proj_weight")) {
        *deviation = sqrt(2 / (in + (double)v->shape[0]));
    } else {
        const double plain = 1 / sqrt(3 * in);
        *deviation = v->rank == 2 ? plain : sqrt(0.1 * plain);
    }
}

static int add_tensor(void *context, const char *tensor, int rank, const int64_t *shape)
{
    struct seeded *const s = context;
    struct safetensors_view *const v = &s->view[s->count];
    double middle, deviation;
    if (s->count == TENSORS_MOST || strlen(tensor) >= NAME)
        return fail(STATUS_INTERNAL, "seeded: tensor %s: too many, or too long a name", tensor);
    memcpy(s->name[s->count], tensor, strlen(tensor) + 1);
    *v = (struct safetensors_view){.name = s->name[s->count], .dtype = SAFETENSORS_F32, .rank = rank};
    memcpy(v->shape, shape, (size_t)rank * sizeof *shape);
    if (!safetensors_measure(v, &v->count, &v->bytes))
        return fail(STATUS_INTERNAL, "seeded: tensor %s: its shape", tensor);
    float *const data = calloc(v->count, sizeof *data);
    if (!data)
        return fail(STATUS_NOMEM, "seeded: out of memory");
    v->data = data;
    s->count++;
    spread_of(v, &middle, &deviation);
    seeded_noise(s->seed ^ (s->count * UINT64_C(0xd1342543de82ef95)), v->count, data);
    for (uint64_t i = 0; i < v->count; i++)
        data[i] = (float)(middle + deviation * 1.7320508 * (double)data[i]); /* uniform: deviation sqrt(1/3) */
    return STATUS_OK;
}

int seeded_create(const struct htdemucs_config *c, uint64_t seed, struct exec *ex, struct seeded **out)
{
    struct seeded *s = calloc(1, sizeof *s);
    if (!s)
        return fail(STATUS_NOMEM, "seeded: out of memory");
    s->c = *c;
    s->seed = seed;
    const int code = htdemucs_tensors(c, ex, &(struct htdemucs_visitor){add_tensor, s});
    if (code)
        seeded_destroy(&s);
    else
        *out = s;
    return code;
}

void seeded_destroy(struct seeded **s)
{
    for (size_t i = 0; *s && i < (*s)->count; i++)
        free((void *)(uintptr_t)(*s)->view[i].data);
    free(*s);
    *s = NULL;
}

int seeded_load(const struct seeded *s, enum precision precision, struct exec *ex, struct htdemucs **out)
{
    return htdemucs_make(&s->c, s->view, s->count, "seeded", precision, ex, out);
}

int seeded_network(enum seeded_size size, struct exec *ex, struct htdemucs **out)
{
    const struct htdemucs_config c = seeded_config(size, 4);
    struct seeded *s = NULL;
    int code = seeded_create(&c, 1, ex, &s);
    code = code ? code : seeded_load(s, PRECISION_F32, ex, out);
    seeded_destroy(&s);
    return code;
}

/* ---- as a file: written by hand, where there is no library for JSON ---- */

/* Arguments of demucs' class, their quotes escaped: the whole stands in a text. */
static int write_arguments(const struct htdemucs_config *c, char *out, size_t size)
{
    char names[TEXT] = "";
    for (int i = 0; i < c->stems; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s\\\"%s\\\"", i ? ", " : "", c->stem[i]);
    return snprintf(out, size,
                    "{\\\"sources\\\": [%s], \\\"channels\\\": %lld, \\\"growth\\\": %lld, \\\"depth\\\": %lld, "
                    "\\\"nfft\\\": %lld, \\\"norm_starts\\\": %lld, \\\"dconv_mode\\\": %lld, \\\"dconv_depth\\\": "
                    "%lld, \\\"dconv_comp\\\": %lld, \\\"bottom_channels\\\": %lld, \\\"t_layers\\\": %lld, "
                    "\\\"t_heads\\\": %lld, \\\"segment\\\": {\\\"_type\\\": \\\"fraction\\\", \\\"numerator\\\": "
                    "%lld, \\\"denominator\\\": %lld}}",
                    names, (long long)c->channels, (long long)c->growth, (long long)c->depth, (long long)c->n_fft,
                    (long long)c->depth, (long long)c->dconv_mode, (long long)c->dconv_depth, (long long)c->compress,
                    (long long)c->bottom, (long long)c->layers, (long long)c->heads, (long long)c->segment,
                    (long long)c->rate_hz);
}

static size_t write_header(const struct seeded *s, char *out)
{
    char arguments[2 * TEXT];
    uint64_t at = 0;
    write_arguments(&s->c, arguments, sizeof arguments);
    size_t used = (size_t)snprintf(out, HEADER_MOST,
                                   "{\"__metadata__\":{\"klass\":\"demucs.htdemucs.HTDemucs\",\"args\":\"[]\","
                                   "\"kwargs\":\"%s\"}",
                                   arguments);
    for (size_t i = 0; i < s->count; i++) {
        const struct safetensors_view *const v = &s->view[i];
        used += (size_t)snprintf(out + used, HEADER_MOST - used, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", v->name);
        for (int k = 0; k < v->rank; k++)
            used += (size_t)snprintf(out + used, HEADER_MOST - used, k ? ",%lld" : "%lld", (long long)v->shape[k]);
        used += (size_t)snprintf(out + used, HEADER_MOST - used, "],\"data_offsets\":[%llu,%llu]}",
                                 (unsigned long long)at, (unsigned long long)(at + v->bytes));
        at += v->bytes;
    }
    out[used++] = '}';
    while (used % 8)
        out[used++] = ' ';
    return used;
}

int seeded_write(const struct seeded *s, const char *path)
{
    char *const header = malloc(HEADER_MOST + 16);
    FILE *const out = header ? fopen(path, "wb") : NULL;
    bool written = out != NULL;
    if (out) {
        const uint64_t length = write_header(s, header);
        written = fwrite(&length, sizeof length, 1, out) == 1 && fwrite(header, length, 1, out) == 1;
        for (size_t i = 0; i < s->count && written; i++)
            written = fwrite(s->view[i].data, s->view[i].bytes, 1, out) == 1;
        written = fclose(out) == 0 && written;
    }
    free(header);
    return written ? STATUS_OK : fail(STATUS_IO, "seeded: cannot write %s", path);
}
