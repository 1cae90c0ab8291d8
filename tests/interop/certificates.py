"""Certificates that stations ask for, held against OpenSSL: as a verifier of chains, and as TLS of a client.

Every kind of authority signs for every kind of key, as a charger over OCPP sees it; then one certificate is
revoked with a list that `openssl ca` has made.
"""

import base64
import contextlib
import json
import re
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path

from gateway import Gateway, expect, wait_until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

STATION, PASSWORD, CPO = "INTEROP_TLS", "a password of it", "Interop CPO"
VALIDITY_DAYS = 90

AUTHORITIES = {"P-256": "EC -pkeyopt ec_paramgen_curve:P-256", "RSA": "RSA -pkeyopt rsa_keygen_bits:2048"}
KEYS = {
    "P-256": "EC -pkeyopt ec_paramgen_curve:P-256",
    "P-384": "EC -pkeyopt ec_paramgen_curve:P-384",
    "RSA 3072": "RSA -pkeyopt rsa_keygen_bits:3072",
    "Ed25519": "ED25519",
}

AUTHORITY = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]

DATABASE = """[ca]
default_ca = it
[it]
database = {place}/index.txt
crlnumber = {place}/crlnumber
default_md = sha256
default_crl_days = 30
certificate = {place}/issuing.pem
private_key = {place}/issuing.key
"""


class OpenSSL:
    """The program, in a directory that its files are named in."""

    def __init__(self, directory):
        self.place = Path(directory)

    def __call__(self, arguments, *rest, fails=False):
        command = ["openssl", *arguments.split(), *rest]
        done = subprocess.run(command, cwd=self.place, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        expect((done.returncode != 0) == fails, f"{' '.join(command)}: exit code {done.returncode}\n{said}")
        return said

    def key(self, name, kind):
        self(f"genpkey -algorithm {kind} -out {name}.key")

    def root(self, name):
        self.key(name, AUTHORITIES["P-256"])
        self(f"req -x509 -new -key {name}.key -days 3650 -out {name}.pem -subj", f"/CN={name}", *AUTHORITY)

    def signed(self, name, kind, subject, issuer, extensions):
        """A certificate that `issuer` has signed, with these extensions."""
        self.key(name, kind)
        self(f"req -new -key {name}.key -out {name}.csr -subj", subject)
        (self.place / f"{name}.ext").write_text(extensions)
        self(
            f"x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 1825"
            f" -extfile {name}.ext -out {name}.pem"
        )

    def path(self, name):
        return str(self.place / name)


class Charger:
    """A client of the Python package `websockets` over Python's TLS, which is OpenSSL."""

    def __init__(self, gateway, openssl, certificate=None, version=None):
        context = ssl.create_default_context(cafile=openssl.path("servers.pem"))
        if version:
            context.minimum_version = context.maximum_version = version
        headers = {}
        if certificate:
            context.load_cert_chain(openssl.path(f"{certificate}.chain"), openssl.path(f"{certificate}.key"))
        else:
            credentials = base64.b64encode(f"{STATION}:{PASSWORD}".encode()).decode()
            headers["Authorization"] = f"Basic {credentials}"
        self.calls = 0
        self.socket = connect(
            f"{gateway.ocpp}/{STATION}", ssl=context, subprotocols=["ocpp1.6"], additional_headers=headers
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        return json.loads(self.socket.recv(timeout=30))

    def call(self, action, payload):
        self.calls += 1
        self.socket.send(json.dumps([2, str(self.calls), action, payload]))
        answer = self.receive()
        expect(answer[:2] == [3, str(self.calls)], f"{action} answered {answer}")
        return answer[2]

    def boot(self):
        boot = {"chargePointVendor": "Interop", "chargePointModel": "OpenSSL"}
        expect(self.call("BootNotification", boot)["status"] == "Accepted", "the boot")

    def certified(self, csr):
        """Asks for a certificate: the chain that it is sent."""
        answer = self.call("SignCertificate", {"csr": csr})
        expect(answer == {"status": "Accepted"}, f"SignCertificate answered {answer}")
        _, message_id, action, payload = self.receive()
        expect(action == "CertificateSigned", f"{action} instead of CertificateSigned")
        self.socket.send(json.dumps([3, message_id, {"status": "Accepted"}]))
        return payload["certificateChain"]


def make_files(openssl, kind):
    """A server's certificate, and an authority between the stations and the root that everybody trusts."""
    openssl.root("servers")
    openssl.signed("server", AUTHORITIES["P-256"], "/CN=localhost", "servers", "subjectAltName=IP:127.0.0.1\n")
    openssl.root("stations")
    extensions = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    extensions += "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"
    openssl.signed("issuing", AUTHORITIES[kind], f"/O={CPO}/CN=issuing", "stations", extensions)
    openssl.place.joinpath("ca.cnf").write_text(DATABASE.format(place=openssl.place))
    openssl.place.joinpath("index.txt").touch()
    openssl.place.joinpath("crlnumber").write_text("01\n")
    openssl("ca -config ca.cnf -gencrl -out stations.crl")


def environment(openssl):
    settings = {
        "TLS_CERTIFICATE": "server.pem",
        "TLS_KEY": "server.key",
        "TLS_CLIENT_CA": "stations.pem",
        "TLS_CLIENT_CRL": "stations.crl",
        "CERTIFICATE_CA": "issuing.pem",
        "CERTIFICATE_CA_KEY": "issuing.key",
    }
    named = {f"CHARGEHOOK_OCPP_{name}": openssl.path(file) for name, file in settings.items()}
    return named | {
        "CHARGEHOOK_OCPP_TLS_CLIENT_ORGANIZATION": CPO,
        "CHARGEHOOK_OCPP_CERTIFICATE_VALIDITY": f"{VALIDITY_DAYS}d",
    }


def is_sound(openssl, name):
    """What OpenSSL has to say of the chain in NAME.chain, which was issued for NAME.csr."""
    chain = openssl.place.joinpath(f"{name}.chain").read_text()
    leaf, *above = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", chain, re.DOTALL)
    expect(len(above) == 1, f"leaf and issuer, and no root: {len(above)} above the leaf")
    openssl.place.joinpath("leaf.pem").write_text(leaf)
    openssl.place.joinpath("above.pem").write_text("".join(above))
    verify = "verify -x509_strict -CAfile stations.pem -untrusted above.pem"
    openssl(f"{verify} -purpose sslclient leaf.pem")
    openssl(f"{verify} -purpose sslclient -crl_check -CRLfile stations.crl leaf.pem")
    # It authenticates a client and does nothing else.
    openssl(f"{verify} -purpose sslserver leaf.pem", fails=True)
    openssl(f"{verify} -purpose smimesign leaf.pem", fails=True)
    openssl("verify -CAfile servers.pem -untrusted above.pem leaf.pem", fails=True)

    told = openssl("x509 -in leaf.pem -noout -text")
    for pattern in (
        r"Version: 3 ",
        r"X509v3 Basic Constraints: critical\s+CA:FALSE\n",
        r"X509v3 Key Usage: critical\s+Digital Signature\n",
        r"X509v3 Extended Key Usage: *\s+TLS Web Client Authentication\n",
        r"X509v3 Subject Key Identifier: *\s+[0-9A-F:]{59}\n",
        r"X509v3 Authority Key Identifier: *\s+(keyid:)?[0-9A-F:]{59}\n",
    ):
        expect(re.search(pattern, told), f"{pattern} is not in\n{told}")
    expect("Alternative Name" not in told, f"nothing that was asked for beside the name:\n{told}")
    subject = openssl("x509 -in leaf.pem -noout -nameopt RFC2253 -subject").strip()
    expect(subject == f"subject=CN={STATION},O={CPO}", subject)
    issuer = openssl("x509 -in leaf.pem -noout -nameopt RFC2253 -issuer").strip()
    expect(issuer == f"issuer=CN=issuing,O={CPO}", issuer)
    openssl(f"x509 -in leaf.pem -noout -checkend {VALIDITY_DAYS * 86_400 - 600}")
    openssl(f"x509 -in leaf.pem -noout -checkend {VALIDITY_DAYS * 86_400 + 600}", fails=True)
    key = openssl("x509 -in leaf.pem -noout -pubkey")
    expect(key == openssl(f"pkey -in {name}.key -pubout"), "the key is another one")
    serial = openssl("x509 -in leaf.pem -noout -serial").strip().removeprefix("serial=")
    expect(len(serial) == 32 and int(serial, 16) >> 127 == 0, f"127 bits, positive: {serial}")
    return serial.lower().lstrip("0")


def opens(gateway, openssl, name, serial):
    """The certificate opens for its station, with either version of TLS."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with Charger(gateway, openssl, name, version) as charger:
            expect("currentTime" in charger.call("Heartbeat", {}), "a heartbeat")
            station = gateway.call("GET", f"/stations/{STATION}")
            expect(station["connected"] and station["security_profile"] == 3, f"{station}")
    newest = gateway.call("GET", f"/events?station_id={STATION}&event=StationConnected&limit=1")["data"][0]
    expect(newest["payload"]["certificate_serial"] == serial, f"{newest}")


def is_refused(gateway, openssl, name):
    """Whether TLS ends with the certificate."""
    try:
        with Charger(gateway, openssl, name, ssl.TLSVersion.TLSv1_2):
            return False
    except InvalidStatus:
        return False
    except (ssl.SSLError, OSError, EOFError):
        return True


def revoked(gateway, openssl, name):
    openssl("ca -config ca.cnf -revoke leaf.pem")
    openssl("ca -config ca.cnf -gencrl -out next.crl")
    shutil.move(openssl.path("next.crl"), openssl.path("stations.crl"))
    wait_until(lambda: is_refused(gateway, openssl, name), "a revoked certificate is let in")


def check(binary):
    """Needs the program `openssl`."""
    for kind in AUTHORITIES:
        with contextlib.ExitStack() as stack:
            openssl = OpenSSL(stack.enter_context(tempfile.TemporaryDirectory(prefix="chargehook-interop-")))
            make_files(openssl, kind)
            gateway = stack.enter_context(Gateway(binary, environment(openssl)))
            gateway.call("POST", "/stations", {"station_id": STATION, "password": PASSWORD}, status=201)
            for number, (key, options) in enumerate(KEYS.items()):
                name = f"station{number}"
                openssl.key(name, options)
                # With a second name and a right that it is not given.
                wishes = ["-addext", "subjectAltName=DNS:OTHER", "-addext", "basicConstraints=critical,CA:TRUE"]
                openssl(f"req -new -key {name}.key -out {name}.csr", *wishes, "-subj", f"/O={CPO}/CN={STATION}")
                renewed_with = f"station{number - 1}" if number else None
                with Charger(gateway, openssl, renewed_with) as charger:
                    charger.boot()
                    chain = charger.certified(openssl.place.joinpath(f"{name}.csr").read_text())
                openssl.place.joinpath(f"{name}.chain").write_text(chain)
                serial = is_sound(openssl, name)
                opens(gateway, openssl, name, serial)
                print(f"  openssl: a certificate for {key} by an authority of {kind} is sound, and opens")
            revoked(gateway, openssl, name)
            print(f"  openssl: a list of revoked certificates, signed with {kind}, keeps one out")
