/*
 * The pool of a worker: a bounded queue of requests in front of a few connections.  A connection
 * is opened when there is work and none is free; one is always tried, so that the store knows
 * whether the database is there.  Must never block nor repeat a statement whose outcome it does not
 * know.
 */
#include "core/core_assert.h"
#include "core/core_log.h"
#include "core/core_mem.h"
#include "core/core_rand.h"
#include "store/store_int.h"

#define RETRIES        3   /* contract §2.6: serialization failures */
#define BACKOFF_MIN_MS 100 /* doubling up to the maximum, ±25 % */
#define BACKOFF_MAX_MS 1000

struct slot {
    struct fp_store *store;
    struct store_conn *conn;
    struct store_request *running; /* while BUSY */
    struct fp_timer idle;          /* while IDLE, when idle_timeout is set */
};

/* Writes have a lane of their own, and one at a time is sent: in the database they wait for one
 * lock anyway, until commit, and there each commit wakes all that wait for it (16 of them do half
 * of what two do). */
enum { LANE_READ, LANE_WRITE, LANES_N };

struct fp_store {
    struct fp_loop *loop;
    struct fp_store_options o;
    char *url, *application_name;
    struct slot *slots; /* o.pool_size of them */
    struct lane {       /* requests without a connection, oldest first */
        struct fp_list waiting;
        unsigned n;
    } lanes[LANES_N];
    struct fp_list failed; /* refused at once; told by the task */
    struct fp_task tell;
    struct fp_timer overdue;   /* of the oldest waiting request */
    struct fp_timer reconnect; /* running: the last attempt failed, nothing is opened before */
    uint64_t backoff_ms;       /* 0: the last attempt worked */
    bool tried;                /* some attempt has ended */
};

static void dispatch(struct fp_store *s);

/* ---- requests */

struct store_request *store_request_new(const char *name, const char *sql)
{
    struct fp_arena *a = fp_arena_new(NULL);
    struct store_request *r = FP_ARENA_NEW(a, struct store_request);
    r->arena = a;
    r->name = name;
    r->sql = sql;
    struct fp_log_scope scope = fp_log_scope();
    if (scope.request_id.data)
        r->scope.request_id = fp_arena_str(a, scope.request_id);
    if (scope.trace_id.data)
        r->scope.trace_id = fp_arena_str(a, scope.trace_id);
    return r;
}

static void answer(struct store_request *r, const struct store_answer *a)
{
    struct fp_arena *arena = r->arena;
    fp_list_remove(&r->link);
    struct fp_log_scope before = fp_log_scope_set(r->scope);
    r->done(a, r->arg);
    fp_log_scope_set(before);
    fp_arena_free(&arena);
}

static void answer_lost(struct store_request *r, const char *why)
{
    answer(r, &(struct store_answer){
                  .end = STORE_END_LOST, .sqlstate = "", .constraint = "", .message = why});
}

static void tell_failed(struct fp_task *t)
{
    struct fp_store *s = t->arg;
    struct fp_list *n;
    while ((n = fp_list_pop_front(&s->failed)) != NULL)
        answer_lost(FP_CONTAINER(n, struct store_request, link), "no connection");
}

/* From the loop: the caller may be the one who submits. */
static void fail_later(struct fp_store *s, struct store_request *r)
{
    fp_list_push_back(&s->failed, &r->link);
    fp_task_defer(s->loop, &s->tell);
}

static struct store_request *first(const struct lane *l)
{
    return fp_list_empty(&l->waiting) ? NULL
                                      : FP_CONTAINER(l->waiting.next, struct store_request, link);
}

static struct lane *lane_of(struct fp_store *s, const struct store_request *r)
{
    return &s->lanes[r->write ? LANE_WRITE : LANE_READ];
}

static void enqueue(struct fp_store *s, struct store_request *r, bool front)
{
    struct lane *l = lane_of(s, r);
    if (front)
        fp_list_push_front(&l->waiting, &r->link);
    else
        fp_list_push_back(&l->waiting, &r->link);
    l->n++;
}

static void dequeue(struct fp_store *s, struct store_request *r)
{
    fp_list_remove(&r->link);
    lane_of(s, r)->n--;
}

static bool writing(const struct fp_store *s)
{
    for (unsigned i = 0; i < s->o.pool_size; i++)
        if (s->slots[i].running && s->slots[i].running->write)
            return true;
    return false;
}

/* The oldest that may be sent now. */
static struct store_request *next(const struct fp_store *s)
{
    struct store_request *read = first(&s->lanes[LANE_READ]);
    struct store_request *write = first(&s->lanes[LANE_WRITE]);
    if (!write || writing(s))
        return read;
    return !read || write->due_ms < read->due_ms ? write : read;
}

/* How many could be sent now, had they connections. */
static unsigned ready(const struct fp_store *s)
{
    return s->lanes[LANE_READ].n + (s->lanes[LANE_WRITE].n && !writing(s));
}

static void fail_waiting(struct fp_store *s)
{
    for (int i = 0; i < LANES_N; i++)
        for (struct store_request *r; (r = first(&s->lanes[i])) != NULL;) {
            dequeue(s, r);
            fail_later(s, r);
        }
}

static void watch_oldest(struct fp_store *s)
{
    uint64_t now = fp_loop_now_ms(s->loop), due = UINT64_MAX;
    for (int i = 0; i < LANES_N; i++) {
        const struct store_request *r = first(&s->lanes[i]);
        if (r && r->due_ms < due)
            due = r->due_ms;
    }
    if (due == UINT64_MAX)
        fp_timer_stop(&s->overdue);
    else
        fp_timer_start(s->loop, &s->overdue, due > now ? due - now : 0);
}

static void on_overdue(struct fp_timer *t)
{
    struct fp_store *s = t->arg;
    for (int i = 0; i < LANES_N; i++)
        for (struct store_request *r;
             (r = first(&s->lanes[i])) != NULL && r->due_ms <= fp_loop_now_ms(s->loop);) {
            dequeue(s, r);
            fail_later(s, r);
        }
    watch_oldest(s);
}

void store_pool_submit(struct fp_store *s, struct store_request *r)
{
    bool away = fp_timer_running(&s->reconnect) && !fp_store_up(s);
    if (away || s->lanes[LANE_READ].n + s->lanes[LANE_WRITE].n >= s->o.queue_max) {
        fail_later(s, r);
        return;
    }
    r->due_ms = fp_loop_now_ms(s->loop) + s->o.statement_timeout_ms;
    enqueue(s, r, false);
    watch_oldest(s);
    dispatch(s);
}

void store_pool_each(struct fp_store *s, void *owner, void (*fn)(struct store_request *r))
{
    struct fp_list *lists[] = {&s->lanes[LANE_READ].waiting, &s->lanes[LANE_WRITE].waiting,
                               &s->failed};
    for (size_t i = 0; i < 3; i++)
        FP_LIST_FOREACH (it, lists[i]) {
            struct store_request *r = FP_CONTAINER(it, struct store_request, link);
            if (r->owner == owner)
                fn(r);
        }
    for (unsigned i = 0; i < s->o.pool_size; i++)
        if (s->slots[i].running && s->slots[i].running->owner == owner)
            fn(s->slots[i].running);
}

uint64_t store_pool_statement_timeout_ms(const struct fp_store *s)
{
    return s->o.statement_timeout_ms;
}

/* ---- connections */

static unsigned count(const struct fp_store *s, enum store_conn_state state)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->o.pool_size; i++)
        n += store_conn_state(s->slots[i].conn) == state;
    return n;
}

static unsigned connected(const struct fp_store *s)
{
    return count(s, STORE_CONN_IDLE) + count(s, STORE_CONN_BUSY);
}

bool fp_store_up(const struct fp_store *s)
{
    return connected(s) > 0 || (s->tried && s->backoff_ms == 0);
}

static void open_one(struct fp_store *s)
{
    for (unsigned i = 0; i < s->o.pool_size; i++) {
        if (store_conn_state(s->slots[i].conn) != STORE_CONN_CLOSED)
            continue;
        store_conn_open(s->slots[i].conn, s->url, s->application_name, s->o.connect_timeout_ms);
        return;
    }
}

static void answered(const struct store_answer *a, void *arg)
{
    struct slot *slot = arg;
    struct fp_store *s = slot->store;
    struct store_request *r = slot->running;
    enum store_verdict v = a->end == STORE_END_SQL ? store_verdict(a->sqlstate) : STORE_REFUSE;

    slot->running = NULL;
    if (a->end == STORE_END_SQL && v == STORE_RETRY && r->tries < RETRIES) {
        r->tries++;
        enqueue(s, r, true);
        watch_oldest(s);
    } else {
        answer(r, a);
    }
    /* A standby refuses every write: go and look for the primary. */
    if (a->end == STORE_END_SQL && v == STORE_READ_ONLY) {
        store_conn_close(slot->conn);
        fp_log_warn(FP_LOG_STORE, "the database is read-only; connecting anew");
    }
    dispatch(s);
}

static void run(struct slot *slot, struct store_request *r)
{
    fp_timer_stop(&slot->idle);
    slot->running = r;
    store_conn_send(slot->conn,
                    &(struct store_query){.name = r->name,
                                          .table = r->table,
                                          .sql = r->sql,
                                          .params = &r->params,
                                          .timeout_ms = r->timeout_ms
                                                            ? r->timeout_ms
                                                            : slot->store->o.statement_timeout_ms,
                                          .done = answered,
                                          .arg = slot});
}

/* Gives work to idle connections, then opens as many as the rest of the work and the minimum ask
 * for. */
static void dispatch(struct fp_store *s)
{
    for (unsigned i = 0; i < s->o.pool_size; i++) {
        struct slot *slot = &s->slots[i];
        if (store_conn_state(slot->conn) != STORE_CONN_IDLE)
            continue;
        struct store_request *r = next(s);
        if (r) {
            dequeue(s, r);
            run(slot, r);
        } else if (s->o.idle_timeout_ms && !fp_timer_running(&slot->idle))
            fp_timer_start(s->loop, &slot->idle, s->o.idle_timeout_ms);
    }
    watch_oldest(s);
    if (fp_timer_running(&s->reconnect))
        return;
    unsigned coming = count(s, STORE_CONN_OPENING);
    while (coming < ready(s) || connected(s) + coming < s->o.min_connections) {
        if (connected(s) + coming >= s->o.pool_size)
            return;
        open_one(s);
        coming++;
    }
}

static void on_up(void *arg)
{
    struct fp_store *s = ((struct slot *)arg)->store;
    if (s->backoff_ms && !s->o.starting)
        fp_log_info(FP_LOG_STORE, "database reached again");
    s->o.starting = false;
    s->tried = true;
    s->backoff_ms = 0;
    fp_timer_stop(&s->reconnect);
    dispatch(s);
}

static void on_down(const char *why, void *arg)
{
    struct slot *slot = arg;
    struct fp_store *s = slot->store;
    fp_timer_stop(&slot->idle);
    if (s->backoff_ms == 0)
        fp_log(s->o.starting ? FP_LOG_DEBUG : FP_LOG_WARN, FP_LOG_STORE, "database connection: %s",
               why);
    s->tried = true;
    if (!fp_timer_running(&s->reconnect)) {
        s->backoff_ms = s->backoff_ms ? s->backoff_ms * 2 : BACKOFF_MIN_MS;
        if (s->backoff_ms > BACKOFF_MAX_MS)
            s->backoff_ms = BACKOFF_MAX_MS;
        fp_timer_start(s->loop, &s->reconnect, fp_rand_jitter(s->backoff_ms, 25));
    }
    if (connected(s) + count(s, STORE_CONN_OPENING) == 0)
        fail_waiting(s);
}

static void on_reconnect(struct fp_timer *t)
{
    struct fp_store *s = t->arg;
    if (connected(s) + count(s, STORE_CONN_OPENING) == 0)
        open_one(s);
    dispatch(s);
}

static void on_idle(struct fp_timer *t)
{
    struct slot *slot = t->arg;
    if (connected(slot->store) > slot->store->o.min_connections)
        store_conn_close(slot->conn);
}

/* ---- the store */

struct fp_store *fp_store_new(struct fp_loop *loop, const struct fp_store_options *o)
{
    struct fp_store *s = fp_mem_zalloc(sizeof(*s));
    FP_ASSERT(o->pool_size > 0);
    s->loop = loop;
    s->o = *o;
    s->url = fp_mem_strdup(o->url);
    s->application_name = fp_mem_strdup(o->application_name);
    s->o.url = s->o.application_name = NULL;
    if (s->o.min_connections > s->o.pool_size)
        s->o.min_connections = s->o.pool_size;
    for (int i = 0; i < LANES_N; i++)
        fp_list_init(&s->lanes[i].waiting);
    fp_list_init(&s->failed);
    s->tell = (struct fp_task){.cb = tell_failed, .arg = s};
    s->overdue = (struct fp_timer){.cb = on_overdue, .arg = s};
    s->reconnect = (struct fp_timer){.cb = on_reconnect, .arg = s};
    s->slots = fp_mem_calloc(o->pool_size, sizeof(*s->slots));
    for (unsigned i = 0; i < o->pool_size; i++) {
        struct slot *slot = &s->slots[i];
        struct store_conn_handlers h = {.up = on_up, .down = on_down, .arg = slot};
        slot->store = s;
        slot->conn = store_conn_new(loop, &h);
        slot->idle = (struct fp_timer){.cb = on_idle, .arg = slot};
    }
    open_one(s); /* the first write finds it open, and fp_store_up knows */
    dispatch(s);
    return s;
}

void fp_store_free(struct fp_store **store)
{
    struct fp_store *s = *store;
    if (!s)
        return;
    *store = NULL;
    s->o.queue_max = 0; /* a callback that asks again is refused */
    for (unsigned i = 0; i < s->o.pool_size; i++) {
        struct slot *slot = &s->slots[i];
        fp_timer_stop(&slot->idle);
        store_conn_free(&slot->conn);
        if (slot->running)
            enqueue(s, slot->running, false);
        slot->running = NULL;
    }
    fp_timer_stop(&s->reconnect);
    fail_waiting(s);
    tell_failed(&s->tell);
    fp_task_cancel(&s->tell);
    fp_timer_stop(&s->overdue);
    fp_mem_free(s->slots);
    fp_mem_free(s->url);
    fp_mem_free(s->application_name);
    fp_mem_free(s);
}

void fp_store_hurry(struct fp_store *s)
{
    if (fp_timer_running(&s->reconnect))
        fp_timer_start(s->loop, &s->reconnect, 0);
}

void fp_store_connections(const struct fp_store *s, unsigned *open, unsigned *busy)
{
    *open = *busy = 0;
    for (unsigned i = 0; i < s->o.pool_size; i++) {
        enum store_conn_state state = store_conn_state(s->slots[i].conn);
        *open += state == STORE_CONN_IDLE || state == STORE_CONN_BUSY;
        *busy += state == STORE_CONN_BUSY;
    }
}
