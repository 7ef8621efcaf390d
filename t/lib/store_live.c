/*
 * Every statement of the store against a real server: run by t/20-store/statements.t, which makes
 * an empty database with the schema and names it in FP_TEST_DATABASE.
 */
#include <stdlib.h>
#include "core/core_buf.h"
#include "core/core_log.h"
#include "store/store.h"
#include "tap.h"

static struct fp_loop *loop;
static struct fp_store *store;
static struct fp_store_result last;
static char last_id[64], last_name[64], last_created[64];
static int answers;

static void keep(const struct fp_store_result *r, void *arg)
{
    (void)arg;
    last = *r;
    answers++;
    snprintf(last_id, sizeof(last_id), "%.*s", FP_STR_ARG(r->id));
    snprintf(last_created, sizeof(last_created), "%.*s", FP_STR_ARG(r->created_at));
    snprintf(last_name, sizeof(last_name), "%.*s",
             FP_STR_ARG(r->names_n ? r->names[0] : FP_STR_NULL));
    fp_loop_stop(loop);
}

static struct fp_store_write cluster(const char *name, const char *configuration)
{
    return (struct fp_store_write){
        .kind = FP_KIND_CLUSTER,
        .name = fp_str_of(name),
        .source = FP_STR("native_api"),
        .form = FP_STR("model"),
        .configuration = fp_str_of(configuration),
        .service_name = fp_str_of(name),
        .port = -1,
        .encoded = FP_STR("\x12\x00\x01"),
        .encoder_version = 1,
        .if_version = -1,
        .actor = {.user_id = FP_STR("fp_pat_x"), .client_ip = FP_STR("192.0.2.1")},
    };
}

static enum fp_store_outcome create(const struct fp_store_write *w)
{
    fp_store_create(store, w, keep, NULL);
    fp_loop_run(loop);
    return last.outcome;
}

static enum fp_store_outcome replace(const struct fp_store_write *w)
{
    fp_store_replace(store, w, keep, NULL);
    fp_loop_run(loop);
    return last.outcome;
}

static enum fp_store_outcome drop(enum fp_kind kind, const char *name, int64_t if_version)
{
    static const struct fp_store_actor nobody;
    fp_store_delete(store, kind, fp_str_of(name), if_version, &nobody, keep, NULL);
    fp_loop_run(loop);
    return last.outcome;
}

static void clusters(void)
{
    struct fp_store_write w = cluster("a", "{\"x\":1}");
    is_int(create(&w), FP_STORE_DONE, "create");
    is_int(last.version, 1, "version starts at 1");
    is_int(last_created[strlen(last_created) - 1], 'Z', "RFC 3339");
    is_int(strlen(last_id), 36, "id");
    uint64_t revision = last.revision;
    ok(revision > 0, "a revision");
    is_int(create(&w), FP_STORE_NAME_TAKEN, "the same name again");
    is_int(replace(&w), FP_STORE_UNCHANGED, "replace with the same content");
    is_int(last.revision, revision, "takes no revision");
    is_int(last.version, 1, "nor a version");
    w.configuration = FP_STR("{\"x\":2}");
    w.if_version = 7;
    is_int(replace(&w), FP_STORE_STALE, "If-Match on another version");
    is_int(last.version, 1, "names the current one");
    w.if_version = 1;
    is_int(replace(&w), FP_STORE_DONE, "replace");
    is_int(last.version, 2, "version 2");
    is_int(last.revision, revision + 1, "one revision more");
    w.team = FP_STR("blue");
    w.if_version = -1;
    is_int(replace(&w), FP_STORE_DONE, "a team is content");
    w = cluster("none", "{}");
    is_int(replace(&w), FP_STORE_NOT_FOUND, "replace what is not there");
    is_int(drop(FP_KIND_CLUSTER, "none", -1), FP_STORE_NOT_FOUND, "delete what is not there");
    w = cluster("bad", "{\"x\":");
    is_int(create(&w), FP_STORE_REFUSED, "what the database refuses");
    w = cluster("a\0b", "{}");
    w.name.len = 3;
    is_int(create(&w), FP_STORE_REFUSED, "NUL in a name is refused, not cut");
    w = cluster("gen", "{}");
    w.source = FP_STR("platform_api");
    is_int(create(&w), FP_STORE_DONE, "a generated row");
    is_int(replace(&w), FP_STORE_PROTECTED, "is not replaced");
    is_int(drop(FP_KIND_CLUSTER, "gen", -1), FP_STORE_PROTECTED, "is not deleted");
    w = cluster("default-gateway-cluster", "{}");
    is_int(create(&w), FP_STORE_DONE, "the default gateway's cluster");
    is_int(drop(FP_KIND_CLUSTER, "default-gateway-cluster", -1), FP_STORE_PROTECTED,
           "is protected by name");
}

static void references(void)
{
    const struct fp_ref refs[] = {{FP_KIND_CLUSTER, FP_STR("a"), NULL},
                                  {FP_KIND_CLUSTER, FP_STR("ghost"), NULL}};
    struct fp_str external = FP_STR("ghost");
    struct fp_store_write w = cluster("r", "{}");
    w.kind = FP_KIND_ROUTE;
    w.path_prefix = FP_STR("/");
    w.cluster_name = FP_STR("a");
    w.refs = refs;
    w.refs_n = 2;
    is_int(create(&w), FP_STORE_MISSING_REFS, "a cluster that does not exist");
    is_int(last.names_n, 1, "one name");
    is_str(last_name, "ghost", "it");
    w.external_clusters = &external;
    w.external_clusters_n = 1;
    is_int(create(&w), FP_STORE_DONE, "external clusters exist");
    is_int(drop(FP_KIND_CLUSTER, "a", -1), FP_STORE_REFERENCED, "still referenced");
    is_str(last_name, "route/r", "by whom");
    w.external_clusters_n = 0;
    w.configuration = FP_STR("{\"n\":1}");
    is_int(replace(&w), FP_STORE_MISSING_REFS, "replace checks too");
    w.allow_missing = true;
    is_int(replace(&w), FP_STORE_DONE, "allowMissing");
    w.refs = refs + 1;
    w.refs_n = 1;
    w.configuration = FP_STR("{\"n\":2}");
    is_int(replace(&w), FP_STORE_DONE, "without the reference");
    is_int(drop(FP_KIND_CLUSTER, "a", 1), FP_STORE_STALE, "delete with a stale version");
    is_int(drop(FP_KIND_CLUSTER, "a", -1), FP_STORE_DONE, "the cluster can go");
    is_int(drop(FP_KIND_ROUTE, "r", -1), FP_STORE_DONE, "the route can go");
    w = cluster("t", "{}");
    w.team = FP_STR("red");
    is_int(create(&w), FP_STORE_DONE, "a cluster of team red");
    const struct fp_ref t = {FP_KIND_CLUSTER, FP_STR("t"), NULL};
    w = cluster("r", "{}");
    w.kind = FP_KIND_ROUTE;
    w.refs = &t;
    w.refs_n = 1;
    w.team = FP_STR("green");
    is_int(create(&w), FP_STORE_MISSING_REFS, "a row of another team counts as missing");
    w.team = FP_STR("red");
    is_int(create(&w), FP_STORE_DONE, "of the same team it is there");
}

/* Contract §4.5: for a writer who has teams the rows of others are not there. */
static void teams(void)
{
    static const struct fp_str own[] = {{"red", 3}, {"o'\"", 3}};
    struct fp_store_actor actor = {.teams = own, .teams_n = 2};
    struct fp_store_write w = cluster("foreign", "{}");
    w.team = FP_STR("blue");
    is_int(create(&w), FP_STORE_DONE, "a row of another team");
    w.name = FP_STR("nobody's");
    w.team = FP_STR_NULL;
    is_int(create(&w), FP_STORE_DONE, "a row of no team");
    w.actor.teams = own;
    w.actor.teams_n = 2;
    w.team = own[0];
    is_int(replace(&w), FP_STORE_NOT_FOUND, "the latter is not there to replace");
    w.name = FP_STR("foreign");
    is_int(replace(&w), FP_STORE_NOT_FOUND, "nor is the former");
    is_int(create(&w), FP_STORE_NAME_TAKEN, "yet its name is taken");
    fp_store_delete(store, FP_KIND_CLUSTER, w.name, -1, &actor, keep, NULL);
    fp_loop_run(loop);
    is_int(last.outcome, FP_STORE_NOT_FOUND, "nor to delete");
    w.name = FP_STR("own");
    w.team = own[1];
    is_int(create(&w), FP_STORE_DONE, "a row of one's own");
    w.configuration = FP_STR("{\"q\":1}");
    is_int(replace(&w), FP_STORE_DONE, "is replaced");
    actor.teams_n = 0;
    fp_store_delete(store, FP_KIND_CLUSTER, w.name, -1, &actor, keep, NULL);
    fp_loop_run(loop);
    is_int(last.outcome, FP_STORE_NOT_FOUND, "no team at all sees nothing");
    actor.teams_n = 2;
    fp_store_delete(store, FP_KIND_CLUSTER, w.name, -1, &actor, keep, NULL);
    fp_loop_run(loop);
    is_int(last.outcome, FP_STORE_DONE, "and deleted");
}

static void listeners(void)
{
    struct fp_store_write w = cluster("l", "{}");
    w.kind = FP_KIND_LISTENER;
    w.address = FP_STR("0.0.0.0");
    w.port = 10000;
    is_int(create(&w), FP_STORE_DONE, "a listener");
    w.name = FP_STR("l2");
    is_int(create(&w), FP_STORE_ADDRESS_TAKEN, "its address and port are taken");
    w.port = 10001;
    is_int(create(&w), FP_STORE_DONE, "another port");
    w.port = 10000;
    w.configuration = FP_STR("{\"y\":1}");
    is_int(replace(&w), FP_STORE_ADDRESS_TAKEN, "replace onto a taken address");
    w.port = -1;
    is_int(replace(&w), FP_STORE_DONE, "no port");
    is_int(drop(FP_KIND_LISTENER, "l2", -1), FP_STORE_DONE, "delete");
}

/* More than any socket buffer: sending goes on when the socket takes more. */
static void large(void)
{
    enum { BYTES = 3 << 20 };
    struct fp_buf json = {0}, encoded = {0};
    struct fp_store_write w = cluster("large", "");
    fp_buf_append_c(&json, "{\"x\":\"");
    for (int i = 0; i < BYTES / 4; i++)
        fp_buf_append_c(&json, i % 7 ? "abcd" : "\xc3\xa4hz");
    fp_buf_append_c(&json, "\"}");
    fp_buf_append_str(&encoded, fp_buf_str(&json));
    w.configuration = fp_buf_str(&json);
    w.encoded = fp_buf_str(&encoded);
    is_int(create(&w), FP_STORE_DONE, "3 MiB of configuration and as many bytes");
    is_int(replace(&w), FP_STORE_UNCHANGED, "the same again is unchanged");
    is_int(drop(FP_KIND_CLUSTER, "large", 1), FP_STORE_DONE, "and goes");
    fp_buf_fini(&json);
    fp_buf_fini(&encoded);
}

static void every_kind(void)
{
    static const enum fp_kind kinds[] = {FP_KIND_ENDPOINT, FP_KIND_SCOPED_ROUTE,
                                         FP_KIND_VIRTUAL_HOST, FP_KIND_RUNTIME,
                                         FP_KIND_EXTENSION_CONFIG};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct fp_store_write w = cluster("same", "{}");
        w.kind = kinds[i];
        is_int(create(&w), FP_STORE_DONE, "create %s", fp_kinds[kinds[i]].name);
        w.configuration = FP_STR("{\"z\":1}");
        is_int(replace(&w), FP_STORE_DONE, "replace %s", fp_kinds[kinds[i]].name);
        is_int(drop(kinds[i], "same", 2), FP_STORE_DONE, "delete %s", fp_kinds[kinds[i]].name);
    }
}

static void stop_at_100(const struct fp_store_result *r, void *arg)
{
    (void)arg;
    answers += r->outcome == FP_STORE_DONE;
    if (answers == 100)
        fp_loop_stop(loop);
}

static int race_done, race_both, race_left;

static void on_race(const struct fp_store_result *r, void *arg)
{
    race_done += r->outcome == FP_STORE_DONE;
    if (r->outcome != FP_STORE_DONE && r->outcome != FP_STORE_MISSING_REFS &&
        r->outcome != FP_STORE_REFERENCED)
        diag("outcome %d of a race", (int)r->outcome);
    (void)arg;
    if (--race_left == 0)
        fp_loop_stop(loop);
}

/* A route is made while its cluster is deleted, on two connections: one of them must lose. */
static void races(void)
{
    for (int i = 0; i < 60; i++) {
        static const struct fp_store_actor nobody;
        char name[20];
        snprintf(name, sizeof(name), "race-%d", i);
        struct fp_store_write w = cluster(name, "{}");
        const struct fp_ref ref = {FP_KIND_CLUSTER, w.name, NULL};
        create(&w);
        w.kind = FP_KIND_ROUTE;
        w.refs = &ref;
        w.refs_n = 1;
        race_done = 0;
        race_left = 2;
        if (i % 2)
            fp_store_create(store, &w, on_race, NULL);
        fp_store_delete(store, FP_KIND_CLUSTER, ref.name, -1, &nobody, on_race, NULL);
        if (i % 2 == 0)
            fp_store_create(store, &w, on_race, NULL);
        fp_loop_run(loop);
        race_both += race_done != 1;
    }
    is_int(race_both, 0,
           "a route made and its cluster deleted at once: exactly one wins, 60 times");
}

static void on_deadline(struct fp_timer *t)
{
    *(bool *)t->arg = true;
    fp_loop_stop(loop);
}

/* More requests than connections; and what is forgotten still happens. */
static void many(void)
{
    bool late = false;
    int forgotten = 0;
    struct fp_timer deadline = {.cb = on_deadline, .arg = &late};
    answers = 0;
    for (int i = 0; i < 101; i++) {
        char name[20];
        snprintf(name, sizeof(name), "many-%d", i);
        struct fp_store_write w = cluster(name, "{}");
        fp_store_create(store, &w, stop_at_100, i == 50 ? &forgotten : NULL);
    }
    fp_store_forget(store, &forgotten);
    fp_timer_start(loop, &deadline, 20000);
    fp_loop_run(loop);
    is_int(answers, 100, "100 of 101 answers, one was forgotten");
    struct fp_store_write w = cluster("many-50", "{}");
    ok(!late && create(&w) == FP_STORE_NAME_TAKEN, "the forgotten one was written");
    fp_timer_stop(&deadline);
}

int main(void)
{
    const char *url = getenv("FP_TEST_DATABASE");
    if (!url) {
        puts("1..0 # SKIP run by t/20-store/statements.t");
        return 0;
    }
    fp_log_filter_set("off");
    loop = fp_loop_new();
    struct fp_store_options o = {.url = url,
                                 .application_name = "flowplane",
                                 .pool_size = 3,
                                 .connect_timeout_ms = 30000,
                                 .idle_timeout_ms = 600000,
                                 .statement_timeout_ms = 60000,
                                 .queue_max = 200};
    store = fp_store_new(loop, &o);
    clusters();
    references();
    teams();
    listeners();
    every_kind();
    large();
    many();
    races();
    ok(fp_store_up(store), "up");
    fp_store_create(store, &(struct fp_store_write){.kind = FP_KIND_CLUSTER, .port = -1}, keep,
                    NULL);
    answers = 0;
    fp_store_free(&store);
    is_int(answers, 1, "a pending request is answered when the store is freed");
    is_int(last.outcome, FP_STORE_UNAVAILABLE, "as unavailable");
    fp_loop_free(&loop);
    return done_testing();
}
