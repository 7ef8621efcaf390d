"""A certificate authority in the test's directory, by the openssl command."""
import subprocess
import time

import fp_util as util


class Certs:
    count = 0

    def __init__(self, name="Test CA"):
        Certs.count += 1
        self.openssl = util.find_program("openssl")
        self.dir = util.tmp() / f"ca{Certs.count}"
        self.dir.mkdir()
        self.n = 0
        self.ca_file, self.ca_key = self.dir / "ca.pem", self.dir / "ca.key"
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                  "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                  "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.ca_key, "-out", self.ca_file)

    def _run(self, *args):
        r = subprocess.run([self.openssl, *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if r.returncode != 0:
            raise RuntimeError(f"openssl {args[0]}: {r.stderr}")
        return r.stdout

    def issue(self, name, sans=(), days=30, usage="serverAuth,clientAuth"):
        """(certificate, key) paths; sans like "DNS:localhost", "IP:127.0.0.1", "URI:spiffe://…"."""
        self.n += 1
        base = self.dir / f"{self.n}-{name}".replace(".", "_").replace("/", "_")
        key, csr, crt, ext = (base.with_suffix(s) for s in (".key", ".csr", ".pem", ".ext"))
        self._run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", key, "-out", csr)
        ext.write_text(f"extendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n"
                       + (f"subjectAltName={','.join(sans)}\n" if sans else ""))
        self._run("x509", "-req", "-in", csr, "-CA", self.ca_file, "-CAkey", self.ca_key, "-set_serial",
                  1000 + self.n, "-days", days, "-extfile", ext, "-out", crt)
        key.chmod(0o644)  # read by servers of other users; it protects nothing
        return crt, key

    def _ca(self, *args, index=""):
        """`openssl ca` with a database of these lines."""
        conf, db = self.dir / "ca.cnf", self.dir / "index.txt"
        db.write_text(index)
        (self.dir / "index.txt.attr").write_text("unique_subject = no\n")
        conf.write_text(f"[ca]\ndefault_ca = d\n[d]\ndatabase = {db}\nnew_certs_dir = {self.dir}\nrand_serial = yes\n"
                        "default_md = sha256\npolicy = p\ndefault_crl_days = 30\ncopy_extensions = copy\n"
                        "[p]\ncommonName = supplied\n")
        return self._run("ca", "-batch", "-config", conf, "-cert", self.ca_file, "-keyfile", self.ca_key, *args)

    def crl(self, *revoked):
        """The path of a revocation list of these certificates, written in place."""
        self.crl_file = self.dir / "crl.pem"
        lines = ""
        for crt in revoked:
            serial = self._run("x509", "-in", crt, "-noout", "-serial").strip().partition("=")[2]
            lines += f"R\t491231235959Z\t250101000000Z\t{serial}\tunknown\t/CN=revoked\n"
        self._ca("-gencrl", "-out", self.crl_file, index=lines)
        return self.crl_file

    def short(self, name, seconds, sans=()):
        """(certificate, key) paths of a certificate that is good for so long."""
        self.n += 1
        key, csr, crt = (self.dir / f"{self.n}-{name}{s}" for s in (".key", ".csr", ".pem"))
        self._run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                  *(["-addext", "subjectAltName=" + ",".join(sans)] if sans else []), "-keyout", key, "-out", csr)
        end = time.strftime("%y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
        self._ca("-notext", "-in", csr, "-out", crt, "-enddate", end)
        key.chmod(0o644)
        return crt, key

    def server(self, sans=("DNS:localhost", "IP:127.0.0.1")):
        return self.issue("server", sans)

    def client(self, name="client", sans=()):
        return self.issue(name, sans)

    def api_conf(self):
        crt, key = self.server()
        return {"api.tls.enabled": True, "api.tls.cert_path": crt, "api.tls.key_path": key}

    def xds_conf(self, mtls=True):
        crt, key = self.server()
        conf = {"xds.tls.cert_path": crt, "xds.tls.key_path": key}
        if mtls:
            conf["xds.tls.client_ca_path"] = self.ca_file
        return conf
