/* The database itself, for commands that need no server (contract §13.2, level db). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "conf/conf_child.h"
#include "core/core_assert.h"
#include "core/core_log.h"
#include "ctl/ctl_db_int.h"
#include "fp_config.h"
#include "os/os_file.h"

#define URL_MAX_BYTES  (64u << 10)
#define SAID_MAX_BYTES (16u << 10)
#define CONNECT_MS     10000
#define STATEMENT_MS   3600000 /* a chain may be long */
#define LISTED_AT_ONCE 16

/* Where the database is: --database-url, else what the server's configuration says. */
static int find_url(struct ctl_call *c, const char **url)
{
    struct fp_conf_sources s = {
        .file = c->conf, .prefix_share = FP_PREFIX_SHARE, .prefix_etc = FP_PREFIX_ETC};
    struct fp_buf text = {0};
    int status = CTL_DONE, err;
    *url = c->database_url;
    if (*url)
        return CTL_DONE;
    char *said = fp_arena_alloc(c->arena, SAID_MAX_BYTES);
    FILE *f = fmemopen(said, SAID_MAX_BYTES, "w"); /* warnings are the server's business */
    FP_ASSERT(f);
    struct fp_conf *conf = fp_conf_load(&s, f);
    fclose(f);
    if (!conf)
        return ctl_fail(c, CTL_FAILED, "the configuration is not valid:\n%s", said);
    if (conf->database.url) {
        *url = fp_arena_strdup(c->arena, conf->database.url);
    } else if (!conf->database.url_file) {
        status = ctl_fail(c, CTL_FAILED, "database.embedded: name it with --database-url");
    } else if ((err = fp_file_read(conf->database.url_file, URL_MAX_BYTES, &text)) < 0) {
        status = ctl_fail(c, ctl_exit_of(err), "%s: %s", conf->database.url_file, fp_err_text(err));
    } else {
        struct fp_str trimmed = fp_str_trim(fp_buf_str(&text));
        *url = fp_arena_printf(c->arena, "%.*s", FP_STR_ARG(trimmed));
    }
    fp_buf_fini(&text);
    fp_conf_free(&conf);
    return status;
}

int ctl_db_open(struct ctl_call *c, struct ctl_db *db)
{
    const char *url;
    int status = find_url(c, &url);
    if (status != CTL_DONE)
        return status;
    if (strncmp(url, "postgresql://", 13) != 0 && strncmp(url, "postgres://", 11) != 0)
        return ctl_fail(c, CTL_USAGE, "a database URL begins with postgresql://");
    fp_log_fd_set(STDERR_FILENO);
    fp_log_format_set(FP_LOG_TEXT);
    fp_log_filter_set("error");
    struct fp_store_options o = {.url = url,
                                 .application_name = "flowplanectl",
                                 .pool_size = 1,
                                 .connect_timeout_ms = CONNECT_MS,
                                 .statement_timeout_ms = STATEMENT_MS,
                                 .queue_max = LISTED_AT_ONCE};
    db->loop = fp_loop_new();
    db->store = fp_store_new(db->loop, &o);
    return CTL_DONE;
}

int ctl_db_fail(struct ctl_call *c, const struct ctl_db *db)
{
    const char *why = fp_store_last_error();
    if (fp_store_up(db->store))
        return ctl_fail(c, CTL_FAILED, "the database refuses it; is its schema this version's?");
    return ctl_fail(c, CTL_UNREACHABLE, "database: %s", *why ? why : "no answer");
}

void ctl_db_close(struct ctl_db *db)
{
    fp_store_free(&db->store);
    fp_loop_free(&db->loop);
}
