/* letters - short texts in pictures: a font of 5 x 7 dots for ASCII, drawn for this program. */
#ifndef LETTERS_H
#define LETTERS_H
#include <stddef.h>
#include <stdint.h>

enum { LETTER_WIDTH = 5, LETTER_HEIGHT = 7, LETTER_STEP = 6 };

/* Writes text at (x, y), its top left, into pixels [height][width]; what lies outside is left out. A byte that is no
 * ASCII letter is '?'; of a letter of several bytes there is one. */
void letters_draw(const char *text, uint8_t colour, int64_t x, int64_t y, uint8_t *pixels, int64_t width,
                  int64_t height);

size_t letters_count(const char *text); /* letters that it takes */

#endif
