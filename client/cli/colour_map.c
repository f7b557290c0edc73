#include "colour_map.h"

#include <math.h>

void colour_map(double at, uint8_t rgb[3])
{
    static const double stops[][3] = {{8, 8, 32},    {64, 20, 96},   {150, 40, 96},
                                      {220, 90, 50}, {250, 170, 60}, {255, 248, 200}};
    enum { STOPS = sizeof stops / sizeof *stops };
    const double place = fmin(fmax(at, 0), 1) * (STOPS - 1);
    const int from = place < STOPS - 2 ? (int)place : STOPS - 2;
    for (int k = 0; k < 3; k++)
        rgb[k] = (uint8_t)lrint(stops[from][k] + (place - from) * (stops[from + 1][k] - stops[from][k]));
}
