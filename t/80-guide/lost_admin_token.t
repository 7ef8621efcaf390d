#!/usr/bin/env python3
"""§16 "lost admin token ("requires database access")": flowplanectl tokens bootstrap."""
import json

import fp_guide as guide
import fp_tap as tap
from fp_harness import Postgres, wait_until

guide.need("curl")
STATUS = "curl -s -o /dev/null -w '%{http_code}' $API/api/v1/tokens -H \"Authorization: Bearer $NEW\""

with tap.run():
    pg = Postgres()
    fp = guide.Instance(pg)
    boot = fp.token[7:43]
    fp.delete(f"/api/v1/tokens/{boot}?force=true")
    tap.is_(fp.sh(STATUS, NEW=fp.token), "401", "no token is left")
    new = fp.sh(f"{guide.CTL} tokens bootstrap")
    tap.like(new, r"^fp_pat_[0-9a-f-]{36}\.[A-Za-z0-9]{48}$", "tokens bootstrap prints the token and nothing more")
    wait_until(lambda: fp.sh(STATUS, NEW=new) == "200", 10, "the running server takes it")
    row = fp.api("GET", f"/tokens/{new[7:43]}", token=new)
    tap.is_((row["name"], row["scopes"], row["expiresAt"]), ("bootstrap-admin", ["admin:all"], None), "its record")
    tap.like(pg.psql(f"SELECT user_id, event_type FROM audit_logs WHERE resource_id = '{new[7:43]}' ORDER BY id LIMIT 1"),
             r"^uid:\d+\tauth\.token\.created$", "audited, with who did it")
    fp.stop()  # without a server, by a configuration file
    conf = fp.dir / "given.conf"
    conf.write_text(f'database : {{ url = "{pg.url()}"; }};\n')
    other = json.loads(guide.sh(f"{guide.CTL} tokens bootstrap -c {conf} --json"))
    tap.is_(sorted(other), ["id", "token"], "-c, --json")
    fp.start()
    tap.is_(fp.sh(STATUS, NEW=other["token"]), "200", "a server that starts later takes it too")
    tap.is_(pg.psql("SELECT count(*) FROM audit_logs WHERE event_type = 'auth.token.seeded'"), "1", "nothing is seeded again")
    tap.unlike(fp.log(), new.split(".")[1], "no secret in the log")
