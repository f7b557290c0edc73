#include "bag.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MOST = BAG_SIGNATURE_MOST };

struct reader {
    const char *name, *at, *end;
    int line;
    struct bag *bag;
    double row[BAG_STEMS_MOST]; /* of the weights, while it is read */
};

static int refuse(const struct reader *r, const char *what)
{
    return fail(STATUS_FORMAT, "bag: %.200s: line %d: %s", r->name, r->line, what);
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr("_-+.", c));
}

bool bag_is_signature(const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (!is_word(text[i]) || strchr("+.", text[i]))
            return false;
    return n > 0 && n <= BAG_SIGNATURE_MOST && text[0] != '-';
}

/* Blanks, line ends and comments; gives the character behind them, 0 at the end. */
static char skip(struct reader *r)
{
    for (; r->at < r->end; r->at++) {
        if (*r->at == '#')
            while (r->at + 1 < r->end && r->at[1] != '\n')
                r->at++;
        else if (*r->at == '\n')
            r->line++;
        else if (!strchr(" \t\r", *r->at))
            return *r->at;
    }
    return '\0';
}

static int read_word(struct reader *r, char out[WORD_MOST + 1])
{
    size_t n = 0;
    const char quote = skip(r);
    const bool is_quoted = quote == '\'' || quote == '"';
    r->at += is_quoted;
    while (r->at < r->end && is_word(*r->at) && n < WORD_MOST)
        out[n++] = *r->at++;
    out[n] = '\0';
    if (is_quoted && (r->at == r->end || *r->at++ != quote))
        return refuse(r, "a quoted name of other than letters, digits, '_' and '-', or of more than 64");
    if (n == 0 || (r->at < r->end && is_word(*r->at)))
        return refuse(r, "a name of up to 64 letters, digits, '_' and '-', or a number, is missing");
    return STATUS_OK;
}

static int read_number(struct reader *r, double least, double most, double *out)
{
    char text[WORD_MOST + 1], *end = NULL;
    const int code = read_word(r, text);
    if (code)
        return code;
    errno = 0;
    *out = strtod(text, &end);
    return !*end && !errno && *out >= least && *out <= most && !strpbrk(text, "xXnN")
               ? STATUS_OK
               : refuse(r, "a number is missing, or out of its range");
}

/* [item, item, ...], a comma at the end is good; *count items. */
static int read_list(struct reader *r, int most, int (*item)(struct reader *r, int index), int *count)
{
    int code = STATUS_OK;
    *count = 0;
    if (skip(r) != '[')
        return refuse(r, "a list [...] is missing");
    r->at++;
    while (skip(r) != ']') {
        if (*count == most)
            return refuse(r, "a list of more than 16");
        if ((code = item(r, *count)))
            return code;
        ++*count;
        const char c = skip(r);
        if (c != ',' && c != ']')
            return refuse(r, "',' or ']' is missing");
        r->at += c == ',';
    }
    r->at++;
    return *count ? STATUS_OK : refuse(r, "an empty list");
}

static int read_signature(struct reader *r, int index)
{
    const int code = read_word(r, r->bag->signature[index]);
    return code || bag_is_signature(r->bag->signature[index]) ? code : refuse(r, "that is no name of a network");
}

static int read_weight(struct reader *r, int index)
{
    return read_number(r, 0, 1e6, &r->row[index]);
}

static int read_row(struct reader *r, int index)
{
    int stems = 0;
    const int code = read_list(r, BAG_STEMS_MOST, read_weight, &stems);
    if (code)
        return code;
    if (index && stems != r->bag->stems)
        return refuse(r, "a row of the weights is longer or shorter than the one before");
    r->bag->stems = stems;
    memcpy(r->bag->weight[index], r->row, (size_t)stems * sizeof *r->row);
    return STATUS_OK;
}

static int check(const struct reader *r, int rows)
{
    const struct bag *const b = r->bag;
    if (b->networks == 0)
        return refuse(r, "it ends, and names no models");
    if (rows && rows != b->networks)
        return refuse(r, "there are more or fewer rows of weights than models");
    for (int k = 0; k < b->stems; k++) {
        double sum = 0;
        for (int i = 0; i < rows; i++)
            sum += b->weight[i][k];
        if (!(sum > 0))
            return refuse(r, "no network has a weight for one of the stems");
    }
    return STATUS_OK;
}

int bag_parse(const char *text, size_t bytes, const char *name, struct bag *out)
{
    struct reader r = {.name = name, .at = text, .end = text + bytes, .line = 1, .bag = out};
    int rows = 0, code = STATUS_OK;
    *out = (struct bag){0};
    if (bytes > BAG_BYTES_MOST)
        return refuse(&r, "more than 64 KiB, for the names of some files");
    if (memchr(text, 0, bytes))
        return refuse(&r, "a byte of 0: this is no text");
    while (!code && skip(&r)) {
        char key[WORD_MOST + 1];
        if (r.at > text && r.at[-1] != '\n')
            return refuse(&r, "a key does not begin its line");
        if ((code = read_word(&r, key)))
            return code;
        if (skip(&r) != ':')
            return refuse(&r, "':' is missing");
        r.at++;
        if (strcmp(key, "models") == 0 && !out->networks)
            code = read_list(&r, BAG_NETWORKS_MOST, read_signature, &out->networks);
        else if (strcmp(key, "weights") == 0 && !rows)
            code = read_list(&r, BAG_NETWORKS_MOST, read_row, &rows);
        else if (strcmp(key, "segment") == 0 && out->segment_s == 0)
            code = read_number(&r, 0.001, 3600, &out->segment_s);
        else
            return refuse(&r, "there are models, weights and segment, each once");
    }
    return code ? code : check(&r, rows);
}
