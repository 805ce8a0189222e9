#include "node/metrics_text.h"

#include <string.h>

void cq_text_put_seconds(struct cq_text *text, cq_time ns)
{
    uint64_t all = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    uint64_t rest = all % (uint64_t)CQ_NS_PER_S;
    char decimals[10] = ".000000000";
    size_t len = sizeof(decimals);

    if (ns < 0)
        cq_text_add(text, "-", 1);
    cq_text_put_u64(text, all / (uint64_t)CQ_NS_PER_S);
    if (rest == 0)
        return;
    for (size_t i = len; --i > 0; rest /= 10)
        decimals[i] = (char)('0' + rest % 10);
    while (decimals[len - 1] == '0')
        len--;
    cq_text_add(text, decimals, len);
}

static const char *escape_label(char c)
{
    return c == '\\' ? "\\\\" : c == '"' ? "\\\"" : c == '\n' ? "\\n" : NULL;
}

static const char *escape_html(char c)
{
    return c == '&'    ? "&amp;"
           : c == '<'  ? "&lt;"
           : c == '>'  ? "&gt;"
           : c == '"'  ? "&quot;"
           : c == '\'' ? "&#39;"
                       : NULL;
}

void cq_text_put_label(struct cq_text *text, const char *value)
{
    cq_text_put_escaped(text, value, escape_label);
}

void cq_text_put_html(struct cq_text *text, const char *value)
{
    cq_text_put_escaped(text, value, escape_html);
}

static const char *suffix_of(enum cq_metric_type type)
{
    switch (type) {
    case CQ_METRIC_COUNTER:
        return "_total";
    case CQ_METRIC_INFO:
        return "_info";
    case CQ_METRIC_GAUGE:
    case CQ_METRIC_HISTOGRAM:
        break;
    }
    return "";
}

/* The text format has no info; there it is a gauge. */
static const char *type_name(enum cq_metric_type type, bool open_metrics)
{
    switch (type) {
    case CQ_METRIC_COUNTER:
        return "counter";
    case CQ_METRIC_HISTOGRAM:
        return "histogram";
    case CQ_METRIC_INFO:
        return open_metrics ? "info" : "gauge";
    case CQ_METRIC_GAUGE:
        break;
    }
    return "gauge";
}

static void put_line(struct cq_text *text, const char *what, const struct cq_metric *metric,
                     bool open_metrics, const char *rest)
{
    cq_text_put(text, what);
    cq_text_put(text, metric->name);
    /* OpenMetrics names a family without the suffix of its samples, the older format with it. */
    if (!open_metrics)
        cq_text_put(text, suffix_of(metric->type));
    cq_text_put(text, " ");
    cq_text_put(text, rest);
    cq_text_put(text, "\n");
}

void cq_metric_head(struct cq_text *text, bool open_metrics, const struct cq_metric *metric)
{
    put_line(text, "# HELP ", metric, open_metrics, metric->help);
    put_line(text, "# TYPE ", metric, open_metrics, type_name(metric->type, open_metrics));
    if (open_metrics && metric->unit[0] != '\0')
        put_line(text, "# UNIT ", metric, open_metrics, metric->unit);
}

void cq_metric_sample(struct cq_text *text, const struct cq_metric *metric, const char *labels)
{
    cq_text_put(text, metric->name);
    cq_text_put(text, suffix_of(metric->type));
    if (labels[0] != '\0') {
        cq_text_put(text, "{");
        cq_text_put(text, labels);
        cq_text_put(text, "}");
    }
    cq_text_put(text, " ");
}

void cq_metric_sample_u64(struct cq_text *text, const struct cq_metric *metric, const char *labels,
                          uint64_t n)
{
    cq_metric_sample(text, metric, labels);
    cq_text_put_u64(text, n);
    cq_text_put(text, "\n");
}

void cq_metric_sample_seconds(struct cq_text *text, const struct cq_metric *metric,
                              const char *labels, cq_time ns)
{
    cq_metric_sample(text, metric, labels);
    cq_text_put_seconds(text, ns);
    cq_text_put(text, "\n");
}

static void put_bucket(struct cq_text *text, const struct cq_metric *metric, const char *labels,
                       const char *bound, uint64_t n)
{
    cq_text_put(text, metric->name);
    cq_text_put(text, "_bucket{");
    cq_text_put(text, labels);
    cq_text_put(text, labels[0] != '\0' ? ",le=\"" : "le=\"");
    cq_text_put(text, bound);
    cq_text_put(text, "\"} ");
    cq_text_put_u64(text, n);
    cq_text_put(text, "\n");
}

static void put_end(struct cq_text *text, const struct cq_metric *metric, const char *suffix,
                    const char *labels)
{
    cq_text_put(text, metric->name);
    cq_text_put(text, suffix);
    if (labels[0] != '\0') {
        cq_text_put(text, "{");
        cq_text_put(text, labels);
        cq_text_put(text, "}");
    }
    cq_text_put(text, " ");
}

void cq_metric_histogram(struct cq_text *text, const struct cq_metric *metric, const char *labels,
                         const struct cq_metric_histogram *histogram)
{
    uint64_t n = 0;

    for (size_t i = 0; i < histogram->num; i++) {
        n += histogram->counts[i];
        put_bucket(text, metric, labels, histogram->bounds[i], n);
    }
    n += histogram->counts[histogram->num];
    put_bucket(text, metric, labels, "+Inf", n);
    put_end(text, metric, "_sum", labels);
    cq_text_put(text, histogram->sum);
    cq_text_put(text, "\n");
    put_end(text, metric, "_count", labels);
    cq_text_put_u64(text, n);
    cq_text_put(text, "\n");
}
