/* A training's pictures: what its folder says, what is damaged in it, and where the values stand. */
#include "npy.h"
#include "plot_curves.h"
#include "plot_sheet.h"
#include "png_read.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FRAMES = 8, MELS = 16, SOUNDS = 2, MAP = FRAMES * MELS };

static const char LINES[] =
    "{\"step\":10,\"train_loss\":4,\"validation_loss\":5,\"reconstruction\":3,\"kl\":1.5,\"seconds\":1}\n"
    "{\"step\":20,\"train_loss\":2,\"validation_loss\":1,\"reconstruction\":0.5,\"kl\":2,\"seconds\":2}\n"
    "{\"step\":30,\"train_loss\":null,\"validation_loss\":2,\"reconstruction\":1,\"kl\":3,\"seconds\":3}\n"
    "{\"step\":40,\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":0.4,\"kl\":2.5,\"seconds\":4}\n";

static void put(const char *path, const void *data, size_t bytes)
{
    FILE *const f = fopen(path, "we");
    REQUIRE(f && fwrite(data, 1, bytes, f) == bytes && fclose(f) == 0);
}

static void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

/* Sound n is one bright band, what was made of it another. */
static void make_maps(float maps[2 * SOUNDS * MAP])
{
    for (int n = 0; n < 2 * SOUNDS; n++)
        for (int i = 0; i < MAP; i++)
            maps[n * MAP + i] = i % MELS == 4 * n + 1 ? 20 : -60;
}

static void put_maps(const int64_t shape[3], const float *maps, size_t values)
{
    char head[NPY_HEADER_BYTES];
    char all[NPY_HEADER_BYTES + sizeof(float) * (2 * SOUNDS * MAP + 1)];
    CHECK_OK(npy_rows_header(3, shape, head));
    memcpy(all, head, sizeof head);
    memcpy(all + sizeof head, maps, values * sizeof *maps);
    put("models/m/previews/maps.npy", all, sizeof head + values * sizeof *maps);
}

/* home is the case's own folder. */
static void make_model(void)
{
    const int64_t shape[3] = {2 * SOUNDS, FRAMES, MELS};
    struct vae_fit_options o;
    float maps[2 * SOUNDS * MAP];
    char *config = NULL;
    REQUIRE(mkdir("models", 0777) == 0 && mkdir("models/m", 0777) == 0 && mkdir("models/m/previews", 0777) == 0);
    CHECK_OK(vae_fit_preset("tiny", &o));
    o.config.frames = FRAMES;
    o.config.mels = MELS;
    CHECK_OK(vae_config_text(&o.config, &config));
    put_text("models/m/config.json", config);
    free(config);
    put_text("models/m/metrics.jsonl", LINES);
    put_text("models/m/begun.json", "{\"schema\":1,\"dataset\":\"d <&\",\"preset\":\"tiny\",\"seed\":\"7\"}");
    make_maps(maps);
    put_maps(shape, maps, sizeof maps / sizeof *maps);
}

TEST(what_is_read)
{
    struct plot_data d;
    make_model();
    CHECK_OK(plot_load(".", "m", &d));
    CHECK(d.count == 4 && d.best == 1 && !d.finished && d.sounds == SOUNDS);
    CHECK(d.metrics[2].step == 30 && isnan(d.metrics[2].train_loss) && d.metrics[3].kl == 2.5);
    CHECK(strcmp(d.origin, "dataset d <&, preset tiny, seed 7") == 0);
    CHECK(d.maps[1] == 20 && d.maps[0] == -60 && d.maps[3 * MAP + 13] == 20);
    plot_release(&d);
    put_text("models/m/model.json", "{}");
    CHECK(unlink("models/m/previews/maps.npy") == 0 && unlink("models/m/config.json") == 0);
    CHECK_OK(plot_load(".", "m", &d)); /* before the first previews */
    CHECK(d.finished && d.sounds == 0);
    plot_release(&d);
}

TEST(what_is_not_there)
{
    static const struct {
        const char *name, *said;
        enum status code;
    } cases[] = {
        {"other", "there is no model other", STATUS_NOT_FOUND},
        {"../m", "no name", STATUS_ARGUMENT},
        {"", "no name", STATUS_ARGUMENT},
        {"imported", "not trained here", STATUS_NOT_FOUND},
        {"begun", "no validation has been", STATUS_NOT_FOUND},
        {"longer-than-any-name-of-a-model-can-be-longer-than-any-name-of-a-model-can-be", "no name", STATUS_ARGUMENT}};
    struct plot_data d;
    make_model();
    REQUIRE(mkdir("models/imported", 0777) == 0 && mkdir("models/begun", 0777) == 0);
    put_text("models/imported/model.json", "{}");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        printf("    %s\n", cases[i].name);
        CHECK_CODE(plot_load(".", cases[i].name, &d), cases[i].code);
        CHECK(strstr(status_message(), cases[i].said));
    }
}

TEST(damaged_curves)
{
    static const struct {
        const char *reason, *lines, *said;
    } cases[] = {
        {"no JSON", "{\"step\":1,\n", "line 1: "},
        {"the second line",
         "{\"step\":1,\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\nrubbish\n", "line 2: "},
        {"no step", "{\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n", "step or a loss"},
        {"a step that is text",
         "{\"step\":\"1\",\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n", "step or a loss"},
        {"no loss", "{\"step\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n", "step or a loss"},
        {"a loss that is text",
         "{\"step\":1,\"train_loss\":\"x\",\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n", "step or a loss"},
        {"twice the same step",
         "{\"step\":1,\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n"
         "{\"step\":1,\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n",
         "line 2: step 1 comes after step 1"},
        {"a step below 1", "{\"step\":0,\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n",
         "comes after"},
        {"half a line", "{\"step\":1,\"train_loss\":1,\"validation_loss\":1", "has no end"},
        {"an empty file", "", "it is empty"}};
    struct plot_data d;
    make_model();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text("models/m/metrics.jsonl", cases[i].lines);
        printf("    %s\n", cases[i].reason);
        CHECK_CODE(plot_load(".", "m", &d), STATUS_DAMAGED);
        CHECK(strstr(status_message(), "metrics.jsonl") && strstr(status_message(), cases[i].said));
        CHECK(!d.metrics && !d.maps);
    }
    char *const many = malloc(VAE_METRICS_MOST * 100 + 200);
    size_t n = 0;
    REQUIRE(many);
    for (int i = 1; i <= VAE_METRICS_MOST + 1; i++)
        n += (size_t)sprintf(many + n,
                             "{\"step\":%d,\"train_loss\":1,\"validation_loss\":1,\"reconstruction\":1,\"kl\":1}\n", i);
    put("models/m/metrics.jsonl", many, n);
    CHECK_CODE(plot_load(".", "m", &d), STATUS_DAMAGED);
    CHECK(strstr(status_message(), "more than"));
    free(many);
}

TEST(damaged_pictures)
{
    static const struct {
        const char *reason, *said;
        int64_t shape[3];
        size_t values;
        float first;
    } cases[] = {{"sound for sound", NULL, {4, FRAMES, MELS}, (size_t)4 * MAP, 0},
                 {"three pictures", "not of shape", {3, FRAMES, MELS}, (size_t)3 * MAP, 0},
                 {"none", "not of shape", {0, FRAMES, MELS}, 0, 0},
                 {"more than there can be", "not of shape", {34, FRAMES, MELS}, (size_t)4 * MAP, 0},
                 {"other frames", "not of shape", {4, FRAMES + 1, MELS}, (size_t)4 * MAP, 0},
                 {"other bands", "not of shape", {4, FRAMES, MELS / 2}, (size_t)2 * MAP, 0},
                 {"cut short", "has not", {4, FRAMES, MELS}, (size_t)4 * MAP - 1, 0},
                 {"too long", "has not", {4, FRAMES, MELS}, (size_t)4 * MAP + 1, 0},
                 {"a value that is none", "value 0 is not finite", {4, FRAMES, MELS}, (size_t)4 * MAP, NAN}};
    float maps[2 * SOUNDS * MAP + 1] = {0};
    struct plot_data d;
    make_model();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        maps[0] = cases[i].first;
        put_maps(cases[i].shape, maps, cases[i].values);
        printf("    %s\n", cases[i].reason);
        CHECK_CODE(plot_load(".", "m", &d), cases[i].said ? STATUS_DAMAGED : STATUS_OK);
        CHECK(!cases[i].said || (strstr(status_message(), "maps.npy") && strstr(status_message(), cases[i].said)));
        plot_release(&d);
    }
    put_text("models/m/previews/maps.npy", "rubbish");
    CHECK_CODE(plot_load(".", "m", &d), STATUS_DAMAGED);
    make_maps(maps);
    put_maps(cases[0].shape, maps, cases[0].values);
    put_text("models/m/config.json", "{}");
    CHECK_CODE(plot_load(".", "m", &d), STATUS_DAMAGED);
    CHECK(strstr(status_message(), "config.json"));
    CHECK(unlink("models/m/config.json") == 0);
    CHECK_CODE(plot_load(".", "m", &d), STATUS_NOT_FOUND);
}

/* Each value's pixel has its curve's colour, and so has the middle of a line between two. */
TEST(curves_are_where_they_should_be)
{
    struct plot_data d;
    struct plot_panel losses, divergence;
    struct figure *f = NULL;
    make_model();
    CHECK_OK(plot_load(".", "m", &d));
    CHECK_OK(plot_curves(&d, &f));
    CHECK_OK(figure_write_png(f, "c.png"));
    struct png_read p = png_read("c.png");
    CHECK(p.width == PLOT_CURVES_WIDTH && p.height == PLOT_CURVES_HEIGHT);
    plot_curves_panels(&d, &losses, &divergence);
    CHECK(losses.y.is_log && !divergence.y.is_log);
    for (enum plot_curve c = PLOT_TRAIN; c < PLOT_CURVES; c++)
        for (int i = 0; i < d.count; i++) {
            const double v = plot_curve_value(&d.metrics[i], c);
            if (!isfinite(v) || (c == PLOT_TRAIN && i == 3)) /* validation is over it */
                continue;
            const struct figure_point at =
                plot_place(c == PLOT_KL ? &divergence : &losses, (double)d.metrics[i].step, v);
            CHECK(png_at(&p, (int)at.x - (i == 3), (int)at.y) == plot_curve_colour(c));
        }
    const struct figure_point a = plot_place(&divergence, 20, 2), b = plot_place(&divergence, 30, 3);
    CHECK(png_at(&p, (int)((a.x + b.x) / 2), (int)((a.y + b.y) / 2)) == plot_curve_colour(PLOT_KL));
    const struct figure_point gap = plot_place(&losses, 30, 1.41421356); /* no line through what was not finite */
    CHECK(png_at(&p, (int)gap.x, (int)gap.y) != plot_curve_colour(PLOT_TRAIN));
    free(p.rgb);
    figure_destroy(&f);
    plot_release(&d);
}

TEST(one_validation_and_very_many)
{
    struct plot_data d = {.name = "m", .count = 1, .best = -1};
    struct figure *f = NULL;
    d.metrics = calloc(VAE_METRICS_MOST, sizeof *d.metrics);
    REQUIRE(d.metrics);
    d.metrics[0] = (struct vae_metric){5, NAN, NAN, NAN, NAN, 0}; /* nothing that can be drawn */
    CHECK_OK(plot_curves(&d, &f));
    CHECK_OK(figure_write_png(f, "1.png"));
    figure_destroy(&f);
    for (int i = 0; i < VAE_METRICS_MOST; i++)
        d.metrics[i] = (struct vae_metric){(i + 1) * 100, 1.0 / (i + 1), 1 + sin(i), 1e-30, i % 7 ? 1 : (double)NAN, i};
    d.count = VAE_METRICS_MOST;
    d.best = 11;
    CHECK_OK(plot_curves(&d, &f));
    CHECK_OK(figure_write_png(f, "many.png"));
    CHECK_OK(figure_write_svg(f, "many.svg"));
    figure_destroy(&f);
    plot_release(&d);
}

/* Whose row is bright, seen in the middle of a cell. */
static int brightest(const struct png_read *p, struct plot_cell c)
{
    int best = -1, most = -1;
    for (int m = 0; m < MELS; m++) {
        const double y = c.top + (MELS - 1 - m + 0.5) / MELS * c.height;
        const uint32_t rgb = png_at(p, (int)(c.left + c.width / 2), (int)y);
        const int light = (int)(rgb >> 16) + (int)(rgb >> 8 & 255) + (int)(rgb & 255);
        best = light > most ? m : best;
        most = light > most ? light : most;
    }
    return best;
}

TEST(sounds_stand_above_what_became_of_them)
{
    struct plot_data d;
    struct figure *f = NULL;
    make_model();
    CHECK_OK(plot_load(".", "m", &d));
    CHECK_OK(plot_sheet(&d, &f));
    CHECK_OK(figure_write_png(f, "s.png"));
    struct png_read p = png_read("s.png");
    for (int row = 0; row < 2; row++)
        for (int n = 0; n < SOUNDS; n++) {
            const int band = brightest(&p, plot_sheet_cell(n, row));
            printf("    row %d, sound %d: band %d\n", row, n, band);
            CHECK(band == 4 * (row * SOUNDS + n) + 1);
        }
    free(p.rgb);
    figure_destroy(&f);
    float *const sixteen = malloc(32 * sizeof(float) * MAP);
    REQUIRE(sixteen);
    for (int i = 0; i < 32 * MAP; i++)
        sixteen[i] = -300; /* silence */
    free(d.maps);
    d.maps = sixteen;
    d.sounds = 16;
    CHECK_OK(plot_sheet(&d, &f));
    CHECK_OK(figure_write_png(f, "16.png"));
    struct png_read all = png_read("16.png");
    const struct plot_cell last = plot_sheet_cell(15, 1);
    CHECK(all.width > last.left + last.width && all.height > last.top + last.height);
    free(all.rgb);
    figure_destroy(&f);
    plot_release(&d);
}
