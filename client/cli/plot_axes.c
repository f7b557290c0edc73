#include "plot_axes.h"

#include <math.h>
#include <stdio.h>

static const double NUMBER_SIZE = 18;

static double log_or_not(const struct plot_axis *a, double v)
{
    return a->is_log ? log10(v) : v;
}

struct plot_axis plot_axis_of(const double *values, size_t count)
{
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i])) {
            least = fmin(least, values[i]);
            most = fmax(most, values[i]);
        }
    if (least > most)
        return (struct plot_axis){0, 1, false};
    if (least > 0 && most >= 10 * least) {
        const double air = pow(most / least, 0.05);
        return (struct plot_axis){least / air, most * air, true};
    }
    const double air = most > least ? (most - least) * 0.06 : fmax(fabs(most) * 0.1, 1e-6);
    return (struct plot_axis){least - air, most + air, false};
}

/* 1, 2 or 5 times a power of ten, so that about `wanted` of them fit. */
static double step_of(double span, int wanted)
{
    const double raw = span / wanted, power = pow(10, floor(log10(raw))), of = raw / power;
    return power * (of < 1.5 ? 1 : of < 3.5 ? 2 : of < 7.5 ? 5 : 10);
}

static int linear_ticks(const struct plot_axis *a, int wanted, double out[PLOT_TICKS_MOST])
{
    const double step = step_of(a->most - a->least, wanted);
    const double first = ceil(a->least / step - 1e-9);
    int n = 0;
    while (n < PLOT_TICKS_MOST && (first + n) * step <= a->most + 1e-9 * step) {
        out[n] = (first + n) * step;
        n++;
    }
    return n;
}

/* Powers of ten; with what is between them where these are few. */
static int log_ticks(const struct plot_axis *a, double out[PLOT_TICKS_MOST])
{
    static const double parts[] = {1, 2, 5};
    const double decades = log10(a->most / a->least);
    const int last = (int)floor(log10(a->most));
    int n = 0;
    for (int k = (int)floor(log10(a->least)); k <= last; k += decades > 16 ? 4 : 1)
        for (int i = 0; i < (decades > 4 ? 1 : 3); i++) {
            const double v = parts[i] * pow(10, k);
            if (v >= a->least && v <= a->most && n < PLOT_TICKS_MOST)
                out[n++] = v;
        }
    return n;
}

int plot_ticks(const struct plot_axis *a, int wanted, double out[PLOT_TICKS_MOST])
{
    return a->is_log ? log_ticks(a, out) : linear_ticks(a, wanted, out);
}

void plot_tick_text(double v, char out[PLOT_TICK_TEXT])
{
    const double size = fabs(v);
    const int shift = size >= 1e9 ? 9 : size >= 1e6 ? 6 : size >= 1e4 ? 3 : 0;
    snprintf(out, PLOT_TICK_TEXT, "%.6g%s", size < 1e-12 ? 0 : v / pow(10, shift),
             shift == 9   ? "G"
             : shift == 6 ? "M"
             : shift == 3 ? "k"
                          : "");
}

struct figure_point plot_place(const struct plot_panel *p, double x, double y)
{
    const double x0 = log_or_not(&p->x, p->x.least), x1 = log_or_not(&p->x, p->x.most);
    const double y0 = log_or_not(&p->y, p->y.least), y1 = log_or_not(&p->y, p->y.most);
    return (struct figure_point){p->left + (log_or_not(&p->x, x) - x0) / (x1 - x0) * (p->right - p->left),
                                 p->bottom - (log_or_not(&p->y, y) - y0) / (y1 - y0) * (p->bottom - p->top)};
}

static void draw_x(struct figure *f, const struct plot_panel *p, bool numbers)
{
    double ticks[PLOT_TICKS_MOST];
    char text[PLOT_TICK_TEXT];
    const int n = plot_ticks(&p->x, 8, ticks);
    for (int i = 0; i < n; i++) {
        const double x = plot_place(p, ticks[i], p->y.least).x;
        figure_line(f, (struct figure_point){x, p->top}, (struct figure_point){x, p->bottom}, 1, 0, PLOT_GRID);
        plot_tick_text(ticks[i], text);
        if (numbers)
            figure_text(f, (struct figure_point){x, p->bottom + 28}, NUMBER_SIZE, FIGURE_MIDDLE, PLOT_PALE, text);
    }
}

void plot_panel_draw(struct figure *f, const struct plot_panel *p, bool x_numbers)
{
    double ticks[PLOT_TICKS_MOST];
    char text[PLOT_TICK_TEXT];
    draw_x(f, p, x_numbers);
    const int n = plot_ticks(&p->y, (int)((p->bottom - p->top) / 48), ticks);
    for (int i = 0; i < n; i++) {
        const double y = plot_place(p, p->x.least, ticks[i]).y;
        figure_line(f, (struct figure_point){p->left, y}, (struct figure_point){p->right, y}, 1, 0, PLOT_GRID);
        plot_tick_text(ticks[i], text);
        figure_text(f, (struct figure_point){p->left - 12, y + 6.5}, NUMBER_SIZE, FIGURE_END, PLOT_PALE, text);
    }
    figure_line(f, (struct figure_point){p->left, p->top}, (struct figure_point){p->left, p->bottom}, 2, 0, PLOT_INK);
    figure_line(f, (struct figure_point){p->left, p->bottom}, (struct figure_point){p->right, p->bottom}, 2, 0,
                PLOT_INK);
}
