/* log - one line per event on stderr (or a file): time, level, program, message. The only place that prints messages.
 * Lines are written with one write(2), so processes that share the file do not mix theirs. */
#ifndef LOG_H
#define LOG_H
#include <stdint.h>

enum log_level { LOG_ERROR_ = 0, LOG_WARN_ = 1, LOG_INFO_ = 2, LOG_DEBUG_ = 3 };

/* Program name in each line, and the most detailed level that is written; WAVEMILL_LOG=error|warn|info|debug wins. */
void log_init(const char *program, enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What this thread's lines belong to, from now on; 0: nothing. Such a line begins with LOG_TAG and 16 hex digits, for a
 * parent that reads this program's stderr and gives each item its lines. */
#define LOG_TAG '\x1e'
enum { LOG_TAG_BYTES = 17 };
void log_tag(uint64_t number);

#define log_error(...) log_write(LOG_ERROR_, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN_, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO_, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG_, __VA_ARGS__)

#endif
