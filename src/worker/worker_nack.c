/*
 * Rejections on their way from streams to the database: gathered by node and type, one statement at
 * a time; and back, those that nobody watches any more.  Runs in workers.  Must never hold a stream
 * up; with the database away entries wait, and beyond a bound the oldest are lost (the nodes'
 * status still has them).
 */
#include "core/core_assert.h"
#include "core/core_log.h"
#include "core/core_map.h"
#include "core/core_mem.h"
#include "store/store_nack.h"
#include "worker/worker_int.h"

#define BATCH_N   200
#define QUEUE_N   10000
#define RETRY_MS  2000
#define UNREAD_MS 250
#define ADOPT_MS  60000
#define ADOPT_N   1000

struct entry {
    struct fp_list link;
    struct fp_str key;         /* in by_key while it waits; node and type */
    struct fp_store_nack nack; /* texts behind the struct */
};

struct worker_nacks {
    struct fp_worker *worker;
    struct fp_list waiting, sent; /* oldest first */
    struct fp_map by_key;         /* of the waiting ones */
    size_t n;                     /* waiting */
    size_t alone_n;               /* > 0: this many more are sent one by one */
    uint64_t lost;
    struct fp_timer retry;
    struct fp_task send;
    struct fp_timer adopt;
};

static void forget(struct worker_nacks *q, struct entry *e)
{
    fp_map_remove(&q->by_key, e->key);
    fp_list_remove(&e->link);
    q->n--;
}

static struct fp_str keep(char **at, struct fp_str s)
{
    if (!s.data)
        return s;
    char *to = *at;
    if (s.len)
        memcpy(to, s.data, s.len);
    *at += s.len;
    return fp_str_n(to, s.len);
}

static struct entry *copy(const struct fp_store_nack *n)
{
    const struct fp_str all[] = {
        n->node_id,          n->node_cluster, n->team,    n->version_rejected,
        n->version_accepted, n->nonce,        n->message, n->names};
    size_t bytes = n->node_id.len + 1 + n->type_url.len;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        bytes += all[i].len;
    struct entry *e = fp_mem_zalloc(sizeof *e + bytes);
    char *at = (char *)(e + 1), *key = at;
    e->nack = *n;
    keep(&at, n->node_id);
    *at++ = 0;
    keep(&at, n->type_url);
    e->key = fp_str_n(key, (size_t)(at - key));
    struct fp_str *const to[] = {&e->nack.node_id,
                                 &e->nack.node_cluster,
                                 &e->nack.team,
                                 &e->nack.version_rejected,
                                 &e->nack.version_accepted,
                                 &e->nack.nonce,
                                 &e->nack.message,
                                 &e->nack.names};
    for (size_t i = 0; i < sizeof to / sizeof *to; i++)
        *to[i] = keep(&at, all[i]);
    return e;
}

/* What is new comes on top of what waits for the same node and type. */
static void merge(struct worker_nacks *q, struct entry *e)
{
    struct entry *old = fp_map_get(&q->by_key, e->key);
    if (old) {
        if (!e->nack.rejected) {
            old->nack.resolved = true;
            fp_mem_free(e);
            return;
        }
        if (old->nack.rejected && !old->nack.resolved) {
            e->nack.count += old->nack.count;
            e->nack.first_wall_ms = old->nack.first_wall_ms;
        }
        forget(q, old);
        fp_mem_free(old);
    }
    if (q->n == QUEUE_N) {
        struct entry *oldest = FP_CONTAINER(q->waiting.next, struct entry, link);
        if (!q->lost++)
            fp_log_warn(FP_LOG_XDS, "rejections of nodes cannot be stored, the oldest are dropped");
        forget(q, oldest);
        fp_mem_free(oldest);
    }
    fp_list_push_back(&q->waiting, &e->link);
    fp_map_set(&q->by_key, e->key, e);
    q->n++;
}

/* In front again, unless something newer waits. */
static void put_back(struct worker_nacks *q)
{
    struct fp_list *it;
    while ((it = q->sent.prev) != &q->sent) {
        struct entry *e = FP_CONTAINER(it, struct entry, link);
        fp_list_remove(it);
        if (fp_map_get(&q->by_key, e->key) || q->n >= QUEUE_N) {
            fp_mem_free(e);
            continue;
        }
        fp_list_push_front(&q->waiting, &e->link);
        fp_map_set(&q->by_key, e->key, e);
        q->n++;
    }
}

/* Of a batch that the database refuses each entry is tried alone,
 * and the one that is to blame is dropped: it would keep all others out for ever. */
static void stored(enum fp_store_outcome how, void *arg)
{
    struct worker_nacks *q = arg;
    struct fp_list *it;
    bool alone = q->sent.next == q->sent.prev;
    if (how == FP_STORE_REFUSED && !alone)
        q->alone_n = BATCH_N;
    if (how == FP_STORE_REFUSED && alone) {
        const struct entry *e = FP_CONTAINER(q->sent.next, struct entry, link);
        fp_log_error(FP_LOG_XDS, "a rejection of %s by node %.100s is not stored",
                     fp_kinds[fp_kind_by_type_url(e->nack.type_url)].name,
                     e->key.data); /* the node's id ends with NUL there */
    } else if (how != FP_STORE_DONE) {
        put_back(q);
    }
    while ((it = fp_list_pop_front(&q->sent)))
        fp_mem_free(FP_CONTAINER(it, struct entry, link));
    if (how == FP_STORE_UNAVAILABLE)
        fp_timer_start(q->worker->loop, &q->retry, RETRY_MS);
    else if (q->n)
        fp_task_defer(q->worker->loop, &q->send);
}

static void send_batch(struct worker_nacks *q)
{
    struct fp_store_nack items[BATCH_N];
    size_t n = 0, most = q->alone_n ? 1 : BATCH_N;
    if (!fp_list_empty(&q->sent) || fp_timer_running(&q->retry))
        return;
    while (n < most && q->n) {
        struct entry *e = FP_CONTAINER(q->waiting.next, struct entry, link);
        forget(q, e);
        fp_list_push_back(&q->sent, &e->link);
        items[n++] = e->nack;
    }
    if (n && q->alone_n)
        q->alone_n--;
    if (n)
        fp_store_nacks_put(q->worker->store, items, n, stored, q);
}

static void on_send(struct fp_task *t)
{
    send_batch(t->arg);
}

static void on_retry(struct fp_timer *t)
{
    send_batch(t->arg);
}

/* Open ones of instances that died and of our own life before: whoever of these nodes comes here
 * and ACKs resolves them, as on the stream that rejected (contract §10). */
static void on_open_one(bool ok, const struct fp_store_nack_row *row, void *arg)
{
    struct worker_nacks *q = arg;
    if (!row) {
        fp_timer_start(q->worker->loop, &q->adopt, ok ? ADOPT_MS : RETRY_MS);
        return;
    }
    enum fp_kind kind = fp_kind_by_type_url(row->nack.type_url);
    if (kind != FP_KIND_N)
        fp_status_orphan_add(q->worker->status, row->nack.node_id, kind);
}

static void on_adopt(struct fp_timer *t)
{
    struct worker_nacks *q = t->arg;
    const struct fp_store_nack_filter f = {.open = true, .limit = ADOPT_N};
    const struct fp_page *page = q->worker->child->page;
    /* before the watcher has loaded it, the database may lack its tables */
    if (!atomic_load(&page->published_revision) || atomic_load(&page->source_cache)) {
        fp_timer_start(q->worker->loop, t, UNREAD_MS);
        return;
    }
    fp_store_nacks_list(q->worker->store, &f, on_open_one, q);
}

void worker_nacks_add(const struct fp_xds_verdict *v, void *arg)
{
    struct worker_nacks *q = arg;
    char nonce[16];
    snprintf(nonce, sizeof nonce, "%x", v->nack->nonce);
    struct fp_store_nack n = {
        .rejected = !v->resolved,
        .resolved = v->resolved,
        .instance = fp_str_of(q->worker->child->conf->process.instance_id),
        .node_id = v->node_id,
        .node_cluster = v->node_cluster,
        .team = v->team,
        .type_url = fp_str_of(fp_kinds[v->kind].type_url),
        .version_rejected = fp_str_of(v->nack->version),
        .version_accepted = *v->nack->accepted ? fp_str_of(v->nack->accepted) : FP_STR_NULL,
        .nonce = fp_str_of(nonce),
        .message = v->nack->message,
        .names = v->nack->names,
        .code = v->nack->code,
        .count = 1,
        .first_wall_ms = v->nack->last_wall_ms,
        .last_wall_ms = v->nack->last_wall_ms,
    };
    merge(q, copy(&n));
    fp_task_defer(q->worker->loop, &q->send);
}

struct worker_nacks *worker_nacks_new(struct fp_worker *w)
{
    struct worker_nacks *q = fp_mem_zalloc(sizeof *q);
    q->worker = w;
    fp_list_init(&q->waiting);
    fp_list_init(&q->sent);
    q->retry = (struct fp_timer){.cb = on_retry, .arg = q};
    q->send = (struct fp_task){.cb = on_send, .arg = q};
    q->adopt = (struct fp_timer){.cb = on_adopt, .arg = q};
    if (w->child->slot == 0) /* one for the instance: they are kept in memory that all share */
        fp_timer_start(w->loop, &q->adopt, 0);
    return q;
}

/* After the store is freed: its last callbacks have come. */
void worker_nacks_free(struct worker_nacks **qp)
{
    struct worker_nacks *q = *qp;
    struct fp_list *it;
    *qp = NULL;
    if (!q)
        return;
    fp_task_cancel(&q->send);
    fp_timer_stop(&q->retry);
    fp_timer_stop(&q->adopt);
    while ((it = fp_list_pop_front(&q->waiting)) || (it = fp_list_pop_front(&q->sent)))
        fp_mem_free(FP_CONTAINER(it, struct entry, link));
    fp_map_fini(&q->by_key);
    fp_mem_free(q);
}
