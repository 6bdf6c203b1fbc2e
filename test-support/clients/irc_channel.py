"""Bots of the Python library irc in one channel, all of which must hear all others, in one order.

    irc_channel.py PORT BOTS LINES
"""

import random
import sys
import time

import irc.client

PATIENCE_SECONDS = 60
# Rounds of lines before all must have come: what waits for a connection is bounded.
ROUNDS = 10
CHANNEL = "#bots"


class Bot:
    def __init__(self, reactor, port, number):
        self.nick = f"bot{number}"
        self.is_in, self.names = False, set()
        self.heard, self.private, self.quits = [], [], []
        self.connection = reactor.server().connect("127.0.0.1", port, self.nick)

    def handle(self, event):
        match event.type:
            case "welcome":
                self.connection.join(CHANNEL)
            case "join":
                self.is_in |= event.source.nick == self.nick
            case "namreply":
                self.names.update(event.arguments[2].split())
            case "pubmsg":
                self.heard.append((event.source.nick, event.arguments[0]))
            case "privmsg":
                self.private.append((event.source.nick, event.arguments[0]))
            case "quit":
                self.quits.append((event.source.nick, event.arguments[0]))


def until(reactor, condition, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        reactor.process_once(0.05)


def main(port, count, lines):
    reactor, rng = irc.client.Reactor(), random.Random(1)
    bots = [Bot(reactor, port, number) for number in range(count)]
    by_connection = {bot.connection: bot for bot in bots}
    reactor.add_global_handler("all_events", lambda connection, event: by_connection[connection].handle(event))
    until(reactor, lambda: all(bot.is_in for bot in bots), "a join")

    for number in range(lines):
        for bot in rng.sample(bots, count):
            bot.connection.privmsg(CHANNEL, f"{number} größer: {rng.random()}")
        if number % ROUNDS == ROUNDS - 1 or number == lines - 1:
            total = (number + 1) * (count - 1)
            until(reactor, lambda: all(len(bot.heard) >= total for bot in bots), "a line")
    for one, other in zip(bots, bots[1:]):
        # They do not hear what they say themselves.
        names = {one.nick, other.nick}
        heard = [[line for line in bot.heard if line[0] not in names] for bot in (one, other)]
        assert heard[0] == heard[1], f"{names} heard the same in another order"
    for bot in bots:
        for other in bots:
            numbers = [int(text.split()[0]) for nick, text in bot.heard if nick == other.nick]
            assert numbers == (list(range(lines)) if other is not bot else []), (bot.nick, other.nick, numbers)

    bots[0].connection.privmsg(bots[1].nick, "psst")
    until(reactor, lambda: bots[1].private == [(bots[0].nick, "psst")], "a private message")
    bots[0].names.clear()
    bots[0].connection.part(CHANNEL)
    bots[0].connection.join(CHANNEL)
    until(reactor, lambda: bots[0].names == {bot.nick for bot in bots}, "the list of names after a part and a join")
    bots[0].connection.quit("so long")
    until(reactor, lambda: all(bot.quits == [(bots[0].nick, "so long")] for bot in bots[1:]), "a quit")
    print(f"{count} bots heard {lines} lines of each other, in one order, and a quit")


main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
