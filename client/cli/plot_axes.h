/* plot_axes - a panel of a figure: where values stand, ticks, a grid.
 *
 *   values   from `least` to `most` of each axis, linear or, where both are above 0, logarithmic
 *   text     of ticks: "0.05", "200", "12k", "1.5M" */
#ifndef PLOT_AXES_H
#define PLOT_AXES_H
#include "figure.h"

struct plot_axis {
    double least, most;
    bool is_log;
};

struct plot_panel {
    double left, top, right, bottom; /* pixels */
    struct plot_axis x, y;
};

enum { PLOT_TICKS_MOST = 32, PLOT_TICK_TEXT = 24 };

#define PLOT_INK 0x222222
#define PLOT_PALE 0x666666
#define PLOT_GRID 0xe4e4e4

/* An axis that holds all of the values, with some air; those that are not finite do not count. Logarithmic where that
 * shows more: all above 0, and the largest ten times the smallest or more. */
struct plot_axis plot_axis_of(const double *values, size_t count);

/* Round numbers within the axis, about `wanted` of them; how many. */
int plot_ticks(const struct plot_axis *a, int wanted, double out[PLOT_TICKS_MOST]);
void plot_tick_text(double v, char out[PLOT_TICK_TEXT]);

struct figure_point plot_place(const struct plot_panel *p, double x, double y);

/* Grid and numbers: those of the x axis only where asked for. */
void plot_panel_draw(struct figure *f, const struct plot_panel *p, bool x_numbers);

#endif
