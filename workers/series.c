#include "series.h"

#include <stdlib.h>
#include <string.h>

void series_open(struct series *s, const int32_t width[SERIES_MOST])
{
    *s = (struct series){.every = 1};
    memcpy(s->width, width, sizeof s->width);
}

void series_close(struct series *s)
{
    for (int i = 0; i < SERIES_MOST; i++)
        free(s->values[i]);
    *s = (struct series){0};
}

int series_reserve(struct series *s, int64_t frames)
{
    if (s->frames + frames <= s->capacity)
        return STATUS_OK;
    int64_t capacity = s->capacity ? s->capacity : 256;
    while (capacity < s->frames + frames)
        capacity *= 2;
    for (int i = 0; i < SERIES_MOST; i++) {
        if (!s->width[i])
            continue;
        float *const more = realloc(s->values[i], (size_t)(capacity * s->width[i]) * sizeof *more);
        if (!more)
            return fail(STATUS_NOMEM, "series: %lld frames", (long long)capacity);
        s->values[i] = more;
    }
    s->capacity = capacity;
    return STATUS_OK;
}

static void move(struct series *s, int64_t to, int64_t from, int64_t frames)
{
    for (int i = 0; i < SERIES_MOST && to != from; i++)
        if (s->width[i])
            memmove(s->values[i] + to * s->width[i], s->values[i] + from * s->width[i],
                    (size_t)(frames * s->width[i]) * sizeof(float));
}

/* Every second of the blocks that are kept goes. */
static void thin(struct series *s)
{
    int64_t kept = 0;
    for (int64_t from = 0; from < s->frames; from += 2 * SERIES_BLOCK) {
        const int64_t n = s->frames - from < SERIES_BLOCK ? s->frames - from : SERIES_BLOCK;
        move(s, kept, from, n);
        kept += n;
    }
    s->frames = kept;
    s->every *= 2;
}

void series_commit(struct series *s, int64_t skip, int64_t frames)
{
    const int64_t written = s->frames;
    for (int64_t at = 0; at < frames;) {
        const int64_t block = s->seen / SERIES_BLOCK, end = (block + 1) * SERIES_BLOCK;
        const int64_t n = end - s->seen < frames - at ? end - s->seen : frames - at;
        if (block % s->every == 0) {
            move(s, s->frames, written + skip + at, n);
            s->frames += n;
        }
        s->seen += n;
        at += n;
    }
    while (s->frames > SERIES_FRAMES)
        thin(s);
}
