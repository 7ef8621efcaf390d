/*
 * Log lines (contract §11.3).  One line per event, one write(2) each, never blocking the caller for
 * longer than that.  Log once, where an error is handled.  `target` is one of the constants below.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include "core/core_str.h"

enum fp_log_level {
    FP_LOG_OFF,
    FP_LOG_ERROR,
    FP_LOG_WARN,
    FP_LOG_INFO,
    FP_LOG_DEBUG,
    FP_LOG_TRACE
};
enum fp_log_format { FP_LOG_JSON, FP_LOG_TEXT };

#define FP_LOG_API      "flowplane::api"
#define FP_LOG_AUTH     "flowplane::auth"
#define FP_LOG_XDS      "flowplane::xds_server"
#define FP_LOG_SNAPSHOT "flowplane::snapshot"
#define FP_LOG_STORE    "flowplane::store"
#define FP_LOG_MASTER   "flowplane::master"
#define FP_LOG_CONFIG   "flowplane::config"
#define FP_LOG_AUDIT    "flowplane::audit"
#define FP_LOG_OTEL     "flowplane::otel"
#define FP_LOG_SQL      "sqlx::query"

struct fp_log_field {
    const char *key;
    enum { FP_LOG_F_STR, FP_LOG_F_I64, FP_LOG_F_NULL, FP_LOG_F_BOOL } type;
    struct fp_str str;
    int64_t i64;
};
#define FP_LOG_S(k, v) ((struct fp_log_field){.key = (k), .type = FP_LOG_F_STR, .str = (v)})
#define FP_LOG_I(k, v) ((struct fp_log_field){.key = (k), .type = FP_LOG_F_I64, .i64 = (v)})

/* A directive list such as "info,flowplane::xds_server=trace"; NULL on success, else what is wrong.
 */
const char *fp_log_filter_check(const char *directives);
void fp_log_filter_set(const char *directives); /* must have passed the check */
void fp_log_format_set(enum fp_log_format f);
void fp_log_fd_set(int fd); /* the log takes the descriptor over, not 0..2 */
void fp_log_process_set(
    const char *role);         /* "master", "watcher", "worker 0": shown in text lines' pid field */
uint64_t fp_log_dropped(void); /* lines that a full pipe refused */

/* The request that lines are about, for those that do not say so themselves; data == NULL: none.
 * Borrowed until the next call, which the one who set it makes before it returns to the loop. */
struct fp_log_scope {
    struct fp_str request_id, trace_id;
};
struct fp_log_scope fp_log_scope_set(struct fp_log_scope s); /* returns the one before */
struct fp_log_scope fp_log_scope(void);

bool fp_log_on(enum fp_log_level level, const char *target);
void fp_log_write(enum fp_log_level level, const char *target, const struct fp_log_field *fields,
                  size_t n, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#define fp_log(level, target, ...)                                                                 \
    do {                                                                                           \
        if (fp_log_on((level), (target)))                                                          \
            fp_log_write((level), (target), NULL, 0, __VA_ARGS__);                                 \
    } while (0)
#define fp_log_error(target, ...) fp_log(FP_LOG_ERROR, target, __VA_ARGS__)
#define fp_log_warn(target, ...)  fp_log(FP_LOG_WARN, target, __VA_ARGS__)
#define fp_log_info(target, ...)  fp_log(FP_LOG_INFO, target, __VA_ARGS__)
#define fp_log_debug(target, ...) fp_log(FP_LOG_DEBUG, target, __VA_ARGS__)
#define fp_log_trace(target, ...) fp_log(FP_LOG_TRACE, target, __VA_ARGS__)
