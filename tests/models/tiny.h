/* tiny - what tests of networks in flight share: an exec, on the device that WAVEMILL_TEST_BACKEND names, and the small
 * network with segments of a ninth of a second, which a device's emulator runs in half a second. */
#ifndef TINY_H
#define TINY_H
#include "exec.h"
#include "htdemucs.h"

enum { TINY_STEMS = 4, TINY_VALUES = 2 * TINY_STEMS };

struct exec *tiny_exec(void); /* one thread */
struct htdemucs *tiny_network(struct exec *ex);
int tiny_file(void); /* the same from a file, to be closed */

/* [frames][2] of noise to be freed: sample i of the signal with this seed, wherever it begins. */
float *tiny_noise(uint32_t seed, int64_t frames);

#endif
