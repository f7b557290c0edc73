/* Pairing the stems of two folders, from lists of names. A track is written as the test expects it: its name, then
 * STEM=REFERENCE,ESTIMATE for each pair, then the error behind a !. */
#include "score_pairs.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { FILES = 12, TRACKS = 5 };

static const struct {
    const char *reason, *reference_root, *estimate_root;
    const char *references[FILES], *estimates[FILES], *only[4], *want[TRACKS];
} cases[] = {
    {"MUSDB beside Demucs: mixture is no stem, tracks and stems in order",
     "musdb/test",
     "separated/htdemucs",
     {"musdb/test/B - b/vocals.wav", "musdb/test/B - b/mixture.wav", "musdb/test/A - a/vocals.wav",
      "musdb/test/A - a/drums.wav", "musdb/test/A - a/mixture.wav"},
     {"separated/htdemucs/A - a/drums.wav", "separated/htdemucs/A - a/vocals.wav",
      "separated/htdemucs/B - b/vocals.wav"},
     {NULL},
     {"A - a drums=musdb/test/A - a/drums.wav,separated/htdemucs/A - a/drums.wav "
      "vocals=musdb/test/A - a/vocals.wav,separated/htdemucs/A - a/vocals.wav",
      "B - b vocals=musdb/test/B - b/vocals.wav,separated/htdemucs/B - b/vocals.wav"}},
    {"a single track, other endings, roots with slashes",
     "ref/",
     "est//",
     {"ref/vocals.wav", "ref/bass.flac"},
     {"est//vocals.mp3", "est//bass.wav"},
     {NULL},
     {" bass=ref/bass.flac,est//bass.wav vocals=ref/vocals.wav,est//vocals.mp3"}},
    {"deeper folders are part of the track's name",
     "r",
     "e",
     {"r/test/A/vocals.wav"},
     {"e/test/A/vocals.wav", "e/A/vocals.wav"},
     {NULL},
     {"A !no reference of this track", "test/A vocals=r/test/A/vocals.wav,e/test/A/vocals.wav"}},
    {"stems of one side only: what can be paired stays",
     "r",
     "e",
     {"r/T/bass.wav", "r/T/drums.wav", "r/T/vocals.wav"},
     {"e/T/no_vocals.wav", "e/T/vocals.wav"},
     {NULL},
     {"T vocals=r/T/vocals.wav,e/T/vocals.wav !no estimate of bass; no estimate of drums; no reference of no_vocals"}},
    {"tracks of one side only",
     "r",
     "e",
     {"r/A/vocals.wav"},
     {"e/B/vocals.wav"},
     {NULL},
     {"A !no estimate of this track", "B !no reference of this track"}},
    {"two files are the same stem",
     "r",
     "e",
     {"r/T/bass.wav", "r/T/vocals.flac", "r/T/vocals.wav"},
     {"e/T/bass.wav", "e/T/vocals.flac", "e/T/vocals.mp3", "e/T/vocals.wav"},
     {NULL},
     {"T bass=r/T/bass.wav,e/T/bass.wav !2 files are the reference of vocals; 3 files are the estimate of vocals"}},
    {"only vocals: the rest of neither side counts",
     "r",
     "e",
     {"r/T/bass.wav", "r/T/vocals.wav", "r/U/bass.wav"},
     {"e/T/no_vocals.wav", "e/T/vocals.wav", "e/U/bass.wav"},
     {"vocals"},
     {"T vocals=r/T/vocals.wav,e/T/vocals.wav", "U !neither reference nor estimate of vocals"}},
    {"even mixture, where it is asked for",
     "r",
     "e",
     {"r/T/mixture.wav"},
     {"e/T/mixture.wav"},
     {"mixture"},
     {"T mixture=r/T/mixture.wav,e/T/mixture.wav"}},
    {"nothing but mixtures", "r", "e", {"r/T/mixture.wav"}, {"e/T/mixture.wav"}, {NULL}, {"T !no stems"}},
    {"dots: the last one ends the name, a first one does not",
     "r",
     "e",
     {"r/T 1.5/lead.v2.wav", "r/T 1.5/.wav"},
     {"e/T 1.5/lead.v2.flac", "e/T 1.5/.wav"},
     {NULL},
     {"T 1.5 .wav=r/T 1.5/.wav,e/T 1.5/.wav lead.v2=r/T 1.5/lead.v2.wav,e/T 1.5/lead.v2.flac"}},
    {"a track whose name another's begins with, and bytes that are no UTF-8",
     "r",
     "e",
     {"r/T/vocals.wav", "r/T\xff/vocals.wav", "r/Ta/vocals.wav"},
     {"e/T\xff/vocals.wav", "e/Ta/vocals.wav", "e/T/Vocals.wav"},
     {NULL},
     {"T !no reference of Vocals; no estimate of vocals", "Ta vocals=r/Ta/vocals.wav,e/Ta/vocals.wav",
      "T\xff vocals=r/T\xff/vocals.wav,e/T\xff/vocals.wav"}},
    {"the root of the file system",
     "/",
     "/e",
     {"/T/vocals.wav"},
     {"/e/T/vocals.wav"},
     {NULL},
     {"T vocals=/T/vocals.wav,/e/T/vocals.wav"}},
    {"nothing at all", "r", "e", {NULL}, {NULL}, {NULL}, {NULL}},
};

static size_t count_of(const char *const *list, size_t most)
{
    size_t n = 0;
    while (n < most && list[n])
        n++;
    return n;
}

/* Copies of the names as the module wants them, which no sanitizer lets anybody write to afterwards. */
static char **copy_of(const char *const *list, size_t count)
{
    char **const copy = calloc(count + 1, sizeof *copy);
    REQUIRE(copy != NULL);
    for (size_t i = 0; i < count; i++)
        copy[i] = strdup(list[i]);
    return copy;
}

static void release(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

static char *written(const struct score_track *t)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *const f = open_memstream(&text, &bytes);
    REQUIRE(f != NULL);
    (void)fprintf(f, "%s", t->name);
    for (size_t i = 0; i < t->count; i++)
        (void)fprintf(f, " %s=%s,%s", t->stems[i].name, t->stems[i].reference, t->stems[i].estimate);
    if (t->error)
        (void)fprintf(f, " !%s", t->error);
    REQUIRE(fclose(f) == 0);
    return text;
}

TEST(stems_find_each_other)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const size_t references = count_of(cases[c].references, FILES), estimates = count_of(cases[c].estimates, FILES);
        const size_t only_count = count_of(cases[c].only, 4), want = count_of(cases[c].want, TRACKS);
        char **const r = copy_of(cases[c].references, references), **const e = copy_of(cases[c].estimates, estimates);
        char **const only = copy_of(cases[c].only, only_count);
        const struct score_folder reference = {cases[c].reference_root, r, references};
        const struct score_folder estimate = {cases[c].estimate_root, e, estimates};
        struct score_pairs pairs = {0};
        CHECK_OK(score_pairs_make(&reference, &estimate, only, only_count, &pairs));
        test_report(pairs.count == want, __FILE__, __LINE__, "%s: %zu tracks, wanted %zu", cases[c].reason, pairs.count,
                    want);
        for (size_t t = 0; t < pairs.count && t < want; t++) {
            char *const text = written(&pairs.tracks[t]);
            test_report(strcmp(text, cases[c].want[t]) == 0, __FILE__, __LINE__, "%s:\n    %s, wanted\n    %s",
                        cases[c].reason, text, cases[c].want[t]);
            free(text);
        }
        score_pairs_free(&pairs);
        CHECK(pairs.tracks == NULL && pairs.count == 0);
        release(r), release(e), release(only);
    }
}

TEST(a_path_outside_its_root_is_refused)
{
    char inside[] = "r/T/vocals.wav", beside[] = "rest/T/vocals.wav", elsewhere[] = "x/T/vocals.wav";
    char *const good[] = {inside}, *const near[] = {beside}, *const far[] = {elsewhere};
    const struct score_folder reference = {"r", good, 1};
    const struct score_folder wrong[] = {{"r", near, 1}, {"r", far, 1}};
    for (size_t c = 0; c < sizeof wrong / sizeof *wrong; c++) {
        struct score_pairs pairs = {NULL, 12345};
        CHECK_CODE(score_pairs_make(&reference, &wrong[c], NULL, 0, &pairs), STATUS_ARGUMENT);
        CHECK_CODE(score_pairs_make(&wrong[c], &reference, NULL, 0, &pairs), STATUS_ARGUMENT);
        CHECK(pairs.count == 12345);
    }
    struct score_pairs none = {0};
    score_pairs_free(&none);
}
