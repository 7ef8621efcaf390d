"""PgBouncer in transaction mode in front of a temporary PostgreSQL."""
import fp_tap as tap
import fp_util as util


class Bouncer:
    def __init__(self, pg):
        self.program = util.find_program("pgbouncer", None, ["/usr/sbin"])
        self.port = util.free_port()
        folder = util.tmp() / "pgbouncer"
        folder.mkdir()
        (folder / "users").write_text('"postgres" ""\n')
        (folder / "ini").write_text(f"""[databases]
* = host=127.0.0.1 port={pg.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 3
server_lifetime = 3600
""")
        self.process = util.spawn([self.program, folder / "ini"], folder / "log", user=util.unprivileged())
        tap.at_end(lambda: util.stop_process(self.process))
        util.wait_until(lambda: util.port_open(self.port), 10, "PgBouncer")

    def url(self, database="flowplane"):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
