#include "conf/tuning.h"

#include <string.h>
#include <strings.h>

static bool is_word(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

enum cq_err cq_conf_tuning_set_tun_offload(struct cq_conf_tuning *tuning, const char *text,
                                           size_t len)
{
    static const char *const words[] = {
        [CQ_CONF_TUN_OFFLOAD_ON] = "on",
        [CQ_CONF_TUN_OFFLOAD_TSO] = "tso",
        [CQ_CONF_TUN_OFFLOAD_CHECKSUM] = "checksum",
        [CQ_CONF_TUN_OFFLOAD_OFF] = "off",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (is_word(text, len, words[i])) {
            tuning->tun_offload = (enum cq_conf_tun_offload)i;
            return CQ_OK;
        }
    return CQ_ERR_INVALID;
}

static enum cq_err set_switch(bool *off, const char *text, size_t len)
{
    if (!is_word(text, len, "on") && !is_word(text, len, "off"))
        return CQ_ERR_INVALID;
    *off = is_word(text, len, "off");
    return CQ_OK;
}

enum cq_err cq_conf_tuning_set_udp_gso(struct cq_conf_tuning *tuning, const char *text, size_t len)
{
    return set_switch(&tuning->udp_gso_off, text, len);
}

enum cq_err cq_conf_tuning_set_udp_gro(struct cq_conf_tuning *tuning, const char *text, size_t len)
{
    return set_switch(&tuning->udp_gro_off, text, len);
}

enum cq_err cq_conf_tuning_set_workers(struct cq_conf_tuning *tuning, const char *text, size_t len)
{
    unsigned n = 0;

    if (is_word(text, len, "auto")) {
        tuning->num_workers = 0;
        return CQ_OK;
    }
    if (len == 0 || len > 2)
        return CQ_ERR_INVALID;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return CQ_ERR_INVALID;
        n = 10 * n + (unsigned)(text[i] - '0');
    }
    if (n < 1 || n > CQ_CONF_MAX_WORKERS)
        return CQ_ERR_INVALID;
    tuning->num_workers = n;
    return CQ_OK;
}
