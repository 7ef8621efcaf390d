"""All of the harness for a test that wants servers; fp_xds is apart, it needs grpcio.

    #!/usr/bin/env python3
    import fp_tap as tap
    from fp_harness import Flowplane, Postgres

    with tap.run():
        fp = Flowplane(Postgres())
        tap.is_(fp.get("/healthz").status, 200, "healthy")
"""
from fp_certs import Certs  # noqa: F401
from fp_envoy import Backend, Envoy  # noqa: F401
from fp_postgres import Postgres  # noqa: F401
from fp_server import Flowplane, Response, libconfig, merge  # noqa: F401
from fp_util import (OBJS, ROOT, SANITIZED, SLOW, TOP, Timeout, alive, descendants, find_program, free_port,  # noqa: F401
                     open_fds, port_open, processes, pss_kib, tmp, wait_until)
