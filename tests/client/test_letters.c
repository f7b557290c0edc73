/* Letters in pictures: inside and over the edges, and no two of them alike. */
#include "letters.h"
#include "test.h"

#include <string.h>

enum { WIDTH = 20, HEIGHT = 9 };

static int dots(const uint8_t *pixels)
{
    int n = 0;
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        n += pixels[i] != 0;
    return n;
}

TEST(where_they_stand)
{
    static const struct {
        const char *reason, *text;
        int x, y, dots;
    } cases[] = {
        {"nothing", "", 1, 1, 0},          {"a space", " ", 1, 1, 0},
        {"an I", "I", 1, 1, 11},           {"two of them", "II", 1, 1, 22},
        {"above the edge", "I", 1, -6, 3}, {"below", "I", 1, 8, 3},
        {"left", "I", -3, 1, 2},           {"right", "I", 17, 1, 9},
        {"far away", "I", 1000, 1000, 0},  {"a letter of two bytes is one question mark", "\xc3\xa9", 1, 1, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t pixels[WIDTH * HEIGHT + 2] = {0};
        letters_draw(cases[i].text, 7, cases[i].x, cases[i].y, pixels + 1, WIDTH, HEIGHT);
        printf("    %s: %d\n", cases[i].reason, dots(pixels + 1));
        CHECK(dots(pixels + 1) == cases[i].dots && !pixels[0] && !pixels[WIDTH * HEIGHT + 1]);
    }
    CHECK(letters_count("") == 0 && letters_count("abc") == 3 && letters_count("\xc3\xa9x") == 2);
}

TEST(each_is_its_own)
{
    uint8_t all['~' - ' ' + 1][WIDTH * HEIGHT];
    memset(all, 0, sizeof all);
    for (int c = ' '; c <= '~'; c++) {
        const char text[2] = {(char)c, '\0'};
        letters_draw(text, 1, 0, 0, all[c - ' '], WIDTH, HEIGHT);
        CHECK((dots(all[c - ' ']) == 0) == (c == ' '));
        for (int d = ' '; d < c; d++)
            CHECK(memcmp(all[c - ' '], all[d - ' '], sizeof *all) != 0);
    }
}
