/* bag - which networks a separation model is made of: the small YAML file beside the official weights.
 *
 *   format       models: ['SIG', ...]            the networks, in order; the weights lie in SIG.safetensors
 *                weights: [[1., 0.], [0., 1.]]   a row for each network, a column for each stem; without it all are 1
 *                segment: 44                     seconds, instead of each network's own
 *                A stem is sum(weight * output of the network) / sum(weight). Of YAML there are keys at the beginning
 *                of a line, flow lists, plain and quoted words, comments; all else is refused
 *   limits       64 KiB, 16 networks, 16 stems, names of 64 bytes (letters, digits, _ and -); weights from 0 to 1e6
 *   errors       STATUS_FORMAT with name and line; *out is then undefined
 *   source       demucs 4.1.0, remote/NAME.yaml and repo.py */
#ifndef BAG_H
#define BAG_H
#include "status.h"

#include <stdbool.h>
#include <stddef.h>

enum { BAG_NETWORKS_MOST = 16, BAG_STEMS_MOST = 16, BAG_SIGNATURE_MOST = 64, BAG_BYTES_MOST = 64 << 10 };

struct bag {
    int networks, stems; /* stems: columns of the weights, 0 without any */
    char signature[BAG_NETWORKS_MOST][BAG_SIGNATURE_MOST + 1];
    double weight[BAG_NETWORKS_MOST][BAG_STEMS_MOST];
    double segment_s; /* 0: each network's own */
};

/* `name` is what messages call the file. */
int bag_parse(const char *text, size_t bytes, const char *name, struct bag *out) MUST_USE;

/* Is it a name that a network, and so a file, may have? */
bool bag_is_signature(const char *text);

#endif
