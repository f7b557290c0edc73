/* figure - a drawing that becomes a PNG or an SVG: shapes, one over the other in the order in which they are added.
 *
 *   place      (x, y) in pixels from the top left corner, as real numbers; what lies outside is cut off
 *   colours    0xRRGGBB
 *   text       of letters.h in a PNG; real text in an SVG, of the viewer's sans-serif. x, y: its baseline at the anchor;
 *              size: pixels of an em. A byte that is no printable ASCII is '?'
 *   errors     adding returns nothing: what fails (STATUS_NOMEM; STATUS_ARGUMENT for a place that is not finite) is
 *              kept, later shapes are left out, and writing returns it. STATUS_IO names path and reason
 *   file       stands under its name when it is whole; an earlier one is replaced
 *   ownership  all that is added is copied
 *   determinism  the same shapes, the same bytes, with one version of libpng and zlib */
#ifndef FIGURE_H
#define FIGURE_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct figure;

enum figure_anchor { FIGURE_START, FIGURE_MIDDLE, FIGURE_END };

struct figure_point {
    double x, y;
};

/* On white paper. STATUS_ARGUMENT for sides that no PNG has. */
int figure_create(int64_t width, int64_t height, struct figure **out) MUST_USE;
void figure_destroy(struct figure **f);

/* dash: length of dashes and of the gaps between them; 0: none. */
void figure_line(struct figure *f, struct figure_point from, struct figure_point to, double width, double dash,
                 uint32_t colour);
void figure_polyline(struct figure *f, const struct figure_point *points, size_t count, double width, uint32_t colour);
void figure_box(struct figure *f, struct figure_point corner, double width, double height, uint32_t colour);
void figure_disc(struct figure *f, struct figure_point centre, double radius, uint32_t colour);
void figure_text(struct figure *f, struct figure_point at, double size, enum figure_anchor anchor, uint32_t colour,
                 const char *text);
/* The same, read from below to above. */
void figure_text_up(struct figure *f, struct figure_point at, double size, enum figure_anchor anchor, uint32_t colour,
                    const char *text);
/* A picture [rows][columns][3], the top row first, stretched over a box; smooth between its values. */
void figure_picture(struct figure *f, struct figure_point corner, double width, double height, const uint8_t *rgb,
                    int64_t columns, int64_t rows);

int figure_write_png(const struct figure *f, const char *path) MUST_USE;
int figure_write_svg(const struct figure *f, const char *path) MUST_USE;

#endif
