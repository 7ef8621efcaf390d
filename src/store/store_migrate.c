/*
 * Brings the schema to the version of this program (contract §14): forward only, one transaction
 * each, under an advisory lock that ends with the transaction, checksums verified.  Runs in the
 * watcher.  Must never touch a schema that is newer.
 */
#include <dirent.h>
#include <stdlib.h>
#include "codec/codec_hash.h"
#include "core/core_log.h"
#include "os/os_file.h"
#include "store/store_follow_int.h"

#define FILE_MAX_BYTES (4u << 20)
#define LOCK           "pg_advisory_xact_lock(hashtextextended('flowplane_migrations', 0))"

static const char open_sql[] =
    "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT " LOCK ";"
    "CREATE TABLE IF NOT EXISTS schema_migrations (version int PRIMARY KEY, name text NOT NULL,"
    " checksum bytea NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
static const char list_sql[] = "SELECT version, name, checksum FROM schema_migrations ORDER BY 1";
static const char exists_sql[] =
    "SELECT to_regclass('schema_migrations') IS NOT NULL, pg_backend_pid()";
static const char insert_sql[] =
    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1::int, $2, $3::bytea)";

static const struct store_params none;

/* ---- where they come from */

static int by_version(const void *a, const void *b)
{
    const struct fp_sql_migration *x = a, *y = b;
    return (x->version > y->version) - (x->version < y->version);
}

/* "0001_tables.sql"; false for anything else. */
static bool file_name(struct fp_arena *a, const char *file, struct fp_sql_migration *m)
{
    struct fp_str rest, s = fp_str_of(file);
    uint64_t version;
    if (!fp_str_ends(s, FP_STR(".sql")))
        return false;
    s.len -= 4;
    struct fp_str number = fp_str_split(s, '_', &rest);
    if (!rest.data || !fp_str_to_u64(number, &version) || version == 0 || version > 9999)
        return false;
    m->version = (int)version;
    m->name = fp_arena_str(a, rest).data;
    return true;
}

static const char *read_dir(struct fp_follow *f)
{
    struct fp_sql_migration *list = fp_arena_alloc(f->arena, 1000 * sizeof(*list));
    DIR *d = opendir(f->o.sql_dir);
    struct dirent *e;
    size_t n = 0;
    const char *why = d ? NULL : "cannot be opened";
    while (!why && n < 1000 && (e = readdir(d)) != NULL) {
        struct fp_buf text = {0};
        if (!file_name(f->arena, e->d_name, &list[n]))
            continue;
        if (fp_file_read(fp_arena_printf(f->arena, "%s/%s", f->o.sql_dir, e->d_name),
                         FILE_MAX_BYTES, &text) < 0)
            why = "holds a file that cannot be read";
        struct fp_str copy = fp_arena_str(f->arena, fp_buf_str(&text));
        list[n].text = copy.data;
        list[n++].text_bytes = copy.len;
        fp_buf_fini(&text);
    }
    if (d)
        closedir(d);
    qsort(list, n, sizeof(*list), by_version);
    f->migrations = list;
    f->migrations_n = n;
    return why ? why : n == 0 ? "holds no migration" : NULL;
}

void store_migrate_init(struct fp_follow *f)
{
    f->migrations = fp_sql_migrations;
    f->migrations_n = fp_sql_migrations_n;
}

/* ---- what is there */

static void checksum(const struct fp_sql_migration *m, uint8_t out[FP_SHA256_BYTES])
{
    fp_sha256(m->text, m->text_bytes, out);
}

/* Compares the rows with our list.  The index of the first missing one, migrations_n when all are
 * there, SIZE_MAX after a fatal difference. */
static size_t compare(struct fp_follow *f, const PGresult *rows)
{
    size_t n = (size_t)PQntuples(rows);
    for (size_t i = 0; i < n; i++) {
        int version = (int)store_cell_i64(rows, (int)i, 0);
        uint8_t sum[FP_SHA256_BYTES];
        if (i >= f->migrations_n) {
            store_follow_fatal(f, "the database schema is at version %d, this program knows %d",
                               version, f->migrations[f->migrations_n - 1].version);
            return SIZE_MAX;
        }
        checksum(&f->migrations[i], sum);
        if (version != f->migrations[i].version ||
            !fp_str_eq(store_cell(rows, (int)i, 2), fp_str_n(sum, sizeof(sum)))) {
            store_follow_fatal(f, "migration %d of the database is not the one of this program",
                               version);
            return SIZE_MAX;
        }
    }
    return n;
}

/* ---- the steps */

static void lock_schema(struct fp_follow *f);

static void on_committed(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "migration"))
        return;
    f->migrating = false;
    if (f->migration == f->migrations_n) {
        store_migrate_done(f);
        return;
    }
    fp_log_info(FP_LOG_STORE, "applied migration %04d_%s", f->migrations[f->migration].version,
                f->migrations[f->migration].name);
    lock_schema(f);
}

static void on_inserted(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (!store_follow_failed(f, a, "migration"))
        store_follow_send(f, "migration commit", "COMMIT", &none, STORE_WAIT_LOCK_MS, on_committed);
}

static void on_applied(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    const struct fp_sql_migration *m = &f->migrations[f->migration];
    struct store_params p = {.n = 0};
    struct fp_arena *scratch = fp_arena_new(NULL);
    uint8_t sum[FP_SHA256_BYTES];

    if (!store_follow_failed(f, a, m->name)) {
        checksum(m, sum);
        store_param_i64(&p, scratch, m->version);
        store_param_text(&p, fp_str_of(m->name));
        store_param_bytes(&p, fp_str_n(sum, sizeof(sum)));
        store_follow_send(f, "migration insert", insert_sql, &p, STORE_WAIT_LOCK_MS, on_inserted);
    }
    fp_arena_free(&scratch);
}

static void on_listed(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "migrations"))
        return;
    size_t next = compare(f, a->result);
    if (next == SIZE_MAX)
        return;
    f->migration = next;
    if (next == f->migrations_n && f->migrating)
        store_follow_send(f, "migration commit", "COMMIT", &none, STORE_WAIT_LOCK_MS, on_committed);
    else if (next == f->migrations_n)
        store_migrate_done(f);
    else if (!f->o.auto_migrate)
        store_follow_fatal(f,
                           "the database schema is at version %d, this program needs %d; "
                           "database.auto_migrate is off",
                           next ? f->migrations[next - 1].version : 0,
                           f->migrations[f->migrations_n - 1].version);
    else if (f->migrating)
        store_follow_send(f, f->migrations[next].name, f->migrations[next].text, NULL,
                          STORE_WAIT_LOCK_MS, on_applied);
    else
        lock_schema(f);
}

static void on_locked(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "migration lock"))
        return;
    f->migrating = true;
    store_follow_send(f, "migration list", list_sql, &none, STORE_WAIT_LOCK_MS, on_listed);
}

static void lock_schema(struct fp_follow *f)
{
    store_follow_send(f, "migration lock", open_sql, NULL, STORE_WAIT_LOCK_MS, on_locked);
}

static void on_exists(const struct store_answer *a, void *arg)
{
    struct fp_follow *f = arg;
    if (store_follow_failed(f, a, "schema check"))
        return;
    /* A pooler tells a process number of its own making: LISTEN may then be heard by nobody. */
    f->pooled = store_cell_i64(a->result, 0, 1) != store_conn_backend_pid(f->conn);
    if (store_cell_bool(a->result, 0, 0))
        store_follow_send(f, "migration list", list_sql, &none, f->o.statement_timeout_ms,
                          on_listed);
    else if (f->o.auto_migrate)
        lock_schema(f);
    else
        store_follow_fatal(f, "the database has no schema and database.auto_migrate is off");
}

void store_migrate_start(struct fp_follow *f)
{
    const char *why = f->o.sql_dir && f->migrations == fp_sql_migrations ? read_dir(f) : NULL;
    f->migrating = false;
    if (why)
        store_follow_fatal(f, "%s %s", f->o.sql_dir, why);
    else
        store_follow_send(f, "schema check", exists_sql, &none, f->o.statement_timeout_ms,
                          on_exists);
}
