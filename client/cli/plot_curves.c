#include "plot_curves.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct curve {
    const char *name;
    uint32_t colour; /* told apart by those who do not see red or green, too */
} curves[PLOT_CURVES] = {
    {"train", 0x4477aa}, {"validation", 0xee6677}, {"reconstruction (of validation)", 0x228833}, {"KL", 0xaa3377}};

enum { FEW = 60 }; /* validations that are marked one by one */
static const double LINE = 3;

double plot_curve_value(const struct vae_metric *m, enum plot_curve c)
{
    return c == PLOT_TRAIN            ? m->train_loss
           : c == PLOT_VALIDATION     ? m->validation_loss
           : c == PLOT_RECONSTRUCTION ? m->reconstruction
                                      : m->kl;
}

uint32_t plot_curve_colour(enum plot_curve c)
{
    return curves[c].colour;
}

static struct plot_axis axis_over(const struct plot_data *d, enum plot_curve first, enum plot_curve last)
{
    double *const values = malloc((size_t)d->count * PLOT_CURVES * sizeof *values);
    size_t n = 0;
    for (int64_t i = 0; i < d->count && values; i++)
        for (enum plot_curve c = first; c <= last; c++)
            values[n++] = plot_curve_value(&d->metrics[i], c);
    const struct plot_axis axis = plot_axis_of(values, n);
    free(values);
    return axis;
}

void plot_curves_panels(const struct plot_data *d, struct plot_panel *losses, struct plot_panel *divergence)
{
    const struct plot_axis steps = {0, (double)d->metrics[d->count - 1].step, false};
    *losses = (struct plot_panel){130, 160, 1550, 640, steps, axis_over(d, PLOT_TRAIN, PLOT_RECONSTRUCTION)};
    *divergence = (struct plot_panel){130, 720, 1550, 910, steps, axis_over(d, PLOT_KL, PLOT_KL)};
}

/* A value that is not finite is a gap. */
static void draw_curve(struct figure *f, const struct plot_panel *p, const struct plot_data *d, enum plot_curve c,
                       struct figure_point *points)
{
    size_t n = 0;
    for (int64_t i = 0; i <= d->count; i++) {
        const double v = i < d->count ? plot_curve_value(&d->metrics[i], c) : (double)NAN;
        if (isfinite(v)) {
            points[n] = plot_place(p, (double)d->metrics[i].step, v);
            if (d->count <= FEW)
                figure_disc(f, points[n], 5, curves[c].colour);
            n++;
        } else if (n) {
            figure_polyline(f, points, n, LINE, curves[c].colour);
            if (n == 1)
                figure_disc(f, points[0], LINE, curves[c].colour);
            n = 0;
        }
    }
}

/* Names of curves, from the left on. */
static double draw_name(struct figure *f, double x, double y, enum plot_curve c)
{
    const char *const name = curves[c].name;
    size_t letters = 0;
    while (name[letters])
        letters++;
    figure_line(f, (struct figure_point){x, y - 6.5}, (struct figure_point){x + 40, y - 6.5}, LINE + 1, 0,
                curves[c].colour);
    figure_text(f, (struct figure_point){x + 52, y}, 19, FIGURE_START, PLOT_INK, name);
    return x + 52 + 12 * (double)letters + 40;
}

/* Behind the curves. */
static void mark_best_step(struct figure *f, const struct plot_data *d, const struct plot_panel *p)
{
    if (d->best < 0)
        return;
    const double x = plot_place(p, (double)d->metrics[d->best].step, p->y.least).x;
    figure_line(f, (struct figure_point){x, p->top}, (struct figure_point){x, p->bottom}, 2, 9, PLOT_PALE);
}

static void mark_best(struct figure *f, const struct plot_data *d, const struct plot_panel *losses)
{
    if (d->best < 0)
        return;
    const struct vae_metric *const m = &d->metrics[d->best];
    const struct figure_point at = plot_place(losses, (double)m->step, m->validation_loss);
    char text[96];
    snprintf(text, sizeof text, "best: %.4g at step %lld", m->validation_loss, (long long)m->step);
    figure_disc(f, at, 10, PLOT_INK);
    figure_disc(f, at, 7, curves[PLOT_VALIDATION].colour);
    figure_text(f, (struct figure_point){losses->right, losses->top - 18}, 19, FIGURE_END, PLOT_INK, text);
}

static void draw_titles(struct figure *f, const struct plot_data *d, const struct plot_panel *losses,
                        const struct plot_panel *divergence)
{
    char text[400];
    figure_text(f, (struct figure_point){losses->left, 62}, 38, FIGURE_START, PLOT_INK, d->name);
    snprintf(text, sizeof text, "%s%s%lld steps%s", d->origin, d->origin[0] ? ", " : "",
             (long long)d->metrics[d->count - 1].step, d->finished ? "" : ", not finished");
    figure_text(f, (struct figure_point){losses->left, 100}, 20, FIGURE_START, PLOT_PALE, text);
    figure_text_up(f, (struct figure_point){46, (losses->top + losses->bottom) / 2}, 20, FIGURE_MIDDLE, PLOT_INK,
                   losses->y.is_log ? "loss (logarithmic)" : "loss");
    figure_text_up(f, (struct figure_point){46, (divergence->top + divergence->bottom) / 2}, 20, FIGURE_MIDDLE,
                   PLOT_INK, divergence->y.is_log ? "nats (log)" : "nats");
    figure_text(f, (struct figure_point){(losses->left + losses->right) / 2, 978}, 20, FIGURE_MIDDLE, PLOT_INK, "step");
    figure_text(f, (struct figure_point){losses->right, 980}, 16, FIGURE_END, PLOT_PALE, "wavemill " WAVEMILL_VERSION);
}

int plot_curves(const struct plot_data *d, struct figure **out)
{
    struct plot_panel losses, divergence;
    const int code = figure_create(PLOT_CURVES_WIDTH, PLOT_CURVES_HEIGHT, out);
    struct figure_point *const points = malloc((size_t)d->count * sizeof *points);
    if (code || !points) {
        free(points);
        figure_destroy(out);
        return code ? code : fail(STATUS_NOMEM, "plot: out of memory");
    }
    plot_curves_panels(d, &losses, &divergence);
    plot_panel_draw(*out, &losses, false);
    plot_panel_draw(*out, &divergence, true);
    draw_titles(*out, d, &losses, &divergence);
    mark_best_step(*out, d, &losses);
    mark_best_step(*out, d, &divergence);
    double x = losses.left;
    for (enum plot_curve c = PLOT_TRAIN; c < PLOT_KL; c++)
        x = draw_name(*out, x, losses.top - 18, c);
    draw_name(*out, divergence.left, divergence.top - 18, PLOT_KL);
    static const enum plot_curve order[] = {PLOT_RECONSTRUCTION, PLOT_TRAIN, PLOT_VALIDATION}; /* the last on top */
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        draw_curve(*out, &losses, d, order[i], points);
    draw_curve(*out, &divergence, d, PLOT_KL, points);
    mark_best(*out, d, &losses);
    free(points);
    return STATUS_OK;
}
