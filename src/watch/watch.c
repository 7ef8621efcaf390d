/*
 * The watcher's heart: the database is ahead → debounce → load → build → publish.  Runs in the
 * watcher process.  Never talks to clients; never publishes half a load.
 */
#include "watch/watch.h"
#include <unistd.h>
#include "core/core_clock.h"
#include "core/core_log.h"
#include "obs/obs_metric.h"
#include "core/core_mem.h"
#include "obs/obs_metric.h"
#include "os/os_process.h"
#include "watch/watch_int.h"

#define CACHE_USE_AFTER_MS  500   /* the database is away by then: serve the last good snapshot */
#define CACHE_USE_LATEST_MS 5000  /* it is only slow: the cache may be stale */
#define USAGE_EVERY_MS      10000 /* how often memory is read, at most */
#define REST_MIN_MS         50    /* a wait worth two statements: the follower need not listen */
#define CACHE_SAVE_AFTER_MS 1000  /* coalesces: fsync must not delay the next publish */

struct fp_watch {
    struct fp_loop *loop;
    struct fp_watch_options o;
    struct fp_follow *follow;
    struct watch_rows rows;
    struct fp_follow_revision now; /* what the rows are */
    bool loaded;                   /* now and rows are from the database */
    bool loading, behind;          /* behind: came while loading */
    bool quiet;                    /* nothing had come for a while when the load began */
    struct fp_arena *arena;        /* of the load under way */
    uint64_t generation, usage_ms;
    uint64_t last_load_ms, window_ms; /* debounce */
    uint64_t load_ns;                 /* when the load under way, or the last one, began */
    struct fp_timer debounce, cache_use, cache_save;
    uint64_t start_ms;
    bool cache_failed; /* told; not again before it has worked */
    int segment_fd;    /* the newest one published, kept for the cache; -1 = none */
};

static void publish(struct fp_watch *w, int fd, const struct fp_snap_meta *meta, bool from_cache)
{
    if (w->segment_fd >= 0)
        close(w->segment_fd);
    w->segment_fd = from_cache ? -1 : dup(fd);
    w->o.publish(fd, meta->generation, meta->revision, w->o.arg);
    atomic_store(&w->o.page->source_cache, from_cache);
    atomic_store(&w->o.page->published_revision, meta->revision);
    if (meta->revision >= atomic_load(&w->o.page->database_revision))
        atomic_store(&w->o.page->behind_since_ms, 0);
}

static uint64_t next_generation(struct fp_watch *w)
{
    uint64_t wall =
        (uint64_t)fp_clock_wall_ms(); /* goes on counting over restarts of the watcher */
    w->generation = wall > w->generation ? wall : w->generation + 1;
    return w->generation;
}

static void tell_usage(struct fp_watch *w)
{
    struct fp_process_usage u;
    if (w->usage_ms && fp_loop_now_ms(w->loop) < w->usage_ms + USAGE_EVERY_MS)
        return;
    fp_process_usage(&u);
    fp_metric_tell_process();
    atomic_store(&w->o.page->watcher_memory_bytes, u.proportional_bytes);
    w->usage_ms = fp_loop_now_ms(w->loop);
}

/* The spans snapshot_build: one in the trace of each write that this generation brings. */
static void begin_spans(const struct fp_watch *w, const struct fp_follow_commits *c,
                        const struct fp_snap_meta *meta, struct fp_span *spans)
{
    for (unsigned i = 0; i < c->n; i++) {
        spans[i].running = false;
        if (!c->items[i].at.known)
            continue;
        fp_span_begin(&spans[i], FP_SPAN_SNAPSHOT_BUILD, &c->items[i].at);
        fp_span_since(&spans[i], w->load_ns);
        fp_span_int(&spans[i], "revision", (int64_t)c->items[i].revision);
        fp_span_int(&spans[i], "generation", (int64_t)meta->generation);
    }
}

/* Workers find their spans' parents on the page, before they find the generation. */
static void tell_commits(struct fp_watch *w, const struct fp_follow_commits *c,
                         const struct fp_span *spans)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct fp_commit x = c->items[i];
        x.at = spans[i].running ? spans[i].at : (struct fp_trace){.known = false};
        fp_commits_add(w->o.page->commits, &x);
    }
}

static void end_spans(const struct fp_follow_commits *c, struct fp_span *spans, bool failed)
{
    for (unsigned i = 0; i < c->n; i++)
        fp_span_end(&spans[i], failed);
}

static void build(struct fp_watch *w)
{
    struct fp_snap_meta meta = {
        .generation = next_generation(w),
        .revision = w->now.revision,
        .built_wall_ms = fp_clock_wall_ms(),
    };
    int fd = -1;
    memcpy(meta.epoch, w->now.epoch, sizeof(meta.epoch));
    memcpy(meta.commit_id, w->now.commit_id, sizeof(meta.commit_id));
    uint64_t start = fp_clock_mono_ns();
    const struct fp_follow_commits *commits = fp_follow_commits(w->follow);
    struct fp_span spans[FP_FOLLOW_COMMITS];
    begin_spans(w, commits, &meta, spans);
    int err = watch_build(&w->rows, w->o.pool, &meta, &fd);
    if (err < 0) {
        end_spans(commits, spans, true);
        fp_log_error(FP_LOG_SNAPSHOT, "revision %llu cannot be built, serving the one before: %s",
                     (unsigned long long)meta.revision, fp_err_text(err));
        return;
    }
    tell_commits(w, commits, spans);
    publish(w, fd, &meta, false);
    end_spans(commits, spans, false);
    tell_usage(w);
    fp_log_debug(FP_LOG_SNAPSHOT, "published revision %llu, generation %llu, built in %llu us",
                 (unsigned long long)meta.revision, (unsigned long long)meta.generation,
                 (unsigned long long)(fp_clock_mono_ns() - start) / 1000);
    if (w->o.state_dir && !fp_timer_running(&w->cache_save))
        fp_timer_start(w->loop, &w->cache_save, CACHE_SAVE_AFTER_MS);
}

static void save_cache(struct fp_timer *t)
{
    struct fp_watch *w = t->arg;
    if (w->segment_fd < 0)
        return;
    int err = watch_cache_save(w->o.state_dir, w->segment_fd);
    if (err < 0 &&
        !w->cache_failed) /* a full disk may have room again: the next generation tries */
        fp_log_warn(FP_LOG_SNAPSHOT, "no snapshot cache: %s: %s", w->o.state_dir, fp_err_text(err));
    else if (err == FP_OK && w->cache_failed)
        fp_log_info(FP_LOG_SNAPSHOT, "the snapshot cache is written again");
    w->cache_failed = err < 0;
}

void fp_watch_use_cache(struct fp_watch *w)
{
    struct fp_snap_meta meta;
    int fd;
    /* what this instance has published since its start is newer than any file */
    if (w->loaded || !w->o.state_dir || atomic_load(&w->o.page->published_revision) ||
        watch_cache_load(w->o.state_dir, &fd, &meta) < 0)
        return;
    w->generation = meta.generation;
    fp_log_warn(FP_LOG_SNAPSHOT, "no database yet: serving revision %llu from the cache in %s",
                (unsigned long long)meta.revision, w->o.state_dir);
    publish(w, fd, &meta, true);
}

static void cache_due(struct fp_timer *t)
{
    struct fp_watch *w = t->arg;
    uint64_t latest_ms = w->start_ms + CACHE_USE_LATEST_MS;
    if (!w->loaded && !fp_follow_away(w->follow) && fp_loop_now_ms(w->loop) < latest_ms)
        fp_timer_start(w->loop, t, CACHE_USE_AFTER_MS);
    else
        fp_watch_use_cache(w);
}

static void start_load(struct fp_watch *w);

static void on_row(const struct fp_follow_row *row, void *arg)
{
    struct fp_watch *w = arg;
    struct fp_model_options o = {.pool = w->o.pool, .allow_privileged_ports = true};
    struct watch_encoded fresh;
    fp_arena_reset(w->arena);
    watch_rows_stage(&w->rows, &o, w->arena, row, &fresh);
    if (fresh.fresh)
        fp_follow_store_encoded(w->follow, row->kind, row->name, row->version, fresh.encoded,
                                fresh.content_hash, FP_MODEL_ENCODER_VERSION, fresh.refs,
                                fresh.refs_n);
}

/* The first load of this process, and the one before it published a later revision: a dump was
 * restored meanwhile.  What nobody can know is followed by a new epoch, beyond all that was seen.
 */
static bool went_back(struct fp_watch *w, const struct fp_follow_revision *now)
{
    uint64_t seen = atomic_load(&w->o.page->published_revision);
    uint64_t committed = atomic_load(&w->o.page->committed_revision);
    if (now->revision >= seen)
        return false;
    memset(&w->now, 0, sizeof(w->now));
    w->now.revision = seen > committed ? seen : committed;
    return true;
}

/* A new epoch: commits of the old one that were not loaded will never be.  Reads must not wait. */
static void forget_commits(struct fp_watch *w, const struct fp_follow_revision *now)
{
    if (memcmp(w->now.epoch, now->epoch, sizeof(now->epoch)) != 0 &&
        atomic_load(&w->o.page->committed_revision) > now->revision)
        atomic_store(&w->o.page->committed_revision, now->revision);
}

/* A window that gathered several changes is followed by a wider one, one that gathered a single
 * change (a pipeline that waits for each) by a narrower one; a quiet while closes it. */
static void set_window(struct fp_watch *w, uint64_t changes)
{
    const struct fp_watch_options *o = &w->o;
    uint64_t ms = w->quiet ? 0 : changes > 1 ? w->window_ms * 2 : w->window_ms / 2;
    ms = ms < o->debounce_max_ms ? ms : o->debounce_max_ms;
    w->window_ms = ms > o->debounce_min_ms ? ms : o->debounce_min_ms;
}

static void on_done(bool ok, bool full, const struct fp_follow_revision *now, void *arg)
{
    struct fp_watch *w = arg;
    w->loading = false;
    fp_arena_reset(w->arena);
    if (!ok) {
        watch_rows_abort(&w->rows);
        return; /* on_behind comes again */
    }
    bool first = !w->loaded;
    w->loaded = true;
    if (first && went_back(w, now)) {
        watch_rows_abort(&w->rows);
        start_load(w);
        return;
    }
    if (!first)
        forget_commits(w, now);
    set_window(w, now->revision > w->now.revision ? now->revision - w->now.revision : 0);
    bool changed = watch_rows_commit(&w->rows, full);
    bool moved = memcmp(&w->now, now, sizeof(*now)) != 0;
    w->now = *now;
    for (int k = 0; k < FP_KIND_N; k++)
        atomic_store(&w->o.page->unbuildable[k], watch_rows_bad(&w->rows, k));
    fp_page_raise(&w->o.page->database_revision, now->revision);
    if (first || changed || moved)
        build(w);
    if (first)
        fp_log_info(FP_LOG_SNAPSHOT, "serving revision %llu of the database",
                    (unsigned long long)now->revision);
    if (w->behind)
        start_load(w);
}

static void load_now(struct fp_timer *t)
{
    struct fp_watch *w = t->arg;
    uint64_t ms = fp_loop_now_ms(w->loop);
    w->quiet = !w->window_ms || ms >= w->last_load_ms + 2 * w->window_ms;
    w->last_load_ms = ms;
    w->load_ns = fp_clock_mono_ns();
    w->loading = true;
    w->behind = false;
    fp_follow_load(w->follow, w->loaded ? &w->now : NULL, on_row, on_done, w);
}

/* The first change goes at once, the next ones when their window is over (L-3). */
static void start_load(struct fp_watch *w)
{
    uint64_t ms = fp_loop_now_ms(w->loop), due = w->last_load_ms + w->window_ms;
    if (fp_timer_running(&w->debounce))
        return;
    if (!w->window_ms || ms >= due) {
        load_now(&w->debounce);
        return;
    }
    fp_timer_start(w->loop, &w->debounce, due - ms);
    if (due - ms >= REST_MIN_MS)
        fp_follow_rest(w->follow);
}

static void on_behind(uint64_t revision, void *arg)
{
    struct fp_watch *w = arg;
    fp_page_raise(&w->o.page->database_revision, revision);
    if (!atomic_load(&w->o.page->behind_since_ms))
        atomic_store(&w->o.page->behind_since_ms, fp_clock_mono_ms());
    if (w->loading)
        w->behind = true;
    else
        start_load(w);
}

static void on_state(bool up, bool listen, void *arg)
{
    struct fp_watch *w = arg;
    atomic_store(&w->o.page->database_up, up);
    atomic_store(&w->o.page->listen_up, listen);
}

static void on_fatal(const char *why, void *arg)
{
    struct fp_watch *w = arg;
    w->o.fatal(why, w->o.arg);
}

struct fp_watch *fp_watch_new(struct fp_loop *loop, const struct fp_watch_options *o)
{
    struct fp_watch *w = fp_mem_zalloc(sizeof(*w));
    struct fp_follow_handlers h = {
        .arg = w, .on_state = on_state, .on_behind = on_behind, .on_fatal = on_fatal};
    w->loop = loop;
    w->start_ms = fp_loop_now_ms(loop);
    w->o = *o;
    w->segment_fd = -1;
    w->rows.state_dir = o->state_dir;
    w->arena = fp_arena_new(NULL);
    w->debounce = (struct fp_timer){.cb = load_now, .arg = w};
    w->cache_use = (struct fp_timer){.cb = cache_due, .arg = w};
    w->cache_save = (struct fp_timer){.cb = save_cache, .arg = w};
    fp_timer_start(loop, &w->cache_use, CACHE_USE_AFTER_MS);
    if (o->state_dir)
        watch_cache_sweep(o->state_dir);
    on_state(false, false, w); /* also when a watcher before us had left another word */
    w->follow = fp_follow_new(loop, &o->follow, &h);
    return w;
}

void fp_watch_free(struct fp_watch **wp)
{
    struct fp_watch *w = *wp;
    if (!w)
        return;
    *wp = NULL;
    fp_follow_free(&w->follow);
    if (fp_timer_running(&w->cache_save))
        save_cache(&w->cache_save);
    fp_timer_stop(&w->debounce);
    fp_timer_stop(&w->cache_use);
    fp_timer_stop(&w->cache_save);
    watch_rows_fini(&w->rows);
    fp_arena_free(&w->arena);
    if (w->segment_fd >= 0)
        close(w->segment_fd);
    fp_mem_free(w);
}
