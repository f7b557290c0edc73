#include "figure_shapes.h"
#include "png_write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int figure_create(int64_t width, int64_t height, struct figure **out)
{
    *out = NULL;
    if (width < 1 || height < 1 || width > PNG_SIDE_MOST || height > PNG_SIDE_MOST)
        return fail(STATUS_ARGUMENT, "a figure of %lld x %lld pixels", (long long)width, (long long)height);
    struct figure *const f = calloc(1, sizeof *f);
    if (!f)
        return fail(STATUS_NOMEM, "figure: out of memory");
    f->width = width;
    f->height = height;
    *out = f;
    return STATUS_OK;
}

static void free_shape(struct shape *s)
{
    free(s->points);
    free(s->text);
    free(s->rgb);
}

void figure_destroy(struct figure **f)
{
    for (size_t i = 0; *f && i < (*f)->count; i++)
        free_shape(&(*f)->shapes[i]);
    if (*f)
        free((*f)->shapes);
    free(*f);
    *f = NULL;
}

int figure_failed(const struct figure *f)
{
    return f->code ? fail((enum status)f->code, "figure: %s", f->why) : STATUS_OK;
}

static void refuse(struct figure *f, enum status code, const char *why)
{
    if (f->code)
        return;
    f->code = code;
    snprintf(f->why, sizeof f->why, "%s", why);
}

static bool is_place(const struct shape *s)
{
    bool good = isfinite(s->at.x) && isfinite(s->at.y) && isfinite(s->width) && isfinite(s->height);
    for (size_t i = 0; i < s->count; i++)
        good = good && isfinite(s->points[i].x) && isfinite(s->points[i].y);
    return good;
}

/* Takes over what the shape points at; `whole`: none of that is missing. */
static void add(struct figure *f, struct shape s, bool whole)
{
    if (!f->code && !whole)
        refuse(f, STATUS_NOMEM, "out of memory");
    if (!f->code && !is_place(&s))
        refuse(f, STATUS_ARGUMENT, "a place that is no number");
    if (!f->code && f->count == f->capacity) {
        const size_t capacity = f->capacity ? 2 * f->capacity : 64;
        struct shape *const grown = realloc(f->shapes, capacity * sizeof *grown);
        if (grown) {
            f->shapes = grown;
            f->capacity = capacity;
        } else {
            refuse(f, STATUS_NOMEM, "out of memory");
        }
    }
    if (f->code)
        free_shape(&s);
    else
        f->shapes[f->count++] = s;
}

static void *copy_of(const void *from, size_t bytes)
{
    void *const to = malloc(bytes ? bytes : 1);
    if (to && bytes)
        memcpy(to, from, bytes);
    return to;
}

void figure_line(struct figure *f, struct figure_point from, struct figure_point to, double width, double dash,
                 uint32_t colour)
{
    const struct figure_point both[2] = {from, to};
    struct figure_point *const points = copy_of(both, sizeof both);
    add(f,
        (struct shape){.kind = SHAPE_LINES,
                       .colour = colour,
                       .width = width,
                       .dash = dash,
                       .points = points,
                       .count = points ? 2 : 0},
        points != NULL);
}

void figure_polyline(struct figure *f, const struct figure_point *points, size_t count, double width, uint32_t colour)
{
    struct figure_point *const own = copy_of(points, count * sizeof *points);
    add(f,
        (struct shape){.kind = SHAPE_LINES, .colour = colour, .width = width, .points = own, .count = own ? count : 0},
        own != NULL);
}

void figure_box(struct figure *f, struct figure_point corner, double width, double height, uint32_t colour)
{
    add(f, (struct shape){.kind = SHAPE_BOX, .colour = colour, .at = corner, .width = width, .height = height}, true);
}

void figure_disc(struct figure *f, struct figure_point centre, double radius, uint32_t colour)
{
    add(f, (struct shape){.kind = SHAPE_DISC, .colour = colour, .at = centre, .width = radius}, true);
}

static void add_text(struct figure *f, struct figure_point at, double size, enum figure_anchor anchor, bool up,
                     uint32_t colour, const char *text)
{
    char *const own = copy_of(text, strlen(text) + 1);
    for (char *c = own; c && *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    add(f,
        (struct shape){
            .kind = SHAPE_TEXT, .colour = colour, .at = at, .width = size, .anchor = anchor, .up = up, .text = own},
        own != NULL);
}

void figure_text(struct figure *f, struct figure_point at, double size, enum figure_anchor anchor, uint32_t colour,
                 const char *text)
{
    add_text(f, at, size, anchor, false, colour, text);
}

void figure_text_up(struct figure *f, struct figure_point at, double size, enum figure_anchor anchor, uint32_t colour,
                    const char *text)
{
    add_text(f, at, size, anchor, true, colour, text);
}

void figure_picture(struct figure *f, struct figure_point corner, double width, double height, const uint8_t *rgb,
                    int64_t columns, int64_t rows)
{
    uint8_t *const own = copy_of(rgb, (size_t)(columns * rows) * 3);
    add(f,
        (struct shape){.kind = SHAPE_PICTURE,
                       .at = corner,
                       .width = width,
                       .height = height,
                       .rgb = own,
                       .columns = columns,
                       .rows = rows},
        own != NULL);
}
