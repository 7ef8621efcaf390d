#!/usr/bin/env python3
"""audit.hash_chain (contract §11.5, §12.2): rows that were changed or removed are found."""
import json
import threading

import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
import fp_util as util
from fp_harness import Postgres, wait_until

guide.need("psql")
VERIFY = "SELECT rows_n, outside_n, bad_id, problem FROM flowplane_audit_verify()"

with tap.run():
    pg = Postgres()
    fp = guide.Instance(pg, FLOWPLANE_AUDIT_HASH_CHAIN="true", FLOWPLANE_AUDIT_FAILURE_ROWS_PER_MINUTE=1000)

    def psql(sql):
        return [line.split("|") for line in fp.sh('psql "$DATABASE_URL" -At -F "|" -c "$SQL"', SQL=sql).splitlines()]

    def verify():
        (row,) = psql(VERIFY)
        return row

    def found(sql, bad):
        """What a change by somebody who may write to the table gives, then undone."""
        got = pg.psql(f"BEGIN; SET LOCAL client_min_messages = error; {sql}; {VERIFY}; ROLLBACK").split("\t")
        return got[2] == bad or got

    def ctl(*args, want=0, **env):
        return fp.sh(f'{guide.CTL} audit verify {" ".join(args)}', want, **env)

    rows = int(psql("SELECT count(*) FROM audit_logs")[0][0])
    tap.is_(verify(), [str(rows), "0", "", ""], "the seed's rows are chained already")
    other = guide.Instance(pg, api=8081, xds=50052, FLOWPLANE_AUDIT_HASH_CHAIN="true", FLOWPLANE_AUDIT_FAILURE_ROWS_PER_MINUTE=1000)
    other.token = fp.token

    def write(instance, k):
        for i in range(15):
            instance.api("POST", "/clusters", fleet.cluster(f"c{k}-{i}", 8000))
            instance.get("/api/v1/clusters", token="nonsense")  # rows beside the revision

    threads = [threading.Thread(target=write, args=(x, k)) for k, x in enumerate((fp, other, fp, other))]
    for t in threads:
        t.start()
    pg.psql("INSERT INTO clusters (name, service_name, configuration) SELECT 'd' || i, '', '{}' FROM generate_series(1, 50) i")
    for t in threads:
        t.join()
    fp.api("POST", "/apply", [{"kind": "cluster", **fleet.cluster(f"set{i}", 80)} for i in range(20)])
    wait_until(lambda: psql("SELECT count(*) FILTER (WHERE event_type = 'auth.failed') = 60, count(*) FILTER (WHERE event_type = 'auth.token.authenticated') > 0"
                            " FROM audit_logs") == [["t", "t"]], 20, "the rows that come late")
    n, outside, bad, problem = verify()
    tap.is_((outside, bad, problem), ("0", "", ""), f"two instances, direct SQL and a set at once: {n} rows in one chain")
    tap.ok(int(n) >= rows + 60 + 50 + 21 + 60 + 1, "all of them", n)

    ids = [int(r[0]) for r in psql("SELECT id FROM audit_logs ORDER BY id")]
    some, last = ids[len(ids) // 2], ids[-1]
    after = str(ids[len(ids) // 2 + 1])
    for what, sql, where in (
            ("a changed user", f"UPDATE audit_logs SET user_id = 'db:nobody' WHERE id = {some}", str(some)),
            ("a changed configuration", f"UPDATE audit_logs SET metadata = '{{\"version\": 7}}' WHERE id = {some}", str(some)),
            ("a changed time", f"UPDATE audit_logs SET created_at = created_at - interval '1 microsecond' WHERE id = {some}", str(some)),
            ("a removed row", f"DELETE FROM audit_logs WHERE id = {some}", after),
            ("a row taken out of the chain", f"UPDATE audit_logs SET chain = NULL WHERE id = {some}", after),
            ("a removed end", f"DELETE FROM audit_logs WHERE id = {last}", str(last)),
            ("a removed beginning", f"DELETE FROM audit_logs WHERE id < {some}", str(some)),
            ("all removed", "DELETE FROM audit_logs", str(last)),
            ("a row with a hash of another", f"UPDATE audit_logs a SET chain = b.chain FROM audit_logs b WHERE a.id = {some} AND b.id = {last}",
             str(some))):
        tap.is_(found(sql, where), True, f"{what} is found, the first bad row named")
    tap.is_(verify()[2], "", "undone: whole")

    # ---- flowplanectl audit verify
    n = verify()[0]
    tap.like(ctl(), rf"^{n} rows fit, 0 are outside the chain$", "audit verify: by the environment's DATABASE_URL")
    tap.is_(json.loads(ctl("--json", "--database-url", pg.url(), DATABASE_URL="postgresql://nobody@localhost:1/x")),
            {"rows": int(n), "outside": 0, "badId": None}, "--database-url wins, --json")
    (saved,) = psql(f"UPDATE audit_logs a SET user_agent = 'mallory' FROM audit_logs b WHERE a.id = {some} AND b.id = a.id RETURNING b.user_agent")[:1]
    tap.like(ctl(want=1), rf"flowplanectl: audit row {some}: this row was changed, or one between it and row \d+", "a changed row: exit status 1, named")
    psql(f"UPDATE audit_logs SET user_agent = nullif('{saved[0]}', '') WHERE id = {some}")
    tap.like(ctl(), "rows fit", "put back: whole")
    tap.like(ctl("--database-url", f"postgresql://postgres@127.0.0.1:{util.free_port()}/x", want=3), "flowplanectl: database: .*refused", "no database: exit status 3")
    tap.like(ctl("--database-url", "mysql://x", want=2), "a database URL begins with postgresql://", "another URL: usage")
    tap.like(ctl("--database-url", pg.url("postgres"), want=1), "the database refuses it", "a database that is none of ours: exit status 1")

    # ---- retention takes the beginning and leaves a chain
    pg.psql(f"BEGIN; ALTER TABLE audit_logs DISABLE TRIGGER USER; UPDATE audit_logs SET created_at = created_at - interval '40 days' WHERE id < {some};"
            " ALTER TABLE audit_logs ENABLE TRIGGER USER; COMMIT")
    # as if they had been written then
    pg.psql("""DO $$ DECLARE r audit_logs; h bytea := ''; BEGIN FOR r IN SELECT * FROM audit_logs ORDER BY id LOOP
        h := flowplane_audit_hash(h, r); UPDATE audit_logs SET chain = h WHERE id = r.id; END LOOP; UPDATE audit_chain SET head = h; END $$""")
    tap.is_(verify()[2], "", "a trail with old rows")
    tap.is_(pg.psql("SELECT pruned_n FROM flowplane_chores(30 * 86400000::bigint)"), str(ids.index(some)), "audit.retention prunes")
    tap.is_(verify()[1:], ["0", "", ""], "the chain that is left is whole")
    tap.is_(found(f"DELETE FROM audit_logs WHERE id = {some}", after), True, "a removed beginning is found still")

    # ---- dumped and restored
    fp.sh('pg_dump "$DATABASE_URL" | gzip > chain.sql.gz')
    pg.createdb("restored")
    fp.sh('gunzip -c chain.sql.gz | psql -q -v ON_ERROR_STOP=1 "$RESTORED"', RESTORED=pg.url("restored"))
    tap.is_(pg.psql(VERIFY, "restored").split("\t"), [pg.psql("SELECT count(*) FROM audit_logs", "restored"), "0", "", ""], "a restored trail is whole too")
    third = guide.Instance(pg, database="restored", api=8082, xds=50053, FLOWPLANE_AUDIT_HASH_CHAIN="true")
    third.token = fp.token
    third.api("POST", "/clusters", fleet.cluster("new", 80))
    tap.is_(pg.psql(VERIFY, "restored").split("\t")[2:], ["", ""], "and goes on")
    third.stop()
    other.stop()

    # ---- off, on again
    fp.env.pop("FLOWPLANE_AUDIT_HASH_CHAIN")
    fp.restart()
    fp.wait_log("audit rows are chained by hashes no more")
    fp.api("POST", "/clusters", fleet.cluster("unchained", 80))
    tap.is_(pg.psql("SELECT count(*) FROM audit_logs WHERE resource_name = 'unchained' AND chain IS NULL"), "1", "off: not chained")
    outside = verify()[1]
    tap.ok(int(outside) >= 1 and verify()[2] == "", "told as outside the chain", outside)
    fp.env["FLOWPLANE_AUDIT_HASH_CHAIN"] = "true"
    mark = len(fp.log())
    fp.restart()
    fp.wait_log("audit rows are chained by hashes", start=mark)
    fp.api("POST", "/clusters", fleet.cluster("again", 80))
    tap.is_(pg.psql("SELECT chain IS NOT NULL FROM audit_logs WHERE resource_name = 'again'"), "t", "on again: chained")
    tap.is_(verify()[2], "", "whole")
