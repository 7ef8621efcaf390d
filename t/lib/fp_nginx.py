"""nginx in front of instances, configured as the operations guide shows it."""
import fp_tap as tap
import fp_util as util

CONF = """daemon off;
error_log stderr warn;
pid {dir}/pid;
worker_processes 1;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    upstream flowplane_api {{
{servers}{keepalive}    }}
    server {{
        listen 127.0.0.1:{port};
        server_name cp.example.test;
        location / {{
            proxy_pass http://flowplane_api;
{version}            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $host;
        }}
    }}
}}
"""


class Nginx:
    count = 0

    def __init__(self, *ports, keepalive=False):
        """keepalive: HTTP/1.1 to the instances, connections kept; else nginx's default, HTTP/1.0 and close."""
        Nginx.count += 1
        program = util.find_program("nginx", None, ["/usr/sbin"])
        self.dir, self.port = util.tmp() / f"nginx{Nginx.count}", util.free_port()
        self.dir.mkdir()
        self.log_path = self.dir / "log"
        self.log_path.touch()
        (self.dir / "conf").write_text(CONF.format(
            dir=self.dir, port=self.port, user="user root;" if util.ROOT else "",
            servers="".join(f"        server 127.0.0.1:{p};\n" for p in ports),
            keepalive="        keepalive 8;\n" if keepalive else "",
            version='            proxy_http_version 1.1;\n            proxy_set_header Connection "";\n' if keepalive else ""))
        self.process = util.spawn([program, "-p", self.dir, "-e", "stderr", "-c", self.dir / "conf"], self.log_path)
        tap.at_end(self.stop)
        util.wait_until(self._is_up, 20, "nginx listens")

    def _is_up(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"nginx ended with {self.process.returncode}: {self.log_path.read_text()}")
        return util.port_open(self.port)

    @property
    def url(self):
        return f"http://localhost:{self.port}"

    def stop(self):
        if self.process:
            util.stop_process(self.process)
            self.process = None
