/* plot_sheet - sounds of a training as log-mel pictures, each above what the network made of it.
 *
 *   figure     up to PLOT_SHEET_COLUMNS sounds side by side, then the next row; time in seconds, frequency in Hz on
 *              Slaney's mel scale, as the pictures' bands are; one scale of colours, 80 dB down from the loudest of the
 *              sounds
 *   errors     those of figure.h */
#ifndef PLOT_SHEET_H
#define PLOT_SHEET_H
#include "figure.h"
#include "plot_data.h"

enum { PLOT_SHEET_COLUMNS = 4 };

/* Where a sound's picture stands (row 0), or that of what became of it (1). */
struct plot_cell {
    double left, top, width, height;
};
struct plot_cell plot_sheet_cell(int64_t sound, int row);

/* d has sounds. */
int plot_sheet(const struct plot_data *d, struct figure **out) MUST_USE;

#endif
