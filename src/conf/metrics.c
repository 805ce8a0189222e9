#include "conf/metrics.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void cq_conf_metrics_init(struct cq_conf_metrics *out)
{
    *out = (struct cq_conf_metrics){.max_peers = CQ_CONF_METRICS_PEERS_DEFAULT};
}

void cq_conf_metrics_free(struct cq_conf_metrics *metrics)
{
    if (metrics->token != NULL)
        cq_wipe(metrics->token, strlen(metrics->token));
    free(metrics->token);
    free(metrics->token_file);
    cq_conf_metrics_init(metrics);
}

enum cq_err cq_conf_metrics_set_address(struct cq_conf_metrics *metrics, const char *text,
                                        size_t len)
{
    char copy[CQ_ADDR_TEXT_MAX];
    struct cq_addr addr;

    if (len >= sizeof(copy))
        return CQ_ERR_INVALID;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (strcasecmp(copy, "none") == 0) {
        metrics->mode = CQ_CONF_METRICS_OFF;
        return CQ_OK;
    }
    if (cq_addr_parse(copy, &addr) != CQ_OK || addr.port == 0)
        return CQ_ERR_INVALID;
    metrics->mode = CQ_CONF_METRICS_FIXED;
    metrics->addr = addr;
    return CQ_OK;
}

static bool is_token_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~+/=", c) != NULL);
}

enum cq_err cq_conf_metrics_set_token(struct cq_conf_metrics *metrics, const char *text, size_t len)
{
    if (len < CQ_CONF_METRICS_TOKEN_MIN || len > CQ_CONF_METRICS_TOKEN_MAX)
        return CQ_ERR_INVALID;
    for (size_t i = 0; i < len; i++)
        if (!is_token_character(text[i]))
            return CQ_ERR_INVALID;
    char *copy = malloc(len + 1);
    if (copy == NULL)
        return CQ_ERR_NOMEM;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (metrics->token != NULL)
        cq_wipe(metrics->token, strlen(metrics->token));
    free(metrics->token);
    metrics->token = copy;
    return CQ_OK;
}

bool cq_conf_metrics_is_open(const struct cq_conf_metrics *metrics)
{
    return metrics->mode == CQ_CONF_METRICS_FIXED && !cq_ip_is_loopback(&metrics->addr.ip) &&
           metrics->token == NULL && metrics->token_file == NULL;
}
