/* philox.h: the paper's known answers, where a number's word lies, and that numbers are distributed as they should be.
 */
#include "philox.h"

#include "test.h"

TEST(known_answers)
{
    static const struct {
        struct philox counter;
        uint32_t key[2];
        struct philox want;
    } cases[] = {
        {{{0}}, {0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         {0xffffffff, 0xffffffff},
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, /* digits of pi */
         {0xa4093822, 0x299f31d0},
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct philox got = philox_block(cases[i].counter, cases[i].key[0], cases[i].key[1]);
        for (int w = 0; w < 4; w++)
            CHECK(got.word[w] == cases[i].want.word[w]);
    }
}

TEST(a_number_is_a_word_of_its_block)
{
    const uint64_t seed = UINT64_C(0x299f31d0a4093822), step = UINT64_C(0x0370734413198a2e);
    const int64_t block = INT64_C(0x243f6a88);
    static const uint32_t want[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    for (int64_t w = 0; w < 4; w++) {
        const int64_t pair = w & 2;
        CHECK(philox_uniform(seed, 0x85a308d3, step, 4 * block + w) == (want[w] + 0.5) / 4294967296.0);
        const double u = (want[pair] + 0.5) / 4294967296.0, v = (want[pair + 1] + 0.5) / 4294967296.0;
        const double normal = sqrt(-2 * log(u)) * (w % 2 ? sin(2 * M_PI * v) : cos(2 * M_PI * v));
        CHECK_AT_MOST(fabs(philox_normal(seed, 0x85a308d3, step, 4 * block + w) - normal), 1e-12);
    }
}

TEST(numbers_are_inside)
{
    CHECK(philox_of_word(0) > 0 && philox_of_word(UINT32_MAX) < 1);
    CHECK(sqrt(-2 * log(philox_of_word(0))) < 6.8);
}

/* A million of each: moments within five of their own deviations. */
TEST(numbers_are_distributed)
{
    enum { MANY = 1000000 };
    double mean = 0, squares = 0, fourth = 0, normal = 0, both = 0, before = 0;
    for (int64_t i = 0; i < MANY; i++) {
        const double u = philox_uniform(7, 1, 2, i), n = philox_normal(7, 1, 2, i);
        mean += u / MANY;
        normal += n / MANY;
        squares += n * n / MANY;
        fourth += n * n * n * n / MANY;
        both += n * before / MANY;
        before = n;
    }
    CHECK_AT_MOST(fabs(mean - 0.5), 5 * sqrt(1.0 / 12 / MANY));
    CHECK_AT_MOST(fabs(normal), 5 * sqrt(1.0 / MANY));
    CHECK_AT_MOST(fabs(squares - 1), 5 * sqrt(2.0 / MANY));
    CHECK_AT_MOST(fabs(fourth - 3), 5 * sqrt(96.0 / MANY));
    CHECK_AT_MOST(fabs(both), 5 * sqrt(1.0 / MANY));
}

TEST(seed_stream_and_step_change_numbers)
{
    const double u = philox_uniform(1, 2, 3, 4);
    CHECK(u != philox_uniform(2, 2, 3, 4) && u != philox_uniform(1, 3, 3, 4) && u != philox_uniform(1, 2, 4, 4));
    CHECK(u != philox_uniform(1 + (UINT64_C(1) << 32), 2, 3, 4) &&
          u != philox_uniform(1, 2, 3 + (UINT64_C(1) << 32), 4));
}
