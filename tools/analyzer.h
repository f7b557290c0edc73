/* analyzer - included before every file that tools/lint analyzes, and in no build. fail() returns the code it is given,
 * but its body is in another file, so the analyzers would follow paths on which a failure returns 0. */
#ifndef ANALYZER_H
#define ANALYZER_H
#include "../runtime/status.h"
#undef fail
#define fail(code, ...) ((void)!status_fail((code), __FILE__, __LINE__, __VA_ARGS__), (code))
#endif
