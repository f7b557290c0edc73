/* Which trials go on, how far, and in which order they stand in the end. */
#include "halving.h"
#include "test.h"

#include <math.h>

TEST(rounds_and_members)
{
    static const struct {
        int64_t trials, eta, rounds, members[5];
    } cases[] = {
        {1, 3, 1, {1}},            /* alone: to the end at once */
        {2, 3, 1, {2}},            /* fewer than eta: nobody is stopped */
        {3, 3, 2, {3, 1}},         /* exactly eta */
        {16, 3, 3, {16, 6, 2}},    /* rounded up in each round, from all */
        {27, 3, 4, {27, 9, 3, 1}}, /* powers are exact, not by a logarithm in floats */
        {26, 3, 3, {26, 9, 3}},    /* one fewer */
        {16, 2, 5, {16, 8, 4, 2, 1}},
        {16, 1, 1, {16}}, /* no halving */
        {1000, 10, 4, {1000, 100, 10, 1}},
        {1000, 1000, 2, {1000, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct halving h;
        CHECK_OK(halving_plan(cases[i].trials, cases[i].eta, &h));
        CHECK(h.trials == cases[i].trials && h.eta == cases[i].eta && h.rounds == cases[i].rounds);
        for (int64_t r = 0; r < h.rounds; r++)
            CHECK(halving_members_most(&h, r) == cases[i].members[r]);
    }
    struct halving most;
    CHECK_OK(halving_plan(HALVING_TRIALS_MOST, 2, &most));
    CHECK(most.rounds == HALVING_ROUNDS_MOST);
    static const int64_t bad[][2] = {{0, 3}, {-1, 3}, {HALVING_TRIALS_MOST + 1, 3}, {5, 0}, {5, HALVING_ETA_MOST + 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_CODE(halving_plan(bad[i][0], bad[i][1], &most), STATUS_ARGUMENT);
}

TEST(steps_of_rounds)
{
    static const struct {
        int64_t trials, eta, steps, validate, ends[5];
    } cases[] = {
        {16, 3, 900, 50, {100, 300, 900}}, /* exact */
        {16, 3, 60, 15, {15, 30, 60}},     /* 6.7 and 20, up to the next validation */
        {16, 3, 61, 15, {15, 30, 61}},     /* the last need not be a multiple */
        {16, 3, 60, 50, {50, 50, 60}},     /* rounds may end at one place */
        {16, 3, 60, 100, {60, 60, 60}},    /* never further than all */
        {2, 3, 60, 10, {60}},
        {16, 2, 1, 1, {1, 1, 1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct halving h;
        CHECK_OK(halving_plan(cases[i].trials, cases[i].eta, &h));
        for (int64_t r = 0; r < h.rounds; r++)
            CHECK(halving_steps(&h, r, cases[i].steps, cases[i].validate) == cases[i].ends[r]);
    }
}

/* Four trials, eta 2: rounds of 4, 2 and 1. */
TEST(members_and_order)
{
    static const struct {
        double scores[3][4];
        bool second[4], third[4];
        int64_t order[4], last[4];
    } cases[] = {
        /* who was best first may be second later */
        {{{4, 1, 2, 3}, {9, 5, 4, 9}, {9, 9, 3, 9}}, {0, 1, 1, 0}, {0, 0, 1, 0}, {2, 1, 3, 0}, {0, 1, 2, 0}},
        /* equal scores: by number */
        {{{1, 1, 1, 1}, {1, 1, 0, 0}, {1, 0, 0, 0}}, {1, 1, 0, 0}, {1, 0, 0, 0}, {0, 1, 2, 3}, {2, 1, 0, 0}},
        /* a score of a round that a trial took no part in counts for nothing */
        {{{1, 2, 3, 4}, {2, 1, 0, 0}, {NAN, 5, -9, -9}}, {1, 1, 0, 0}, {0, 1, 0, 0}, {1, 0, 2, 3}, {1, 2, 0, 0}},
        /* no number, infinite, missing: lost, and the next one goes on */
        {{{NAN, 3, -INFINITY, 4}, {0, 2, 0, 1}, {0, 0, 0, 7}},
         {0, 1, 0, 1},
         {0, 0, 0, 1},
         {3, 1, 0, 2},
         {-1, 1, -1, 2}},
        /* lost on the way: it stands by what it was worth before */
        {{{1, 2, 3, 4}, {NAN, 6, 0, 0}, {0, 7, 0, 0}}, {1, 1, 0, 0}, {0, 1, 0, 0}, {1, 0, 2, 3}, {0, 2, 0, 0}},
        /* lost in the last round: nobody came to the end */
        {{{1, 2, 3, 4}, {1, 2, 0, 0}, {NAN, 0, 0, 0}}, {1, 1, 0, 0}, {1, 0, 0, 0}, {0, 1, 2, 3}, {1, 1, 0, 0}},
        /* all lost */
        {{{NAN, NAN, INFINITY, NAN}, {0}, {0}}, {0}, {0}, {0, 1, 2, 3}, {-1, -1, -1, -1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct halving h;
        bool member[4];
        int64_t order[4], last[4];
        CHECK_OK(halving_plan(4, 2, &h));
        halving_members(&h, cases[i].scores[0], 0, member);
        for (int k = 0; k < 4; k++)
            CHECK(member[k]);
        halving_members(&h, cases[i].scores[0], 1, member);
        for (int k = 0; k < 4; k++)
            CHECK(member[k] == cases[i].second[k]);
        halving_members(&h, cases[i].scores[0], 2, member);
        for (int k = 0; k < 4; k++)
            CHECK(member[k] == cases[i].third[k]);
        halving_rank(&h, cases[i].scores[0], order, last);
        for (int k = 0; k < 4; k++)
            CHECK(order[k] == cases[i].order[k] && last[k] == cases[i].last[k]);
    }
}
