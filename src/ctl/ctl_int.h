/* flowplanectl's inside: commands, their options, and how they end. */
#pragma once
#include <jansson.h>
#include "core/core_arena.h"
#include "core/core_err.h"

/* Exit status (contract §13.2) */
enum ctl_exit {
    CTL_DONE = 0,
    CTL_FAILED = 1, /* refused or failed, the old state is kept */
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_NOT_PERMITTED = 4,
    CTL_TIMEOUT = 5,
    CTL_VERSION = 6,
    CTL_CONDITION = 7,
};
#define CTL_HINT "flowplanectl: see flowplanectl --help or flowplanectl(8)\n"

enum ctl_format { CTL_TABLE, CTL_JSON, CTL_YAML };
enum {
    CTL_CONF = 1,
    CTL_ENVOY = 2,
    CTL_OUTPUT = 4,
    CTL_DATABASE = 8
}; /* options of single commands */

struct ctl_call {
    struct fp_arena *arena;
    enum ctl_format format;
    bool quiet;
    unsigned given; /* CTL_CONF … */
    const char *conf, *envoy, *output, *database_url;
    const char *argument; /* NULL when absent */
};

struct ctl_command {
    const char *words[2]; /* the second may be NULL */
    const char *arguments, *does;
    unsigned options; /* CTL_CONF … it takes */
    bool argument;    /* one may follow */
    int (*run)(struct ctl_call *c);
};

int ctl_descriptors_extract(struct ctl_call *c);
int ctl_descriptors_show(struct ctl_call *c);
int ctl_audit_verify(struct ctl_call *c);
int ctl_tokens_bootstrap(struct ctl_call *c);

/* The result, as JSON or YAML. */
void ctl_print(const struct ctl_call *c, const json_t *v);
/* Says why on stderr; returns `exit`. */
int ctl_fail(const struct ctl_call *c, enum ctl_exit exit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* An error of the environment: CTL_NOT_PERMITTED when the system refused a right. */
enum ctl_exit ctl_exit_of(int err);
