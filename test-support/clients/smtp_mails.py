"""Sends mails by smtplib, over several connections at once, and compares what was kept byte for byte.

    smtp_mails.py PORT MAILS FOLDER
"""

import collections
import concurrent.futures
import pathlib
import random
import smtplib
import sys
import time

PATIENCE_SECONDS = 60
CONNECTIONS = 8


def mail(rng, number):
    lines = [b"Subject: %d" % number, b""]
    for _ in range(rng.randrange(30)):
        lines.append(rng.choice([
            b".", b"..", b".leading", b"", b"trailing ", "größer".encode(), bytes(range(128, 256)),
            b"x" * rng.randrange(900), b"From the beginning", b"\tQUIT", b"RSET",
        ]))
    return b"\r\n".join(lines)


def send(port, mails):
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        for number, text in enumerate(mails):
            refused = smtp.sendmail("a@example.com", ["b@example.com", "c@example.com"], text)
            assert not refused, refused
            if number % 10 == 0:
                smtp.noop()
                smtp.rset()


def is_refused_with_bare_line_feeds(port):
    """smtplib sends bytes as they are. Another server might take a dot between line feeds for the end of the mail."""
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        try:
            smtp.sendmail("a@example.com", "b@example.com", b"Subject: smuggled\n.\nMAIL FROM:<c@example.com>\n")
        except (smtplib.SMTPDataError, smtplib.SMTPServerDisconnected):
            return True
    return False


def main(port, count, folder):
    rng = random.Random(1)
    mails = [mail(rng, number) for number in range(count)]
    mails.append(b"Subject: large\r\n\r\n" + b"".join(b".%d\r\n" % line for line in range(700_000)))
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        shares = [mails[first::CONNECTIONS] for first in range(CONNECTIONS)]
        list(pool.map(lambda share: send(port, share), shares))

    assert is_refused_with_bare_line_feeds(port)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(files := list(pathlib.Path(folder).glob("*.eml"))) < len(mails):
        assert time.monotonic() < deadline, f"{len(files)} of {len(mails)} mails were kept"
        time.sleep(0.05)
    # The last line ends, too.
    sent = collections.Counter(text.removesuffix(b"\r\n") + b"\r\n" for text in mails)
    kept = collections.Counter(file.read_bytes() for file in files)
    assert kept == sent, f"{sum((sent - kept).values())} mails differ"
    print(f"{len(mails)} mails, one of {len(mails[-1])} bytes, were kept as they were sent")


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
