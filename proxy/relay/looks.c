#include "proxy/relay/looks.h"

#include <string.h>

#define XXH_INLINE_ALL
#include "xxhash.h"

#include "proxy/config/labels.h"

/* Less what differs between SYNs of one look: what texts say of these stands
 * in the quirks. */
static struct syn
bare(const struct syn *s)
{
	struct syn b;

	/* Its padding too: it is compared as bytes. */
	memcpy(&b, s, sizeof(b));
	memset(&b.src, 0, sizeof(b.src));
	memset(&b.dst, 0, sizeof(b.dst));
	b.isn = 0;
	b.ack = 0;
	b.tsval = s->tsval != 0;
	b.tsecr = 0;
	b.ip_id = 0;
	return b;
}

const struct look *
looks_of(struct looks *l, const struct syn *s, const struct labels *labels)
{
	const struct syn key = bare(s);
	struct look *look =
	    &l->looks[XXH3_64bits(&key, sizeof(key)) % LOOKS_COUNT];

	if (memcmp(&look->syn, &key, sizeof(key)) == 0)
		return look;
	memcpy(&look->syn, &key, sizeof(key));
	signature_texts_make(&look->texts, s);
	look->quality = LABEL_NONE;
	look->label =
	    labels != NULL ? labels_find(labels, s, &look->quality) : NULL;
	return look;
}

void
looks_forget(struct looks *l)
{
	memset(l, 0, sizeof(*l));
}
