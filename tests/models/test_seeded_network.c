/* Networks with weights from a seed: the file that is written of them is the network, for the loader of files. */
#include "exec.h"
#include "ops.h"
#include "safetensors.h"
#include "seeded_network.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A segment of noise through it, and away with the network. */
static float *run(struct htdemucs **net, struct exec *ex, size_t *floats)
{
    const struct htdemucs_config *const c = htdemucs_config(*net);
    const size_t wave = (size_t)c->segment * 2;
    float *const mix = calloc(wave, sizeof *mix), *const stems = calloc(wave * (size_t)c->stems, sizeof *stems);
    struct htdemucs_room *room = NULL;
    REQUIRE(mix && stems);
    seeded_noise(3, wave, mix);
    CHECK_OK(htdemucs_room_create(*net, ex, 1, &room));
    CHECK_OK(htdemucs_run(*net, ex, room, &(struct htdemucs_segment){mix, stems}, 1));
    *floats = wave * (size_t)c->stems;
    htdemucs_room_destroy(&room);
    htdemucs_unload(net);
    free(mix);
    return stems;
}

/* Each stem is there, and none is another. */
static void check_stems(const float *stems, size_t floats, int count)
{
    double power[HTDEMUCS_STEMS_MOST] = {0};
    for (size_t i = 0; i < floats; i++)
        power[i / 2 % (size_t)count] += (double)stems[i] * (double)stems[i];
    for (int s = 0; s < count; s++) {
        const double level = sqrt(power[s] * count / (double)floats);
        test_report(level > 1e-3 && level < 1e3, __FILE__, __LINE__, "stem %d of %d: level %g", s, count, level);
        CHECK(s == 0 || power[s] != power[0]);
    }
}

TEST(the_file_is_the_network)
{
    struct exec *ex = NULL;
    const enum exec_isa isa = isa_best();
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .isa = isa, .ops = ops_cpu(isa)}, &ex));
    for (int i = 0; i < 4; i++) {
        const int stems = i % 2 ? 6 : 4;
        const struct htdemucs_config c = seeded_config(i < 2 ? SEEDED_TINY : SEEDED_SMALL, stems);
        struct seeded *s = NULL;
        struct safetensors *file = NULL;
        struct htdemucs *net = NULL;
        size_t floats = 0, again = 0;
        CHECK_OK(seeded_create(&c, 7, ex, &s));
        REQUIRE(s);
        CHECK_OK(seeded_load(s, PRECISION_F32, ex, &net));
        CHECK_OK(seeded_write(s, "seeded.safetensors"));
        seeded_destroy(&s);
        float *const made = run(&net, ex, &floats);
        check_stems(made, floats, stems);
        CHECK_OK(safetensors_open_path("seeded.safetensors", &file));
        REQUIRE(file);
        CHECK_OK(htdemucs_load(file, "seeded.safetensors", PRECISION_F32, ex, &net));
        safetensors_close(&file);
        REQUIRE(net);
        const struct htdemucs_config *const read = htdemucs_config(net);
        CHECK(read->stems == c.stems && read->segment == c.segment && read->hidden == c.hidden);
        float *const loaded = run(&net, ex, &again);
        CHECK(floats == again && memcmp(made, loaded, floats * sizeof *made) == 0);
        free(made);
        free(loaded);
    }
    exec_destroy(&ex);
}

/* Another seed is another network, and the released sizes have as many weights as models/htdemucs.md says. */
struct sum {
    int64_t tensors, elements;
};

static int add_up(void *context, const char *tensor, int rank, const int64_t *shape)
{
    struct sum *const s = context;
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        n *= shape[i];
    CHECK(*tensor);
    s->tensors++;
    s->elements += n;
    return STATUS_OK;
}

TEST(full_size_is_that_of_the_released_networks)
{
    static const struct {
        int stems;
        int64_t tensors, elements;
    } cases[] = {{4, 533, 41984456}, {6, 525, 27414996}};
    struct exec *ex = NULL;
    CHECK_OK(exec_create(&(struct exec_options){.threads = 1, .ops = ops_cpu(ISA_SCALAR)}, &ex));
    for (int i = 0; i < 2; i++) {
        const struct htdemucs_config c = seeded_config(SEEDED_FULL, cases[i].stems);
        struct sum sum = {0, 0};
        CHECK_OK(htdemucs_tensors(&c, ex, &(struct htdemucs_visitor){add_up, &sum}));
        CHECK(sum.tensors == cases[i].tensors && sum.elements == cases[i].elements);
    }
    exec_destroy(&ex);
}
