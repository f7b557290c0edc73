/* The model library: what is brought in, what is refused, what is found again. */
#include "library.h"
#include "safetensors.h"
#include "test.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KLASS "demucs.htdemucs.HTDemucs"
#define FOUR \
    "{\"sources\":[\"drums\",\"bass\",\"other\",\"vocals\"],\"segment\":{\"_type\":\"fraction\",\"numerator\":39," \
    "\"denominator\":5}}"

/* ---- bags ---- */

TEST(bags)
{
    static const struct {
        const char *text;
        int networks, stems;
        const char *reason;
    } cases[] = {
        {"models: ['955717e8']", 1, 0, NULL},
        {"models: ['955717e8']\n", 1, 0, NULL},
        {"# a bag\nmodels: [ \"a\" , b_1, 'c-2',]  # three\nsegment: 44\n", 3, 0, NULL},
        {"models: ['a', 'b']\nweights: [\n  [1., 0.],\n  [0., 1.],\n]", 2, 2, NULL}, /* as htdemucs_ft */
        {"weights: [[1., 0.5, 2]]\nmodels: ['a']\r\n", 1, 3, NULL},
        {"models:\n  ['a']\n", 1, 0, NULL},
        {"", 0, 0, "line 1: it ends, and names no models"},
        {"segment: 4\n", 0, 0, "names no models"},
        {"models: []\n", 0, 0, "an empty list"},
        {"models: 'a'\n", 0, 0, "a list [...] is missing"},
        {"models:\n- a\n", 0, 0, "a list [...] is missing"},
        {"models: ['a'\n", 0, 0, "',' or ']' is missing"},
        {"models: ['a' 'b']\n", 0, 0, "',' or ']' is missing"},
        {"models: ['a\"]\n", 0, 0, "a quoted name"},
        {"models: ['../a']\n", 0, 0, "a quoted name"}, /* a name is a file's */
        {"models: ['a.b']\n", 0, 0, "no name of a network"},
        {"models: ['-a']\n", 0, 0, "no name of a network"},
        {"models: ['']\n", 0, 0, "is missing"},
        {"models: [aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg]\n", 0, 0, "up to 64"},
        {"models: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]\n", 0, 0, "more than 16"},
        {"models: ['a']\nmodels: ['b']\n", 0, 0, "each once"},
        {"models: ['a']\nshifts: 3\n", 0, 0, "line 2: there are models, weights and segment"},
        {"models ['a']\n", 0, 0, "':' is missing"},
        {"models: ['a'] segment: 3\n", 0, 0, "does not begin its line"},
        {"models: ['a']\nsegment: 0\n", 0, 0, "out of its range"},
        {"models: ['a']\nsegment: 1e999\n", 0, 0, "out of its range"},
        {"models: ['a']\nsegment: nan\n", 0, 0, "out of its range"},
        {"models: ['a']\nweights: [[1],[1]]\n", 0, 0, "more or fewer rows"},
        {"models: ['a','b']\nweights: [[1,1],[1]]\n", 0, 0, "longer or shorter"},
        {"models: ['a']\nweights: [[-1]]\n", 0, 0, "out of its range"},
        {"models: ['a']\nweights: [[0, 1]]\n", 0, 0, "no network has a weight"}, /* would divide by 0 */
        {"models: ['a']\nweights: [1]\n", 0, 0, "a list [...] is missing"},
    };
    struct bag b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int code = bag_parse(cases[i].text, strlen(cases[i].text), "x.yaml", &b);
        test_report(cases[i].reason ? code == STATUS_FORMAT && strstr(status_message(), cases[i].reason) &&
                                          strstr(status_message(), "x.yaml")
                                    : code == STATUS_OK && b.networks == cases[i].networks && b.stems == cases[i].stems,
                    __FILE__, __LINE__, "case %zu: %s %s", i, status_name(code), code ? status_message() : "");
    }
    static const char text[] = "models: ['a', 'b']\nweights: [[1., 0.],[.5, 2]]\nsegment: 7.5";
    CHECK_OK(bag_parse(text, sizeof text - 1, "x", &b));
    CHECK(strcmp(b.signature[1], "b") == 0 && b.weight[1][0] == 0.5 && b.weight[1][1] == 2 && b.segment_s == 7.5);
    CHECK_CODE(bag_parse("models: ['a']\0", 14, "x", &b), STATUS_FORMAT);
}

/* ---- models ---- */

static char home[PATHS_MAX];

static const char *start(void)
{
    CHECK(getcwd(home, sizeof home));
    return home;
}

static void write_text(const char *path, const char *text)
{
    FILE *const f = fopen(path, "we");
    REQUIRE(f);
    const bool written = fputs(text, f) >= 0;
    CHECK(fclose(f) == 0 && written);
}

static void save(const char *path, float first, const char *klass, const char *args, const char *kwargs)
{
    const float weights[] = {first, 2, 3};
    const int64_t counter = 7;
    const struct safetensors_view tensors[] = {
        {.name = "conv.weight", .dtype = SAFETENSORS_F32, .rank = 1, .shape = {3}, .data = weights},
        {.name = "counter", .dtype = SAFETENSORS_I64, .rank = 0, .data = &counter}};
    const struct safetensors_text all[] = {{"klass", klass}, {"args", args}, {"kwargs", kwargs}};
    struct safetensors_text texts[3];
    size_t n = 0;
    for (int i = 0; i < 3; i++)
        if (all[i].value)
            texts[n++] = all[i];
    CHECK_OK(safetensors_save(path, tensors, 2, texts, n));
}

static void save_good(const char *path)
{
    save(path, 1, KLASS, "[]", FOUR);
}

static int import(const char *path, const char *name)
{
    char got[LIBRARY_NAME_MOST + 1] = "";
    return library_import(home, &(struct library_import){.path = path, .name = name, .source = "here"}, got);
}

/* Names in the library that are neither models nor its lock. */
static int leftovers(void)
{
    FILE *list = popen("ls -A models 2>/dev/null | grep -c '^[.]new\\|^[.]old'", "r"); /* NOLINT(cert-env33-c): ours */
    char n[8] = "";
    CHECK(fgets(n, sizeof n, list));
    pclose(list);
    return n[0] - '0';
}

TEST(one_file)
{
    struct library_model m;
    json_t *shown = NULL;
    char path[2 * PATHS_MAX], name[LIBRARY_NAME_MOST + 1];
    start();
    save_good("htdemucs.safetensors");
    CHECK_OK(library_import(
        home, &(struct library_import){.path = "htdemucs.safetensors", .source = "a page", .licence = "MIT"}, name));
    CHECK(strcmp(name, "htdemucs") == 0 && leftovers() == 0);
    CHECK_OK(library_resolve(home, "htdemucs", &m));
    CHECK(m.stems == 4 && m.networks == 1 && strcmp(m.kind, "htdemucs") == 0 && strcmp(m.stem[3], "vocals") == 0);
    CHECK(m.network[0].weight[0] == 1 && m.network[0].weight[3] == 1 && m.segment_s == 0);
    library_path(&m, 0, path, sizeof path);
    CHECK(access(path, R_OK) == 0);
    CHECK_OK(library_resolve(home, path, &m)); /* the same by its path */
    CHECK(m.stems == 4 && m.networks == 1 && m.network[0].weight[2] == 1);
    library_path(&m, 0, path, sizeof path);
    CHECK(access(path, R_OK) == 0);
    CHECK_OK(library_resolve(home, "htdemucs.safetensors", &m)); /* of this folder */
    library_path(&m, 0, path, sizeof path);
    CHECK(strcmp(path, "./htdemucs.safetensors") == 0);
    CHECK_OK(library_show(home, "htdemucs", &shown));
    CHECK(strcmp(json_string_value(json_object_get(shown, "licence")), "MIT") == 0);
    CHECK(json_integer_value(json_object_get(shown, "parameters")) == 3); /* the counter is none */
    CHECK(json_array_size(json_object_get(shown, "files")) == 2);
    json_decref(shown);
    CHECK_CODE(import("htdemucs.safetensors", NULL), STATUS_BUSY);
    CHECK_OK(import("htdemucs.safetensors", "other"));
    CHECK_OK(library_verify(home, "other", NULL, NULL));
    CHECK_OK(library_remove(home, "htdemucs"));
    CHECK_CODE(library_resolve(home, "htdemucs", &m), STATUS_NOT_FOUND);
    CHECK_CODE(library_remove(home, "htdemucs"), STATUS_NOT_FOUND);
    CHECK(leftovers() == 0);
}

/* As the official repositories look: a bag of networks, each for its stem. */
TEST(a_bag)
{
    struct library_model m;
    start();
    CHECK(mkdir("ft", 0700) == 0);
    write_text("ft/htdemucs_ft.yaml", "models: ['f7', 'd1', '92', '04']\nweights: [\n  [1., 0., 0., 0.],\n"
                                      "  [0., 1., 0., 0.],\n  [0., 0., 1., 0.],\n  [0., 0., 0., 1.],\n]");
    static const char *const files[] = {"ft/f7.safetensors", "ft/d1.safetensors", "ft/92.safetensors",
                                        "ft/04.safetensors"};
    for (size_t i = 0; i < 3; i++)
        save_good(files[i]);
    CHECK_CODE(import("ft", NULL), STATUS_NOT_FOUND);
    CHECK(strstr(status_message(), "04.safetensors") && leftovers() == 0);
    write_text("ft/04.th", "PK\3\4");
    CHECK_CODE(import("ft", NULL), STATUS_FORMAT);
    CHECK(strstr(status_message(), "a pickle"));
    save_good(files[3]);
    CHECK_OK(import("ft", NULL));
    CHECK_OK(library_resolve(home, "htdemucs_ft", &m));
    CHECK(m.networks == 4 && m.stems == 4 && strcmp(m.network[1].file, "d1.safetensors") == 0);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 4; k++)
            CHECK(m.network[i].weight[k] == (i == k));
    write_text("ft/twice.yaml", "models: [f7, d1, f7]\nsegment: 44");
    CHECK_CODE(import("ft", NULL), STATUS_ARGUMENT); /* which of the two? */
    CHECK_OK(import("ft/twice.yaml", NULL));
    CHECK_OK(library_resolve(home, "twice", &m));
    CHECK(m.networks == 3 && m.segment_s == 44 && strcmp(m.network[2].file, "f7.safetensors") == 0);
    CHECK_OK(library_verify(home, "twice", NULL, NULL));
    write_text("ft/bad.yaml", "models: [f7]\nweights: [[1,1,1]]");
    CHECK_CODE(import("ft/bad.yaml", NULL), STATUS_FORMAT);
    CHECK(strstr(status_message(), "weights for 3 stems, but the networks have 4"));
    save("ft/d1.safetensors", 1, KLASS, "[]", "{\"sources\":[\"a\",\"b\",\"c\",\"d\"]}");
    CHECK_CODE(import("ft/twice.yaml", "again"), STATUS_FORMAT);
    CHECK(strstr(status_message(), "not those of the networks before it") && leftovers() == 0);
}

/* The same for the same weights under any name; another for another number, share or segment. */
TEST(checksums)
{
    static const struct {
        const char *name, *file, *bag;
        float first;
        int like; /* an earlier case; -1: none */
    } cases[] = {{"a", "x.safetensors", NULL, 1, -1},
                 {"b", "y.safetensors", NULL, 1, 0},
                 {"c", "z.safetensors", NULL, 1.0000001F, -1},
                 {"d", "x.safetensors", "models: [x]", 1, 0},
                 {"e", "x.safetensors", "models: [x]\nsegment: 5", 1, -1},
                 {"f", "x.safetensors", "models: [x]\nweights: [[1, 1, 1, 0.5]]", 1, -1},
                 {"g", "y.safetensors", "models: [x, y]", 1, -1}};
    enum { COUNT = sizeof cases / sizeof *cases };
    struct hash sums[COUNT];
    struct library_model m;
    start();
    for (int i = 0; i < COUNT; i++) {
        save(cases[i].file, cases[i].first, KLASS, "[]", FOUR);
        if (cases[i].bag)
            write_text("bag.yaml", cases[i].bag);
        CHECK_OK(import(cases[i].bag ? "bag.yaml" : cases[i].file, cases[i].name));
        CHECK_OK(library_resolve(home, cases[i].name, &m));
        CHECK_OK(library_checksum(home, &m, &sums[i]));
        for (int k = 0; k < i; k++) {
            const bool same = memcmp(&sums[i], &sums[k], sizeof sums[i]) == 0, should = cases[i].like >= 0 && k == 0;
            test_report(same == (should || (cases[i].like >= 0 && cases[k].like == cases[i].like)), __FILE__, __LINE__,
                        "%s and %s", cases[i].name, cases[k].name);
        }
    }
    CHECK_OK(library_resolve(home, "x.safetensors", &m));
    CHECK_CODE(library_checksum(home, &m, &sums[0]), STATUS_UNSUPPORTED);
}

TEST(what_is_not_taken)
{
    static const struct {
        float first;
        const char *klass, *args, *kwargs, *reason;
    } cases[] = {
        {1, KLASS, "[]", FOUR, NULL},
        {NAN, KLASS, "[]", FOUR, "tensor 'conv.weight' has a NaN or an infinity at 0"},
        {INFINITY, KLASS, "[]", FOUR, "has a NaN or an infinity"},
        {1, NULL, "[]", FOUR, "no klass"},
        {1, KLASS, NULL, FOUR, "no args"},
        {1, KLASS, "[]", NULL, "no kwargs"},
        {1, KLASS, "[", FOUR, "args in its metadata is not JSON"},
        {1, KLASS, "{}", FOUR, "args in its metadata is no list"},
        {1, KLASS, "[]", "[]", "kwargs no object"},
        {1, KLASS, "[]", "{}", "name no sources"},
        {1, KLASS, "[]", "{\"sources\":[]}", "name no sources"},
        {1, KLASS, "[]", "{\"sources\":[1]}", "source 0 is not a name"},
        {1, KLASS, "[]", "{\"sources\":[\"../x\"]}", "source 0 is not a name"}, /* it becomes a file's name */
        {1, "demucs.", "[]", FOUR, "names no class"},
        {1, "demucs.a b", "[]", FOUR, "names no class"},
    };
    start();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%zu", i);
        save("x.safetensors", cases[i].first, cases[i].klass, cases[i].args, cases[i].kwargs);
        const int code = import("x.safetensors", name);
        test_report(cases[i].reason ? code == STATUS_FORMAT && strstr(status_message(), cases[i].reason) : !code,
                    __FILE__, __LINE__, "case %zu: %s %s", i, status_name(code), code ? status_message() : "");
    }
    CHECK(leftovers() == 0);
    CHECK_CODE(import("missing.safetensors", NULL), STATUS_NOT_FOUND);
    CHECK_CODE(import("x.safetensors", "../x"), STATUS_ARGUMENT);
    CHECK_CODE(import("x.safetensors", ".x"), STATUS_ARGUMENT);
    CHECK(mkdir("empty", 0700) == 0);
    CHECK_CODE(import("empty", NULL), STATUS_FORMAT);
    write_text("empty/old.th", "PK\3\4rest");
    CHECK_CODE(import("empty", NULL), STATUS_FORMAT);
    CHECK(strstr(status_message(), "a pickle"));
    save_good("empty/a.safetensors");
    save_good("empty/b.safetensors");
    CHECK_CODE(import("empty", NULL), STATUS_ARGUMENT);
    CHECK(rename("x.safetensors", "a b.safetensors") == 0);
    save_good("a b.safetensors");
    CHECK_CODE(import("a b.safetensors", NULL), STATUS_ARGUMENT); /* its name is none for a model */
    CHECK(strstr(status_message(), "--name"));
    CHECK_OK(import("a b.safetensors", "ab"));
    CHECK(mkfifo("pipe.yaml", 0600) == 0 && mkfifo("pipe.safetensors", 0600) == 0);
    CHECK_CODE(import("pipe.yaml", NULL), STATUS_FORMAT);
    CHECK_CODE(import("pipe.safetensors", NULL), STATUS_FORMAT);
    struct library_model m;
    CHECK_CODE(library_resolve(home, "..", &m), STATUS_ARGUMENT);
    CHECK_CODE(library_resolve(home, "", &m), STATUS_ARGUMENT);
}

struct seen {
    int models, broken, files;
    char last[64], why[80];
};

static int see(void *context, const char *name, const json_t *model)
{
    struct seen *const s = context;
    s->models++;
    s->broken += model == NULL;
    CHECK(strcmp(s->last, name) < 0); /* in order */
    snprintf(s->last, sizeof s->last, "%s", name);
    return STATUS_OK;
}

static void see_damage(void *context, const char *file, const char *why)
{
    struct seen *const s = context;
    s->files++;
    snprintf(s->last, sizeof s->last, "%s", file);
    snprintf(s->why, sizeof s->why, "%s", why);
}

static void flip(const char *path, off_t at)
{
    const int fd = open(path, O_RDWR);
    char byte = 0;
    CHECK(pread(fd, &byte, 1, at) == 1);
    byte ^= 1;
    CHECK(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
}

TEST(damage_is_found)
{
    struct seen s = {0};
    struct library_model m;
    json_t *shown = NULL;
    start();
    CHECK_OK(library_each(home, see, &s)); /* no library: no models */
    CHECK(s.models == 0);
    save_good("w.safetensors");
    CHECK_OK(import("w.safetensors", "b"));
    CHECK_OK(import("w.safetensors", "a"));
    CHECK_OK(import("w.safetensors", "c"));
    CHECK_OK(library_each(home, see, &s));
    CHECK(s.models == 3 && s.broken == 0);
    flip("models/a/w.safetensors", 100);
    s = (struct seen){0};
    CHECK_CODE(library_verify(home, "a", see_damage, &s), STATUS_DAMAGED);
    CHECK(s.files == 1 && strcmp(s.last, "w.safetensors") == 0 && strcmp(s.why, "its BLAKE2b is another") == 0);
    CHECK(truncate("models/a/w.safetensors", 200) == 0 && unlink("models/a/config.json") == 0);
    s = (struct seen){0};
    CHECK_CODE(library_verify(home, "a", see_damage, &s), STATUS_DAMAGED);
    CHECK(s.files == 2 && strcmp(s.why, "it is gone") == 0);
    CHECK_CODE(library_resolve(home, "a", &m), STATUS_DAMAGED);
    write_text("models/b/model.json", "{\"schema\":1}");
    CHECK_CODE(library_show(home, "b", &shown), STATUS_DAMAGED);
    write_text("models/c/model.json", "{\"schema\":2}");
    CHECK_CODE(library_show(home, "c", &shown), STATUS_VERSION);
    s = (struct seen){0};
    CHECK_OK(library_each(home, see, &s));
    CHECK(s.models == 3 && s.broken == 2);
    CHECK_OK(library_remove(home, "b")); /* also a damaged one */
    write_text("models/c/model.json",
               "{\"schema\":1,\"kind\":\"x\",\"stems\":[],\"bytes\":1,\"files\":[{\"name\":\"../../w.safetensors\","
               "\"bytes\":1,\"blake2b\":\"0\",\"sha256\":\"0\"}]}");
    CHECK_CODE(library_verify(home, "c", NULL, NULL), STATUS_DAMAGED); /* looks at nothing outside */
}

/* Whatever config.json was changed into, it is resolved to something sound or refused. */
TEST(configurations)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {"{\"schema\":1,\"kind\":\"k\",\"stems\":[\"a\"],\"networks\":[{\"file\":\"f\",\"weights\":[1]}],"
         "\"segment_s\":null}",
         STATUS_OK},
        {"{\"schema\":1,\"kind\":\"k\",\"stems\":[\"a\"],\"networks\":[{\"file\":\"../f\",\"weights\":[1]}]}",
         STATUS_DAMAGED},
        {"{\"schema\":1,\"kind\":\"k\",\"stems\":[\"a\"],\"networks\":[{\"file\":\"f\",\"weights\":[1,1]}]}",
         STATUS_DAMAGED},
        {"{\"schema\":1,\"kind\":\"k\",\"stems\":[\"a\"],\"networks\":[{\"file\":\"f\",\"weights\":[-1]}]}",
         STATUS_DAMAGED},
        {"{\"schema\":1,\"kind\":\"k\",\"stems\":[\"a\"],\"networks\":[]}", STATUS_DAMAGED},
        {"{\"schema\":1,\"kind\":\"k\",\"stems\":[],\"networks\":[{\"file\":\"f\",\"weights\":[]}]}", STATUS_DAMAGED},
        {"{\"schema\":1,\"kind\":\"k\",\"stems\":{},\"networks\":7}", STATUS_DAMAGED},
        {"{\"schema\":2}", STATUS_VERSION},
        {"{\"schema\":true}", STATUS_DAMAGED},
        {"[]", STATUS_DAMAGED},
        {"{\"schema\":1,", STATUS_DAMAGED},
        {"", STATUS_DAMAGED},
    };
    start();
    save_good("w.safetensors");
    CHECK_OK(import("w.safetensors", NULL));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct library_model m;
        write_text("models/w/config.json", cases[i].text);
        CHECK_CODE(library_resolve(home, "w", &m), cases[i].code);
    }
}

/* What a killed import or removal left goes with the next change, not before. */
TEST(leftovers_go)
{
    start();
    save_good("w.safetensors");
    CHECK_OK(import("w.safetensors", "a"));
    CHECK(mkdir("models/.new-abcdef", 0700) == 0 && mkdir("models/.old-abcdef", 0700) == 0);
    write_text("models/.new-abcdef/w.safetensors", "half");
    CHECK(leftovers() == 2);
    struct seen s = {0};
    CHECK_OK(library_each(home, see, &s));
    CHECK(s.models == 1);
    CHECK_OK(import("w.safetensors", "b"));
    CHECK(leftovers() == 0);
}
