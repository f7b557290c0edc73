#include "field.h"

static float *floats_of(int64_t n)
{
    float *const x = calloc((size_t)n + 1, sizeof *x);
    if (!x)
        abort();
    return x;
}

struct field field_open(const struct oracle_shape *s, bool margins, int64_t gap)
{
    struct field f = {.s = *s};
    f.m = maps_of(NULL, s->items, s->height, s->width, s->channels, margins);
    f.m.item_stride += gap;
    f.floats = s->items * f.m.item_stride + 2 * GUARD_FLOATS;
    f.memory = floats_of(f.floats);
    f.before = floats_of(f.floats);
    f.m.data = f.memory + GUARD_FLOATS + (margins ? MAPS_BEFORE * s->channels : 0);
    for (int64_t i = 0; i < f.floats; i++)
        f.before[i] = GUARD_SENTINEL;
    for (int64_t row = 0; row < s->items * s->height; row++) {
        const int64_t from = maps_row(&f.m, row / s->height, row % s->height) - f.memory;
        const int64_t whole = maps_row_floats(s->width, s->channels, margins);
        for (int64_t i = 0; i < whole; i++)
            f.before[from - (margins ? MAPS_BEFORE * s->channels : 0) + i] = 0;
        for (int64_t i = 0; i < s->width * s->channels; i++)
            f.before[from + i] = NAN;
    }
    memcpy(f.memory, f.before, (size_t)f.floats * sizeof(float));
    return f;
}

void field_close(struct field *f)
{
    free(f->memory);
    free(f->before);
    *f = (struct field){0};
}

int64_t field_positions(const struct field *f)
{
    return f->s.items * f->s.height * f->s.width * f->s.channels;
}

void field_read(const struct field *f, float *out)
{
    const int64_t row = f->s.width * f->s.channels;
    for (int64_t r = 0; r < f->s.items * f->s.height; r++)
        memcpy(out + r * row, maps_row(&f->m, r / f->s.height, r % f->s.height), (size_t)row * sizeof *out);
}

void field_write(const struct field *f, const float *dense)
{
    const int64_t row = f->s.width * f->s.channels;
    for (int64_t r = 0; r < f->s.items * f->s.height; r++)
        memcpy(maps_row(&f->m, r / f->s.height, r % f->s.height), dense + r * row, (size_t)row * sizeof *dense);
}

void field_noise(struct field *f, uint64_t *seed, float size)
{
    float *const x = noise_of(seed, field_positions(f), size);
    field_write(f, x);
    free(x);
}

bool field_intact(const struct field *f)
{
    bool ok = true;
    for (int64_t i = 0; i < f->floats; i++)
        ok &= isnan(f->before[i]) || compare_bits(f->before + i, f->memory + i, sizeof(float));
    return ok;
}

bool field_untouched(const struct field *f)
{
    return compare_bits(f->before, f->memory, (size_t)f->floats * sizeof(float));
}

float *noise_of(uint64_t *seed, int64_t n, float size)
{
    float *const x = floats_of(n);
    for (int64_t i = 0; i < n; i++)
        x[i] = size * test_noise(seed);
    return x;
}

struct exec *exec_of_threads(int threads)
{
    struct exec *ex = NULL;
    if (subject_backend() != BACKEND_CPU)
        return subject_exec();
    const struct exec_options options = {.threads = threads, .isa = subject_isa(), .ops = ops_cpu(subject_isa())};
    CHECK_OK(exec_create(&options, &ex));
    REQUIRE(ex);
    return ex;
}

struct arena *scratch_of(struct exec *ex)
{
    return exec_backend(ex) == BACKEND_CPU ? exec_arena(ex) : exec_device_arena(ex);
}

struct maps device_maps(struct device_batch *b, const struct field *f, const struct maps *m, bool back)
{
    struct maps there = *m;
    const float *const memory = device_aligned(b, f->memory, (size_t)f->floats * sizeof(float), back);
    there.data = (float *)(uintptr_t)memory + (m->data - f->memory);
    return there;
}

double field_error(const struct field *f, const double *want)
{
    float *const got = floats_of(field_positions(f));
    field_read(f, got);
    const double error = field_intact(f) ? compare_l2(got, want, field_positions(f)) : INFINITY;
    free(got);
    return error;
}

bool field_equal(const struct field *a, const struct field *b)
{
    const int64_t n = field_positions(a);
    REQUIRE(field_positions(b) == n);
    float *const x = floats_of(n), *const y = floats_of(n);
    field_read(a, x);
    field_read(b, y);
    const bool equal = compare_bits(x, y, (size_t)n * sizeof *x);
    free(x);
    free(y);
    return equal;
}

float *packed_of(size_t bytes)
{
    float *const p = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (!p)
        abort();
    return p;
}
