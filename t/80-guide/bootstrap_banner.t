#!/usr/bin/env python3
"""§16 "docker logs … | grep -oP 'token: \\Kfp_pat_[^\\s]+'", "grep -A 10 "BOOTSTRAP"", "event_type = 'auth.token.seeded'"."""
import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres

guide.need("grep", "curl", "psql")
GREP = r"grep -oP 'token: \Kfp_pat_[^\s]+'"

with tap.run():
    pg = Postgres()
    for form, env in ("json", {"FLOWPLANE_JSON_LOGGING": "true"}), ("text", {"FLOWPLANE_OBSERVABILITY_LOG_FORMAT": "text"}):
        pg.createdb(form)
        fp = guide.Instance(pg, database=form, **env)
        found = fp.sh(f"cat $LOG | {GREP}").splitlines()  # both streams, as docker logs merges them
        tap.is_(len(found), 1, f"{form}: exactly one match in both streams")
        tap.like(found[0], r"^fp_pat_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[A-Za-z0-9]{48}$", f"{form}: the value and nothing more")
        tap.is_(fp.sh("curl -s -o /dev/null -w '%{http_code}' $API/api/v1/tokens -H \"Authorization: Bearer $FOUND\"", FOUND=found[0]),
                "200", f"{form}: it is complete")
        banner = fp.sh('cat $LOG | grep -A 10 "BOOTSTRAP"')
        tap.like(banner.split("\n--")[0], rf"Token: {found[0]}\n", f"{form}: grep -A 10 \"BOOTSTRAP\" shows Token: within ten lines")
        second = guide.Instance(pg, api=8081, xds=50052, database=form, **env)
        tap.is_(second.sh(f"cat $LOG | {GREP}", want=1), "", f"{form}: nothing on an instance that did not seed")
        second.stop()
        fp.restart()
        tap.is_(len(fp.sh(f"cat $LOG | {GREP}").splitlines()), 1, f"{form}: nor after a restart")
        seeded = fp.sh("psql \"$DATABASE_URL\" -At -c \"SELECT * FROM audit_logs WHERE event_type = 'auth.token.seeded' ORDER BY created_at DESC\"")
        tap.is_(len(seeded.splitlines()), 1, f"{form}: event_type = 'auth.token.seeded': exactly one row")
        fp.stop()
