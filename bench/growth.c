/* Growth: time against length, both logarithmic. */
#include "bench.h"

#include <math.h>

enum { WIDTH = 720, HEIGHT = 420, EDGE = 60 };
const double growth_lengths[GROWTH_LENGTHS] = {1, 3, 10, 30, 100, 300};

static double place_x(double seconds)
{
    return EDGE + (WIDTH - 3.5 * EDGE) * log10(seconds) / log10(300);
}

static double place_y(double seconds) /* 1e-5 to 10 s */
{
    return HEIGHT - EDGE - (HEIGHT - 2.0 * EDGE) * (log10(fmax(seconds, 1e-5)) + 5) / 6;
}

static void draw_line(FILE *f, const struct growth_line *line)
{
    int last = -1;
    fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", line->colour);
    for (int i = 0; i < GROWTH_LENGTHS; i++)
        if (line->seconds[i] > 0) {
            fprintf(f, "%.1f,%.1f ", place_x(growth_lengths[i]), place_y(line->seconds[i]));
            last = i;
        }
    fputs("\"/>\n", f);
    if (last >= 0)
        fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">%s</text>\n", place_x(growth_lengths[last]) + 6,
                place_y(line->seconds[last]) + 4, line->colour, line->name);
}

static void draw_axes(FILE *f, const char *what)
{
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
            "<text x=\"%d\" y=\"24\" font-size=\"15\">%s: time against length of the signal</text>\n",
            WIDTH, HEIGHT, EDGE, what);
    for (int i = 0; i < GROWTH_LENGTHS; i++)
        fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g s</text>\n", place_x(growth_lengths[i]),
                HEIGHT - EDGE + 20, growth_lengths[i]);
    for (int e = -5; e <= 1; e++)
        fprintf(f,
                "<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g s</text>\n",
                EDGE, place_x(300), place_y(pow(10, e)), place_y(pow(10, e)), EDGE - 6, place_y(pow(10, e)) + 4,
                pow(10, e));
}

int growth_draw(const char *path, const char *what, const struct growth_line *lines, int count)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return fail(STATUS_IO, "cannot write %s", path);
    draw_axes(f, what);
    for (int i = 0; i < count; i++)
        draw_line(f, &lines[i]);
    fputs("</svg>\n", f);
    return fclose(f) ? fail(STATUS_IO, "cannot write %s", path) : STATUS_OK;
}
