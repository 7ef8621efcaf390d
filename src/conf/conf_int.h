/* Private to conf: the shape of a directive and the steps of a load. */
#pragma once
#include <stdarg.h>
#include "conf/conf.h"
#include "core/core_buf.h"
#include "core/core_str.h"

enum fp_conf_type {
    FP_CONF_T_STRING, /* const char *; with choices: one of them */
    FP_CONF_T_PATH,   /* const char *; not blank */
    FP_CONF_T_INT,    /* unsigned of the field's width */
    FP_CONF_T_SIZE,   /* bytes; 64K 2M 1G */
    FP_CONF_T_DUR,    /* milliseconds; integer seconds or 250ms 30s 15m 12h 90d */
    FP_CONF_T_BOOL,
    FP_CONF_T_RATIO,  /* double 0..1 */
    FP_CONF_T_LIST,   /* struct fp_conf_list */
    FP_CONF_T_CHOICE, /* index into choices, of the field's width; "false" and "true" take a bool */
};
enum fp_conf_flag {
    FP_CONF_SECRET = 1,  /* masked in -T, wiped from the environment */
    FP_CONF_LATER = 2,   /* checked now; the feature is not built yet */
    FP_CONF_AUTO_N = 4,  /* "auto" is the number of CPUs */
    FP_CONF_ENV_LAX = 8, /* environment: whatever is not true is false */
    FP_CONF_FILE = 16,   /* opened by the master and handed on */
    FP_CONF_FILE_0600 = 32,
    FP_CONF_HIDDEN = 64, /* environment only: not a key of a file */
    FP_CONF_WARN = 128,  /* a bad value must not stop the start: looked at when needed */
};
struct fp_conf_directive {
    const char *name;
    enum fp_conf_type type;
    char class; /* 'L', 'W', 'R': contract §12.1 */
    unsigned short offset, width;
    const char *def;     /* in the grammar of the environment; NULL: unset */
    int64_t min, max;    /* INT, SIZE (bytes), DUR (ms) */
    const char *choices; /* "a|b|c" */
    unsigned flags;
    const char *env[2]; /* further names, first wins */
    const char *help;   /* one sentence for flowplane.conf(5), mdoc-free */
};
extern const struct fp_conf_directive fp_conf_table[];
extern const size_t fp_conf_table_n;
#define FP_CONF_NONE ((size_t)-1)
size_t fp_conf_find(struct fp_str name);               /* index, or FP_CONF_NONE */
const char *fp_conf_near(struct fp_str name);          /* nearest directive, or NULL */
bool fp_conf_group_known(struct fp_str name);          /* "api", "api.tls" */
void fp_conf_env_name(char out[80], const char *name); /* FLOWPLANE_API_TLS_CERT_PATH */

/* One value before it is checked, from whatever source. */
struct fp_conf_raw {
    enum { FP_RAW_TEXT, FP_RAW_STRING, FP_RAW_INT, FP_RAW_FLOAT, FP_RAW_BOOL, FP_RAW_LIST } kind;
    const char *s; /* TEXT (environment, defaults: everything is text), STRING */
    int64_t i;
    double f;
    bool b;
    struct fp_conf_list list;
};
struct fp_conf_load { /* one run of fp_conf_load */
    struct fp_conf *c;
    const struct fp_conf_sources *s;
    FILE *err;
    unsigned errors;
    enum { LAYER_DEFAULT, LAYER_SHARE, LAYER_FILE, LAYER_ENV, LAYER_COMMAND } layer; /* now */
    unsigned char *layers; /* per directive: who set it */
};
void fp_conf_error(struct fp_conf_load *l, const char *origin, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void fp_conf_warn(struct fp_conf_load *l, const char *origin, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void fp_conf_note(struct fp_conf_load *l, const char *origin, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* NULL when stored, else what is wrong (in the arena). */
const char *fp_conf_store(struct fp_conf *c, const struct fp_conf_directive *d,
                          const struct fp_conf_raw *raw);
/* Stores, records the origin, reports. */
void fp_conf_set(struct fp_conf_load *l, size_t index, const struct fp_conf_raw *raw,
                 const char *origin);
bool fp_conf_value_equal(const struct fp_conf *a, const struct fp_conf *b,
                         const struct fp_conf_directive *d);
/* libconfig syntax of the effective value; false when unset */
bool fp_conf_value_print(const struct fp_conf *c, const struct fp_conf_directive *d,
                         struct fp_buf *out);
static inline void *fp_conf_field(const struct fp_conf *c, const struct fp_conf_directive *d)
{
    return (char *)(uintptr_t)c + d->offset;
}

/*
 * The text of a file with @include resolved and integers widened, and where each line came from:
 * libconfig cuts integers to 32 bits and calls exit() when an include is a directory.
 */
struct fp_conf_line {
    const char *file;
    int line;
};
struct fp_conf_text {
    struct fp_buf *out;
    struct fp_conf_line *lines;
    size_t lines_n, lines_cap;
};
void fp_conf_file_load(struct fp_conf_load *l, const char *path, bool required);
void fp_conf_override_load(struct fp_conf_load *l, const char *text); /* one -g */
bool fp_conf_text_read(struct fp_conf_load *l, const char *path, struct fp_conf_text *t);
void fp_conf_text_fini(struct fp_conf_text *t);

void fp_conf_env_load(struct fp_conf_load *l);
void fp_conf_check(struct fp_conf_load *l);
