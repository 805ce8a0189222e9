/*
 * Sessions, rotation and confirmation between two nodes (docs/protocol.md section 6), as src/engine has them. What is
 * modelled, under which assumptions and with which bounds: docs/verification.md. tests/model/test_model.py runs it.
 *
 * Two sides, 0 and 1; 1 has the larger ID. A handshake is a slot h below N, which is used again once both sides have
 * forgotten it, so runs have no end; N bounds only how many exist at a time. Datagrams are bits that stay set once the
 * message was sent: whatever is set may be taken at any later time, in any order, again and again, or never. That is a
 * channel that loses, repeats, reorders and delays at will.
 *
 * Switches:
 *   -DN=3         handshakes at a time, 2 to 4
 *   -DMAX_CONF=4  confirmed sessions per side (the code has 4)
 *   -DHARSH       restarts, idle expiry and outages of any length; without it: assumptions A1 to A3
 *   -DLIVE        from some moment on datagrams are quicker than timers; adds the claim `recovers`
 *   -DONLY_BOUNDS only the properties that hold whatever the limit of sessions is
 *   -DONE_WAY     with LIVE: side 1 has no DATA to send, only frequent keepalives: a known limit
 *   -DM_...       mutants, each of which must be found
 */
#ifndef N
#define N 3
#endif
#ifndef MAX_CONF
#define MAX_CONF 4
#endif

#define NONE N

/* Stages at the initiator (si) and at the responder (sr). */
#define NOTHING 0
#define INIT 1    /* si: INIT went out */
#define OFFERED 2 /* si: OFFER went out */
#define SESSION 3 /* si: ACCEPT verified: confirmed */
#define PENDING 1     /* sr: REPLY went out */
#define UNCONFIRMED 2 /* sr: OFFER verified, receives */
#define CONFIRMED 3   /* sr: a record opened, sends */
#define GONE 4        /* sr: was there, is no more */

bool used[N];
bit initiator[N];
byte si[N], sr[N];
bool offer[N], accept[N]; /* went out; INIT and REPLY follow from used and sr */
bool rec_i[N], rec_r[N];  /* a record of the initiator's, of the responder's went out */
bool opened_i[N];         /* a record opened at the initiator; at the responder: CONFIRMED */
bool lost[N];             /* one side lost it by restart or untimely expiry (HARSH) */
byte order[2 * N];        /* at x * N + h: rank of completion among the sessions of side x, from 1 on */
byte older[2 * N];        /* at x * N + s: set of o that began at x after s was known complete at the other side */
byte current[2];          /* which session x sends on */
byte newest[2];           /* of the own handshakes of x in flight */
bool established;         /* both directions had a session (not with HARSH) */
bool calm;                /* LIVE: from now on datagrams are quicker than timers */

byte i, j, best, num, was; /* scratch, zero between steps */

#define AT(x, h) ((x) * N + (h))
#define IS_I(x, h) (initiator[h] == (x))
#define MAY_SEND(x, h) ((IS_I(x, h) && si[h] == SESSION) || (!IS_I(x, h) && sr[h] == CONFIRMED))
#define HOLDS(x, h) (MAY_SEND(x, h) || (!IS_I(x, h) && sr[h] == UNCONFIRMED))
#define OPENED(x, h) ((IS_I(x, h) && opened_i[h]) || (!IS_I(x, h) && sr[h] == CONFIRMED))
#define PEER_DONE(x, h) MAY_SEND(x, h)
#define IN_FLIGHT(x, h) (IS_I(x, h) && (si[h] == INIT || si[h] == OFFERED))
#define USABLE(x) (current[x] != NONE && HOLDS(1 - (x), current[x]))

#if N == 2
#define ANY(f, x, h) (f(x, h, 0) || f(x, h, 1))
#elif N == 3
#define ANY(f, x, h) (f(x, h, 0) || f(x, h, 1) || f(x, h, 2))
#else
#define ANY(f, x, h) (f(x, h, 0) || f(x, h, 1) || f(x, h, 2) || f(x, h, 3))
#endif

#define IS_FREE(x, h, o) (!used[o])
#define IS_OWN(x, h, o) IN_FLIGHT(x, o)
#define IS_THEIRS(x, h, o) (used[o] && initiator[o] != (x) && (sr[o] == PENDING || sr[o] == UNCONFIRMED))
#define HAS_ATTEMPT(x) ANY(IS_OWN, x, 0)
#define HAS_FREE ANY(IS_FREE, 0, 0)

/* ---- what happens inside a step ---- */

inline forget_slot(h)
{
    if
    :: used[h] && si[h] == NOTHING && sr[h] == GONE ->
        used[h] = false; initiator[h] = 0; sr[h] = NOTHING;
        offer[h] = false; accept[h] = false; rec_i[h] = false; rec_r[h] = false;
        opened_i[h] = false; lost[h] = false
    :: else
    fi
}

/* The newest confirmed session by the own order of completion (session.c, choose_current). */
inline choose_current(x)
{
    was = current[x];
    best = NONE;
    for (i : 0 .. N - 1) {
        if
        :: MAY_SEND(x, i) && (best == NONE || order[AT(x, i)] > order[AT(x, best)]) -> best = i
        :: else
        fi
    }
    current[x] = best;
    /* Once a side sends on a session, it sends on no older one while it has that. */
    if
    :: was != NONE && was != best && MAY_SEND(x, was) ->
        assert(best != NONE && order[AT(x, best)] > order[AT(x, was)])
    :: else
    fi
}

inline drop_session(x, h)
{
    for (i : 0 .. N - 1) {
        if
        :: order[AT(x, i)] > order[AT(x, h)] -> order[AT(x, i)] = order[AT(x, i)] - 1
        :: else
        fi;
        older[AT(x, i)] = older[AT(x, i)] & ~(1 << h)
    }
    order[AT(x, h)] = 0;
    older[AT(x, h)] = 0;
    if
    :: initiator[h] == x -> si[h] = NOTHING; opened_i[h] = false
    :: else -> sr[h] = GONE
    fi
}

inline erase(x, h)
{
    drop_session(x, h);
    choose_current(x);
    forget_slot(h)
}

/* The age of session h begins at x: at I when OFFER goes out first, at R when it verifies. */
inline begin_age(x, h)
{
    for (i : 0 .. N - 1) {
        if
        :: i != h && HOLDS(x, i) && PEER_DONE(x, i) -> older[AT(x, i)] = older[AT(x, i)] | (1 << h)
        :: else
        fi
    }
}

inline complete(x, h)
{
    num = 1;
    for (i : 0 .. N - 1) {
        if
        :: i != h && order[AT(x, i)] >= num -> num = order[AT(x, i)] + 1
        :: else
        fi
    }
    order[AT(x, h)] = num
}

/* At most MAX_CONF confirmed sessions: one more evicts the one that completed first. */
inline evict(x)
{
    num = 0;
    best = NONE;
    for (i : 0 .. N - 1) {
        if
        :: MAY_SEND(x, i) ->
            num++;
            if
            :: best == NONE || order[AT(x, i)] < order[AT(x, best)] -> best = i
            :: else
            fi
        :: else
        fi
    }
#ifndef M_NO_EVICTION
    if
    :: num > MAX_CONF -> j = best; erase(x, j)
    :: else
    fi
#endif
}

inline confirmed_now(x, h)
{
#ifdef M_LATE_DISPLACES
    was = current[x];
    current[x] = h;
#else
    choose_current(x);
#endif
#ifdef M_ERASE_AT_ONCE
    for (j : 0 .. N - 1) {
        if
        :: j != h && MAY_SEND(x, j) && order[AT(x, j)] < order[AT(x, h)] -> erase(x, j)
        :: else
        fi
    }
#endif
    evict(x)
}

inline forget_own(x, h)
{
    for (i : 0 .. N - 1) {
        older[AT(x, i)] = older[AT(x, i)] & ~(1 << h)
    }
    si[h] = NOTHING;
    forget_slot(h)
}

inline forget_attempt(x)
{
    for (j : 0 .. N - 1) {
        if
        :: IN_FLIGHT(x, j) -> forget_own(x, j)
        :: else
        fi
    }
    newest[x] = NONE
}

/* After every step. */
inline check()
{
    for (i : 0 .. 1) {
#ifndef ONLY_BOUNDS
        /* Nobody sends on a session that the other side does not have. */
        if
        :: current[i] != NONE -> assert(HOLDS(1 - i, current[i]) || lost[current[i]])
        :: else
        fi;
#endif
        /* The number of sessions is bounded. */
        num = 0;
        for (j : 0 .. N - 1) {
            num = num + (MAY_SEND(i, j) -> 1 : 0)
        }
        assert(num <= MAX_CONF)
    };
#if !defined(HARSH) && !defined(ONLY_BOUNDS)
    /* No gap: once both directions had a session, both have one for ever. */
    assert(!established || (USABLE(0) && USABLE(1)));
    if
    :: USABLE(0) && USABLE(1) -> established = true
    :: else
    fi;
#endif
    i = 0; j = 0; best = 0; num = 0; was = 0
}

/* ---- steps ---- */

#ifdef LIVE
#define CAN_DELIVER(h) (used[h] && ( \
    sr[h] == NOTHING || \
    (si[h] == INIT && sr[h] != NOTHING && REPLY_FITS(h)) || \
    (offer[h] && sr[h] == PENDING) || \
    (accept[h] && si[h] == OFFERED) || \
    (rec_i[h] && sr[h] == UNCONFIRMED) || \
    (rec_r[h] && si[h] == SESSION && !opened_i[h])))
#define IS_DELIVERABLE(x, h, o) CAN_DELIVER(o)
#define QUIET (!ANY(IS_DELIVERABLE, 0, 0))
#define TIMER (!calm || QUIET)
#define DISTURBANCE (!calm)
#else
#define TIMER true
#define DISTURBANCE true
#endif

/* attempt.c, reply_fits */
#define REPLY_FITS(h) (newest[initiator[h]] == h || (newest[initiator[h]] != NONE && si[newest[initiator[h]]] == INIT))

#ifdef M_LOCAL_ORDER
#define SUPERSEDES(x, s, o) (o != s && HOLDS(x, o) && OPENED(x, o) && order[AT(x, o)] > order[AT(x, s)])
#else
#define SUPERSEDES(x, s, o) (o != s && HOLDS(x, o) && OPENED(x, o) && order[AT(x, o)] > order[AT(x, s)] && \
    (older[AT(x, s)] >> o & 1))
#endif

proctype Handshake(byte h)
{
end:
    do
    /* Datagrams. */
    :: d_step { used[h] && sr[h] == NOTHING ->
        printf("%d takes INIT %d\n", 1 - initiator[h], h);
        sr[h] = PENDING; check() }
    :: d_step { used[h] && si[h] == INIT && sr[h] != NOTHING && REPLY_FITS(h) ->
        printf("%d takes REPLY %d\n", initiator[h], h);
        si[h] = OFFERED; offer[h] = true; newest[initiator[h]] = h;
        begin_age(initiator[h], h); check() }
    :: d_step { used[h] && offer[h] && sr[h] == PENDING ->
        printf("%d takes OFFER %d\n", 1 - initiator[h], h);
        begin_age(1 - initiator[h], h);
        sr[h] = UNCONFIRMED; accept[h] = true;
        complete(1 - initiator[h], h);
#ifdef M_NO_CONFIRMATION
        sr[h] = CONFIRMED; rec_r[h] = true;
        confirmed_now(1 - initiator[h], h);
#endif
        check() }
    :: d_step { used[h] && accept[h] && si[h] == OFFERED ->
        printf("%d takes ACCEPT %d\n", initiator[h], h);
        si[h] = SESSION; rec_i[h] = true;
        complete(initiator[h], h);
        forget_attempt(initiator[h]);
        confirmed_now(initiator[h], h);
        check() }
    :: d_step { used[h] && rec_i[h] && sr[h] == UNCONFIRMED ->
        printf("%d opens the first record of session %d\n", 1 - initiator[h], h);
        sr[h] = CONFIRMED; rec_r[h] = true;
        confirmed_now(1 - initiator[h], h);
        check() }
    :: d_step { used[h] && rec_r[h] && si[h] == SESSION && !opened_i[h] ->
        printf("%d opens the first record of session %d\n", initiator[h], h);
        opened_i[h] = true; check() }
    /* An INIT that nobody waits for any more is lost for good. */
    :: d_step { used[h] && si[h] == NOTHING && sr[h] == NOTHING && TIMER ->
        sr[h] = GONE; forget_slot(h); check() }
    /* A pending handshake goes after 20 s. */
    :: d_step { used[h] && sr[h] == PENDING && TIMER ->
        printf("%d gives up pending %d\n", 1 - initiator[h], h);
        sr[h] = GONE; forget_slot(h); check() }
    /* A1: an unconfirmed session goes after 30 s, when its initiator cannot confirm it any more. */
    :: d_step { used[h] && sr[h] == UNCONFIRMED && si[h] == NOTHING && TIMER ->
        printf("%d erases unconfirmed %d\n", 1 - initiator[h], h);
        erase(1 - initiator[h], h); check() }
    od
}

/* What side x does with session h without a datagram. */
proctype Session(bit x; byte h)
{
end:
    do
    :: d_step { used[h] && HOLDS(x, h) && ANY(SUPERSEDES, x, h) && TIMER ->
        printf("%d erases superseded %d\n", x, h);
        erase(x, h); check() }
    /* A2, A3: by age, in order of completion, when neither side sends on it any more. */
    :: d_step { used[h] && HOLDS(x, h) && order[AT(x, h)] == 1 && current[0] != h && current[1] != h &&
        si[h] != OFFERED && sr[h] != UNCONFIRMED && TIMER ->
        printf("%d erases %d by age\n", x, h);
        erase(x, h); check() }
#ifdef LIVE
    /* What the other side has no more, and nothing is sent on, only waits for its age: it must not keep its slot. */
    :: d_step { used[h] && HOLDS(x, h) && !HOLDS(1 - x, h) && current[x] != h && si[h] != OFFERED && TIMER ->
        printf("%d erases %d, which the other side lacks\n", x, h);
        erase(x, h); check() }
#endif
#ifdef HARSH
    /* Idle, or an outage: by age, or unconfirmed, whatever the other side does. */
    :: d_step { used[h] && HOLDS(x, h) && (order[AT(x, h)] == 1 || !MAY_SEND(x, h)) && DISTURBANCE ->
        printf("%d erases %d untimely\n", x, h);
        lost[h] = true;
        erase(x, h); check() }
#endif
    od
}

inline send_init(x)
{
    best = NONE;
    for (i : 0 .. N - 1) {
        if
        :: best == NONE && !used[i] -> best = i
        :: else
        fi
    }
    printf("%d sends INIT %d\n", x, best);
    used[best] = true;
    initiator[best] = x;
    si[best] = INIT;
    newest[x] = best
}

/* "When both would start at once": the larger ID lets the other's handshake finish first. */
#ifdef M_HOLDS_FOR_EVER
#define HOLDS_BACK(x) (x == 1 && ANY(WAS_THEIRS, x, 0))
#define WAS_THEIRS(x, h, o) (used[o] && initiator[o] != (x) && sr[o] != NOTHING)
#else
#define HOLDS_BACK(x) (x == 1 && ANY(IS_THEIRS, x, 0))
#endif

/* When a handshake is wanted: always, as far as safety goes; when it matters, only with a reason. */
#ifdef LIVE
#define HEARS(x) (current[1 - (x)] != NONE && HOLDS(x, current[1 - (x)]))
#if defined(M_NO_DEAD_PEER)
#define WANTED(x) (!calm || current[x] == NONE)
#elif defined(ONE_WAY)
#define WANTED(x) (!calm || current[x] == NONE || (x == 0 && !HEARS(x)))
#else
#define WANTED(x) (!calm || current[x] == NONE || !HEARS(x))
#endif
#else
#define WANTED(x) true
#endif

proctype Side(bit x)
{
end:
    do
    :: d_step { !HAS_ATTEMPT(x) && HAS_FREE && WANTED(x) && !HOLDS_BACK(x) && TIMER -> send_init(x); check() }
    /* 8 s without an answer: a new INIT; the older of two own handshakes is forgotten. */
    :: d_step { HAS_ATTEMPT(x) && HAS_FREE && TIMER ->
        for (j : 0 .. N - 1) {
            if
            :: IN_FLIGHT(x, j) && j != newest[x] -> forget_own(x, j)
            :: else
            fi
        }
        send_init(x); check() }
    /* 90 s: the attempt is given up. */
    :: d_step { HAS_ATTEMPT(x) && TIMER -> printf("%d gives up\n", x); forget_attempt(x); check() }
    /* 8 s of holding back are over. */
    :: d_step { !HAS_ATTEMPT(x) && HAS_FREE && WANTED(x) && HOLDS_BACK(x) && DISTURBANCE -> send_init(x); check() }
#ifdef HARSH
    :: d_step { DISTURBANCE ->
        printf("%d restarts\n", x);
        forget_attempt(x);
        current[x] = NONE;
        for (j : 0 .. N - 1) {
            if
            :: used[j] && HOLDS(x, j) -> lost[j] = true; drop_session(x, j)
            :: used[j] && initiator[j] != x && sr[j] == PENDING -> sr[j] = GONE
            :: else
            fi;
            forget_slot(j)
        }
        check() }
#endif
#ifdef LIVE
    :: d_step { x == 0 && !calm -> printf("calm\n"); calm = true }
#endif
    od
}

init
{
    atomic {
        current[0] = NONE; current[1] = NONE;
        newest[0] = NONE; newest[1] = NONE;
        for (i : 0 .. N - 1) {
            run Handshake(i);
            run Session(0, i);
            run Session(1, i)
        }
        i = 0;
        run Side(0);
        run Side(1)
    }
}

#ifdef LIVE
ltl recovers { [] (calm -> <> [] (USABLE(0) && USABLE(1))) }
#endif
