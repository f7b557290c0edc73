/* fuzz - what the fuzz targets share. A target is one file fuzz_NAME.c with the two functions below: libFuzzer calls
 * the first with bytes that it makes up, the replayer (replay.c) with files and with the target's own seeds.
 *
 *   findings     a broken property ends the process by FUZZ_CHECK, so that libFuzzer keeps the input
 *   reading      behind the end of the input every number is 0 and every slice empty, so that any input is a whole one
 *   memory       a target frees what it takes: leaks are findings */
#ifndef FUZZ_H
#define FUZZ_H
#include "log.h"
#include "wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Always 0. Called many times in one process: nothing of one input may be seen by the next. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Calls fuzz_seed for inputs that reach deep: each must be accepted (fuzz_accept), or the replayer fails. */
void fuzz_seeds(void);
void fuzz_seed(const char *name, const void *data, size_t bytes);

/* The linker's names for a function that takes another's place (--wrap), and for the other.
 * NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
#define WRAP(name) __wrap_##name
#define REAL(name) __real_##name

/* Takes the place of log_write where a target's line in CMakeLists.txt says WRAP log_write: says nothing. */
void WRAP(log_write)(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* The input was followed to the end of what the target checks: it was not refused on the way. */
void fuzz_accept(void);
uint64_t fuzz_accepted(void);

_Noreturn void fuzz_broken(const char *file, int line, const char *what);
#define FUZZ_CHECK(condition) \
    do { \
        if (!(condition)) \
            fuzz_broken(__FILE__, __LINE__, #condition); \
    } while (0)

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

uint8_t fuzz_byte(struct fuzz_input *in);
uint64_t fuzz_number(struct fuzz_input *in, int bytes);              /* little-endian */
struct wire_slice fuzz_slice(struct fuzz_input *in, uint32_t bytes); /* cut to what is left */
struct wire_slice fuzz_rest(struct fuzz_input *in);                  /* all that is left */
char *fuzz_text(struct fuzz_input *in, uint32_t bytes);              /* a copy that ends with 0; free it */
void fuzz_noise(const char *seed, uint8_t *out, size_t bytes);       /* the same bytes for the same seed */
int fuzz_mute(FILE *f); /* what is printed there goes nowhere, until fuzz_unmute with what this gave */
void fuzz_unmute(FILE *f, int kept);
const char *fuzz_folder(void); /* a folder of this process, in $TMPDIR or /tmp; made once, removed at the end */

#endif
