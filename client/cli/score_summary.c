#include "score_summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const score_measure_names[SCORE_MEASURES] = {"sdr_mdx", "si_sdr",  "bss_sdr",
                                                         "bss_isr", "bss_sir", "bss_sar"};
const char *const score_measure_titles[SCORE_MEASURES] = {"MDX SDR", "SI-SDR", "BSS SDR", "ISR", "SIR", "SAR"};

static struct score_statistics *find(struct score_summary *y, const char *stem)
{
    for (size_t i = 0; i < y->stems_count; i++)
        if (strcmp(y->stems[i].name, stem) == 0)
            return &y->stems[i];
    struct score_statistics *const grown = realloc(y->stems, (y->stems_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    y->stems = grown;
    grown[y->stems_count] = (struct score_statistics){.name = strdup(stem)};
    return grown[y->stems_count].name ? &grown[y->stems_count++] : NULL;
}

static int append(struct score_statistics *s, int m, double value)
{
    if (s->count[m] == s->capacity[m]) {
        const size_t capacity = s->capacity[m] ? 2 * s->capacity[m] : 64;
        double *const grown = realloc(s->values[m], capacity * sizeof *grown);
        if (!grown)
            return fail(STATUS_NOMEM, "out of memory");
        s->values[m] = grown;
        s->capacity[m] = capacity;
    }
    s->values[m][s->count[m]++] = value;
    return STATUS_OK;
}

int score_summary_add(struct score_summary *y, const char *stem, const double values[SCORE_MEASURES])
{
    struct score_statistics *s = &y->all;
    if (stem && !(s = find(y, stem)))
        return fail(STATUS_NOMEM, "out of memory");
    int code = STATUS_OK;
    for (int m = 0; m < SCORE_MEASURES && !code; m++)
        if (isfinite(values[m]))
            code = append(s, m, values[m]);
    y->tracks += !stem && !code;
    return code;
}

double score_summary_mean(const struct score_statistics *s, int measure)
{
    double sum = 0;
    for (size_t i = 0; i < s->count[measure]; i++)
        sum += s->values[measure][i];
    return s->count[measure] ? sum / (double)s->count[measure] : NAN;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double score_summary_median(const struct score_statistics *s, int measure)
{
    const size_t n = s->count[measure];
    if (n == 0)
        return NAN;
    qsort(s->values[measure], n, sizeof *s->values[measure], by_value);
    return (s->values[measure][(n - 1) / 2] + s->values[measure][n / 2]) / 2;
}

static void release(struct score_statistics *s)
{
    free(s->name);
    for (int m = 0; m < SCORE_MEASURES; m++)
        free(s->values[m]);
}

void score_summary_free(struct score_summary *y)
{
    for (size_t i = 0; i < y->stems_count; i++)
        release(&y->stems[i]);
    release(&y->all);
    free(y->stems);
    *y = (struct score_summary){0};
}
