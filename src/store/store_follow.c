/*
 * The follower: one direct connection that prepares the database (schema, first rows), then hears
 * of changes (NOTIFY, with a heartbeat and a poll as safety net) and loads them.  Runs in the
 * watcher.  Must never block, nor trust that a notification arrives.
 *
 *   AWAY ─open─▶ PREPARING: migrate ▶ bootstrap ▶ LISTEN ▶ poll ─▶ READY ─lost, deaf─▶ AWAY
 */
#include <stdio.h>
#include "core/core_assert.h"
#include "core/core_buf.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "core/core_rand.h"
#include "obs/obs_metric.h"
#include "store/store_follow_int.h"

#define CHANNEL        "flowplane_config"
#define BEAT_MS        10000 /* contract §14: heartbeat, answered within 2 s */
#define BEAT_ANSWER_MS 2000
#define DEAF_POLL_MS   1000
#define DEAF_MAX       2     /* heartbeats unheard on fresh connections until LISTEN is given up */
#define HISTORY_KEPT_N 1000  /* contract §7.3: revisions, however old */
#define CHORES_MS      60000 /* contract §4.2: the expiry pass */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 3000

static const char poll_sql[] = "SELECT revision, epoch, commit_id FROM config_revision";
static const char beat_sql[] = "SELECT pg_notify($1::text, '')";
/* Rejections go with the history, after a day at least: nobody resolves those of nodes that never
 * come back. */
static const char chores_sql[] =
    "WITH n AS (DELETE FROM xds_nacks WHERE id IN (SELECT id FROM xds_nacks\n"
    "  WHERE last_seen < now() - greatest($2::bigint, 86400000) * interval '1 millisecond'\n"
    "  LIMIT 10000 FOR UPDATE SKIP LOCKED) RETURNING id)\n"
    "SELECT expired_n, pruned_n, flowplane_prune_history($2::bigint, $3::bigint)\n"
    "  + (SELECT count(*) FROM n)\n"
    "FROM flowplane_chores($1::bigint)";
static const struct store_params none;

static void pump(struct fp_follow *f);

/* ---- connection */

static void tell_state(struct fp_follow *f, bool up, bool listen)
{
    if (f->up == up && f->listen == listen)
        return;
    f->up = up;
    f->listen = listen;
    f->h.on_state(up, listen, f->h.arg);
}

static void drop(struct fp_follow *f)
{
    store_conn_close(f->conn);
    fp_timer_stop(&f->poll);
    fp_timer_stop(&f->beat);
    fp_timer_stop(&f->answer);
    fp_timer_stop(&f->chores);
    f->stage = FOLLOW_AWAY;
    f->storing = NULL; /* still first in the queue */
    if (f->load.running)
        store_load_done(f, false);
}

static void reconnect(struct fp_follow *f)
{
    drop(f);
    f->backoff_ms = f->backoff_ms ? f->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (f->backoff_ms > BACKOFF_MAX_MS)
        f->backoff_ms = BACKOFF_MAX_MS;
    fp_timer_start(f->loop, &f->reconnect, fp_rand_jitter(f->backoff_ms, 25));
    tell_state(f, false, false);
}

static void on_reconnect(struct fp_timer *t)
{
    struct fp_follow *f = t->arg;
    store_conn_open(f->conn, f->o.listen_url ? f->o.listen_url : f->o.url, "flowplane-listen",
                    f->o.connect_timeout_ms);
}

static void on_down(const char *why, void *arg)
{
    struct fp_follow *f = arg;
    if (f->backoff_ms == 0 || f->stage != FOLLOW_AWAY)
        fp_log(f->o.starting ? FP_LOG_DEBUG : FP_LOG_WARN, FP_LOG_STORE,
               "following the database: %s", why);
    if (store_conn_state(f->conn) == STORE_CONN_CLOSED && !fp_timer_running(&f->reconnect))
        reconnect(f);
}

static void on_up(void *arg)
{
    struct fp_follow *f = arg;
    f->stage = FOLLOW_PREPARING;
    f->o.starting = false;
    store_migrate_start(f);
}

void store_follow_send(struct fp_follow *f, const char *name, const char *sql,
                       const struct store_params *params, uint64_t timeout_ms, store_answer_cb done)
{
    store_conn_send(f->conn, &(struct store_query){.name = name,
                                                   .sql = sql,
                                                   .params = params,
                                                   .timeout_ms = timeout_ms,
                                                   .done = done,
                                                   .arg = f});
}

void store_follow_fatal(struct fp_follow *f, const char *fmt, ...)
{
    char why[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    drop(f);
    f->h.on_fatal(why, f->h.arg);
}

bool store_follow_failed(struct fp_follow *f, const struct store_answer *a, const char *what)
{
    if (a->end == STORE_END_OK)
        return false;
    if (a->end == STORE_END_LOST)
        return true; /* on_down comes next */
    if (store_verdict(a->sqlstate) == STORE_REFUSE && f->stage == FOLLOW_PREPARING) {
        store_follow_fatal(f, "%s: %s (SQLSTATE %s)", what, a->message, a->sqlstate);
        return true;
    }
    fp_log_warn(FP_LOG_STORE, "%s: %s (SQLSTATE %s)", what, a->message, a->sqlstate);
    reconnect(f);
    return true;
}

/* ---- preparing */

void store_migrate_done(struct fp_follow *f)
{
    store_bootstrap_start(f);
}

bool fp_follow_away(const struct fp_follow *f)
{
    return f->backoff_ms != 0;
}

static void tell_behind(struct fp_follow *f, uint64_t revision)
{
    f->h.on_behind(revision, f->h.arg);
}

static void on_listening(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "LISTEN"))
        return;
    f->stage = FOLLOW_READY;
    f->hears = true;
    f->rests = false;
    f->backoff_ms = 0;
    f->want_poll = f->want_chores = true;
    f->want_beat = !f->pooled;
    if (f->pooled && !f->warned) {
        f->warned = true;
        fp_log_warn(FP_LOG_STORE, "a pooler stands between: LISTEN is not relied on, polling every "
                                  "second; set database.listen_url to a direct connection");
    }
    tell_state(f, true, !f->pooled && f->deaf < DEAF_MAX);
    if (!f->loaded_set)
        tell_behind(f, 0); /* nothing to compare: the load need not wait for a poll */
    pump(f);
}

void store_bootstrap_done(struct fp_follow *f)
{
    snprintf(f->beat_channel, sizeof(f->beat_channel), "flowplane_beat_%016llx",
             (unsigned long long)fp_rand_u64());
    snprintf(f->listen_sql, sizeof(f->listen_sql), "LISTEN " CHANNEL "; LISTEN %s",
             f->beat_channel);
    store_follow_send(f, "listen", f->listen_sql, NULL, f->o.statement_timeout_ms, on_listening);
}

/* ---- following */

static void on_rest_changed(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "LISTEN"))
        return;
    f->hears = !f->hears;
    pump(f);
}

void fp_follow_rest(struct fp_follow *f)
{
    f->rests = f->stage == FOLLOW_READY && f->listen;
    pump(f);
}

static void on_notify(const char *channel, const char *payload, void *arg)
{
    struct fp_follow *f = arg;
    uint64_t revision;
    if (strcmp(channel, f->beat_channel) == 0) {
        f->beat_heard = true;
        return;
    }
    /* A hint only: anything else than a greater number is left to the poll. */
    if (f->stage == FOLLOW_READY && fp_str_to_u64(fp_str_of(payload), &revision) &&
        revision > f->loaded.revision)
        tell_behind(f, revision);
}

static void on_polled(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    struct fp_follow_revision now = {.revision = 0};
    if (store_follow_failed(f, a, "poll"))
        return;
    fp_timer_start(f->loop, &f->poll, f->listen ? f->o.poll_interval_ms : DEAF_POLL_MS);
    if (PQntuples(a->result) == 1) {
        struct fp_str epoch = store_cell(a->result, 0, 1), commit = store_cell(a->result, 0, 2);
        now.revision = (uint64_t)store_cell_i64(a->result, 0, 0);
        bool same = f->loaded_set && now.revision == f->loaded.revision &&
                    fp_str_eq(epoch, fp_str_n(f->loaded.epoch, 16)) &&
                    fp_str_eq(commit, fp_str_n(f->loaded.commit_id, 16));
        if (!same)
            tell_behind(f, now.revision);
    }
    pump(f);
}

/* Our own notification comes before the answer; on any other way it gets its 2 s. */
static void judge_beat(struct fp_timer *t)
{
    struct fp_follow *f = t->arg;
    if (f->beat_heard) {
        f->deaf = 0;
        tell_state(f, true, true);
        fp_timer_start(f->loop, &f->beat, BEAT_MS);
        return;
    }
    if (++f->deaf < DEAF_MAX) {
        fp_log_warn(FP_LOG_STORE, "no answer to the heartbeat; connecting anew");
        reconnect(f);
        return;
    }
    if (!f->warned)
        fp_log_warn(FP_LOG_STORE, "LISTEN is not heard on this connection, polling every second; "
                                  "set database.listen_url to a direct connection");
    f->warned = f->want_poll = true;
    tell_state(f, true, false);
    fp_timer_start(f->loop, &f->beat, BEAT_MS);
    pump(f);
}

static void on_beaten(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "heartbeat"))
        return;
    fp_timer_start(f->loop, &f->answer, f->beat_heard ? 0 : BEAT_ANSWER_MS);
    pump(f);
}

static void send_beat(struct fp_follow *f)
{
    struct store_params p = {.n = 0};
    f->want_beat = f->beat_heard = false;
    store_param_text(&p, fp_str_of(f->beat_channel));
    store_follow_send(f, "heartbeat", beat_sql, &p, BEAT_ANSWER_MS, on_beaten);
}

static void on_beat_timer(struct fp_timer *t)
{
    struct fp_follow *f = t->arg;
    f->want_beat = true;
    pump(f);
}

static void on_poll_timer(struct fp_timer *t)
{
    struct fp_follow *f = t->arg;
    f->want_poll = true;
    pump(f);
}

static void on_chores_done(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (a->end == STORE_END_SQL && store_verdict(a->sqlstate) != STORE_READ_ONLY)
        fp_log_warn(FP_LOG_STORE, "chores: %s (SQLSTATE %s)", a->message, a->sqlstate);
    else if (store_follow_failed(f, a, "chores"))
        return;
    else if (store_cell_i64(a->result, 0, 0) || store_cell_i64(a->result, 0, 1) ||
             store_cell_i64(a->result, 0, 2)) {
        fp_metric_add(FP_METRIC_AUDIT_WRITES, 0, 0, 0, (uint64_t)store_cell_i64(a->result, 0, 0));
        fp_log_info(FP_LOG_AUDIT, "%lld tokens expired, %lld audit and %lld history rows pruned",
                    (long long)store_cell_i64(a->result, 0, 0),
                    (long long)store_cell_i64(a->result, 0, 1),
                    (long long)store_cell_i64(a->result, 0, 2));
    }
    fp_timer_start(f->loop, &f->chores, CHORES_MS);
    pump(f);
}

static void do_chores(struct fp_follow *f)
{
    struct store_params p = {.n = 0};
    struct fp_arena *scratch = fp_arena_new(NULL);
    f->want_chores = false;
    store_param_i64(&p, scratch, (int64_t)f->o.audit_retention_ms);
    store_param_i64(&p, scratch, (int64_t)f->o.history_retention_ms);
    store_param_i64(&p, scratch, HISTORY_KEPT_N);
    store_follow_send(f, "chores", chores_sql, &p, f->o.statement_timeout_ms, on_chores_done);
    fp_arena_free(&scratch);
}

static void on_chores_timer(struct fp_timer *t)
{
    struct fp_follow *f = t->arg;
    f->want_chores = true;
    pump(f);
}

/* ---- loading and storing */

void store_load_done(struct fp_follow *f, bool ok)
{
    struct follow_load l = f->load;
    f->load.running = false;
    if (ok) {
        f->loaded = l.now;
        f->loaded_set = true;
    }
    l.done(ok, l.full, &l.now, l.arg);
    if (ok)
        pump(f);
}

const struct fp_follow_commits *fp_follow_commits(const struct fp_follow *f)
{
    return &f->load.commits;
}

static void on_refuse(struct fp_task *t)
{
    struct fp_follow *f = t->arg;
    struct follow_load l = f->load;
    if (!l.wanted)
        return;
    f->load.wanted = false;
    l.done(false, false, &l.now, l.arg);
}

void fp_follow_load(struct fp_follow *f, const struct fp_follow_revision *since,
                    fp_follow_row_cb row, fp_follow_done_cb done, void *arg)
{
    FP_ASSERT(!f->load.wanted && !f->load.running);
    f->load = (struct follow_load){
        .wanted = true, .since_set = since != NULL, .row = row, .done = done, .arg = arg};
    if (since)
        f->load.since = *since;
    f->rests = false;
    if (f->stage == FOLLOW_READY)
        pump(f);
    else
        fp_task_defer(f->loop, &f->refuse);
}

static void on_stored(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    struct store_request *r = f->storing;
    if (a->end == STORE_END_SQL && store_verdict(a->sqlstate) == STORE_REFUSE)
        fp_log_error(FP_LOG_STORE, "an encoded row cannot be stored: %s (SQLSTATE %s)", a->message,
                     a->sqlstate); /* asking again would not help */
    else if (store_follow_failed(f, a, "storing an encoded row"))
        return;
    f->storing = NULL;
    fp_list_remove(&r->link);
    fp_arena_free(&(struct fp_arena *){r->arena});
    pump(f);
}

void fp_follow_store_encoded(struct fp_follow *f, enum fp_kind kind, struct fp_str name,
                             int64_t version, struct fp_str encoded, const uint8_t content_hash[32],
                             int encoder_version, const struct fp_ref *refs, size_t refs_n)
{
    struct fp_buf b = {0};
    if (!store_encoded_sql[kind])
        return;
    struct store_request *r = store_request_new("store encoded", store_encoded_sql[kind]);
    store_param_text(&r->params, fp_arena_str(r->arena, name));
    store_param_i64(&r->params, r->arena, version);
    fp_buf_append_byte(&b, '[');
    for (size_t i = 0; i < refs_n; i++) {
        fp_buf_printf(&b, "%s{\"kind\":\"%s\",\"name\":", i ? "," : "",
                      fp_kinds[refs[i].kind].name);
        fp_buf_append_json(&b, refs[i].name);
        fp_buf_append_byte(&b, '}');
    }
    fp_buf_append_byte(&b, ']');
    store_param_json(&r->params, r->arena, fp_buf_str(&b));
    fp_buf_fini(&b);
    store_param_bytes(&r->params, fp_arena_str(r->arena, encoded));
    store_param_bytes(&r->params, fp_str_n(fp_arena_dup(r->arena, content_hash, 32), 32));
    store_param_i64(&r->params, r->arena, encoder_version);
    fp_list_push_back(&f->encoded, &r->link);
    pump(f);
}

/* One thing at a time, what clients wait for first; LISTEN before the load, which finds what was
 * not heard.  A heartbeat is sent, and waited for, by those who listen. */
static void pump(struct fp_follow *f)
{
    if (f->stage != FOLLOW_READY || store_conn_state(f->conn) != STORE_CONN_IDLE)
        return;
    if (!f->rests && !f->hears) {
        store_follow_send(f, "listen", f->listen_sql, NULL, f->o.statement_timeout_ms,
                          on_rest_changed);
    } else if (f->load.wanted) {
        store_load_start(f);
    } else if (f->want_poll) {
        f->want_poll = false;
        store_follow_send(f, "poll", poll_sql, &none, f->o.statement_timeout_ms, on_polled);
    } else if (f->rests && f->hears && !fp_timer_running(&f->answer)) {
        store_follow_send(f, "listen no more", "UNLISTEN *", NULL, f->o.statement_timeout_ms,
                          on_rest_changed);
    } else if (f->want_beat && f->hears) {
        send_beat(f);
    } else if (!fp_list_empty(&f->encoded)) {
        f->storing = FP_CONTAINER(f->encoded.next, struct store_request, link);
        store_follow_send(f, f->storing->name, f->storing->sql, &f->storing->params,
                          f->o.statement_timeout_ms, on_stored);
    } else if (f->want_chores) {
        do_chores(f);
    }
}

/* ---- the follower */

struct fp_follow *fp_follow_new(struct fp_loop *loop, const struct fp_follow_options *o,
                                const struct fp_follow_handlers *h)
{
    struct fp_follow *f = fp_mem_zalloc(sizeof(*f));
    struct store_conn_handlers conn = {.up = on_up, .down = on_down, .notify = on_notify, .arg = f};
    f->loop = loop;
    f->arena = fp_arena_new(NULL);
    f->o = *o;
    f->o.url = fp_arena_strdup(f->arena, o->url);
    f->o.listen_url = o->listen_url ? fp_arena_strdup(f->arena, o->listen_url) : NULL;
    f->o.sql_dir = o->sql_dir ? fp_arena_strdup(f->arena, o->sql_dir) : NULL;
    f->h = *h;
    f->conn = store_conn_new(loop, &conn);
    f->reconnect = (struct fp_timer){.cb = on_reconnect, .arg = f};
    f->poll = (struct fp_timer){.cb = on_poll_timer, .arg = f};
    f->beat = (struct fp_timer){.cb = on_beat_timer, .arg = f};
    f->answer = (struct fp_timer){.cb = judge_beat, .arg = f};
    f->chores = (struct fp_timer){.cb = on_chores_timer, .arg = f};
    f->refuse = (struct fp_task){.cb = on_refuse, .arg = f};
    fp_list_init(&f->encoded);
    store_migrate_init(f);
    fp_timer_start(loop, &f->reconnect, 0);
    return f;
}

void fp_follow_free(struct fp_follow **follow)
{
    struct fp_follow *f = *follow;
    struct fp_list *n;
    if (!f)
        return;
    *follow = NULL;
    store_conn_free(&f->conn);
    fp_timer_stop(&f->reconnect);
    fp_timer_stop(&f->poll);
    fp_timer_stop(&f->beat);
    fp_timer_stop(&f->answer);
    fp_timer_stop(&f->chores);
    fp_task_cancel(&f->refuse);
    while ((n = fp_list_pop_front(&f->encoded)) != NULL)
        fp_arena_free(&FP_CONTAINER(n, struct store_request, link)->arena);
    fp_mem_free(f->token);
    fp_arena_free(&f->arena);
    fp_mem_free(f);
}
