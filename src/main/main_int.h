/* Private to main: what the command line says, and the roles. */
#pragma once
#include "conf/conf_child.h"
#include "core/core_problem.h"

#define MAIN_REPORT_BYTES 65536
struct main_options {
    struct fp_conf_sources sources;
    const char *overrides[64];
    unsigned test;      /* -t: 1, -tt: 2 */
    bool dump;          /* -T */
    const char *signal; /* -s */
    bool ephemeral;
};
/* main_check.c: what a start would find wrong, without starting; false after lines went to err */
bool main_check(const struct fp_conf *c, bool connect, FILE *err);
/* The name of the configuration for messages: -c, or the default path. */
const char *main_conf_name(const struct main_options *o);
/* main_signal.c: -s; exit status of contract §13.1 */
int main_signal(const struct main_options *o);
/* main_dev.c: certificates below ./run/certs, once; says what it did or could not do */
void main_dev_certificates(const struct fp_conf *c, FILE *err);
/* main_pools.c: the descriptor pools of a generation; false after a line in err */
bool main_pools_open(const struct fp_conf *c, const struct fp_conf_files *f,
                     struct fp_child_pools *out, FILE *err);
void main_pools_close(struct fp_child_pools *p);
/* main_watcher.c: the watcher's role */
int main_watcher_run(struct fp_child *c);
