/* dataset thumbnails: a job draws each sound, this puts them onto one sheet. */
#include "colour_map.h"
#include "dataset_verbs.h"
#include "letters.h"
#include "png_write.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOUNDS_MOST = 500,
    PICTURE_WIDTH = 160,
    PICTURE_HEIGHT = 64,
    MARGIN = 6,
    CELL_WIDTH = PICTURE_WIDTH + MARGIN,
    CELL_HEIGHT = PICTURE_HEIGHT + 2 + LETTER_HEIGHT + MARGIN,
    LETTERS_MOST = PICTURE_WIDTH / LETTER_STEP
};

/* Colours: 0 to LOUDEST are levels. */
enum { LOUDEST = 252, PAPER = 253, INK = 254, ABSENT = 255 };

struct sheet {
    const struct dataset *d;
    struct walk files;
    size_t *cell; /* [d->count]: where each sound stands */
    int64_t columns, rows, width, height;
    uint8_t *pixels;
};

struct named {
    const struct dataset_file *file;
    size_t index;
};

static int by_label(const void *a, const void *b)
{
    const struct named *const x = a, *const y = b;
    const int order = strcmp(x->file->label, y->file->label);
    return order ? order : strcmp(x->file->name, y->file->name);
}

static void make_colours(uint8_t colours[256][3])
{
    for (int i = 0; i <= LOUDEST; i++)
        colour_map((double)i / LOUDEST, colours[i]);
    memset(colours[PAPER], 250, 3);
    memset(colours[INK], 20, 3);
    memset(colours[ABSENT], 190, 3);
}

static void corner_of(const struct sheet *s, size_t index, int64_t *x, int64_t *y)
{
    const int64_t cell = (int64_t)s->cell[index];
    *x = MARGIN + cell % s->columns * CELL_WIDTH;
    *y = MARGIN + cell / s->columns * CELL_HEIGHT;
}

/* The end of a name says more than its beginning. */
static void write_name(struct sheet *s, size_t index)
{
    const char *name = s->d->files[index].name;
    char text[LETTERS_MOST + 2 + 4 * LETTERS_MOST];
    int64_t x, y;
    const size_t n = letters_count(name);
    corner_of(s, index, &x, &y);
    for (size_t left = n; left > LETTERS_MOST - 1 && n > LETTERS_MOST; name++)
        left -= ((unsigned char)name[1] & 0xc0) != 0x80;
    snprintf(text, sizeof text, "%s%s", n > LETTERS_MOST ? "~" : "", name);
    letters_draw(text, INK, x, y + PICTURE_HEIGHT + 2, s->pixels, s->width, s->height);
}

static int open_sheet(struct sheet *s)
{
    const size_t n = s->d->count;
    const double wide = sqrt((double)n * 4 / 3 * CELL_HEIGHT / CELL_WIDTH); /* about 4 to 3 */
    s->columns = (int64_t)ceil(wide);
    s->rows = ((int64_t)n + s->columns - 1) / s->columns;
    s->width = MARGIN + s->columns * CELL_WIDTH;
    s->height = MARGIN + s->rows * CELL_HEIGHT;
    s->pixels = malloc((size_t)(s->width * s->height));
    s->cell = calloc(n, sizeof *s->cell);
    struct named *const order = calloc(n, sizeof *order);
    int code = s->pixels && s->cell && order ? STATUS_OK : fail(STATUS_NOMEM, "dataset: out of memory");
    for (size_t i = 0; i < n && !code; i++)
        order[i] = (struct named){&s->d->files[i], i};
    if (!code) {
        qsort(order, n, sizeof *order, by_label);
        for (size_t i = 0; i < n; i++)
            s->cell[order[i].index] = i;
        memset(s->pixels, PAPER, (size_t)(s->width * s->height));
    }
    free(order);
    for (size_t i = 0; i < n && !code; i++) {
        int64_t x, y;
        corner_of(s, i, &x, &y);
        for (int64_t r = 0; r < PICTURE_HEIGHT; r++)
            memset(s->pixels + (y + r) * s->width + x, ABSENT, PICTURE_WIDTH);
        write_name(s, i);
    }
    return code;
}

static int on_result(struct batch *b, const char *path, struct wire_slice result)
{
    struct sheet *const s = b->context;
    struct kind_inspect_result r;
    size_t i = 0;
    int64_t x, y;
    const int code = wire_decode(&kind_inspect_result_schema, result.data, result.bytes, &r);
    if (code)
        return code;
    if (r.picture.bytes != PICTURE_WIDTH * PICTURE_HEIGHT)
        return fail(STATUS_FORMAT, "worker: a picture of %u bytes", r.picture.bytes);
    while (i < s->files.count && s->files.paths[i] != path)
        i++;
    if (i == s->files.count)
        return STATUS_OK;
    corner_of(s, i, &x, &y);
    for (int64_t row = 0; row < PICTURE_HEIGHT; row++) /* the lowest band at the bottom */
        for (int64_t c = 0; c < PICTURE_WIDTH; c++)
            s->pixels[(y + PICTURE_HEIGHT - 1 - row) * s->width + x + c] =
                (uint8_t)(r.picture.data[row * PICTURE_WIDTH + c] * LOUDEST / 255);
    return STATUS_OK;
}

static int draw(struct dataset_request *r, struct sheet *s)
{
    const struct kind_inspect_params params = {.columns = PICTURE_WIDTH, .bands = PICTURE_HEIGHT};
    struct wire_buffer bytes = {0};
    char path[PATHS_MAX + 128];
    int code = open_sheet(s);
    for (size_t i = 0; i < s->d->count && !code; i++) {
        code = dataset_path(s->d, i, path, sizeof path);
        s->files.paths[i] = code ? NULL : strdup(path);
        if (!code && !s->files.paths[i])
            code = fail(STATUS_NOMEM, "dataset: out of memory");
        s->files.count += !code;
    }
    code = code ? code : wire_encode(&kind_inspect_params_schema, &params, &bytes);
    struct batch b = {.common = &r->common,
                      .command = "dataset",
                      .kind = KIND_INSPECT,
                      .params = {bytes.data, (uint32_t)bytes.bytes},
                      .files = &s->files,
                      .show = on_result,
                      .stays = "no picture was written",
                      .context = s};
    const int exit_code = code ? dataset_tell_failed(r, s->d->name, code) : batch_run(&b);
    wire_free(&bytes);
    return exit_code;
}

static int finish(struct dataset_request *r, const struct sheet *s)
{
    static uint8_t colours[256][3];
    char out[DATASET_NAME_MOST + 8];
    snprintf(out, sizeof out, "%s.png", s->d->name);
    const char *const path = r->out ? r->out : out;
    make_colours(colours);
    const int code = png_write(path, (uint32_t)s->width, (uint32_t)s->height, s->pixels, colours);
    if (code)
        return dataset_tell_failed(r, s->d->name, code);
    if (r->common.format == OUTPUT_JSON) {
        bool exact;
        output_json_line(json_pack("{s:i, s:s, s:s, s:{s:o, s:I, s:I, s:I}}", "schema", OUTPUT_SCHEMA, "tool_version",
                                   WAVEMILL_VERSION, "dataset", s->d->name, "results", "out", output_path(path, &exact),
                                   "sounds", (json_int_t)s->d->count, "width", (json_int_t)s->width, "height",
                                   (json_int_t)s->height));
    } else if (!r->common.quiet) {
        output_plain(stdout, path);
        printf(": %zu sounds, %lld x %lld pixels\n", s->d->count, (long long)s->width, (long long)s->height);
    }
    return EXIT_DONE;
}

int dataset_thumbnails(struct dataset_request *r, const char *name)
{
    struct dataset *d = NULL;
    const int code = dataset_open(r->paths.home, name, &d);
    if (code)
        return dataset_tell_failed(r, name, code);
    int exit_code;
    struct sheet s = {.d = d};
    s.files.paths = calloc(d->count, sizeof *s.files.paths);
    if (d->count > SOUNDS_MOST)
        exit_code = dataset_tell_failed(
            r, name, fail(STATUS_UNSUPPORTED, "%zu sounds; a picture has %d at most", d->count, SOUNDS_MOST));
    else if (!s.files.paths)
        exit_code = dataset_tell_failed(r, name, fail(STATUS_NOMEM, "dataset: out of memory"));
    else
        exit_code = draw(r, &s);
    const bool drawn =
        exit_code == EXIT_DONE || (exit_code == EXIT_SOME_FAILED && s.pixels && s.files.count == d->count);
    if (drawn) {
        const int written = finish(r, &s);
        exit_code = written ? written : exit_code;
    }
    walk_free(&s.files);
    free(s.cell);
    free(s.pixels);
    dataset_close(&d);
    return exit_code;
}
