#include "proxy/ctl/syn_facts.h"

#include <stdio.h>
#include <string.h>

void
syn_facts_gather(const struct labels *labels, const struct syn *s,
		 bool has_path, struct evidence *e, enum label_quality *quality)
{
	*e = (struct evidence){.syn = *s, .client = s->src};
	e->label = labels_find(labels, s, quality);
	e->present = evidence_bit(EVIDENCE_SYN) | evidence_bit(EVIDENCE_STACK) |
		     evidence_bit(EVIDENCE_FAMILY);
	if (e->label != NULL)
		e->present |= evidence_bit(EVIDENCE_LABEL);
	if (s->mss != SYN_MSS_ABSENT)
		e->present |= evidence_bit(EVIDENCE_MSS);
	if (has_path)
		e->present |= evidence_bit(EVIDENCE_DISTANCE) |
			      evidence_bit(EVIDENCE_NETWORK);
}

static void
say_label(void *user, enum labels_severity severity, const char *message)
{
	(void)user;
	fprintf(stderr, "tarryctl: %s%s\n",
		severity == LABELS_WARNING ? "warning: " : "", message);
}

struct labels *
syn_facts_labels(const struct config *config)
{
	struct labels *labels = labels_new();
	int rc;

	if (labels == NULL || config->syn.labels[0] == '\0')
		return labels;
	rc = labels_load(labels, config->syn.labels, say_label, NULL);
	if (rc < 0)
		fprintf(stderr,
			"tarryctl: no labels: %s: %s (syn.labels names the "
			"file)\n",
			config->syn.labels, strerror(-rc));
	return labels;
}
