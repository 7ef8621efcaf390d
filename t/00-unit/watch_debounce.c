/*
 * The watcher against a scripted follower and virtual time: debounce (L-3), loads applied as a
 * whole, removals, bad rows (P18), empty endpoint sets (O-13), when a start uses the cache.
 */
#include "watch/watch.c"
#include "codec/codec_json.h"
#include "event/event_fake.c"
#include "pb/pb_json.h"
#include "snap/snap_reader.h"
#include "tap.h"

static struct {
    struct fp_follow_handlers h;
    fp_follow_row_cb row;
    fp_follow_done_cb done;
    void *arg;
    bool since, away;
    int loads, stored, rests;
} follow;

/* The follower of this test: link-time replacement of store_follow.h. */
struct fp_follow *fp_follow_new(struct fp_loop *loop, const struct fp_follow_options *o,
                                const struct fp_follow_handlers *h)
{
    (void)loop;
    (void)o;
    follow.h = *h;
    return (struct fp_follow *)&follow;
}
void fp_follow_free(struct fp_follow **f)
{
    *f = NULL;
}
bool fp_follow_away(const struct fp_follow *f)
{
    (void)f;
    return follow.away;
}
const struct fp_follow_commits *fp_follow_commits(const struct fp_follow *f)
{
    static const struct fp_follow_commits none;
    (void)f;
    return &none;
}
void fp_follow_load(struct fp_follow *f, const struct fp_follow_revision *since,
                    fp_follow_row_cb row, fp_follow_done_cb done, void *arg)
{
    (void)f;
    follow.row = row;
    follow.done = done;
    follow.arg = arg;
    follow.since = since != NULL;
    follow.loads++;
}
void fp_follow_rest(struct fp_follow *f)
{
    (void)f;
    follow.rests++;
}
void fp_follow_store_encoded(struct fp_follow *f, enum fp_kind kind, struct fp_str name,
                             int64_t version, struct fp_str encoded, const uint8_t content_hash[32],
                             int encoder_version, const struct fp_ref *refs, size_t refs_n)
{
    (void)f, (void)kind, (void)name, (void)version, (void)encoded, (void)content_hash,
        (void)encoder_version, (void)refs, (void)refs_n;
    follow.stored++;
}

static struct fp_snap *published;
static int publishes;

static void on_publish(int fd, uint64_t generation, uint64_t revision, void *arg)
{
    (void)generation, (void)revision, (void)arg;
    fp_snap_unref(&published);
    if (fp_snap_open(fd, &published) < 0)
        diag("published segment does not open");
    close(fd);
    publishes++;
}
static void on_fatal_test(const char *why, void *arg)
{
    (void)arg;
    diag("fatal: %s", why);
}

static void cluster(const char *name, const char *configuration, int64_t version)
{
    struct fp_follow_row r = {
        .kind = FP_KIND_CLUSTER,
        .id = FP_STR("5d0c0b1e-6a53-4b0e-9a53-0b1f7a4b8f11"),
        .name = fp_str_of(name),
        .source = FP_STR("native_api"),
        .form = FP_STR("model"),
        .service_name = fp_str_of(name),
        .configuration = fp_str_of(configuration),
        .created_at = FP_STR("2030-11-02T09:15:00Z"),
        .updated_at = FP_STR("2030-11-02T09:15:00Z"),
        .version = version,
    };
    follow.row(&r, follow.arg);
}
static void gone(const char *name)
{
    struct fp_follow_row r = {.kind = FP_KIND_CLUSTER, .deleted = true, .name = fp_str_of(name)};
    follow.row(&r, follow.arg);
}
static void finish(bool ok, bool full, uint64_t revision)
{
    struct fp_follow_revision now = {.revision = revision};
    follow.done(ok, full, &now, follow.arg);
}
static void behind(uint64_t revision)
{
    follow.h.on_behind(revision, follow.h.arg);
}
static bool has(enum fp_kind kind, const char *name)
{
    struct fp_snap_entry e;
    return fp_snap_find(published, kind, fp_str_of(name), &e);
}

#define GOOD  "{\"endpoints\":[{\"host\":\"127.0.0.1\",\"port\":8081}]}"
#define OTHER "{\"endpoints\":[{\"host\":\"127.0.0.2\",\"port\":8081}]}"
#define EDS   "{\"type\":\"EDS\"}"
#define BAD   "{\"endpoints\":\"nonsense\"}"

static void rows(struct fp_loop *loop)
{
    behind(1);
    is_int(follow.loads, 1, "the first news is loaded at once");
    ok(!follow.since, "in full");
    cluster("a", GOOD, 1);
    cluster("e", EDS, 1);
    cluster("n", BAD, 1);
    is_int(publishes, 0, "nothing is published before the load is complete");
    finish(true, true, 1);
    is_int(publishes, 1, "then one snapshot");
    ok(has(FP_KIND_CLUSTER, "a") && has(FP_KIND_ENDPOINT, "a"),
       "a cluster and the endpoint set it generates");
    ok(has(FP_KIND_ENDPOINT, "e"), "O-13: an EDS cluster without a set gets an empty one");
    ok(!has(FP_KIND_CLUSTER, "n"), "P18: a row that cannot be built is left out");
    is_int(follow.stored, 2, "what was encoded here is stored back");

    fp_loop_fake_advance(loop, 5000);
    behind(2);
    ok(follow.since, "later loads ask for what changed");
    cluster("a", BAD, 2);
    finish(true, false, 2);
    ok(has(FP_KIND_CLUSTER, "a"), "P18: a row edited to nonsense keeps its last good bytes");
    fp_loop_fake_advance(loop, 5000);
    behind(3);
    cluster("a", OTHER, 3);
    finish(false, false, 0);
    is_int(publishes, 2, "a load that failed changes nothing");
    behind(3);
    fp_loop_fake_advance(loop, 5000);
    cluster("a", OTHER, 3);
    gone("e");
    finish(true, false, 3);
    ok(has(FP_KIND_CLUSTER, "a") && !has(FP_KIND_CLUSTER, "e") && !has(FP_KIND_ENDPOINT, "e"),
       "a removal takes its empty set along");
    fp_loop_fake_advance(loop, 5000);
    behind(4);
    cluster("b", GOOD, 1);
    finish(true, true, 4);
    ok(has(FP_KIND_CLUSTER, "b") && !has(FP_KIND_CLUSTER, "a"),
       "a full load forgets what it did not bring");
}

static void debounce(struct fp_loop *loop)
{
    int before;
    fp_loop_fake_advance(loop, 5000);
    before = follow.loads;
    behind(10);
    is_int(follow.loads, before + 1, "L-3: the first change goes at once");
    behind(11);
    behind(12);
    finish(true, false, 10);
    is_int(follow.loads, before + 1, "changes during a load wait for the window");
    fp_loop_fake_advance(loop, 10);
    is_int(follow.loads, before + 2, "and are one load");
    finish(true, false, 12);
    fp_loop_fake_advance(loop, 5000);
    before = follow.loads;
    for (uint64_t t = 0; t < 11; t++) { /* a pipeline that waits for each of its changes */
        behind(20 + t);
        fp_loop_fake_advance(loop, 4); /* the rest of the window, at most */
        if (follow.loads > before) {
            before = follow.loads;
            finish(true, false, 20 + t);
        } else {
            fp_loop_fake_advance(loop, 6);
            is_int(follow.loads, before + 1, "single changes never widen the window");
            before = follow.loads;
            finish(true, false, 20 + t);
        }
    }
    is_int(follow.rests, 0, "a short window is not worth a rest of the follower");
    fp_loop_fake_advance(loop, 5000);
    int storm = before = follow.loads;
    for (uint64_t t = 0; t < 2000; t += 2) { /* a change every 2 ms for two seconds */
        behind(100 + t);
        if (follow.loads > before) {
            before = follow.loads;
            finish(true, false, 100 + t);
        }
        fp_loop_fake_advance(loop, 2);
    }
    ok(follow.loads - storm < 20, "L-3: two seconds of changes are %d loads", follow.loads - storm);
    ok(follow.rests > 3, "in a storm nobody need listen until the next load is due");
    before = follow.loads;
    fp_loop_fake_advance(loop, 1000);
    ok(follow.loads <= before + 1, "the last state arrives within one window");
    finish(true, false, 9999);
    is_int(fp_snap_meta(published)->revision, 9999, "and is the newest");
    before = follow.loads;
    for (uint64_t t = 0; t < 2000; t += 2) { /* again, and a pipeline goes on after it */
        behind(10000 + t);
        if (follow.loads > before) {
            before = follow.loads;
            finish(true, false, 10000 + t);
        }
        fp_loop_fake_advance(loop, 2);
    }
    fp_loop_fake_advance(loop, 200);
    finish(true, false, 12999);
    for (uint64_t t = 0; t < 8; t++) {
        fp_loop_fake_advance(loop, 150);
        before = follow.loads;
        behind(13000 + t);
        while (follow.loads == before)
            fp_loop_fake_advance(loop, 1);
        finish(true, false, 13000 + t);
    }
    fp_loop_fake_advance(loop, 150);
    before = follow.loads;
    behind(13100);
    is_int(follow.loads, before + 1, "single changes after a storm go at once again");
    finish(true, false, 13100);
}

/* The time a start waits before it serves its cache; more than 10 s: never. */
static unsigned cache_after_ms(struct fp_loop *loop, struct fp_watch_options *o, bool away)
{
    unsigned ms = 0;
    int before = publishes;
    follow.away = away;
    atomic_store(&o->page->published_revision, 0);
    struct fp_watch *w = fp_watch_new(loop, o);
    for (; publishes == before && ms < 10000; ms += 100)
        fp_loop_fake_advance(loop, 100);
    fp_watch_free(&w);
    return ms;
}

static void cached(struct fp_loop *loop, struct fp_watch_options *o)
{
    char dir[] = "/tmp/fp-debounce-XXXXXX", path[256];
    if (!mkdtemp(dir))
        return;
    o->state_dir = dir;
    struct fp_watch *w = fp_watch_new(loop, o);
    behind(20000);
    cluster("a", GOOD, 1);
    finish(true, true, 20000);
    fp_watch_free(&w);
    is_int(cache_after_ms(loop, o, true), 500, "a database that is away: the cache after 500 ms");
    is_int(cache_after_ms(loop, o, false), 5000, "one that has not answered yet: after 5 s");
    int before = publishes;
    atomic_store(&o->page->published_revision, 0);
    w = fp_watch_new(loop, o);
    fp_watch_use_cache(w);
    fp_watch_use_cache(w);
    is_int(publishes, before + 1, "at once, and once, when a start would end otherwise");
    fp_watch_free(&w);
    snprintf(path, sizeof(path), "%s/snapshot", dir);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    struct fp_page *page = calloc(1, sizeof(*page));
    struct fp_loop *loop = fp_loop_fake_new();
    struct fp_pb_pool *pool;
    fp_json_init();
    if (fp_pb_pool_builtin(&pool) < 0)
        return 1;
    struct fp_watch_options o = {.pool = pool,
                                 .debounce_min_ms = 10,
                                 .debounce_max_ms = 200,
                                 .page = page,
                                 .publish = on_publish,
                                 .fatal = on_fatal_test};
    struct fp_watch *w = fp_watch_new(loop, &o);
    rows(loop);
    debounce(loop);
    fp_watch_free(&w);
    cached(loop, &o);
    fp_snap_unref(&published);
    fp_pb_pool_free(&pool);
    fp_loop_free(&loop);
    free(page);
    return done_testing();
}
