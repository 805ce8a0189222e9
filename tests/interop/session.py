"""What a node keeps per peer: sessions, the own handshake in flight, pending handshakes, address.

Times come in as `now` (seconds); nothing here reads a clock. The node (cryprq_ref.py) owns the
sockets, the timers and the table of indices.
"""

from collections import deque

import records
import wire

MAX_SESSIONS = 4
MAX_PENDING = 4
SLOT_LIFE = 20.0
UNCONFIRMED_LIFE = 30.0
ERASE_AFTER = 15.0
IDLE_ERASE = 10.0
COOKIE_LIFE = 100.0
REPLAY_KEEP = 240.0


class Session:
    """A finished handshake. Its keys are open to tests: send_key, recv_key, sid, trace, ..."""

    def __init__(self, peer, keys, local_idx, remote_idx, born, now, rotate_at):
        self.peer = peer
        self.keys = keys
        self.layer = records.RecordLayer(keys, local_idx, remote_idx)
        self.local_idx, self.remote_idx = local_idx, remote_idx
        self.born = born                    # age counts from here
        self.completed = now                # order among the sessions of a peer
        self.peer_done = now if keys.initiator else None    # by when the peer had completed it
        self.last_opened = now
        self.confirmed = keys.initiator
        self.opened_any = False
        self.rotate_at = born + rotate_at
        self.lane0_top = -1
        self.closed_by_peer = None
        self.lane = 0                       # which lane the node sends on

    def __getattr__(self, name):
        if name == "keys":
            raise AttributeError(name)
        return getattr(self.keys, name)     # sid, suite, rotate, initiator, send_key, ...

    def age(self, now):
        return now - self.born

    def may_send(self, now):
        return self.confirmed and self.age(now) < self.keys.rotate

    def expired(self, now):
        if not self.confirmed and now - self.completed >= UNCONFIRMED_LIFE:
            return True
        return self.age(now) >= self.keys.rotate + ERASE_AFTER


class Slot:
    """A handshake that a peer started and that is not confirmed yet."""

    def __init__(self, peer, responder, now):
        self.peer, self.responder, self.created = peer, responder, now
        self.session = None
        self.last_answer = now
        self.answers = 1

    @property
    def init(self):
        return self.responder.init

    @property
    def idx(self):
        return self.responder.idx_r

    @property
    def verified(self):
        return self.session is not None

    def may_answer(self, now):
        """One cached answer per 0.2 s, 30 in all."""
        if now - self.last_answer < 0.2 or self.answers >= 30:
            return False
        self.last_answer = now
        self.answers += 1
        return True


class Attempt:
    """The own handshake in flight: from the first KEY_REQUEST or INIT to ACCEPT, at most 90 s."""

    def __init__(self, now):
        self.started = now
        self.stage = None                   # "key", "init" or "offer"
        self.stage_end = now
        self.num_inits = 0
        self.states = []                    # the two newest handshake.Initiator
        self.winner = None                  # whose REPLY was accepted
        self.held_when_made = None          # the cookie held when the newest INIT was made
        self.request_id = None
        self.request = None
        self.cookie_used = False            # a COOKIE triggers something at once only once
        self.interval = 0.4
        self.target = None
        self.offer_at = None
        self.timer = None

    def message(self):
        if self.stage == "key":
            return self.request
        return self.winner.offer if self.stage == "offer" else self.states[-1].init


class Candidate:
    """A new address of a peer that has not answered its PING yet."""

    def __init__(self, address, previous, tokens, now):
        self.address, self.previous, self.since = address, previous, now
        self.new_token, self.old_token = tokens
        self.bytes_in = self.bytes_out = 0


class Peer:
    def __init__(self, peer_id, public=None, psk=None, endpoint=None, allowed=(), name=""):
        self.id = peer_id
        self.remote = wire.PublicIdentity(public) if public else None
        self.psk = psk or wire.ZERO_PSK
        self.endpoint = endpoint
        self.allowed = list(allowed)        # ipaddress networks; empty: any inner source
        self.name = name
        self.persistent_keepalive = 0

        self.address = None
        self.candidate = None
        self.barred = {}
        self.sessions = []
        self.pending = []
        self.attempt = None
        self.queue = deque(maxlen=64)
        self.accepted = deque(maxlen=8)     # (time, mac1) of accepted INITs
        self.last_accepted_init = None
        self.held_back = False
        self.replied_ever = False
        self.last_init_sent = -1e9
        self.cookie = None                  # (c, received at, remote address)

        self.passive_at = None              # a KEEPALIVE is due
        self.dead_at = None                 # a handshake is due
        self.last_sent = -1e9
        self.pong_times = deque(maxlen=10)
        self.packets_in = []                # inner packets delivered
        self.received_control = []          # (session, type, value)

    def held_cookie(self, now, target):
        if self.cookie and now - self.cookie[1] < COOKIE_LIFE and self.cookie[2] == target:
            return self.cookie[0]
        return None

    def newest(self):
        """The newest confirmed session, whatever its age."""
        confirmed = [s for s in self.sessions if s.confirmed]
        return max(confirmed, key=lambda s: s.completed) if confirmed else None

    def sending(self, now):
        session = self.newest()
        return session if session and session.may_send(now) else None

    def mac1_replayed(self, mac1, now):
        return any(m == mac1 and now - t < REPLAY_KEEP for t, m in self.accepted)

    def source_allowed(self, address):
        return not self.allowed or any(address in net for net in self.allowed)

