/* planar.cuh - tiles between signals whose channels lie side by side and one signal per channel, for mirror and
 * add_planar: positions by channels, through shared memory, so that both sides move whole sectors. */
#ifndef PLANAR_CUH
#define PLANAR_CUH
#include "maps.cuh"

enum { PLANAR_THREADS = 256, PLANAR_VALUES = 1024, PLANAR_CHANNELS_MOST = 16, PLANAR_FLOATS = PLANAR_VALUES + 32 };

/* Tiles of `positions` by `channels`; both are powers of two. In shared memory a channel's positions are a row, rows
 * lie `row` apart: a warp that goes through the channels of a position first then meets no bank twice. */
struct planar {
    int64_t length, all_channels; /* positions of a signal; channels of an item */
    int64_t tiles, tiles_channels, units;
    int positions, channels, row;
};

struct planar_tile {
    int64_t item, position, channel; /* the first of each */
    int positions, channels;         /* that are there, from them on */
};

static inline struct planar planar_of(int64_t items, int64_t length, int64_t channels)
{
    struct planar k;
    k.length = length;
    k.all_channels = channels;
    k.channels = 1;
    while (k.channels < channels && k.channels < PLANAR_CHANNELS_MOST)
        k.channels *= 2;
    k.positions = PLANAR_VALUES / k.channels;
    k.row = PLANAR_FLOATS / k.channels;
    k.tiles = (length + k.positions - 1) / k.positions;
    k.tiles_channels = (channels + k.channels - 1) / k.channels;
    k.units = items * k.tiles * k.tiles_channels;
    return k;
}

static __device__ inline struct planar_tile planar_tile_of(const struct planar *k, int64_t unit)
{
    struct planar_tile t;
    const int64_t n = divided(unit, k->tiles, &t.position);
    t.item = divided(n, k->tiles_channels, &t.channel);
    t.position *= k->positions;
    t.channel *= k->channels;
    t.positions = (int)(k->length - t.position < k->positions ? k->length - t.position : k->positions);
    t.channels = (int)(k->all_channels - t.channel < k->channels ? k->all_channels - t.channel : k->channels);
    return t;
}

#endif
