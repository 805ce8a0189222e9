#include "conf/status.h"

#include "conf/status_json.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NODE(name, kind, member)                                                                   \
    {                                                                                              \
        name, kind, offsetof(struct cq_node_status, member),                                       \
            sizeof(((struct cq_node_status *)0)->member)                                           \
    }
#define PEER(name, kind, member)                                                                   \
    {                                                                                              \
        name, kind, offsetof(struct cq_node_peer_status, member),                                  \
            sizeof(((struct cq_node_peer_status *)0)->member)                                      \
    }

const struct cq_status_field cq_status_node_fields[] = {
    NODE("interface", CQ_STATUS_TEXT, interface),
    NODE("listen_port", CQ_STATUS_U16, listen_port),
    NODE("fwmark", CQ_STATUS_U32, fwmark),
    NODE("mtu", CQ_STATUS_U16, mtu),
    NODE("metrics_address", CQ_STATUS_TEXT, metrics_address),
    NODE("rotate_secs", CQ_STATUS_U16, rotate_secs),
    NODE("uptime_secs", CQ_STATUS_U64, uptime_secs),
    NODE("num_workers", CQ_STATUS_U32, num_workers),
    NODE("num_pending", CQ_STATUS_U32, num_pending),
    NODE("under_load", CQ_STATUS_BOOL, under_load),
    NODE("cookies_sent", CQ_STATUS_U64, cookies_sent),
    NODE("keys_sent", CQ_STATUS_U64, keys_sent),
    NODE("keys_erased", CQ_STATUS_U64, keys_erased),
    {NULL},
};

/* Members that older nodes do not have: missing ones are zero. */
const struct cq_status_field cq_status_late_node_fields[] = {
    NODE("uptime_ms", CQ_STATUS_U64, uptime_ms),
    NODE("time_ms", CQ_STATUS_I64, time_ms),
    NODE("aead", CQ_STATUS_TEXT, aead),
    {NULL},
};

const struct cq_status_field cq_status_peer_fields[] = {
    PEER("name", CQ_STATUS_TEXT, name),
    PEER("has_psk", CQ_STATUS_BOOL, has_psk),
    PEER("key_known", CQ_STATUS_BOOL, key_known),
    PEER("handshaking", CQ_STATUS_BOOL, handshaking),
    PEER("endpoint", CQ_STATUS_TEXT, endpoint),
    PEER("path_mtu", CQ_STATUS_U16, path_mtu),
    PEER("persistent_keepalive", CQ_STATUS_U16, persistent_keepalive),
    PEER("rx_bytes", CQ_STATUS_U64, rx_bytes),
    PEER("tx_bytes", CQ_STATUS_U64, tx_bytes),
    PEER("rx_packets", CQ_STATUS_U64, rx_packets),
    PEER("tx_packets", CQ_STATUS_U64, tx_packets),
    PEER("latest_handshake", CQ_STATUS_I64, latest_handshake),
    PEER("latest_handshake_secs", CQ_STATUS_U64, latest_handshake_secs),
    PEER("handshake_duration_us", CQ_STATUS_U64, handshake_duration_us),
    PEER("latest_as_initiator", CQ_STATUS_BOOL, latest_as_initiator),
    PEER("initiated", CQ_STATUS_U64, initiated),
    PEER("responded", CQ_STATUS_U64, responded),
    PEER("rotations", CQ_STATUS_U64, rotations),
    PEER("failed", CQ_STATUS_U64, failed),
    PEER("num_sessions", CQ_STATUS_U32, num_sessions),
    PEER("num_staged", CQ_STATUS_U32, num_staged),
    {NULL},
};

/* The same as above. */
const struct cq_status_field cq_status_late_peer_fields[] = {
    PEER("last_drop_secs", CQ_STATUS_U64, last_drop_secs),
    PEER("num_refused", CQ_STATUS_U64, num_refused),
    PEER("refused_secs", CQ_STATUS_U64, refused_secs),
    PEER("unanswered_secs", CQ_STATUS_U64, unanswered_secs),
    {NULL},
};

const struct cq_status_field cq_status_session_fields[] = {
    PEER("age_secs", CQ_STATUS_U64, key_age_secs),
    PEER("rotate_in_secs", CQ_STATUS_U64, rotate_in_secs),
    {NULL},
};

_Static_assert(sizeof(unsigned) == sizeof(uint32_t), "unsigned members are CQ_STATUS_U32");

const uint8_t cq_status_suites[CQ_STATUS_NUM_SUITES] = {CQ_CONF_SUITE_AES_256_GCM,
                                                        CQ_CONF_SUITE_CHACHA20_POLY1305};

const char *cq_conf_suite_name(unsigned suite)
{
    return suite == CQ_CONF_SUITE_AES_256_GCM         ? "aes-256-gcm"
           : suite == CQ_CONF_SUITE_CHACHA20_POLY1305 ? "chacha20-poly1305"
                                                      : "none";
}

uint8_t cq_status_suite_of_name(const char *name)
{
    for (size_t i = 0; i < CQ_STATUS_NUM_SUITES; i++)
        if (strcmp(name, cq_conf_suite_name(cq_status_suites[i])) == 0)
            return cq_status_suites[i];
    return 0;
}

enum cq_drop cq_status_drop_of_name(const char *name)
{
    for (int i = CQ_DROP_NONE; i < CQ_DROP_COUNT; i++)
        if (strcmp(name, cq_drop_name((enum cq_drop)i)) == 0)
            return (enum cq_drop)i;
    return CQ_DROP_NONE;
}

uint8_t cq_status_fault_of_name(const char *name)
{
    for (int i = 0; i < CQ_SEND_FAULT_COUNT; i++)
        if (strcmp(name, cq_send_fault_name((enum cq_send_fault)i)) == 0)
            return (uint8_t)i;
    return 0;
}

const char *cq_status_session_text(const uint8_t id[CQ_SESSION_ID_LEN],
                                   char out[CQ_SESSION_ID_TEXT_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < CQ_SESSION_ID_LEN; i++) {
        out[2 * i] = digits[id[i] >> 4];
        out[2 * i + 1] = digits[id[i] & 15];
    }
    out[CQ_SESSION_ID_TEXT_LEN] = '\0';
    return out;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cq_status_session_parse(const char *text, uint8_t out[CQ_SESSION_ID_LEN])
{
    for (size_t i = 0; i < CQ_SESSION_ID_LEN; i++) {
        int high = hex_digit(text[2 * i]), low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return text[CQ_SESSION_ID_TEXT_LEN] == '\0';
}

void cq_node_status_free(struct cq_node_status *status)
{
    for (size_t i = 0; i < status->num_peers; i++)
        free(status->peers[i].allowed_ips), free(status->peers[i].configured_endpoint);
    free(status->peers);
    *status = (struct cq_node_status){0};
}
