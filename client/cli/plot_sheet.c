#include "plot_sheet.h"

#include "colour_map.h"
#include "plot_axes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LEFT = 130,
    TOP = 170,
    CELL_WIDTH = 320,
    CELL_HEIGHT = 210,
    GAP_X = 28,
    GAP_Y = 14,     /* between a sound and what became of it */
    PAIR_GAP = 100, /* and the next row of sounds */
    BAR_ROOM = 130,
    BELOW = 110,
    BAR_STEPS = 256
};
static const double RANGE_DB = 80, SIZE = 17;

struct plot_cell plot_sheet_cell(int64_t sound, int row)
{
    const int64_t column = sound % PLOT_SHEET_COLUMNS, pair = sound / PLOT_SHEET_COLUMNS;
    return (struct plot_cell){LEFT + (double)column * (CELL_WIDTH + GAP_X),
                              TOP + (double)pair * (2 * CELL_HEIGHT + GAP_Y + PAIR_GAP) + row * (CELL_HEIGHT + GAP_Y),
                              CELL_WIDTH, CELL_HEIGHT};
}

/* Slaney's scale: linear to 1 kHz, then 27 mel for each factor of 6.4. */
static double mel_of(double hz)
{
    return hz < 1000 ? hz * 3 / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

static float loudest(const struct plot_data *d)
{
    const int64_t values = d->sounds * d->config.frames * d->config.mels; /* of the sounds: networks may overdo */
    float most = d->maps[0];
    for (int64_t i = 1; i < values; i++)
        most = d->maps[i] > most ? d->maps[i] : most;
    return most;
}

/* Colours [mels][frames][3], the highest band on top. */
static void colour_in(const struct plot_data *d, const float *map, double most, uint8_t *rgb)
{
    const int64_t frames = d->config.frames, mels = d->config.mels;
    for (int64_t m = 0; m < mels; m++)
        for (int64_t n = 0; n < frames; n++)
            colour_map(((double)map[n * mels + m] - most) / RANGE_DB + 1, rgb + 3 * ((mels - 1 - m) * frames + n));
}

static void draw_frequencies(struct figure *f, const struct plot_data *d, struct plot_cell c)
{
    static const double hz[] = {100, 500, 1000, 2000, 5000, 10000, 20000};
    const double low = mel_of(d->config.audio.low_hz), high = mel_of(d->config.audio.high_hz);
    char text[PLOT_TICK_TEXT + 8];
    for (size_t i = 0; i < sizeof hz / sizeof *hz; i++) {
        const double at = (mel_of(hz[i]) - low) / (high - low); /* bands' middles are spread over all of it */
        if (at < 0 || at > 1)
            continue;
        const double y = c.top + (1 - at) * c.height;
        snprintf(text, sizeof text, hz[i] < 1000 ? "%g" : "%gk", hz[i] < 1000 ? hz[i] : hz[i] / 1000);
        figure_line(f, (struct figure_point){c.left - 7, y}, (struct figure_point){c.left, y}, 2, 0, PLOT_PALE);
        figure_text(f, (struct figure_point){c.left - 12, y + 6}, SIZE, FIGURE_END, PLOT_PALE, text);
    }
}

static void draw_times(struct figure *f, const struct plot_data *d, struct plot_cell c)
{
    const struct vae_audio *const a = &d->config.audio;
    const struct plot_axis time = {0, (double)(d->config.frames * a->hop) / (double)a->rate_hz, false};
    double ticks[PLOT_TICKS_MOST];
    char text[PLOT_TICK_TEXT];
    const int n = plot_ticks(&time, 4, ticks);
    for (int i = 0; i < n; i++) {
        const double x = c.left + ticks[i] / time.most * c.width, y = c.top + c.height;
        plot_tick_text(ticks[i], text);
        figure_line(f, (struct figure_point){x, y}, (struct figure_point){x, y + 7}, 2, 0, PLOT_PALE);
        figure_text(f, (struct figure_point){x, y + 26}, SIZE, FIGURE_MIDDLE, PLOT_PALE, text);
    }
}

static int draw_sounds(struct figure *f, const struct plot_data *d, double most)
{
    const int64_t values = d->config.frames * d->config.mels;
    uint8_t *const rgb = malloc(3 * (size_t)values);
    char text[32];
    if (!rgb)
        return fail(STATUS_NOMEM, "plot: out of memory");
    for (int64_t n = 0; n < d->sounds; n++)
        for (int row = 0; row < 2; row++) {
            const struct plot_cell c = plot_sheet_cell(n, row);
            colour_in(d, d->maps + (row * d->sounds + n) * values, most, rgb);
            figure_picture(f, (struct figure_point){c.left, c.top}, c.width, c.height, rgb, d->config.frames,
                           d->config.mels);
            snprintf(text, sizeof text, "sound %lld", (long long)n + 1);
            if (row == 0)
                figure_text(f, (struct figure_point){c.left + c.width / 2, c.top - 12}, 19, FIGURE_MIDDLE, PLOT_INK,
                            text);
            else
                draw_times(f, d, c);
            if (n % PLOT_SHEET_COLUMNS != 0)
                continue;
            draw_frequencies(f, d, c);
            figure_text_up(f, (struct figure_point){46, c.top + c.height / 2}, 19, FIGURE_MIDDLE, PLOT_INK,
                           row ? "reconstruction" : "original");
        }
    free(rgb);
    return STATUS_OK;
}

static void draw_bar(struct figure *f, double left, double most)
{
    const struct plot_cell first = plot_sheet_cell(0, 0), second = plot_sheet_cell(0, 1);
    const double top = first.top, height = second.top + second.height - top;
    const struct plot_axis axis = {most - RANGE_DB, most, false};
    double ticks[PLOT_TICKS_MOST];
    uint8_t rgb[3 * BAR_STEPS];
    char text[PLOT_TICK_TEXT];
    for (int i = 0; i < BAR_STEPS; i++)
        colour_map(1 - (i + 0.5) / BAR_STEPS, rgb + (size_t)3 * (size_t)i);
    figure_picture(f, (struct figure_point){left, top}, 24, height, rgb, 1, BAR_STEPS);
    const int n = plot_ticks(&axis, 8, ticks);
    for (int i = 0; i < n; i++) {
        const double y = top + (most - ticks[i]) / RANGE_DB * height;
        plot_tick_text(ticks[i], text);
        figure_line(f, (struct figure_point){left + 24, y}, (struct figure_point){left + 31, y}, 2, 0, PLOT_PALE);
        figure_text(f, (struct figure_point){left + 36, y + 6}, SIZE, FIGURE_START, PLOT_PALE, text);
    }
    figure_text(f, (struct figure_point){left, top - 12}, 19, FIGURE_START, PLOT_INK, "dB");
}

int plot_sheet(const struct plot_data *d, struct figure **out)
{
    const int64_t columns = d->sounds < PLOT_SHEET_COLUMNS ? d->sounds : PLOT_SHEET_COLUMNS;
    const struct plot_cell last_of_row = plot_sheet_cell(columns - 1, 0), last = plot_sheet_cell(d->sounds - 1, 1);
    const double right = last_of_row.left + last_of_row.width, bottom = last.top + last.height;
    const double most = loudest(d), wide = fmax(right + BAR_ROOM, 900);
    char text[400];
    int code = figure_create((int64_t)wide, (int64_t)bottom + BELOW, out);
    if (code)
        return code;
    figure_text(*out, (struct figure_point){LEFT, 62}, 38, FIGURE_START, PLOT_INK, d->name);
    snprintf(text, sizeof text, "%s%slog-mel, originals above", d->origin, d->origin[0] ? ", " : "");
    figure_text(*out, (struct figure_point){LEFT, 100}, 20, FIGURE_START, PLOT_PALE, text);
    code = draw_sounds(*out, d, most);
    draw_bar(*out, right + 30, most);
    figure_text(*out, (struct figure_point){(LEFT + right) / 2, bottom + 62}, 19, FIGURE_MIDDLE, PLOT_INK,
                "seconds; frequency in Hz");
    figure_text(*out, (struct figure_point){wide - 20, bottom + BELOW - 20}, 16, FIGURE_END, PLOT_PALE,
                "wavemill " WAVEMILL_VERSION);
    if (code)
        figure_destroy(out);
    return code;
}
