#include "vae_examples.h"

#include "exec.h"
#include "ops.h"
#include "philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_ORDER = 8, ROWS_MOST = VAE_BATCH_MOST };

/* Where a plain example begins. */
struct place {
    int64_t sound, from;
};

struct vae_examples {
    struct vae_config c;
    struct augment_params change;
    uint64_t seed;
    const struct vae_sound *sounds;
    int64_t *train, *validation, *order; /* indexes of sounds; order: of train, in that of `epoch` */
    int64_t trains, validations;
    struct place *places[2]; /* of plain examples: of those to train on, of those for validation */
    int64_t place_count[2];
    uint64_t epoch;
    bool ordered;
    struct exec *ex;
    int64_t samples; /* of an example */
    float *cut;      /* [ROWS_MOST][samples] */
    int64_t offset[ROWS_MOST + 1], frame_offset[ROWS_MOST + 1];
};

struct spectral_params vae_examples_spectral(const struct vae_config *c)
{
    const struct vae_audio *const a = &c->audio;
    struct spectral_params p = spectral_defaults((double)a->rate_hz);
    p.stft.frame = (struct frame_params){a->n_fft, a->hop, true};
    p.mel.mels = (int32_t)c->mels;
    p.mel.fmin_hz = a->low_hz;
    p.mel.fmax_hz = a->high_hz;
    p.mel.log = true;
    return p;
}

/* Those that there are, and which of them are for what. */
static int sort_out(struct vae_examples *e, const struct vae_sound *sounds, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (sounds[i].count <= 0)
            continue;
        if (sounds[i].validation)
            e->validation[e->validations++] = i;
        else
            e->train[e->trains++] = i;
    }
    if (e->trains + e->validations == 0)
        return fail(STATUS_ARGUMENT, "there is no sound to learn from");
    if (e->trains == 0 || e->validations == 0) { /* all for both */
        int64_t *const from = e->trains ? e->train : e->validation, *const to = e->trains ? e->validation : e->train;
        const int64_t n = e->trains + e->validations;
        memcpy(to, from, (size_t)n * sizeof *to);
        e->trains = e->validations = n;
    }
    return STATUS_OK;
}

/* Beginnings of so many places, evenly from a sound's beginning to where the last example ends with it. */
static int64_t parts_of(const struct vae_examples *e, int64_t sound)
{
    const int64_t parts = (e->sounds[sound].count + e->samples - 1) / e->samples;
    return parts < 1 ? 1 : parts < VAE_PARTS_MOST ? parts : VAE_PARTS_MOST;
}

/* All beginnings first, then what follows of those that are longer. */
static int find_places(struct vae_examples *e, bool validation)
{
    const int64_t *const sounds = validation ? e->validation : e->train;
    const int64_t n = validation ? e->validations : e->trains;
    struct place *const p = malloc((size_t)(n * VAE_PARTS_MOST) * sizeof *p);
    int64_t count = 0;
    if (!p)
        return fail(STATUS_NOMEM, "examples of %lld sounds: out of memory", (long long)n);
    for (int64_t part = 0; part < VAE_PARTS_MOST; part++)
        for (int64_t i = 0; i < n; i++) {
            const int64_t parts = parts_of(e, sounds[i]), left = e->sounds[sounds[i]].count - e->samples;
            if (part < parts)
                p[count++] = (struct place){sounds[i], part ? left * part / (parts - 1) : 0};
        }
    e->places[validation] = p;
    e->place_count[validation] = count;
    return STATUS_OK;
}

int vae_examples_open(const struct vae_config *config, const struct augment_params *change, uint64_t seed,
                      const struct vae_sound *sounds, int64_t count, struct exec *ex, struct vae_examples **out)
{
    *out = NULL;
    const int checked = vae_config_check(config);
    if (checked)
        return checked;
    struct vae_examples *e = calloc(1, sizeof *e);
    if (!e)
        return fail(STATUS_NOMEM, "examples: out of memory");
    const size_t indexes = (size_t)(count > 0 ? count : 1) * sizeof(int64_t);
    e->c = *config;
    e->seed = seed;
    e->sounds = sounds;
    e->ex = ex;
    e->samples = (config->frames - 1) * config->audio.hop;
    e->samples = e->samples > 0 ? e->samples : 1;
    e->change = *change;
    e->change.samples = e->samples;
    e->train = malloc(indexes);
    e->validation = malloc(indexes);
    e->order = malloc(indexes);
    e->cut = malloc((size_t)(ROWS_MOST * e->samples) * sizeof *e->cut);
    for (int64_t i = 0; i <= ROWS_MOST; i++) {
        e->offset[i] = i * e->samples;
        e->frame_offset[i] = i * config->frames;
    }
    int code = e->train && e->validation && e->order && e->cut
                   ? STATUS_OK
                   : fail(STATUS_NOMEM, "examples of %lld sounds: out of memory", (long long)count);
    code = code ? code : sort_out(e, sounds, count);
    code = code ? code : find_places(e, false);
    code = code ? code : find_places(e, true);
    if (code)
        vae_examples_close(&e);
    *out = e;
    return code;
}

void vae_examples_close(struct vae_examples **e)
{
    if (!*e)
        return;
    free((*e)->train);
    free((*e)->validation);
    free((*e)->order);
    free((*e)->places[0]);
    free((*e)->places[1]);
    free((*e)->cut);
    free(*e);
    *e = NULL;
}

int64_t vae_examples_training(const struct vae_examples *e)
{
    return e->trains;
}

int64_t vae_examples_validation(const struct vae_examples *e)
{
    return e->validations;
}

int64_t vae_examples_plains(const struct vae_examples *e, bool validation)
{
    return e->place_count[validation];
}

void vae_examples_standardise(struct vae_examples *e, const struct vae_audio *audio)
{
    e->c.audio = *audio;
}

/* The spectrograms of the first rows of cut. */
static int transform(struct vae_examples *e, int64_t rows, float *out)
{
    const struct spectral_params p = vae_examples_spectral(&e->c);
    const struct vae_audio *const a = &e->c.audio;
    const struct ragged x = {
        .data = e->cut, .dtype = DTYPE_F32, .channels = 1, .offset = e->offset, .rows = rows, .total = e->offset[rows]};
    struct ragged y = {.data = out,
                       .dtype = DTYPE_F32,
                       .channels = (int32_t)e->c.mels,
                       .offset = e->frame_offset,
                       .rows = rows,
                       .total = e->frame_offset[rows]};
    const int code = mel(e->ex, &p, &x, &y);
    const float floor_db = (float)a->floor_db, mean = (float)a->mean_db, scale = (float)(1 / a->deviation_db);
    for (int64_t i = 0; !code && i < y.total * e->c.mels; i++)
        out[i] = (fmaxf(out[i], floor_db) - mean) * scale;
    return code;
}

static int take_plain(const struct vae_examples *e, struct place p, int64_t row)
{
    const struct vae_sound *const s = &e->sounds[p.sound];
    const int64_t n = s->count < e->samples ? s->count : e->samples;
    float *const to = e->cut + row * e->samples;
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(s->samples[p.from + i])) /* the floor would hide it */
            return fail(STATUS_ARGUMENT, "sound %lld: sample %lld is not finite", (long long)p.sound,
                        (long long)(p.from + i));
    memcpy(to, s->samples + p.from, (size_t)n * sizeof *to);
    memset(to + n, 0, (size_t)(e->samples - n) * sizeof *to);
    return STATUS_OK;
}

int vae_examples_plain(struct vae_examples *e, bool validation, int64_t first, int64_t count, float *out)
{
    if (first < 0 || count < 1 || count > ROWS_MOST || first + count > e->place_count[validation])
        return fail(STATUS_ARGUMENT, "examples %lld to %lld: there are not so many", (long long)first,
                    (long long)(first + count));
    int code = STATUS_OK;
    for (int64_t i = 0; i < count && !code; i++)
        code = take_plain(e, e->places[validation][first + i], i);
    return code ? code : transform(e, count, out);
}

/* Of so many places at most: of a large set they say as much as all, and a training must not begin with minutes of it.
 */
enum { MEASURED_MOST = 2048 };

int vae_examples_measure(struct vae_examples *e, struct vae_audio *audio)
{
    const int64_t each = e->c.frames * e->c.mels;
    double sum = 0, squares = 0;
    float *const out = malloc((size_t)each * sizeof *out);
    if (!out)
        return fail(STATUS_NOMEM, "examples: out of memory");
    e->c.audio.mean_db = 0;
    e->c.audio.deviation_db = 1;
    const int64_t step = (e->place_count[false] + MEASURED_MOST - 1) / MEASURED_MOST;
    int64_t measured = 0;
    int code = STATUS_OK;
    for (int64_t i = 0; i < e->place_count[false] && !code; i += step, measured++) {
        code = vae_examples_plain(e, false, i, 1, out);
        for (int64_t k = 0; k < each && !code; k++) {
            sum += (double)out[k];
            squares += (double)out[k] * (double)out[k];
        }
    }
    free(out);
    if (code)
        return code;
    const double n = (double)(measured * each), mean = sum / n;
    e->c.audio.mean_db = mean;
    e->c.audio.deviation_db = fmax(sqrt(fmax(squares / n - mean * mean, 0)), 1); /* silence has none */
    audio->mean_db = e->c.audio.mean_db;
    audio->deviation_db = e->c.audio.deviation_db;
    return STATUS_OK;
}

static void shuffle(struct vae_examples *e, uint64_t epoch)
{
    if (e->ordered && e->epoch == epoch)
        return;
    memcpy(e->order, e->train, (size_t)e->trains * sizeof *e->order);
    for (int64_t i = e->trains - 1; i > 0; i--) {
        const int64_t k = (int64_t)(philox_uniform(e->seed, STREAM_ORDER, epoch, i) * (double)(i + 1));
        const int64_t kept = e->order[i];
        e->order[i] = e->order[k];
        e->order[k] = kept;
    }
    e->epoch = epoch;
    e->ordered = true;
}

int vae_examples_step(struct vae_examples *e, uint64_t step, int64_t batch, float *out)
{
    int code = STATUS_OK;
    if (step < 1 || batch < 1 || batch > ROWS_MOST)
        return fail(STATUS_ARGUMENT, "examples: step %llu of %lld", (unsigned long long)step, (long long)batch);
    for (int64_t i = 0; i < batch && !code; i++) {
        const uint64_t g = (step - 1) * (uint64_t)batch + (uint64_t)i, epoch = g / (uint64_t)e->trains;
        struct augment_drawn drawn;
        shuffle(e, epoch);
        const int64_t sound = e->order[g % (uint64_t)e->trains];
        code = augment_draw(&e->change, e->seed, epoch, (uint64_t)sound, &drawn);
        code = code ? code
                    : augment(e->ex, &drawn, (double)e->c.audio.rate_hz, 1, e->sounds[sound].count,
                              e->sounds[sound].samples, e->cut + i * e->samples);
    }
    return code ? code : transform(e, batch, out);
}
