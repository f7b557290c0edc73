/* A figure as SVG 1.1. Pictures are PNGs within it. */
#include "figure_shapes.h"
#include "png_write.h"
#include "whole_file.h"

#include <errno.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hundredths of a pixel; the program never leaves the C locale. */
static void number(FILE *to, const char *name, double v)
{
    char text[64];
    snprintf(text, sizeof text, "%.2f", v);
    size_t n = strlen(text);
    while (n && text[n - 1] == '0')
        text[--n] = '\0';
    if (n && text[n - 1] == '.')
        text[--n] = '\0';
    fprintf(to, " %s=\"%s\"", name, strcmp(text, "-0") == 0 ? "0" : text);
}

static void colour(FILE *to, const char *name, uint32_t c)
{
    fprintf(to, " %s=\"#%06x\"", name, (unsigned)c);
}

static void lines(FILE *to, const struct shape *s)
{
    fputs("<polyline points=\"", to);
    for (size_t i = 0; i < s->count; i++)
        fprintf(to, "%s%.2f,%.2f", i ? " " : "", s->points[i].x, s->points[i].y);
    fputs("\" fill=\"none\"", to);
    colour(to, "stroke", s->colour);
    number(to, "stroke-width", s->width);
    if (s->dash > 0)
        number(to, "stroke-dasharray", s->dash);
    fputs(" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n", to);
}

static void box(FILE *to, const struct shape *s)
{
    fputs("<rect", to);
    number(to, "x", s->at.x);
    number(to, "y", s->at.y);
    number(to, "width", s->width);
    number(to, "height", s->height);
    colour(to, "fill", s->colour);
    fputs("/>\n", to);
}

static void disc(FILE *to, const struct shape *s)
{
    fputs("<circle", to);
    number(to, "cx", s->at.x);
    number(to, "cy", s->at.y);
    number(to, "r", s->width);
    colour(to, "fill", s->colour);
    fputs("/>\n", to);
}

static void text(FILE *to, const struct shape *s)
{
    static const char *const anchors[] = {"start", "middle", "end"};
    fputs("<text", to);
    number(to, "x", s->at.x);
    number(to, "y", s->at.y);
    number(to, "font-size", s->width);
    colour(to, "fill", s->colour);
    fprintf(to, " text-anchor=\"%s\"", anchors[s->anchor]);
    if (s->up)
        fprintf(to, " transform=\"rotate(-90 %.2f %.2f)\"", s->at.x, s->at.y);
    fputc('>', to);
    for (const char *c = s->text; *c; c++)
        if (*c == '<')
            fputs("&lt;", to);
        else if (*c == '>')
            fputs("&gt;", to);
        else if (*c == '&')
            fputs("&amp;", to);
        else
            fputc(*c, to);
    fputs("</text>\n", to);
}

static int picture(FILE *to, const struct shape *s)
{
    void *png = NULL;
    size_t bytes = 0;
    const int code = png_encode_rgb((uint32_t)s->columns, (uint32_t)s->rows, s->rgb, &png, &bytes);
    if (code)
        return code;
    const size_t room = sodium_base64_encoded_len(bytes, sodium_base64_VARIANT_ORIGINAL);
    char *const letters = malloc(room);
    if (letters) {
        sodium_bin2base64(letters, room, png, bytes, sodium_base64_VARIANT_ORIGINAL);
        fputs("<image", to);
        number(to, "x", s->at.x);
        number(to, "y", s->at.y);
        number(to, "width", s->width);
        number(to, "height", s->height);
        fprintf(to, " preserveAspectRatio=\"none\" xlink:href=\"data:image/png;base64,%s\"/>\n", letters);
    }
    free(png);
    free(letters);
    return letters ? STATUS_OK : fail(STATUS_NOMEM, "figure: out of memory");
}

static int put(FILE *to, const struct shape *s)
{
    switch (s->kind) {
    case SHAPE_LINES:
        lines(to, s);
        return STATUS_OK;
    case SHAPE_BOX:
        box(to, s);
        return STATUS_OK;
    case SHAPE_DISC:
        disc(to, s);
        return STATUS_OK;
    case SHAPE_TEXT:
        text(to, s);
        return STATUS_OK;
    default:
        return picture(to, s);
    }
}

int figure_write_svg(const struct figure *f, const char *path)
{
    char *all = NULL;
    size_t bytes = 0;
    int code = figure_failed(f);
    FILE *const to = code ? NULL : open_memstream(&all, &bytes);
    if (!to)
        return code ? code : fail(STATUS_NOMEM, "figure: out of memory");
    fprintf(to,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
            "xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"%lld\" height=\"%lld\" viewBox=\"0 0 %lld %lld\" "
            "font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            (long long)f->width, (long long)f->height, (long long)f->width, (long long)f->height);
    for (size_t i = 0; i < f->count && !code; i++)
        code = put(to, &f->shapes[i]);
    fputs("</svg>\n", to);
    if (fclose(to) && !code)
        code = fail(STATUS_NOMEM, "figure: %s", strerror(errno));
    code = code ? code : whole_file_write(path, all, bytes);
    free(all);
    return code;
}
