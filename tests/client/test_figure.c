/* Drawings: shapes are where they should be, in pixels and as text, and what cannot be drawn is refused. */
#include "colour_map.h"
#include "figure.h"
#include "plot_axes.h"
#include "png_read.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *text_of(const char *path)
{
    FILE *const f = fopen(path, "re");
    REQUIRE(f);
    char *const text = calloc(1, 1 << 20);
    REQUIRE(text && fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static struct figure *drawn(void)
{
    static const uint8_t rgb[2 * 2 * 3] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0};
    const struct figure_point corner[3] = {{10, 60}, {30, 60}, {30, 90}};
    struct figure *f = NULL;
    CHECK_OK(figure_create(120, 100, &f));
    REQUIRE(f);
    figure_box(f, (struct figure_point){10, 10}, 20, 10, 0x112233);
    figure_line(f, (struct figure_point){50, 10}, (struct figure_point){50, 40}, 4, 0, 0xff0000);
    figure_line(f, (struct figure_point){60, 10}, (struct figure_point){60, 50}, 4, 10, 0x0000ff);
    figure_polyline(f, corner, 3, 3, 0x00ff00);
    figure_disc(f, (struct figure_point){100, 20}, 8, 0xabcdef);
    figure_picture(f, (struct figure_point){80, 60}, 40, 40, rgb, 2, 2);
    figure_box(f, (struct figure_point){-5, 95}, 8, 100, 0x445566);
    return f;
}

TEST(pixels_are_where_shapes_are)
{
    static const struct {
        const char *reason;
        int x, y;
        uint32_t colour;
    } cases[] = {{"paper", 40, 50, 0xffffff},
                 {"a box's first pixel", 10, 10, 0x112233},
                 {"its last", 29, 19, 0x112233},
                 {"beside it", 30, 15, 0xffffff},
                 {"below it", 15, 20, 0xffffff},
                 {"a line, left of its middle", 48, 25, 0xff0000},
                 {"right of it", 51, 25, 0xff0000},
                 {"beside it", 53, 25, 0xffffff},
                 {"a dash", 60, 15, 0x0000ff},
                 {"a gap", 60, 25, 0xffffff},
                 {"a dash again", 60, 35, 0x0000ff},
                 {"lines, the first", 20, 60, 0x00ff00},
                 {"the second", 30, 75, 0x00ff00},
                 {"within their corner", 25, 66, 0xffffff},
                 {"a disc's middle", 100, 20, 0xabcdef},
                 {"its edge", 106, 20, 0xabcdef},
                 {"outside it", 107, 27, 0xffffff},
                 {"a picture, above and left", 82, 62, 0xff0000},
                 {"above and right", 117, 62, 0x00ff00},
                 {"below and left", 82, 97, 0x0000ff},
                 {"below and right", 117, 97, 0xffff00},
                 {"cut off at the edges", 0, 99, 0x445566},
                 {"right of that", 3, 99, 0xffffff}};
    struct figure *f = drawn();
    CHECK_OK(figure_write_png(f, "a.png"));
    struct png_read p = png_read("a.png");
    CHECK(p.width == 120 && p.height == 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t got = png_at(&p, cases[i].x, cases[i].y);
        printf("    %s: %06x\n", cases[i].reason, got);
        CHECK(got == cases[i].colour);
    }
    free(p.rgb);
    figure_destroy(&f);
    CHECK(!f);
}

/* How many pixels of a box are darker than paper. */
static int inked(const struct png_read *p, int left, int top, int right, int bottom)
{
    int n = 0;
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++)
            n += (png_at(p, x, y) & 255) < 128;
    return n;
}

TEST(letters_stand_at_their_anchor)
{
    static const struct {
        const char *reason;
        enum figure_anchor anchor;
        bool up;
        int left, top, right, bottom; /* all of the ink is in there */
    } cases[] = {{"from its beginning", FIGURE_START, false, 99, 80, 160, 102},
                 {"about its middle", FIGURE_MIDDLE, false, 70, 80, 130, 102},
                 {"to its end", FIGURE_END, false, 40, 80, 101, 102},
                 {"upwards", FIGURE_START, true, 80, 40, 102, 101},
                 {"upwards, about its middle", FIGURE_MIDDLE, true, 80, 70, 102, 130}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct figure *f = NULL;
        CHECK_OK(figure_create(200, 200, &f));
        if (cases[i].up)
            figure_text_up(f, (struct figure_point){100, 100}, 20, cases[i].anchor, 0, "HIH");
        else
            figure_text(f, (struct figure_point){100, 100}, 20, cases[i].anchor, 0, "HIH");
        CHECK_OK(figure_write_png(f, "t.png"));
        struct png_read p = png_read("t.png");
        const int all = inked(&p, 0, 0, 200, 200);
        const int within = inked(&p, cases[i].left, cases[i].top, cases[i].right, cases[i].bottom);
        printf("    %s: %d of %d\n", cases[i].reason, within, all);
        CHECK(all > 100 && within == all);
        free(p.rgb);
        figure_destroy(&f);
    }
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

TEST(svg_says_the_same)
{
    struct figure *f = drawn();
    figure_text(f, (struct figure_point){5, 5}, 12.5, FIGURE_END, 0x123456, "a<b & \"c\" > \x01");
    figure_text_up(f, (struct figure_point){-0.001, 7}, 9, FIGURE_MIDDLE, 0, "up");
    CHECK_OK(figure_write_svg(f, "a.svg"));
    char *const svg = text_of("a.svg");
    static const struct {
        const char *what;
        int times;
    } cases[] = {
        {"<rect x=\"10\" y=\"10\" width=\"20\" height=\"10\" fill=\"#112233\"/>", 1},
        {"<polyline points=\"50.00,10.00 50.00,40.00\" fill=\"none\" stroke=\"#ff0000\" stroke-width=\"4\"", 1},
        {"stroke-dasharray=\"10\"", 1},
        {"points=\"10.00,60.00 30.00,60.00 30.00,90.00\"", 1},
        {"<circle cx=\"100\" cy=\"20\" r=\"8\" fill=\"#abcdef\"/>", 1},
        {"<image x=\"80\" y=\"60\" width=\"40\" height=\"40\" preserveAspectRatio=\"none\"", 1},
        {"data:image/png;base64,iVBORw0KGgo", 1},
        {"<text x=\"5\" y=\"5\" font-size=\"12.5\" fill=\"#123456\" text-anchor=\"end\">a&lt;b &amp; \"c\" &gt; "
         "?</text>",
         1},
        {"<text x=\"0\" y=\"7\" font-size=\"9\"", 1},
        {" transform=\"rotate(-90 -0.00 7.00)\">up</text>", 1},
        {"width=\"120\" height=\"100\" viewBox=\"0 0 120 100\"", 1},
        {"</svg>\n", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        printf("    %s\n", cases[i].what);
        CHECK(count(svg, cases[i].what) == cases[i].times);
    }
    free(svg);
    figure_destroy(&f);
}

TEST(what_cannot_be_drawn)
{
    struct figure *f = NULL;
    CHECK_CODE(figure_create(0, 10, &f), STATUS_ARGUMENT);
    CHECK_CODE(figure_create(10, 40000, &f), STATUS_ARGUMENT);
    CHECK(!f);
    CHECK_OK(figure_create(10, 10, &f));
    figure_disc(f, (struct figure_point){NAN, 0}, 1, 0);
    figure_box(f, (struct figure_point){0, 0}, 1, 1, 0); /* left out */
    CHECK_CODE(figure_write_png(f, "n.png"), STATUS_ARGUMENT);
    CHECK_CODE(figure_write_svg(f, "n.svg"), STATUS_ARGUMENT);
    CHECK(access("n.png", F_OK) && access("n.svg", F_OK));
    figure_destroy(&f);
    CHECK_OK(figure_create(10, 10, &f));
    figure_polyline(f, NULL, 0, 1, 0);
    figure_polyline(f, &(struct figure_point){5, 5}, 1, 1, 0);
    figure_line(f, (struct figure_point){-1e9, -1e9}, (struct figure_point){1e9, 1e9}, 2, 0, 0xff0000);
    figure_text(f, (struct figure_point){5, 5}, 10, FIGURE_START, 0, "");
    CHECK_OK(figure_write_png(f, "far.png"));
    struct png_read p = png_read("far.png");
    CHECK(png_at(&p, 5, 5) == 0xff0000 && png_at(&p, 9, 0) == 0xffffff);
    free(p.rgb);
    CHECK_CODE(figure_write_png(f, "none/a.png"), STATUS_IO);
    CHECK(strstr(status_message(), "none/a.png"));
    CHECK(mkdir("taken", 0777) == 0);
    CHECK_CODE(figure_write_svg(f, "taken"), STATUS_IO);
    figure_destroy(&f);
    f = NULL;
    figure_destroy(&f);
}

TEST(ticks_are_round)
{
    static const struct {
        const char *reason;
        struct plot_axis axis;
        int wanted, count;
        double first, last;
    } cases[] = {{"steps", {0, 1200, false}, 8, 7, 0, 1200},
                 {"small losses", {0.131, 0.149, false}, 5, 3, 0.135, 0.145},
                 {"around zero", {-1, 1, false}, 4, 5, -1, 1},
                 {"a decade", {0.09, 3, true}, 0, 5, 0.1, 2},
                 {"six of them", {1e-3, 1e3, true}, 0, 7, 1e-3, 1e3},
                 {"more than there is room for", {1e-300, 1e300, true}, 0, PLOT_TICKS_MOST, 1e-300, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double ticks[PLOT_TICKS_MOST];
        const int n = plot_ticks(&cases[i].axis, cases[i].wanted, ticks);
        printf("    %s: %d, %g to %g\n", cases[i].reason, n, ticks[0], ticks[n - 1]);
        CHECK(n == cases[i].count && fabs(ticks[0] - cases[i].first) <= 1e-12 * fabs(cases[i].first));
        CHECK(cases[i].last == 0 || fabs(ticks[n - 1] - cases[i].last) < 1e-9);
    }
    static const struct {
        double v;
        const char *text;
    } texts[] = {{0, "0"},          {0.05, "0.05"}, {9000, "9000"}, {12000, "12k"},
                 {1500000, "1.5M"}, {-20, "-20"},   {2e9, "2G"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[PLOT_TICK_TEXT];
        plot_tick_text(texts[i].v, text);
        CHECK(strcmp(text, texts[i].text) == 0);
    }
}

TEST(axes_hold_their_values)
{
    static const struct {
        const char *reason;
        double values[3];
        bool is_log;
    } cases[] = {{"a few per cent", {1, 1.1, 1.2}, false},
                 {"ten times", {0.1, 0.5, 1}, true},
                 {"zero among them", {0, 0.5, 100}, false},
                 {"all alike", {3, 3, 3}, false},
                 {"all zero", {0, 0, 0}, false},
                 {"one is none", {1, NAN, 2}, false},
                 {"none at all", {NAN, INFINITY, NAN}, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct plot_axis a = plot_axis_of(cases[i].values, 3);
        printf("    %s: %g to %g\n", cases[i].reason, a.least, a.most);
        CHECK(a.is_log == cases[i].is_log && a.least < a.most);
        for (int k = 0; k < 3; k++)
            CHECK(!isfinite(cases[i].values[k]) || (cases[i].values[k] >= a.least && cases[i].values[k] <= a.most));
    }
    const struct plot_panel p = {100, 10, 300, 110, {0, 10, false}, {1, 100, true}};
    const struct figure_point middle = plot_place(&p, 5, 10);
    const struct figure_point low = plot_place(&p, 2.5, 1), high = plot_place(&p, 10, 100);
    CHECK(fabs(middle.x - 200) < 1e-9 && fabs(middle.y - 60) < 1e-9);
    CHECK(fabs(low.x - 150) < 1e-9 && fabs(low.y - 110) < 1e-9 && fabs(high.x - 300) < 1e-9 &&
          fabs(high.y - 10) < 1e-9);
}

TEST(colours_grow_lighter)
{
    int before = -1;
    for (int i = 0; i <= 100; i++) {
        uint8_t rgb[3];
        colour_map(i / 100.0, rgb);
        const int light = 299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2];
        CHECK(light > before);
        before = light;
    }
    uint8_t low[3], high[3], edge[3];
    colour_map(-5, low);
    colour_map(0, edge);
    CHECK(memcmp(low, edge, 3) == 0);
    colour_map(7, high);
    colour_map(1, edge);
    CHECK(memcmp(high, edge, 3) == 0);
    colour_map(NAN, low); /* no level is the lowest */
    colour_map(0, edge);
    CHECK(memcmp(low, edge, 3) == 0);
}
