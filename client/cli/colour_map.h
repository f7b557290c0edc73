/* colour_map - levels as colours: night blue over violet and orange to pale yellow, each step lighter than the last. */
#ifndef COLOUR_MAP_H
#define COLOUR_MAP_H
#include <stdint.h>

/* at: 0 to 1; what is beyond is the end of the scale. */
void colour_map(double at, uint8_t rgb[3]);

#endif
