#!/usr/bin/env python3
"""§16 "audit SQL": auth.failed in the last hour; count by event_type for one user_id; resource.% in 24 h; the last hour's count."""
import fp_fleet as fleet
import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres, wait_until

guide.need("psql", "curl")

FAILED = """SELECT * FROM audit_logs
WHERE event_type = 'auth.failed'
  AND created_at > NOW() - INTERVAL '1 hour'
ORDER BY created_at DESC;"""
BY_USER = """SELECT event_type, COUNT(*) AS count
FROM audit_logs
WHERE user_id = '{}'
GROUP BY event_type
ORDER BY count DESC;"""
RESOURCES = """SELECT created_at, event_type, resource_type, resource_name, user_id
FROM audit_logs
WHERE event_type LIKE 'resource.%'
  AND created_at > NOW() - INTERVAL '24 hours'
ORDER BY created_at DESC;"""
LAST_HOUR = "SELECT COUNT(*) FROM audit_logs WHERE created_at > NOW() - INTERVAL '1 hour'"

with tap.run():
    pg = Postgres()
    fp = guide.Instance(pg)

    def rows(sql):
        out = fp.sh('psql "$DATABASE_URL" -At -F "|" -c "$SQL"', SQL=sql)
        return [line.split("|") for line in out.splitlines()]

    me = "fp_pat_" + fp.token[7:43]
    (token,) = rows("SELECT * FROM personal_access_tokens WHERE name = 'bootstrap-admin'")
    tap.is_(token[0], fp.token[7:43], "personal_access_tokens has the bootstrap token")
    for i in range(3):
        fp.sh('curl -s -o /dev/null $API/api/v1/clusters -H "Authorization: Bearer fp_pat_nonsense"')
    fp.api("POST", "/clusters", fleet.cluster("a", 80))
    fp.api("PUT", "/clusters/a", fleet.cluster("a", 81))
    fp.api("DELETE", "/clusters/a")
    fp.api("POST", "/tokens", {"name": "ci-deployer", "scopes": ["clusters:read"]})
    wait_until(lambda: len(rows(FAILED)) == 3, 10, "three failures")
    tap.is_({r[1] for r in rows(FAILED)}, {"auth.failed"}, "auth.failed in the last hour")
    by = {r[0]: int(r[1]) for r in rows(BY_USER.format(me))}
    tap.is_({k: by.get(k) for k in ("resource.created", "resource.updated", "resource.deleted", "auth.token.created")},
            {"resource.created": 1, "resource.updated": 1, "resource.deleted": 1, "auth.token.created": 1}, "count by event_type for one user_id")
    mine = [r for r in rows(RESOURCES) if r[4] == me]
    tap.is_([r[1:4] for r in mine], [["resource.deleted", "cluster", "a"], ["resource.updated", "cluster", "a"], ["resource.created", "cluster", "a"]],
            "resource.% in 24 h, newest first")
    wait_until(lambda: rows(LAST_HOUR)[0][0] == pg.psql("SELECT count(*) FROM audit_logs"), 10, "the last hour's count: all of them")
    wait_until(lambda: fp.metric("flowplane_audit_log_writes") == int(rows(LAST_HOUR)[0][0]), 10, "the counter")
    tap.ok(True, "flowplane_audit_log_writes is their number")
