#include "conf/words.h"

#include "base/base64.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PATIENCE_SECS = 5,   /* so long a handshake may take before it counts as trouble */
    SILENCE_SECS = 15,   /* so long something may stay unanswered */
    MAX_DIAGNOSIS = 320, /* characters of what a diagnosis says */
};

const char *cq_link_state_name(enum cq_link_state state)
{
    static const char *const names[CQ_LINK_STATES] = {
        [CQ_LINK_CONNECTED] = "connected",
        [CQ_LINK_CONNECTING] = "connecting",
        [CQ_LINK_IDLE] = "idle",
        [CQ_LINK_TROUBLE] = "trouble",
    };

    return names[state];
}

char *cq_words_span(uint64_t secs, char out[CQ_SPAN_MAX])
{
    uint64_t mins = secs / 60, hours = mins / 60, days = hours / 24;

    if (secs < 90)
        snprintf(out, CQ_SPAN_MAX, "%" PRIu64 " s", secs);
    else if (mins < 60)
        snprintf(out, CQ_SPAN_MAX, "%" PRIu64 " min", mins);
    else if (hours < 24)
        snprintf(out, CQ_SPAN_MAX, "%" PRIu64 " h %" PRIu64 " min", hours, mins % 60);
    else
        snprintf(out, CQ_SPAN_MAX, "%" PRIu64 " d %" PRIu64 " h", days, hours % 24);
    return out;
}

/* What to call the peer on a command line: names with anything that a shell might read are left
 * out. */
static const char *argument_of(const struct cq_node_peer_status *peer,
                               char id[CQ_KEY32_TEXT_LEN + 1])
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    if (peer->name[0] != '\0' && peer->name[0] != '-' &&
        peer->name[strspn(peer->name, plain)] == '\0')
        return peer->name;
    cq_base64_encode(peer->id, CQ_PEER_ID_LEN, id);
    return id;
}

static void say_connected(char out[CQ_WORDS_MAX], const struct cq_node_peer_status *peer)
{
    char age[CQ_SPAN_MAX], rest[CQ_SPAN_MAX];

    cq_words_span(peer->key_age_secs, age);
    if (peer->rotate_in_secs > 0)
        snprintf(out, CQ_WORDS_MAX, "Connected; keys %s old, next rotation in %s.", age,
                 cq_words_span(peer->rotate_in_secs, rest));
    else
        snprintf(out, CQ_WORDS_MAX, "Connected; keys %s old, replaced with the next packet.", age);
}

/* `what` may be "": where `since` says all that is known. */
static void say_trouble(char out[CQ_WORDS_MAX], const struct cq_node_peer_status *peer,
                        const char *interface, const char *since, const char *what)
{
    char id[CQ_KEY32_TEXT_LEN + 1];

    snprintf(out, CQ_WORDS_MAX, "%s%s%.*s. Run `cryprq diagnose %s %s`.", since,
             what[0] != '\0' ? ": " : "", MAX_DIAGNOSIS, what, interface, argument_of(peer, id));
}

/* Whether the last attempt of ours came to nothing and no handshake was made since. */
static bool has_failed(const struct cq_node_peer_status *peer)
{
    return peer->attempt.happened &&
           cq_diagnosis_of_attempt(&peer->attempt) != CQ_DIAGNOSIS_ALL_WELL &&
           (peer->latest_handshake == 0 || peer->attempt_secs <= peer->latest_handshake_secs);
}

static void say_idle(char out[CQ_WORDS_MAX], const struct cq_node_peer_status *peer)
{
    char span[CQ_SPAN_MAX];

    if (peer->endpoint[0] == '\0' && peer->configured_endpoint == NULL)
        snprintf(out, CQ_WORDS_MAX,
                 "Waiting for the peer to call: no address of it is known here.");
    else if (peer->latest_handshake != 0)
        snprintf(out, CQ_WORDS_MAX,
                 "Idle; the last handshake was %s ago, the next packet makes new keys.",
                 cq_words_span(peer->latest_handshake_secs, span));
    else
        snprintf(out, CQ_WORDS_MAX, "Not needed yet: the first packet to it begins a handshake.");
}

static enum cq_link_state say_unconnected(char out[CQ_WORDS_MAX],
                                          const struct cq_node_peer_status *peer,
                                          const char *interface)
{
    char since[CQ_WORDS_MAX], span[CQ_SPAN_MAX];
    enum cq_diagnosis attempt = cq_diagnosis_of_attempt(&peer->attempt);

    if (peer->refused != CQ_DROP_NONE) {
        snprintf(since, sizeof(since), "Not connected; last refused %s ago",
                 cq_words_span(peer->refused_secs, span));
        say_trouble(out, peer, interface, since,
                    cq_diagnosis_text(cq_diagnosis_of_refusal(peer->refused)));
        return CQ_LINK_TROUBLE;
    }
    if (peer->handshaking && peer->attempt_secs < PATIENCE_SECS) {
        snprintf(out, CQ_WORDS_MAX, "Connecting; the handshake began %s ago.",
                 cq_words_span(peer->attempt_secs, span));
        return CQ_LINK_CONNECTING;
    }
    if (!has_failed(peer)) {
        say_idle(out, peer);
        return CQ_LINK_IDLE;
    }
    snprintf(since, sizeof(since), peer->handshaking ? "No answer for %s" : "No answer, %s ago",
             cq_words_span(peer->attempt_secs, span));
    say_trouble(out, peer, interface, since,
                attempt == CQ_DIAGNOSIS_NO_ANSWER ? "" : cq_diagnosis_text(attempt));
    return CQ_LINK_TROUBLE;
}

enum cq_link_state cq_peer_words(char out[CQ_WORDS_MAX], const struct cq_node_peer_status *peer,
                                 const char *interface)
{
    char since[CQ_SPAN_MAX + 32], span[CQ_SPAN_MAX];

    if (!peer->has_session)
        return say_unconnected(out, peer, interface);
    if (peer->unanswered_secs < SILENCE_SECS) {
        say_connected(out, peer);
        return CQ_LINK_CONNECTED;
    }
    snprintf(since, sizeof(since), "No answer for %s", cq_words_span(peer->unanswered_secs, span));
    say_trouble(out, peer, interface, since, "");
    return CQ_LINK_TROUBLE;
}
