/* log - one line per event on stderr (or a file): time, level, program, message. The only place that prints messages.
 * Lines are written with one write(2), so processes that share the file do not mix theirs. */
#ifndef LOG_H
#define LOG_H

enum log_level { LOG_ERROR_ = 0, LOG_WARN_ = 1, LOG_INFO_ = 2, LOG_DEBUG_ = 3 };

/* Program name in each line, and the most detailed level that is written; WAVEMILL_LOG=error|warn|info|debug wins. */
void log_init(const char *program, enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR_, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN_, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO_, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG_, __VA_ARGS__)

#endif
