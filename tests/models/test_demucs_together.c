/* Chunks of one song that run together: the stems have the same bits however many there are, wherever the song is cut,
 * and where it goes on with another number of them. */
#include "demucs_split.h"
#include "device.h"
#include "test.h"
#include "tiny.h"

#include <stdlib.h>
#include <string.h>

/* A runner, and what was asked of it. */
struct asked {
    int most_ever, together; /* wanted; together 0: another number each time */
    int most;                /* that came at once */
    int segments, times;
    struct exec *ex; /* NULL: no network, but stems that hang on each sample and its place */
    struct htdemucs_room *room;
};

/* Each value has its own rounding, so that sums in another order have other bits. */
static void pretend(int64_t segment, const struct htdemucs_segment *s)
{
    for (int64_t i = 0; i < segment; i++)
        for (int v = 0; v < TINY_VALUES; v++)
            s->stems[i * TINY_VALUES + v] = s->mix[2 * i + v % 2] * (1 + 0.37F * (float)(i % 101) + (float)v);
}

static int run(void *context, const struct htdemucs *net, const struct htdemucs_segment *segments, int count,
               const struct demucs_alive *alive)
{
    struct asked *const a = context;
    (void)alive;
    a->segments += count;
    a->most = count > a->most ? count : a->most;
    if (a->ex)
        return htdemucs_run(net, a->ex, a->room, segments, count);
    for (int n = 0; n < count; n++)
        pretend(htdemucs_config(net)->segment, &segments[n]);
    return STATUS_OK;
}

static int together(void *context, const struct htdemucs *net)
{
    struct asked *const a = context;
    (void)net;
    return a->together ? a->together : ++a->times % a->most_ever + 1;
}

struct song {
    const struct htdemucs *net;
    int networks; /* the same one so often, with other weights */
    int shifts;
    double overlap;
    int64_t frames, block, save_at; /* save_at: another separation goes on from there; 0: none */
    const float *x;
    float *y;
    int64_t done;
};

static int take(void *context, const float *stems, int64_t frames)
{
    struct song *const s = context;
    REQUIRE(s->done + frames <= s->frames);
    memcpy(s->y + s->done * TINY_VALUES, stems, (size_t)(frames * TINY_VALUES) * sizeof *stems);
    s->done += frames;
    return STATUS_OK;
}

static struct separation *open_split(struct song *s, struct asked *a)
{
    struct separation *out = NULL;
    struct demucs_split_params p = {
        .bag = {.networks = s->networks,
                .runner = {.run = run, .most = a->most_ever, .together = together, .context = a}},
        .overlap = s->overlap,
        .shifts = s->shifts,
        .seed = 11,
        .mean = 0.01F,
        .deviation = 0.7F};
    for (int n = 0; n < s->networks; n++)
        p.bag.network[n] = s->net;
    for (int i = 0; i < TINY_STEMS; i++) {
        p.bag.wanted[i] = i != 2;
        for (int n = 0; n < s->networks; n++)
            p.bag.weight[n][i] = (float)(1 + n);
    }
    CHECK_OK(demucs_split_create(&p, take, s, &out));
    REQUIRE(out);
    return out;
}

static struct separation *change_over(struct song *s, struct separation *from, struct asked *a)
{
    struct separation *const to = open_split(s, a);
    const size_t bytes = from->methods->state_bytes(from);
    void *const state = malloc(bytes);
    REQUIRE(state);
    from->methods->save(from, state);
    CHECK_OK(to->methods->restore(to, state, bytes));
    free(state);
    separation_destroy(&from);
    return to;
}

/* The song with `first`, from save_at on with `second`. */
static void split(struct song *s, struct asked *first, struct asked *second)
{
    struct separation *separation = open_split(s, first);
    s->done = 0;
    memset(s->y, 0xff, (size_t)(s->frames * TINY_VALUES) * sizeof *s->y);
    for (int64_t at = 0; at < s->frames; at += s->block) {
        const int64_t left = s->frames - at;
        if (second && s->save_at && at <= s->save_at && at + s->block > s->save_at)
            separation = change_over(s, separation, second);
        CHECK_OK(separation_push(separation, s->x + 2 * at, left < s->block ? left : s->block));
    }
    CHECK_OK(separation_finish(separation));
    CHECK(s->done == s->frames);
    separation_destroy(&separation);
}

static const int counts[] = {1, 2, 3, 8, HTDEMUCS_SEGMENTS_MOST};

/* Without a network: all counts, blocks and cuts, at lengths around the chunks. */
static void compare(struct song *s, float *one_by_one)
{
    static const int64_t blocks[] = {997, 4096, 32768};
    float *const y = s->y;
    struct asked one = {.most_ever = 1, .together = 1};
    s->y = one_by_one;
    s->block = blocks[1];
    split(s, &one, NULL);
    CHECK(one.most == 1);
    s->y = y;
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
            struct asked a = {.most_ever = counts[k], .together = b == 2 ? 0 : counts[k]};
            struct asked other = {.most_ever = counts[(k + 2) % 5], .together = counts[(k + 2) % 5]};
            s->block = blocks[b];
            s->save_at = b ? s->frames * (int64_t)(k + 1) / 7 : 0;
            split(s, &a, &other);
            test_report(memcmp(y, one_by_one, (size_t)(s->frames * TINY_VALUES) * sizeof *y) == 0, __FILE__, __LINE__,
                        "%d together, blocks of %lld, %d shifts, %lld frames", counts[k], (long long)blocks[b],
                        s->shifts, (long long)s->frames);
            test_report(s->save_at || a.segments == one.segments, __FILE__, __LINE__, "%d chunks for %d", a.segments,
                        one.segments);
            test_report(s->save_at || s->frames < 90000 || !a.together || a.most == counts[k], __FILE__, __LINE__,
                        "at most %d of %d together", a.most, counts[k]);
        }
    s->save_at = 0;
}

TEST(the_number_that_runs_together_changes_no_bit)
{
    enum { MOST = 100000 };
    static const struct {
        int64_t frames;
        int shifts, networks;
        double overlap;
    } cases[] = {{1, 0, 1, 0.25},     {4900, 0, 1, 0.25}, {29000, 0, 1, 0.25}, {90000, 0, 2, 0.25}, {30001, 1, 1, 0.25},
                 {30001, 4, 1, 0.25}, {100, 3, 1, 0.9},   {20000, 5, 1, 0.9},  {60000, 2, 1, 0}};
    struct exec *ex = tiny_exec();
    struct htdemucs *net = tiny_network(ex);
    float *const x = tiny_noise(1, MOST), *const y = malloc(sizeof(float) * MOST * TINY_VALUES);
    float *const one_by_one = malloc(sizeof(float) * MOST * TINY_VALUES);
    REQUIRE(y && one_by_one);
    for (size_t i = 0; i < sizeof cases / sizeof *cases && !exec_device(ex); i++) {
        struct song s = {.net = net,
                         .networks = cases[i].networks,
                         .shifts = cases[i].shifts,
                         .overlap = cases[i].overlap,
                         .frames = cases[i].frames,
                         .x = x,
                         .y = y};
        compare(&s, one_by_one);
    }
    free(x);
    free(y);
    free(one_by_one);
    htdemucs_unload(&net);
    exec_destroy(&ex);
}

/* With the network itself, where the tests run: one by one, together, and begun with three and ended with one. */
TEST(so_it_is_with_a_network)
{
    struct exec *ex = tiny_exec();
    struct htdemucs *net = tiny_network(ex);
    const int64_t stride = htdemucs_config(net)->segment * 3 / 4;
    const int chunks = exec_device(ex) ? 2 : 5; /* the emulator takes its time */
    struct song s = {.net = net, .networks = 1, .overlap = 0.25, .frames = chunks * stride, .block = stride};
    const size_t bytes = (size_t)(s.frames * TINY_VALUES) * sizeof(float);
    static const int first[] = {1, 2, 3, 8, 3}, second[] = {1, 2, 3, 8, 1};
    float *const one_by_one = malloc(bytes), *const y = malloc(bytes), *const x = tiny_noise(2, s.frames);
    REQUIRE(one_by_one && y);
    s.x = x;
    struct htdemucs_room *room = NULL;
    CHECK_OK(htdemucs_room_create(net, ex, 8, &room));
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        if (exec_device(ex) && (first[i] == 2 || (first[i] == 3 && second[i] == 3)))
            continue;
        struct asked a = {.most_ever = first[i], .together = first[i], .ex = ex, .room = room}, b = a;
        b.most_ever = b.together = second[i];
        s.y = i ? y : one_by_one;
        s.save_at = first[i] == second[i] ? 0 : (chunks - 1) * stride;
        split(&s, &a, &b);
        test_report(i == 0 || memcmp(y, one_by_one, bytes) == 0, __FILE__, __LINE__, "%d together, then %d", first[i],
                    second[i]);
        if (s.save_at)
            CHECK(b.most == 1);
        else
            CHECK(a.most == (first[i] < chunks ? first[i] : chunks));
    }
    htdemucs_room_destroy(&room);
    free(x);
    free(y);
    free(one_by_one);
    htdemucs_unload(&net);
    exec_destroy(&ex);
}
