/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * `guideway explain` asks what would become of a packet, and only this program knows. So it
 * is built a second time, with DRY_RUN 1 (source.py), over the maps of the one that serves,
 * where it leaves no trace (the exit sees to that), and with counters of its own. What it finds out, it notes here.
 *
 * Where DRY_RUN is 0, the compiler leaves nothing of all this.
 */

static __always_inline struct gw_decision *decision(void)
{
	u32 zero = 0;

	return DRY_RUN ? decisions.lookup(&zero) : NULL;
}

/* The service that was found; NULL: none. */
static __always_inline void note_service(const struct gw_entry *entry)
{
	struct gw_decision *noted = decision();

	if (!noted || !entry)
		return;
	noted->has_service = true;
	noted->service_id = entry->service.id;
	noted->ring_size = entry->service.ring_size;
}

/* The slot of the flow; NULL: its service has none. */
static __always_inline void note_slot(u32 number, const struct gw_slot *slot)
{
	struct gw_decision *noted = decision();

	if (!noted || !slot)
		return;
	noted->has_slot = true;
	noted->slot = number;
	noted->owners = *slot;
}

static __always_inline void note_choice(enum gw_rule rule, u32 backend_id)
{
	struct gw_decision *noted = decision();

	if (!noted)
		return;
	noted->rule = rule;
	noted->backend_id = backend_id;
}

static __always_inline void note_end(enum gw_reason reason, const struct gw_segment *out)
{
	struct gw_decision *noted = decision();

	if (!noted)
		return;
	noted->reason = reason;
	noted->out_ifindex = out ? out->ifindex : 0;
}
