"""A TLS listener beside the plain one of a server, and clients of it."""

import socket
import ssl
import subprocess
import threading

TICK = 0.1


class Handshakes(threading.Thread):
    """A thread that connects, makes a handshake and ends, again and again."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.cert, self.key = f"{folder}/tls.crt", f"{folder}/tls.key"
        self.done = 0
        self.halt = threading.Event()
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            + ["-out", self.cert, "-keyout", self.key],
            check=True,
            capture_output=True,
        )

    def flags(self):
        """Of a server whose first listener stays without TLS."""
        return ("--listen", "127.0.0.1:0", "--tls-cert", self.cert, "--tls-key", self.key)

    def run(self):
        context = ssl.create_default_context(cafile=self.cert)
        while not self.halt.wait(TICK):
            with socket.create_connection(self.address, timeout=60) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as tls:
                    tls.sendall(b"a\n")
                    assert tls.recv(2) == b"a\n"
            self.done += 1

    def finish(self):
        self.halt.set()
        self.join()
