/*
 * The two forms of metrics, as text: the text format 0.0.4 of Prometheus and OpenMetrics 1.0; and
 * what they and the page need to have escaped. Knows no metric; what is in them is
 * node/metrics_render.h.
 */
#ifndef CQ_NODE_METRICS_TEXT_H
#define CQ_NODE_METRICS_TEXT_H

#include "base/text.h"
#include "base/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds with as many decimals as it takes: "0.0001", "300", "-1.5". */
void cq_text_put_seconds(struct cq_text *text, cq_time ns);
/* The content of a label's value: `\`, `"` and line feeds escaped. */
void cq_text_put_label(struct cq_text *text, const char *value);
/* For element content and attribute values in HTML. */
void cq_text_put_html(struct cq_text *text, const char *value);

enum cq_metric_type { CQ_METRIC_GAUGE, CQ_METRIC_COUNTER, CQ_METRIC_HISTOGRAM, CQ_METRIC_INFO };

/* A family of metrics; all of its samples follow its head. */
struct cq_metric {
    const char *name; /* without _total or _info, which its type brings */
    enum cq_metric_type type;
    const char *unit; /* "": none; else the name ends with it */
    const char *help; /* one line without backslashes */
};

void cq_metric_head(struct cq_text *text, bool open_metrics, const struct cq_metric *metric);
/* The beginning of a sample: name, labels (`a="b",c="d"`, escaped, may be "") and a blank. */
void cq_metric_sample(struct cq_text *text, const struct cq_metric *metric, const char *labels);
void cq_metric_sample_u64(struct cq_text *text, const struct cq_metric *metric, const char *labels,
                          uint64_t n);
void cq_metric_sample_seconds(struct cq_text *text, const struct cq_metric *metric,
                              const char *labels, cq_time ns);

/* The samples of one histogram. counts[i] belongs to bounds[i] alone, counts[num] lies above all;
 * bounds are texts of numbers, ascending. The caller has put the text of the sum into `sum`. */
struct cq_metric_histogram {
    const char *const *bounds;
    const uint64_t *counts;
    size_t num;
    const char *sum;
};
void cq_metric_histogram(struct cq_text *text, const struct cq_metric *metric, const char *labels,
                         const struct cq_metric_histogram *histogram);

#endif
