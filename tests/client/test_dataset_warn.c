/* What is said of a dataset before training: each thing exactly when it is so. */
#include "dataset_verbs.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 12 };

struct sounds {
    const char *reason;
    size_t count;
    double duration_s; /* of each */
    /* what the first one is instead */
    double first_s, rms;
    uint64_t clipped;
    uint32_t rate_hz, channels;
    const char *warning, *duplicate;
    const char *kinds; /* those that are said, in order */
};

static const struct sounds cases[] = {
    {"nothing to say", 6, 2, 2, 0.1, 0, 44100, 1, "", NULL, ""},
    {"silence", 6, 2, 2, 9.9e-5, 0, 44100, 1, "", NULL, "silent "},
    {"soft", 6, 2, 2, 1.01e-4, 0, 44100, 1, "", NULL, ""},
    {"clipped", 6, 2, 2, 0.1, 3, 44100, 1, "", NULL, "clipped "},
    {"another rate", 6, 2, 2, 0.1, 0, 48000, 1, "", NULL, "sample rates "},
    {"more channels", 6, 2, 2, 0.1, 0, 44100, 2, "", NULL, "channels "},
    {"an odd file", 6, 2, 2, 0.1, 0, 44100, 1, "odd", NULL, "decoder "},
    {"the same twice under its label", 6, 2, 2, 0.1, 0, 44100, 1, "", "kick/other", "duplicate "},
    {"and under another", 6, 2, 2, 0.1, 0, 44100, 1, "", "snare/other", "duplicate label "},
    {"and under one as long", 6, 2, 2, 0.1, 0, 44100, 1, "", "lick/other", "duplicate label "},
    {"and under one below", 6, 2, 2, 0.1, 0, 44100, 1, "", "kick/b/other", "duplicate label "},
    {"and under none", 6, 2, 2, 0.1, 0, 44100, 1, "", "other", "duplicate label "},
    {"few", 4, 3, 3, 0.1, 0, 44100, 1, "", NULL, "few "},
    {"just enough", 5, 2, 2, 0.1, 0, 44100, 1, "", NULL, ""},
    {"short", 6, 1.6, 1.6, 0.1, 0, 44100, 1, "", NULL, "short "},
    {"one that is most of it", 6, 2, 10.1, 0.1, 0, 44100, 1, "", NULL, "long "},
    {"one that is half of it", 6, 2, 10, 0.1, 0, 44100, 1, "", NULL, ""},
    {"one of two", 2, 2, 20, 0.1, 0, 44100, 1, "", NULL, "few "},
    {"ten hours among many", 12, 36000, 36000, 0.1, 0, 44100, 1, "", NULL,
     "long long long long long long long long long long long long "},
    {"one alone is all of it", 1, 20, 20, 0.1, 0, 44100, 1, "", NULL, "few "},
    {"everything", 2, 1, 1, 0, 9, 8000, 3, "odd", "snare/x",
     "silent clipped decoder duplicate label sample rates channels few short "},
};

static void note(void *context, const struct dataset_warning *w)
{
    char *const all = context;
    snprintf(all + strlen(all), 200 - strlen(all), "%s ", w->kind);
    CHECK(*w->text);
}

TEST(what_is_said)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct dataset_file files[MOST];
        char *duplicates[] = {(char *)(uintptr_t)cases[c].duplicate};
        char said[200] = "", name[] = "kick/a.wav", label[] = "kick", none[] = "";
        for (size_t i = 0; i < cases[c].count; i++)
            files[i] = (struct dataset_file){.name = name,
                                             .label = label,
                                             .codec = none,
                                             .warning = none,
                                             .duration_s = cases[c].duration_s,
                                             .rms = 0.1,
                                             .peak = 0.5,
                                             .rate_hz = 44100,
                                             .channels = 1};
        files[0].duration_s = cases[c].first_s;
        files[0].rms = cases[c].rms;
        files[0].clipped_samples = cases[c].clipped;
        files[0].rate_hz = cases[c].rate_hz;
        files[0].channels = cases[c].channels;
        files[0].warning = (char *)(uintptr_t)cases[c].warning;
        files[0].duplicates = duplicates;
        files[0].duplicates_count = cases[c].duplicate != NULL;
        const struct dataset d = {.files = files, .count = cases[c].count};
        dataset_warnings(&d, note, said);
        printf("    %s: %s\n", cases[c].reason, said);
        CHECK(strcmp(said, cases[c].kinds) == 0);
    }
}

TEST(times_and_sizes)
{
    static const struct {
        double seconds;
        const char *text;
    } times[] = {{0, "0.0 s"},     {0.05, "0.1 s"},        {59.94, "59.9 s"},     {59.96, "1:00.0"},
                 {61.5, "1:01.5"}, {3599.99, "1:00:00.0"}, {36000, "10:00:00.0"}, {3723.4, "1:02:03.4"}};
    char text[32];
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        dataset_time(times[i].seconds, text, sizeof text);
        printf("    %g: %s\n", times[i].seconds, text);
        CHECK(strcmp(text, times[i].text) == 0);
    }
    dataset_size(1572864, text, sizeof text);
    CHECK(strcmp(text, "1.5 MiB") == 0);
    dataset_size(UINT64_C(3) << 30, text, sizeof text);
    CHECK(strcmp(text, "3.0 GiB") == 0);
}
