/* figure_shapes - what figure.c keeps and figure_png.c and figure_svg.c draw. */
#ifndef FIGURE_SHAPES_H
#define FIGURE_SHAPES_H
#include "figure.h"

enum shape_kind { SHAPE_LINES, SHAPE_BOX, SHAPE_DISC, SHAPE_TEXT, SHAPE_PICTURE };

struct shape {
    enum shape_kind kind;
    uint32_t colour;
    struct figure_point at;
    double width, height;        /* box, picture; width: of lines, a disc's radius, a text's em */
    double dash;                 /* lines */
    struct figure_point *points; /* lines */
    size_t count;
    char *text;
    enum figure_anchor anchor;
    bool up;
    uint8_t *rgb; /* picture */
    int64_t columns, rows;
};

struct figure {
    int64_t width, height;
    struct shape *shapes;
    size_t count, capacity;
    int code; /* of what failed first */
    char why[128];
};

/* What failed while the figure was made. */
int figure_failed(const struct figure *f) MUST_USE;

#endif
