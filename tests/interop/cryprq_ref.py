"""A CrypRQ node for tests, sections 3 to 6 of docs/protocol.md.

    node = Node(identity, send=..., rotate=300)     send(data, address) puts a datagram on the wire
    peer = node.add_peer(peer_id, public=..., endpoint=(ip, port))
    node.receive(data, source, now)                 a datagram came in
    node.tick(now)                                  run what is due; node.next_time() says when

It has no TUN: node.send_packet(peer, packet, now) takes an inner packet, peer.packets_in collects
what arrives, and echo requests are answered (node.answer_pings). `Wire` joins nodes in memory with
a virtual clock, `UdpLoop` runs them over sockets.

For hostile tests: node.filter_in(data, source) and node.filter_out(data, address) return False to
lose a datagram; every random value comes from `rng`; node.key_log keeps every session's keys and
trace; node.rx and node.tx log all datagrams. Left out: path MTU search, restart state, DSCP and ECN.
"""

import heapq
import ipaddress
import itertools
import random
import select
import socket
import time
from collections import Counter

import handshake
import mlkem
import records
import wire
from session import (IDLE_ERASE, MAX_PENDING, MAX_SESSIONS, SLOT_LIFE, Attempt, Candidate, Peer,
                     Session, Slot)
from wire import Drop

STAGE, ATTEMPT, GAP = 8.0, 90.0, 0.4
RETRY_FIRST, RETRY_MAX = 0.4, 5.0
PASSIVE, DEAD = 5.0, 15.0
CONFIRM_FOR = 30.0
COOKIE_SECRET_LIFE = 120.0
HOUSEKEEPING = 0.25


class Timer:
    __slots__ = ("when", "call")

    def __init__(self, when, call):
        self.when, self.call = when, call

    def cancel(self):
        self.call = None


def ip_bytes(text):
    return ipaddress.ip_address(text).packed


class Node:
    def __init__(self, identity, send, rng=None, rotate=300, suites=wire.ALL_SUITES,
                 preferred=wire.SUITE_AES, mtu=1420, name="", seed=None):
        self.identity, self.send_datagram = identity, send
        self.rng = rng or wire.SystemRandom()
        self.jitter = random.Random(seed)
        self.rotate, self.suites, self.preferred = rotate, suites, preferred
        self.mtu, self.name = mtu, name
        self.peers = {}
        self.indices = {}                   # 4 bytes -> (kind, owner)
        self.timers = []
        self.sequence = itertools.count()
        self.now = 0.0

        self.answer_keys = self.push_keys = self.answer_pings = True
        self.load_limit = None              # INIT and KEY_REQUEST a second; None: never loaded
        self.force_load = False
        self.recent = []
        self.loaded_until = -1.0
        self.cookie_secrets = []            # (made at, secret), newest first
        self.source_tokens = {}

        self.filter_in = self.filter_out = None
        self.on_event = None
        self.events, self.rx, self.tx, self.key_log = [], [], [], []
        self.drops = Counter()
        self._after(HOUSEKEEPING, self._housekeep)

    # -- small services ------------------------------------------------------------------------

    def add_peer(self, peer_id, **options):
        peer = self.peers[peer_id] = Peer(peer_id, **options)
        return peer

    def _after(self, delay, call):
        timer = Timer(self.now + delay, call)
        heapq.heappush(self.timers, (timer.when, next(self.sequence), timer))
        return timer

    def next_time(self):
        return self.timers[0][0] if self.timers else None

    def tick(self, now):
        self.now = max(self.now, now)
        while self.timers and self.timers[0][0] <= self.now:
            timer = heapq.heappop(self.timers)[2]
            if timer.call:
                timer.call()

    def event(self, name, **values):
        self.events.append((self.now, name, values))
        if self.on_event:
            self.on_event(name, values)

    def saw(self, name):
        return [e for e in self.events if e[1] == name]

    def _send(self, data, address):
        self.tx.append((self.now, address, data))
        if self.filter_out is None or self.filter_out(data, address):
            self.send_datagram(data, address)

    def _new_index(self, label):
        while True:
            idx = self.rng.take(label, 4)
            if idx not in self.indices:
                return idx

    # -- datagrams in --------------------------------------------------------------------------

    def receive(self, data, source, now):
        self.now = max(self.now, now)
        self.rx.append((self.now, source, data))
        if self.filter_in is not None and not self.filter_in(data, source):
            return
        try:
            kind = wire.check_header(data)
            handler = {wire.INIT: self._on_init, wire.REPLY: self._on_reply,
                       wire.OFFER: self._on_offer, wire.ACCEPT: self._on_accept,
                       wire.COOKIE: self._on_cookie, wire.KEY_REQUEST: self._on_key_request,
                       wire.KEY_RESPONSE: self._on_key_response, wire.KEY_PUSH: self._on_key_push,
                       wire.DATA: self._on_record, wire.CONTROL: self._on_record}[kind]
            handler(data, source)
        except Drop as reason:
            self.drops[str(reason)] += 1

    def _owner(self, idx, kind):
        found = self.indices.get(bytes(idx))
        if not found or found[0] != kind:
            raise Drop("index")
        return found[1]

    # -- responder -----------------------------------------------------------------------------

    def _check_mac1(self, message):
        if wire.mac1(self.identity.id, message[:wire.INIT_MAC1]) != \
                message[wire.INIT_MAC1:wire.INIT_MAC2]:
            raise Drop("mac1")

    def _count_load(self):
        self.recent = [t for t in self.recent if self.now - t < 1.0] + [self.now]
        if self.load_limit is not None and len(self.recent) > self.load_limit:
            self.loaded_until = self.now + 1.0
        return self.force_load or self.now < self.loaded_until

    def _secrets(self):
        if not self.cookie_secrets or self.now - self.cookie_secrets[0][0] >= COOKIE_SECRET_LIFE:
            fresh = (self.now, self.rng.take("cookie.secret", 32))
            self.cookie_secrets = [fresh] + self.cookie_secrets[:1]
        return [secret for made, secret in self.cookie_secrets
                if self.now - made < 2 * COOKIE_SECRET_LIFE]

    def _proven_cookie(self, message, source):
        """The cookie that the message's mac2 proves, else None."""
        for secret in self._secrets():
            cookie = wire.make_cookie(secret, ip_bytes(source[0]), source[1])
            if wire.mac2(cookie, message[:wire.INIT_MAC2]) == message[wire.INIT_MAC2:]:
                return cookie
        return None

    def _send_cookie(self, message, source):
        cookie = wire.make_cookie(self._secrets()[0], ip_bytes(source[0]), source[1])
        self._send(wire.build_cookie(self.identity.id, message[4:8],
                                     self.rng.take("cookie.nonce", 24),
                                     message[wire.INIT_MAC1:wire.INIT_MAC2], cookie), source)

    def _limit_source(self, source):
        address = ip_bytes(source[0])
        key = address if len(address) == 4 else address[:8]
        tokens, last = self.source_tokens.get(key, (40.0, self.now))
        tokens = min(40.0, tokens + (self.now - last) * 20.0)
        self.source_tokens[key] = (max(tokens - 1, 0.0), self.now)
        if tokens < 1:
            raise Drop("rate")

    def _on_init(self, message, source):
        self._check_mac1(message)
        for peer in self.peers.values():
            for slot in peer.pending:
                if slot.init[:wire.INIT_MAC2] == message[:wire.INIT_MAC2]:
                    if not slot.may_answer(self.now):
                        raise Drop("answer limit")
                    self._send(slot.responder.reply, source)
                    return
        loaded = self._count_load()
        cookie = self._proven_cookie(message, source)
        if loaded:
            if cookie is None:
                self._send_cookie(message, source)
                raise Drop("load")
            self._limit_source(source)

        responder = handshake.Responder(self.identity, message, self.rng)
        suite = responder.choose_suite(self.suites, self.preferred)
        peer = self.peers.get(responder.initiator_id)
        if peer is None:
            raise Drop("unknown peer")
        if peer.remote is None:
            raise Drop("peer key unknown")
        responder.authenticate(peer.remote, peer.psk)
        if peer.mac1_replayed(responder.mac1, self.now):
            raise Drop("replayed init")
        proven = cookie is not None and responder.fresh == wire.fresh8(cookie)
        self._expire_slots(peer)
        if (loaded or len(peer.pending) >= 2) and not proven:
            self._send_cookie(message, source)
            raise Drop("cookie wanted")
        if len(peer.pending) >= MAX_PENDING:
            unverified = [s for s in peer.pending if not s.verified]
            if not unverified:
                raise Drop("pending full")
            self._drop_slot(unverified[0])
        reply = responder.write_reply(suite, self.rotate, self._new_index("reply.idx"))
        slot = Slot(peer, responder, self.now)
        peer.pending.append(slot)
        peer.accepted.append((self.now, responder.mac1))
        peer.last_accepted_init = self.now
        self.indices[slot.idx] = ("slot", slot)
        self.event("init accepted", peer=peer)
        self._send(reply, source)

    def _drop_slot(self, slot):
        slot.peer.pending.remove(slot)
        if self.indices.get(slot.idx) == ("slot", slot):
            del self.indices[slot.idx]

    def _expire_slots(self, peer):
        for slot in [s for s in peer.pending if self.now - s.created >= SLOT_LIFE]:
            self._drop_slot(slot)

    def _on_offer(self, message, source):
        kind, owner = self.indices.get(message[8:12], (None, None))
        if kind == "session":
            owner = next((s for s in owner.peer.pending if s.session is owner), None)
        elif kind != "slot":
            owner = None
        if owner is None or self.now - owner.created >= SLOT_LIFE:
            raise Drop("index")
        slot, peer = owner, owner.peer
        if slot.verified:
            if message != slot.responder.offer:
                raise Drop("bad offer")
            if not slot.may_answer(self.now):
                raise Drop("answer limit")
            self._send(slot.responder.accept, source)
            return
        keys = slot.responder.read_offer(message)
        rotate_at = keys.rotate - 25 + self.jitter.uniform(-2, 2)
        session = Session(peer, keys, slot.idx, slot.responder.idx_i, self.now, self.now, rotate_at)
        slot.session = session
        slot.last_answer = self.now
        slot.answers += 1
        self._add_session(session)
        self._send(slot.responder.accept, source)

    # -- initiator -----------------------------------------------------------------------------

    def start_handshake(self, peer, now=None):
        """Begins an own handshake unless one is in flight or the peer's INIT goes first."""
        self.now = max(self.now, now or self.now)
        target = peer.address or peer.endpoint
        if peer.attempt or target is None:
            return
        accepted = peer.last_accepted_init
        if (self.identity.id > peer.id and not peer.held_back and accepted is not None
                and self.now - accepted < 8.0):
            peer.held_back = True
            self._after(accepted + 8.0 - self.now, lambda: self._held_start(peer))
            return
        self._begin(peer, target)

    def _held_start(self, peer):
        """8 s after the peer's INIT: only where its handshake has not brought what was needed."""
        newest = peer.newest()
        if peer.sending(self.now) and self.now < newest.rotate_at:
            peer.held_back = False
        else:
            self.start_handshake(peer)

    def _begin(self, peer, target):
        peer.held_back = False
        attempt = peer.attempt = Attempt(self.now)
        attempt.target = target
        self.event("attempt", peer=peer)
        if peer.remote is None:
            attempt.stage = "key"
            self._new_request(peer)
        else:
            self._new_init(peer)

    def _end_attempt(self, peer):
        attempt, peer.attempt = peer.attempt, None
        if attempt.timer:
            attempt.timer.cancel()
        self._forget_states(attempt, attempt.states)

    def _forget_states(self, attempt, states):
        for state in list(states):
            if self.indices.get(state.idx_i, (None,))[0] == "attempt":
                del self.indices[state.idx_i]
            attempt.states.remove(state)

    def _new_request(self, peer):
        attempt = peer.attempt
        attempt.request_id = self.rng.take("keyreq.id", 4)
        attempt.request = wire.build_key_request(
            peer.id, attempt.request_id, peer.held_cookie(self.now, attempt.target))
        attempt.stage_end = self.now + STAGE
        self._transmit(peer)

    def _new_init(self, peer, cookie_came=False):
        """A new INIT; the gap between INITs holds unless a COOKIE is the cause."""
        attempt = peer.attempt
        wait = peer.last_init_sent + GAP - self.now
        if wait > 1e-9 and not cookie_came:
            self._schedule(peer, wait, lambda: self._new_init(peer))
            return
        number = attempt.num_inits
        attempt.num_inits += 1
        held = attempt.held_when_made = peer.held_cookie(self.now, attempt.target)
        cookie = None if number and number % 3 == 0 else held
        state = handshake.Initiator(self.identity, peer.remote, peer.psk, self.suites, self.rotate,
                                    self.rng, cookie, idx=self._new_index("init.idx"))
        attempt.stage, attempt.winner = "init", None
        attempt.stage_end = self.now + STAGE
        attempt.states.append(state)
        self.indices[state.idx_i] = ("attempt", peer)
        self._forget_states(attempt, attempt.states[:-2])
        if self.push_keys and (number < 3 and not peer.replied_ever
                               or number and number % 4 == 0):
            self._send(wire.build_key_push(peer.id, self.identity.public), attempt.target)
        self._transmit(peer)

    def _schedule(self, peer, delay, call):
        if peer.attempt.timer:
            peer.attempt.timer.cancel()
        peer.attempt.timer = self._after(delay, call)

    def _transmit(self, peer):
        """Sends the current message of the attempt and sets the time of the next look."""
        attempt = peer.attempt
        if attempt.stage == "init":
            peer.last_init_sent = self.now
        self._send(attempt.message(), attempt.target)
        delay = attempt.interval * (1 + self.jitter.uniform(0, 0.2))
        attempt.interval = min(attempt.interval * 2, RETRY_MAX)
        self._schedule(peer, min(delay, max(attempt.stage_end - self.now, 0)),
                       lambda: self._retry(peer))

    def _retry(self, peer):
        attempt = peer.attempt
        if self.now - attempt.started >= ATTEMPT:
            peer.queue.clear()
            self._end_attempt(peer)
            self.event("attempt failed", peer=peer)
        elif attempt.stage == "key":
            if self.now >= attempt.stage_end:
                attempt.interval = RETRY_FIRST
                self._new_request(peer)
            else:
                self._transmit(peer)
        elif self.now >= attempt.stage_end - 1e-9:
            attempt.interval = RETRY_FIRST
            if attempt.stage == "offer":
                self._forget_states(attempt, attempt.states)
            self._new_init(peer)
        elif (attempt.stage == "init"
              and peer.held_cookie(self.now, attempt.target) != attempt.held_when_made):
            self._new_init(peer)
        else:
            self._transmit(peer)

    def _on_cookie(self, message, source):
        idx = message[4:8]
        found = self.indices.get(idx)
        if found and found[0] == "attempt":
            peer = found[1]
            state = next(s for s in peer.attempt.states if s.idx_i == idx)
            answered = state.mac1
        else:
            peer = next((p for p in self.peers.values() if p.attempt
                         and p.attempt.stage == "key" and p.attempt.request_id == idx), None)
            if peer is None:
                raise Drop("index")
            answered = peer.attempt.request[wire.INIT_MAC1:wire.INIT_MAC2]
        attempt = peer.attempt
        cookie = wire.open_cookie(peer.id, message, answered)
        if attempt.stage == "offer":
            raise Drop("late cookie")
        peer.cookie = (cookie, self.now, attempt.target)
        self.event("cookie", peer=peer)
        if attempt.cookie_used:
            # the timer decides: an INIT that went without this cookie is followed by one with it
            if attempt.stage == "init" and attempt.states[-1].cookie != cookie:
                attempt.held_when_made = None
            return
        attempt.cookie_used = True
        if attempt.stage == "key":
            self._new_request(peer)
        else:
            self._new_init(peer, cookie_came=True)

    def _on_reply(self, message, source):
        peer = self._owner(message[8:12], "attempt")
        attempt = peer.attempt
        if attempt.stage != "init":
            raise Drop("stage")
        state = next(s for s in attempt.states if s.idx_i == message[8:12])
        state.read_reply(message)
        peer.replied_ever = True
        attempt.winner, attempt.stage = state, "offer"
        self._forget_states(attempt, [s for s in attempt.states if s is not state])
        attempt.offer_at = self.now
        attempt.stage_end = self.now + STAGE
        attempt.interval = RETRY_FIRST
        self._transmit(peer)

    def _on_accept(self, message, source):
        peer = self._owner(message[8:12], "attempt")
        attempt = peer.attempt
        if attempt.stage != "offer":
            raise Drop("stage")
        state = attempt.winner
        keys = state.read_accept(message)
        born, target = attempt.offer_at, attempt.target
        self._end_attempt(peer)
        rotate_at = keys.rotate - self.jitter.uniform(35, 50)
        session = Session(peer, keys, state.idx_i, state.idx_r, born, self.now, rotate_at)
        self._add_session(session)
        if peer.address is None:
            peer.address = target
        self._confirmed(session)
        if peer.dead_at is None:
            peer.dead_at = self.now + DEAD + self.jitter.uniform(0, 0.3)
        self._confirm(session, self.now, RETRY_FIRST)

    def _confirm(self, session, accepted_at, interval):
        """I's confirmation: a record at once, then KEEPALIVE until a record from R opens."""
        if session not in session.peer.sessions or session.opened_any:
            return
        if interval > RETRY_FIRST or not self._flush(session.peer):
            self.send_control(session, records.tlv(records.KEEPALIVE))
        if self.now + interval - accepted_at <= CONFIRM_FOR:
            self._after(interval, lambda: self._confirm(session, accepted_at,
                                                        min(interval * 2, RETRY_MAX)))

    # -- first contact -------------------------------------------------------------------------

    def _on_key_request(self, message, source):
        self._check_mac1(message)
        self._count_load()
        if not self.answer_keys:
            raise Drop("keys not answered")
        if self._proven_cookie(message, source) is None:
            self._send_cookie(message, source)
            return
        self._limit_source(source)
        self._send(wire.build_key_response(message[4:8], self.identity.public), source)

    def _on_key_response(self, message, source):
        peer = next((p for p in self.peers.values() if p.attempt and p.attempt.stage == "key"
                     and p.attempt.request_id == message[4:8]), None)
        if peer is None:
            raise Drop("request id")
        self._store_key(peer, message[8:])
        peer.attempt.interval = RETRY_FIRST
        self._new_init(peer)

    def _on_key_push(self, message, source):
        if wire.mac1(self.identity.id, message[:1220])[:12] != message[1220:]:
            raise Drop("mac1")
        public = message[4:1220]
        peer = self.peers.get(wire.peer_id(public))
        if peer is None or peer.remote is not None:
            raise Drop("key push")
        self._store_key(peer, public)

    def _store_key(self, peer, public):
        if wire.peer_id(public) != peer.id:
            raise Drop("key hash")
        if not mlkem.ek_valid(public[32:]):
            raise Drop("modulus")
        peer.remote = wire.PublicIdentity(public)
        self.event("key stored", peer=peer)

    # -- sessions ------------------------------------------------------------------------------

    def _add_session(self, session):
        session.peer.sessions.append(session)
        self.indices[session.local_idx] = ("session", session)
        self.key_log.append(session)
        self.event("session", peer=session.peer, session=session)

    def _confirmed(self, session):
        """Called when R opens the first record and when I accepts: the fifth evicts the first."""
        session.confirmed = True
        peer = session.peer
        for slot in [s for s in peer.pending if s.session is session]:
            peer.pending.remove(slot)
        confirmed = sorted((s for s in peer.sessions if s.confirmed), key=lambda s: s.completed)
        if len(confirmed) > MAX_SESSIONS:
            self._erase(confirmed[0], "fifth session")
        self.event("confirmed", peer=peer, session=session)

    def _erase(self, session, why):
        if session in session.peer.sessions:
            session.peer.sessions.remove(session)
            self.indices.pop(session.local_idx, None)
            self.event("erased", peer=session.peer, session=session, why=why)

    def _housekeep(self):
        for peer in self.peers.values():
            self._expire_slots(peer)
            for session in list(peer.sessions):
                # Later at both sides: the peer had completed this one before the other could be.
                later = any(s.completed > session.completed and s.opened_any
                            and session.peer_done is not None and session.peer_done < s.born
                            for s in peer.sessions)
                if session.expired(self.now):
                    self._erase(session, "age")
                elif later and self.now - session.last_opened >= IDLE_ERASE:
                    self._erase(session, "superseded")
            if peer.passive_at is not None and self.now >= peer.passive_at:
                peer.passive_at = None
                self.send_keepalive(peer)
            if peer.dead_at is not None and self.now >= peer.dead_at:
                peer.dead_at = None
                self.start_handshake(peer)
            if peer.persistent_keepalive and \
                    self.now - peer.last_sent >= peer.persistent_keepalive:
                peer.last_sent = self.now
                self.send_keepalive(peer, start=True)
                self._maybe_rotate(peer)
        self._after(HOUSEKEEPING, self._housekeep)

    def _maybe_rotate(self, peer):
        session = peer.newest()
        if session and self.now >= session.rotate_at and not peer.attempt:
            self.start_handshake(peer)

    # -- sending -------------------------------------------------------------------------------

    def send_packet(self, peer, packet, now=None, flags=0):
        """One inner packet: sealed, or queued while a handshake is made."""
        self.now = max(self.now, now or self.now)
        session = peer.sending(self.now)
        if session is None:
            peer.queue.append((self.now, packet, flags))
            self.start_handshake(peer)
            return None
        record = session.layer.seal(wire.DATA, records.pad16(packet, self.mtu), session.lane, flags)
        self._send_record(session, record, is_data=True)
        self._maybe_rotate(peer)
        return record

    def send_control(self, session, plaintext, address=None):
        """One control record, unless the session is past the age for sending."""
        if not session.may_send(self.now):
            return None
        record = session.layer.seal(wire.CONTROL, plaintext, session.lane)
        self._send_record(session, record, address=address)
        return record

    def send_keepalive(self, peer, start=False):
        session = peer.sending(self.now)
        if session:
            self.send_control(session, records.tlv(records.KEEPALIVE))
        elif start:
            self.start_handshake(peer)

    def close(self, session, reason=records.CLOSE_SHUTDOWN):
        self.send_control(session, records.tlv(records.CLOSE, bytes([reason])))
        self._erase(session, "closed")

    def _send_record(self, session, record, is_data=False, address=None):
        peer = session.peer
        peer.last_sent = self.now
        peer.passive_at = None
        if is_data and peer.dead_at is None:
            peer.dead_at = self.now + DEAD + self.jitter.uniform(0, 0.3)
        if address is None:
            address = self._destination(peer, len(record), is_data)
        if address is not None:
            self._send(record, address)

    def _destination(self, peer, size, is_data):
        candidate = peer.candidate
        if candidate is None:
            return peer.address
        if candidate.bytes_out + size <= 3 * candidate.bytes_in:
            candidate.bytes_out += size
            return candidate.address
        return candidate.previous if is_data else None

    def _flush(self, peer):
        """Sends what waited for a session; True if that was anything."""
        queued = [q for q in peer.queue if self.now - q[0] < 5.0]
        peer.queue.clear()
        for _, packet, flags in queued:
            self.send_packet(peer, packet, flags=flags)
        return bool(queued)

    # -- receiving -----------------------------------------------------------------------------

    def _on_record(self, message, source):
        session = self._owner(message[4:8], "session")
        if session.expired(self.now):
            raise Drop("expired")
        plaintext, counter = session.layer.open(message)
        peer = session.peer
        first = not session.opened_any
        session.opened_any = True
        session.last_opened = self.now
        if session.peer_done is None:
            session.peer_done = self.now
        peer.dead_at = None
        if not session.confirmed:
            self._confirmed(session)
        self._learn_address(session, source, counter, len(message))
        if first and not session.initiator:
            if session is not peer.newest() or not self._flush(peer):
                self.send_control(session, records.tlv(records.KEEPALIVE))
        if message[0] == wire.CONTROL:
            self._on_control(session, plaintext, source)
        else:
            self._on_data(session, plaintext, message[2])

    def _on_data(self, session, plaintext, flags):
        peer = session.peer
        if peer.passive_at is None:
            peer.passive_at = self.now + PASSIVE
        packet = records.inner_packet(plaintext)
        if not peer.source_allowed(ipaddress.ip_address(records.inner_source(packet))):
            raise Drop("inner source")
        peer.packets_in.append(packet)
        self.event("packet", peer=peer, packet=packet, session=session, flags=flags)
        self._maybe_rotate(peer)
        answer = records.answer_echo(packet) if self.answer_pings else None
        if answer is not None:
            self.send_packet(peer, answer)

    def _on_control(self, session, plaintext, source):
        peer = session.peer
        for kind, value in records.parse_tlvs(plaintext):
            peer.received_control.append((session, kind, value))
            if kind == records.PING:
                self._answer_ping(session, value, source)
            elif kind == records.PONG:
                self._on_pong(peer, value, source)
            elif kind == records.CLOSE:
                session.closed_by_peer = value[0]
                self._erase(session, "close")
                return

    def _answer_ping(self, session, value, source):
        times = session.peer.pong_times
        if len(value) == 8:
            if len(times) == 10 and self.now - times[0] < 1.0:
                raise Drop("pong rate")
            times.append(self.now)
        self.send_control(session, records.tlv(records.PONG, value[:8]), source)

    # -- the peer's address --------------------------------------------------------------------

    def _learn_address(self, session, source, counter, size):
        peer = session.peer
        if counter >> 56:
            return
        newer = counter > session.lane0_top
        session.lane0_top = max(session.lane0_top, counter)
        candidate = peer.candidate
        if candidate and candidate.address == source:
            candidate.bytes_in += size
        if session is not peer.newest() or not newer:
            return
        if peer.address is None:
            peer.address = source
        elif candidate and source == candidate.previous:
            peer.candidate = None
            peer.address = candidate.previous
        elif source not in (peer.address, candidate.address if candidate else None):
            if peer.barred.get(source, 0) > self.now:
                return
            self._try_address(session, source, size)

    def _try_address(self, session, source, size):
        peer = session.peer
        previous = peer.candidate.previous if peer.candidate else peer.address
        tokens = self.rng.take("ping.token", 8), self.rng.take("ping.token", 8)
        candidate = peer.candidate = Candidate(source, previous, tokens, self.now)
        candidate.bytes_in = size
        self.event("address change", peer=peer, address=source)
        self.send_control(session, records.tlv(records.PING, tokens[1]), previous)
        self._ping_candidate(session, candidate, RETRY_FIRST)

    def _ping_candidate(self, session, candidate, interval):
        peer = session.peer
        if peer.candidate is not candidate or self.now - candidate.since > 30.0 \
                or session not in peer.sessions:
            return
        self.send_control(session, records.tlv(records.PING, candidate.new_token))
        self._after(interval, lambda: self._ping_candidate(session, candidate,
                                                           min(interval * 2, RETRY_MAX)))

    def _on_pong(self, peer, token, source):
        candidate = peer.candidate
        if candidate is None:
            return
        if token == candidate.new_token and source == candidate.address:
            peer.address, peer.candidate = source, None
            self.event("address settled", peer=peer, address=source)
        elif (token == candidate.old_token and source == candidate.previous
              and self.now - candidate.since < 3.0):
            peer.candidate = None
            peer.barred[candidate.address] = self.now + 10.0
            self.event("address restored", peer=peer, address=source)


# -- running nodes ------------------------------------------------------------------------------

class Wire:
    """Nodes joined in memory. Addresses are (ip, port); the clock is virtual.

    `impair(data, source, destination, rng)` returns the delays at which copies arrive; an empty
    list loses the datagram.
    """

    def __init__(self, delay=0.01, seed=1):
        self.now, self.delay = 1000.0, delay
        self.nodes, self.flying = {}, []
        self.sequence = itertools.count()
        self.rng = random.Random(seed)
        self.impair = None
        self.log = []

    def node(self, identity, address, **options):
        node = Node(identity, lambda data, to: self.put(data, node.local, to), **options)
        node.local = address
        node.now = self.now
        node.timers.clear()
        node._after(HOUSEKEEPING, node._housekeep)
        self.nodes[address] = node
        return node

    def move(self, node, address):
        del self.nodes[node.local]
        node.local = address
        self.nodes[address] = node

    def put(self, data, source, destination):
        self.log.append((self.now, source, destination, data))
        delays = [self.delay]
        if self.impair:
            delays = self.impair(data, source, destination, self.rng)
        for delay in delays:
            heapq.heappush(self.flying, (self.now + delay, next(self.sequence), data, source,
                                         destination))

    def run(self, seconds=None, until=None):
        """Virtual time passes until `until()` or for `seconds`; returns until()'s last answer."""
        end = self.now + (seconds if seconds is not None else 60.0)
        while True:
            if until and until():
                return True
            times = [n.next_time() for n in self.nodes.values() if n.next_time() is not None]
            if self.flying:
                times.append(self.flying[0][0])
            if not times or min(times) > end:
                self.now = end
                for node in self.nodes.values():
                    node.tick(end)
                return bool(until and until())
            self.now = max(self.now, min(times))
            while self.flying and self.flying[0][0] <= self.now:
                _, _, data, source, destination = heapq.heappop(self.flying)
                if destination in self.nodes:
                    self.nodes[destination].receive(data, source, self.now)
            for node in list(self.nodes.values()):
                node.tick(self.now)


class UdpLoop:
    """Runs nodes over real sockets. One thread; run() returns when until() holds or time is up."""

    def __init__(self):
        self.sockets = {}                   # socket -> node or callable(data, source)

    def node(self, identity, sock, **options):
        node = Node(identity, None, **options)
        self.attach(node, sock)
        node.now = time.monotonic()
        node.timers.clear()
        node._after(HOUSEKEEPING, node._housekeep)
        return node

    def attach(self, node, sock):
        """Lets the node send and receive on this socket (another one: its address changed)."""
        sock.setblocking(False)
        self.sockets[sock] = node

        def send(data, address):
            try:
                sock.sendto(data, address)
            except OSError:
                pass
        node.send_datagram = send
        node.local = sock.getsockname()[:2]

    def listen(self, sock, call):
        """call(data, source) for each datagram: for tests that speak for themselves."""
        sock.setblocking(False)
        self.sockets[sock] = call

    def run(self, seconds=5.0, until=None):
        end = time.monotonic() + seconds
        while True:
            if until and until():
                return True
            now = time.monotonic()
            if now >= end:
                return False
            nodes = {n for n in self.sockets.values() if isinstance(n, Node)}
            times = [n.next_time() for n in nodes if n.next_time() is not None]
            wait = max(0.0, min(times + [end, now + 0.05 if until else end]) - now)
            readable, _, _ = select.select(list(self.sockets), [], [], wait)
            for sock in readable:
                self._drain(sock)
            for node in nodes:
                node.tick(time.monotonic())

    def _drain(self, sock):
        for _ in range(64):
            try:
                data, source = sock.recvfrom(65535)
            except (BlockingIOError, ConnectionError):
                return
            owner = self.sockets[sock]
            if isinstance(owner, Node):
                owner.receive(data, source[:2], time.monotonic())
            else:
                owner(data, source[:2])


def udp_socket(address):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(address)
    return sock
