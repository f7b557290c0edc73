/* test - the runner. A test program is a list of TEST functions; each runs in a process and an empty folder of its own.
 *
 *     TEST(name) { CHECK(1 + 1 == 2); CHECK_OK(call()); CHECK_CODE(call(), STATUS_ARGUMENT); }
 *
 * `test_x` runs all, `test_x NAME` one, `test_x --list` names them. The exit status carries the verdict. A CHECK that
 * fails prints file, line and expression and goes on; REQUIRE ends the test. Leaks fail a test under AddressSanitizer.
 */
#ifndef TEST_H
#define TEST_H
#include "status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

void test_register(const char *name, void (*function)(void));
void test_report(bool ok, const char *file, int line, const char *format, ...) __attribute__((format(printf, 4, 5)));
_Noreturn void test_stop(void);

/* Folder of the test data (WAVEMILL_TEST_DATA) or of the programs (WAVEMILL_BIN), joined with a name; static buffer. */
const char *test_data(const char *name);
const char *test_bin(const char *name);

/* Seeded numbers, the same on every machine: uniform in [0, 2^64), [0, 1) and [-1, 1). */
uint64_t test_random(uint64_t *state);
double test_uniform(uint64_t *state);
float test_noise(uint64_t *state);

#define TEST(name) \
    static void test_##name(void); \
    __attribute__((constructor)) static void test_register_##name(void) \
    { \
        test_register(#name, test_##name); \
    } \
    static void test_##name(void)

#define CHECK(expression) test_report((expression), __FILE__, __LINE__, "%s", #expression)
#define CHECK_CODE(call, want) \
    do { \
        const int check_code_ = (call); \
        test_report(check_code_ == (want), __FILE__, __LINE__, "%s gives %s (%s), wanted %s", #call, \
                    status_name(check_code_), check_code_ ? status_message() : "", status_name(want)); \
    } while (0)
#define CHECK_OK(call) CHECK_CODE(call, STATUS_OK)
/* True for a NaN on either side only when it fails: written so that NaN fails. */
#define CHECK_AT_MOST(value, limit) \
    do { \
        const double check_value_ = (value), check_limit_ = (limit); \
        test_report(check_value_ <= check_limit_, __FILE__, __LINE__, "%s is %g, limit %g", #value, check_value_, \
                    check_limit_); \
    } while (0)
#define REQUIRE(expression) \
    do { \
        const bool require_ok_ = (expression); \
        test_report(require_ok_, __FILE__, __LINE__, "%s", #expression); \
        if (!require_ok_) \
            test_stop(); \
    } while (0)

#endif
