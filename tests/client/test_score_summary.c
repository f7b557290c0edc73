/* Means and medians over tracks: by hand, with what is undefined left out. */
#include "score_summary.h"
#include "test.h"

#include <math.h>
#include <string.h>

static bool is(double got, double want)
{
    return isnan(want) ? isnan(got) : got == want;
}

static const struct {
    const char *reason;
    double values[5];
    int count;
    double mean, median;
} cases[] = {
    {"nothing", {0}, 0, NAN, NAN},
    {"one", {3}, 1, 3, 3},
    {"an odd number: the middle one", {9, 1, 2}, 3, 4, 2},
    {"an even number: between the middle two", {8, -4, 2, 6}, 4, 3, 4},
    {"undefined ones are left out", {NAN, 5, INFINITY, 1, -INFINITY}, 5, 3, 3},
    {"only undefined ones", {NAN, NAN}, 2, NAN, NAN},
};

TEST(as_by_hand)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct score_summary y = {0};
        for (int i = 0; i < cases[c].count; i++) {
            const double x = cases[c].values[i], values[SCORE_MEASURES] = {NAN, x, NAN, NAN, NAN, -x};
            CHECK_OK(score_summary_add(&y, NULL, values));
        }
        printf("    %s\n", cases[c].reason);
        CHECK(y.tracks == (uint64_t)cases[c].count);
        CHECK(is(score_summary_mean(&y.all, 1), cases[c].mean) && is(score_summary_median(&y.all, 1), cases[c].median));
        CHECK(is(score_summary_mean(&y.all, 5), -cases[c].mean) && isnan(score_summary_mean(&y.all, 0)));
        score_summary_free(&y);
    }
}

TEST(stems_are_apart_and_in_order)
{
    struct score_summary y = {0};
    const char *const stems[] = {"vocals", "bass"};
    for (int i = 0; i < 200; i++) { /* more than the first room is for */
        const double values[SCORE_MEASURES] = {i % 2 ? (i - 1) / 2.0 + 100 : i / 2.0};
        CHECK_OK(score_summary_add(&y, stems[i % 2], values));
    }
    CHECK(y.stems_count == 2 && y.tracks == 0 && isnan(score_summary_median(&y.all, 0)));
    CHECK(strcmp(y.stems[0].name, "vocals") == 0 && strcmp(y.stems[1].name, "bass") == 0);
    CHECK(is(score_summary_mean(&y.stems[0], 0), 49.5) && is(score_summary_median(&y.stems[1], 0), 149.5));
    score_summary_free(&y);
    CHECK(y.stems_count == 0);
}
