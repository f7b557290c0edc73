/* A figure as pixels: each shape covers a part of each pixel, and is mixed in by that. */
#include "figure_shapes.h"
#include "letters.h"
#include "png_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sheet {
    int64_t width, height;
    uint8_t *rgb;
    uint8_t *covered; /* by the shape that is drawn: 255 is all of a pixel */
};

/* A box of pixels, the last ones not in it. */
struct area {
    int64_t left, top, right, bottom;
};

static int64_t within(double v, int64_t most)
{
    return v < 0 ? 0 : v > (double)most ? most : (int64_t)v;
}

static struct area area_of(const struct sheet *s, double left, double top, double right, double bottom)
{
    return (struct area){within(floor(left), s->width), within(floor(top), s->height), within(ceil(right), s->width),
                         within(ceil(bottom), s->height)};
}

static void cover(struct sheet *s, int64_t x, int64_t y, double part)
{
    const double all = part < 0 ? 0 : part > 1 ? 1 : part;
    uint8_t *const c = &s->covered[y * s->width + x];
    const uint8_t now = (uint8_t)lrint(255 * all);
    *c = now > *c ? now : *c;
}

/* Mixes in what was covered, and clears it. */
static void ink(struct sheet *s, struct area a, uint32_t colour)
{
    const int to[3] = {(int)(colour >> 16 & 255), (int)(colour >> 8 & 255), (int)(colour & 255)};
    for (int64_t y = a.top; y < a.bottom; y++)
        for (int64_t x = a.left; x < a.right; x++) {
            uint8_t *const c = &s->covered[y * s->width + x], *const p = &s->rgb[3 * (y * s->width + x)];
            for (int k = 0; k < 3 && *c; k++)
                p[k] = (uint8_t)((p[k] * (255 - *c) + to[k] * *c + 127) / 255);
            *c = 0;
        }
}

static struct area both(struct area a, struct area b)
{
    return (struct area){a.left < b.left ? a.left : b.left, a.top < b.top ? a.top : b.top,
                         a.right > b.right ? a.right : b.right, a.bottom > b.bottom ? a.bottom : b.bottom};
}

/* ---- shapes ---- */

static struct area cover_line(struct sheet *s, struct figure_point a, struct figure_point b, double width)
{
    const double half = width / 2, edge = half + 1;
    const double dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
    const struct area box =
        area_of(s, fmin(a.x, b.x) - edge, fmin(a.y, b.y) - edge, fmax(a.x, b.x) + edge, fmax(a.y, b.y) + edge);
    for (int64_t y = box.top; y < box.bottom; y++)
        for (int64_t x = box.left; x < box.right; x++) {
            const double px = (double)x + 0.5 - a.x, py = (double)y + 0.5 - a.y;
            const double along = length2 > 0 ? fmin(fmax((px * dx + py * dy) / length2, 0), 1) : 0;
            cover(s, x, y, half + 0.5 - hypot(px - along * dx, py - along * dy));
        }
    return box;
}

static struct area cover_dashes(struct sheet *s, const struct shape *l)
{
    const struct figure_point a = l->points[0], b = l->points[1];
    const double length = hypot(b.x - a.x, b.y - a.y);
    struct area all = area_of(s, a.x, a.y, a.x, a.y);
    for (int64_t i = 0; 2 * (double)i * l->dash < length; i++) {
        const double from = 2 * (double)i * l->dash, to = fmin(from + l->dash, length);
        const double u = from / length, v = to / length;
        all = both(all, cover_line(s, (struct figure_point){a.x + u * (b.x - a.x), a.y + u * (b.y - a.y)},
                                   (struct figure_point){a.x + v * (b.x - a.x), a.y + v * (b.y - a.y)}, l->width));
    }
    return all;
}

static void draw_lines(struct sheet *s, const struct shape *l)
{
    if (l->count < 1)
        return;
    struct area all = area_of(s, l->points[0].x, l->points[0].y, l->points[0].x, l->points[0].y);
    if (l->dash > 0)
        all = cover_dashes(s, l);
    for (size_t i = 1; i < l->count && !(l->dash > 0); i++)
        all = both(all, cover_line(s, l->points[i - 1], l->points[i], l->width));
    ink(s, all, l->colour);
}

static void draw_box(struct sheet *s, const struct shape *b)
{
    const double right = b->at.x + b->width, bottom = b->at.y + b->height;
    const struct area all = area_of(s, b->at.x, b->at.y, right, bottom);
    for (int64_t y = all.top; y < all.bottom; y++)
        for (int64_t x = all.left; x < all.right; x++)
            cover(s, x, y,
                  (fmin(right, (double)x + 1) - fmax(b->at.x, (double)x)) *
                      (fmin(bottom, (double)y + 1) - fmax(b->at.y, (double)y)));
    ink(s, all, b->colour);
}

/* ---- text ---- */

enum { EDGE = 1 }; /* empty dots around a text */

/* Dots [LETTER_HEIGHT + 2*EDGE][*columns] of a text, 0 or 1. */
static uint8_t *dots_of(const char *text, int64_t *columns)
{
    *columns = (int64_t)letters_count(text) * LETTER_STEP + 2 * EDGE;
    uint8_t *const dots = calloc(LETTER_HEIGHT + 2 * EDGE, (size_t)*columns);
    if (dots)
        letters_draw(text, 1, EDGE, EDGE, dots, *columns, LETTER_HEIGHT + 2 * EDGE);
    return dots;
}

static double dot_at(const uint8_t *dots, int64_t columns, int64_t x, int64_t y)
{
    return x < 0 || y < 0 || x >= columns || y >= LETTER_HEIGHT + 2 * EDGE ? 0 : dots[y * columns + x];
}

/* Dots are joined smoothly, so that a large letter has curves and no stairs. */
static double dots_between(const uint8_t *dots, int64_t columns, double x, double y)
{
    const double left = floor(x - 0.5), top = floor(y - 0.5), u = x - 0.5 - left, v = y - 0.5 - top;
    const int64_t c = (int64_t)left, r = (int64_t)top;
    return (1 - v) * ((1 - u) * dot_at(dots, columns, c, r) + u * dot_at(dots, columns, c + 1, r)) +
           v * ((1 - u) * dot_at(dots, columns, c, r + 1) + u * dot_at(dots, columns, c + 1, r + 1));
}

static int draw_text(struct sheet *s, const struct shape *t)
{
    const double dot = t->width * 0.72 / LETTER_HEIGHT; /* capitals as high as in most fonts */
    int64_t columns;
    uint8_t *const dots = dots_of(t->text, &columns);
    if (!dots)
        return fail(STATUS_NOMEM, "figure: out of memory");
    const double wide = ((double)letters_count(t->text) * LETTER_STEP - 1) * dot, high = LETTER_HEIGHT * dot;
    const double back = t->anchor == FIGURE_END ? wide : t->anchor == FIGURE_MIDDLE ? wide / 2 : 0, edge = 2 * dot;
    const struct area all =
        t->up ? area_of(s, t->at.x - high - edge, t->at.y + back - wide - edge, t->at.x + edge, t->at.y + back + edge)
              : area_of(s, t->at.x - back - edge, t->at.y - high - edge, t->at.x - back + wide + edge, t->at.y + edge);
    for (int64_t y = all.top; y < all.bottom; y++)
        for (int64_t x = all.left; x < all.right; x++) {
            const double px = (double)x + 0.5 - t->at.x, py = (double)y + 0.5 - t->at.y;
            const double along = (t->up ? -py : px) + back, down = (t->up ? px : py) + high;
            const double value = dots_between(dots, columns, along / dot + EDGE, down / dot + EDGE);
            cover(s, x, y, (value - 0.42) * fmax(dot, 1) * 1.2 + 0.5);
        }
    free(dots);
    ink(s, all, t->colour);
    return STATUS_OK;
}

/* ---- pictures ---- */

static double value_at(const struct shape *p, double x, double y, int k)
{
    const double u = fmin(fmax(x - 0.5, 0), (double)p->columns - 1), v = fmin(fmax(y - 0.5, 0), (double)p->rows - 1);
    const int64_t c = (int64_t)u, r = (int64_t)v, c1 = c + 1 < p->columns ? c + 1 : c, r1 = r + 1 < p->rows ? r + 1 : r;
    const double a = u - (double)c, b = v - (double)r;
    const uint8_t *const rgb = p->rgb + k;
    return (1 - b) * ((1 - a) * rgb[3 * (r * p->columns + c)] + a * rgb[3 * (r * p->columns + c1)]) +
           b * ((1 - a) * rgb[3 * (r1 * p->columns + c)] + a * rgb[3 * (r1 * p->columns + c1)]);
}

static void draw_picture(struct sheet *s, const struct shape *p)
{
    const struct area all = area_of(s, p->at.x, p->at.y, p->at.x + p->width, p->at.y + p->height);
    for (int64_t y = all.top; y < all.bottom && p->columns > 0 && p->rows > 0; y++)
        for (int64_t x = all.left; x < all.right; x++)
            for (int k = 0; k < 3; k++)
                s->rgb[3 * (y * s->width + x) + k] =
                    (uint8_t)lrint(value_at(p, ((double)x + 0.5 - p->at.x) / p->width * (double)p->columns,
                                            ((double)y + 0.5 - p->at.y) / p->height * (double)p->rows, k));
}

static int draw(struct sheet *s, const struct shape *shape)
{
    switch (shape->kind) {
    case SHAPE_LINES:
        draw_lines(s, shape);
        return STATUS_OK;
    case SHAPE_BOX:
        draw_box(s, shape);
        return STATUS_OK;
    case SHAPE_DISC:
        ink(s, cover_line(s, shape->at, shape->at, 2 * shape->width), shape->colour);
        return STATUS_OK;
    case SHAPE_PICTURE:
        draw_picture(s, shape);
        return STATUS_OK;
    default:
        return draw_text(s, shape);
    }
}

int figure_write_png(const struct figure *f, const char *path)
{
    struct sheet s = {.width = f->width, .height = f->height};
    const size_t pixels = (size_t)(f->width * f->height);
    int code = figure_failed(f);
    if (code)
        return code;
    s.rgb = malloc(3 * pixels);
    s.covered = calloc(1, pixels);
    if (!s.rgb || !s.covered)
        code = fail(STATUS_NOMEM, "figure: out of memory");
    else
        memset(s.rgb, 255, 3 * pixels);
    for (size_t i = 0; i < f->count && !code; i++)
        code = draw(&s, &f->shapes[i]);
    code = code ? code : png_write_rgb(path, (uint32_t)s.width, (uint32_t)s.height, s.rgb);
    free(s.rgb);
    free(s.covered);
    return code;
}
