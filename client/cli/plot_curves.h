/* plot_curves - a training's losses against its steps, the best validation marked.
 *
 *   figure     PLOT_CURVES_WIDTH x PLOT_CURVES_HEIGHT: losses above, the divergence below; plot_curves_panels says where
 *   errors     those of figure.h */
#ifndef PLOT_CURVES_H
#define PLOT_CURVES_H
#include "plot_axes.h"
#include "plot_data.h"

enum { PLOT_CURVES_WIDTH = 1600, PLOT_CURVES_HEIGHT = 1000 };
enum plot_curve { PLOT_TRAIN, PLOT_VALIDATION, PLOT_RECONSTRUCTION, PLOT_KL, PLOT_CURVES };

int plot_curves(const struct plot_data *d, struct figure **out) MUST_USE;

double plot_curve_value(const struct vae_metric *m, enum plot_curve c);
uint32_t plot_curve_colour(enum plot_curve c);
void plot_curves_panels(const struct plot_data *d, struct plot_panel *losses, struct plot_panel *divergence);

#endif
